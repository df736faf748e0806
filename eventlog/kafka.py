"""The log on Kafka: the same promises as in a folder, kept by a cluster of brokers."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventlog.kafka_client import PATIENCE_S, config
from eventlog.kafka_cluster import SLICE_S, Cluster
from eventlog.kafka_reader import APPENDED_AT, TIME, TopicReader
from eventlog.kafka_topics import DEAD_BYTES, max_bytes
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append, Entry, LogError, LogUnavailable, RecordTooLarge
from schemas.topics import TOPICS

OVERHEAD = 128  # bytes of a batch's and a record's own, generously
POLL_S = (0.005, 0.05)  # how soon a waiting reader asks again: at first, then at leisure
SLACK_S = 5.0  # beyond the time after which librdkafka itself gives up
_PRODUCER = {
    "enable.idempotence": True,  # in order and not doubled by what librdkafka repeats
    "acks": "all",
    "message.max.bytes": DEAD_BYTES + (64 << 10),
    "batch.size": 524_288,
    "linger.ms": 10,
    # What may wait for delivery; beyond it ``send`` waits.
    "queue.buffering.max.messages": 50_000,
    "queue.buffering.max.kbytes": 32_768,
}
_Report = Callable[[KafkaError | None, Message], None]
_log = logging.getLogger(__name__)
T = TypeVar("T")


class _Receipt:
    """Counts the delivery reports of one batch."""

    __slots__ = ("error", "missing", "offsets")

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.offsets: list[int] = []
        self.error: KafkaError | None = None

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self.missing -= 1
        if error is not None:
            self.error = error
        else:
            self.offsets.append(message.offset() or 0)


class KafkaLog:
    """An ``eventlog.log.Log`` on the topics that ``create_topics`` made.

    ``append`` returns when every replica in sync has the records. A batch that is refused
    (too large, without a key) is refused before anything of it is sent; where the broker goes
    away amid a batch, its first records may be there and the rest not. Times are LogAppendTime,
    whole milliseconds; a copy's time travels in a header. Retention and compaction are the
    broker's: ``trim`` drops what a topic without compaction keeps too long, and of a compacted
    one nothing.

    Calls that need the broker wait ``patience_s`` at most and then raise LogUnavailable; ``read``
    gives nothing until it is back. With ``waits`` opening it, appending and asking for offsets
    wait for as long as it takes, and the log says so once; a refused login is raised. With
    ``leaps`` going to another offset takes a tenth of the time, and asks as much more of the broker
    while nothing is new. Raises
    LogMismatch if a topic has another number of partitions than ``partitions`` (any if None),
    LogError if topics are missing.
    """

    def __init__(
        self,
        address: KafkaAddress,
        partitions: int | None = None,
        patience_s: float = PATIENCE_S,
        *,
        waits: bool = False,
        leaps: bool = False,
    ) -> None:
        self._address = address
        self._patience_s = patience_s
        self._waits = waits
        self._leaps = leaps
        _check_files(address)
        self._cluster = Cluster(address, patience_s, tells=waits)
        self._counts = self._patiently(lambda: self._cluster.check(partitions))
        self._uuid = self._patiently(self._cluster.uuid)
        self._lock = threading.Lock()
        self._readers: dict[str, TopicReader] = {}
        self._producer: Producer | None = None
        self._failure: KafkaError | None = None
        self._closed = False

    @property
    def uuid(self) -> str:
        """Identity of the log: of the cluster and its topics."""
        return self._uuid

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; LogError if the topic does not exist."""
        if topic not in self._counts:
            raise LogError(f"there is no topic {topic!r}: topics are {', '.join(TOPICS)}")
        return self._counts[topic]

    def append(self, topic: str, partition: int, records: Sequence[Append]) -> Sequence[int]:
        """Append records in order; their offsets. Raises RecordTooLarge, LogUnavailable."""
        self._check_records(topic, partition, records)
        receipt = _Receipt(len(records))
        producer = self._produce(topic, partition, records, receipt)
        deadline = time.monotonic() + self._patience_s + SLACK_S
        while receipt.missing and (self._waits or time.monotonic() < deadline):
            producer.flush(0.1)  # another thread may have got our reports, so look often
        if receipt.error is not None or receipt.missing:
            raise self._failed(receipt.error, f"appending to {topic}, partition {partition}")
        return receipt.offsets

    def send(self, topic: str, partition: int, records: Sequence[Append]) -> None:
        """Hand records over for delivery; waits where too many wait already.

        Raises what a record sent earlier met, RecordTooLarge, LogUnavailable.
        """
        self._raise_failure()
        self._check_records(topic, partition, records)
        self._produce(topic, partition, records, self._delivered).poll(0)

    def flush(self) -> None:
        """Return when all that was sent is durable. Raises LogUnavailable if any of it is not."""
        producer = self._producer
        if producer is not None:
            if self._waits:
                while producer.flush(SLICE_S):  # a signal is heard between two of them
                    pass
            elif producer.flush(self._patience_s + SLACK_S):
                raise self._failed(None, "delivering records")
        self._raise_failure()

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` records from ``offset`` on, in order.

        What follows the last read has been fetched ahead and is there or is not; going to
        another offset asks the broker. Raises OffsetGone below the lowest offset.
        """
        reader = self._readers.get(topic)
        self._check(topic, partition)
        if reader is None:
            with self._lock:
                if topic not in self._readers:
                    self._readers[topic] = TopicReader(
                        self._cluster, topic, self._uuid, leaps=self._leaps
                    )
                reader = self._readers[topic]
        return reader.read(partition, offset, limit)

    def reached(self, topic: str, partition: int, offset: int) -> int:
        """How far a reader at ``offset``, whose last read was empty, is in fact.

        Compaction leaves gaps, and each transaction its mark.
        """
        reader = self._readers.get(topic)
        return offset if reader is None else reader.reached(partition, offset)

    def wait(self, topic: str, positions: Mapping[int, int], timeout: float) -> bool:
        """True as soon as a partition's end lies beyond its position; False after ``timeout`` s."""
        for partition in positions:
            self._check(topic, partition)
        deadline, pause = time.monotonic() + timeout, POLL_S[0]
        while True:
            left = deadline - time.monotonic()
            try:
                ends = self._cluster.ends(topic, positions, max(1.0, left))
            except LogUnavailable:
                ends = {}  # nothing to read while the broker is away
            if any(ends.get(p, position) > position for p, position in positions.items()):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, POLL_S[1])

    def lowest(self, topic: str, partition: int) -> int:
        """First offset that may be read; equal to ``end`` when the partition is empty."""
        self._check(topic, partition)
        return self._patiently(lambda: self._cluster.lowest(topic, [partition])[partition])

    def end(self, topic: str, partition: int) -> int:
        """Offset that the next record will have at least."""
        self._check(topic, partition)
        return self._patiently(lambda: self._cluster.ends(topic, [partition])[partition])

    def since(self, topic: str, at: int) -> dict[int, int]:
        """By partition the first offset that Kafka got at ``at`` or later; the end if none.

        The times that copies bring are earlier than Kafka's.
        """
        count = self.partitions(topic)
        return self._patiently(lambda: self._cluster.since(topic, range(count), at))

    def erase(self, topic: str, partition: int, offsets: Sequence[int]) -> bool:
        """Kafka drops single records by compaction and retention alone."""
        self._check(topic, partition)
        return not offsets

    def compact(self, topic: str, partition: int, keys: Sequence[bytes]) -> bool:
        """Kafka compacts when its time has come."""
        self._check(topic, partition)
        return not keys

    def trim(self, topic: str, before: int) -> int:
        """Drop records appended before ``before`` (microseconds of the broker); how many at most.

        Of a compacted topic none: Kafka compacts it by itself.
        """
        count = self.partitions(topic)
        if TOPICS[topic].compacted:
            return 0
        return self._cluster.trim(topic, range(count), before)

    def mark(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Commit offsets under a group's name, which Kafka's tools show; does not wait."""
        for partition in positions:
            self._check(topic, partition)
        if positions:
            self._cluster.mark(group, topic, positions)

    def marks(self, group: str, topic: str) -> dict[int, int]:
        """The offsets last committed under a group's name, by partition."""
        return self._cluster.marks(group, topic, range(self.partitions(topic)))

    def close(self) -> None:
        """Leave the cluster; what was sent and not flushed gets a last moment."""
        self._cluster.trouble.close()
        with self._lock:
            self._closed = True
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
            if self._producer is not None and (left := self._producer.flush(SLACK_S)):
                _log.error("%d records sent to %s were not delivered", left, self._address.shown)
            self._producer = None

    def _patiently(self, ask: Callable[[], T]) -> T:
        while True:
            try:
                return ask()
            except LogUnavailable:
                if not self._waits or self._cluster.trouble.hopeless:
                    raise

    def _check(self, topic: str, partition: int) -> None:
        if not 0 <= partition < self.partitions(topic):
            raise LogError(
                f"{topic} has no partition {partition}: it has 0 to {self.partitions(topic) - 1}"
            )

    def _check_records(self, topic: str, partition: int, records: Sequence[Append]) -> None:
        self._check(topic, partition)
        compacted, limit = TOPICS[topic].compacted, max_bytes(topic)
        for record in records:
            if compacted and record.key is None:
                raise LogError(f"{topic} is compacted: each record needs a key")
            size = OVERHEAD + len(record.key or b"") + len(record.value or b"")
            if record.headers:
                size += sum(len(name) + len(value) + 4 for name, value in record.headers.items())
            if size > limit:
                raise RecordTooLarge(
                    f"a record of {size} bytes is too large for {topic}, which takes {limit} "
                    "(max.message.bytes): nothing of its batch was appended"
                )

    def _open_producer(self) -> Producer:
        with self._lock:
            if self._closed:
                raise LogError(f"{self._address.shown}: the log was closed; open another")
            if self._producer is None:
                mine = {
                    "compression.type": self._address.compression,
                    # 0 is for ever
                    "message.timeout.ms": 0 if self._waits else int(self._patience_s * 1000),
                }
                self._producer = Producer(
                    config(self._address, self._cluster.trouble, _PRODUCER | mine)
                )
            return self._producer

    def _produce(
        self, topic: str, partition: int, records: Sequence[Append], report: _Report
    ) -> Producer:
        """Hand records to librdkafka, waiting for room."""
        producer = self._open_producer()
        real = self._address.prefix + topic
        for record in records:
            headers: Any = list(record.headers.items()) if record.headers else None
            if record.appended_at is not None:
                headers = [*(headers or ()), (APPENDED_AT, TIME.pack(record.appended_at))]
            deadline = 0.0
            while True:
                try:
                    producer.produce(
                        real, record.value, record.key, partition, report, headers=headers
                    )
                    break
                except BufferError:
                    deadline = deadline or time.monotonic() + self._patience_s + SLACK_S
                    if not self._waits and time.monotonic() > deadline:
                        raise self._failed(None, f"sending to {topic}") from None
                    producer.poll(0.05)
                except KafkaException as error:
                    raise self._failed(error.args[0], f"sending to {topic}") from error
        return producer

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise self._failed(failure, "delivering records")

    def _failed(self, error: KafkaError | None, doing: str) -> LogError:
        if error is not None and error.fatal():
            with self._lock:
                self._producer = None  # it would refuse everything from now on
        return self._cluster.trouble.error(error or KafkaError(KafkaError._MSG_TIMED_OUT), doing)


def _check_files(address: KafkaAddress) -> None:
    for option in ("ca", "cert", "key"):
        path = getattr(address, option)
        if path and not os.access(path, os.R_OK):
            raise LogError(f"{path}, the {option} of ALPR_LOG_URL, cannot be read: name a PEM file")
