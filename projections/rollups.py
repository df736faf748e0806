"""The chore that keeps the counts behind the analytics: projections/derived_migrations/002.

It follows the sightings' view, marks the hours in which something changed, and counts these again
from the sightings themselves: nothing is added up from changes, so no revision, retraction,
correction or erasure can leave a drift. Marks are durable; a day is counted in one transaction.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from projections.following import Following, Turn
from projections.schema import DERIVED, LIVE
from projections.shown import PEOPLE, STANDING, TEXT
from rules.spread import CONFIDENCE, DWELL, LATENCY, READS, Measure

QUARTERS = 96  # of an hour, in a day (UTC)
REST = 20
"""After a count of the newest day rest so many times as long as it took: 5 % of a processor."""
_LONGEST_REST_S = 60.0

# Days by way of the index, one look each: a distinct would read every row.
_DAYS_OF_PLATES = """
    WITH RECURSIVE days (day) AS (
        SELECT min(day) FROM plate_days
        UNION ALL
        SELECT (SELECT min(day) FROM plate_days WHERE plate_days.day > days.day)
        FROM days WHERE day IS NOT NULL
    ) SELECT day FROM days WHERE day IS NOT NULL"""
_UNMARKED = "NOT EXISTS (SELECT FROM plate_marks WHERE plate_marks.day = days.day)"

HOUR = "date_bin('1 hour', captured_at, timestamptz '2000-01-01 00:00:00+00')"
_QUARTER = "date_bin('15 minutes', captured_at, timestamptz '2000-01-01 00:00:00+00')"
_VALUES = {
    DWELL.name: "extract(epoch FROM event.last_seen - event.first_seen)",
    CONFIDENCE.name: "event.plate_confidence",
    LATENCY.name: "event.latency_ms",
    READS.name: "event.reads",
}


def bin_of(measure: Measure) -> str:
    """The bin of a measure that ``event`` belongs to, as SQL."""
    edges = ", ".join(str(edge) for edge in measure.edges)
    return f"width_bucket(({_VALUES[measure.name]})::float8, ARRAY[{edges}]::float8[])"


class Rollups:
    """Counts again what changed; a projections.keeping.Chore, for one thread.

    ``clock`` gives seconds, to rest by.
    """

    name = "rollups"

    def __init__(
        self,
        url: str,
        schema: str = DERIVED,
        view: str = LIVE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._following = Following(url, self.name, schema, view)
        self._clock = clock
        self._rested = 0.0  # when the newest day may be counted again
        self._retained: datetime | None = None
        self._marked = False  # every day, as far as is known

    def step(self) -> bool:
        """Mark what changed and count one day that is marked; whether there may be more."""
        with self._following.turn() as turn:
            if turn is not None:
                _mark(turn, self._following.view)
        with self._following.transaction() as cursor:
            counted = self._count(cursor)
        return turn is not None or counted

    def close(self) -> None:
        """Release the connection."""
        self._following.close()

    def _count(self, cursor: Cursor) -> bool:
        """Count the newest day if it has rested, else the oldest that is marked."""
        view = self._following.view
        self._drop_older(cursor, view)
        cursor.execute(
            "SELECT min(hour), max(hour), "
            f"(SELECT max(captured_at) FROM {view}.plate_events) FROM stale_hours"
        )
        oldest, newest, latest = cursor.fetchall()[0]
        if oldest is None:
            return self._mark_a_day(cursor)
        started = self._clock()
        current = latest is not None and newest.date() >= latest.date()
        if current and started < self._rested:
            if oldest.date() == newest.date():
                return self._mark_a_day(cursor)
            current = False
        count_day(cursor, view, (newest if current else oldest).date())
        self._marked = False
        if current:
            took = self._clock() - started
            self._rested = self._clock() + min(took * REST, _LONGEST_REST_S)
        return True

    def _mark_a_day(self, cursor: Cursor) -> bool:
        """Mark the plates of one day where something of another day has changed them."""
        if self._marked:
            return False
        cursor.execute(f"SELECT day FROM ({_DAYS_OF_PLATES}) AS days WHERE {_UNMARKED} LIMIT 1")
        unmarked = cursor.fetchone()
        if unmarked is None:
            self._marked = True
            return False
        mark_plates(cursor, unmarked[0])
        return True

    def _drop_older(self, cursor: Cursor, view: str) -> None:
        """Retention changes no sighting, so it tells no change: see whether it dropped days."""
        cursor.execute(f"SELECT retained_from FROM {view}.view_state WHERE isfinite(retained_from)")
        row = cursor.fetchone()
        if row is None or row[0] == self._retained:
            return
        cursor.execute(
            "INSERT INTO stale_hours SELECT DISTINCT hour FROM counted_hours WHERE hour < %(at)s "
            "UNION SELECT day::timestamp AT TIME ZONE 'UTC' FROM plate_days WHERE day < %(at)s "
            "ON CONFLICT DO NOTHING",
            {"at": row[0]},
        )
        self._retained = row[0]


def _mark(turn: Turn, view: str) -> None:
    """Mark the hours of what changed; of what was erased nobody knows the hour, so it is sought
    by the numbers of rows.
    """
    if turn.whole:
        # Days by way of the index, one look each: a distinct over all rows would read them all.
        turn.cursor.execute(
            f"""
            INSERT INTO stale_hours
            WITH RECURSIVE days (at) AS (
                SELECT date_trunc('day', min(captured_at)) FROM {view}.plate_events
                UNION ALL
                SELECT (SELECT date_trunc('day', min(captured_at)) FROM {view}.plate_events
                        WHERE captured_at >= days.at + interval '1 day')
                FROM days WHERE days.at IS NOT NULL
            )
            SELECT hour FROM days, generate_series(at, at + interval '23 hours', '1 hour') AS hour
            WHERE at IS NOT NULL
            UNION SELECT hour FROM counted_hours
            UNION SELECT DISTINCT day::timestamp AT TIME ZONE 'UTC' FROM plate_days
            ON CONFLICT DO NOTHING
            """
        )
        return
    turn.cursor.execute(
        f"WITH found AS (SELECT event_id, {HOUR} AS hour FROM {view}.plate_events "
        "WHERE event_id = ANY(%(ids)s::uuid[])), "
        "marked AS (INSERT INTO stale_hours SELECT DISTINCT hour FROM found "
        "ON CONFLICT DO NOTHING) "
        "SELECT count(DISTINCT event_id) FROM found",
        {"ids": turn.changed},
    )
    ((known,),) = turn.cursor.fetchall()
    if known < len(turn.changed):
        turn.cursor.execute(
            f"INSERT INTO stale_hours SELECT hour FROM (SELECT {HOUR} AS hour, count(*) AS held "
            f"FROM {view}.plate_events GROUP BY 1) AS held FULL JOIN (SELECT hour, sum(held) "
            "AS held FROM counted_hours GROUP BY 1) AS counted USING (hour) "
            "WHERE held.held IS DISTINCT FROM counted.held ON CONFLICT DO NOTHING"
        )


def count_day(cursor: Cursor, view: str, day: date) -> None:
    """Count the marked hours of a day (UTC), and its plates, from the sightings."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    cursor.execute(
        "DELETE FROM stale_hours WHERE hour >= %s AND hour < %s RETURNING hour", (start, end)
    )
    hours = sorted(hour for (hour,) in cursor.fetchall())
    within = {"hours": hours, "first": hours[0], "until": hours[-1] + timedelta(hours=1)}
    cursor.execute(_quarters(view), within)
    _count_hours(cursor, view, within)
    for statement in _plates(view):
        cursor.execute(statement, {"start": start, "end": end, "day": day})
    mark_plates(cursor, day)


