"""Search for people: a plate half remembered, every filter in the address, pages by cursor."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from api import asked as asking
from api import models, paging, parameters, search_view
from api.encode import Json
from api.errors import BadInput, wants_page
from api.pages import Pages
from api.watching import Watching
from projections.finding import Finder, PlainFinder
from projections.queries import Row, Search, SightingQueries
from projections.veil import lifted, veil
from rules.alerts.watch_entry import KINDS, MATCHES
from rules.pseudonym import pseudonym_of
from rules.text import normalise
from rules.wildcard import is_pattern

PER_PAGE = 40
COUNTED = 1_000
"""Sightings counted at most: beyond, people narrow a search down, and counting takes its time."""

LOOKS = ("", "plate", "near1", "near2", "alike", "words")
WITHIN = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_OWN = ("q", "looks", "within", "cursor")
_SHORTEST = 4  # of three characters every third plate is near


@dataclass(frozen=True, slots=True)
class Step:
    """One way to understand what was typed: a name, and what is searched for then.

    ``words`` is set where the text is looked for in everything.
    """

    name: str
    search: Search
    words: str = ""


class FoundResponse(BaseModel):
    """What a search by `q` found. `how` says what `q` was taken for: `everything`, `pattern`,
    `plate`, `beginning`, `near1`, `near2`, `alike` or `words`; `found` counts to 1,000.
    """

    how: str
    found: int
    more: bool
    next_cursor: str | None
    events: list[models.EventResponse]


def router(
    queries: SightingQueries,
    pages: Pages,
    watching: Watching | None,
    finder: Finder | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """``/search``."""
    routes = APIRouter(tags=["sightings"])
    finder = finder or PlainFinder(queries)

    @routes.get("/search", response_model=None, responses={200: {"model": FoundResponse}})
    def search(request: Request) -> Response:
        """Sightings by a plate that may be half remembered (`q`), and every filter of
        `/events/search`.

        `q` is looked for exactly, then as a beginning, then one and two characters off, then as
        words, until something is found; `looks` (`plate`, `near1`, `near2`, `alike`, `words`) says
        as what instead. `within` is `1h`, `24h`, `7d` or `30d`.
        """
        given = request.query_params
        wanted, retracted = asking.asked(request, *_OWN)
        q, looks = _typed(given)
        if wanted.start is None and (span := _within(given.get("within"))):
            wanted = replace(wanted, start=clock() - span)
        cursor = given.get("cursor")
        # The moment that "within" stands for moves on, and a cursor is of one search.
        since = given.get("start_time") or given.get("within")
        tried: list[str] = []
        rows: list[Row] = []
        steps = list(_steps(q, looks, wanted, retracted))
        step = steps[-1]
        for step in [_gone_on(steps, cursor, since)] if cursor else steps:
            after = paging.read_cursor(cursor, 0, *_of(step, since))
            rows = _find(finder, step, PER_PAGE + 1, retracted, after)
            if rows:
                break
            tried.append(step.name)
        more = len(rows) > PER_PAGE
        rows = rows[:PER_PAGE]
        next_cursor = paging.next_cursor(rows, PER_PAGE, *_of(step, since)) if more else None
        found = len(rows)
        if more or cursor:
            with lifted():  # they are counted, and told to nobody
                found = len(_find(finder, step, COUNTED, retracted))
        told = {"how": step.name, "found": found, "more": more, "next_cursor": next_cursor}
        if not wants_page(request):
            return Json({**told, "events": rows})
        shown = [search_view.hit(row, q, step.name) for row in rows]
        single = {hit.card.text for hit in shown}
        return pages.page(
            "search.html",
            q=q,
            looks=looks,
            given=_shown(given),
            hits=shown,
            tried=tried,
            counted=COUNTED,
            first=cursor is None,
            next=_address(request, cursor=next_cursor) if next_cursor else None,
            plain=_plain(step, retracted),
            widened=_widened(request, q),
            filters=_filters(request),
            address=lambda **changed: _address(request, cursor=None, **changed),
            choices=_choices(queries, watching),
            only=single.pop() if len(single) == 1 and not more else None,
            kinds=KINDS,
            matches=MATCHES,
            lists=_lists(watching),
            watching=watching is not None,
            **told,
        )

    return routes


def _typed(given: Mapping[str, str]) -> tuple[str, str]:
    q = (parameters.text("q", given.get("q")) or "").strip()
    looks = given.get("looks") or ""
    if len(q) > parameters.MAX_TEXT:
        raise BadInput(f"q is longer than {parameters.MAX_TEXT} characters: shorten it")
    if looks not in LOOKS:
        raise BadInput(f"looks={looks[:80]!r} is none: use one of {', '.join(LOOKS[1:])}")
    return q, looks


def _within(text: str | None) -> timedelta | None:
    if not text:
        return None
    if text not in WITHIN:
        raise BadInput(f"within={text[:80]!r} is none: use one of {', '.join(WITHIN)}")
    return WITHIN[text]


def _steps(q: str, looks: str, wanted: Search, retracted: bool) -> Iterator[Step]:
    """The ways to understand ``q``, the likeliest first; one where ``looks`` says which."""
    plate = normalise(q)
    if not q:
        yield Step("everything", wanted)
    elif pseudonym := pseudonym_of(q):
        yield Step("plate", replace(wanted, plate=pseudonym))
    elif is_pattern(q):
        yield Step("pattern", replace(wanted, plate=q, confusable=looks == "alike"))
    elif looks == "words" or not plate:
        yield Step("words", wanted, q)
    elif looks:
        edits = {"near1": 1, "near2": 2}.get(looks)
        if edits:
            yield Step(looks, replace(wanted, near=plate, edits=edits))
        else:
            yield Step(looks, replace(wanted, plate=plate, confusable=looks == "alike"))
    else:
        yield Step("plate", replace(wanted, plate=plate))
        if veil() is not None:  # the rest would let plates be guessed
            return
        yield Step("beginning", replace(wanted, plate=f"{plate}*"))
        if len(plate) >= _SHORTEST:
            yield Step("near1", replace(wanted, near=plate, edits=1))
            yield Step("near2", replace(wanted, near=plate, edits=2))
        if len(plate) > 1:
            yield Step("within", replace(wanted, plate=f"*{plate}*"))
        if wanted == Search() and not retracted:
            yield Step("words", wanted, q)


def _of(step: Step, since: str | None) -> tuple[object, ...]:
    """What a cursor is of."""
    return step.name, step.words, replace(step.search, start=None), since


def _gone_on(steps: list[Step], cursor: str, since: str | None) -> Step:
    """The step whose next page a cursor asks for; the last one, which then refuses it."""
    for step in steps[:-1]:
        try:
            paging.read_cursor(cursor, 0, *_of(step, since))
        except BadInput:
            continue
        return step
    return steps[-1]


def _find(finder: Finder, step: Step, limit: int, retracted: bool, after: Any = None) -> list[Row]:
    if step.words:
        return finder.full_text(step.words, limit, after=after)
    return finder.search(step.search, limit, retracted=retracted, after=after)


def _shown(given: Mapping[str, str]) -> dict[str, str]:
    """What the form's fields hold."""
    names = {*asking.names(), *_OWN}
    return {name: given.get(name) or "" for name in names}


