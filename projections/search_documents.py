"""A sighting as a document of OpenSearch: the columns of plate_events, and a place on the map.

Its evidence is not in it: that is asked by event_id of PostgreSQL, and would be most of the index.
"""

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, cast
from uuid import UUID

import orjson

from rules.similarity import fold
from schemas.records import PlateEvent

VERSION = 2
"""Of the mapping below: raise it with any change; the view is then rebuilt."""

ERASED = 2**53 - 1
"""The version of what is erased: above every revision, and exact in every JSON reader."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = {"type": "keyword"}
_WHOLE = {"type": "long"}
_FRACTION = {"type": "double"}
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
# `date` counts milliseconds; `exact` sorts and cuts by the microseconds that the text keeps, for
# times from 1970 to 2262.
_TIME = {
    "type": "date",
    "fields": {"exact": {"type": "date_nanos", "ignore_malformed": True}},
}
_WORDS = (
    *("event_id", "camera_id", "track_id", "plate_region", "vehicle_type", "vehicle_make"),
    *("vehicle_model", "vehicle_color", "site_id", "host_id", "roi", "direction", "status"),
    *("camera_group", "zone", "lane", "merged_into", "reason", "rules_version", "was"),
)
_NUMBERS = (
    *("latency_ms", "dwell_ms", "frame_number", "revision", "partition"),
    *("reads", "tracks", "texts"),
)
_FRACTIONS = ("plate_confidence", "quality_score", "latitude", "longitude")

MAPPING: dict[str, Any] = {
    "dynamic": False,
    "_meta": {"version": VERSION},
    "properties": {
        **dict.fromkeys(_WORDS, _WORD),
        **dict.fromkeys(_NUMBERS, _WHOLE),
        **dict.fromkeys(_FRACTIONS, _FRACTION),
        **dict.fromkeys(("captured_at", "created_at", "first_seen", "last_seen"), _TIME),
        **dict.fromkeys(("plate_image_url", "vehicle_image_url", "frame_image_url"), _KEPT),
        "timezone": _KEPT,
        "plate_text": {"type": "text", "analyzer": "standard", "fields": {"keyword": _WORD}},
        # The keyword answers exact, prefix and fuzzy queries, `wildcard` those with * in front.
        "plate_normalized_text": _WORD
        | {
            "fields": {
                "text": {"type": "text", "analyzer": "standard"},
                "wildcard": {"type": "wildcard"},
            }
        },
        # As the index of plates has it: characters that OCR confuses are one.
        "plate_folded": _WORD | {"fields": {"wildcard": {"type": "wildcard"}}},
        "alternatives": {"properties": {"text": _WORD, "confidence": _FRACTION}},
        "box": {"type": "object", "enabled": False},
        # A camera placed beyond the poles is a mistake, and no reason to lose its sightings.
        "location": {"type": "geo_point", "ignore_malformed": True},
        # Not sightings, and not seen through the alias: what is erased, and how far was read.
        "erased": _WORD,
        "position": {"dynamic": False, "properties": {"partition": {"type": "integer"}}},
    },
}


class DocumentError(ValueError):
    """An event that no document can hold."""


def document(event: PlateEvent) -> bytes:
    """The document of a sighting, as JSON. Raises DocumentError."""
    try:
        found = _document(event)
        raw = orjson.dumps(found, option=orjson.OPT_UTC_Z)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DocumentError(f"{type(error).__name__}: {error}") from error
    # PostgreSQL takes no NUL: the two views refuse the same, so that they show the same.
    if b"\\u0000" in raw and _has_nul(found):
        raise DocumentError("a text holds a NUL")
    return raw


def tombstone(event_id: str) -> bytes:
    """What stands in an erased sighting's place, so that no older revision comes back."""
    return orjson.dumps({"erased": event_id})


def _document(event: PlateEvent) -> dict[str, Any]:
    revision, captured = event["revision"], event["captured_at"]
    if not 0 <= revision < ERASED:
        raise DocumentError(f"revision {revision} is no offset")
    plate, vehicle, images = event["plate"], event["vehicle"], event["images"]
    node, extras = event["node"], event["extras"]
    latitude, longitude = node["latitude"], node["longitude"]
    finite = [plate["confidence"], extras["quality_score"], latitude or 0.0, longitude or 0.0]
    finite += [kept["confidence"] for kept in event["alternatives"]]
    if not isfinite(sum(finite)):
        raise DocumentError("a confidence, a quality or a position is no finite number")
    merged = event["merged_into"]
    found: dict[str, Any] = {
        "event_id": identity(event["event_id"]),
        "captured_at": _time(captured),
        # When the log received the opening read: the same in every rebuild.
        "created_at": _time(captured + event["latency_ms"] * 1000),
        "first_seen": _time(event["first_seen"]),
        "last_seen": _time(event["last_seen"]),
        # How long it stayed: only a number of its own can be counted into a histogram.
        "dwell_ms": (event["last_seen"] - event["first_seen"]) // 1000,
        "camera_id": event["camera_id"],
        "track_id": event["track_id"],
        "plate_text": plate["text"],
        "plate_normalized_text": plate["normalized_text"],
        "plate_folded": fold(plate["normalized_text"]),
        "plate_confidence": plate["confidence"],
        "plate_region": plate["region"],
        "vehicle_type": vehicle["type"],
        "vehicle_make": vehicle["make"],
        "vehicle_model": vehicle["model"],
        "vehicle_color": vehicle["color"],
        "plate_image_url": images["plate_url"],
        "vehicle_image_url": images["vehicle_url"],
        "frame_image_url": images["frame_url"],
        "latency_ms": event["latency_ms"],
        "quality_score": extras["quality_score"],
        "frame_number": extras["frame_number"],
        "site_id": node["site"],
        "host_id": node["host"],
        "roi": extras["roi"],
        "direction": extras["direction"],
        "status": event["status"],
        "revision": revision,
        "partition": event["partition"],
        "camera_group": event["camera_group"],
        "zone": node["zone"],
        "lane": node["lane"],
        "latitude": latitude,
        "longitude": longitude,
        "timezone": node["timezone"],
        "reads": event["reads"],
        "tracks": event["tracks"],
        "texts": event["evidence"]["texts"],
        "merged_into": None if merged is None else identity(merged),
        "reason": event["reason"],
        "rules_version": event["rules_version"],
        "was": event["was"],
        "alternatives": event["alternatives"],
        "box": extras["box"],
    }
    if latitude is not None and longitude is not None:
        found["location"] = {"lat": latitude, "lon": longitude}
    return found


def identity(text: str) -> str:
    """An event's id as it is written everywhere. Raises DocumentError."""
    try:
        return str(UUID(text))
    except ValueError:
        raise DocumentError(f"{text!r} is no event's id") from None


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def instant(microseconds: int) -> str:
    """A time as a document says it."""
    return _time(microseconds).isoformat()


def microseconds(text: str) -> int:
    """The time that a document says, in microseconds UTC."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_has_nul, cast("dict[str, Any]", value).values()))
    return isinstance(value, list) and any(map(_has_nul, cast("list[Any]", value)))
