"""``dimec serve --ray``: a tier on a cluster until a signal says otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import redirect_stdout, suppress
from typing import Any, TextIO

from dimec.base.errors import DimecError, ServerError, shown
from dimec.bundle.folders import TierBundle
from dimec.serving.listening import announce, bind, tls_context
from dimec.serving.logs import JsonLog, LogHandler, error_fields
from dimec.serving.ray.front import IMPORT_PATH, VARIABLE
from dimec.serving.ray.replicas import check_installed, deployment, try_out
from dimec.serving.scaling import Scaling
from dimec.serving.settings import ServerSettings
from dimec.serving.signals import Signals

_REACHED = 10.0  # seconds in which a cluster's head has to take a connection
_USAGE_REPORT = "RAY_USAGE_STATS_ENABLED"


def serve(
    bundle: TierBundle,
    settings: ServerSettings,
    scaling: Scaling,
    *,
    stop_with_stdin: bool = False,
) -> None:
    """Serve a tier on a cluster of Ray until SIGTERM or SIGINT, then take it off again.

    Once it can answer, one line of JSON goes to standard output: event, tier, url, version, pid.
    SIGHUP deploys the bundle that is there now, replica by replica. Its own log is on standard
    error, the replicas' logs are where the cluster keeps its workers' standard error.

    Args:
        bundle: of an edge or cloud tier.
        settings: of ``dimec serve``.
        scaling: how many replicas there are, and which cluster.
        stop_with_stdin: stop as on SIGTERM once standard input ends.

    Raises:
        ServerError: there is no such cluster, or it does not come to serve the tier.
        ConfigError: TLS files, token or bundle that cannot be used.
        ArtefactError: the bundle cannot be used.
        MissingExtraError: a package of ``dimec[ray]`` is not installed.
    """
    check_installed("dimec serve --ray")
    tls_context(settings)  # what is wrong with its files is said at once
    log, out = JsonLog(settings.log_level), sys.stdout
    try:
        # Ray prints as it likes; standard output is the ready line's alone.
        with redirect_stdout(sys.stderr):
            asyncio.run(Run(bundle, settings, scaling, log, out).run(stop_with_stdin))
    finally:
        log.close()


class Run:
    """A tier on a cluster, from its start to its end.

    Ray's calls wait, for as long as a minute; they run in threads, so that signals are heard.

    Args:
        bundle: of the tier.
        settings: of the server.
        scaling: of the tier.
        log: for everything that happens.
        out: for the ready line.
    """

    def __init__(
        self,
        bundle: TierBundle,
        settings: ServerSettings,
        scaling: Scaling,
        log: JsonLog,
        out: TextIO,
    ) -> None:
        self._out = out
        self._bundle = bundle
        self._settings = settings
        self._log = log
        address = scaling.ray_address or os.environ.get("RAY_ADDRESS")
        self._scaling = scaling.model_copy(update={"ray_address": address})
        self._ours = address is None  # whether the cluster ends with this process
        self._port = settings.port
        if self._ours or not settings.port:
            # A port that is taken is said now: Ray's proxies would try it again and again.
            with bind(settings.host, settings.port) as probe:
                self._port = probe.getsockname()[1]
        self._renewing = asyncio.Lock()
        self._renewals: set[asyncio.Task[None]] = set()

    async def run(self, stop_with_stdin: bool) -> None:
        """Start, announce, wait for the signal to stop, take the tier off."""
        with Signals(self._log, self._renew) as signals:
            if stop_with_stdin:
                signals.stop_with_stdin()
            try:
                await asyncio.to_thread(try_out, self._bundle, self._settings)
                await asyncio.to_thread(self._connect)
                # Ray's own handler of SIGTERM would print a trace, and abort three seconds later.
                signals.listen()
                if not signals.stop.is_set():
                    port = await asyncio.to_thread(self._start)
                    await self._serve(signals, port)
            finally:
                await asyncio.to_thread(self._end)
        self._log("info", "stopped")

    async def _serve(self, signals: Signals, port: int) -> None:
        if not signals.stop.is_set():
            settings = self._settings.model_copy(update={"workers": 1})
            with redirect_stdout(self._out):
                announce(settings, self._bundle.manifest, port, self._log)
        await signals.stop.wait()
        self._log("info", "draining", reason=signals.reason)

    def _connect(self) -> None:
        """Join the cluster, or start one."""
        os.environ.setdefault(_USAGE_REPORT, "0")  # nothing is told to anybody
        import ray

        address = self._scaling.ray_address
        if address:
            _reach(address)
        self._log("info", "joining the cluster" if address else "starting a cluster")
        try:
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
            raise _no_cluster(address, _short(error)) from None
        self._take_logs()
        self._look_at_room(ray)

    def _take_logs(self) -> None:
        """Warnings of Ray's go to our log; what else it says does not."""
        for name in ("ray", "ray.serve"):
            logger = logging.getLogger(name)
            logger.handlers[:] = [LogHandler(self._log)]
            logger.propagate = False

    def _look_at_room(self, ray: Any) -> None:
        cores, each = ray.cluster_resources().get("CPU", 0), self._scaling.replica_cpus
        fitting = int(cores / each)
        if fitting < self._scaling.max_replicas:
            self._log("warning", "the cluster has room for fewer replicas", fitting=fitting)
        if fitting < self._scaling.min_replicas and self._ours:
            raise ServerError(
                f"Ray: expected {self._scaling.min_replicas} × {each:g} processor cores or more, "
                f"got {cores:g}; ask for less with --min-replicas or --replica-cpus"
            )

    def _start(self) -> int:
        """Start the proxies and the replicas; returns the port of the proxies."""
        from ray import serve
        from ray.serve.context import _get_global_client

        self._take_logs()  # of what was imported only now
        settings, wanted = self._settings, self._port
        serve.start(
            proxy_location="EveryNode",
            http_options={
                "host": settings.host,
                "port": wanted,
                "keep_alive_timeout_s": max(1, round(settings.idle_seconds)),
                **self._tls(),
            },
            logging_config={"log_level": "WARNING"},
            controller_options={"runtime_env": {"env_vars": {VARIABLE: IMPORT_PATH}}},
        )
        options = _get_global_client().http_config
        if (options.host, options.port) != (settings.host, wanted):
            # Serve ran already, with proxies of its own: they are the cluster's, not this tier's.
            raise ServerError(
                f"Ray: Serve listens on {options.host} port {options.port} of this cluster "
                "already, and can only be moved there by serve shutdown; give --host "
                f"{options.host} --port {options.port}, or deploy by dimec.serving.ray.deployment"
            )
        self._deploy(self._bundle)
        return int(options.port)

    def _tls(self) -> dict[str, str]:
        cert, key = self._settings.tls_cert, self._settings.tls_key
        if cert is None or key is None:
            return {}
        return {"ssl_certfile": str(cert.absolute()), "ssl_keyfile": str(key.absolute())}

    def _deploy(self, bundle: TierBundle) -> None:
        """Have a bundle served by all replicas."""
        from ray import serve
        from ray.serve.exceptions import RayServeException

        manifest = bundle.manifest
        self._log("info", "deploying", tier=manifest.tier, version=manifest.version)
        app = deployment(bundle.path, settings=self._settings, scaling=self._scaling)
        if bundle is self._bundle and self._name in serve.status().applications:
            self._log("info", "the cluster serves it already: taking it over")
        try:
            serve.run(app, name=self._name, route_prefix="/")
        except (RuntimeError, RayServeException) as error:
            raise ServerError(
                f"Ray: the tier is not served ({_short(self._trouble() or error)}); the replicas' "
                "logs say more, on their nodes in /tmp/ray/session_latest/logs"
            ) from None

    def _trouble(self) -> str:
        """What Ray says of replicas that do not start; empty where it says nothing."""
        from ray import serve

        app = serve.status().applications.get(self._name)
        if app is None:
            return ""
        deployed = app.deployments.get(self._bundle.manifest.tier)
        return (deployed.message if deployed else "") or app.message

    @property
    def _name(self) -> str:
        return f"dimec-{self._bundle.manifest.tier}"

    # While it runs

    def _renew(self) -> None:
        task = asyncio.get_running_loop().create_task(self._take())
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _take(self) -> None:
        """Serve what is on the disk now; what cannot be served is refused and logged."""
        async with self._renewing:
            try:
                bundle = await asyncio.to_thread(
                    TierBundle.open, self._bundle.path, self._bundle.manifest.tier
                )
                # A deployment that fails has ended the replicas of the one before.
                await asyncio.to_thread(try_out, bundle, self._settings)
                await asyncio.to_thread(self._deploy, bundle)
            except DimecError as error:
                self._log("error", "bundle refused", reason=str(error))
            except Exception as error:
                self._log("error", "bundle refused", **error_fields(error))
            else:
                self._bundle = bundle
                self._log("info", "bundle taken", version=bundle.manifest.version)

    # The end

    def _end(self) -> None:
        """Let the replicas finish, and leave the cluster as it was."""
        import ray
        from ray import serve

        if not ray.is_initialized():
            return
        with suppress(Exception):  # a cluster that is gone has nothing to be taken off
            serve.delete(self._name)
            if self._ours:
                serve.shutdown()
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises ServerError where nobody listens there: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # auto, or what Ray has to refuse
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from None


def _no_cluster(address: str | None, reason: str) -> ServerError:
    what = f"join the cluster at {address}" if address else "start a cluster"
    return ServerError(
        f"Ray: cannot {what} ({reason}); give the head of a running one with --ray-address, or "
        "leave it out for one of this machine alone"
    )


def _short(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line] or lines or ["it said nothing"]
    return shown(told[-1], 300)
