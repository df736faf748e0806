"""The fields of a sighting that a rule may ask for, under all their names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, cast

from rules.alerts.rule import Scalar
from schemas.records import PlateEvent

Kind = Literal["text", "number", "time"]


class FieldError(ValueError):
    """No sighting has a field of this name; the message names near ones."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its canonical name; ``path`` leads to it in a PlateEvent, () if it is derived.

    ``time`` is a number, too: microseconds since 1970 UTC.
    """

    name: str
    kind: Kind
    path: tuple[str, ...]


def _field(path: str, kind: Kind = "text", name: str = "") -> Field:
    return Field(name or path, kind, tuple(path.split(".")))


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        _field("plate.text"),
        _field("plate.normalized_text"),
        _field("plate.confidence", "number"),
        _field("plate.region"),
        _field("vehicle.type"),
        _field("vehicle.make"),
        _field("vehicle.model"),
        _field("vehicle.color"),
        _field("camera_id"),
        _field("camera_group"),
        _field("track_id"),
        _field("node.site", name="site"),
        _field("node.zone", name="zone"),
        _field("node.lane", name="lane"),
        _field("node.host", name="host"),
        _field("node.timezone", name="timezone"),
        _field("node.latitude", "number", name="latitude"),
        _field("node.longitude", "number", name="longitude"),
        _field("extras.direction", name="direction"),
        _field("extras.roi", name="roi"),
        _field("extras.quality_score", "number", name="quality_score"),
        _field("extras.frame_number", "number", name="frame_number"),
        _field("extras.box.x", "number", name="box.x"),
        _field("extras.box.y", "number", name="box.y"),
        _field("extras.box.width", "number", name="box.width"),
        _field("extras.box.height", "number", name="box.height"),
        _field("images.plate_url"),
        _field("images.vehicle_url"),
        _field("images.frame_url"),
        _field("event_id"),
        _field("revision", "number"),
        _field("partition", "number"),
        _field("status"),
        _field("captured_at", "time"),
        _field("first_seen", "time"),
        _field("last_seen", "time"),
        _field("latency_ms", "number"),
        _field("reads", "number"),
        _field("tracks", "number"),
        _field("merged_into"),
        _field("reason"),
        _field("rules_version"),
        Field("stay_seconds", "number", ()),
    )
}
"""Every field, by canonical name."""

_ALIASES = {
    "plate": "plate.normalized_text",
    "normalized_text": "plate.normalized_text",
    "confidence": "plate.confidence",
    "region": "plate.region",
    "camera": "camera_id",
    "site_id": "site",
    "zone_id": "zone",
    "lane_id": "lane",
    "timestamp": "captured_at",
    "vehicle.colour": "vehicle.color",
    "vehicle_colour": "vehicle.color",
}


def _names() -> dict[str, str]:
    names = dict(_ALIASES)
    for name, field in FIELDS.items():
        for spelling in (name, ".".join(field.path)):
            names[spelling] = name
            names[spelling.replace(".", "_")] = name
    names.pop("", None)
    return names


_NAMES = _names()


def canonical(name: str) -> str:
    """The canonical name of a field, from a flat (``plate_confidence``) or a nested name.

    Raises FieldError for an unknown one.
    """
    found = _NAMES.get(name) or _NAMES.get(name.strip().lower())
    if found is None:
        near = get_close_matches(name.lower()[:64], _NAMES, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(FIELDS)}"
        raise FieldError(f"a sighting has no field {name[:64]!r}: {hint}")
    return found


@lru_cache(maxsize=256)
def getter(field: str) -> Callable[[PlateEvent], Scalar]:
    """What reads a field, by any of its names, from a sighting. Raises FieldError."""
    path = FIELDS[canonical(field)].path
    if not path:
        return _stay
    if len(path) == 1:
        (only,) = path
        return lambda event: cast("Mapping[str, Scalar]", event)[only]
    if len(path) == 2:
        outer, inner = path
        return lambda event: cast("Mapping[str, Mapping[str, Scalar]]", event)[outer][inner]

    def deep(event: PlateEvent) -> Scalar:
        value: Any = event
        for key in path:
            value = value[key]
        return value

    return deep


def _stay(event: PlateEvent) -> float:
    """Seconds between the first and the last read."""
    return (event["last_seen"] - event["first_seen"]) / 1e6
