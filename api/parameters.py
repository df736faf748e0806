"""The parameters that several endpoints take, each read in one place."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Request

from api.errors import BadInput

MAX_LIMIT = 1000
# PostgreSQL walks over what it skips; a million rows take it about a second.
MAX_OFFSET = 1_000_000
MAX_TEXT = 64

Limit = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description=f"At most so many, {MAX_LIMIT} at the most")
]
Offset = Annotated[
    int, Query(ge=0, le=MAX_OFFSET, description="Skip so many of the first, to page on")
]
Cursor = Annotated[
    str | None,
    Query(max_length=100, description="`next_cursor` of the page before, to page on however deep"),
]
IncludeRetracted = Annotated[
    bool, Query(description="Also sightings that were taken back (no plate, or merged)")
]
PlateText = Annotated[
    str,
    Path(
        max_length=MAX_TEXT,
        description="Spaces, dashes and case do not matter",
        examples=["34A36837"],
    ),
]
CameraId = Annotated[str, Path(max_length=200, examples=["CAM-001"])]
EventId = Annotated[
    str, Path(description="UUID", examples=["6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b"])
]
Time = Annotated[
    str | None,
    Query(
        description="ISO 8601, e.g. 2025-01-15T00:00:00Z; without a zone it is UTC, without a "
        "time midnight",
        examples=["2025-01-15T00:00:00Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
Since = Annotated[
    str | None,
    Query(description="The id of the last event that was seen", examples=["4711"]),
]


def text(name: str, given: str | None) -> str | None:
    """A text to look for; an empty one does not matter. Raises BadInput."""
    if given and "\0" in given:
        raise BadInput(f"{name}={given!r} holds a NUL character, which no text here has: drop it")
    return given or None


def read_cursor(given: str | None) -> int | None:
    """The id of an event of a stream. Raises BadInput."""
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise BadInput(f"{given!r} is no event's id: give the id of the last event, or none")
    return int(given)


def read_time(name: str, text: str | None, zone: tzinfo = UTC) -> datetime | None:
    """A moment in UTC; given without a zone it is of ``zone``. Raises BadInput."""
    if not text:
        return None
    # A + that was not percent-encoded reaches us as a space: 12:00:00 02:00 is 12:00:00+02:00.
    mended = re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if "T" in text else text
    try:
        moment = datetime.fromisoformat(mended)
    except ValueError:
        raise BadInput(
            f"{name}={text!r} is no time: give ISO 8601 such as 2025-01-15T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise BadInput(f"{name}={text!r} lies outside the years 1 to 9999 in UTC") from None


def read_times(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """``start_time`` and ``end_time``. Raises BadInput also when they are the wrong way round."""
    first, last = read_time("start_time", start), read_time("end_time", end)
    if first and last and first > last:
        raise BadInput(f"start_time={start!r} is after end_time={end!r}: exchange them")
    return first, last


def read_id(text: str, name: str = "event_id", listed: str = "/events/recent") -> UUID:
    """The id of an event, or of what ``listed`` lists. Raises BadInput."""
    try:
        return UUID(text)
    except ValueError:
        raise BadInput(
            f"{name}={text!r} is no UUID: give one such as the {name} of {listed}"
        ) from None


def refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raise BadInput for a parameter that does not exist: mistyped, it would widen the answer."""
    for name in request.query_params:
        if name not in known and name != "reason":  # which the audit takes of every request
            raise BadInput(f"there is no parameter {name!r}: use one of {', '.join(sorted(known))}")
