"""What is sent and answered about corrections, for OpenAPI."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class CorrectionBody(BaseModel):
    """What a person says of a sighting.

    ``text`` goes with the kind text, ``other`` (the id of the sighting it is one with) with merge.
    Who gives a ``correction_id`` of their own may send the same again without saying it twice.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"kind": "text", "text": "34A 368.37", "comment": "mud"}}
    )

    kind: Literal["text", "merge", "no plate"]
    text: str | None = None
    other: UUID | None = None
    comment: str = ""
    correction_id: UUID | None = None


class CorrectionResponse(BaseModel):
    """One thing that was said; ``undone_by`` names the correction that took it back."""

    correction_id: UUID
    event_id: UUID
    at: datetime
    actor: str
    kind: str
    text: str | None
    other: UUID | None
    comment: str
    undone_by: UUID | None


class StandingResponse(BaseModel):
    """What stands of all that was said; null fields are as they were read."""

    text: str | None
    hidden: bool
    merged_into: UUID | None
    correction_id: UUID
    actor: str
    at: datetime
    comment: str


class CorrectedResponse(BaseModel):
    """``written`` is null where it was said before; ``in_view`` says whether every answer has it
    already: else in a moment.
    """

    event_id: UUID
    written: CorrectionResponse | None
    corrected: StandingResponse | None
    in_view: bool


class OfSightingResponse(BaseModel):
    """All that was said of a sighting, in its order, and what stands of it."""

    event_id: UUID
    read: str
    corrected: StandingResponse | None
    count: int
    corrections: list[CorrectionResponse]


class ListedCorrection(CorrectionResponse):
    """A correction with its sighting: where, when, and how it was read."""

    camera_id: str
    captured_at: datetime
    timezone: str
    plate_normalized_text: str


class CorrectionsResponse(BaseModel):
    """Corrections, the latest first; ``count`` is of this page."""

    count: int
    limit: int
    offset: int
    corrections: list[ListedCorrection]


class ConfusionModel(BaseModel):
    """``read`` was taken for ``was``; an empty one is a character too many or too few."""

    read: str
    was: str
    count: int
    cameras: dict[str, int]
    readers: dict[str, int]
    regions: dict[str, int]
    event_ids: list[UUID]


class ShareModel(BaseModel):
    """Corrections of one camera, reader or country; ``share`` of its sightings, for cameras."""

    name: str
    corrected: int
    no_plate: int
    merged: int
    sightings: int | None
    share: float | None


class ReportResponse(BaseModel):
    """What corrections tell of reading.

    ``corrected``: the text was another; ``confirmed``: it was said to be as read; ``second``: what
    was said stood among the vote's alternatives. ``share`` is of all sightings.
    """

    start_time: datetime | None
    end_time: datetime | None
    sightings: int
    corrected: int
    confirmed: int
    no_plate: int
    merged: int
    second: int
    share: float | None
    confusions: list[ConfusionModel]
    cameras: list[ShareModel]
    readers: list[ShareModel]
    regions: list[ShareModel]
