"""One HTTP request and its response."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from dimec.__about__ import __version__
from dimec.protocol import DIGEST_HEADER, RECEIVED_HEADER, content_digest, encode_error
from dimec.serving.metrics import RequestOutcome
from dimec.serving.tracing import new_id, plain_id, trace_id

if TYPE_CHECKING:
    from dimec.serving.spans import Course

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SERVER = f"dimec/{__version__}".encode("ascii")
# What is logged and counted where the client had gone before there was a response; never sent.
CLIENT_GONE = 499

_RECEIVED = RECEIVED_HEADER.lower().encode("ascii")
_OUTCOMES: dict[int, RequestOutcome] = {401: "unauthorised", 404: "not_found", 503: "overloaded"}


@dataclass(frozen=True)
class HttpResponse:
    """What is sent back: status, body, and headers beyond those that every response has."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=list)
    outcome: RequestOutcome = "ok"


def error_response(
    status: int, text: str, outcome: RequestOutcome | None = None, headers: Headers | None = None
) -> HttpResponse:
    """An error in Triton's form, ``{"error": text}``.

    Args:
        status: of HTTP.
        text: for the client.
        outcome: None takes the one that goes with the status.
        headers: to be added.
    """
    body = encode_error(text)
    return HttpResponse(
        status, body, [*json_headers(body), *(headers or [])], outcome or outcome_of(status)
    )


def outcome_of(status: int) -> RequestOutcome:
    """The outcome that goes with a status where nothing more is known."""
    if status < 400:
        return "ok"
    return _OUTCOMES.get(status, "error" if status >= 500 else "invalid")


def json_headers(body: bytes) -> Headers:
    """Headers of a body that is JSON."""
    return [
        (b"content-type", b"application/json"),
        (DIGEST_HEADER.lower().encode("ascii"), content_digest(body).encode("ascii")),
    ]


def bare_answer(common: Headers, status: int, text: str) -> bytes:
    """The bytes of an answer to what is no request, an error, after which the connection ends.

    Args:
        common: headers of all answers.
        status: of HTTP.
        text: for the client.
    """
    body = encode_error(text)
    headers = [
        *common,
        (b"server", SERVER),
        *json_headers(body),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode("ascii"))]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class HttpExchange:
    """A request and what becomes of it while it is served, up to the response that is sent.

    Attributes:
        method: of HTTP.
        path: decoded.
        headers: in lower case; of those that are repeated, the last one.
        request_id: the client's, or a new one.
        trace: the W3C trace id, or None.
        begun: when the headers were complete, in seconds of the monotonic clock.
        queue_seconds: how long an inference waited; None where nothing was queued.
        tokenise_seconds: how long its texts took to become tokens; None where there were none.
        batch_rows: rows of the largest run that it had a part in.
        rows: of the request.
        error: fields that say what went wrong inside.
        closing: whether the connection ends with the response.
        body_digest: of the body as it arrived; "" where none was read.
        course: when an inference was where; None where nothing was queued, or nobody asks.
    """

    course: Course | None = None

    def __init__(self, scope: Scope, send: Send) -> None:
        self.begun = time.monotonic()
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._given_id = plain_id(self.headers.get(b"x-request-id"))
        self.request_id = self._given_id or ""
        self._traceparent = self.headers.get(b"traceparent")
        self.trace = trace_id(self._traceparent)
        self.queue_seconds: float | None = None
        self.tokenise_seconds: float | None = None
        self.batch_rows: int | None = None
        self.rows: int | None = None
        self.error: dict[str, Any] = {}
        self.closing = False
        self.body_digest = ""
        self._send = send

    def name_by(self, body_id: str) -> None:
        """Take the id that the body gives, unless a header has given one."""
        if self._given_id is None:
            self.request_id = plain_id(body_id.encode("utf-8")) or ""

    def seconds(self) -> float:
        """Since the headers were complete."""
        return time.monotonic() - self.begun

    def common_headers(self) -> Headers:
        """Headers that every response has."""
        self.request_id = self.request_id or new_id()
        headers = [(b"server", SERVER), (b"x-request-id", self.request_id.encode("ascii"))]
        if self.trace is not None and self._traceparent is not None:
            headers.append((b"traceparent", self._traceparent))
        if self.body_digest:
            headers.append((_RECEIVED, self.body_digest.encode("ascii")))
        if self.closing:
            headers.append((b"connection", b"close"))
        return headers

    async def respond(self, response: HttpResponse) -> None:
        """Send the response."""
        headers = [
            *self.common_headers(),
            *response.headers,
            (b"content-length", b"%d" % len(response.body)),
        ]
        await self._send(
            {"type": "http.response.start", "status": response.status, "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": response.body})
