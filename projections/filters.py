"""What a search of sightings asks beside the plate, as conditions in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from projections.asking import storable
from rules.lookup import QuestionError

FACETS = (
    "ARRAY['site ' || event.site_id, 'zone ' || event.zone, 'status ' || event.status, "
    "'direction ' || event.direction, 'region ' || event.plate_region, "
    "'type ' || event.vehicle_type, 'colour ' || event.vehicle_color, "
    "'make ' || event.vehicle_make, 'model ' || event.vehicle_model, "
    "'sure ' || floor(10 * least(1, greatest(0, event.plate_confidence)))::integer::text]"
)
"""Of a sighting whatever few values have; as idx_facets in projections/migrations has it."""

COLUMNS = {
    "site": "site_id",
    "zone": "zone",
    "status": "status",
    "direction": "direction",
    "region": "plate_region",
    "type": "vehicle_type",
    "colour": "vehicle_color",
    "make": "vehicle_make",
    "model": "vehicle_model",
}
"""Conditions of a search, by the columns that they are on."""


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions that must all hold; None does not matter.

    ``plate`` may hold ``*`` (any characters) and ``?`` (one); ``near`` is a plate that is ``edits``
    away at most; with ``confusable`` characters that OCR takes for one another are equal in both:
    rules/lookup.py. They are compared with the plate as it is shown. ``start`` and ``end`` are
    times of capture, both included, as are the confidences. ``camera`` may be several, of which
    one has to be it. ``watchlist``, ``tag`` and ``kind`` are of one entry that means the plate.
    """

    plate: str | None = None
    camera: str | Sequence[str] | None = None
    site: str | None = None
    zone: str | None = None
    status: str | None = None
    min_confidence: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    direction: str | None = None
    region: str | None = None
    near: str | None = None
    edits: int = 1
    confusable: bool = False
    max_confidence: float | None = None
    type: str | None = None
    colour: str | None = None
    make: str | None = None
    model: str | None = None
    watchlist: str | None = None
    tag: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """The last sighting of a page, by time of capture; the next one goes on behind it."""

    captured_at: datetime
    event_id: UUID


class Conditions:
    """SQL conditions on ``event`` with their values, all of which must hold."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []
        self.impossible = False
        """A value that no row can hold is asked for: nothing is found."""

    def add(self, text: str, *values: Any) -> None:
        """One more, with the values that it binds."""
        self.impossible |= not all(map(_storable, values))
        self.texts.append(text)
        self.values += values

    def where(self) -> str:
        """The clause, or nothing."""
        return f"WHERE {' AND '.join(self.texts)} " if self.texts else ""


def conditions(search: Search, *, row_by_row: bool = False) -> Conditions:
    """All that a search asks but the plate and lists. Raises rules.lookup.QuestionError.

    In a form that an index of facets can answer or, ``row_by_row``, one that is looked up quicker
    in each of many rows.
    """
    found = Conditions()
    for name in ("min_confidence", "max_confidence"):
        value = getattr(search, name)
        if value is not None and not 0 <= value <= 1:
            raise QuestionError(f"{name}={value}: a confidence is 0 to 1")
    _add_cameras(found, search.camera)
    named = {name: value for name in COLUMNS if (value := getattr(search, name)) is not None}
    if row_by_row:
        for name, value in named.items():
            found.add(f"event.{COLUMNS[name]} = %s", value)
    elif named:
        # One condition for all, by whose elements' frequencies the server chooses between the
        # index of them (rare values) and that of the time (common ones).
        found.add(f"{FACETS} @> %s", [f"{name} {value}" for name, value in named.items()])
    low, high = search.min_confidence, search.max_confidence
    if low is not None:
        found.add("event.plate_confidence >= %s", low)
    if high is not None:
        found.add("event.plate_confidence <= %s", high)
        if high < _RARELY and not row_by_row:
            tenths = range(int(10 * (low or 0.0)), int(10 * high) + 1)
            found.add(f"{FACETS} && %s", [f"sure {tenth}" for tenth in tenths])
    if search.start is not None:
        found.add("event.captured_at >= %s", search.start)
    if search.end is not None:
        found.add("event.captured_at <= %s", search.end)
    return found


def _add_cameras(found: Conditions, asked: str | Sequence[str] | None) -> None:
    cameras = [asked] if isinstance(asked, str) else asked
    if cameras is None:
        return
    if len(cameras) == 1:
        found.add("event.camera_id = %s", cameras[0])
    else:
        found.add("event.camera_id = ANY(%s)", sorted(set(cameras)))


def walkable(search: Search) -> bool:
    """Whether a page may be found soonest by going back in time and looking at each sighting.

    It is asked for values that many have, and by no plate, whose index is the better way.
    """
    asked = {name for name in _EVERYTHING if getattr(search, name) is not None}
    return bool(asked & _COMMON) and not asked - _COMMON - _SPAN


def go_on(found: Conditions, after: After) -> None:
    """Add that a sighting comes behind another, the latest capture first."""
    # The first alone bounds a scan of the index by time.
    found.add("event.captured_at <= %s", after.captured_at)
    found.add(
        "(event.captured_at < %s OR event.event_id > %s::uuid)",
        after.captured_at,
        str(after.event_id),
    )


def listing(search: Search) -> Conditions | None:
    """What is asked of an ``entry`` of a watchlist; None where nothing is."""
    found = Conditions()
    if search.watchlist is not None:
        found.add("entry.watchlist = %s", search.watchlist)
    if search.tag is not None:
        found.add("%s = ANY(entry.tags)", search.tag)
    if search.kind is not None:
        found.add("entry.kind = %s", search.kind)
    return found if found.texts else None


def facet(column: str, value: str) -> str | None:
    """A column's value as FACETS has it; None where it is not among them."""
    return next((f"{name} {value}" for name, of in COLUMNS.items() if of == column), None)


_COMMON = {*COLUMNS, "min_confidence", "max_confidence"}
_SPAN = {"camera", "start", "end"}
_EVERYTHING = {one.name for one in fields(Search)} - {"edits", "confusable"}

_RARELY = 0.7
"""Confidences below are rare: the rules refuse reads below it, unless set otherwise."""


def _storable(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(storable, value))
    return storable(value)
