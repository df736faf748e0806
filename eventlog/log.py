"""The log as every room sees it: append, read from an offset, wait, trim.

- LogError: the base
  - LogFull: no space left: nothing was appended, try again once there is
  - LogUnavailable: the server is away or refuses us: try again later
  - RecordTooLarge: a record is larger than its topic takes; nothing of its batch was appended
  - LogCorrupt: the stored bytes are damaged
  - LogMismatch: another log, another version or another number of partitions than expected
  - OffsetGone: retention dropped what was asked for
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class LogError(Exception):
    """Base of the log's errors."""


class LogFull(LogError):
    """No space is left; nothing of the batch was appended."""


class LogUnavailable(LogError):
    """The log's server is away or refuses us; the message names it, the cause and the cure.

    What was being appended may be there or not: append it again, as readers tell repeats by ids.
    """


class RecordTooLarge(LogError):
    """A record is larger than its topic takes; nothing of its batch was appended."""


class LogCorrupt(LogError):
    """The stored log is damaged; the message names the file."""


class LogMismatch(LogError):
    """Another log, another version or another number of partitions than expected."""


class OffsetGone(LogError):
    """Retention dropped the offset asked for; ``lowest`` is the first that is left."""

    def __init__(self, topic: str, partition: int, offset: int, lowest: int) -> None:
        super().__init__(
            f"{topic}, partition {partition}: offset {offset} is gone, the log begins at {lowest};"
            " rebuild what reads it with `alpr replay`, or begin anew with an empty recovery folder"
        )
        self.lowest = lowest


@dataclass(frozen=True, slots=True)
class Append:
    """What is to be appended. A None value is a tombstone: it erases its key when compacted.

    ``appended_at`` is None except for a copy of another log, which keeps the original's.
    """

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    appended_at: int | None = None


class Entry(NamedTuple):
    """A record of the log. ``appended_at`` is in microseconds UTC, set by the log.

    A tuple, as every read makes some and a frozen dataclass takes four times as long to make.
    """

    topic: str
    partition: int
    offset: int
    appended_at: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Log(Protocol):
    """An append-only log of topics, each of a fixed number of partitions.

    Offsets grow by partition; order is promised, density is not. Every method may be called
    from any thread and any process at once. ``append`` returns when the records are durable.
    """

    @property
    def uuid(self) -> str:
        """Identity of this log; positions kept elsewhere name it."""
        ...

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; LogError if the topic does not exist."""
        ...

    def append(self, topic: str, partition: int, records: Sequence[Append]) -> Sequence[int]:
        """Append records in order, all or none; their offsets.

        A compacted topic takes no record without a key. Raises LogFull, RecordTooLarge,
        LogUnavailable.
        """
        ...

    def send(self, topic: str, partition: int, records: Sequence[Append]) -> None:
        """Append as ``append`` does, but perhaps return before the records are durable.

        Holds a bounded number of records back and waits for room beyond it. What went wrong
        may be raised by a later ``send`` or by ``flush``.
        """
        ...

    def flush(self) -> None:
        """Return when all that was sent is durable; raise if any of it is not."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` records from ``offset`` on, in order; never waits.

        May return fewer than there are. Raises OffsetGone below the lowest offset.
        """
        ...

    def reached(self, topic: str, partition: int, offset: int) -> int:
        """How far a reader at ``offset``, whose last read was empty, is in fact: what lies between
        is no record of anybody's and never will be. ``offset`` where that is not known yet.
        """
        ...

    def wait(self, topic: str, positions: Mapping[int, int], timeout: float) -> bool:
        """True as soon as a partition's end lies beyond its position; False after ``timeout`` s."""
        ...

    def lowest(self, topic: str, partition: int) -> int:
        """First offset that may be read; equal to ``end`` when the partition is empty.

        Compaction does not move it: reading passes over the gaps that it leaves.
        """
        ...

    def end(self, topic: str, partition: int) -> int:
        """Offset that the next record will have at least."""
        ...

    def since(self, topic: str, at: int) -> Mapping[int, int]:
        """By partition an offset before which no record has ``appended_at`` of ``at`` or later.

        Where to look from for the first that has, in one question: it may lie much further on.
        Where a copy's times are of a clock that is ahead, by so much too late.
        """
        ...

    def trim(self, topic: str, before: int) -> int:
        """Drop records with ``appended_at`` below ``before`` (microseconds); how many.

        From each partition's beginning up to its first record that is not older. Of a compacted
        topic, only those are dropped that a later record of the same key supersedes, and
        tombstones.
        """
        ...

    def erase(self, topic: str, partition: int, offsets: Sequence[int]) -> bool:
        """Drop records for ever and at once, wherever they lie, so that no byte of them stays.

        False where the log cannot (Kafka): there compaction and retention drop them in time.
        """
        ...

    def compact(self, topic: str, partition: int, keys: Sequence[bytes]) -> bool:
        """Of these keys of a compacted topic drop at once all but the last record, as ``erase``.

        False where the log cannot.
        """
        ...

    def mark(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Note how far a group of readers is, next offset by partition, for tools to show its lag.

        To be looked at, never to be resumed from: it may come late or not at all.
        """
        ...

    def marks(self, group: str, topic: str) -> dict[int, int]:
        """What was last noted of a group, by partition; empty if nothing was."""
        ...

    def close(self) -> None:
        """Release files and connections; the log is not to be used any more."""
        ...
