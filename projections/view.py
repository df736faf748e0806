"""The writer of the sightings' view: rows and position in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, cast
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from eventlog.log import Entry
from projections.counts import COUNTED, Counts
from projections.database import alive, connect, speaking
from projections.position import Reader
from projections.rows import COLUMNS, HEADER, TRAILER, RowError, row
from projections.schema import LIVE, migrate
from projections.timescale import Policies, drop_older
from schemas.codec import Codec, DecodeError
from schemas.records import PlateEvent, Progress
from schemas.topics import DETECTED

CHANNEL = "alpr_changes"
DAY = 86_400_000_000  # microseconds
KEPT_CHANGES = 10_000  # a live page that was away for longer loads itself anew
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Erase = tuple[str, str]
Change = PlateEvent | Progress | Erase

_NAMES = ", ".join(COLUMNS)
_UPSERT = (
    f"INSERT INTO plate_events AS live ({_NAMES}) SELECT {_NAMES} FROM incoming "
    "WHERE NOT EXISTS (SELECT FROM erased_events AS gone WHERE gone.event_id = incoming.event_id) "
    "AND captured_at >= (SELECT retained_from FROM view_state) "
    "ON CONFLICT (event_id, captured_at) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
    + f" WHERE excluded.revision > live.revision RETURNING event_id, captured_at, {COUNTED}"
)
# What an upsert is about to replace. The times keep TimescaleDB from looking into every chunk; a
# second more at each end, since PostgreSQL multiplies intervals as floating point numbers.
_REPLACED = (
    f"SELECT event_id, captured_at, {COUNTED} FROM plate_events "
    "WHERE (event_id, captured_at) IN (SELECT event_id, captured_at FROM incoming) "
    "AND captured_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
)
_WATERMARK = (
    "UPDATE view_positions SET watermark = greatest(watermark, %s) "
    "WHERE topic = %s AND partition = %s"
)
# What a value can do wrong: data exception, integrity, one row twice, a limit (a key too long).
_REFUSALS = ("21", "22", "23", "54")


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that no row can hold: ``index`` is its place in the batch given."""

    index: int
    reason: str


def change_of(entry: Entry, codec: Codec) -> Change:
    """What a record of alpr.plates.detected does to the view. Raises DecodeError."""
    if entry.value is None:
        return ("erase", (entry.key or b"").decode("utf-8", "replace"))
    name, record = codec.decode(entry.value)
    if name not in DETECTED.records:
        raise DecodeError("schema", f"a {name} does not belong on {DETECTED.name}")
    return cast("Change", record)


