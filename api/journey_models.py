"""What the answers on journeys, companions and busy hours look like, for OpenAPI."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field


class HopResponse(BaseModel):
    """What lies between a stop and the one before; null where it is not known."""

    seconds: float = Field(description="From leaving to coming; 0 or less: before both at once")
    km: float | None = Field(description="Along the great circle; a road is longer")
    kmh: float | None = Field(description="The least speed that the distance asks for")
    impossible: bool = Field(
        description="Farther than 1 km and faster than 250 km/h: two vehicles, or a misread"
    )


class StopResponse(BaseModel):
    """A sighting on a way."""

    event_id: UUID
    plate: str = Field(description="As far as is known: as corrected, else as read")
    plate_normalized_text: str = Field(description="As it was read")
    corrected_by: str | None
    camera_id: str
    camera_group: str | None
    site_id: str
    zone: str
    lane: str
    latitude: float | None
    longitude: float | None
    timezone: str
    direction: str | None
    captured_at: datetime
    first_seen: datetime
    last_seen: datetime
    status: str
    plate_region: str | None
    plate_confidence: float
    quality_score: float
    plate_image_url: str
    frame_image_url: str
    trip: int = Field(description="Its place among `trips`, from 0")
    hop: HopResponse | None


class TripResponse(BaseModel):
    """Stops without a long pause between them."""

    first_seen: datetime
    last_seen: datetime
    pause_s: float | None = Field(description="How long it had not been seen before, if known")
    continued: bool = Field(description="It began before the oldest stop of this answer")
    stops: int
    cameras: int
    km: float | None = Field(description="The sum of the distances that are known")
    seconds: float
    impossible: int


class JourneyResponse(BaseModel):
    """The latest stops of a plate, in event time."""

    plate: str
    plates: list[str] = Field(description="All whose stops these are")
    start_time: datetime | None
    end_time: datetime | None
    pause_hours: float
    count: int
    limit: int
    cursor: str | None = Field(description="Leads to what is older; null where nothing is")
    trips: list[TripResponse]
    stops: list[StopResponse]


class LookedAtResponse(BaseModel):
    """What companions were looked for at: nothing beyond it was read."""

    passes: int = Field(description="The latest passes of the plate")
    most_passes: int
    occasions: int = Field(description="Different pairs of camera and day among them")
    near: int = Field(description="Different other plates near on each occasion, all in all")
    most_near: int
    cut: int = Field(description="Passes at which more were near, and only the nearest counted")
    sightings: int = Field(description="Of all plates, by which a companion is rare or common")


class CompanionResponse(BaseModel):
    """Another plate that was near again and again."""

    plate: str
    occasions: int
    together: int = Field(description="Passes of the plate on which it was near")
    days: int
    cameras: list[str]
    first_at: datetime
    last_at: datetime
    behind_s: float = Field(description="How much later it came, on average; negative: before")
    seen: int = Field(description="All its sightings, 10,000 at most")
    share: float = Field(description="Of the occasions looked at")
    expected: float = Field(description="Occasions that chance alone would have made")
    unlikely: float = Field(description="6 stands for: once in a million by chance; 300 at most")
    alike: bool = Field(description="May be the same vehicle, misread")


class CompanionsResponse(BaseModel):
    """Who travels with a plate, least likely by chance first."""

    plate: str
    window_s: float
    min_times: int
    start_time: datetime | None
    end_time: datetime | None
    looked_at: LookedAtResponse
    count: int
    companions: list[CompanionResponse]


class BusyCamera(BaseModel):
    """Sightings of a camera by hour of the day."""

    camera_id: str
    timezone: str = Field(description="By whose clock its hours are")
    sightings: int
    hours: list[int] = Field(description="24 counts, from midnight on")


class NotCounted(BaseModel):
    """Changes of sightings and hours that are not counted yet."""

    changes: int
    hours: int


class HeatResponse(BaseModel):
    """The busiest cameras by hour of the day, busiest first."""

    start: datetime
    end: datetime
    behind: NotCounted | None
    count: int
    other: int = Field(description="Sightings of further cameras")
    cameras: list[BusyCamera]
