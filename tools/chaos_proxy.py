"""A TCP proxy that behaves like a bad network: slow, narrow, cut off, corrupting, silent.

``python tools/chaos_proxy.py --to HOST:PORT --seed 0 --delay 20 --corrupt 0.01`` prints one JSON
line once it listens, ``{"event": "ready", "url": …, "port": …, "pid": …}``, and stops on SIGTERM,
SIGINT or the end of its standard input, with a last line of what it did. Each line of standard
input is a JSON object that changes settings from the next chunk on (``{"corrupt": 0.1}``) and is
answered with one line: ``{"event": "changed", …}``, the settings now, or ``{"event": "error", …}``.
Two more things can be asked for: ``{"stats": true}``, what was done so far, and ``{"cut": true}``,
a reset of every open connection. :class:`chaos_driver.ChaosProxy` does all that from Python.

As a link it delays each direction by ``delay`` ± ``jitter`` and lets its bytes leave at ``rate``,
one rate for all connections together, as they share one radio. Delay and rate are pipelined: bytes
sent together arrive a delay later together, however many they are. A new connection costs a round
trip before its first byte leaves (``setup``), since the handshake on this side of the link is
instant. What it does not emulate: loss, slow start, and the bytes of headers below TCP.

As a fault it acts on connections (``refuse``, ``blackhole``) or chunks (``drop``, ``truncate``,
``corrupt``, ``stall``), with probabilities drawn from one generator per connection and direction,
so that the same seed and the same chunks give the same faults.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import select
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from chaos_rules import DOWN, UP, Counts, Fate, Link, Settings, fate, handshake

_READ = 16 * 1024
_SEGMENT = 1460  # bytes that leave together where there is a rate
_QUEUE = 1024  # parts on their way; beyond it the sender has to wait

# A part of a chunk: when it arrives, its bytes, and how the direction ends behind it.
_Parts = asyncio.Queue[tuple[float, bytes, str | None]]


class _Ended(Exception):
    """The proxy itself ended the connection."""


class Pair:
    """A client's connection and the one to the server; bytes go both ways."""

    def __init__(
        self,
        proxy: Proxy,
        number: int,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.proxy = proxy
        self.number = number
        self.writers = (server[1], client[1])  # by direction: where its bytes go
        self.readers = (client[0], server[0])
        self.opened = proxy.clock()

    async def run(self) -> None:
        """Carry bytes until both ends have said all, or either is cut."""
        ways = [asyncio.ensure_future(self._carry(way)) for way in (UP, DOWN)]
        try:
            await asyncio.gather(*ways)
        except _Ended:
            pass  # and its connections are closed
        except OSError:
            self.end("reset")
        finally:
            for task in ways:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.end("close")

    def end(self, how: str) -> None:
        """Close both connections, orderly or by a reset."""
        for writer in self.writers:
            if how == "reset":
                abort(writer)
            else:
                writer.close()

    async def _carry(self, way: int) -> None:
        queue: _Parts = asyncio.Queue(_QUEUE)
        writing = asyncio.ensure_future(self._deliver(way, queue))
        reading = asyncio.ensure_future(self._take(way, queue))
        try:
            # Once either has failed or ended the connection, the other has nothing left to do.
            done, _ = await asyncio.wait((reading, writing), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _take(self, way: int, queue: _Parts) -> None:
        """Read chunks, decide on them, and queue them with the time at which they arrive."""
        proxy, rng = self.proxy, random.Random(f"{self.proxy.seed}/{self.number}/{way}")
        last = 0.0
        while True:
            try:
                chunk = await self.readers[way].read(_READ)
            except OSError:
                await queue.put((last, b"", "reset"))
                return
            settings, now = proxy.settings, proxy.clock()
            if settings.setup:
                now = max(now, self.opened + handshake(settings, way))
            drawn = fate(chunk, settings, way, rng, proxy.counts) if chunk else Fate(b"")
            proxy.counts.chunks += bool(chunk)
            flutter = settings.jitter[way] * rng.uniform(-1, 1)
            extra = max(0.0, settings.delay[way] + flutter) / 1000 + drawn.late
            size = _SEGMENT if settings.rate[way] else _READ
            for start in range(0, len(drawn.data), size):
                part = drawn.data[start : start + size]
                leaves = proxy.links[way].leaves(now, len(part), settings.rate[way])
                last = max(last, leaves + extra)  # TCP delivers in order, whatever the jitter
                await queue.put((last, part, None))
            if drawn.end or not chunk:
                await queue.put((max(last, now + extra), b"", drawn.end or "eof"))
                return

    async def _deliver(self, way: int, queue: _Parts) -> None:
        """Write what is queued when its time has come."""
        proxy, writer = self.proxy, self.writers[way]
        while True:
            due, data, end = await queue.get()
            if (wait := due - proxy.clock()) > 0:
                await asyncio.sleep(wait)
            if data:
                writer.write(data)
                await writer.drain()
                proxy.counts.bytes_up += len(data) if way == UP else 0
                proxy.counts.bytes_down += len(data) if way == DOWN else 0
            if end == "eof":
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if end:
                self.end(end)
                raise _Ended


class Proxy:
    """The listener and all that its connections share."""

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        self.settings = settings
        self.seed = seed
        self.counts = Counts()
        self.links = (Link(), Link())
        self.clock = asyncio.get_running_loop().time
        self._address = ("127.0.0.1", 0)
        self._keeper: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        # Bound for good and never listening, it keeps the port ours while connections are refused.
        self._keeper = _bound(host, port)
        self._address = self._keeper.getsockname()[:2]
        await self.change(self.settings)
        return self._address[1]

    async def change(self, settings: Settings) -> None:
        """Take new settings."""
        self.settings = settings
        if settings.listening and self._server is None:
            listener = _bound(*self._address)
            self._server = await asyncio.start_server(self._accept, sock=listener, backlog=1024)
        elif not settings.listening and self._server is not None:
            self._server.close()
            self._server = None

    async def cut(self) -> None:
        """Reset every open connection."""
        tasks = list(self._tasks)
        self.counts.cut += len(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        await self.cut()
        if self._keeper is not None:
            self._keeper.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.counts.connections
        self.counts.connections += 1
        task = asyncio.ensure_future(self._serve(number, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        rng = random.Random(f"{self.seed}/{number}")
        refuse, blackhole = rng.random(), rng.random()
        try:
            if refuse < self.settings.refuse:
                self.counts.refused += 1
                abort(writer)
            elif blackhole < self.settings.blackhole:
                self.counts.blackholed += 1
                while await reader.read(_READ):
                    pass
            else:
                await self._forward(number, reader, writer)
        except OSError:
            pass  # the client went away
        except asyncio.CancelledError:
            abort(writer)
        finally:
            writer.close()

    async def _forward(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            server = await asyncio.open_connection(*self.settings.address)
        except OSError:
            self.counts.unreachable += 1
            abort(writer)
            return
        pair = Pair(self, number, (reader, writer), server)
        try:
            await pair.run()
        except asyncio.CancelledError:
            pair.end("reset")
            raise


def abort(writer: asyncio.StreamWriter) -> None:
    """End a connection by a reset: the other end loses what it has not read."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio switches Nagle's algorithm off only where the socket says it is TCP;
    # with it, an answer in two writes would wait 40 ms for an acknowledgement in between.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


async def obey(proxy: Proxy, line: str) -> dict[str, Any]:
    """Do what one line of standard input asks for; returns the answer."""
    try:
        asked = json.loads(line)
        if not isinstance(asked, dict):
            raise ValueError(f"expected a JSON object, got {type(asked).__name__}")
        if asked == {"stats": True}:
            return {"event": "stats", **asdict(proxy.counts)}
        if asked == {"cut": True}:
            await proxy.cut()
            return {"event": "cut"}
        await proxy.change(Settings.model_validate({**proxy.settings.model_dump(), **asked}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return {"event": "error", "error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}
    except (ValueError, OSError) as error:
        return {"event": "error", "error": str(error)}
    return {"event": "changed", **proxy.settings.model_dump()}


async def run(settings: Settings, host: str, port: int, seed: int) -> None:
    """Be the proxy until told to stop."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lines.put_nowait, None)
    proxy = Proxy(settings, seed)
    port = await proxy.start(host, port)
    shown = f"[{host}]" if ":" in host else host
    ready = {"event": "ready", "url": f"http://{shown}:{port}", "port": port}
    say({**ready, "pid": os.getpid()})

    def listen() -> None:
        # A thread, because standard input may be a file or a terminal as well as a pipe.
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        with contextlib.suppress(RuntimeError):  # the loop was faster
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=listen, daemon=True).start()
    while (line := await lines.get()) is not None:
        if line.strip():
            say(await obey(proxy, line))
    await proxy.stop()
    say({"event": "stopped", **asdict(proxy.counts)})


class _Fine(selectors.DefaultSelector):
    """Waits to the microsecond, where epoll alone would round every delay up to a millisecond."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        select.select([self.fileno()], [], [], None if timeout is None else max(0, timeout))
        return super().select(0)


def _loop() -> asyncio.AbstractEventLoop:
    # The selector of epoll or kqueue is a file that can be waited for itself; others have none.
    fine = hasattr(selectors.DefaultSelector, "fileno")
    return asyncio.SelectorEventLoop(_Fine() if fine else selectors.DefaultSelector())


def say(event: dict[str, Any]) -> None:
    """One line on standard output, at once."""
    print(json.dumps(event), flush=True)


def _value(text: str) -> Any:
    """A setting from the command line: JSON, or ``UP,DOWN``, or a plain word."""
    for candidate in (text, f"[{text}]"):
        with contextlib.suppress(ValueError):
            return json.loads(candidate)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    for name in Settings.model_fields:
        option = f"--{name.replace('_', '-')}"
        # No JSON in an address: a port alone would be read as a number.
        kind = str if name == "to" else _value
        parser.add_argument(option, type=kind, default=argparse.SUPPRESS, required=name == "to")
    given = vars(parser.parse_args(arguments))
    host, port, seed = given.pop("host"), given.pop("port"), given.pop("seed")
    try:
        settings = Settings.model_validate(given)
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(run(settings, host, port, seed))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        print(f"chaos_proxy: {first['loc'][0]}: {first['msg']}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"chaos_proxy: cannot listen on {host}:{port}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
