"""What the answers of /analytics look like, for OpenAPI."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict


class BehindModel(BaseModel):
    """What is not counted yet: changes of sightings, and hours that are counted again."""

    changes: int
    hours: int


class Analysed(BaseModel):
    """From when to when was counted (``end`` excluded), whole buckets; ``timezone`` is theirs.

    ``behind`` is null where the view that answers does not know it.
    """

    start: datetime
    end: datetime
    timezone: str
    behind: BehindModel | None


class CountPoint(BaseModel):
    """Sightings of a group in a bucket. ``name`` is '' for what is not known."""

    time: datetime
    name: str
    sightings: int


class CountsResponse(Analysed):
    """A point for each bucket and each of the largest groups, the largest first.

    ``other`` has the buckets of all further groups, where there are any.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "start": "2025-06-15T00:00:00Z",
                "end": "2025-06-16T00:00:00Z",
                "timezone": "UTC",
                "behind": {"changes": 0, "hours": 0},
                "interval": "day",
                "by": "camera",
                "total": 1204,
                "points": [{"time": "2025-06-15T00:00:00Z", "name": "CAM-1", "sightings": 1204}],
                "other": [],
            }
        }
    )

    interval: str
    by: str
    total: int
    points: list[CountPoint]
    other: list[CountPoint]


class GroupModel(BaseModel):
    """A camera, site, vehicle type or region; ``share`` is of all sightings, 0 to 1."""

    name: str
    sightings: int
    share: float


class GroupsResponse(Analysed):
    """Sightings of the largest groups; ``other`` are those of all further ones."""

    by: str
    total: int
    groups: list[GroupModel]
    other: int


class WeekHour(BaseModel):
    """An hour of the week. ``weekday`` 1 is Monday; ``hours``: how many such hours there were."""

    weekday: int
    hour: int
    sightings: int
    hours: int


class WeekResponse(Analysed):
    """168 hours of the week, by the clock of ``timezone``."""

    hours: list[WeekHour]


class PlatesDay(BaseModel):
    """Different plates of a day: never seen before, and seen before."""

    day: date
    plates: int
    new: int
    returning: int


class PlatesResponse(Analysed):
    """New and returning plates by local day; within what is kept."""

    days: list[PlatesDay]


class TopPlate(BaseModel):
    """A plate that was there often; times to the millisecond."""

    plate: str
    sightings: int
    first_seen: datetime
    last_seen: datetime


class TopResponse(Analysed):
    """The plates that were there most often, most first."""

    plates: list[TopPlate]


class SpreadModel(BaseModel):
    """A histogram and what follows from it; null where there is nothing.

    ``counts[0]`` are the values below ``edges[0]``, ``counts[n]`` those from ``edges[n - 1]`` on.
    """

    camera_id: str | None
    sightings: int
    p10: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    counts: list[int]


class SpreadResponse(Analysed):
    """How a measure is spread: over all sightings, and by camera. Quantiles are interpolated in
    bins of at most a quarter of their value.
    """

    unit: str
    edges: list[float]
    all: SpreadModel
    cameras: list[SpreadModel]


class CameraQuality(BaseModel):
    """How well a camera is read. Shares are 0 to 1, null where there is nothing.

    ``retracted`` by the rules, ``merged`` into another sighting by them; ``corrected`` and
    ``hidden`` by people. ``revised_share``: another text was told before.
    """

    camera_id: str | None
    sightings: int
    reads_a_sighting: float | None
    revised: int
    revised_share: float | None
    corrected: int
    hidden: int
    retracted: int
    retracted_share: float | None
    merged: int


class QualityResponse(Analysed):
    """How well plates are read: over all sightings, by camera, and two histograms of all."""

    all: CameraQuality
    cameras: list[CameraQuality]
    confidence: SpreadModel
    confidence_edges: list[float]
    reads: SpreadModel
    reads_edges: list[float]
