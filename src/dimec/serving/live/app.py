"""The site of ``dimec up --web``: on this machine alone, with a key, and with the tiers at hand.

Whoever has the key, which is in the address that is printed and never sent to a server, is given
the tiers' token, sees what the servers do, and may stop and start them. The files themselves are no
secret: they are those of any site.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from dimec.base.errors import ServerError
from dimec.serving.live.watching import TierWatch
from dimec.web.site import SETUP, Setup, policy_of_content

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "wasm": "application/wasm",
}
EVENT_SECONDS = 1.0


class LiveSite:
    """The application.

    Args:
        files: path → content, of :func:`dimec.web.site.site_files`.
        setup: what the page is told, the addresses and the token of the tiers among it.
        watch: of the servers.
        origin: of the page, such as ``http://127.0.0.1:8080``.
        key: that is asked for.
    """

    def __init__(
        self, files: Mapping[str, bytes], setup: Setup, watch: TierWatch, origin: str, key: str
    ) -> None:
        self._files = dict(files)
        self._tags = {path: f'"{_digest(content)}"' for path, content in files.items()}
        self._setup = setup.to_json()
        self._watch = watch
        self._host = origin.partition("://")[2]
        self._key = key
        self._rules = {
            # The worker takes its own policy from its own headers, so every file has it.
            "Content-Security-Policy": policy_of_content(sorted(setup.tiers.values()))
            + "; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        response.headers.update(self._rules)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        # A page of another name that was pointed at this address (DNS rebinding) is not ours.
        if request.headers.get("host") != self._host:
            return _refusal(421, f"this is the site of http://{self._host}/ alone")
        path = request.url.path.removeprefix("/") or "index.html"
        if path in self._files and request.method in ("GET", "HEAD"):
            return self._file(path, request.headers)
        answer = self._private(path, request.method)
        if answer is None:
            return _refusal(404, "there is no such file; open the address that dimec up printed")
        if not self._has_key(request.headers):
            return _refusal(401, "the key is missing or wrong; open the address as it was printed")
        return await answer()

    def _file(self, path: str, headers: Headers) -> Response:
        content, tag = self._files[path], self._tags[path]
        about = {"ETag": tag, "Cache-Control": "no-cache"}
        if headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=about)
        kind = _TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        return Response(content, headers=about, media_type=kind)

    def _private(self, path: str, method: str) -> Callable[[], Awaitable[Response]] | None:
        """What answers a request that wants the key; None for no such thing."""
        if (method, path) == ("GET", SETUP):
            return self._told
        if (method, path) == ("GET", "events"):
            return self._events
        first, *rest = path.split("/")
        if method == "POST" and first == "tiers" and len(rest) == 2:
            tier, order = rest
            if tier in self._watch.tiers and order in ("stop", "start"):
                return lambda: self._ordered(tier, order)
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.encode("utf-8"), self._key.encode("utf-8"))
        return scheme.lower() == "bearer" and right

    async def _told(self) -> Response:
        about = {"Cache-Control": "no-store"}
        return Response(self._setup, headers=about, media_type="application/json")

    async def _ordered(self, tier: str, order: str) -> Response:
        try:
            await (self._watch.stop(tier) if order == "stop" else self._watch.start(tier))
        except ServerError as error:
            return _refusal(500, str(error))
        return JSONResponse(self._watch.state(tier))

    async def _events(self) -> Response:
        return StreamingResponse(
            self._telling(),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )

    async def _telling(self) -> AsyncIterator[bytes]:
        """An event a second, until the page or this process goes."""
        while not self.closing.is_set():
            tiers = await self._watch.look()
            told = json.dumps({"tiers": tiers, "at": round(time.time(), 3)})
            yield f"data: {told}\n\n".encode()
            try:
                await asyncio.wait_for(self.closing.wait(), EVENT_SECONDS)
            except TimeoutError:
                continue


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
