"""What is answered about cameras, for OpenAPI."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class HealthModel(BaseModel):
    """As its last heartbeat told, by the log's clock; frames are those since its session began."""

    state: str
    heard_at: datetime | None
    fps: float | None
    frames_seen: int | None
    frames_dropped: int | None


class CameraModel(BaseModel):
    """A camera: its settings (null where no edge wrote them), and its newest sighting.

    ``hours`` are the sightings of each of the last 24 hours, the present one last.
    """

    camera_id: str
    effective_from: datetime | None
    camera_group: str | None
    node: dict[str, Any] | None
    settings: dict[str, Any] | None
    actor: str | None
    sightings: int
    event_id: UUID | None
    captured_at: datetime | None
    last_seen: datetime | None
    frame_image_url: str | None
    box: dict[str, int] | None
    site_id: str | None
    zone: str | None
    lane: str | None
    timezone: str | None
    health: HealthModel
    hours: list[int]


class CamerasResponse(BaseModel):
    """Cameras by id."""

    count: int
    cameras: list[CameraModel]


class CameraResponse(CameraModel):
    """A camera with what it was set to, the latest first; null settings: removed."""

    versions: list[dict[str, Any]]
