"""The query API and its pages as one application."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client.registry import Collector
from starlette.responses import Response

from api import (
    alerts,
    errors,
    events,
    history,
    login,
    models,
    observe,
    pages,
    parameters,
    pictures,
    reference,
    rules,
    watchlists,
)
from api.encode import Json
from api.guard import COOKIE, Guard, Trust
from api.head import HeadAsGet
from api.hosts import OwnHosts
from api.live import LiveFeed, Pace
from api.roles import NEEDED
from api.shared import Shared
from api.watching import Watching
from images.links import SignedLinks
from images.store import ImageStore
from projections.access import AccessKeys
from projections.errors import ViewError
from projections.queries import SightingQueries

_log = logging.getLogger(__name__)

TITLE = "ALPR Query API"
_DESCRIPTION = (
    "Sightings of number plates. Times are ISO 8601 in UTC; a time given without a zone is taken "
    f"as UTC. `limit` is at most {parameters.MAX_LIMIT}. Retracted sightings are left out unless "
    "`include_retracted=true`. Every failure is told as `{error, detail}`."
)

_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": models.Problem, "description": "A key is needed"},
    403: {"model": models.Problem, "description": "The key's role is not enough"},
    422: {"model": models.Problem, "description": "A parameter cannot be used"},
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def create_app(
    queries: SightingQueries,
    images: ImageStore,
    *,
    keys: AccessKeys | None = None,
    hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    pace: Pace = Pace(),  # noqa: B008 (frozen)
    trust: Trust = Trust(),  # noqa: B008 (frozen)
    counted: Collector | None = None,
    links: SignedLinks | None = None,
    watching: Watching | None = None,
) -> FastAPI:
    """The application on a read model, a picture store and keys, which stay the caller's.

    Without ``keys`` everybody may ask, so it is to be served on loopback alone:
    ``app.state.authenticated`` tells the server. ``hosts`` are names it is called by besides
    localhost. ``cors_origins`` are the origins whose pages may read the API, such as
    ``https://gate.example``. ``app.state.feeds`` are the LiveFeeds, to be closed before the
    server waits for its connections to end. ``counted`` is
    served at /metrics beside what is counted here. ``links`` are the signed links to pictures that
    are good without a key; without them none is. ``watching`` brings alerts, rules and watchlists;
    without it there are none.
    """
    feeds = [LiveFeed(one, pace) for one in (queries, watching and watching.queries) if one]
    feed = feeds[0]
    guard = Guard(keys, NEEDED, trust)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for one in (*feeds, watching and watching.backtests):
            if one:
                one.close()

    app = FastAPI(
        title=TITLE,
        version=_version(),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # FastAPI's own route would not pass the guard
        dependencies=[Depends(guard)],
        lifespan=lifespan,
        responses=_REFUSALS if keys else {422: _REFUSALS[422]},
    )
    app.state.feeds = feeds
    app.state.authenticated = keys is not None
    rendered = pages.Pages(watches=watching is not None)
    stats = Shared(queries.stats)
    app.add_middleware(OwnHosts, names=hosts, numbers=keys is not None)
    metrics = observe.install(app, lambda: sum(one.listeners for one in feeds), images.origin)
    if counted is not None:
        metrics.add(counted)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET"],
            allow_headers=["Authorization", "X-API-Key"],
        )
    app.add_middleware(HeadAsGet)
    errors.install(app, rendered.error)

    @app.get("/", response_model=None, tags=["service"])
    def root(
        request: Request,
        q: Annotated[str | None, Query(max_length=parameters.MAX_TEXT)] = None,
        camera: Annotated[str | None, Query(max_length=200)] = None,
        retracted: bool = False,
        page: pages.Page = 1,
    ) -> Response:
        """For programs what there is here; for browsers the live page."""
        if errors.wants_page(request):
            plate = parameters.text("q", q.strip() if q else None)
            at = parameters.text("camera", camera)
            return pages.live_page(
                queries, rendered, stats(), q=plate, camera=at, retracted=retracted, page=page
            )
        listed = {"name": TITLE, "version": app.version, "endpoints": _endpoints(app)}
        return Json(listed, headers={"vary": "accept"})

    @app.get(
        "/health",
        response_model=None,
        responses={200: {"model": models.HealthResponse}, 503: {"model": models.HealthResponse}},
        tags=["service"],
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

    @app.get("/metrics", response_model=None, tags=["service"])
    def prometheus() -> Response:
        """What was counted and timed, here and by the flows, in Prometheus's text format."""
        return metrics.exposition()

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return rendered.page("reference.html", endpoints=reference.endpoints(app.openapi()))

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:
        told = app.openapi()
        if keys is None:
            return Json(told)
        schemes = {"components": {**told["components"], "securitySchemes": _SCHEMES}}
        return Json({**told, **schemes, "security": [{name: []} for name in _SCHEMES]})

    app.include_router(login.router(keys, guard, rendered))
    app.include_router(events.router(queries, stats, feed))
    app.include_router(pages.router(queries, images, feed, rendered))
    app.include_router(pictures.router(images, links))
    if watching is not None:
        for routes in _watching(watching, queries, images, feeds[-1], rendered):
            app.include_router(routes)
    return app


def _watching(
    watching: Watching,
    queries: SightingQueries,
    images: ImageStore,
    feed: LiveFeed,
    rendered: pages.Pages,
) -> Iterator[APIRouter]:
    yield alerts.router(watching, queries, images, feed, rendered)
    if watching.backtests is not None:
        yield history.router(watching, watching.backtests, rendered)
    yield rules.router(watching, rendered)
    yield watchlists.router(watching, rendered)


def _endpoints(app: FastAPI) -> dict[str, str]:
    """Each path that can be asked, with what it is for, as OpenAPI has them."""
    paths: dict[str, Any] = app.openapi()["paths"]
    return {
        path: told["get"]["description"].split("\n")[0]
        for path, told in paths.items()
        if "get" in told
    }


def _version() -> str:
    try:
        return version("ovr-alpr")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"
