"""Builds the alerts' view anew beside the live one, compares the two, and swaps them.

Nobody is told anything by it: it reads the log and writes tables.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from eventlog.log import Log, OffsetGone
from eventlog.span import stretch
from projections.alert_schema import ALERTS_LIVE, alert_migrations, channel
from projections.alert_view import SHOWN, AlertView, Change, alert_change_of
from projections.beside import Beside, differing
from projections.database import connect, scalar, speaking
from projections.errors import ViewMismatch
from projections.rebuild import Replayed
from projections.schema import version_of
from schemas.codec import Codec, DecodeError
from schemas.topics import ALERTS, NOTIFICATIONS

NEXT = f"{ALERTS_LIVE}_next"
OLD = f"{ALERTS_LIVE}_old"
VIEW = Beside(ALERTS_LIVE, NEXT, OLD, lock=0x616C7072_61)  # 'alpra'

_BATCH = 2_000  # records a transaction
_NEAR = 2_000  # records behind at which the live view's writer may be stopped: under a second
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TABLES = {
    "alerts": "raised_at",
    "alert_history": "appended_at",
    "notifications": "at",
    "rule_versions": "appended_at",
    "watchlist": "appended_at",
}
"""What is compared, and by the hour of which column."""

Places = Mapping[tuple[str, int], int]
"""Offsets by topic and partition."""


@dataclass(frozen=True, slots=True)
class TableDifference:
    """An hour (UTC) in which the two views do not hold the same rows of a table."""

    table: str
    hour: datetime
    live_rows: int
    rebuilt_rows: int


@dataclass(frozen=True, slots=True)
class RebuiltAlerts:
    """What a rebuild came to. ``differences`` is None where there was nothing to compare with:

    no view, one of another log or of another version, or one that is ahead of the log.
    """

    rows: int
    refused: int
    differences: list[TableDifference] | None


def rebuild_alerts(
    url: str,
    log: Log,
    codec: Codec,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    now: Callable[[], float] = time.time,
    *,
    swap: bool = True,
) -> RebuiltAlerts:
    """Replay the log into a second schema, compare it with the live one, swap their names.

    May be killed and called again: it goes on where it was. The live view is read and written
    meanwhile; for the swap its writer waits while the last records are replayed, its readers
    never do. What the log no longer holds is taken over from the live view: alerts that began
    before its retention (``now`` gives seconds since 1970), and attempts. The old view stays as
    ``alpr_alerts_old`` until ``drop_old_alerts``. With ``swap`` False nothing changes but the
    second schema. Raises ViewUnavailable, ViewError where another replay is under way.
    """
    with speaking(url), VIEW.alone(url):
        replay = _Replay(url, log, codec, on_progress, int(now() * 1e6))
        try:
            _catch_up(replay, url, log)
            differences = _compare(replay, url, log)
            if swap:
                _swap(replay, url, log)
            with closing(connect(url, ALERTS_LIVE if swap else NEXT)) as connection:
                rows = scalar(connection, "SELECT count(*) FROM alerts")
        finally:
            replay.close()
    return RebuiltAlerts(rows, replay.refused, differences)


def drop_old_alerts(url: str) -> bool:
    """Remove the view that the last swap replaced; False where there was none."""
    return VIEW.drop_old(url)


class _Replay:
    """The second view and how far it is."""

    def __init__(
        self,
        url: str,
        log: Log,
        codec: Codec,
        on_progress: Callable[[Replayed], None],
        now: int,
    ) -> None:
        self._url, self._log, self._codec = url, log, codec
        self._on_progress, self._now = on_progress, now
        self.refused = 0
        try:
            self._view = AlertView(url, log.uuid, NEXT)
        except ViewMismatch:
            self._anew()  # a rebuild of another log or another version was left here

    def to(self, target: Places) -> None:
        """Replay each partition up to its offset in ``target``, and not a record further."""
        while not self._reach(target):
            self._view.close()
            self._anew()

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition of the second view."""
        return {
            (topic, partition): position
            for topic in SHOWN
            for partition, position in self._view.positions(topic).items()
        }

    def erase(self, connection: Connection) -> None:
        """What the live view has erased is to go here as well, whichever log's it is."""
        if scalar(connection, "SELECT to_regclass('erased_alerts')") is None:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT alert_id FROM erased_alerts "
                f"EXCEPT SELECT alert_id FROM {NEXT}.erased_alerts"
            )
            self._view.forget([alert_id for (alert_id,) in cursor.fetchall()])

    def take_over(self, connection: Connection) -> None:
        """What the log no longer holds and the live view of it does is to come here."""
        if version_of(connection) != alert_migrations()[-1].version:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT alert_id FROM alert_history AS live WHERE appended_at < %s "
                f"AND NOT EXISTS (SELECT FROM {NEXT}.alert_history AS rebuilt "
                "WHERE rebuilt.alert_id = live.alert_id AND rebuilt.partition = live.partition "
                "AND rebuilt.log_offset = live.log_offset)",
                (_EPOCH + timedelta(microseconds=self._now - (ALERTS.retention_us or 0)),),
            )
            begun_before = [alert_id for (alert_id,) in cursor.fetchall()]
        with closing(connect(self._url, NEXT)) as own, own, own.cursor() as cursor:
            for table in ("alerts", "alert_history"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE alert_id = ANY(%(ids)s::uuid[]); "
                    f"INSERT INTO {table} SELECT * FROM {ALERTS_LIVE}.{table} "
                    "WHERE alert_id = ANY(%(ids)s::uuid[])",
                    {"ids": begun_before},
                )
            for partition in range(self._log.partitions(NOTIFICATIONS.name)):
                cursor.execute(
                    f"INSERT INTO notifications SELECT * FROM {ALERTS_LIVE}.notifications "
                    "WHERE partition = %s AND log_offset < %s "
                    "ON CONFLICT (notification_id, attempt, outcome) DO UPDATE "
                    "SET log_offset = excluded.log_offset, at = excluded.at, "
                    "detail = excluded.detail, duration_ms = excluded.duration_ms",
                    (partition, self._log.lowest(NOTIFICATIONS.name, partition)),
                )

    def close(self) -> None:
        """Release the connection; the second view stays."""
        self._view.close()

    def _reach(self, target: Places) -> bool:
        """False where what is here already cannot become what the log says."""
        positions = self.positions()
        if any(position > target.get(place, 0) for place, position in positions.items()):
            return False  # left from a live view that stood further on
        for (topic, partition), end in target.items():
            while (position := positions.get((topic, partition), 0)) < end:
                try:
                    following = self._step(topic, partition, position, end)
                except OffsetGone as gone:
                    if position > 0:
                        return False  # erasures of what is here may have been compacted away
                    following = min(gone.lowest, end)
                    self._view.apply(topic, partition, 0, [], following)
                positions[topic, partition] = following
                done = sum(positions.get(place, 0) for place in target)
                self._on_progress(Replayed(done, sum(target.values()), self.refused))
        return True

    def _step(self, topic: str, partition: int, position: int, end: int) -> int:
        entries = stretch(self._log, topic, partition, position, end, _BATCH)
        changes: list[Change] = []
        for entry in entries:
            try:
                changes.append(alert_change_of(entry, self._codec))
            except DecodeError:
                self.refused += 1  # live, the project flow puts it on alpr.dlq
        # Offsets have gaps: where no record is left below the end, that is how far we are.
        following = entries[-1].offset + 1 if entries else end
        self.refused += len(self._view.apply(topic, partition, position, changes, following))
        return following

    def _anew(self) -> None:
        VIEW.drop_next(self._url)
        self.refused = 0
        self._view = AlertView(self._url, self._log.uuid, NEXT)


