"""One plate: its page, its journey and who travels with it, for programs and for people."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Annotated, Any
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from api import alert_view, journey_models, parameters, plate_view, view, way_map
from api.encode import Json
from api.errors import BadInput, wants_page
from api.events import known_parameters
from api.pages import PER_PAGE, Page, Pages
from api.visitor import visitor
from api.watching import Watching
from projections import veil
from projections.access import Role
from projections.alert_queries import AlertSearch
from projections.journeys import CROWD, PASSES, Journeys, Span
from projections.queries import Row, SightingQueries
from projections.veil import refuse_guessing
from rules.alerts.watch_entry import KINDS, MATCHES
from rules.journey import PAUSE, Stop, trips
from rules.lookup import lookup
from rules.pseudonym import pseudonym_of
from rules.text import normalise

LOOKED = 1000
"""The latest passes that a plate's page draws its habits and its last ways from."""
_HALTS = 200  # of a page of a journey
_LATEST = 40  # halts that a plate's page draws and names at most
_WAYS = 6  # that a plate's page names
_CROPS = 18
_ALERTS = 5
_NEAR = 50  # plates beside the one asked for
_HOUR_US = 3_600_000_000
_SIZES = (("wide", (760, 430)), ("tall", (350, 340)))  # px: drawings for a desk and for a phone

Text = Annotated[
    str,
    Path(
        max_length=parameters.MAX_TEXT,
        description="Spaces, dashes and case do not matter",
        examples=["34A36837"],
    ),
]
PauseHours = Annotated[
    float,
    Query(ge=0.05, le=8760, description="A longer time without a sighting ends a trip, in hours"),
]
Near = Annotated[
    bool,
    Query(description="Also of plates one edit away, or that differ in confusable characters"),
]
Cursor = Annotated[
    str | None, Query(max_length=80, description="The `cursor` of the answer before: what is older")
]
Window = Annotated[
    float, Query(ge=1, le=900, description="So many seconds before or after at the same camera")
]
MinTimes = Annotated[
    int, Query(ge=1, le=100, description="On so many different pairs of camera and day")
]


