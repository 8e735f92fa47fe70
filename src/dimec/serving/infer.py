"""Inference: a body within limits, checks, the queue, the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from dimec.serving.settings import ServerSettings
    from dimec.serving.tokenising import Tokeniser

_BINARY = BINARY_HEADER.lower().encode("ascii")
_BODY_UNREAD = (408, 413, 415)
_DIGEST = DIGEST_HEADER.lower().encode("ascii")


STOPPING = "the server is stopping; ask another one"


class _Stopped(Exception):
    """The server stops before a body was whole."""


class Inference:
    """Answers requests for inference.

    Args:
        manifest: of the tier.
        batcher: in front of its graph.
        settings: limits.
        tokeniser: of a tier that takes texts; None where it takes tokens.
    """

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
        self._reading: set[asyncio.Timeout] = set()
        self._stopped = False

    def stop(self) -> None:
        """Wait for no body any longer: requests that are not whole by now are answered 503."""
        self._stopped = True
        for timeout in self._reading:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    async def __call__(self, exchange: HttpExchange, receive: Receive) -> HttpResponse:
        """The answer to a request; whatever goes wrong is an answer too."""
        try:
            request = self._decode(exchange, await self._read_body(exchange, receive))
            entry = self._submit(exchange, request)
            probabilities = await self._wait(exchange, entry, receive)
            return self._response(request, probabilities)
        except ProtocolError as error:
            if error.status in _BODY_UNREAD and b"expect" in exchange.headers:
                exchange.closing = True  # nobody knows whether the body still comes
            return error_response(error.status, str(error))
        except Overloaded as error:
            return overloaded(f"the queue is full; {error}", error.retry_after)
        except DeadlinePassed:
            return error_response(
                504, "the deadline has passed before there was an answer", "deadline"
            )
        except (_Stopped, asyncio.CancelledError):  # of the latter only a drain is the cause
            exchange.closing = True
            return overloaded(STOPPING, 1)
        except Cancelled:
            return HttpResponse(CLIENT_GONE, b"", outcome="cancelled")
        except Exception as error:
            exchange.error = error_fields(error)
            return error_response(
                500, "the model failed on this request; the server's log says why"
            )

    async def _read_body(self, exchange: HttpExchange, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            ProtocolError: too large (413), too slow (408), or encoded (415).
            Cancelled: the client went away.
            _Stopped: the server stops, and waits no longer.
        """
        headers, limit = exchange.headers, self._settings.max_body
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise ProtocolError("content-encoding: expected none, send the body as it is", 415)
        too_large = ProtocolError(f"the body is longer than {limit} bytes; send fewer rows", 413)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit():
            raise ProtocolError("content-length: expected a whole number")
        if len(declared) > 18 or int(declared) > limit:
            raise too_large
        parts: list[bytes] = []
        size = 0
        timeout = asyncio.timeout(0 if self._stopped else self._settings.body_seconds)
        try:
            async with timeout:
                self._reading.add(timeout)
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Cancelled
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    if size > limit:
                        raise too_large
                    parts.append(part)
                    if not message.get("more_body", False):
                        return part if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            if self._stopped:
                raise _Stopped from None
            raise ProtocolError(
                f"the body did not arrive within {self._settings.body_seconds:g} s", 408
            ) from None
        finally:
            self._reading.discard(timeout)

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
            if entry.queued is not None and self._tokeniser is not None:
                exchange.tokenise_seconds = entry.queued - entry.submitted
            if entry.queued is not None and entry.begun is not None:
                exchange.queue_seconds = entry.begun - entry.queued
                exchange.batch_rows = entry.batch_rows

    def _response(self, request: InferRequest, probabilities: Probabilities) -> HttpResponse:
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
