"""Everything but inference: health, metadata, configuration, statistics, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dimec.base.errors import quoted
from dimec.protocol import encode_error
from dimec.serving import describe
from dimec.serving.exchange import json_headers
from dimec.serving.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from dimec.bundle.manifest import TierManifest
    from dimec.serving.metrics import Metrics
    from dimec.serving.settings import ServerSettings

RouteHandler = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """The routes of one tier.

    Args:
        manifest: of the tier.
        settings: of its server.
        metrics: its counters.
        ready: whether it takes requests.
        changed: whether the bundle on the disk is no longer the one served.
    """

    def __init__(
        self,
        manifest: TierManifest,
        settings: ServerSettings,
        metrics: Metrics,
        ready: Callable[[], bool],
        changed: Callable[[], bool],
    ) -> None:
        self._manifest = manifest
        self._settings = settings
        self._metrics = metrics
        self._ready = ready
        self._changed = changed

    def routes(self) -> list[Route]:
        """All of them; paths and methods that are none of them are answered 404 and 405."""
        general = {
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._server_ready,
            "/metrics": self._render_metrics,
            "/v2/models/stats": self._stats,
        }
        model = {
            "": self._model,
            "/ready": self._model_ready,
            "/config": self._config,
            "/stats": self._stats,
        }
        found = [Route(path, handler, methods=["GET"]) for path, handler in general.items()]
        found.append(Route("/v2/repository/index", self._index, methods=["POST"]))
        for root in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            found += [
                Route(root + path, self._of_model(handler), methods=["GET"])
                for path, handler in model.items()
            ]
            # The tier's own go another way, see TierApp: here are those of models that are not.
            found.append(Route(f"{root}/infer", self._of_model(self._model), methods=["POST"]))
        return found

    def _of_model(self, handler: RouteHandler) -> RouteHandler:
        """The handler, for the one model and version that there is."""
        name, version = self._manifest.tier, self._manifest.version

        async def checked(request: Request) -> Response:
            asked = request.path_params
            if asked["model"] != name:
                raise HTTPException(404, f"unknown model; this server has {name!r}")
            if asked.get("version", version) != version:
                raise HTTPException(404, f"unknown version; this server has {name!r} {version}")
            return await handler(request)

        return checked

    async def _server(self, request: Request) -> Response:
        return json_response(describe.server_metadata())

    async def _live(self, request: Request) -> Response:
        return json_response({"live": True})

    async def _server_ready(self, request: Request) -> Response:
        return self._readiness({"ready": self._ready()})

    async def _model(self, request: Request) -> Response:
        return json_response(describe.model_metadata(self._manifest))

    async def _model_ready(self, request: Request) -> Response:
        return self._readiness({"name": self._manifest.tier, "ready": self._ready()})

    def _readiness(self, value: dict[str, Any]) -> Response:
        if self._changed():
            value["bundle"] = "changed on disk; what was loaded is served until SIGHUP"
        return json_response(value, 200 if self._ready() else 503)

    async def _config(self, request: Request) -> Response:
        return json_response(describe.model_configuration(self._manifest, self._settings.max_batch))

    async def _stats(self, request: Request) -> Response:
        return json_response(describe.statistics(self._manifest, self._metrics.totals))

    async def _index(self, request: Request) -> Response:
        return json_response(describe.repository_index(self._manifest, self._ready()))

    async def _render_metrics(self, request: Request) -> Response:
        return Response(self._metrics.render(), headers={"content-type": CONTENT_TYPE})


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON, with the digest that every answer has."""
    return _response(to_json(value), status)


async def refuse(request: Request, error: Exception) -> Response:
    """Starlette's refusals (404, 405) and failures (500) in Triton's form."""
    if not isinstance(error, HTTPException):
        return _response(encode_error("the server failed; its log says why"), 500)
    detail = error.detail
    if detail == "Not Found":
        detail = (
            f"unknown path; see /v2 and /v2/models/{{model}}, got {quoted(request.url.path, 200)}"
        )
    if error.status_code == 405:
        detail = f"expected {(error.headers or {}).get('Allow', 'another method')}"
    return _response(encode_error(detail), error.status_code, dict(error.headers or {}))


def _response(body: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    response = Response(body, status, headers)
    response.raw_headers.extend(json_headers(body))
    return response
