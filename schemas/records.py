"""The records of the log as typed dictionaries, as the codec gives and takes them.

The ``.avsc`` files beside this one are the source and say what each field means; a test holds
the two together. Every time is an integer: microseconds since 1970 UTC.
"""

from typing import Literal, TypedDict

Status = Literal["tentative", "confirmed", "revised", "ended", "retracted"]


class Box(TypedDict):
    """A rectangle in the pixels of its frame; x and y are its upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Node(TypedDict):
    """Where a camera stands and which machine read it, stamped by the edge from cameras.yaml."""

    site: str
    host: str
    zone: str
    lane: str
    latitude: float | None
    longitude: float | None
    timezone: str


class Vehicle(TypedDict):
    """What is known of the vehicle that carries the plate; null is unknown."""

    type: str | None
    make: str | None
    model: str | None
    color: str | None


class Images(TypedDict):
    """Addresses of evidence pictures, '' where there is none."""

    plate_url: str
    vehicle_url: str
    frame_url: str


class Alternative(TypedDict):
    """Another text that the same pixels or the same evidence could mean."""

    text: str
    confidence: float


class PlateRead(TypedDict):
    """One recognition of one plate in one frame."""

    read_id: str
    camera_id: str
    camera_group: str | None
    session: str
    captured_at: int
    track_id: str
    frame_number: int
    text: str
    confidence: float
    char_confidences: list[int]
    alternatives: list[Alternative]
    region: str | None
    box: Box
    frame_width: int
    frame_height: int
    vehicle: Vehicle | None
    direction: str | None
    quality: float
    images: Images
    node: Node
    reader: str


class CameraHeartbeat(TypedDict):
    """A camera lives: all captured before captured_at has been appended. Every few seconds."""

    camera_id: str
    camera_group: str | None
    session: str
    captured_at: int
    state: str
    frames_seen: int
    frames_dropped: int
    fps: float
    clock_offset_us: int


class SourceEnded(TypedDict):
    """A file or stream came to its end; its open sightings end."""

    camera_id: str
    camera_group: str | None
    session: str
    captured_at: int
    reason: str


class Tick(TypedDict):
    """Wall time, appended once a second to every partition of alpr.reads.raw."""

    at: int


class Gap(TypedDict):
    """What an edge had to drop when its disk bound was reached."""

    camera_id: str
    camera_group: str | None
    session: str
    from_at: int
    to_at: int
    dropped: int


class ReadRejected(TypedDict):
    """A read that may not count, and why."""

    partition: int
    offset: int
    reason: str
    detail: str
    rules_version: str
    read: PlateRead
    reads: int


class Plate(TypedDict):
    """The plate of a sighting."""

    text: str
    normalized_text: str
    confidence: float
    region: str | None


class Extras(TypedDict):
    """Seeds' extras, of the best shot."""

    roi: str | None
    direction: str | None
    quality_score: float
    frame_number: int
    box: Box


class CharacterEvidence(TypedDict):
    """What speaks for one character at one place."""

    character: str
    weight: int


class ReadEvidence(TypedDict):
    """One of the best reads of a sighting."""

    read_id: str
    camera_id: str
    track_id: str
    captured_at: int
    frame_number: int
    text: str
    normalized_text: str
    confidence: float
    char_confidences: list[int]
    quality: float
    box: Box
    images: Images
    reader: str


class Evidence(TypedDict):
    """Why the plate was read so."""

    positions: list[list[CharacterEvidence]]
    reads: list[ReadEvidence]
    texts: int


class PlateEvent(TypedDict):
    """A sighting: one stay of one plate before one camera."""

    event_id: str
    revision: int
    partition: int
    status: Status
    captured_at: int
    first_seen: int
    last_seen: int
    camera_id: str
    camera_group: str | None
    track_id: str
    plate: Plate
    vehicle: Vehicle
    images: Images
    latency_ms: int
    node: Node
    extras: Extras
    reads: int
    tracks: int
    was: list[str]
    alternatives: list[Alternative]
    merged_into: str | None
    reason: str | None
    rules_version: str
    evidence: Evidence


class Progress(TypedDict):
    """Event time has come this far in one partition: no earlier sighting will be opened."""

    partition: int
    revision: int
    watermark: int
    clock: int
    cameras: int


class CameraState(TypedDict):
    """A camera fell silent, is heard again, or its source ended."""

    camera_id: str
    camera_group: str | None
    state: str
    at: int
    heard_at: int
    partition: int
    revision: int


class WatchHit(TypedDict):
    """Why a watchlist matched a plate."""

    watchlist: str
    plate: str
    kind: str
    match: str
    confidence: float
    owner: str
    reason: str
    tags: list[str]


class AlertEvent(TypedDict):
    """A rule matched, or what became of the match."""

    alert_id: str
    kind: str
    at: int
    rule: str
    rule_version: str
    event_id: str | None
    revision: int | None
    subject: str
    plate: str | None
    camera_id: str | None
    severity: str
    message: str
    actor: str | None
    comment: str | None
    count: int
    event_ids: list[str]
    first_at: int | None
    last_at: int | None
    text: str | None
    confidence: float
    site: str
    zone: str
    timezone: str
    images: Images | None
    watched: WatchHit | None
    was: list[str]
    reason: str | None
    near_change: bool


class NotificationAttempt(TypedDict):
    """One attempt to deliver an alert over one channel."""

    notification_id: str
    alert_id: str
    channel: str
    target: str
    attempt: int
    at: int
    outcome: str
    detail: str
    duration_ms: int


class MetricPoint(TypedDict):
    """A count or latency of one minute of one node."""

    node: str
    name: str
    labels: dict[str, str]
    minute: int
    count: int
    sum: float
    maximum: float


class DeadLetter(TypedDict):
    """A record that could not be processed, whole."""

    topic: str
    partition: int
    offset: int
    appended_at: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    step: str
    reason: str
    detail: str
    redriven: int


class RuleVersion(TypedDict):
    """A version of an alert rule."""

    name: str
    effective_from: int
    definition: str | None
    actor: str


class WatchlistEntry(TypedDict):
    """A version of an entry of a watchlist."""

    watchlist: str
    plate: str
    kind: str
    match: str
    effective_from: int
    valid_from: int | None
    valid_to: int | None
    owner: str
    reason: str
    tags: list[str]
    removed: bool
    actor: str


class CameraChanged(TypedDict):
    """A version of a camera's settings."""

    camera_id: str
    effective_from: int
    camera_group: str | None
    node: Node
    settings: str | None
    actor: str


class Correction(TypedDict):
    """What a person says a sighting really was."""

    correction_id: str
    event_id: str
    at: int
    actor: str
    kind: str
    text: str | None
    other: str | None
    comment: str


class AuditEntry(TypedDict):
    """Who looked at or did what."""

    audit_id: str
    at: int
    actor: str
    action: str
    subject: str
    reason: str
    found: list[str]
