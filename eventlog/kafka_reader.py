"""Reading one Kafka topic: one consumer, fetching ahead a bounded distance for each partition."""

import logging
import struct
import threading
import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventlog.kafka_client import config
from eventlog.kafka_cluster import Cluster
from eventlog.log import Entry, LogError, LogMismatch, LogUnavailable, OffsetGone

APPENDED_AT = "alpr-appended-at"
"""Header of a copy: when the original was appended, microseconds UTC, 8 bytes."""
TIME = struct.Struct(">q")

TAKE = 1000  # records taken over from librdkafka at once
# Records come in one queue for all partitions. One whose reader is slower than the others' is
# fetched no further while it holds this many records or bytes.
HELD, HELD_BYTES = 4_000, 8 << 20
# How often a partition without news is looked at; and while other partitions' records are held,
# since it is theirs that a look would bring.
LOOK_S, LOOK_HELD_S = 0.05, 1.0
FIRST_S = 2.0  # the longest that a read at a new place waits for its first records
ASK_S = 1.0  # the longest that it waits for the broker to tell the partition's bounds
AGAIN_S = 1.0  # before a place that could not be taken up is tried again
# The queue of all partitions, once uncompressed, and what one request brings of one of them.
_CONSUMER = {
    "group.id": "alpr-reader",  # demanded by librdkafka; nothing is subscribed to or committed
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": 16_384,
    "queued.min.messages": 2_000,
    "max.partition.fetch.bytes": 65_536,
    "fetch.max.bytes": 8_388_608,
    # A place newly taken up waits for the request under way, and that for its records.
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,
}
_LEAPS = {"fetch.wait.max.ms": 10}  # for who mostly takes up new places
_log = logging.getLogger(__name__)


class _Place:
    """Where a partition is read: the offset that was asked for and what is fetched from there."""

    __slots__ = (
        "assigned",
        "at",
        "end",
        "entries",
        "lost",
        "next",
        "paused",
        "retry",
        "size",
        "topic_partition",
    )

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic_partition = TopicPartition(topic, partition, offset)
        self.at = offset  # the next to be given; ``entries`` begins here or after a gap
        self.next = offset  # the next to be fetched, at least
        self.end = offset  # where fetching last found nothing more
        self.entries: list[Entry] = []
        self.size = 0
        self.assigned = False
        self.paused = False  # holds so much that no more is fetched
        self.lost = False  # Kafka no longer has what is next
        self.retry = 0.0

    def take(self, limit: int) -> list[Entry]:
        """Give what comes first of what is held."""
        entries = self.entries
        if len(entries) <= limit:
            taken, self.entries, self.size = entries, [], 0
        else:
            taken, self.entries = entries[:limit], entries[limit:]
            self.size = self.size * len(self.entries) // len(entries)  # near enough
        if taken:
            self.at = taken[-1].offset + 1
        return taken

    @property
    def share(self) -> float:
        """How much is held of what may be: more than 1 is too much."""
        return max(len(self.entries) / HELD, self.size / HELD_BYTES)


