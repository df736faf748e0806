"""A read as another program gives it, checked field by field, and the record that it becomes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.records import Images, Node, PlateRead

SECOND = 1_000_000
AHEAD_US = 60 * SECOND
"""What lies further ahead of us has a wrong clock; dedup says the same of it."""
OLDEST_US = 7 * 86_400 * SECOND
"""So long alpr.reads.raw is kept: an older read could not be replayed."""
HOST = "ingest"
"""node.host of every read that came in here."""
NO_IMAGES: Images = {"plate_url": "", "vehicle_url": "", "frame_url": ""}
_SOURCES = UUID("5a0e3d8e-6f53-5d0b-9c0b-6f2f6b1a1c11")
_MOST_PIXELS = 100_000


class Refused(Exception):
    """A read cannot be taken. ``problems`` are the fields, each with what is wrong with it."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in place of a read that is no JSON."""

    why: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a camera already: its group and where it stands."""

    group: str | None
    node: Node


def _clean(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed: leave them out")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(_clean(name))
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone: give an IANA name such as Asia/Ho_Chi_Minh") from None
    return name


def _plate(text: str) -> str:
    _clean(text.replace("\n", ""))
    if not text.strip():
        raise ValueError("is empty: leave out what shows no plate")
    return text


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=0, le=_MOST_PIXELS)]
Word = Annotated[str, Field(max_length=100), AfterValidator(_clean)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_clean)]
Id = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean)]
Text = Annotated[str, Field(max_length=32), AfterValidator(_plate)]
Camera = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$")]
Picture = Annotated[str, Field(max_length=2_800_000, description="base64 of a JPEG, PNG or WebP")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class GivenBox(_Strict):
    """A rectangle in the pixels of its frame; x and y are its upper left corner."""

    x: Pixels
    y: Pixels
    width: Pixels
    height: Pixels


class GivenAlternative(_Strict):
    """Another text that the same pixels could mean."""

    text: Text
    confidence: Share


class GivenVehicle(_Strict):
    """What is known of the vehicle."""

    type: Word | None = None
    make: Word | None = None
    model: Word | None = None
    color: Word | None = None


class GivenNode(_Strict):
    """Where the camera stands; what is left out is as the camera's settings say, if it has any."""

    site: Name | None = None
    zone: Word | None = None
    lane: Word | None = None
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    timezone: Annotated[str, Field(max_length=60), AfterValidator(_zone)] | None = None


class GivenPictures(_Strict):
    """Pictures inside the read; an address is never fetched."""

    plate: Picture | None = None
    vehicle: Picture | None = None
    frame: Picture | None = None


