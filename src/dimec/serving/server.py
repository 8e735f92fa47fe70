"""Starting a tier server, and stopping it without losing a request."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from dimec.base.errors import MissingExtraError
from dimec.bundle.folders import TierBundle
from dimec.serving.listening import bind, tls_context
from dimec.serving.settings import ServerSettings
from dimec.serving.terminal import has_terminal

if TYPE_CHECKING:
    from dimec.serving.logs import JsonLog
    from dimec.serving.standing import Standing

_NEEDED = ("starlette", "uvicorn", "httptools", "prometheus_client")
_BACKLOG = 1024
_LAST_WORDS = 2.0  # seconds that answers already written have to reach their clients


class _Acceptor(Protocol):
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
        MissingExtraError: a package of ``dimec[serve]`` is not installed.
    """
    for package in _NEEDED:
        _check_installed(package)
    from dimec.serving.logs import JsonLog

    context = tls_context(settings)
    listener = bind(settings.host, settings.port)
    log = JsonLog(settings.log_level)
    try:
        with listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            server = TierServer(bundle, settings, listener, context, log)
            runner.run(server.run(stop_with_stdin))
    finally:
        log.close()


class TierServer:
    """Accepts connections for a tier's application, and drains them.

    Args:
        bundle: of the tier.
        settings: of the server.
        listener: a bound socket.
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
        self._stop = asyncio.Event()
        self._standing: Standing | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self._terminal = has_terminal()
        self._stopping_for = ""
        self._signalled = False

    async def run(self, stop_with_stdin: bool) -> None:
        """Start, announce, wait for the signal to stop, drain."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._log_failure)
        self._handle_signals(loop)
        try:
            await self._run(loop, stop_with_stdin)
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                with suppress(NotImplementedError):  # Windows
                    loop.remove_signal_handler(number)

    async def _run(self, loop: asyncio.AbstractEventLoop, stop_with_stdin: bool) -> None:
        if stop_with_stdin:
            _when_stdin_ends(lambda: loop.call_soon_threadsafe(self._ask_to_stop, "stdin ended"))
        from dimec.serving.standing import Standing

        connections = self._state.connections
        app = Standing(self._bundle, self._settings, self._log, lambda: len(connections))
        self._standing = app
        acceptor = await self._listen(loop, app)
        tasks = [loop.create_task(self._keep_date()), loop.create_task(app.watch())]
        # What is there now stays: collecting garbage need not look at it again.
        gc.collect()
        gc.freeze()
        await asyncio.sleep(0)  # a signal that came meanwhile is seen first
        try:
            if not self._stop.is_set():
                self._announce()
            await self._stop.wait()
            await self._drain(app, acceptor)
        finally:
            for task in tasks:
                task.cancel()
            app.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop, app: Standing) -> _Acceptor:
        from uvicorn import Config

        from dimec.serving.connection import LimitedConnection
        from dimec.serving.doors import Doors, TlsAcceptor

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
        doors = Doors(self._settings, app.record_refusal)

        def make() -> LimitedConnection:
            return LimitedConnection(config, self._state, self._settings, doors)

        if self._context is not None:
            secure = (self._context, self._settings, doors, make)
            return TlsAcceptor(self._listener, _BACKLOG, *secure)
        return await loop.create_server(make, sock=self._listener, backlog=_BACKLOG)

    async def _keep_date(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]
            await asyncio.sleep(1)

    def _announce(self) -> None:
        settings, manifest = self._settings, self._bundle.manifest
        # The name that was given, since a certificate may be for a name.
        host, port = settings.host, self._listener.getsockname()[1]
        scheme = "http" if self._context is None else "https"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        ready = {"event": "ready", "tier": manifest.tier, "url": url, "version": manifest.version}
        if not settings.loopback and (self._context is None or settings.token is None):
            missing = [
                name
                for name, given in (("TLS", self._context), ("a token", settings.token))
                if given is None
            ]
            self._log(
                "warning",
                f"OPEN TO THE NETWORK WITHOUT {' OR '.join(missing).upper()}: anybody who reaches "
                f"{url} can read or ask; give --tls-cert, --tls-key and --token-file",
            )
        self._log("info", "ready", **{k: v for k, v in ready.items() if k != "event"})
        print(json.dumps({**ready, "pid": os.getpid()}), flush=True)

    # Stopping

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda n, _: loop.call_soon_threadsafe(self._on_signal, n))

        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup's
            loop.add_signal_handler(hangup, self._on_hangup, loop)

    def _on_hangup(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._terminal and not has_terminal():
            self._ask_to_stop("the terminal closed")
        elif self._standing is not None and not self._stop.is_set():
            task = loop.create_task(self._standing.take())
            self._renewals.add(task)
            task.add_done_callback(self._renewals.discard)

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        # Counted apart from the end of standard input: a parent that dies may well cause both.
        if self._signalled:
            self._log("warning", "stopped at once", signal=name)
            self._log.close()
            os._exit(128 + number)
        self._signalled = True
        self._ask_to_stop(name)

    def _ask_to_stop(self, reason: str) -> None:
        self._stopping_for = self._stopping_for or reason
        self._stop.set()

    async def _drain(self, app: Standing, acceptor: _Acceptor) -> None:
        """Accept nothing more, finish what was accepted, close."""
        app.drain()
        acceptor.close()
        tasks = self._state.tasks
        self._log("info", "draining", reason=self._stopping_for, requests=len(tasks))
        if not await _finished(tasks, self._settings.drain):
            self._log("warning", "drain took too long", requests=len(tasks))
            app.close()  # whatever waits is answered 503
            if not await _finished(tasks, _LAST_WORDS):
                for task in tasks:
                    task.cancel()
        # Requests that were on their way are answered 503 rather than cut off.
        await asyncio.sleep(0.02)
        await _finished(tasks, _LAST_WORDS)
        await self._close_connections()
        self._log("info", "stopped")

    async def _close_connections(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _LAST_WORDS
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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _library_log(log: JsonLog) -> logging.Handler:
    from dimec.serving.logs import LogHandler

    return LogHandler(log)


def _when_stdin_ends(call: Callable[[], object]) -> None:
    """Call from a thread once nobody holds the other end of standard input any more."""

    def watch() -> None:
        try:
            # None where it was closed from the start; number 0 is then another file's.
            while sys.stdin is not None and os.read(0, 4096):
                pass
        finally:
            call()

    threading.Thread(target=watch, name="stdin", daemon=True).start()
