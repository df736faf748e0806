"""The log as every room sees it: append, read from an offset, wait, trim.

Errors: LogError is the base; LogFull (no space left: nothing was appended, try again once there
is), LogCorrupt (the stored bytes are damaged), LogMismatch (another version, another number of
partitions, or another log than expected), OffsetGone (retention dropped what was asked for).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class LogError(Exception):
    """Base of the log's errors."""


class LogFull(LogError):
    """No space is left; nothing of the batch was appended."""


class LogCorrupt(LogError):
    """The stored log is damaged; the message names the file."""


class LogMismatch(LogError):
    """Another log, another version or another number of partitions than expected."""


class OffsetGone(LogError):
    """Retention dropped the offset asked for; ``lowest`` is the first that is left."""

    def __init__(self, topic: str, partition: int, offset: int, lowest: int) -> None:
        super().__init__(
            f"{topic}, partition {partition}: offset {offset} is gone, the log begins at {lowest}"
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the log. ``appended_at`` is in microseconds UTC, set by the log."""

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
        """Append records in order, all or none; their offsets. Raises LogFull.

        A compacted topic takes no record without a key.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` records from ``offset`` on, in order; never waits.

        May return fewer than there are. Raises OffsetGone below the lowest offset.
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

    def trim(self, topic: str, before: int) -> int:
        """Drop records with ``appended_at`` below ``before`` (microseconds); how many.

        From each partition's beginning up to its first record that is not older. Of a compacted
        topic, only those are dropped that a later record of the same key supersedes, and
        tombstones.
        """
        ...

    def close(self) -> None:
        """Release files and connections; the log is not to be used any more."""
        ...
