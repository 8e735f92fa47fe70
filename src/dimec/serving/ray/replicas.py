"""A tier as a deployment of Ray Serve: what each replica runs."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from dimec.base.errors import ConfigError, MissingExtraError
from dimec.bundle.folders import TierBundle
from dimec.serving.auth import BearerAuth
from dimec.serving.scaling import Scaling
from dimec.serving.settings import ServerSettings

if TYPE_CHECKING:
    from dimec.serving.app import TierApp

_HEALTH_SECONDS = 10.0  # between two looks at a replica, and what one may take
_STARTS = 3  # of a replica: what is wrong with a bundle stays so
_BESIDE = 64  # requests to a replica that are no inferences


@dataclass(frozen=True)
class Stand:
    """What a replica serves; travels to its node.

    Attributes:
        path: of the tier's folder, the same on every node.
        tier: its name.
        version: that every replica has to find there.
        settings: of the server.
    """

    path: Path
    tier: str
    version: str
    settings: ServerSettings

    def app(self, replica: str) -> TierApp:
        """The application, with its graph loaded.

        Args:
            replica: its name, which is in its log and its metrics.

        Raises:
            ConfigError: another version lies in the folder.
            ArtefactError: there is no bundle, or it cannot be used.
        """
        from dimec.serving.app import Place, create_app
        from dimec.serving.logs import JsonLog

        bundle = TierBundle.open(self.path, self.tier)
        if bundle.manifest.version != self.version:
            raise ConfigError(
                f"{self.path} on this node: expected version {self.version}, which the other "
                f"replicas serve, got {bundle.manifest.version}; give every node the same bundle, "
                "and deploy it anew to serve another"
            )
        log = JsonLog(self.settings.log_level, always={"replica": replica})
        return create_app(bundle, self.settings, log, Place(replica=replica))


def deployment(
    bundle: Path | str,
    tier: str | None = None,
    *,
    settings: ServerSettings | None = None,
    scaling: Scaling | None = None,
) -> Any:
    """A tier's application for Ray Serve: ``serve.run(deployment("bundles/mine", "edge"))``.

    Each replica loads the bundle from the same path, so every node needs it there: a shared file
    system, an image, or a copy. dimec has to be installed on every node. The token goes to the
    replicas with the settings: whoever may join the cluster can read it.

    Args:
        bundle: the bundle's folder, or with ``tier`` left out that of a tier.
        tier: which tier of it, any but the first.
        settings: limits, token and origins; where they name no threads, a replica has as many as
            cores are set aside for it. Address, TLS and the time that idle connections have are
            the proxies', and so are given to ``serve.start``.
        scaling: how many replicas there are; its address is ``ray.init``'s matter.

    Returns:
        A ``ray.serve.Application``.

    Raises:
        ConfigError: the first tier's bundle, or a token that no header can carry.
        ArtefactError: there is no bundle, or it cannot be used.
        MissingExtraError: a package of ``dimec[ray]`` is not installed.

    Example (not run, needs Ray):
        >>> from ray import serve  # doctest: +SKIP
        >>> from dimec.serving.ray import Scaling, deployment  # doctest: +SKIP
        >>> app = deployment(
        ...     "/srv/bundle", "cloud", scaling=Scaling(max_replicas=8)
        ... )  # doctest: +SKIP
        >>> serve.run(app, name="cloud")  # doctest: +SKIP
    """
    check_installed("dimec.serving.ray")
    from ray import serve

    settings, scaling = settings or ServerSettings(), scaling or Scaling()
    folder = Path(bundle).absolute()
    opened = TierBundle.open(folder / tier if tier else folder, tier)
    _refuse_first(opened)
    BearerAuth(None if settings.token is None else settings.token.get_secret_value())
    stand = Stand(
        opened.path.absolute(),
        opened.manifest.tier,
        opened.manifest.version,
        _in_replica(settings, scaling),
    )
    with catch_warnings():  # the other way to say how often load is told is the whole cluster's
        simplefilter("ignore", DeprecationWarning)
        deployed = serve.deployment(
            _replica(stand),
            name=stand.tier,
            ray_actor_options={"num_cpus": scaling.replica_cpus},
            autoscaling_config=scaling.autoscaling(),
            # The tier's own queue is the bound, and says so in its own words: what waits there and
            # what runs has to fit, and questions after its health besides.
            max_ongoing_requests=2 * settings.queue + _BESIDE,
            max_queued_requests=settings.queue,
            max_constructor_retry_count=_STARTS,
            graceful_shutdown_timeout_s=settings.drain,
            graceful_shutdown_wait_loop_s=min(1.0, max(settings.drain / 10, 0.1)),
            health_check_period_s=_HEALTH_SECONDS,
            health_check_timeout_s=_HEALTH_SECONDS,
        )
    return deployed.bind()


def _in_replica(settings: ServerSettings, scaling: Scaling) -> ServerSettings:
    """The settings of one replica, which is one process."""
    threads = settings.threads or scaling.replica_threads
    return settings.model_copy(update={"threads": threads, "workers": 1})


def _refuse_first(bundle: TierBundle) -> None:
    if bundle.manifest.is_first:
        raise ConfigError(
            f"{bundle.path} is the bundle of the {bundle.manifest.tier} tier, which answers "
            "through dimec predict; deploy another tier of it"
        )


def _replica(stand: Stand) -> Any:
    """The class of a replica, as Ray Serve takes it."""
    from ray import serve

    def build() -> Any:
        return stand.app(serve.get_replica_context().replica_id.unique_id)

    class Replica:
        app: TierApp  # of Ray's wrapper

        async def check_health(self) -> None:
            """Raise where the tier is not ready, so that Ray puts another replica in its place."""
            if (status := await readiness(self.app)) != 200:
                raise RuntimeError(f"expected readiness 200, got {status}")

    return serve.ingress(build)(Replica)


def try_out(bundle: TierBundle, settings: ServerSettings) -> None:
    """Load a bundle as a replica would, and let go of it.

    Raises:
        ConfigError: the first tier's bundle.
        ArtefactError: the graph, or a tokenizer of the tier's own, cannot be used.
    """
    one = settings.model_copy(update={"threads": 1, "workers": 1})
    manifest = bundle.manifest
    app = Stand(bundle.path, manifest.tier, manifest.version, one).app("")
    app.close()
    app.close_spans()


async def readiness(app: TierApp) -> int:
    """The status that an application gives to ``/v2/health/ready``."""
    found = 0

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal found
        found = message.get("status", found)

    path = "/v2/health/ready"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode("ascii"),
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    return found


def check_installed(purpose: str) -> None:
    """Whether the extra is there.

    Raises:
        MissingExtraError: names the package that is not.
    """
    for package in ("starlette", "prometheus_client", "ray", "ray.serve"):
        try:
            import_module(package)
        except ImportError:
            raise MissingExtraError(package, "ray", purpose) from None