def mark_plates(cursor: Cursor, day: date) -> None:
    """Count a day's plates by the quarters of an hour that ``plate_marks`` tells."""
    cursor.execute(
        """
        SELECT kind, quarter, count(*) FROM plate_days, LATERAL (VALUES
            (0, quarter_of(last_at, day)),
            (1, greatest(quarter_of(first_at, day), quarter_of(before, day - 1))),
            (2, CASE WHEN before IS NULL THEN quarter_of(first_at, day) END)
        ) AS at (kind, quarter) WHERE day = %s AND quarter IS NOT NULL GROUP BY 1, 2
        """,
        (day,),
    )
    counts = [[0] * QUARTERS for _ in range(3)]
    for kind, quarter, plates in cursor.fetchall():
        counts[kind][quarter] = plates
    if not any(map(any, counts)):
        cursor.execute("DELETE FROM plate_marks WHERE day = %s", (day,))
        return
    cursor.execute(
        "INSERT INTO plate_marks VALUES (%s, %s, %s, %s) ON CONFLICT (day) DO UPDATE "
        "SET (last, renewed, new) = (excluded.last, excluded.renewed, excluded.new)",
        (day, *counts),
    )


def _rows(view: str) -> str:
    """The sightings of the hours given, with what people said of them; in one stretch, since the
    hours that are marked mostly lie side by side.
    """
    return (
        f"{view}.plate_events AS event LEFT JOIN {PEOPLE}.corrected AS said USING (event_id) "
        "WHERE captured_at >= %(first)s AND captured_at < %(until)s "
        f"AND {HOUR} = ANY(%(hours)s::timestamptz[])"
    )


