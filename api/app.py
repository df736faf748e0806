"""The query API and its pages as one application."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import iter_route_contexts

from api import errors, models, observe, pages, parameters, service
from api.attempts import Logins
from api.audit import Audited
from api.guard import Guard, Trust
from api.head import HeadAsGet
from api.hosts import OwnHosts
from api.live import LiveFeed, Pace
from api.navigation import Navigation
from api.roles import NEEDED
from api.routes import Ground, Parts, doors, routers
from api.shared import Shared
from api.tokens import Tokens
from images.store import ImageStore
from projections.access import AccessKeys
from projections.passwords import Passwords
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
    404: {"model": models.Problem, "description": "There is nothing of this name"},
    422: {"model": models.Problem, "description": "A parameter cannot be used"},
}


def create_app(
    queries: SightingQueries,
    images: ImageStore,
    parts: Parts = Parts(),  # noqa: B008 (frozen)
    *,
    keys: AccessKeys | None = None,
    hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    tokens: Tokens | None = None,
    rate: float = 0.0,
    passwords: Passwords | None = None,
    pace: Pace = Pace(),  # noqa: B008 (frozen)
    trust: Trust = Trust(),  # noqa: B008 (frozen)
) -> FastAPI:
    """The application on a read model, a picture store and keys, which stay the caller's.

    Without ``keys`` everybody may ask, so it is to be served on loopback alone:
    ``app.state.authenticated`` tells the server. ``hosts`` are names it is called by besides
    localhost. ``cors_origins`` are the origins whose pages may read the API, such as
    ``https://gate.example``. ``app.state.feeds`` are the LiveFeeds, to be closed before the
    server waits for its connections to end. ``rate`` is how many requests a second a key may
    make, 0 for any number.
    """
    watching, intake, privacy = parts.watching, parts.intake, parts.privacy
    feeds = [LiveFeed(queries, pace)]
    if watching is not None:
        feeds.append(LiveFeed(watching.queries, pace, watching.queries.among))
    guard = Guard(keys, NEEDED, trust, tokens, rate)
    logins = None
    if keys is not None:
        logins = Logins(keys.users, passwords or Passwords(), guard.addresses, guard.names)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if intake is not None:
            intake.start()
        yield
        for one in (*feeds, watching and watching.backtests, intake, parts.whole):
            if one:
                one.close()

    app = FastAPI(
        title=TITLE,
        version=_version(),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # FastAPI's own route would not pass the guard
        dependencies=[Depends(one) for one in (guard, privacy) if one is not None],
        lifespan=lifespan,
        responses=_REFUSALS if keys else {code: _REFUSALS[code] for code in (404, 422)},
    )
    app.state.feeds = feeds
    app.state.authenticated = keys is not None
    places = Navigation(NEEDED, asks=keys is not None)
    rendered = pages.Pages(places)
    stats = Shared(queries.stats)
    answer = errors.install(app, rendered.error)
    if privacy is not None:  # within what counts answers, so that a refusal is counted as one
        app.add_middleware(Audited, privacy=privacy, refuse=answer)
    app.add_middleware(OwnHosts, names=hosts, numbers=keys is not None)
    metrics = observe.install(app, lambda: sum(one.listeners for one in feeds), images.origin)
    if parts.counted is not None:
        metrics.add(parts.counted)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET"],
            allow_headers=["Authorization", "X-API-Key"],
        )
    app.add_middleware(HeadAsGet)

    app.include_router(service.router(app, queries, stats, metrics, rendered, keys is not None))
    ground = Ground(queries, images, rendered, stats, feeds[0])
    for routes in (
        *doors(keys, logins, tokens, guard, rendered),
        *routers(ground, parts, feeds[-1] if watching else None),
    ):
        app.include_router(routes)
    places.serves({route.path for route in iter_route_contexts(app.routes)})
    return app


def _version() -> str:
    try:
        return version("ovr-alpr")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"
