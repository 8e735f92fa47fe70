"""A server that speaks HTTP byte by byte, so that it can also speak it wrongly.

An attack is a function of what was asked that yields the bytes of the answer, without end if it
likes; the connection closes behind them. ``honest`` is the attack that is none.
"""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.protocol import (
    RECEIVED_HEADER,
    InferRequest,
    InferResponse,
    content_digest,
    decode_request,
    encode_response,
)

Attack = Callable[["Asked"], Iterator[bytes]]


@dataclass(frozen=True, eq=False)
class Asked:
    """A request as it came, and what a decent server would answer."""

    line: str
    headers: Mapping[str, str]
    request: InferRequest
    digest: str
    model: str
    version: str
    probabilities: npt.NDArray[np.float32]

    def response(self, **changes: Any) -> InferResponse:
        """The decent response, with changes."""
        values: dict[str, Any] = {
            "model": self.model,
            "version": self.version,
            "id": self.request.id,
            "outputs": {"probabilities": self.probabilities},
        }
        return InferResponse(**{**values, **changes})


def http(body: bytes, headers: Mapping[str, str] | None = None, status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    lines = {"Server": "dimec/1", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def answer(asked: Asked, headers: Mapping[str, str] | None = None, **changes: Any) -> bytes:
    """The decent answer as bytes, with changes to its fields or its headers."""
    message = encode_response(asked.response(**changes), binary=True)
    confirmed = {RECEIVED_HEADER: asked.digest}
    return http(message.body, {**message.headers, **confirmed, **(headers or {})})


def honest(asked: Asked) -> Iterator[bytes]:
    """What a decent server answers."""
    yield answer(asked)


class HostileServer:
    """Answers inference requests on a real socket by an attack.

    Args:
        tier, version: what it says it is.
        attack: may be changed at any time.

    Attributes:
        url: where it listens.
        asked: how many whole requests it got.
        connections: how many connections it got.
        sent: bytes that it could get rid of.
    """

    def __init__(self, tier: str, version: str, attack: Attack = honest) -> None:
        self.tier, self.version, self.attack = tier, version, attack
        self.probabilities = np.array([[0.125, 0.875]], np.float32)
        self.asked = self.connections = self.sent = 0
        self._stopped = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                try:
                    while outer._serve(self):
                        pass
                except (OSError, ValueError):
                    pass  # the other end has had enough

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, handler: socketserver.StreamRequestHandler) -> bool:
        """One request; whether another may follow on this connection."""
        line = handler.rfile.readline().decode("latin-1").strip()
        if not line:
            return False
        headers: dict[str, str] = {}
        while header := handler.rfile.readline().decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = handler.rfile.read(int(headers.get("content-length", "0")))
        request = decode_request(body, headers.get("inference-header-content-length"))
        self.asked += 1
        attack = self.attack
        what = (request, content_digest(body), self.tier, self.version, self.probabilities)
        asked = Asked(line, headers, *what)
        for piece in attack(asked):
            if self._stopped.is_set():
                return False
            handler.wfile.write(piece)
            self.sent += len(piece)
        return attack is honest


def slowly(data: bytes, seconds: float = 0.05) -> Iterator[bytes]:
    """A byte at a time."""
    for position in range(len(data)):
        yield data[position : position + 1]
        time.sleep(seconds)
