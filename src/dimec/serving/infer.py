"""Inference: a body within limits, checks, the queue, the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from dimec.base.errors import ProtocolError
from dimec.bundle.manifest import TierManifest
from dimec.protocol import (
    BINARY_HEADER,
    DIGEST_HEADER,
    InferRequest,
    InferResponse,
    content_digest,
    decode_request,
    digest_matches,
    encode_response,
)
from dimec.serving.batching import Batcher
from dimec.serving.checks import OUTPUT, check_request, check_texts
from dimec.serving.entries import Cancelled, DeadlinePassed, Entry, Overloaded, Probabilities
from dimec.serving.exchange import CLIENT_GONE, HttpExchange, HttpResponse, Receive, error_response
from dimec.serving.logs import error_fields
from dimec.serving.spans import Course

if TYPE_CHECKING:
    from dimec.serving.settings import ServerSettings
    from dimec.serving.tokenising import Tokeniser

_BINARY = BINARY_HEADER.lower().encode("ascii")
_BODY_UNREAD = (408, 413, 415)
_DIGEST = DIGEST_HEADER.lower().encode("ascii")


STOPPING = "the server is stopping; ask another one"


class Reader(Protocol):
    """What waits for the rest of a body."""

    def give_up(self) -> None:
        """Wait no longer."""


class Stopped(Exception):
    """The server stops before a body was whole."""


class Inference:
    """Answers requests for inference.

    Args:
        manifest: of the tier.
        batcher: in front of its graph.
        settings: limits.
        tokeniser: of a tier that takes texts; None where it takes tokens.

    Attributes:
        body_seconds: how long a body may take to arrive.
        stopped: whether no body is waited for any longer.
        reading: who waits for one, beside the calls of this object.
        keep_course: whether exchanges are told when they were where.
    """

    keep_course = False

    def __init__(
        self,
        manifest: TierManifest,
        batcher: Batcher,
        settings: ServerSettings,
        tokeniser: Tokeniser | None = None,
    ) -> None:
        self._manifest = manifest
        self._batcher = batcher
        self._settings = settings
        self._tokeniser = tokeniser
        self._timeouts: set[asyncio.Timeout] = set()
        self.body_seconds = settings.body_seconds
        self.reading: set[Reader] = set()
        self.stopped = False

    def stop(self) -> None:
        """Wait for no body any longer: requests that are not whole by now are answered 503."""
        self.stopped = True
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())
        for reader in list(self.reading):
            reader.give_up()

    async def __call__(self, exchange: HttpExchange, receive: Receive) -> HttpResponse:
        """The answer to a request; whatever goes wrong is an answer too."""
        try:
            self.check_head(exchange)
            request, entry = self.take(exchange, await self._read_body(receive))
            return self.response(request, await self._wait(exchange, entry, receive))
        except (Exception, asyncio.CancelledError) as error:
            return self.failure(exchange, error)

    def failure(self, exchange: HttpExchange, error: BaseException) -> HttpResponse:
        """The answer where something went wrong on the way to another."""
        if isinstance(error, ProtocolError):
            if error.status in _BODY_UNREAD and b"expect" in exchange.headers:
                exchange.closing = True  # nobody knows whether the body still comes
            return error_response(error.status, str(error))
        if isinstance(error, Overloaded):
            return overloaded(f"the queue is full; {error}", error.retry_after)
        if isinstance(error, DeadlinePassed):
            return error_response(
                504, "the deadline has passed before there was an answer", "deadline"
            )
        cancelled = isinstance(error, asyncio.CancelledError)
        if isinstance(error, Stopped) or (cancelled and self.stopped):
            exchange.closing = True
            return overloaded(STOPPING, 1)
        # But for a drain, only servers of others' cancel, once the client has gone.
        if isinstance(error, Cancelled) or cancelled:
            return HttpResponse(CLIENT_GONE, b"", outcome="cancelled")
        exchange.error = error_fields(error)
        return error_response(500, "the model failed on this request; the server's log says why")

    def check_head(self, exchange: HttpExchange) -> None:
        """What the headers say of the body.

        Raises:
            ProtocolError: too large (413), or encoded (415).
        """
        headers = exchange.headers
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise ProtocolError("content-encoding: expected none, send the body as it is", 415)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise ProtocolError("content-length: expected a whole number")
        self.check_size(int(declared) if len(declared) <= 18 else self._settings.max_body + 1)

    def check_size(self, size: int) -> None:
        """Raises ProtocolError (413) where a body has too many bytes."""
        if size > (limit := self._settings.max_body):
            raise ProtocolError(f"the body is longer than {limit} bytes; send fewer rows", 413)

    def too_late(self) -> ProtocolError:
        """What a body comes to that is not whole in time."""
        return ProtocolError(f"the body did not arrive within {self.body_seconds:g} s", 408)

    async def _read_body(self, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            ProtocolError: too large (413), or too slow (408).
            Cancelled: the client went away.
            Stopped: the server stops, and waits no longer.
        """
        parts: list[bytes] = []
        size = 0
        timeout = asyncio.timeout(0 if self.stopped else self.body_seconds)
        try:
            async with timeout:
                self._timeouts.add(timeout)
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Cancelled
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    self.check_size(size)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return part if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise (Stopped() if self.stopped else self.too_late()) from None
        finally:
            self._timeouts.discard(timeout)

    def take(self, exchange: HttpExchange, body: bytes) -> tuple[InferRequest, Entry]:
        """Read a body, check and queue what it asks.

        Raises:
            ProtocolError: it asks for what there is not.
            Overloaded: the queue has no room.
        """
        request = self._decode(exchange, body)
        return request, self._submit(exchange, request)

    def _decode(self, exchange: HttpExchange, body: bytes) -> InferRequest:
        exchange.body_digest = content_digest(body)
        digest = exchange.headers.get(_DIGEST, b"").decode("latin-1")
        if digest != exchange.body_digest and not digest_matches(digest, body):
            raise ProtocolError(
                f"{DIGEST_HEADER}: the body is not the one that was sent; send it again"
            )
        length = exchange.headers.get(_BINARY)
        request = decode_request(body, None if length is None else length.decode("latin-1"))
        exchange.name_by(request.id)
        return request

    def _submit(self, exchange: HttpExchange, request: InferRequest) -> Entry:
        """Check a request and queue it."""
        most = self._settings.max_batch
        if self._tokeniser is not None:
            texts = check_texts(request, self._manifest, most)
            exchange.rows = len(texts)
            return self._tokeniser.submit(texts, request.timeout)
        rows = check_request(request, self._manifest, most)
        exchange.rows = len(rows.lengths)
        return self._batcher.submit(rows, request.timeout)

    async def _wait(self, exchange: HttpExchange, entry: Entry, receive: Receive) -> Probabilities:
        """The answer, unless the client goes away before it is there."""
        gone = asyncio.ensure_future(_gone(entry, receive))
        try:
            return await entry.answer
        finally:
            gone.cancel()
            self.note(exchange, entry)

    def note(self, exchange: HttpExchange, entry: Entry) -> None:
        """What is counted and logged of an entry's way through the queue."""
        if self.keep_course:
            exchange.course = Course.of(entry)
        if entry.queued is not None and self._tokeniser is not None:
            exchange.tokenise_seconds = entry.queued - entry.submitted
        if entry.queued is not None and entry.begun is not None:
            exchange.queue_seconds = entry.begun - entry.queued
            exchange.batch_rows = entry.batch_rows

    def response(self, request: InferRequest, probabilities: Probabilities) -> HttpResponse:
        """The answer that carries the probabilities, (B, C)."""
        manifest = self._manifest
        message = encode_response(
            InferResponse(manifest.tier, manifest.version, request.id, {OUTPUT: probabilities}),
            binary=request.binary,
        )
        headers = [
            (name.lower().encode("ascii"), value.encode("ascii"))
            for name, value in message.headers.items()
        ]
        return HttpResponse(200, message.body, headers)


def overloaded(text: str, retry_after: int) -> HttpResponse:
    """503 with the seconds after which there may be room."""
    return error_response(503, text, "overloaded", [(b"retry-after", b"%d" % retry_after)])


async def _gone(entry: Entry, receive: Receive) -> None:
    """Give an entry up once its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    entry.fail(Cancelled())
