"""Builds a view of several topics anew beside the live one, compares the two, and swaps them.

Nobody is told anything by it: it reads the log and writes tables.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ
from psycopg2.extensions import connection as Connection

from eventlog.log import Entry, Log, OffsetGone
from eventlog.span import stretch
from projections.beside import Beside, differing
from projections.database import connect, scalar, speaking
from projections.errors import ViewMismatch
from projections.rebuild import Replayed
from projections.schema import version_of
from projections.topic_view import Change
from projections.view import Refused
from schemas.codec import Codec, DecodeError

_BATCH = 2_000  # records a transaction
_NEAR = 2_000  # records behind at which the live view's writer may be stopped: under a second

Places = Mapping[tuple[str, int], int]
"""Offsets by topic and partition."""


class Written(Protocol):
    """A view of several topics, as it is written."""

    def positions(self, topic: str) -> dict[int, int]:
        """The next offset of each partition that was ever read."""
        ...

    def apply(
        self,
        topic: str,
        partition: int,
        expected: int,
        changes: Sequence[Change],
        next_offset: int,
        /,
    ) -> list[Refused]:
        """Write changes and move the position, or neither; see TopicView."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A view that can be rebuilt.

    ``tables`` are compared, by the hour of a column of each; the rows of the first are what a
    rebuild says it has made. ``open`` makes a writer on a database, a log's uuid and a schema.
    ``erase`` brings to the second view (given with a connection to the live one) what the live one
    has erased, ``take_over`` what the log no longer holds; ``carry`` is the last thing done before
    the names are swapped, in the same transaction.
    """

    names: Beside
    version: int
    topics: Sequence[str]
    tables: Mapping[str, str]
    change_of: Callable[[Entry, Codec], Change]
    open: Callable[[str, str, str], Written]
    erase: Callable[[Connection], None] = lambda _: None
    take_over: Callable[[Connection], None] = lambda _: None
    carry: Callable[[Connection], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class TableDifference:
    """An hour (UTC) in which the two views do not hold the same rows of a table."""

    table: str
    hour: datetime
    live_rows: int
    rebuilt_rows: int


@dataclass(frozen=True, slots=True)
class RebuiltTopics:
    """What a rebuild came to: ``rows`` of the table ``of``.

    ``differences`` is None where there was nothing to compare with: no view, one of another log or
    of another version, or one that is ahead of the log.
    """

    rows: int
    refused: int
    differences: list[TableDifference] | None
    of: str


def rebuild_topics(
    url: str,
    log: Log,
    codec: Codec,
    plan: Plan,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    *,
    swap: bool = True,
) -> RebuiltTopics:
    """Replay the log into a second schema, compare it with the live one, swap their names.

    May be killed and called again: it goes on where it was. The live view is read and written
    meanwhile; for the swap its writer waits while the last records are replayed, its readers
    never do. The old view stays under its name until it is dropped. With ``swap`` False nothing
    changes but the second schema. Raises ViewUnavailable, ViewError where another replay is under
    way.
    """
    with speaking(url), plan.names.alone(url):
        replay = _Replay(url, log, codec, plan, on_progress)
        try:
            replay.catch_up()
            differences = replay.compare()
            if swap:
                replay.swap()
            made = plan.names.live if swap else plan.names.next
            with closing(connect(url, made)) as connection:
                of = next(iter(plan.tables))
                rows = scalar(connection, f"SELECT count(*) FROM {of}")
        finally:
            replay.close()
    return RebuiltTopics(rows, replay.refused, differences, of)


class _Replay:
    """The second view and how far it is."""

    def __init__(
        self,
        url: str,
        log: Log,
        codec: Codec,
        plan: Plan,
        on_progress: Callable[[Replayed], None],
    ) -> None:
        self._url, self._log, self._codec, self._plan = url, log, codec, plan
        self._on_progress = on_progress
        self.refused = 0
        try:
            self._view = plan.open(url, log.uuid, plan.names.next)
        except ViewMismatch:
            self._anew()  # a rebuild of another log or another version was left here

    def catch_up(self) -> None:
        """Replay until few records are left."""
        with closing(connect(self._url, self._plan.names.live)) as connection:
            while True:
                with connection:
                    target = self._target(connection)
                behind = sum(target.values()) - sum(self._positions().values())
                self._to(target)
                if behind <= _NEAR:
                    return

    def compare(self) -> list[TableDifference] | None:
        """Hours that differ when the second view stands where a snapshot of the live one does."""
        plan = self._plan
        with (
            closing(connect(self._url, plan.names.live)) as live,
            closing(connect(self._url, plan.names.next)) as rebuilt,
        ):
            live.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
            if version_of(live) != plan.version:
                return None
            positions = self._live_positions(live)
            if positions is None:
                return None
            self._to(positions)
            self._bring(live)
            found: list[TableDifference] = []
            for table, column in plan.tables.items():
                hours = differing(_hours(live, table, column), _hours(rebuilt, table, column))
                found += [TableDifference(table, *hour) for hour in hours]
            return found

    def swap(self) -> None:
        """Put the second view in the live one's place."""

        def carry(connection: Connection) -> None:
            self._bring(connection)
            self._plan.carry(connection)

        self._plan.names.swap(
            self._url, lambda connection: self._to(self._target(connection)), carry
        )

    def close(self) -> None:
        """Release the connection; the second view stays."""
        self._view.close()

    def _bring(self, live: Connection) -> None:
        self._plan.erase(live)
        if version_of(live) == self._plan.version and self._live_positions(live) is not None:
            self._plan.take_over(live)

    def _to(self, target: Places) -> None:
        """Replay each partition up to its offset in ``target``, and not a record further."""
        while not self._reach(target):
            self._view.close()
            self._anew()

    def _positions(self) -> dict[tuple[str, int], int]:
        return {
            (topic, partition): position
            for topic in self._plan.topics
            for partition, position in self._view.positions(topic).items()
        }

    def _reach(self, target: Places) -> bool:
        """False where what is here already cannot become what the log says."""
        positions = self._positions()
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
                changes.append(self._plan.change_of(entry, self._codec))
            except DecodeError:
                self.refused += 1  # live, the project flow puts it on alpr.dlq
        # Offsets have gaps: where no record is left below the end, that is how far we are.
        following = entries[-1].offset + 1 if entries else end
        self.refused += len(self._view.apply(topic, partition, position, changes, following))
        return following

    def _anew(self) -> None:
        self._plan.names.drop_next(self._url)
        self.refused = 0
        self._view = self._plan.open(self._url, self._log.uuid, self._plan.names.next)

    def _target(self, connection: Connection) -> Places:
        """Where the live view stands, or the end of the log where there is no live view of it."""
        live = self._live_positions(connection)
        if live is not None:
            return live
        return {
            (topic, p): self._log.end(topic, p)
            for topic in self._plan.topics
            for p in range(self._log.partitions(topic))
        }

    def _live_positions(self, connection: Connection) -> Places | None:
        if scalar(connection, "SELECT to_regclass('view_state')") is None:
            return None
        if scalar(connection, "SELECT log_uuid FROM view_state") != self._log.uuid:
            return None
        with connection.cursor() as cursor:
            cursor.execute("SELECT topic, partition, next_offset FROM view_positions")
            positions = {(topic, p): position for topic, p, position in cursor.fetchall()}
        # A view ahead of its log: the log was restored from an older copy, the view is worthless.
        if any(position > self._log.end(*place) for place, position in positions.items()):
            return None
        return positions


def _hours(connection: Connection, table: str, column: str) -> dict[datetime, tuple[int, int]]:
    """Rows of each hour and the sum of their hashes, which needs no order."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT date_trunc('hour', {column}), count(*), "
            "sum(hashtextextended((to_jsonb(each) - 'change')::text, 0)) "
            f"FROM {table} AS each GROUP BY 1"
        )
        return {hour: (rows, checksum) for hour, rows, checksum in cursor.fetchall()}
