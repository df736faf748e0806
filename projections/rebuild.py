"""Builds the sightings' view anew beside the live one, compares the two, and swaps them."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from eventlog.log import Log, OffsetGone
from eventlog.span import stretch
from projections.beside import Beside, differing
from projections.compare import Difference
from projections.database import connect, scalar, speaking
from projections.errors import ViewMismatch
from projections.rows import COLUMNS
from projections.schema import LIVE, migrate, migrations, version_of
from projections.takeover import begin, take_over
from projections.timescale import Policies
from projections.view import Change, SightingsView, change_of
from schemas.codec import Codec, DecodeError
from schemas.topics import DETECTED

NEXT = f"{LIVE}_next"
OLD = f"{LIVE}_old"
VIEW = Beside(LIVE, NEXT, OLD, lock=0x616C7072_72)  # 'alprr'

_BATCH = 2_000  # records a transaction
_NEAR = 5_000  # records behind at which the live view's writer may be stopped: under a second


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a rebuild is: offsets passed, offsets there are, records that no row could hold."""

    done: int
    total: int
    refused: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild came to. ``differences`` is None where there was nothing to compare with:

    no view, one of another log or of another version, or one that is ahead of the log.
    """

    rows: int
    refused: int
    differences: list[Difference] | None


def rebuild(
    url: str,
    log: Log,
    codec: Codec,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    policies: Policies = Policies(),  # noqa: B008 (frozen)
    *,
    start: int | None = None,
    swap: bool = True,
) -> Rebuilt:
    """Replay the log into a second schema, compare it with the live one, swap their names.

    May be killed and called again: it goes on where it was. The live view is read and written
    meanwhile; for the swap its writer waits while the last records are replayed, its readers
    never do. The live view's position moves with the names, so the writer goes on in the new
    one. The old view stays as schema ``alpr_old`` (a previous one goes) until ``drop_old``.
    With ``start`` (microseconds) what was captured before is taken over from the live view as it
    is, and only what is newer is replayed. With ``swap`` False nothing changes but the second
    schema. Raises ViewUnavailable, ViewMismatch where there is nothing to take over, ViewError
    where another replay is under way.
    """
    with speaking(url), VIEW.alone(url):
        replay = _Replay(url, log, codec, on_progress, policies, start=start)
        try:
            _catch_up(replay, url, log)
            differences = _compare(replay, url, log)
            if swap:
                _swap(replay, url, log, same=differences == [])
                migrate(url, LIVE, log.uuid, policies)
            with closing(connect(url, LIVE if swap else NEXT)) as connection:
                rows = scalar(connection, "SELECT count(*) FROM plate_events")
        finally:
            replay.close()
    return Rebuilt(rows, replay.refused, differences)


def drop_old(url: str) -> bool:
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
        policies: Policies,
        *,
        start: int | None,
    ) -> None:
        self._url, self._log, self._codec = url, log, codec
        self._on_progress, self._policies, self._start = on_progress, policies, start
        self.refused = 0
        try:
            self._view = SightingsView(url, log.uuid, NEXT, policies)
        except ViewMismatch:
            self._anew()  # a rebuild of another log or another version was left here
            return
        if self._left() != start:
            self._view.close()
            self._anew()
        elif start is not None:
            take_over(url, NEXT, LIVE, start)

    def to(self, target: Mapping[int, int]) -> None:
        """Replay each partition up to its offset in ``target``, and not a record further."""
        while not self._reach(target):
            self._view.close()
            self._anew()

    def _reach(self, target: Mapping[int, int]) -> bool:
        """False where what is here already cannot become what the log says."""
        positions = self._view.positions()
        if any(position > target.get(p, 0) for p, position in positions.items()):
            return False  # left from a live view that stood further on
        for partition, end in target.items():
            while (position := positions.get(partition, 0)) < end:
                try:
                    positions[partition] = self._step(partition, position, end)
                except OffsetGone as gone:
                    if position > 0:
                        return False  # erasures of what is here may have been compacted away
                    positions[partition] = self._skip(partition, min(gone.lowest, end))
                done = sum(positions.get(p, 0) for p in target)
                self._on_progress(Replayed(done, sum(target.values()), self.refused))
        return True

    def positions(self) -> dict[int, int]:
        """The next offset of each partition of the second view."""
        return self._view.positions()

    def carry(self, connection: Connection) -> None:
        """What the live view has erased, or dropped for its age, is to go here as well."""
        if scalar(connection, "SELECT to_regclass('erased_events')") is not None:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT event_id FROM erased_events EXCEPT SELECT * FROM {NEXT}.erased_events"
                )
                self._view.forget([event_id for (event_id,) in cursor.fetchall()])
        if version_of(connection) == migrations()[-1].version:
            boundary = scalar(
                connection,
                "SELECT extract(epoch FROM retained_from) FROM view_state "
                "WHERE isfinite(retained_from)",
            )
            if boundary is not None:
                self._view.expire(int(boundary) * 1_000_000)

    def close(self) -> None:
        """Release the connection; the second view stays."""
        self._view.close()

    def _anew(self) -> None:
        VIEW.drop_next(self._url)
        self.refused = 0
        self._view = SightingsView(self._url, self._log.uuid, NEXT, self._policies)
        if self._start is not None:
            self._begin(self._start)

    def _begin(self, start: int) -> None:
        with closing(connect(self._url, LIVE)) as connection, connection:
            positions = _comparable(connection, self._log)
            if positions is None:
                raise ViewMismatch(
                    "there is no view of this log and this version to take older sightings over "
                    "from: rebuild without --from"
                )
            begin(self._view, self._log, positions, start)
            connection.cursor().execute(
                f"UPDATE {NEXT}.view_state SET taken_until = '-infinity', "
                "rebuilt_from = to_timestamp(0) + %s * interval '1 microsecond'",
                (start,),
            )
            self.carry(connection)
        take_over(self._url, NEXT, LIVE, start)

    def _left(self) -> int | None:
        """From when on what is here was begun to be replayed (microseconds), None if all is."""
        with closing(connect(self._url, NEXT)) as connection:
            return scalar(
                connection,
                "SELECT (extract(epoch FROM rebuilt_from) * 1000000)::bigint FROM view_state",
            )

    def _skip(self, partition: int, lowest: int) -> int:
        self._view.apply(partition, 0, [], lowest)
        return lowest

    def _step(self, partition: int, position: int, end: int) -> int:
        entries = stretch(self._log, DETECTED.name, partition, position, end, _BATCH)
        changes: list[Change] = []
        for entry in entries:
            try:
                changes.append(change_of(entry, self._codec))
            except DecodeError:
                self.refused += 1  # live, the project flow puts it on alpr.dlq
        # Offsets have gaps: where no record is left below the end, that is how far we are.
        following = entries[-1].offset + 1 if entries else end
        self.refused += len(self._view.apply(partition, position, changes, following))
        return following


def _catch_up(replay: _Replay, url: str, log: Log) -> None:
    """Replay until few records are left, carrying over first what is erased for ever."""
    with closing(connect(url, LIVE)) as connection:
        with connection:
            replay.carry(connection)
        while True:
            with connection:
                target = _target(connection, log)
            behind = sum(target.values()) - sum(replay.positions().values())
            replay.to(target)
            if behind <= _NEAR:
                return


def _target(connection: Connection, log: Log) -> dict[int, int]:
    """Where the live view stands, or the end of the log where there is no live view of it."""
    ends = {p: log.end(DETECTED.name, p) for p in range(log.partitions(DETECTED.name))}
    live = _live_positions(connection, log)
    return ends if live is None else live


def _live_positions(connection: Connection, log: Log) -> dict[int, int] | None:
    if scalar(connection, "SELECT to_regclass('view_state')") is None:
        return None
    if scalar(connection, "SELECT log_uuid FROM view_state") != log.uuid:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT partition, next_offset FROM view_positions WHERE topic = %s", (DETECTED.name,)
        )
        positions = dict(cursor.fetchall())
    # A view ahead of its log: the log was restored from an older copy, the view is worthless.
    if any(position > log.end(DETECTED.name, p) for p, position in positions.items()):
        return None
    return positions


def _comparable(connection: Connection, log: Log) -> dict[int, int] | None:
    """Where the live view stands, None where its rows are no match for this program's."""
    if version_of(connection) != migrations()[-1].version:
        return None
    return _live_positions(connection, log)