def _catch_up(replay: _Replay, url: str, log: Log) -> None:
    """Replay until few records are left."""
    with closing(connect(url, ALERTS_LIVE)) as connection:
        while True:
            with connection:
                target = _target(connection, log)
            behind = sum(target.values()) - sum(replay.positions().values())
            replay.to(target)
            if behind <= _NEAR:
                return


def _target(connection: Connection, log: Log) -> Places:
    """Where the live view stands, or the end of the log where there is no live view of it."""
    live = _live_positions(connection, log)
    if live is not None:
        return live
    return {(topic, p): log.end(topic, p) for topic in SHOWN for p in range(log.partitions(topic))}


def _live_positions(connection: Connection, log: Log) -> Places | None:
    if scalar(connection, "SELECT to_regclass('view_state')") is None:
        return None
    if scalar(connection, "SELECT log_uuid FROM view_state") != log.uuid:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT topic, partition, next_offset FROM view_positions")
        positions = {(topic, p): position for topic, p, position in cursor.fetchall()}
    # A view ahead of its log: the log was restored from an older copy, the view is worthless.
    if any(position > log.end(*place) for place, position in positions.items()):
        return None
    return positions


def _compare(replay: _Replay, url: str, log: Log) -> list[TableDifference] | None:
    """Hours that differ when the second view stands where a snapshot of the live one does."""
    with (
        closing(connect(url, ALERTS_LIVE)) as live,
        closing(connect(url, NEXT)) as rebuilt,
    ):
        live.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        if version_of(live) != alert_migrations()[-1].version:
            return None
        positions = _live_positions(live, log)
        if positions is None:
            return None
        replay.to(positions)
        replay.erase(live)
        replay.take_over(live)
        found: list[TableDifference] = []
        for table, column in _TABLES.items():
            hours = differing(_hours(live, table, column), _hours(rebuilt, table, column))
            found += [TableDifference(table, *hour) for hour in hours]
        return found


def _hours(connection: Connection, table: str, column: str) -> dict[datetime, tuple[int, int]]:
    """Rows of each hour and the sum of their hashes, which needs no order."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('hour', {column}), count(*), "
            "sum(hashtextextended((to_jsonb(each) - 'change')::text, 0)) "
            f"FROM {table} AS each GROUP BY 1"
        )
        return {hour: (rows, checksum) for hour, rows, checksum in cursor.fetchall()}


def _swap(replay: _Replay, url: str, log: Log) -> None:
    def carry(connection: Connection) -> None:
        replay.erase(connection)
        if _live_positions(connection, log) is not None:
            replay.take_over(connection)
        # Numbers of changes go on; which alerts had them before is not known any more.
        connection.cursor().execute(
            f"UPDATE {NEXT}.view_state AS next SET known_from = passed, changes = passed "
            f"FROM (SELECT greatest(live.changes, rebuilt.changes) + 1 AS passed "
            f"FROM view_state AS live, {NEXT}.view_state AS rebuilt) AS both_of; "
            # Heard when all of it is committed.
            f"SELECT pg_notify(%s, changes || %s) FROM {NEXT}.view_state",
            (channel(), " " + " ".join(SHOWN)),
        )

    VIEW.swap(url, lambda connection: replay.to(_target(connection, log)), carry)
