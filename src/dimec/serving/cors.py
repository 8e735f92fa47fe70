"""Cross-origin requests: which pages of the web a browser lets ask this server.

A browser hands a page the answer of another origin's server only where that server names the page's
origin, and asks beforehand, by a preflight (``OPTIONS``), whether it may send what is not plain, a
token or tensors (the Fetch standard, section "HTTP CORS protocol"). It is not a lock: who is no
browser may send any ``Origin``. The lock is the token, which a page has to send like everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from dimec.protocol import BINARY_HEADER, DIGEST_HEADER, RECEIVED_HEADER
from dimec.serving.exchange import HttpResponse, Scope, Send, error_response

_TRACED = ("X-Request-Id", "Traceparent")
_SENT = ("Authorization", "Content-Type", BINARY_HEADER, DIGEST_HEADER, *_TRACED)
# Clients take "Server" for a promise of digests, from the first answer on.
_READ = (BINARY_HEADER, DIGEST_HEADER, RECEIVED_HEADER, *_TRACED, "Retry-After", "Server")
_MAX_AGE = 600  # seconds that a browser may remember the answer to a preflight


class Cors:
    """Starlette's rules, for answers that go out in the form of all others.

    Args:
        origins: of the pages, see :mod:`dimec.serving.origins`; not empty.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._rules = CORSMiddleware(
            Response(status_code=404),  # an application has to stand there, and is never asked
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=_SENT,
            expose_headers=_READ,
            # Whoever names an origin means it for this server, wherever the server is.
            allow_private_network=True,
            max_age=_MAX_AGE,
        )

    def sender(self, scope: Scope, send: Send) -> Send:
        """``send``, with the headers that say which page may read the answer."""
        headers = Headers(scope=scope)
        if "origin" not in headers or _is_preflight(headers, scope):
            return send
        return partial(self._rules.send, send=send, request_headers=headers)

    def preflight(self, scope: Scope) -> HttpResponse | None:
        """The answer to a preflight, which shows no token; None where the request is none."""
        headers = Headers(scope=scope)
        if not _is_preflight(headers, scope):
            return None
        answer = self._rules.preflight_response(headers)
        said = [pair for pair in answer.raw_headers if pair[0].startswith((b"access-", b"vary"))]
        if answer.status_code == 200:
            return HttpResponse(200, b"", said)
        refused = bytes(answer.body).decode("ascii").removeprefix("Disallowed CORS ")
        return error_response(
            400,
            f"this server does not let a page ask so; refused: {refused}; the origins of pages "
            "are listed with --cors-origin",
            headers=said,
        )


def _is_preflight(headers: Headers, scope: Scope) -> bool:
    wanted = {"origin", "access-control-request-method"}
    return scope["method"] == "OPTIONS" and wanted <= set(headers.keys())
