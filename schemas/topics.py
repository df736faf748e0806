"""Every topic of the log: what it holds, how it is keyed and how long it is kept."""

from dataclasses import dataclass

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's name, the records it may hold, and its retention.

    ``retention_us`` is in microseconds of ``appended_at``, None for ever. A compacted topic
    keeps at least the last record of each key.
    """

    name: str
    records: tuple[str, ...]
    retention_us: int | None
    compacted: bool = False
    partitioned: bool = True


RAW = Topic(
    "alpr.reads.raw",
    ("PlateRead", "CameraHeartbeat", "SourceEnded", "Tick", "Gap"),
    7 * DAY_US,
)
REJECTED = Topic("alpr.reads.rejected", ("ReadRejected",), 7 * DAY_US)
DETECTED = Topic(
    "alpr.plates.detected", ("PlateEvent", "Progress", "CameraState"), 90 * DAY_US, compacted=True
)
ALERTS = Topic("alpr.alerts", ("AlertEvent",), 90 * DAY_US, compacted=True)
NOTIFICATIONS = Topic("alpr.notifications", ("NotificationAttempt",), 30 * DAY_US)
METRICS = Topic("alpr.metrics", ("MetricPoint",), 7 * DAY_US)
DLQ = Topic("alpr.dlq", ("DeadLetter",), 30 * DAY_US)
RULES = Topic("alpr.rules", ("RuleVersion",), None, partitioned=False)
WATCHLIST = Topic(
    "alpr.watchlist", ("WatchlistEntry",), 90 * DAY_US, compacted=True, partitioned=False
)
CAMERAS = Topic("alpr.cameras", ("CameraChanged",), None, partitioned=False)
# Each has a key of its own, so that compaction drops nothing but what a tombstone erases.
CORRECTIONS = Topic("alpr.corrections", ("Correction",), 30 * DAY_US, compacted=True)
AUDIT = Topic("alpr.audit", ("AuditEntry",), None)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        RAW,
        REJECTED,
        DETECTED,
        ALERTS,
        NOTIFICATIONS,
        METRICS,
        DLQ,
        RULES,
        WATCHLIST,
        CAMERAS,
        CORRECTIONS,
        AUDIT,
    )
}


def subject(topic: str, record: str) -> str:
    """Name of a record's schema in the registry (Confluent's TopicRecordNameStrategy)."""
    return f"{topic}-alpr.{record}"


def correction_key(event_id: str, correction_id: str) -> bytes:
    """A correction's key; its partition is that of the sighting, ``placing`` of the key."""
    return f"{event_id}/{correction_id}".encode()


def placing(topic: str, key: bytes) -> bytes:
    """The part of a record's key that decides on its partition."""
    return key.partition(b"/")[0] if topic == CORRECTIONS.name else key


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, 0 to ``partitions`` - 1, as Kafka's Java client computes it.

    Murmur2 with Kafka's seed, sign bit cleared, modulo the number of partitions
    (org.apache.kafka.common.utils.Utils.murmur2).
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 of ``data`` with the seed that Kafka uses, 0 to 2**32 - 1."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = length - whole
    if rest == 3:
        h ^= data[whole + 2] << 16
    if rest >= 2:
        h ^= data[whole + 1] << 8
    if rest >= 1:
        h = (h ^ data[whole]) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