def router(queries: SightingQueries, pages: Pages, watching: Watching | None) -> APIRouter:
    """Everything under ``/plates``."""
    routes = APIRouter(tags=["plates"])
    journeys = Journeys(queries)

    def looked_up(text: str) -> tuple[str, ...]:
        """The plate that is asked for, or a pseudonym and what it stands for; the first is shown.

        Every endpoint here looks one up by this alone.
        """
        wanted = parameters.text("plate", text) or ""
        if pseudonym := pseudonym_of(wanted):
            return (pseudonym, *queries.named(pseudonym))
        return (normalise(wanted) or wanted,)

    @routes.get(
        "/plates/{text:path}/journey",
        response_model=None,
        responses={200: {"model": journey_models.JourneyResponse}},
    )
    def journey(
        *,
        request: Request,
        text: Text,
        start_time: parameters.Time = None,
        end_time: parameters.Time = None,
        pause_hours: PauseHours = PAUSE / _HOUR_US,
        limit: parameters.Limit = 100,
        near: Near = False,
        cursor: Cursor = None,
    ) -> Response:
        """The way of a plate over cameras: the latest stops there are, in event time.

        `hop` is what lies between a stop and the one before: seconds, distance and the speed that
        these ask for. `impossible` hops mean two vehicles with one plate, or a misread. A new trip
        begins after a pause. What is older is behind `cursor`. With `near` each stop's `plate` says
        whose it is: a misread of this one, or of somebody else.
        """
        parameters.refuse_unknown(request, known_of_journey)
        plates = looked_up(text)
        span = Span(*parameters.read_times(start_time, end_time))
        before = _read_cursor(cursor)
        pause = round(pause_hours * _HOUR_US)
        page = wants_page(request)
        if near:
            veil.refuse_guessing("*")
        meant = (*plates, *_near(queries, plates[-1])) if near else plates
        found = _passes(journeys, meant, span, before, _HALTS if page else limit)
        if page:
            given = {"start_time": start_time, "end_time": end_time, "pause_hours": pause_hours}
            given["near"] = near
            return _journey_page(
                journeys, pages, plates, found, pause=pause, given=given, cursor=cursor
            )
        return Json({"plates": veil.named(meant), **_journey(plates, span, pause, limit, found)})

    known_of_journey = known_parameters(journey) - {"text"}

    @routes.get(
        "/plates/{text:path}/companions",
        response_model=None,
        responses={200: {"model": journey_models.CompanionsResponse}},
    )
    def companions(
        *,
        request: Request,
        text: Text,
        window_s: Window = 120,
        min_times: MinTimes = 3,
        start_time: parameters.Time = None,
        end_time: parameters.Time = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> Response:
        """Who travels with a plate: others at the same cameras at nearly the same time, again and
        again; what chance explains least comes first.

        An occasion is a pair of a camera and a day (UTC). `expected` is on how many of them the
        other would have been near by chance: as many of each crowd as it has of all sightings.
        `unlikely` is minus log10 of the probability of as many occasions or more then (Poisson).
        Looked at are the latest 300 passes of the plate, and at each the 200 nearest others:
        `looked_at` says how many there were.
        """
        parameters.refuse_unknown(request, known_of_companions)
        plates = looked_up(text)
        span = Span(*parameters.read_times(start_time, end_time))
        met = journeys.companions(plates, window_s, min_times, span)
        found = plate_view.companions(met, plates, limit)
        if wants_page(request):
            return pages.page(
                "companions.html",
                text=plates[0],
                companions=[
                    {**row, **asdict(of), "share": of.share, "chance": plate_view.chance(of)}
                    for row, of in found
                ],
                met=met,
                window_s=window_s,
                min_times=min_times,
                most=PASSES,
            )
        return Json(
            {
                "plate": plates[0],
                "window_s": window_s,
                "min_times": min_times,
                "start_time": span.start,
                "end_time": span.end,
                "looked_at": {
                    "passes": met.passes,
                    "most_passes": PASSES,
                    "occasions": met.chances,
                    "near": met.crowd,
                    "most_near": CROWD,
                    "cut": met.cut,
                    "sightings": met.total,
                },
                "count": len(found),
                "companions": [
                    {
                        "plate": row["text"],
                        **{name: row[name] for name in _COMPANION},
                        "share": round(of.share, 4),
                        "expected": of.expected,
                        "unlikely": round(of.unlikely, 2),
                        "alike": row["alike"],
                    }
                    for row, of in found
                ],
            }
        )

    known_of_companions = known_parameters(companions) - {"text"}

    @routes.get("/plates/{text:path}", include_in_schema=False)
    def plate(text: Text, page: Page = 1) -> Response:
        plates = looked_up(text)
        rows = journeys.passes(plates, limit=LOOKED)
        cameras = journeys.cameras(plates)
        listed = queries.by_plate(plates[0], PER_PAGE + 1, (page - 1) * PER_PAGE)
        shown = plate_view.best(rows)
        return pages.page(
            "plate.html",
            text=plates[0],
            url="/plates/" + quote(plates[0], safe=""),
            region=(rows[0]["plate_region"] or "").rpartition("-")[2] if rows else None,
            total=sum(camera["sightings"] for camera in cameras),
            looked=len(rows),
            first=_told(rows[-1:], cameras, "first_seen", min),
            last=_told(rows[:1], cameras, "last_seen", max),
            cameras=cameras,
            best=shown and _crop(shown),
            week=plate_view.week(rows),
            crops=list(map(_crop, islice((r for r in rows if r["plate_image_url"]), _CROPS))),
            **_ways(journeys, plates, rows),
            **_watch(watching, plates[-1]),
            sightings=[view.card(row) for row in listed[:PER_PAGE]],
            page=page,
            more=len(listed) > PER_PAGE,
        )

    return routes


_COMPANION = (
    *("occasions", "together", "days", "cameras", "first_at", "last_at", "behind_s", "seen"),
)


def _near(queries: SightingQueries, plate: str) -> list[str]:
    """Other plates that there are: one edit away, or told apart by confusable characters alone."""
    refuse_guessing("*")
    asked = [lookup(near=plate, edits=1), lookup(plate, confusable=True)] if plate else []
    found = {text for one in asked if one for text in queries.plates.texts(one) or ()}
    return sorted(found - {plate})[:_NEAR]


def _read_cursor(given: str | None) -> tuple[datetime, str] | None:
    """Time of capture and id of the oldest stop that is known. Raises BadInput."""
    if not given:
        return None
    at, _, event_id = given.partition(".")
    try:
        if not (at.isascii() and at.lstrip("-").isdigit() and len(at) <= 18):
            raise ValueError(at)
        return view.instant(int(at)), str(UUID(event_id))
    except (ValueError, OverflowError):
        raise BadInput(f"cursor={given!r} is none: give the `cursor` of an answer") from None


def _cursor(stop: Stop) -> str:
    return f"{stop.captured_at}.{stop.event_id}"


def _passes(
    journeys: Journeys,
    plates: Sequence[str],
    span: Span,
    before: tuple[datetime, str] | None,
    limit: int,
) -> tuple[list[Row], list[Stop], Stop | None]:
    """The latest stops in event time, their rows, and the stop before them, if there is one."""
    rows = journeys.passes(plates, span, before, limit + 1)
    older = rows[limit:]
    rows = rows[:limit][::-1]
    return rows, [plate_view.stop_of(row) for row in rows], _first(older)


def _first(rows: list[Row]) -> Stop | None:
    return plate_view.stop_of(rows[0]) if rows else None


def _journey(
    plates: Sequence[str],
    span: Span,
    pause: int,
    limit: int,
    found: tuple[list[Row], list[Stop], Stop | None],
) -> Row:
    rows, stops, before = found
    made = trips(stops, pause, before)
    told = plate_view.journey(stops, made, before)
    return {
        "plate": plates[0],
        "start_time": span.start,
        "end_time": span.end,
        "pause_hours": pause / _HOUR_US,
        "count": len(rows),
        "limit": limit,
        "cursor": _cursor(stops[0]) if before is not None else None,
        "trips": [plate_view.trip_told(trip, pause) for trip in made],
        "stops": [row | more for row, more in zip(rows, told, strict=True)],
    }


def _journey_page(
    journeys: Journeys,
    pages: Pages,
    plates: Sequence[str],
    found: tuple[list[Row], list[Stop], Stop | None],
    *,
    pause: int,
    given: Row,
    cursor: str | None,
) -> Response:
    rows, stops, before = found
    by_id = {str(row["event_id"]): row for row in rows}
    made = trips(stops, pause, before)[::-1]
    others = _others(journeys)
    asked = {name: value for name, value in given.items() if value}
    older = None
    if before is not None:
        older = urlencode({**asked, "cursor": _cursor(stops[0])})
    return pages.page(
        "journey.html",
        text=plates[0],
        url="/plates/" + quote(plates[0], safe=""),
        given=given,
        filtered=bool(given["start_time"] or given["end_time"]),
        ways=[
            {
                "way": plate_view.way(trip, by_id, plates, pause),
                "maps": _maps(trip.stops, others),
            }
            for trip in made
        ],
        count=len(stops),
        newest=urlencode(asked) if cursor else None,
        older=older,
    )


def _ways(journeys: Journeys, plates: Sequence[str], rows: list[Row]) -> Row:
    """The latest way, drawn, and the ones before it by name; only for who may see journeys."""
    if not visitor().may(Role.INVESTIGATOR) or not rows:
        return {"way": None, "maps": None, "ways": []}
    # In event time; the latest halts alone, so that the page stays quick and short.
    latest = rows[:_LATEST][::-1]
    before = _first(rows[_LATEST : _LATEST + 1])
    made = trips([plate_view.stop_of(row) for row in latest], before=before)[::-1]
    by_id = {str(row["event_id"]): row for row in latest}
    # One camera is no way: the latest that is one is shown first, if there is any among the last.
    chosen = next((trip for trip in made[:_WAYS] if trip.cameras > 1), made[0])
    ways = [
        {
            "way": (told := plate_view.way(trip, by_id, plates, PAUSE)),
            "query": urlencode({"start_time": told.begins.iso, "end_time": told.ends.iso}),
        }
        for trip in made[:_WAYS]
    ]
    shown = next(one for one in ways if one["way"].id == chosen.stops[0].event_id)
    return {
        "way": shown["way"],
        "maps": _maps(chosen.stops, _others(journeys)),
        "ways": [one for one in ways if one is not shown],
    }


def _maps(
    stops: Sequence[Stop], others: list[tuple[str, float, float]]
) -> list[tuple[str, way_map.Drawing]]:
    """The drawings of a way for a wide page and for a phone; none where no stop has a place."""
    if len({stop.camera_id for stop in stops}) < 2:
        return []
    drawn = ((name, way_map.draw(stops, others, size)) for name, size in _SIZES)
    return [(name, drawing) for name, drawing in drawn if drawing is not None]


def _others(journeys: Journeys) -> list[tuple[str, float, float]]:
    return [
        (row["camera_id"], row["latitude"], row["longitude"])
        for row in journeys.places()
        if plate_view.on_earth(row["latitude"], row["longitude"])
    ]


def _watch(watching: Watching | None, plate: str) -> Row:
    """The lists that a plate is on, and its alerts."""
    if watching is None:
        return {"watching": False, "entries": [], "alerts": [], "lists": []}
    queries = watching.queries
    entries = [
        {**row, "url": alert_view.named("/watchlists", row["watchlist"])}
        for row in queries.on_lists(plate)
    ]
    rows = queries.alerts(AlertSearch(plate=plate), _ALERTS)
    return {
        "watching": True,
        "entries": entries,
        "alerts": [alert_view.alert(row) for row in rows],
        "lists": [row["watchlist"] for row in queries.lists()],
        "kinds": KINDS,
        "matches": MATCHES,
    }


def _crop(row: Row) -> Row:
    return {
        "id": row["event_id"],
        "crop": view.picture(row["plate_image_url"]),
        "camera": row["camera_id"],
        "seen": view.moment(row["captured_at"], row["timezone"]),
    }


def _told(rows: list[Row], cameras: list[Row], name: str, pick: Any) -> view.Moment | None:
    """The first or last time of all, where the camera that saw it stands."""
    if not cameras:
        return None
    at = pick(camera[name] for camera in cameras)
    return view.moment(at, rows[0]["timezone"] if rows else "")
