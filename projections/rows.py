"""A sighting as a row of plate_events, in PostgreSQL's binary COPY format.

https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

from math import isfinite
from struct import Struct
from struct import error as StructError

import orjson

from schemas.records import PlateEvent

FIXED = (
    *("event_id", "captured_at", "created_at", "first_seen", "last_seen"),
    *("plate_confidence", "quality_score", "latency_ms", "frame_number"),
    *("revision", "partition", "reads", "tracks", "texts"),
)
TEXTS = (
    *("camera_id", "track_id", "plate_text", "plate_normalized_text", "plate_region"),
    *("vehicle_type", "vehicle_make", "vehicle_model", "vehicle_color"),
    *("plate_image_url", "vehicle_image_url", "frame_image_url"),
    *("site_id", "host_id", "roi", "direction", "status", "camera_group", "zone", "lane"),
    *("timezone", "reason", "rules_version"),
)
OTHERS = ("merged_into", "latitude", "longitude", "was", "alternatives", "box", "evidence")
COLUMNS = FIXED + TEXTS + OTHERS

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

# number of fields, then each field behind its length: uuid, four times, two doubles, ...
_FIXED = Struct(">hi16s" + "iq" * 4 + "id" * 2 + "iq" * 2 + "iqii" + "iq" * 2 + "ii")
_LENGTH = Struct(">i")
_DOUBLE = Struct(">id")
_NULL = b"\xff\xff\xff\xff"
_SHORT = tuple(_LENGTH.pack(n) for n in range(256))
_EPOCH_2000 = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000
# Where Python's datetime ends, but for a day: so that its hour and its day anywhere are times, too.
_FIRST, _LAST = -62_135_510_400_000_000, 253_402_214_400_000_000


class RowError(ValueError):
    """An event that no row can hold."""


def row(event: PlateEvent) -> bytes:
    """One row of a binary COPY into COLUMNS. Raises RowError.

    Text that PostgreSQL refuses (a NUL) is not looked for: the server does that.
    """
    try:
        return _row(event)
    except (ValueError, TypeError, KeyError, AttributeError, StructError) as error:
        raise RowError(f"{type(error).__name__}: {error}") from error


def _row(event: PlateEvent) -> bytes:
    captured = event["captured_at"]
    # When the log received the opening read: the same in every rebuild.
    created = captured + event["latency_ms"] * 1000
    first, last = event["first_seen"], event["last_seen"]
    if min(captured, created, first, last) < _FIRST or max(captured, created, first, last) >= _LAST:
        raise RowError("a time lies outside of the years 1 to 9999")
    plate, vehicle, images = event["plate"], event["vehicle"], event["images"]
    node, extras, evidence = event["node"], event["extras"], event["evidence"]
    # One NaN would make every average one, and a page that shows it fail.
    if not isfinite(plate["confidence"] + extras["quality_score"]) or not all(
        isfinite(kept["confidence"] + kept.get("quality", 0.0))
        for kept in (*event["alternatives"], *evidence["reads"])
    ):
        raise RowError("a confidence or a quality is no finite number")
    parts = [
        _FIXED.pack(
            *(len(COLUMNS), 16, _uuid(event["event_id"])),
            *(8, captured - _EPOCH_2000, 8, created - _EPOCH_2000),
            *(8, first - _EPOCH_2000, 8, last - _EPOCH_2000),
            *(8, plate["confidence"], 8, extras["quality_score"]),
            *(8, event["latency_ms"], 8, extras["frame_number"]),
            *(8, event["revision"], 4, event["partition"]),
            *(8, event["reads"], 8, event["tracks"], 4, evidence["texts"]),
        )
    ]
    add = parts.append
    for text in (
        event["camera_id"],
        event["track_id"],
        plate["text"],
        plate["normalized_text"],
        plate["region"],
        vehicle["type"],
        vehicle["make"],
        vehicle["model"],
        vehicle["color"],
        images["plate_url"],
        images["vehicle_url"],
        images["frame_url"],
        node["site"],
        node["host"],
        extras["roi"],
        extras["direction"],
        event["status"],
        event["camera_group"],
        node["zone"],
        node["lane"],
        node["timezone"],
        event["reason"],
        event["rules_version"],
    ):
        if text is None:
            add(_NULL)
        else:
            raw = text.encode()
            length = len(raw)
            add(_SHORT[length] if length < 256 else _LENGTH.pack(length))
            add(raw)
    merged = event["merged_into"]
    add(_NULL if merged is None else _SHORT[16] + _uuid(merged))
    for degrees in (node["latitude"], node["longitude"]):
        if degrees is not None and not isfinite(degrees):
            raise RowError("the position is no finite number")
        add(_NULL if degrees is None else _DOUBLE.pack(8, degrees))
    kept = {"positions": evidence["positions"], "reads": evidence["reads"]}
    for value in (event["was"], event["alternatives"], extras["box"], kept):
        raw = orjson.dumps(value)
        add(_LENGTH.pack(len(raw) + 1))
        add(b"\x01")  # version of jsonb's binary form
        add(raw)
    return b"".join(parts)


def _uuid(text: str) -> bytes:
    raw = bytes.fromhex(text.replace("-", ""))
    if len(raw) != 16:
        raise RowError(f"{text!r} is no UUID")
    return raw
