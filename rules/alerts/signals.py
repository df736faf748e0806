"""What the two stages of the alert engine say to each other: plain values, small, picklable."""

from typing import NamedTuple
from zlib import crc32

from schemas.records import Images, WatchHit

BUCKETS = 16
"""Into how many parts the rules are divided, by name; fixed, since snapshots are kept by part."""


class Evidence(NamedTuple):
    """What an alert has to know of a revision of a sighting. Times in microseconds."""

    event_id: str
    revision: int
    partition: int
    appended_at: int
    captured_at: int
    first_seen: int
    last_seen: int
    status: str
    plate: str
    """normalised"""
    text: str
    """as read"""
    confidence: float
    camera_id: str
    gate: str
    """the camera's group, or the camera"""
    site: str
    zone: str
    timezone: str
    latitude: float | None
    longitude: float | None
    images: Images
    watched: WatchHit | None
    was: tuple[str, ...]
    near_change: bool


class Sighted(NamedTuple):
    """A sighting counts for a rule at these steps; at none: it counts no more."""

    rule: str
    shape: str
    steps: tuple[int, ...]
    evidence: Evidence
    reason: str | None = None
    """why it counts no more: revised, retracted, merged, erased"""
    merged_into: str | None = None


class Clock(NamedTuple):
    """How far time has come in one partition."""

    partition: int
    watermark: int
    clock: int
    cameras: int


class CameraTold(NamedTuple):
    """A camera of a rule about silence is ``silent``, or no more: ``live``, ``ended``."""

    rule: str
    shape: str
    camera_id: str
    state: str
    at: int
    heard_at: int
    partition: int
    appended_at: int
    near_change: bool


class Erased(NamedTuple):
    """A sighting is to be forgotten."""

    event_id: str


Signal = Sighted | Clock | CameraTold | Erased


def bucket_of(rule: str) -> int:
    """The part of the rules that a rule belongs to, by its name."""
    return crc32(rule.encode()) % BUCKETS


def buckets(signal: Signal) -> range:
    """Who must hear a signal: the part of its rule, or everyone."""
    if isinstance(signal, Clock | Erased):
        return range(BUCKETS)
    bucket = bucket_of(signal.rule)
    return range(bucket, bucket + 1)
