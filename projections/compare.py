"""What two views of the same log show, by hour, computed alike whatever holds them."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from projections.database import connect, speaking

HOUR = 3_600_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 5_000  # rows a round trip


@dataclass(frozen=True, slots=True)
class Shown:
    """What every view shows of a sighting; ``captured_at`` in microseconds UTC."""

    event_id: str
    captured_at: int
    revision: int
    status: str
    plate_normalized_text: str


@dataclass(frozen=True, slots=True)
class Hour:
    """The sightings of one hour of capture: how many, and a checksum that needs no order."""

    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An hour of captured_at (UTC) in which the two views do not hold the same rows."""

    hour: datetime
    live_rows: int
    rebuilt_rows: int


def contents(url: str, schema: str = "alpr") -> Iterator[Shown]:
    """Every sighting that PostgreSQL holds, by event_id as text; one snapshot of the view.

    Raises ViewUnavailable.
    """
    with (
        speaking(url),
        closing(connect(url, schema)) as connection,
        connection.cursor("contents") as cursor,
    ):
        cursor.itersize = _PAGE
        cursor.execute(
            "SELECT event_id::text, (extract(epoch FROM captured_at) * 1000000)::bigint, "
            "revision, status, plate_normalized_text FROM plate_events ORDER BY event_id"
        )
        for row in cursor:
            yield Shown(*row)


def by_hour(shown: Iterable[Shown]) -> dict[datetime, Hour]:
    """Number and checksum of the sightings of each hour of capture (UTC)."""
    sums: dict[int, tuple[int, int]] = {}
    for one in shown:
        text = "\x1f".join(
            (
                one.event_id,
                str(one.captured_at),
                str(one.revision),
                one.status,
                one.plate_normalized_text,
            )
        )
        mark = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        rows, checksum = sums.get(one.captured_at // HOUR, (0, 0))
        sums[one.captured_at // HOUR] = rows + 1, (checksum + mark) % (1 << 64)
    return {
        _EPOCH + timedelta(hours=number): Hour(rows, checksum)
        for number, (rows, checksum) in sums.items()
    }


def differences(live: dict[datetime, Hour], rebuilt: dict[datetime, Hour]) -> list[Difference]:
    """The hours that the two do not hold alike, in order."""
    none = Hour(0, 0)
    return [
        Difference(hour, live.get(hour, none).rows, rebuilt.get(hour, none).rows)
        for hour in sorted(live.keys() | rebuilt.keys())
        if live.get(hour, none) != rebuilt.get(hour, none)
    ]
