"""The log as Bytewax's source and sink: batches of one partition in, batches out."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from dataflows.observe import consumed
from eventlog.log import (
    Append,
    Entry,
    Log,
    LogError,
    LogMismatch,
    OffsetGone,
    RecordTooLarge,
)

BATCH = 500
"""Records read at once: enough to amortise a read, little enough to be out within a second."""
Idle = tuple[timedelta, timedelta]
IDLE: Idle = (timedelta(milliseconds=5), timedelta(milliseconds=25))
"""How soon to look again when there was nothing: at first, and after a second without."""
_PATIENCE = 200
MARK_S = 5.0
"""How often a reader's group is marked, for tools to show its lag."""

_log = logging.getLogger(__name__)

X = TypeVar("X")


class Position(NamedTuple):
    """Where a reader stands: the log it reads and the next offset."""

    log: str
    offset: int


class Batch(NamedTuple):
    """Consecutive records of one partition, and the offsets before and after them."""

    start: int
    entries: list[Entry]
    end: int


def part_name(partition: int) -> str:
    """Bytewax's name of a partition; sorts as the number does."""
    return f"{partition:04d}"


class _Marks:
    """Tells the log now and then how far a group of readers is. Nobody resumes from it."""

    def __init__(
        self,
        log: Log,
        topic: str,
        group: str,
        readers: int,
        *,
        pause_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._log = log
        self._topic = topic
        self._group = group
        self._readers = readers
        self._noted: set[int] = set()
        self._clock = clock
        self._news: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._pause_s = pause_s
        self._next = clock() + pause_s

    def note(self, partition: int, offset: int) -> None:
        """Note a position; tell all that are new every ``pause_s``."""
        if self._told.get(partition) != offset:
            self._news[partition] = offset
        self._noted.add(partition)
        if len(self._noted) < self._readers:
            return  # the others' positions are of the epoch before, 10 s ago where it is Bytewax's
        self._noted.clear()
        now = self._clock()
        if now < self._next or not self._news:
            return
        self._next = now + self._pause_s
        try:
            self._log.mark(self._group, self._topic, self._news)
        except LogError as error:
            _log.warning("the lag of %s is not shown for now: %s", self._group, error)
        else:
            self._told |= self._news
            self._news = {}


class _Reader(StatefulSourcePartition["tuple[str, Batch]", "tuple[str, int]"]):
    """Reads one partition from a position on, never waiting."""

    def __init__(
        self,
        log: Log,
        topic: str,
        partition: int,
        position: Position,
        *,
        marks: _Marks | None,
        idle: Idle,
    ) -> None:
        if position.log != log.uuid:
            raise LogMismatch(
                f"the stored position of {topic}, partition {partition}, is of log {position.log},"
                f" this is log {log.uuid}: give the flow an empty recovery folder"
            )
        self._log = log
        self._topic = topic
        self._partition = partition
        self._offset = position.offset
        self._marks = marks
        self._pauses = idle
        self._idle = 0
        self._consumed = consumed().labels(topic)

    def next_batch(self) -> list[tuple[str, Batch]]:
        try:
            entries = self._log.read(self._topic, self._partition, self._offset, BATCH)
        except OffsetGone as gone:
            if self._offset == 0:  # never read: begin with what is there
                self._offset = gone.lowest
                return []
            error = OffsetGone(self._topic, self._partition, self._offset, gone.lowest)
            _log.error("%s", error)  # Bytewax shows a running source's error as a traceback alone
            raise error from gone
        if not entries:
            self._idle = min(self._idle + 1, _PATIENCE)
            return []
        self._idle = 0
        self._consumed.inc(len(entries))
        start, self._offset = self._offset, entries[-1].offset + 1
        return [(part_name(self._partition), Batch(start, entries, self._offset))]

    def next_awake(self) -> datetime | None:
        if not self._idle:
            return None
        # On a common beat: each time that Bytewax looks, for whatever reason, it sets itself one
        # more alarm. Those of one moment ring once; those of all moments would busy a core.
        pause = self._pauses[self._idle >= _PATIENCE].total_seconds()
        return datetime.fromtimestamp((time.time() // pause + 1) * pause, UTC)

    def snapshot(self) -> tuple[str, int]:
        if self._marks is not None:
            self._marks.note(self._partition, self._offset)
        return self._log.uuid, self._offset


class LogSource(FixedPartitionedSource["tuple[str, Batch]", "tuple[str, int]"]):
    """Batches of a topic's partitions, keyed by ``part_name``.

    Starts where Bytewax's recovery store says, else at ``starts`` (next offset by partition),
    else at the beginning. An offset that retention has dropped raises OffsetGone rather than
    being skipped, unless nothing was ever read. ``group`` is the name under which the log is told
    how far the reading is.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        partitions: Sequence[int],
        starts: Mapping[int, int] | None = None,
        group: str | None = None,
        *,
        idle: Idle = IDLE,
        mark_s: float = MARK_S,
    ) -> None:
        self._log = log
        self._topic = topic
        self._partitions = {part_name(partition): partition for partition in partitions}
        self._starts = starts or {}
        self._marks = None
        if group:
            readers = len(self._partitions)
            self._marks = _Marks(log, topic, group, readers, pause_s=mark_s, clock=time.monotonic)
        self._idle = idle

    def list_parts(self) -> list[str]:
        """One part for each partition."""
        return list(self._partitions)

    def build_part(
        self, step_id: str, for_part: str, resume_state: tuple[str, int] | None
    ) -> _Reader:
        """The reader of one partition."""
        partition = self._partitions[for_part]
        if resume_state is not None:
            position = Position(*resume_state)
        else:
            position = Position(self._log.uuid, self._starts.get(partition, 0))
        return _Reader(
            self._log, self._topic, partition, position, marks=self._marks, idle=self._idle
        )


class Together(FixedPartitionedSource["tuple[str, Batch]", "tuple[str, int]"]):
    """Several topics as one input; a batch's entries name theirs.

    Of several inputs the one that begins an epoch first busies a core until all have begun it.
    """

    def __init__(self, topics: Mapping[str, LogSource]) -> None:
        self._topics = topics

    def list_parts(self) -> list[str]:
        """One part for each partition of each topic."""
        return [
            f"{name}/{part}" for name, topic in self._topics.items() for part in topic.list_parts()
        ]

    def build_part(
        self, step_id: str, for_part: str, resume_state: tuple[str, int] | None
    ) -> _Reader:
        """The reader of one partition of one topic."""
        topic, _, part = for_part.rpartition("/")
        return self._topics[topic].build_part(step_id, part, resume_state)


class _Writer(StatefulSinkPartition["Sequence[Append]", None]):
    def __init__(self, log: Log, topic: str, partition: int) -> None:
        self._log = log
        self._topic = topic
        self._partition = partition

    def write_batch(self, values: list[Sequence[Append]]) -> None:
        records = [record for batch in values for record in batch]
        if not records:
            return
        try:
            self._log.send(self._topic, self._partition, records)
        except RecordTooLarge:
            self._send_what_fits(records)

    def snapshot(self) -> None:
        """The epoch closes when all that was sent in it is durable; there is no state."""
        self._log.flush()

    def _send_what_fits(self, records: Sequence[Append]) -> None:
        """What no topic takes must not stop all that follows it."""
        for record in records:
            try:
                self._log.send(self._topic, self._partition, [record])
            except RecordTooLarge as error:
                _log.error("the record of key %r is left out: %s", record.key, error)


class PartitionSink(FixedPartitionedSink[X, None]):
    """A sink with one part for each partition, named by ``part_name``."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._numbers = {part_name(partition): partition for partition in sorted(partitions)}
        self._index = {name: index for index, name in enumerate(self._numbers)}

    def list_parts(self) -> list[str]:
        """One part for each partition."""
        return list(self._numbers)

    def part_fn(self, item_key: str) -> int:
        """The place of a partition's name in ``list_parts``."""
        return self._index[item_key]


class LogSink(PartitionSink["Sequence[Append]"]):
    """Appends sequences of records to the partition of a topic that their key names.

    They are durable when the epoch closes, or the flow ends with the log's error.
    """

    def __init__(self, log: Log, topic: str, partitions: Sequence[int]) -> None:
        super().__init__(partitions)
        self._log = log
        self._topic = topic

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Writer:
        """The writer of one partition."""
        return _Writer(self._log, self._topic, self._numbers[for_part])
