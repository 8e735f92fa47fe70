"""Serving the live site of a bundle until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from dimec.base.errors import MissingArtefactError, ServerError
from dimec.bundle.manifest import GOLDEN
from dimec.serving.interrupts import sigterm_as_interrupt
from dimec.serving.listening import bind, taken
from dimec.serving.live.app import LiveSite
from dimec.serving.live.watching import TierWatch
from dimec.serving.local import LocalTiers
from dimec.web.site import Setup, site_files

HOST = "127.0.0.1"
# The same at every start: a browser finds its state and the files that it kept by host and port.
PORT = 8421
_LAST_WORDS = 3  # seconds for answers that are under way once it is told to stop
_EXAMPLES = 4


def serve_site(
    bundle: Path | str,
    *,
    port: int | None = None,
    log: Path | None = None,
    otel: bool = False,
    ready: Callable[[str, dict[str, str]], None],
) -> None:
    """Start every tier but the first, serve the site, and stop all on SIGTERM or Ctrl-C.

    Whichever comes before it can be asked raises KeyboardInterrupt, with everything stopped.

    Args:
        bundle: the folder that ``dimec export`` made.
        port: of the site; 0 takes any free one; None :data:`PORT`, or any where that is taken.
        log: file for the tiers' logs.
        otel: have the tiers make spans for OpenTelemetry.
        ready: called once all of it can be asked, with the page's address, which has the key in it,
            and the addresses of the tiers.

    Raises:
        ArtefactError: the bundle cannot be used, or dimec came without the files of a site.
        ServerError: the port is taken, or a server did not start.
    """
    files = site_files(bundle)
    if "index.html" not in files:
        raise MissingArtefactError("this dimec came without the page; install it again")
    with sigterm_as_interrupt(), listener_of(port) as listener:
        origin = f"http://{HOST}:{listener.getsockname()[1]}"
        token, key = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        with LocalTiers(bundle, token, log, (origin,), otel) as local:
            setup = Setup(local.urls, token, control=True, examples=_examples(Path(bundle)))

            def tell() -> None:
                ready(f"{origin}/#{key}", local.urls)

            asyncio.run(_serve(listener, files, setup, local, key, tell))


def listener_of(port: int | None) -> socket.socket:
    """A socket of the site that listens; see :func:`serve_site`.

    It listens before the tiers start, as two that are only bound may share a port.
    """
    if port is not None:
        return _listening(port)
    try:
        return _listening(PORT)
    except ServerError:
        return _listening(0)


def _listening(port: int) -> socket.socket:
    listener = bind(HOST, port)
    try:
        listener.listen()
    except OSError as error:
        listener.close()
        raise taken(HOST, port, error) from None
    return listener


async def _serve(
    listener: socket.socket,
    files: dict[str, bytes],
    setup: Setup,
    local: LocalTiers,
    key: str,
    ready: Callable[[], None],
) -> None:
    watch = TierWatch(local, setup.token)
    site = LiveSite(files, setup, watch, f"http://{HOST}:{listener.getsockname()[1]}", key)
    config = uvicorn.Config(
        site,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_WORDS,
    )
    server = _Server(config)

    def stop() -> None:
        site.closing.set()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    server.ready = ready
    try:
        await server.serve(sockets=[listener])
    finally:
        await watch.close()


class _Server(uvicorn.Server):
    """Leaves the signals to us: the tiers are to be stopped too, and in order."""

    ready: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()


def _examples(bundle: Path) -> list[Any]:
    """A few inputs of the bundle's golden vectors, which stay on this machine."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        inputs = json.loads((bundle / GOLDEN).read_text("utf-8"))["inputs"]
        texts = [one for one in inputs if one["of"] == "data"][:_EXAMPLES]
        return [one["text"] if one["pair"] is None else [one["text"], one["pair"]] for one in texts]
    return []
