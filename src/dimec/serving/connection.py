"""One HTTP connection, within limits of size and time.

uvicorn parses and answers; what it leaves open is closed here: how long the headers of a request
may take and how many bytes they and the trailers may have, how long a client may take to read its
answer, what becomes of a body that is not wanted any more, and how many connections there may be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dimec.serving.direct import DirectCycle
from dimec.serving.doors import Welcome
from dimec.serving.exchange import bare_answer
from dimec.serving.flow import OneAtATime

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from dimec.serving.doors import Doors
    from dimec.serving.settings import ServerSettings
    from dimec.serving.standing import Standing

_LINGER = 2.0  # seconds in which bytes that nobody wants are read, so that an answer is not lost
_WORST_CHUNKING = 8  # bytes on the wire for one byte of a body, at most
_FRAMING = (b"content-length", b"transfer-encoding")
_NO_TRAILERS = (b"connection", b"proxy-connection", b"upgrade")
# Requests sent before the answers to earlier ones, at most: each costs memory while it waits.
_MOST_AHEAD = 64


class _Refused(Exception):
    """Raised inside the parser to stop it."""


class LimitedConnection(HttpToolsProtocol):
    """HTTP/1.1 with limits.

    A client that closes its side of the connection is taken to have gone: nothing tells it from
    one that has only finished sending.

    Args:
        config: uvicorn's.
        state: what the connections share.
        settings: the limits.
        doors: count who comes and goes, and what never became a request.
        standing: what answers inferences without the detour of ASGI.
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        settings: ServerSettings,
        doors: Doors,
        standing: Standing,
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self._settings = settings
        self._doors = doors
        self._standing = standing
        self._most_bytes = _WORST_CHUNKING * settings.max_body + settings.max_header
        self._refusal: tuple[int, str] | None = None
        self._in_headers = False
        self._in_body = False
        self._replayed = False  # whether a new parser is being told of headers that were read
        self._arrived = 0  # bytes of the headers, and then of the body, as they came
        self._parsed = 0  # bytes of complete headers and trailers
        self._barren = 0  # bytes since the last one of a body, as they came
        self._advanced = False  # whether headers or a body ended within the bytes at hand
        self._fruitful = False  # whether a part of a body was within the bytes at hand
        self._active: RequestResponseCycle | None = None  # the request being answered
        self._header_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # narrower in uvicorn
        self.flow = OneAtATime(self.transport, self.pipeline)
        match self._doors.admit(self):
            case Welcome.COME_IN:
                self._expect_headers()
            case Welcome.ONLY_TO_BE_TOLD:
                self._refuse(503, "too many connections; try again later")
            case Welcome.NOT_AT_ALL:
                self._refusal = (503, "")
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.leave(self)
        for timer in (self._header_timer, self._linger_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        # uvicorn tells the request read last, which need not be the one being answered.
        self.pipeline.clear()
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            return
        self._advanced = self._fruitful = False
        try:
            self._feed(data)
            if not self._advanced:
                # Parts of a header that is not complete are seen by nobody but the parser.
                self._arrived += len(data)
                self._check_size(self._arrived)
                if self._in_body and not self._fruitful:  # a trailer, or a chunk's extension
                    self._barren += len(data)
                    self._check_header_size(self._barren)
        except (httptools.HttpParserError, _Refused):
            self._refuse(*(self._refusal or (400, "this is not HTTP/1.1")))
        if self._in_headers or self._idle():
            self._expect_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self._settings.header_seconds, self.transport.abort
            )

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._replayed:
            return
        super().on_message_begin()
        self._in_headers = True
        self._arrived = self._parsed = self._barren = 0

    def on_url(self, url: bytes) -> None:
        if self._replayed:
            return
        self._parsed += len(url)
        self._check_header_size(self._parsed)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._replayed:
            return
        self._parsed += len(name) + len(value) + 4
        self._check_header_size(self._parsed)
        # What comes behind a body is no header: it must not override one that was acted on.
        if self._in_headers:
            super().on_header(name, value)
        elif name.lower() in _NO_TRAILERS:  # the parser would act on it, and on nothing after it
            self._refusal = (400, f"the header {name.decode('ascii')!r} came behind the body")
            raise _Refused

    def on_headers_complete(self) -> None:
        if self._replayed:
            self._replayed = False
            return
        self._check_head()
        self._in_headers = False
        self._in_body = self._advanced = True
        self._arrived = 0
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        if self._standing.app.takes_directly(self.parser.get_method(), self.url):
            self._take_directly()
        else:
            super().on_headers_complete()
        if not self.pipeline:
            self._active = self.cycle
        elif len(self.pipeline) > _MOST_AHEAD:
            self._refusal = (429, f"more than {_MOST_AHEAD} requests at once on a connection")
            raise _Refused

    def _take_directly(self) -> None:
        """What uvicorn does with headers, for an inference, see :mod:`dimec.serving.direct`."""
        version, path = self.parser.get_http_version(), self.url.decode("ascii")
        self.scope["method"], self.scope["http_version"] = "POST", version
        self.scope["path"], self.scope["raw_path"] = path, self.url
        self.scope["query_string"] = b""
        before = self.cycle
        self.cycle = cycle = DirectCycle(
            self._standing,
            self.scope,
            self.server_state,
            self.transport,
            self.flow,
            expect=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
            instead=self._start_usually,
        )
        if before is None or before.response_complete:
            cycle.start()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if isinstance(cycle, DirectCycle):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)

    def _start_usually(self, cycle: RequestResponseCycle) -> None:
        super()._start_asgi_task(cycle, self.app)

    def on_body(self, body: bytes) -> None:
        self._fruitful = True
        self._barren = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():  # the parser does not look for the body then
            return
        self._in_body = False
        self._advanced = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._active = following
        if self._in_headers and self._header_timer is not None:  # nothing was read meanwhile
            self._header_timer.cancel()
            self._header_timer = None
            self._expect_headers()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._linger()

    def _feed(self, data: bytes) -> None:
        """Parse bytes; an offer to speak another protocol behind a request is not taken up."""
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            # The parser takes whatever follows for that other protocol. A new one is told nothing
            # of the offer, and goes on with the body.
            kept = b"keep-alive" if self.parser.should_keep_alive() else b"close"
            head = [b"POST / HTTP/" + self.parser.get_http_version().encode("ascii")]
            head += [b"%b: %b" % header for header in self.headers if header[0] in _FRAMING]
            head += [b"connection: " + kept, b"", b""]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._replayed = True
            self.parser.feed_data(b"\r\n".join(head))

    # Limits

    def _check_head(self) -> None:
        """What every request must have (RFC 9112, section 3.2), and what none may ask for."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            found = "none" if not hosts else f"{hosts} of them"
            self._refusal = (400, f"expected one header 'Host', got {found}")
            raise _Refused
        if self.parser.get_method() == b"CONNECT":
            self._refusal = (400, "CONNECT: this is no proxy")
            raise _Refused

    def _idle(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self._in_body)

    def _check_header_size(self, size: int) -> None:
        if size > self._settings.max_header:
            limit = self._settings.max_header
            what = "the request line and headers" if self._in_headers else "headers and trailers"
            self._refusal = (431, f"{what} are longer than {limit} bytes")
            raise _Refused

    def _check_size(self, size: int) -> None:
        if self._in_headers:
            self._check_header_size(size)
        if size > self._most_bytes:
            self._refusal = (413, "the body is too long on the wire")
            raise _Refused

    def _expect_headers(self) -> None:
        """Give the headers of a request their time, from now on."""
        if self._header_timer is None and not self.transport.is_closing():
            seconds = self._settings.header_seconds
            self._header_timer = self.loop.call_later(seconds, self._headers_late)

    def _headers_late(self) -> None:
        self._header_timer = None
        if self._in_headers and not self._idle():
            self._expect_headers()  # of a next request, while the last one is being answered
        elif self._in_headers:
            self._refuse(408, f"no headers within {self._settings.header_seconds:g} s")
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Read on for a moment: closing at once would take the answer back from the client."""
        if self._linger_timer is None:
            self._linger_timer = self.loop.call_later(_LINGER, self.transport.close)

    def _refuse(self, status: int, text: str) -> None:
        """Answer what is no request, and take nothing more from this connection."""
        self._refusal = (status, text)
        self._doors.record_refusal(status)
        if self._in_body and self.pipeline:  # broken before its turn came
            self.pipeline.popleft()
            self._in_body = False
            if (last := self.pipeline[0][0] if self.pipeline else self._active) is not None:
                self.cycle = last
        cycle = self.cycle
        if not (cycle is None or cycle.response_complete):
            if not self._in_body:
                cycle.keep_alive = False  # requests before this one have their answers
                return
            cycle.disconnected = True  # the rest of its body will never come
            cycle.message_event.set()
        if cycle is not None and self._in_body and cycle.response_started:
            self.transport.close()  # there is an answer to it already
            return
        self.transport.write(bare_answer(self.server_state.default_headers, status, text))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._linger()
        else:
            self.transport.close()
