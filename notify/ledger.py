"""What became of deliveries, on the log: every attempt, and what is given up as a dead letter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from eventlog.log import Append, Entry, Log
from schemas.codec import Codec
from schemas.records import NotificationAttempt
from schemas.topics import DLQ, NOTIFICATIONS, partition_of

DETAIL = 500
"""Characters of a detail; some servers answer with a page."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """How a record that cannot be processed is kept: given by who knows all rooms.

    ``letter`` makes the record for alpr.dlq of a record, a reason (a word) and a detail;
    ``redriven`` tells whether somebody sent a record again out of there.
    """

    letter: Callable[[Entry, str, str], Append]
    redriven: Callable[[Entry], bool]


@dataclass(slots=True)
class Told:
    """What is to be written together."""

    attempts: list[NotificationAttempt] = field(default_factory=list)
    letters: list[tuple[int, Append]] = field(default_factory=list)

    def add(self, other: "Told") -> None:
        """Take in another's."""
        self.attempts += other.attempts
        self.letters += other.letters


class Ledger:
    """Writes it; each method returns when that is durable. ``clock`` gives microseconds UTC.

    Any number of threads may share it. Raises LogUnavailable, LogFull, RegistryUnavailable.
    """

    def __init__(self, log: Log, codec: Codec, dead: DeadLetters, clock: Callable[[], int]) -> None:
        self._log = log
        self._codec = codec
        self._dead = dead
        self._clock = clock

    def attempt(  # noqa: PLR0917 (the fields of the record)
        self,
        notification_id: str,
        alert_id: str,
        channel: str,
        target: str,
        outcome: str,
        detail: str = "",
        attempt: int = 1,
        duration_us: int = 0,
    ) -> NotificationAttempt:
        """An attempt that ends now."""
        return {
            "notification_id": notification_id,
            "alert_id": alert_id,
            "channel": channel,
            "target": target,
            "attempt": attempt,
            "at": self._clock(),
            "outcome": outcome,
            "detail": _printable(detail)[:DETAIL],
            "duration_ms": duration_us // 1000,
        }

    def letter(self, entry: Entry, reason: str, detail: str) -> tuple[int, Append]:
        """A dead letter, and its partition."""
        return entry.partition, self._dead.letter(entry, reason, _printable(detail))

    def write(self, told: Told) -> None:
        """Append the letters, then the attempts."""
        self._append(DLQ.name, told.letters)
        if told.attempts:
            encode = self._codec.encoder(NOTIFICATIONS.name, "NotificationAttempt")
            partitions = self._log.partitions(NOTIFICATIONS.name)
            self._append(
                NOTIFICATIONS.name,
                (
                    (partition_of(key, partitions), Append(key, encode(attempt)))
                    for attempt in told.attempts
                    for key in (attempt["alert_id"].encode(),)
                ),
            )

    def _append(self, topic: str, records: Iterable[tuple[int, Append]]) -> None:
        by_partition: dict[int, list[Append]] = {}
        for partition, record in records:
            by_partition.setdefault(partition, []).append(record)
        for partition, some in by_partition.items():
            self._log.append(topic, partition, some)


def _printable(text: str) -> str:
    """Text that Avro takes: an error may quote half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
