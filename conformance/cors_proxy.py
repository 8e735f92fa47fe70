"""A proxy before a server that knows no cross-origin requests, as one stands before Triton.

It adds the headers that a browser wants, by the rules of dimec's own servers, and passes on all
else as it is, body and headers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import httpx2
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dimec.serving.cors import Cors

# Of one connection, not of the message; or made anew by whoever sends it on.
_HOP = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
}


class CorsProxy:
    """The application.

    Args:
        target: address of the server behind it.
        origins: of the pages that may ask.

    Attributes:
        passed: requests that were handed on, ``METHOD PATH``.
    """

    def __init__(self, target: str, origins: Sequence[str]) -> None:
        self._cors = Cors(origins)
        self._target = target
        self.passed: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        preflight = self._cors.preflight(scope)
        if preflight is not None:
            answer = Response(preflight.body, preflight.status)
            answer.raw_headers.extend(preflight.headers)
        else:
            answer = await self._handed_on(Request(scope, receive))
        await answer(scope, receive, self._cors.sender(scope, send))

    async def _handed_on(self, request: Request) -> Response:
        self.passed.append(f"{request.method} {request.url.path}")
        sent = [(k, v) for k, v in request.headers.items() if k not in _HOP]
        sent.append(("accept-encoding", "identity"))
        body = await request.body()
        url = f"{self._target}{request.url.path}"
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
            got = await client.request(request.method, url, headers=sent, content=body)
        answer = Response(got.content, got.status_code)
        own = [(k, v) for k, v in got.headers.raw if k.lower().decode() not in _HOP]
        answer.raw_headers.extend(own)
        return answer


@contextlib.contextmanager
def served(application: CorsProxy) -> Iterator[str]:
    """The address of the application while it is served on this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, lifespan="off", loop="asyncio", log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
