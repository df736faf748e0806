"""What the answers look like, for OpenAPI. Rows go out as they come: these do not validate them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

_EVENT: dict[str, Any] = {
    "event_id": "6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b",
    "captured_at": "2025-01-15T12:34:56.120000Z",
    "created_at": "2025-01-15T12:34:56.205000Z",
    "camera_id": "CAM-001",
    "track_id": "CAM-001/1a2b/7",
    "plate_text": "34A-368.37",
    "plate_normalized_text": "34A36837",
    "plate_confidence": 0.987,
    "plate_region": "VN",
    "vehicle_type": "car",
    "vehicle_make": None,
    "vehicle_model": None,
    "vehicle_color": "white",
    "plate_image_url": "images/2025-01-15/CAM-001/1a2b-7-123-plate.jpg",
    "vehicle_image_url": "",
    "frame_image_url": "images/2025-01-15/CAM-001/1a2b-7-123-frame.jpg",
    "latency_ms": 85,
    "quality_score": 0.85,
    "frame_number": 123,
    "site_id": "DC1",
    "host_id": "jetson-orin-nx",
    "roi": None,
    "direction": "approaching",
    "status": "ended",
    "revision": 4711,
    "partition": 2,
    "first_seen": "2025-01-15T12:34:56.120000Z",
    "last_seen": "2025-01-15T12:34:59.870000Z",
    "camera_group": None,
    "zone": "north",
    "lane": "2",
    "latitude": 25.79,
    "longitude": -80.29,
    "timezone": "America/New_York",
    "reads": 12,
    "tracks": 1,
    "texts": 2,
    "merged_into": None,
    "reason": "window",
    "rules_version": "3f9ac1d07be2",
    "was": ["34A36831"],
    "alternatives": [{"text": "34A36831", "confidence": 0.011}],
    "box": {"x": 604, "y": 388, "width": 142, "height": 41},
    "plate_shown": "34A36837",
    "corrected": None,
}


class Correction(BaseModel):
    """What a person said of a sighting that still stands. ``text`` is null where it is as read."""

    text: str | None
    hidden: bool
    merged_into: UUID | None
    correction_id: UUID
    actor: str
    at: datetime
    comment: str


class EventResponse(BaseModel):
    """A sighting. Times are ISO 8601 in UTC; a picture's address is served under the server.

    ``plate_shown`` is the plate as far as is known: as a person said, else as read.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EVENT})

    event_id: UUID
    captured_at: datetime
    created_at: datetime
    camera_id: str
    track_id: str
    plate_text: str
    plate_normalized_text: str
    plate_confidence: float
    plate_region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    plate_image_url: str
    vehicle_image_url: str
    frame_image_url: str
    latency_ms: int
    quality_score: float
    frame_number: int
    site_id: str
    host_id: str
    roi: str | None
    direction: str | None
    status: str
    revision: int
    partition: int
    first_seen: datetime
    last_seen: datetime
    camera_group: str | None
    zone: str
    lane: str
    latitude: float | None
    longitude: float | None
    timezone: str
    reads: int
    tracks: int
    texts: int
    merged_into: UUID | None
    reason: str | None
    rules_version: str
    was: list[str]
    alternatives: list[dict[str, Any]]
    box: dict[str, int]
    plate_shown: str
    corrected: Correction | None


class EventWithEvidence(EventResponse):
    """A sighting with what it rests on: totals by position and the best reads."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_EVENT, "evidence": {"positions": [], "reads": []}}}
    )

    evidence: dict[str, Any]


class EventsResponse(BaseModel):
    """Sightings by time of arrival, newest first."""

    count: int
    events: list[EventResponse]


class PlateEventsResponse(BaseModel):
    """Sightings of one plate, newest first; ``count`` is of this page."""

    plate: str
    count: int
    limit: int
    offset: int
    events: list[EventResponse]


class CameraEventsResponse(BaseModel):
    """Sightings of one camera, newest first; ``count`` is of this page."""

    camera_id: str
    start_time: datetime | None
    end_time: datetime | None
    count: int
    limit: int
    offset: int
    events: list[EventResponse]


class SearchResponse(BaseModel):
    """Sightings that are meant, newest first; ``count`` is of this page.

    ``next_cursor`` gives the next page; null where this one is the last.
    """

    count: int
    limit: int
    offset: int
    next_cursor: str | None
    events: list[EventResponse]


class StatsResponse(BaseModel):
    """Numbers over all sightings that were not retracted."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "is_connected": True,
                "total_events": 12543,
                "unique_plates": 3421,
                "active_cameras": 4,
                "earliest_event": "2025-01-10T08:00:00Z",
                "latest_event": "2025-01-15T16:30:00Z",
                "avg_confidence": 0.876,
                "avg_latency_ms": 85.3,
            }
        }
    )

    is_connected: bool
    total_events: int
    unique_plates: int
    active_cameras: int
    earliest_event: datetime | None
    latest_event: datetime | None
    avg_confidence: float | None
    avg_latency_ms: float | None


class HealthResponse(BaseModel):
    """``healthy``, or ``unhealthy`` with status 503 and the reason in ``detail``."""

    status: str
    database_connected: bool
    version: str
    detail: str | None


class Problem(BaseModel):
    """How every failure is told: a short code, and a sentence with input, cause and cure."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": "invalid_input",
                "detail": "limit='5000' is beyond the maximum of 1000: ask for at most 1000",
            }
        }
    )

    error: str
    detail: str