class GivenRead(_Strict):
    """One recognition of one plate in one frame. Needed are camera, time, text and confidence."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "read_id": "gate-7f3a-000123",
                "camera_id": "GATE-1",
                "captured_at": "2026-11-21T10:15:30.250Z",
                "text": "34A-368.37",
                "confidence": 0.94,
                "track_id": "car-17",
                "box": {"x": 604, "y": 388, "width": 142, "height": 41},
            }
        }
    )

    camera_id: Camera
    captured_at: str | int = Field(
        description="ISO 8601 (without a zone UTC), or microseconds since 1970 UTC"
    )
    text: Text
    confidence: Share
    read_id: Id | None = Field(
        default=None, description="the same id is the same read, however often it is sent"
    )
    camera_group: Camera | None = None
    session: Id | None = Field(default=None, description="one run of the sender")
    track_id: Id | None = Field(default=None, description="the vehicle followed over frames")
    frame_number: Annotated[int, Field(ge=0, le=2**53)] | None = None
    char_confidences: Annotated[list[Share], Field(max_length=32)] | None = None
    alternatives: Annotated[list[GivenAlternative], Field(max_length=20)] = []
    region: Annotated[str, Field(pattern=r"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$")] | None = None
    box: GivenBox | None = None
    frame_width: Pixels = 0
    frame_height: Pixels = 0
    vehicle: GivenVehicle | None = None
    direction: Literal["approaching", "receding", "left", "right"] | None = None
    quality: Share | None = None
    node: GivenNode = GivenNode()
    pictures: GivenPictures = GivenPictures()
    reader: Word | None = None


def check(given: Any, now: int) -> tuple[GivenRead, int]:
    """The read and its time of capture, microseconds UTC. Raises Refused.

    ``given`` is what JSON gives; ``now`` the wall's time, microseconds UTC.
    """
    if isinstance(given, Unreadable):
        raise Refused([("", given.why)])
    if not isinstance(given, dict):
        raise Refused([("", "is no JSON object: give one with camera_id, captured_at, text …")])
    try:
        read = GivenRead.model_validate(given)
    except ValidationError as error:
        raise Refused([_problem(one) for one in error.errors(include_url=False)][:20]) from None
    wrong: list[tuple[str, str]] = []
    shares = read.char_confidences
    if shares is not None and len(shares) != len(read.text):
        told = f"has {len(shares)} numbers for {len(read.text)} characters: give one for each"
        wrong.append(("char_confidences", told))
    captured = 0
    try:
        captured = moment(read.captured_at, now)
    except ValueError as error:
        wrong.append(("captured_at", str(error)))
    if wrong:
        raise Refused(wrong)
    return read, captured


def moment(given: str | int, now: int) -> int:
    """Microseconds UTC of a time of capture. Raises ValueError for none, and for none that can be.

    A time ahead of ``now`` by a minute is of a wrong clock, one of more than seven days before it
    is older than the log keeps reads.
    """
    if isinstance(given, int):
        at = given
    else:
        try:
            parsed = datetime.fromisoformat(given[:64])
            parsed = parsed.replace(tzinfo=parsed.tzinfo or UTC)
            at = round((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND)
        except (ValueError, OverflowError):
            raise ValueError(
                "is no time: give ISO 8601 such as 2026-11-21T10:15:30.250Z, or microseconds UTC"
            ) from None
    if at > now + AHEAD_US:
        ahead = (at - now) / SECOND
        raise ValueError(f"lies {ahead:,.0f} s ahead of this server: set the sender's clock")
    if at < now - OLDEST_US:
        raise ValueError("is more than 7 days ago, longer than reads are kept: it is not taken")
    return at


def id_of(read: GivenRead, captured_at: int, source: str, limited: bool = False) -> str:
    """The read's id: a UUID as it is, else one that follows from source, camera and the id given.

    Without an id what was read, where and when is one. Who is ``limited`` to some cameras gives no
    UUID: it could be that of another camera's read, which would then be taken for sent already.
    """
    if read.read_id is None:
        name = f"{read.camera_id}\n{captured_at}\n{read.track_id}\n{read.text}\n{read.box}"
        return str(uuid5(_SOURCES, f"{source}\nread\n{name}"))
    if not limited:
        with suppress(ValueError):
            return str(UUID(read.read_id))
    return str(uuid5(_SOURCES, f"{source}\nid\n{read.camera_id}\n{read.read_id}"))


def record(
    read: GivenRead,
    captured_at: int,
    source: str,
    known: Known | None = None,
    *,
    limited: bool = False,
) -> PlateRead:
    """The record for alpr.reads.raw, without pictures.

    What the sender cannot know gets the least that can be said: without a track each read is one
    of its own, without a frame's number its time stands for it, without a box there is none
    (width 0), without a quality it is the confidence, and each character is as sure as the whole.
    """
    read_id = id_of(read, captured_at, source, limited)
    session = f"{source}-{read.session}" if read.session else source
    box = read.box or GivenBox(x=0, y=0, width=0, height=0)
    each = read.char_confidences or [read.confidence] * len(read.text)
    return {
        "read_id": read_id,
        "camera_id": read.camera_id,
        "camera_group": read.camera_group or (known.group if known else None),
        "session": session,
        "captured_at": captured_at,
        "track_id": f"t-{session}-{read.camera_id}-{read.track_id or read_id}",
        "frame_number": captured_at if read.frame_number is None else read.frame_number,
        "text": read.text,
        "confidence": float(read.confidence),
        "char_confidences": [round(1000 * share) for share in each],
        "alternatives": [
            {"text": one.text, "confidence": float(one.confidence)} for one in read.alternatives
        ],
        "region": read.region.upper() if read.region else None,
        "box": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
        "frame_width": read.frame_width,
        "frame_height": read.frame_height,
        "vehicle": None
        if read.vehicle is None
        else {
            "type": read.vehicle.type,
            "make": read.vehicle.make,
            "model": read.vehicle.model,
            "color": read.vehicle.color,
        },
        "direction": read.direction,
        "quality": float(read.confidence if read.quality is None else read.quality),
        "images": NO_IMAGES,
        "node": _node(read.node, known),
        "reader": read.reader or source,
    }


def _node(given: GivenNode, known: Known | None) -> Node:
    there: Mapping[str, Any] = known.node if known else {}

    def or_known(name: str, otherwise: Any) -> Any:
        value = getattr(given, name)
        return there.get(name, otherwise) if value is None else value

    return {
        "site": or_known("site", "default"),
        "host": HOST,
        "zone": or_known("zone", ""),
        "lane": or_known("lane", ""),
        "latitude": or_known("latitude", None),
        "longitude": or_known("longitude", None),
        "timezone": or_known("timezone", "UTC"),
    }


_CURES = {
    "missing": "is missing",
    "extra_forbidden": "is no field of a read: leave it out",
    "string_pattern_mismatch": "does not have the form {pattern}",
    "string_too_long": "is longer than {max_length} characters",
    "string_too_short": "is empty",
    "too_long": "has more than {max_length} items",
    "less_than_equal": "is more than {le}",
    "greater_than_equal": "is less than {ge}",
    "finite_number": "is no finite number",
    "string_type": "is no text",
    "int_type": "is no whole number",
    "float_type": "is no number",
    "literal_error": "is none of {expected}",
}


def _problem(error: Mapping[str, Any]) -> tuple[str, str]:
    """Field and sentence of one of pydantic's errors; the value, which may be long, is not told."""
    place = [str(part) for part in error["loc"] if part not in ("str", "int")]
    told = _CURES.get(error["type"])
    if told is None:
        return ".".join(place)[:100], str(error["msg"]).removeprefix("Value error, ")[:200]
    return ".".join(place)[:100], told.format(**error.get("ctx", {}))
