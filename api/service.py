"""What there is here, whether it works, what was counted, and the reference."""

import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from starlette.responses import PlainTextResponse, Response

from api import models, pages, parameters, reference
from api.encode import Json
from api.errors import wants_page
from api.guard import COOKIE
from api.observe import HttpMetrics
from projections.errors import ViewError
from projections.queries import Row, SightingQueries

_log = logging.getLogger(__name__)

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def router(  # noqa: PLR0917 (what the whole application is made of)
    app: FastAPI,
    queries: SightingQueries,
    stats: Callable[[], Row],
    metrics: HttpMetrics,
    rendered: pages.Pages,
    asks: bool,
) -> APIRouter:
    """``/``, ``/health``, ``/metrics``, ``/docs`` and ``/openapi.json`` of an application.

    ``asks`` says whether it asks for keys.
    """
    routes = APIRouter(tags=["service"])

    @routes.get("/", response_model=None)
    def root(
        request: Request,
        q: Annotated[str | None, Query(max_length=parameters.MAX_TEXT)] = None,
        camera: Annotated[str | None, Query(max_length=200)] = None,
        retracted: bool = False,
        page: pages.Page = 1,
    ) -> Response:
        """For programs what there is here; for browsers the live page."""
        if wants_page(request):
            plate = parameters.text("q", q.strip() if q else None)
            at = parameters.text("camera", camera)
            return pages.live_page(
                queries, rendered, stats(), q=plate, camera=at, retracted=retracted, page=page
            )
        listed = {"name": app.title, "version": app.version, "endpoints": _endpoints(app)}
        return Json(listed, headers={"vary": "accept"})

    @routes.get(
        "/health",
        response_model=None,
        responses={200: {"model": models.HealthResponse}, 503: {"model": models.HealthResponse}},
    )
    def health() -> Response:
        """Whether the database can be asked; 503 where it cannot."""
        answers, detail = True, None
        try:
            queries.latest_change()
        except ViewError as error:
            _log.warning("unhealthy: %s", error)
            answers, detail = False, "the database cannot be reached, or holds no sightings' view"
        told = {
            "status": "healthy" if answers else "unhealthy",
            "database_connected": answers,
            "version": app.version,
            "detail": detail,
        }
        return Json(told, status_code=200 if answers else 503)

    @routes.get("/metrics", response_model=None, response_class=PlainTextResponse)
    def prometheus() -> Response:
        """What was counted and timed, here and by the flows, in Prometheus's text format."""
        return metrics.exposition()

    @routes.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return rendered.page("reference.html", endpoints=reference.endpoints(app.openapi()))

    @routes.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        told = app.openapi()
        if not asks:
            return Json(told)
        schemes = {"components": {**told["components"], "securitySchemes": _SCHEMES}}
        return Json({**told, **schemes, "security": [{name: []} for name in _SCHEMES]})

    return routes


def _endpoints(app: FastAPI) -> dict[str, str]:
    """Each path that can be asked, with what it is for, as OpenAPI has them."""
    paths: dict[str, Any] = app.openapi()["paths"]
    return {
        path: told["get"]["description"].split("\n")[0]
        for path, told in paths.items()
        if "get" in told
    }
