"""Analytics from the roll-ups in PostgreSQL; where those cannot tell, from the sightings."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from projections import shown
from projections.analytics import Behind, By, Counts, Scope
from projections.asking import Asking, Row, storable
from projections.grant import among
from projections.rollups import Rollups
from projections.schema import DERIVED, LIVE
from projections.veil import lifted, told
from rules.spread import MEASURES

TIMEOUT_MS = 5_000
CONNECTIONS = 3
"""Few: however many ask, they keep no more of the server busy, and the rest of the API its own."""

_GROUPS: dict[By, str] = {
    "all": "''::text",
    "camera": "camera_id",
    "site": "site_id",
    "type": "vehicle_type",
    "region": "region",
}
_BY_HOUR: tuple[By, ...] = ("all", "camera", "site")
_COLUMNS = {"reads": "read_often"}
_DAY, _INSTANT = timedelta(days=1), timedelta(microseconds=1)
_STALE_HOURS = 48  # beyond, their plates are too many to look at each
_FIRST, _MOST = 300, 20_000
"""How many of the most frequent plates of all are looked at first, to learn how often those wanted
are there at least; and how many that are there as often in all time, until every sighting is."""


class RollupAnalytics(Asking):
    """Analytics of one view; see projections.analytics.Analytics."""

    def __init__(
        self,
        url: str,
        view: str = LIVE,
        derived: str = DERIVED,
        connections: int = CONNECTIONS,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        super().__init__(url, view, f"{derived}.counted_hours", connections, timeout_ms)
        self._derived = derived

    def behind(self) -> Behind:
        """How much is not counted yet."""
        found = self._all(
            f"SELECT changes - coalesce((SELECT cursors.changes FROM {self._derived}.cursors "
            "WHERE chore = %s AND cursors.view = 'plate_events'::regclass::oid), 0) AS changes, "
            f"(SELECT count(*) FROM {self._derived}.stale_hours) AS hours FROM view_state",
            (Rollups.name,),
        )[0]
        return Behind(max(0, found["changes"]), found["hours"])

    def counts(self, marks: Sequence[datetime], scope: Scope, by: By, limit: int) -> Counts:
        """Sightings by bucket, for each of the ``limit`` largest groups."""
        where, values = _where(scope)
        at = "hour" if by in _BY_HOUR and all(_whole(mark, 60) for mark in marks) else "quarter"
        rows = self._all(
            f"""
            WITH counted AS MATERIALIZED (
                SELECT width_bucket({at}, %s::timestamptz[]) - 1 AS bucket,
                    {_GROUPS[by]} COLLATE "C" AS name, sum(sightings)::bigint AS sightings
                FROM {self._derived}.counted_{at}s
                WHERE {at} >= %s AND {at} < %s AND sightings > 0 {where} GROUP BY 1, 2
            ), largest AS (
                SELECT name, row_number() OVER (ORDER BY sum(sightings) DESC, name) AS rank
                FROM counted GROUP BY name ORDER BY rank LIMIT %s
            )
            SELECT rank, max(largest.name) AS name, bucket, sum(sightings)::bigint AS sightings
            FROM counted LEFT JOIN largest USING (name) GROUP BY rank, bucket ORDER BY rank
            """,
            [list(marks), marks[0], marks[-1], *values, limit],
        )
        groups: dict[str, list[int]] = {}
        other = [0] * (len(marks) - 1)
        for row in rows:
            name, bucket = row["name"], row["bucket"]
            counts = other if row["rank"] is None else groups.setdefault(name, [0] * len(other))
            counts[bucket] = row["sightings"]
        return Counts(groups, other)

    def plates(self, marks: Sequence[datetime], scope: Scope) -> list[tuple[int, int]]:
        """Different and new plates of each bucket."""
        where, values = _where(scope, "event.")
        named = {"marks": list(marks), "start": marks[0], "end": marks[-1]}
        if values:
            rows = self._all(_seen(where), named | {f"v{n}": v for n, v in enumerate(values)})
        elif (marked := self._marked(marks)) is not None:
            return marked
        else:
            statement = _ONE_EACH if _one_a_day(marks) else _DAYS
            rows = self._all(statement.format(derived=self._derived), named)
        found = {row["bucket"]: (row["different"], row["new"]) for row in rows}
        return [found.get(bucket, (0, 0)) for bucket in range(len(marks) - 1)]

    def _marked(self, marks: Sequence[datetime]) -> list[tuple[int, int]] | None:
        """The same from the marks of each day (UTC), where all buckets are days of 24 hours.

        A plate is there on a local day that begins at a quarter of one UTC day if it is last seen
        from that quarter on, or on the next UTC day before that quarter and not on this one since.
        """
        if not all(_whole(mark, 15) for mark in marks) or any(
            end - start != _DAY for start, end in pairwise(marks)
        ):
            return None
        first = marks[0].astimezone(UTC)
        quarter = (first.hour * 60 + first.minute) // 15
        dates = [(first + n * _DAY).date() for n in range(len(marks))]
        rows = self._all(
            "SELECT day, last, renewed, new, last IS NOT NULL AS marked "
            f"FROM unnest(%s::date[]) AS days (day) LEFT JOIN {self._derived}.plate_marks "
            f"USING (day) WHERE last IS NOT NULL OR EXISTS (SELECT FROM {self._derived}.plate_days "
            "WHERE plate_days.day = days.day)",
            (dates,),
        )
        if not all(row["marked"] for row in rows):
            return None
        found = {row["day"]: row for row in rows}

        def plates(kind: str, day: date, quarters: slice) -> int:
            return sum(found[day][kind][quarters]) if day in found else 0

        since, until = slice(quarter, None), slice(quarter)
        return [
            (
                plates("last", day, since) + plates("renewed", after, until),
                plates("new", day, since) + plates("new", after, until),
            )
            for day, after in pairwise(dates)
        ]

    def top(self, start: datetime, end: datetime, scope: Scope, limit: int) -> list[Row]:
        """The plates there most often.

        A plate is there at most as often as in all time. So the most frequent of all are looked
        at, and those whose total is being counted again, then whoever may be there more often than
        the last of those (Fagin's threshold algorithm); where all are alike, every sighting is.
        """
        if not all(map(storable, (scope.camera, scope.site))):
            return []
        with lifted():  # what is looked at is not told
            rows = self._top_among(start, end, scope, limit, self.behind())
        return told(rows)

    def spread(
        self, measure: str, start: datetime, end: datetime, scope: Scope
    ) -> dict[str, list[int]]:
        """The histogram of a measure for each camera."""
        column = _COLUMNS.get(measure, measure)
        where, values = _where(scope)
        sums = ", ".join(f"sum({column}[{n + 1}])" for n in range(MEASURES[measure].bins))
        rows = self._all(
            f"SELECT camera_id, ARRAY[{sums}]::bigint[] AS counts "
            f"FROM {self._derived}.counted_hours "
            f"WHERE hour >= %s AND hour < %s AND sightings > 0 {where} "
            'GROUP BY camera_id ORDER BY camera_id COLLATE "C"',
            [start, end, *values],
        )
        return {row["camera_id"]: row["counts"] for row in rows}

    def quality(self, start: datetime, end: datetime, scope: Scope) -> list[Row]:
        """How reading went, a row a camera."""
        where, values = _where(scope)
        names = ("sightings", "revised", "corrected", "hidden", "retracted", "merged")
        sums = ", ".join(f"sum({name})::bigint AS {name}" for name in names)
        return self._all(
            f"SELECT camera_id, sum(reads)::bigint AS read_total, {sums} "
            f"FROM {self._derived}.counted_hours WHERE hour >= %s AND hour < %s {where} "
            'GROUP BY camera_id ORDER BY camera_id COLLATE "C"',
            [start, end, *values],
        )

    def corrections(self, start: datetime, end: datetime, scope: Scope) -> list[Row]:
        """Sightings of a time that a person corrected: ``event_id``, ``hidden``, ``text``,
        ``captured_at``, ``camera_id``. For a view that does not hold corrections.
        """
        where, values = _where(scope, "event.")
        with lifted():
            return self._all(
                "SELECT event_id::text, said.hidden, said.text, event.captured_at, "
                f"event.camera_id FROM plate_events AS event JOIN {shown.PEOPLE}.corrected AS said "
                "USING (event_id) WHERE event.status <> 'retracted' "
                f"AND captured_at >= %s AND captured_at < %s {where} ORDER BY event_id",
                [start, end, *values],
            )

    def _top_among(
        self, start: datetime, end: datetime, scope: Scope, limit: int, behind: Behind
    ) -> list[Row]:
        where, values = _where(scope, "event.")
        columns = (
            f"SELECT {shown.TEXT} AS plate, count(*) AS sightings, "
            "date_trunc('milliseconds', min(captured_at)) AS first_seen, "
            f"date_trunc('milliseconds', max(captured_at)) AS last_seen FROM {shown.FROM} "
            f"WHERE {shown.STANDING} AND captured_at >= %s AND captured_at < %s {where} "
        )
        order = f'GROUP BY 1 ORDER BY sightings DESC, {shown.TEXT} COLLATE "C" LIMIT %s'
        if behind.hours > _STALE_HOURS:
            return self._all(f"{columns} {order}", [start, end, *values, limit])
        counted = None if values else self._counted_days(start, end, behind)
        uncounted = self._in_stale_hours(start, end)

        def most_frequent(totals: list[Row]) -> list[Row]:
            names = sorted(uncounted | {row["plate"] for row in totals})
            if counted is not None:
                return self._added(counted, start, end, names, limit)
            return self._all(
                f"{columns} AND {shown.of_plates()} {order}",
                [start, end, *values, names, names, limit],
            )

        first = max(_FIRST, 2 * limit)
        totals = self._totals("true", [], first)
        found = most_frequent(totals)
        if len(totals) < first and behind.changes == 0:
            return found  # there are no other plates
        # What is there less often in all time, and has changed since, cannot be among them.
        least = found[-1]["sightings"] - behind.changes if len(found) == limit else 0
        if totals and least > totals[-1]["sightings"]:
            return found
        if least > 0:
            totals = self._totals("sightings >= %s", [least], _MOST + 1)
            if len(totals) <= _MOST:
                return most_frequent(totals)
        return self._all(f"{columns} {order}", [start, end, *values, limit])

    def _totals(self, condition: str, values: list[int], most: int) -> list[Row]:
        """The most frequent plates of all time, with their ``sightings``."""
        return self._all(
            f"SELECT plate, sightings FROM {self._derived}.plate_totals WHERE {condition} "
            "ORDER BY sightings DESC LIMIT %s",
            [*values, most],
        )

    def _counted_days(self, start: datetime, end: datetime, behind: Behind) -> list[date] | None:
        """The days (UTC) of a time whose plates are counted as they are; None if not known."""
        first, last = _midnight(start + _DAY - _INSTANT), _midnight(end)
        if behind.changes:
            (row,) = self._all(
                "SELECT min(captured_at) AS earliest, count(*) = count(captured_at) AS known "
                "FROM view_changes CROSS JOIN unnest(event_ids) AS changed (event_id) "
                "LEFT JOIN plate_events USING (event_id) WHERE last_change > "
                f"(SELECT changes FROM {self._derived}.cursors WHERE chore = %s)",
                (Rollups.name,),
            )
            if not row["known"] or row["earliest"] is None:
                return None
            last = min(last, _midnight(row["earliest"]))
        stale = self._all(
            "SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day "
            f"FROM {self._derived}.stale_hours WHERE hour >= %s AND hour < %s",
            (first, last),
        )
        without = {row["day"] for row in stale}
        days = ((first + n * _DAY).date() for n in range((last - first) // _DAY))
        return [day for day in days if day not in without]

    def _added(
        self, counted: Sequence[date], start: datetime, end: datetime, names: list[str], limit: int
    ) -> list[Row]:
        """The most frequent of some plates, by their days that are counted and, between those, by
        their sightings.
        """
        midnights = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in counted]
        begins = [start, *(midnight + _DAY for midnight in midnights)]
        between = [(a, b) for a, b in zip(begins, [*midnights, end], strict=True) if a < b]
        parts = [
            # Plate by plate, which is all in the index: by days the server would read all plates.
            "SELECT named.plate, days.* FROM named, LATERAL ("
            "SELECT sum(sightings) AS sightings, min(first_at), max(last_at) "
            f"FROM {self._derived}.plate_days WHERE plate = named.plate "
            "AND day = ANY(%s)) AS days WHERE days.sightings > 0"
        ]
        values: list[Any] = [names, list(counted)]
        any_of_them = shown.of_plates("ARRAY(SELECT plate FROM named)")
        for piece in between:
            parts.append(
                f"SELECT {shown.TEXT}, 1, captured_at, captured_at FROM {shown.FROM} WHERE "
                f"{shown.STANDING} AND captured_at >= %s AND captured_at < %s AND {any_of_them}"
            )
            values += piece
        return self._all(
            # Not as constants: planning with thousands takes as long as the answer.
            "WITH named AS MATERIALIZED (SELECT unnest(%s::text[]) AS plate) "
            "SELECT plate, sum(sightings)::bigint AS sightings, "
            "date_trunc('milliseconds', min(first_at)) AS first_seen, "
            "date_trunc('milliseconds', max(last_at)) AS last_seen "
            f"FROM ({' UNION ALL '.join(parts)}) AS added (plate, sightings, first_at, last_at) "
            'GROUP BY 1 ORDER BY 2 DESC, plate COLLATE "C" LIMIT %s',
            [*values, limit],
        )

    def _in_stale_hours(self, start: datetime, end: datetime) -> set[str]:
        """Plates whose total is not counted yet, by sightings of a time."""
        stale = self._all(
            f"SELECT hour FROM {self._derived}.stale_hours "
            "WHERE hour > %s - interval '1 hour' AND hour < %s ORDER BY hour",
            (start, end),
        )
        found: set[str] = set()
        for row in stale:  # one by one: the server would join by reading every sighting
            rows = self._all(
                f"SELECT DISTINCT {shown.TEXT} AS plate FROM {shown.FROM} "
                "WHERE captured_at >= %(hour)s AND captured_at < %(hour)s + interval '1 hour'",
                row,
            )
            found |= {one["plate"] for one in rows}
        return found


def _where(scope: Scope, table: str = "") -> tuple[str, list[Any]]:
    """Further conditions and their values."""
    conditions, values = among(f"{table}camera_id")
    given: list[Any] = list(values)
    for column, value in (("camera_id", scope.camera), ("site_id", scope.site)):
        if value is not None:
            if storable(value):
                conditions.append(f"{table}{column} = %s")
                given.append(value)
            else:
                conditions.append("false")
    return "".join(f" AND {one}" for one in conditions), given


# A plate counts on the day that it is first there: where its time before is not of that day.
_DAYS = """
WITH local AS (
    SELECT place - 1 AS bucket, mark AS starts, lead(mark) OVER (ORDER BY place) AS ends
    FROM unnest(%(marks)s::timestamptz[]) WITH ORDINALITY AS marks (mark, place)
)
SELECT bucket, count(*) AS different,
    count(*) FILTER (WHERE before IS NULL AND first_at >= starts) AS new
FROM local JOIN {derived}.plate_days
    ON day >= (starts AT TIME ZONE 'UTC')::date
    AND day <= ((ends - interval '1 microsecond') AT TIME ZONE 'UTC')::date
WHERE first_at < ends AND last_at >= starts AND (before IS NULL OR before < starts)
GROUP BY bucket
"""


# The same where every day (UTC) holds one local midnight, as all but those on which some clocks
# change do: in one pass, since each row is then of two local days at most.
_ONE_EACH = """
WITH local AS MATERIALIZED (
    SELECT place - 1 AS bucket, mark AS midnight, (mark AT TIME ZONE 'UTC')::date AS day,
        coalesce(lag(mark) OVER (ORDER BY place), '-infinity') AS midnight_before
    FROM unnest(%(marks)s::timestamptz[]) WITH ORDINALITY AS marks (mark, place)
), counted AS MATERIALIZED (
    SELECT bucket,
        count(*) FILTER (WHERE last_at >= midnight) AS after,
        count(*) FILTER (WHERE last_at >= midnight AND first_at >= midnight AND before IS NULL)
            AS new_after,
        count(*) FILTER (WHERE first_at < midnight
            AND (before IS NULL OR before < midnight_before)) AS until,
        count(*) FILTER (WHERE first_at < midnight AND before IS NULL) AS new_until
    FROM local JOIN {derived}.plate_days USING (day)
    WHERE day >= (%(start)s AT TIME ZONE 'UTC')::date AND day <= (%(end)s AT TIME ZONE 'UTC')::date
    GROUP BY bucket
)
SELECT local.bucket, coalesce(begun.after, 0) + coalesce(ended.until, 0) AS different,
    coalesce(begun.new_after, 0) + coalesce(ended.new_until, 0) AS new
FROM local LEFT JOIN counted AS begun ON begun.bucket = local.bucket
LEFT JOIN counted AS ended ON ended.bucket = local.bucket + 1
"""


def _midnight(at: datetime) -> datetime:
    """The beginning of the day (UTC) of a time."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _whole(mark: datetime, minutes: int) -> bool:
    """Whether a time is at a whole so many minutes of an hour (UTC)."""
    at = mark.astimezone(UTC)
    return at.minute % minutes == at.second == at.microsecond == 0


def _one_a_day(marks: Sequence[datetime]) -> bool:
    """Whether marks are of consecutive days (UTC), one each."""
    dates = [mark.astimezone(UTC).date().toordinal() for mark in marks]
    return dates == list(range(dates[0], dates[0] + len(marks)))


def _seen(where: str) -> str:
    """Different and new plates of some cameras, from their sightings."""
    for n in range(where.count("%s")):
        where = where.replace("%s", f"%(v{n})s", 1)
    mine = f"{shown.STANDING} {where}"
    return f"""
    WITH seen AS MATERIALIZED (
        SELECT {shown.TEXT} AS plate,
            width_bucket(captured_at, %(marks)s::timestamptz[]) - 1 AS bucket
        FROM {shown.FROM} WHERE captured_at >= %(start)s AND captured_at < %(end)s AND {mine}
        GROUP BY 1, 2
    ), firsts AS (
        SELECT plate, min(bucket) AS bucket FROM seen GROUP BY plate
    ), fresh AS (
        SELECT bucket, count(*) AS new FROM firsts WHERE NOT EXISTS (
            SELECT FROM {shown.FROM} WHERE event.plate_normalized_text = firsts.plate
                AND said.text IS NULL AND captured_at < %(start)s AND {mine}
        ) AND NOT EXISTS (
            SELECT FROM {shown.FROM} WHERE said.text = firsts.plate
                AND captured_at < %(start)s AND {mine}
        ) GROUP BY bucket
    )
    SELECT bucket, count(*) AS different, coalesce(max(fresh.new), 0) AS new
    FROM seen LEFT JOIN fresh USING (bucket) GROUP BY bucket
    """
