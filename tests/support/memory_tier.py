"""A tier in memory, behind a client's transport: no socket, any answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from dimec.client.tier_client import Endpoint
from dimec.protocol import (
    BINARY_HEADER,
    InferResponse,
    decode_request,
    encode_error,
    encode_response,
)
from support.wire import ROWS, VERSION, Client

Handler = Callable[[httpx2.Request], httpx2.Response]

ENDPOINT = Endpoint("edge", "http://tier.test", VERSION, 2, timeout=30.0, retries=2)


def right(request: httpx2.Request, **headers: str) -> httpx2.Response:
    """The right answer."""
    asked = decode_request(request.content, request.headers.get(BINARY_HEADER))
    response = InferResponse("edge", VERSION, asked.id, {"probabilities": ROWS})
    message = encode_response(response, binary=asked.binary)
    return httpx2.Response(200, headers={**message.headers, **headers}, content=message.body)


def bad(status: int, text: str = "because", **headers: str) -> httpx2.Response:
    """An answer that is an error."""
    return httpx2.Response(status, headers=headers, content=encode_error(text))


class Tier:
    """A tier in memory: gives its answers in turn, then right ones; notes what it was asked."""

    def __init__(self, *answers: httpx2.Response | Exception | Handler) -> None:
        self.left = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        given = self.left.pop(0) if self.left else right
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx2.Response) else given(request)

    def client(self, kind: str, endpoint: Endpoint = ENDPOINT, **options: Any) -> Client:
        """A client that asks it."""
        return Client(kind, endpoint, transport=httpx2.MockTransport(self), **options)
