"""Examples in a file of rules: sightings in short, and the alerts that they should bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, cast

from rules.alerts.duration import microseconds
from rules.alerts.fields import FIELDS, canonical
from rules.alerts.watch_entry import EntryError, entry
from rules.sighting import event_id_of
from rules.text import normalise
from schemas.records import CameraState, PlateEvent, WatchlistEntry

START = 1_772_452_800_000_000
"""Where an example begins that names no moment: Monday 2026-03-02, 12:00 UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
Path = tuple[str | int, ...]


class ExampleError(ValueError):
    """An example cannot be used; ``path`` leads to what is wrong inside it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Expected:
    """What a rule should raise: so many alerts, or alerts about these normalised plates."""

    rule: str
    alerts: int | None = None
    plates: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """What happens, in the order of event time, and what is expected of whom.

    ``rule`` is the one it belongs to, '' where it is the whole file's; only the rules that
    ``expected`` names are held to it. ``silences``: cameras that were last heard at ``heard_at``.
    ``until``: event time that passes before the alerts are counted.
    """

    name: str
    rule: str
    events: tuple[PlateEvent, ...]
    watchlist: tuple[WatchlistEntry, ...]
    silences: tuple[CameraState, ...]
    until: int
    expected: tuple[Expected, ...]
    line: int


def moment(given: str | int) -> int:
    """Microseconds of an ISO 8601 text (UTC without an offset), or of a duration after START.

    Raises ValueError for what is neither. A number is taken as it is.
    """
    if isinstance(given, int):
        return given
    try:
        return START + microseconds(given)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(given)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _US
    except (ValueError, OverflowError) as error:
        told = "write 2026-03-02T08:00:00+03:00, or 10m after the example's start"
        raise ValueError(f"{given!r} is no moment: {told}") from error


def event_of(partial: Mapping[str, Any], number: int = 0) -> PlateEvent:
    """The sighting of which ``partial`` tells some fields, by any of their names, and ``at``.

    The rest is made up: confirmed, read with 0.99, at CAM-001 in UTC; ``number`` tells sightings
    without an event_id apart. Raises FieldError, or ValueError for a value that does not fit.
    """
    at = moment(partial.get("at", START))
    event = _blank(at, event_id_of(f"example-{number}"))
    for name, given in partial.items():
        if name == "at":
            continue
        value: Any = given
        field = FIELDS[canonical(name)]
        if field.name == "stay_seconds":
            event["last_seen"] = event["first_seen"] + int(float(value) * 1_000_000)
            continue
        if field.kind == "time":
            value = moment(value)
        elif isinstance(value, bool) or isinstance(value, str) != (field.kind == "text"):
            raise ValueError(f"{field.name} is a {field.kind}, {value!r} is none")
        holder: Any = event
        for key in field.path[:-1]:
            holder = holder[key]
        # Whole where the record's field is whole.
        whole = isinstance(holder[field.path[-1]], int)
        holder[field.path[-1]] = int(value) if whole else value
        if field.name in ("plate.normalized_text", "plate.text"):
            text = str(value)
            if field.name == "plate.normalized_text" and "plate.text" not in partial:
                event["plate"]["text"] = text
            event["plate"]["normalized_text"] = normalise(text)
    return event


def read(value: Mapping[str, Any], rule: str, line: int) -> Example:
    """The example of a mapping as the schema has it. Raises ExampleError."""
    events: list[PlateEvent] = []
    for i, partial in enumerate(value.get("events", ())):
        try:
            events.append(event_of(partial, i))
        except (ValueError, OverflowError) as error:
            raise ExampleError(("events", i), str(error)) from error
    events.sort(key=lambda event: (event["captured_at"], event["event_id"]))
    listed: list[WatchlistEntry] = []
    for i, one in enumerate(value.get("watchlist", ())):
        given = {key: one[key] for key in ("kind", "match") if key in one}
        try:
            listed.append(
                entry(one.get("watchlist", "examples"), one["plate"], actor="", at=0, **given)
            )
        except EntryError as error:
            raise ExampleError(("watchlist", i), str(error)) from error
    silences: list[CameraState] = []
    for i, one in enumerate(value.get("silent", ())):
        silences.append(_silence(one["camera_id"], _at(one, "at", ("silent", i))))
    if not events and not silences:
        raise ExampleError((), "shows nothing: add events, or silent")
    last = max([event["last_seen"] for event in events] + [state["heard_at"] for state in silences])
    until = _at(value, "until", ()) if "until" in value else last
    if until < last:
        raise ExampleError(("until",), "is before the last event: put it later, or leave it out")
    return Example(
        name=value["name"],
        rule=rule,
        events=tuple(events),
        watchlist=tuple(listed),
        silences=tuple(silences),
        until=until,
        expected=_expected(value, rule),
        line=line,
    )


def check_names(example: Example, rules: Mapping[str, Any]) -> None:
    """Raises ExampleError where it expects something of a rule that is not in the file."""
    for one in example.expected:
        if one.rule not in rules:
            # Among very many it would take too long.
            near = get_close_matches(one.rule[:100], rules, 1) if len(rules) <= 500 else []
            hint = f"did you mean {near[0]!r}?" if near else "name one of this file"
            raise ExampleError(("alerts", one.rule), f"there is no rule {one.rule[:100]!r}: {hint}")


def _expected(value: Mapping[str, Any], rule: str) -> tuple[Expected, ...]:
    if not rule:
        return tuple(
            Expected(name, None, _plates(cast("list[str]", told)))
            if isinstance(told, list)
            else Expected(name, int(told))
            for name, told in value["alerts"].items()
        )
    count = value.get("alerts")
    plates = value.get("plates")
    if count is None and plates is None:
        raise ExampleError((), "does not say what is expected: add alerts: 1, or plates: [...]")
    return (
        Expected(
            rule, None if count is None else int(count), None if plates is None else _plates(plates)
        ),
    )


def _plates(plates: list[str]) -> tuple[str, ...]:
    return tuple(sorted(normalise(plate) for plate in plates))


def _at(value: Mapping[str, Any], key: str, path: Path) -> int:
    try:
        return moment(value.get(key, START))
    except ValueError as error:
        raise ExampleError((*path, key), str(error)) from error


def _silence(camera_id: str, heard_at: int) -> CameraState:
    return {
        "camera_id": camera_id,
        "camera_group": None,
        "state": "silent",
        "at": heard_at,
        "heard_at": heard_at,
        "partition": 0,
        "revision": 0,
    }


def _blank(at: int, event_id: str) -> PlateEvent:
    return {
        "event_id": event_id,
        "revision": 0,
        "partition": 0,
        "status": "confirmed",
        "captured_at": at,
        "first_seen": at,
        "last_seen": at,
        "camera_id": "CAM-001",
        "camera_group": None,
        "track_id": "1",
        "plate": {"text": "", "normalized_text": "", "confidence": 0.99, "region": None},
        "vehicle": {"type": None, "make": None, "model": None, "color": None},
        "images": {"plate_url": "", "vehicle_url": "", "frame_url": ""},
        "latency_ms": 100,
        "node": {
            "site": "",
            "host": "",
            "zone": "",
            "lane": "",
            "latitude": None,
            "longitude": None,
            "timezone": "UTC",
        },
        "extras": {
            "roi": None,
            "direction": None,
            "quality_score": 0.9,
            "frame_number": 1,
            "box": {"x": 0, "y": 0, "width": 100, "height": 30},
        },
        "reads": 2,
        "tracks": 1,
        "was": [],
        "alternatives": [],
        "merged_into": None,
        "reason": None,
        "rules_version": "",
        "evidence": {"positions": [], "reads": [], "texts": 1},
    }