def _quarters(view: str) -> str:
    """Replaces the counts of some hours by quarters; what is as it was is not written."""
    key = "quarter, camera_id, site_id, vehicle_type, region"
    return f"""
        WITH now AS MATERIALIZED (
            SELECT {_QUARTER} AS quarter, camera_id, site_id,
                coalesce(vehicle_type, '') AS vehicle_type, coalesce(plate_region, '') AS region,
                count(*)::integer AS sightings
            FROM {_rows(view)} AND {STANDING} GROUP BY 1, 2, 3, 4, 5
        ), gone AS (
            DELETE FROM counted_quarters AS counted
            WHERE counted.quarter >= %(first)s AND counted.quarter < %(until)s
                AND date_trunc('hour', counted.quarter) = ANY(%(hours)s::timestamptz[])
                AND NOT EXISTS (SELECT FROM now WHERE ({_each("now", key)})
                    = ({_each("counted", key)}))
        )
        INSERT INTO counted_quarters AS counted SELECT * FROM now
        ON CONFLICT ({key}) DO UPDATE SET sightings = excluded.sightings
        WHERE counted.sightings <> excluded.sightings
    """


_NUMBERS = {
    "held": "count(*)",
    "sightings": f"count(*) FILTER (WHERE {STANDING})",
    "reads": f"coalesce(sum(event.reads) FILTER (WHERE {STANDING}), 0)",
    "revised": f"count(*) FILTER (WHERE {STANDING} AND event.was <> '[]')",
    "corrected": f"count(*) FILTER (WHERE {STANDING} AND said.text IS NOT NULL)",
    "hidden": "count(*) FILTER (WHERE event.status <> 'retracted' AND said.hidden)",
    "retracted": "count(*) FILTER (WHERE event.status = 'retracted' AND event.merged_into IS NULL)",
    "merged": "count(*) FILTER (WHERE event.status = 'retracted' "
    "AND event.merged_into IS NOT NULL)",
}
_BINNED = {"dwell": DWELL, "confidence": CONFIDENCE, "latency": LATENCY, "read_often": READS}


def _count_hours(cursor: Cursor, view: str, within: Mapping[str, Any]) -> None:
    """Replaces the numbers and histograms of some hours.

    The server tells each group's bins, and they are counted here: a histogram of 84 bins there
    would be 84 conditions for each sighting.
    """
    bins = ", ".join(
        f"array_agg({bin_of(measure)}) FILTER (WHERE {STANDING})" for measure in _BINNED.values()
    )
    cursor.execute(
        f"SELECT {HOUR} AS hour, camera_id, site_id, {', '.join(_NUMBERS.values())}, {bins} "
        f"FROM {_rows(view)} GROUP BY 1, 2, 3",
        within,
    )
    found: list[tuple[Any, ...]] = []
    for row in cursor.fetchall():
        numbers, groups = row[: -len(_BINNED)], row[-len(_BINNED) :]
        histograms = (
            _histogram(bins or (), measure)
            for bins, measure in zip(groups, _BINNED.values(), strict=True)
        )
        found.append((*numbers, *histograms))
    cursor.execute(
        "DELETE FROM counted_hours WHERE hour = ANY(%s::timestamptz[]) "
        "AND (hour, camera_id, site_id) NOT IN "
        "(SELECT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[]))",
        (within["hours"], *([row[column] for row in found] for column in range(3))),
    )
    key = "hour, camera_id, site_id"
    names = ", ".join((*_NUMBERS, *_BINNED))
    execute_values(
        cursor,
        f"INSERT INTO counted_hours AS counted ({key}, {names}) VALUES %s "
        f"ON CONFLICT ({key}) DO UPDATE SET ({names}) = ({_each('excluded', names)}) "
        f"WHERE ({_each('counted', names)}) IS DISTINCT FROM ({_each('excluded', names)})",
        found,
        template=f"({', '.join(['%s'] * (3 + len(_NUMBERS)))}{', %s::integer[]' * len(_BINNED)})",
        page_size=500,
    )


