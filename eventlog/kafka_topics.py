"""The design's topics as Kafka's: how they are set, and how they are made."""

from collections.abc import Mapping

from schemas.topics import DAY_US, DLQ, RAW, TOPICS, Topic

# A record that a topic took must fit those that hold it whole: what becomes of a raw read may
# be larger than it, and a dead letter holds any record.
RAW_BYTES = 1 << 20
DERIVED_BYTES = 4 << 20
DEAD_BYTES = 5 << 20
# Kafka drops and compacts closed segments only, so one is closed each day.
SEGMENT_MS = 86_400_000
# A record erased by a tombstone is gone this long after it may be compacted, at the latest.
ERASED_WITHIN_MS = 7 * 86_400_000


def max_bytes(topic: str) -> int:
    """The largest batch that a topic takes, in bytes."""
    return {RAW.name: RAW_BYTES, DLQ.name: DEAD_BYTES}.get(topic, DERIVED_BYTES)


def settings(topic: Topic, kept: Mapping[str, int]) -> dict[str, str]:
    """A topic's settings; ``kept`` says in microseconds where it is kept for another time."""
    kept_us = kept.get(topic.name, topic.retention_us)
    common = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(max_bytes(topic.name)),
        "segment.ms": str(SEGMENT_MS),
        "compression.type": "producer",
    }
    if topic.compacted:
        assert kept_us is not None
        lag = kept_us // 1000
        return common | {
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": str(lag),
            "max.compaction.lag.ms": str(lag + ERASED_WITHIN_MS),
            "retention.ms": "-1",
        }
    return common | {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if kept_us is None else str(kept_us // 1000),
        "retention.bytes": "-1",
    }


def days(milliseconds: str) -> str:
    """A setting in milliseconds as people say it."""
    if milliseconds == "-1":
        return "for ever"
    return f"{int(milliseconds) * 1000 / DAY_US:g} days"


def partitions(topic: Topic, count: int) -> int:
    """How many partitions a topic has in a log of ``count``."""
    return count if topic.partitioned else 1


def names(prefix: str) -> dict[str, str]:
    """Kafka's name of every topic."""
    return {name: prefix + name for name in TOPICS}
