"""Starting a tier server, and stopping it without losing a request."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
from collections.abc import Callable
from email.utils import formatdate
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from dimec.base.errors import MissingExtraError
from dimec.bundle.folders import TierBundle
from dimec.serving.listening import announce, bind, tls_context
from dimec.serving.settings import ServerSettings
from dimec.serving.signals import Signals

if TYPE_CHECKING:
    from dimec.serving.connection import LimitedConnection
    from dimec.serving.doors import Doors
    from dimec.serving.logs import JsonLog
    from dimec.serving.standing import Standing
    from dimec.telemetry.spans import Spans

_NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client")
BACKLOG = 1024
LAST_WORDS = 2.0  # seconds that answers already written have to reach their clients


class Acceptor(Protocol):
    def close(self) -> None: ...


def serve(bundle: TierBundle, settings: ServerSettings, *, stop_with_stdin: bool = False) -> None:
    """Serve a tier until SIGTERM or SIGINT, then finish what was accepted and return.

    Once it can answer, one line of JSON goes to standard output: event, tier, url, version, pid.
    A second signal ends the process at once.

    Args:
        bundle: of an edge or cloud tier.
        settings: address, limits, token and TLS.
        stop_with_stdin: stop as on SIGTERM once standard input ends.

    Raises:
        ServerError: the address cannot be listened on.
        ConfigError: TLS files, token or bundle that cannot be used.
        ArtefactError: the graph cannot be used.
        MissingExtraError: a package of ``dimec[serve]`` is not installed, or for spans of
            ``dimec[otel]``.
    """
    for package in _NEEDED:
        _check_installed(package)
    if settings.otel:
        from dimec.telemetry.spans import check_environment

        check_environment(os.environ)
    from dimec.serving.logs import JsonLog

    context = tls_context(settings)
    listener = bind(settings.host, settings.port)
    log = JsonLog(settings.log_level)
    try:
        with listener:
            if settings.processes > 1:
                from dimec.serving.supervisor import Supervisor

                supervisor = Supervisor(bundle, settings, listener, log)
                asyncio.run(supervisor.run(stop_with_stdin))
                return
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                server = TierServer(bundle, settings, listener, context, log)
                runner.run(server.run(stop_with_stdin))
    finally:
        log.close()


class TierServer:
    """Accepts connections for a tier's application, and drains them.

    Args:
        bundle: of the tier.
        settings: of the server.
        listener: a bound socket, or what connections come by.
        context: for TLS, or None.
        log: for everything that happens.
    """

    def __init__(
        self,
        bundle: TierBundle,
        settings: ServerSettings,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        log: JsonLog,
    ) -> None:
        from uvicorn.server import ServerState

        self._bundle = bundle
        self._settings = settings
        self._listener = listener
        self._context = context
        self._log = log
        self._state = ServerState()
        self._standing: Standing | None = None
        self._spans: Spans | None = None
        self._renewals: set[asyncio.Task[None]] = set()

    async def run(self, stop_with_stdin: bool) -> None:
        """Start, announce, wait for the signal to stop, drain."""
        asyncio.get_running_loop().set_exception_handler(self._log_failure)
        with Signals(self._log, self._renew) as signals:
            if stop_with_stdin:
                signals.stop_with_stdin()
            await self._run(signals)

    async def _run(self, signals: Signals) -> None:
        loop = asyncio.get_running_loop()
        self._standing = app = self._stand()
        acceptor = await self._listen(loop, app)
        tasks = [loop.create_task(self._keep_date()), loop.create_task(app.watch())]
        # What is there now stays: collecting garbage need not look at it again.
        gc.collect()
        gc.freeze()
        await asyncio.sleep(0)  # a signal that came meanwhile is seen first
        try:
            if not signals.stop.is_set():
                self._announce()
            await signals.stop.wait()
            await self._drain(app, acceptor, signals.reason)
        finally:
            for task in tasks:
                task.cancel()
            app.close()
            if self._spans is not None:
                await asyncio.to_thread(self._spans.close)

    def _stand(self) -> Standing:
        from dimec.serving.app import Place
        from dimec.serving.standing import Standing

        connections, place = self._state.connections, Place(spans=self._open_spans())
        return Standing(self._bundle, self._settings, self._log, lambda: len(connections), place)

    def _open_spans(self) -> Spans | None:
        """What makes this process's spans, whatever bundles it serves; closed with it."""
        from dimec.serving.app import spans_of

        self._spans = spans_of(self._bundle.manifest, self._settings)
        if self._spans is not None:  # what the exporter has to complain about
            logging.getLogger("opentelemetry").addHandler(_library_log(self._log))
        return self._spans

    async def _listen(self, loop: asyncio.AbstractEventLoop, app: Standing) -> Acceptor:
        from dimec.serving.doors import Doors, TlsAcceptor

        doors = Doors(self._settings, app.record_refusal)
        make = self._speaker(app, doors)
        if self._context is not None:
            secure = (self._context, self._settings, doors, make)
            return TlsAcceptor(self._listener, BACKLOG, *secure)
        return await loop.create_server(make, sock=self._listener, backlog=BACKLOG)

    def _speaker(self, app: Standing, doors: Doors) -> Callable[[], LimitedConnection]:
        """What makes the protocol of a connection."""
        from uvicorn import Config

        from dimec.serving.connection import LimitedConnection

        handler = _library_log(self._log)
        config = Config(
            app,
            http=LimitedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=self._settings.idle_seconds,  # type: ignore[arg-type]  # any number
        )
        config.load()
        logging.getLogger("uvicorn").addHandler(handler)
        return lambda: LimitedConnection(config, self._state, self._settings, doors, app)

    async def _keep_date(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
            await asyncio.sleep(1)

    def _announce(self) -> None:
        port = self._listener.getsockname()[1]
        announce(self._settings, self._bundle.manifest, port, self._log)

    # Stopping

    def _renew(self) -> None:
        if self._standing is not None:
            task = asyncio.get_running_loop().create_task(self._standing.take())
            self._renewals.add(task)
            task.add_done_callback(self._renewals.discard)

    async def _drain(self, app: Standing, acceptor: Acceptor, reason: str) -> None:
        """Accept nothing more, finish what was accepted, close."""
        app.drain()
        acceptor.close()
        tasks = self._state.tasks
        self._log("info", "draining", reason=reason, requests=len(tasks))
        if not await _finished(tasks, self._settings.drain):
            self._log("warning", "drain took too long", requests=len(tasks))
            app.close()  # whatever waits is answered 503
            if not await _finished(tasks, LAST_WORDS):
                for task in tasks:
                    task.cancel()
        # Requests that were on their way are answered 503 rather than cut off.
        await asyncio.sleep(0.02)
        await _finished(tasks, LAST_WORDS)
        await self._close_connections()
        self._log("info", "stopped")

    async def _close_connections(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + LAST_WORDS
        for connection in list(self._state.connections):
            connection.shutdown()
        while self._state.connections and loop.time() < end:
            await asyncio.sleep(0.005)
        for connection in list(self._state.connections):
            connection.transport.abort()

    def _log_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        from dimec.serving.logs import error_fields

        error = context.get("exception")
        fields = error_fields(error) if isinstance(error, BaseException) else {}
        self._log("error", "event loop", message=str(context.get("message"))[:200], **fields)


async def _finished(tasks: set[asyncio.Task[None]], seconds: float) -> bool:
    """Whether all tasks, and those that come meanwhile, are done within so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while tasks and (left := end - loop.time()) > 0:
        await asyncio.wait(set(tasks), timeout=left, return_when=asyncio.FIRST_COMPLETED)
    return not tasks


def _check_installed(package: str) -> None:
    try:
        import_module(package)
    except ImportError:
        raise MissingExtraError(package, "serve", "dimec serve") from None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _library_log(log: JsonLog) -> logging.Handler:
    from dimec.serving.logs import LogHandler

    return LogHandler(log)
