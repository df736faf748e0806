"""Fills a view from the live one up to a time, so that only what is newer need be replayed."""

from contextlib import closing

from eventlog.log import Log
from eventlog.span import stretch
from projections.counts import recount
from projections.database import connect, scalar
from projections.rows import COLUMNS
from projections.view import SightingsView
from schemas.topics import DETECTED

# A sighting is said after it was captured, but for clocks: reads of up to a minute ahead are taken,
# and the log's own may have been set back a little.
MARGIN = 600_000_000  # microseconds
_NAMES = ", ".join(COLUMNS)


def first_offset(log: Log, topic: str, partition: int, appended_at: int) -> int:
    """Offset of the first record appended at a time (microseconds) or later, else the end."""
    low, high = log.lowest(topic, partition), log.end(topic, partition)
    while low < high:
        middle = (low + high) // 2
        found = stretch(log, topic, partition, middle, high, 1)
        if found and found[0].appended_at < appended_at:
            low = found[0].offset + 1
        else:
            high = middle
    return low


def begin(view: SightingsView, log: Log, live: dict[int, int], start: int) -> None:
    """Set an empty view's positions to where what is captured from ``start`` on can first be said.

    Not beyond ``live``, where the live view stands: what is taken over later is not older.
    """
    for partition in range(log.partitions(DETECTED.name)):
        found = first_offset(log, DETECTED.name, partition, start - MARGIN)
        view.apply(partition, 0, [], min(found, live.get(partition, 0)))


def take_over(url: str, schema: str, live: str, start: int) -> None:
    """Copy what the live view holds from before ``start``, an hour of sightings a transaction.

    Goes on where a killed one was. Sightings that change meanwhile are replayed afterwards.
    """
    until = f"to_timestamp(0) + {start} * interval '1 microsecond'"
    with closing(connect(url, schema)) as connection:
        while True:
            with connection, connection.cursor() as cursor:
                first = scalar(
                    connection,
                    f"SELECT date_bin('1 hour', min(captured_at), timestamptz '2000-01-01 00:00Z') "
                    f"FROM {live}.plate_events WHERE captured_at < {until} "
                    "AND captured_at >= (SELECT taken_until FROM view_state)",
                )
                if first is None:
                    recount(cursor, schema)
                    cursor.execute(f"UPDATE view_state SET taken_until = {until}")
                    return
                cursor.execute(
                    f"INSERT INTO plate_events ({_NAMES}) "
                    f"SELECT {_NAMES} FROM {live}.plate_events AS event "
                    f"WHERE captured_at >= %(first)s AND captured_at < {until} "
                    "AND captured_at < %(first)s + interval '1 hour' "
                    "AND NOT EXISTS (SELECT FROM erased_events AS gone "
                    "WHERE gone.event_id = event.event_id) ON CONFLICT DO NOTHING",
                    {"first": first},
                )
                cursor.execute(
                    f"UPDATE view_state SET taken_until = least({until}, %s + interval '1 hour')",
                    (first,),
                )
