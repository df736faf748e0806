"""The query API and its pages as one application."""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import iter_route_contexts
from prometheus_client.registry import Collector

from api import (
    alerts,
    analytics,
    audit_page,
    cameras,
    corrections,
    dead_letters,
    errors,
    events,
    exports,
    forgetting,
    heat,
    history,
    ingest,
    issue,
    login,
    members,
    models,
    observe,
    pages,
    parameters,
    password,
    pictures,
    plates,
    reason,
    rules,
    search,
    service,
    sightings,
    subscriptions,
    system,
    watchlists,
)
from api.attempts import Logins
from api.audit import Audited, Privacy
from api.guard import Guard, Trust
from api.head import HeadAsGet
from api.hosts import OwnHosts
from api.intake import Intake
from api.live import LiveFeed, Pace
from api.navigation import Navigation
from api.roles import NEEDED
from api.shared import Shared
from api.tokens import Tokens
from api.watching import Watching
from images.links import SignedLinks
from images.store import ImageStore
from projections.access import AccessKeys
from projections.analytics import Analytics
from projections.finding import Finder
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
    422: {"model": models.Problem, "description": "A parameter cannot be used"},
}


def create_app(
    queries: SightingQueries,
    images: ImageStore,
    *,
    keys: AccessKeys | None = None,
    hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    tokens: Tokens | None = None,
    rate: float = 0.0,
    passwords: Passwords | None = None,
    pace: Pace = Pace(),  # noqa: B008 (frozen)
    trust: Trust = Trust(),  # noqa: B008 (frozen)
    counted: Collector | None = None,
    links: SignedLinks | None = None,
    watching: Watching | None = None,
    intake: Intake | None = None,
    people: exports.People | None = None,
    subscribing: subscriptions.Subscribing | None = None,
    desk: dead_letters.Desk | None = None,
    whole: system.System | None = None,
    privacy: Privacy | None = None,
    counts: Analytics | None = None,
    finder: Finder | None = None,
    forgettings: forgetting.Forgettings | None = None,
    placed: cameras.Cameras | None = None,
) -> FastAPI:
    """The application on a read model, a picture store and keys, which stay the caller's.

    Without ``keys`` everybody may ask, so it is to be served on loopback alone:
    ``app.state.authenticated`` tells the server. ``hosts`` are names it is called by besides
    localhost. ``cors_origins`` are the origins whose pages may read the API, such as
    ``https://gate.example``. ``app.state.feeds`` are the LiveFeeds, to be closed before the
    server waits for its connections to end. ``intake`` takes the reads of other programs; without
    it none is taken. ``counted`` is
    served at /metrics beside what is counted here. ``links`` are the signed links to pictures that
    are good without a key; without them none is. ``watching`` brings alerts, rules and watchlists;
    without it there are none. ``desk`` looks into dead letters, ``whole`` tells how the system is.
    ``privacy`` writes down who looks at plates, and hides them from who may not see them; without
    it neither is done. ``counts`` answers analytics; without it there are none. ``finder`` answers
    searches; without one ``queries`` do. ``forgettings`` forget plates; without them nobody can.
    ``placed`` tells of cameras; without it nothing does.
    """
    feeds = [LiveFeed(queries, pace)]
    if watching is not None:
        feeds.append(LiveFeed(watching.queries, pace, watching.queries.among))
    feed = feeds[0]
    guard = Guard(keys, NEEDED, trust, tokens, rate)
    logins = None
    if keys is not None:
        logins = Logins(keys.users, passwords or Passwords(), guard.addresses, guard.names)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if intake is not None:
            intake.start()
        yield
        for one in (*feeds, watching and watching.backtests, intake, whole):
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
        responses=_REFUSALS if keys else {422: _REFUSALS[422]},
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

    app.include_router(service.router(app, queries, stats, metrics, rendered, keys is not None))
    for routes in _doors(keys, logins, tokens, guard, rendered):
        app.include_router(routes)
    app.include_router(events.router(queries, stats, feed, finder))
    said = watching.people if watching is not None else None
    for routes in (
        search.router(queries, rendered, watching, finder),
        pages.router(queries, images, feed, rendered),
        sightings.router(queries, images, rendered, said),
        ingest.router(intake),
        exports.router(queries, images, people),
        subscriptions.router(subscribing),
    ):
        app.include_router(routes)
    for routes in _plates(forgettings, queries, watching, rendered):
        app.include_router(routes)
    app.include_router(pictures.router(queries, images, links))
    for routes in _audited(privacy, rendered):
        app.include_router(routes)
    if watching is not None:
        for routes in _watching(watching, queries, images, feeds[-1], rendered):
            app.include_router(routes)
    for routes in (*_inside(desk, whole, rendered), *_counted(counts, queries, rendered)):
        app.include_router(routes)
    if placed is not None:  # after what has an address of its own under /cameras
        app.include_router(cameras.router(placed, queries, images, rendered))
    places.serves({route.path for route in iter_route_contexts(app.routes)})
    return app


def _doors(
    keys: AccessKeys | None,
    logins: Logins | None,
    tokens: Tokens | None,
    guard: Guard,
    rendered: pages.Pages,
) -> Iterator[APIRouter]:
    yield login.router(keys, logins, guard, rendered)
    yield issue.router(logins, tokens)
    yield password.router(keys, logins, guard, rendered)
    yield members.router(keys, logins, rendered)


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
    if watching.people is not None:
        yield corrections.router(watching, watching.people, queries, rendered)


def _plates(
    forgettings: forgetting.Forgettings | None,
    queries: SightingQueries,
    watching: Watching | None,
    rendered: pages.Pages,
) -> Iterator[APIRouter]:
    if forgettings is not None:
        yield forgetting.router(forgettings, queries, rendered)
    yield plates.router(queries, rendered, watching)


def _audited(privacy: Privacy | None, rendered: pages.Pages) -> Iterator[APIRouter]:
    if privacy is None:
        return
    yield reason.router(rendered, required=privacy.reasons)
    if privacy.queries is not None:
        yield audit_page.router(privacy.queries, privacy.names, rendered, privacy.clock)


def _inside(
    desk: dead_letters.Desk | None, whole: system.System | None, rendered: pages.Pages
) -> Iterator[APIRouter]:
    if desk is not None:
        yield dead_letters.router(desk, rendered)
    if whole is not None:
        yield system.router(whole, rendered)


def _counted(
    counts: Analytics | None, queries: SightingQueries, rendered: pages.Pages
) -> Iterator[APIRouter]:
    if counts is not None:
        yield analytics.router(counts, queries, rendered)
        yield heat.router(counts, queries, rendered)


def _version() -> str:
    try:
        return version("ovr-alpr")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "0"