def _histogram(bins: Iterable[int], measure: Measure) -> str:
    """How many are in each bin, as PostgreSQL reads an array."""
    counts = [0] * measure.bins
    for one in bins:
        counts[one] += 1
    return f"{{{','.join(map(str, counts))}}}"


def _plates(view: str) -> tuple[str, ...]:
    """Replaces a day's plates, then what follows from them: totals, and when each was before."""
    return (
        'CREATE TEMP TABLE IF NOT EXISTS found (plate text COLLATE "C", sightings integer, '
        "first_at timestamptz, last_at timestamptz) ON COMMIT DELETE ROWS",
        'CREATE TEMP TABLE IF NOT EXISTS moved (plate text COLLATE "C", sightings integer, '
        "first_at timestamptz, last_at timestamptz, more bigint, was_last_at timestamptz) "
        "ON COMMIT DELETE ROWS",
        "TRUNCATE pg_temp.found, pg_temp.moved",
        f"""
        INSERT INTO found
        SELECT {TEXT} AS plate, count(*)::integer AS sightings, min(captured_at) AS first_at,
            max(captured_at) AS last_at
        FROM {view}.plate_events AS event
        LEFT JOIN {PEOPLE}.corrected AS said USING (event_id)
        WHERE captured_at >= %(start)s AND captured_at < %(end)s AND {STANDING} GROUP BY 1
        """,
        # What is another than it was, with what it was.
        """
        INSERT INTO moved
        SELECT plate, found.sightings, found.first_at, found.last_at,
            coalesce(found.sightings, 0) - coalesce(old.sightings, 0) AS more,
            old.last_at AS was_last_at
        FROM found FULL JOIN (SELECT * FROM plate_days WHERE day = %(day)s) AS old USING (plate)
        WHERE (found.sightings, found.first_at, found.last_at)
            IS DISTINCT FROM (old.sightings, old.first_at, old.last_at)
        """,
        "DELETE FROM plate_days USING moved WHERE day = %(day)s "
        "AND plate_days.plate = moved.plate AND moved.sightings IS NULL",
        """
        INSERT INTO plate_days AS days
        SELECT plate, %(day)s, sightings, first_at, last_at,
            (SELECT last_at FROM plate_days AS earlier WHERE earlier.plate = moved.plate
             AND earlier.day < %(day)s ORDER BY earlier.day DESC LIMIT 1)
        FROM moved WHERE sightings IS NOT NULL ORDER BY plate
        ON CONFLICT (plate, day) DO UPDATE SET sightings = excluded.sightings,
            first_at = excluded.first_at, last_at = excluded.last_at
        """,
        # The next day on which such a plate is there knows it by its last time before.
        """
        WITH later AS (UPDATE plate_days AS days SET before = latest.last_at
        FROM moved
        CROSS JOIN LATERAL (SELECT day FROM plate_days AS later WHERE later.plate = moved.plate
            AND later.day > %(day)s ORDER BY later.day LIMIT 1) AS following
        LEFT JOIN LATERAL (SELECT last_at FROM plate_days AS earlier
            WHERE earlier.plate = moved.plate AND earlier.day <= %(day)s
            ORDER BY earlier.day DESC LIMIT 1) AS latest ON true
        WHERE moved.last_at IS DISTINCT FROM moved.was_last_at
            AND days.plate = moved.plate AND days.day = following.day
            AND days.before IS DISTINCT FROM latest.last_at
        RETURNING days.day)
        DELETE FROM plate_marks USING later WHERE plate_marks.day = later.day
        """,
        """
        INSERT INTO plate_totals AS totals
        SELECT plate, more FROM moved WHERE more <> 0 ORDER BY plate
        ON CONFLICT (plate) DO UPDATE SET sightings = totals.sightings + excluded.sightings
        """,
        "DELETE FROM plate_totals USING moved WHERE plate_totals.plate = moved.plate "
        "AND plate_totals.sightings = 0",
    )


def _each(table: str, names: str) -> str:
    return ", ".join(f"{table}.{name}" for name in names.split(", "))
