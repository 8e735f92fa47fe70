"""What stands in each of Ray's HTTP proxies: answers in one form, whoever gives them.

Ray's proxy answers by itself where it has no replica, or loses one. Where a replica dies over a
request it sends 500 in plain text, which says that the tier has failed on this input, so that no
client asks again. Here that becomes 503 with ``Retry-After``: another replica will answer. All else
that the proxy says by itself gets the protocol's form.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from dimec.serving.exchange import SERVER, HttpResponse, Receive, Scope, Send, error_response
from dimec.serving.infer import overloaded
from dimec.serving.tracing import new_id

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.types import ASGIApp

Message = MutableMapping[str, Any]

# Ray's proxies call what this names when they start.
VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
IMPORT_PATH = "dimec.serving.ray.front.middlewares"

_LOST = "the replica that had this request is gone; ask again, another one will answer"
_BUSY = "no replica can take this request now; ask again"
_LATE = "no replica has answered in time"
_REQUEST_ID = b"x-request-id"
_OWN = b"/-/"  # paths of the proxy itself: its health, its routes


def middlewares() -> list[Middleware]:
    """For Ray Serve's proxies."""
    from starlette.middleware import Middleware

    return [Middleware(Front)]


class Front:
    """The application of a proxy, with its answers in the protocol's form.

    Args:
        app: of the proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].encode().startswith(_OWN):
            await self._app(scope, receive, send)
            return
        names = {name.lower() for name, _ in scope["headers"]}
        if _REQUEST_ID not in names:  # else Ray's proxy gives one of another form
            given = (_REQUEST_ID, new_id().encode("ascii"))
            scope = {**scope, "headers": [*scope["headers"], given]}
        begun = False
        instead: HttpResponse | None = None
        request_id = b""

        async def pass_on(message: Message) -> None:
            nonlocal begun, instead, request_id
            if message["type"] == "http.response.start":
                begun = True
                headers = _once(message["headers"])
                if (b"server", SERVER) not in headers:
                    instead = _in_form(message["status"], scope["path"])
                    request_id = dict(headers).get(_REQUEST_ID, b"")
                message = {**message, "headers": headers}
            if instead is None:
                await send(message)

        await self._app(scope, receive, pass_on)
        if not begun:
            instead = overloaded(_LOST, 1)
        if instead is not None:
            await _respond(send, instead, request_id)


def _once(headers: Any) -> list[tuple[bytes, bytes]]:
    """Headers without those that are there twice; the proxy repeats ``X-Request-Id``."""
    found: dict[tuple[bytes, bytes], None] = {}
    seen = set()
    for name, value in headers:
        name = bytes(name).lower()
        if name == _REQUEST_ID and name in seen:
            continue
        seen.add(name)
        found[(name, bytes(value))] = None
    return list(found)


def _in_form(status: int, path: str) -> HttpResponse:
    """What a proxy said by itself, as this tier would have said it."""
    if status in (429, 503):
        return overloaded(_BUSY, 1)
    if status == 408:
        return error_response(504, _LATE, "deadline")
    if status == 404:
        return error_response(404, "nothing is deployed at this path")
    return error_response(status, "the proxy failed on this request; Ray's log says why")


async def _respond(send: Send, response: HttpResponse, request_id: bytes) -> None:
    headers = [
        (b"server", SERVER),
        *([(_REQUEST_ID, request_id)] if request_id else []),
        *response.headers,
        (b"content-length", b"%d" % len(response.body)),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