def _address(request: Request, **changed: Any) -> str:
    """The address of this search with some of its parameters changed."""
    kept = [(k, v) for k, v in request.query_params.multi_items() if v and k not in changed]
    asked = [*kept, *((k, v) for k, v in changed.items() if v)]
    return f"/search?{urlencode(asked)}" if asked else "/search"


def _plain(step: Step, retracted: bool) -> str:
    """The parameters by which programs and exports find the same; "" for words."""
    if step.words:
        return ""
    asked: list[tuple[str, Any]] = []
    for one in fields(Search):
        value = getattr(step.search, one.name)
        if value is None or value == one.default:
            continue
        if isinstance(value, datetime):
            asked.append((f"{one.name}_time", value.isoformat().replace("+00:00", "Z")))
        elif isinstance(value, bool):
            asked.append((one.name, "true"))
        elif isinstance(value, (list, tuple)):
            asked += [(one.name, part) for part in value]
        else:
            asked.append((one.name, value))
    if retracted:
        asked.append(("include_retracted", "true"))
    return urlencode(asked)


def _filters(request: Request) -> list[tuple[str, str, str]]:
    """Each filter that is set: its words, its value, and the address without it."""
    names = search_view.WORDS
    return [
        (names[name], value, _address(request, **{name: None, "cursor": None}))
        for name, value in request.query_params.multi_items()
        if value and name in names
    ]


def _widened(request: Request, q: str) -> str | None:
    """The address of the same plate without filters, where there are some."""
    return f"/search?{urlencode({'q': q})}" if q and _filters(request) else None


def _choices(queries: SightingQueries, watching: Watching | None) -> dict[str, list[str]]:
    """What may be chosen from in the form."""
    cameras = queries.cameras()
    return {
        "camera": [row["camera_id"] for row in cameras],
        "site": sorted({row["site_id"] for row in cameras if row["site_id"]}),
        "zone": sorted({row["zone"] for row in cameras if row["zone"]}),
        "watchlist": _lists(watching),
    }


def _lists(watching: Watching | None) -> list[str]:
    return [] if watching is None else [row["watchlist"] for row in watching.queries.lists()]