def _compare(replay: _Replay, url: str, log: Log) -> list[Difference] | None:
    """Hours that differ when the second view stands where a snapshot of the live one does."""
    with (
        closing(connect(url, LIVE)) as live,
        closing(connect(url, NEXT)) as rebuilt,
    ):
        live.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        positions = _comparable(live, log)
        if positions is None:
            return None
        replay.to(positions)
        replay.carry(live)
        before, after = _hours(live), _hours(rebuilt)
    return [Difference(*found) for found in differing(before, after)]


def _hours(connection: Connection) -> dict[datetime, tuple[int, int]]:
    """Rows of each hour and the sum of their hashes, which needs no order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT date_trunc('hour', captured_at), count(*), "
            f"sum(hashtextextended(ROW({', '.join(COLUMNS)})::text, 0)) "
            "FROM plate_events GROUP BY 1"
        )
        return {hour: (rows, checksum) for hour, rows, checksum in cursor.fetchall()}


def _swap(replay: _Replay, url: str, log: Log, same: bool) -> None:
    def carry(connection: Connection) -> None:
        replay.carry(connection)
        with connection.cursor() as cursor:
            _carry_feed(cursor, same)

    VIEW.swap(url, lambda connection: replay.to(_target(connection, log)), carry)


def _carry_feed(cursor: Cursor, same: bool) -> None:
    """Listeners go on where they are; where the views differ they must load anew."""
    cursor.execute(f"TRUNCATE {NEXT}.view_changes")
    if same:
        cursor.execute(f"INSERT INTO {NEXT}.view_changes SELECT * FROM view_changes")
    cursor.execute(
        f"UPDATE {NEXT}.view_state SET changes = live.changes + %s FROM view_state AS live",
        (0 if same else 1,),
    )