class SightingsView:
    """Writes the sightings of one log to one schema of a database; for one thread.

    Makes the tables if there are none. Raises ViewMismatch (another log's view, a newer version,
    a server that is too old) and ViewUnavailable, here and in every method; after the latter the
    next call connects anew.
    """

    def __init__(
        self,
        url: str,
        log_uuid: str,
        schema: str = LIVE,
        policies: Policies = Policies(),  # noqa: B008 (frozen)
        topic: str = DETECTED.name,
    ) -> None:
        self._url = url
        self._log_uuid = log_uuid
        self._schema = schema
        self._topic = topic
        self._retain_days = policies.retain_days
        self._connection: Connection | None = None
        migrate(url, schema, log_uuid, policies)

    def positions(self, topic: str = DETECTED.name) -> dict[int, int]:
        """The next offset of each partition that was ever read; one that is missing is at 0."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT partition, next_offset FROM view_positions WHERE topic = %s", (topic,)
            )
            return dict(cursor.fetchall())

    def watermark(self) -> int | None:
        """The latest event time (microseconds) that a Progress has told, of any partition."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT max(watermark) FROM view_positions")
            return _scalar(cursor)

    def apply(
        self,
        partition: int,
        expected: int,
        changes: Sequence[Change],
        next_offset: int,
        on_refused: Callable[[list[Refused]], None] = lambda _: None,
    ) -> list[Refused]:
        """Write changes and move the position from ``expected`` to ``next_offset``, or neither.

        Of an event the highest revision stays, an erased one never comes back; so repeats and
        the borders of batches do not matter. Returns what the database refused: all else is
        written. A change superseded in the same batch is not looked at. ``on_refused`` is told
        of them before the position moves, so that they can be kept first.
        Raises PositionConflict when the position is not ``expected`` (0: never read).
        """
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            self._move(cursor, partition, expected, next_offset, _watermark(changes))
            batch = _Batch(changes)
            changed = batch.erase(cursor) + batch.upsert(cursor)
            if changed:
                self._announce(cursor, changed, batch.counts)
            refused = sorted(batch.refused, key=lambda refused: refused.index)
            if refused:
                on_refused(refused)
            return refused

    def forget(self, event_ids: Sequence[str]) -> None:
        """Erase sightings for ever, wherever the position is."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            batch = _Batch([("erase", event_id) for event_id in event_ids])
            erased = batch.erase(cursor)
            if erased:
                self._announce(cursor, erased, batch.counts)

    def retain(self, now: int) -> None:
        """Drop what the policies no longer keep at a time (microseconds UTC)."""
        if self._retain_days is not None:
            self.expire(now - self._retain_days * DAY)

    def expire(self, before: int) -> None:
        """Drop what was captured before ``before`` (microseconds, cut to the day in UTC).

        The view remembers it: nothing older comes back, and a rebuild leaves it out too. A day is
        a transaction, during which writers wait.
        """
        boundary = before - before % DAY
        while self._expire(boundary):
            pass

    def _expire(self, boundary: int) -> bool:
        """Drop the oldest day before a boundary; False when it is reached."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT retained_from >= %(until)s FROM view_state", {"until": _time(boundary)}
            )
            if _scalar(cursor):
                return False
            # Holds up writers, who touch their position first: none brings back what goes.
            cursor.execute("LOCK TABLE view_positions IN EXCLUSIVE MODE")
            cursor.execute("SELECT extract(epoch FROM min(captured_at)) FROM plate_events")
            oldest = _scalar(cursor)
            day_after = boundary if oldest is None else (int(oldest) * 10**6 // DAY + 1) * DAY
            until = _time(min(boundary, day_after))
            counts = Counts()
            counts.take_older(cursor, until)
            drop_older(cursor, self._schema, until)
            cursor.execute("DELETE FROM plate_events WHERE captured_at < %s", (until,))
            cursor.execute("UPDATE view_state SET retained_from = %s", (until,))
            counts.write(cursor, 0)
            return day_after < boundary

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Connection:
        if self._connection is None or not alive(self._connection):
            self.close()
            self._connection = connect(self._url, self._schema)
            try:
                self._prepare(self._connection)
            except BaseException:
                self.close()  # half prepared, it would fail for another reason the next time
                raise
        return self._connection

    def _prepare(self, connection: Connection) -> None:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMP TABLE incoming ON COMMIT DELETE ROWS AS "
                f"SELECT {_NAMES} FROM plate_events WITH NO DATA"
            )
            # A late revision may have TimescaleDB unpack more of an old day than it allows.
            cursor.execute(
                "SELECT set_config(name, '0', false) FROM pg_settings "
                "WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'"
            )

    def _move(
        self, cursor: Cursor, partition: int, expected: int, next_offset: int, watermark: int | None
    ) -> None:
        Reader(self._schema, self._log_uuid).move(
            cursor, self._topic, partition, expected, next_offset
        )
        if watermark is not None:
            cursor.execute(_WATERMARK, (watermark, self._topic, partition))

    def _announce(self, cursor: Cursor, changed: list[str], counts: Counts) -> None:
        last = counts.write(cursor, len(changed))
        cursor.execute(
            "INSERT INTO view_changes VALUES (%s, %s::uuid[]); "
            "DELETE FROM view_changes WHERE last_change < %s; "
            "SELECT pg_notify(%s, %s)",
            (last, changed, last - KEPT_CHANGES, f"{CHANNEL}_{self._schema}", str(last)),
        )