class TopicReader:
    """Reads a topic's partitions at their readers' offsets; any thread may ask.

    A read at the offset that follows the last one takes what has come in the background. At
    any other offset it goes there, which asks the broker and waits a moment for the first
    records. While the broker is away reads give nothing, and then go on.
    """

    def __init__(self, cluster: Cluster, topic: str, uuid: str, *, leaps: bool = False) -> None:
        self._cluster = cluster
        self._topic = topic
        self._uuid = uuid
        self._real = cluster.address.prefix + topic
        self._lock = threading.Lock()
        self._places: dict[int, _Place] = {}
        self._looked = 0.0
        self._failure: LogError | None = None
        mine = _CONSUMER | _LEAPS if leaps else _CONSUMER
        self._consumer = Consumer(config(cluster.address, cluster.trouble, mine))

    def read(self, partition: int, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` records from ``offset`` on; raises OffsetGone."""
        with self._lock:
            place = self._places.get(partition)
            if place is None or not self._holds(place, offset):
                place = self._go(partition, offset)
            elif not place.entries:
                self._fetch(place)
                if place.lost:
                    place = self._go(partition, offset)
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            taken = place.take(limit)
            if place.paused and place.share <= 0.5:
                self._consumer.resume([place.topic_partition])
                place.paused = False
            return taken

    def reached(self, partition: int, offset: int) -> int:
        """The end, if nothing is left between it and ``offset``; else ``offset``."""
        with self._lock:
            place = self._places.get(partition)
            if place is None or place.at != offset or place.entries:
                return offset
            return max(offset, place.end)

    def close(self) -> None:
        """Leave the cluster."""
        with self._lock:
            self._consumer.close()

    def _holds(self, place: _Place, offset: int) -> bool:
        """Whether the records from ``offset`` on are those held or coming."""
        if not place.assigned:
            return False
        if offset == place.at:
            return True
        if not place.at < offset <= place.next:
            return False
        place.entries = [entry for entry in place.entries if entry.offset >= offset]
        place.at = offset
        return True

    def _go(self, partition: int, offset: int) -> _Place:
        """Take a partition up at an offset; what it holds is empty where that must wait."""
        now = time.monotonic()
        place = self._places.get(partition)
        if place is None or place.at != offset or place.assigned:
            self._let_go(partition)
            place = self._places[partition] = _Place(self._real, partition, offset)
        if now < place.retry:
            return place
        place.retry = now + AGAIN_S
        try:
            lowest = self._cluster.lowest(self._topic, [partition], ASK_S)[partition]
            end = self._cluster.ends(self._topic, [partition], ASK_S)[partition]
        except LogUnavailable:
            return place  # told by the cluster's trouble; tried again
        if offset < lowest:
            del self._places[partition]
            raise OffsetGone(self._topic, partition, offset, lowest)
        if offset > end:
            self._beyond(partition, offset, end)
            return place
        self._consumer.incremental_assign([place.topic_partition])
        place.assigned = True
        while offset < end and not place.entries and time.monotonic() < now + FIRST_S:
            self._fetch(place, 0.02)
        return place

    def _beyond(self, partition: int, offset: int, end: int) -> None:
        """Nothing is there yet; unless the topic was made anew, or lost its end."""
        try:
            uuid = self._cluster.uuid()
        except LogUnavailable:
            return
        if uuid != self._uuid:
            raise LogMismatch(
                f"{self._topic} was deleted and made anew on {self._cluster.address.shown} while "
                "it was read: begin anew with an empty recovery folder and `alpr replay`"
            )
        _log.warning(
            "%s, partition %d: read from %d on, and it ends at %d",
            self._topic, partition, offset, end,
        )  # fmt: skip

    def _let_go(self, partition: int) -> None:
        place = self._places.pop(partition, None)
        if place is not None and place.assigned:
            if place.paused:
                self._consumer.resume([place.topic_partition])
            self._consumer.incremental_unassign([place.topic_partition])

    def _fetch(self, asked: _Place, timeout: float = 0.0) -> None:
        """Take over what has come, for all partitions; only if there may be some for this one."""
        now = time.monotonic()
        places, topic = self._places, self._topic
        if not timeout:
            held = any(place.entries for place in places.values())
            if now - self._looked < (LOOK_HELD_S if held else LOOK_S):
                _, high = self._consumer.get_watermark_offsets(asked.topic_partition, cached=True)
                if 0 <= high <= asked.next:
                    return
        self._looked = now
        messages: list[Any] = self._consumer.consume(TAKE, timeout)
        for message in messages:
            if message.error() is not None:
                self._refused(message)
                continue
            partition, offset = message.partition(), message.offset()
            place = places.get(partition)
            if place is None or offset < place.next:
                continue
            value = message.value()
            appended_at = message.timestamp()[1] * 1000
            headers = message.headers()
            if headers:
                appended_at, headers = _told(appended_at, headers)
            place.entries.append(
                Entry(topic, partition, offset, appended_at, message.key(), value, headers or {})
            )
            place.next = offset + 1
            if value is not None:
                place.size += len(value)
        for place in places.values():
            if place.share > 1 and not place.paused and place is not asked:
                self._consumer.pause([place.topic_partition])
                place.paused = True

    def _refused(self, message: Message) -> None:
        error, partition = message.error(), message.partition()
        assert error is not None
        place = self._places.get(partition) if partition is not None else None
        if error.code() == KafkaError._PARTITION_EOF:
            if place is not None:
                place.end = message.offset() or 0
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and place is not None:
            place.lost = True
            place.retry = 0.0
        elif error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):
            self._failure = LogMismatch(
                f"{self._topic} is gone from {self._cluster.address.shown}: "
                "make the topics with `alpr topics create`, then begin anew"
            )
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._failure = self._cluster.trouble.error(error, f"reading {self._topic}")
        else:
            self._cluster.trouble(error)


def _told(appended_at: int, headers: list[tuple[str, Any]]) -> tuple[int, dict[str, bytes]]:
    """When a record was appended first, and its headers without ours."""
    kept: dict[str, bytes] = {}
    for name, value in headers:
        if name != APPENDED_AT:
            kept[name] = value if value is not None else b""
        elif value is not None and len(value) == TIME.size:
            (appended_at,) = TIME.unpack(value)
    return appended_at, kept
