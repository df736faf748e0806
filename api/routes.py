"""Every route of the API, of those parts that a server has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastapi import APIRouter
from prometheus_client.registry import Collector

from api import (
    alerts,
    analytics,
    audit_page,
    cameras,
    corrections,
    dead_letters,
    events,
    exports,
    forgetting,
    heat,
    history,
    ingest,
    issue,
    login,
    members,
    pages,
    password,
    pictures,
    plates,
    reason,
    rules,
    search,
    sightings,
    subscriptions,
    system,
    watchlists,
)
from api.attempts import Logins
from api.audit import Privacy
from api.guard import Guard
from api.intake import Intake
from api.live import LiveFeed
from api.tokens import Tokens
from api.watching import Watching
from images.links import SignedLinks
from images.store import ImageStore
from projections.access import AccessKeys
from projections.analytics import Analytics
from projections.finding import Finder
from projections.queries import Row, SightingQueries


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server has beyond sightings and pictures; of what is None there is nothing.

    ``watching`` brings alerts, rules, watchlists, corrections; ``intake`` takes the reads of other
    programs; ``people`` puts what was said of sightings beside exports; ``subscribing`` keeps
    webhooks; ``desk`` looks into dead letters, ``whole`` tells how the system is. ``privacy``
    writes down who looks at plates, and hides them from who may not see them. ``counts`` answers
    analytics, ``finder`` searches (the queries do without one), ``forgettings`` forget plates,
    ``placed`` tells of cameras. ``links`` are the signed links to pictures that are good without a
    key; ``counted`` is served at /metrics beside what is counted here.
    """

    watching: Watching | None = None
    intake: Intake | None = None
    people: exports.People | None = None
    subscribing: subscriptions.Subscribing | None = None
    desk: dead_letters.Desk | None = None
    whole: system.System | None = None
    privacy: Privacy | None = None
    counts: Analytics | None = None
    finder: Finder | None = None
    forgettings: forgetting.Forgettings | None = None
    placed: cameras.Cameras | None = None
    links: SignedLinks | None = None
    counted: Collector | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What most routes stand on."""

    queries: SightingQueries
    images: ImageStore
    rendered: pages.Pages
    stats: Callable[[], Row]
    feed: LiveFeed


def doors(
    keys: AccessKeys | None,
    logins: Logins | None,
    tokens: Tokens | None,
    guard: Guard,
    rendered: pages.Pages,
) -> Iterator[APIRouter]:
    """The ways in."""
    yield login.router(keys, logins, guard, rendered)
    yield issue.router(logins, tokens)
    yield password.router(keys, logins, guard, rendered)
    yield members.router(keys, logins, rendered)


def routers(on: Ground, parts: Parts, alerts_feed: LiveFeed | None) -> Iterator[APIRouter]:
    """All others, in the order in which an address is looked up."""
    queries, images, rendered = on.queries, on.images, on.rendered
    watching = parts.watching
    yield events.router(queries, on.stats, on.feed, parts.finder)
    yield search.router(queries, rendered, watching, parts.finder)
    yield pages.router(queries, images, on.feed, rendered)
    said = watching.people if watching is not None else None
    yield sightings.router(queries, images, rendered, said)
    yield ingest.router(parts.intake)
    yield exports.router(queries, images, parts.people)
    yield subscriptions.router(parts.subscribing)
    if parts.forgettings is not None:
        yield forgetting.router(parts.forgettings, queries, rendered)
    yield plates.router(queries, rendered, watching)
    yield pictures.router(queries, images, parts.links)
    if parts.privacy is not None:
        yield from _audited(parts.privacy, rendered)
    if watching is not None and alerts_feed is not None:
        yield from _watching(on, watching, alerts_feed)
    yield from _inside(parts, queries, rendered)
    if parts.placed is not None:  # after what has an address of its own under /cameras
        yield cameras.router(parts.placed, queries, images, rendered)


def _watching(on: Ground, watching: Watching, feed: LiveFeed) -> Iterator[APIRouter]:
    yield alerts.router(watching, on.queries, on.images, feed, on.rendered)
    if watching.backtests is not None:
        yield history.router(watching, watching.backtests, on.rendered)
    yield rules.router(watching, on.rendered)
    yield watchlists.router(watching, on.rendered)
    if watching.people is not None:
        yield corrections.router(watching, watching.people, on.queries, on.rendered)


def _audited(privacy: Privacy, rendered: pages.Pages) -> Iterator[APIRouter]:
    yield reason.router(rendered, required=privacy.reasons)
    if privacy.queries is not None:
        yield audit_page.router(privacy.queries, privacy.names, rendered, privacy.clock)


def _inside(parts: Parts, queries: SightingQueries, rendered: pages.Pages) -> Iterator[APIRouter]:
    if parts.desk is not None:
        yield dead_letters.router(parts.desk, rendered)
    if parts.whole is not None:
        yield system.router(parts.whole, rendered)
    if parts.counts is not None:
        yield analytics.router(parts.counts, queries, rendered)
        yield heat.router(parts.counts, queries, rendered)