class _Batch:
    """The changes of one batch that count, and what the database made of them."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.refused: list[Refused] = []
        self.counts = Counts()
        self._erased: list[str] = []
        # revisions of a row in the order of the batch: (revision, index, event). By the table's
        # key: were an id ever used twice, what is kept would else depend on the batch's borders.
        self._events: dict[tuple[str, int], list[tuple[int, int, PlateEvent]]] = {}
        for index, change in enumerate(changes):
            if isinstance(change, tuple):
                try:
                    self._erased.append(str(UUID(change[1])))
                except ValueError:
                    self.refused.append(Refused(index, f"{change[1]!r} is no event's id"))
            elif "event_id" in change:
                event = cast("PlateEvent", change)
                key = (event["event_id"], event["captured_at"])
                versions = self._events.setdefault(key, [])
                versions.append((event["revision"], index, event))

    def erase(self, cursor: Cursor) -> list[str]:
        """Delete for ever; the ids that are new among the erased."""
        if not self._erased:
            return []
        cursor.execute(
            f"DELETE FROM plate_events WHERE event_id = ANY(%s::uuid[]) RETURNING {COUNTED}",
            (self._erased,),
        )
        self.counts.add(cursor.fetchall(), -1)
        cursor.execute(
            "INSERT INTO erased_events SELECT DISTINCT unnest(%s::uuid[]) "
            "ON CONFLICT DO NOTHING RETURNING event_id",
            (self._erased,),
        )
        return [event_id for (event_id,) in cursor.fetchall()]

    def upsert(self, cursor: Cursor) -> list[str]:
        """Write the highest revision of each event; the ids whose row changed.

        Where the highest is refused the next below it counts, as it would have in two batches.
        """
        changed: list[str] = []
        while self._events:
            rows: list[tuple[int, tuple[str, int], bytes]] = []
            for key, versions in list(self._events.items()):
                versions.sort(key=lambda version: version[:2])
                _, index, event = versions.pop()
                try:
                    rows.append((index, key, row(event)))
                except RowError as error:
                    self.refused.append(Refused(index, str(error)))
                else:
                    continue
                if not versions:
                    del self._events[key]
            again: set[tuple[str, int]] = set()
            changed += self._write(cursor, rows, again)
            for _, key, _ in rows:
                if key not in again or not self._events[key]:
                    del self._events[key]
        return changed

    def _write(
        self,
        cursor: Cursor,
        rows: list[tuple[int, tuple[str, int], bytes]],
        again: set[tuple[str, int]],
    ) -> list[str]:
        """Upsert rows, halving the batch until those that the server refuses stand alone."""
        if not rows:
            return []
        cursor.execute("SAVEPOINT rows")
        try:
            data = BytesIO(b"".join((HEADER, *(data for _, _, data in rows), TRAILER)))
            cursor.copy_expert(
                f"COPY incoming ({_NAMES}) FROM STDIN (FORMAT binary)", data, size=1 << 20
            )
            times = [captured for _, (_, captured), _ in rows]
            cursor.execute(_REPLACED, (min(times) / 1e6 - 1, max(times) / 1e6 + 1))
            before = {tuple(found[:2]): found[2:] for found in cursor.fetchall()}
            cursor.execute(_UPSERT)
        except psycopg2.Error as error:
            if (error.pgcode or "")[:2] not in _REFUSALS:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT rows")
            if len(rows) == 1:
                index, key, _ = rows[0]
                self.refused.append(Refused(index, str(error).strip()))
                again.add(key)
                return []
            half = len(rows) // 2
            return self._write(cursor, rows[:half], again) + self._write(cursor, rows[half:], again)
        written = cursor.fetchall()
        cursor.execute("TRUNCATE incoming; RELEASE SAVEPOINT rows")
        self.counts.add(found[2:] for found in written)
        keys = [tuple(found[:2]) for found in written]
        self.counts.add((before[key] for key in keys if key in before), -1)
        return [event_id for event_id, _ in keys]


def _watermark(changes: Sequence[Change]) -> int | None:
    """The latest event time that a Progress among the changes names, in microseconds."""
    marks = [
        cast("Progress", change)["watermark"]
        for change in changes
        if not isinstance(change, tuple) and "watermark" in change
    ]
    return max(marks, default=None)


def _time(microseconds: int) -> str:
    """As PostgreSQL reads it."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()


def _scalar(cursor: Cursor) -> Any:
    found = cursor.fetchone()
    if found is None:
        return None
    return found[0]
