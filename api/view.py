"""Rows of the view as what the pages show: pure, and all text still to be escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from projections.queries import Row

# Where the colours of confidence change: the rules refuse reads below 0.70, and a read of 0.90
# counts as confident.
_MIDDLING, _SURE = 70, 90


@dataclass(frozen=True, slots=True)
class Moment:
    """A time for people: where the camera stands, with the zone named."""

    iso: str
    date: str
    time: str
    zone: str

    @property
    def exact(self) -> str:
        """Date and time."""
        return f"{self.date}, {self.time}"


@dataclass(frozen=True, slots=True)
class Card:
    """A sighting among others."""

    id: str
    text: str
    region: str
    status: str
    camera: str
    place: tuple[str, ...]
    seen: Moment
    crop: str
    percent: int
    level: str
    reads: int
    duration: str
    read: str
    """the text as it was read, which a person may have corrected"""
    corrected: str
    """what a person said it is: '' for nothing, corrected, no plate, part of another"""


@dataclass(frozen=True, slots=True)
class Character:
    """One character and how sure it is, 0 to 100."""

    character: str
    percent: int
    level: str


@dataclass(frozen=True, slots=True)
class Read:
    """One of the best reads."""

    text: str
    characters: tuple[Character, ...]
    crop: str
    percent: int
    quality: int
    time: str
    frame_number: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The best shot: its picture, size and the plate's box, in pixels."""

    src: str
    width: int
    height: int
    box: Mapping[str, int]


def card(row: Row) -> Card:
    """A row of any list."""
    read = row["plate_normalized_text"] or row["plate_text"]
    return Card(
        id=str(row["event_id"]),
        text=row.get("plate_shown") or read,
        region=(row["plate_region"] or "").rpartition("-")[2],
        status=row["status"],
        camera=row["camera_id"],
        place=place(row),
        seen=moment(row["captured_at"], row["timezone"]),
        crop=picture(row["plate_image_url"]),
        percent=percent(row["plate_confidence"]),
        level=level(percent(row["plate_confidence"])),
        reads=row["reads"],
        duration=duration(row["last_seen"] - row["first_seen"]),
        read=read,
        corrected=corrected(row.get("corrected")),
    )


def corrected(said: Mapping[str, Any] | None) -> str:
    """What a person said of a sighting, in a word or two."""
    if said is None:
        return ""
    if said["hidden"]:
        return "part of another" if said["merged_into"] else "no plate"
    return "corrected"


def place(row: Row) -> tuple[str, ...]:
    """Site and lane, where they are known."""
    return tuple(part for part in (row["site_id"], lane(row["lane"])) if part)


def details(row: Row) -> dict[str, Any]:
    """What the page of one sighting says beyond its card."""
    vehicle = [(name.capitalize(), row[f"vehicle_{name}"]) for name in ("type", "make", "model")]
    vehicle.append(("Colour", row["vehicle_color"]))
    position = ""
    if row["latitude"] is not None and row["longitude"] is not None:
        position = f"{row['latitude']:.5f}, {row['longitude']:.5f}"
    return {
        "as_read": " ".join(row["plate_text"].split()),
        "country": row["plate_region"],
        "first": moment(row["first_seen"], row["timezone"]),
        "last": moment(row["last_seen"], row["timezone"]),
        "tracks": row["tracks"],
        "direction": row["direction"],
        "vehicle": [(name, value) for name, value in vehicle if value],
        "host": row["host_id"],
        "position": position,
        "rules_version": row["rules_version"],
        "was": row["was"],
        "reason": row["reason"],
        "merged_into": row["merged_into"],
        "frame_number": row["frame_number"],
    }


def reads(evidence: Mapping[str, Any], timezone: str) -> list[Read]:
    """The best reads, as kept."""
    return [_read(kept, zone(timezone)) for kept in evidence["reads"]]


def moment(at: datetime, timezone: str) -> Moment:
    """A time in the camera's zone; in UTC, where that is unknown."""
    local = at.astimezone(zone(timezone))
    return Moment(
        iso=at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        date=f"{local.day} {local:%b %Y}",
        time=f"{local:%H:%M:%S}",
        zone=local.tzname() or "UTC",
    )


def instant(at: int) -> datetime:
    """A time of the log, microseconds, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def duration(length: timedelta) -> str:
    """``3.7 s``, ``2 min 5 s``, ``1 h 12 min``."""
    seconds = length.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def picture(address: str) -> str:
    """Where this server shows the picture that an image store gave this address."""
    return "/images/" + quote(address.removeprefix("images/")) if address else ""


def percent(share: float) -> int:
    """0 to 100; rounded down, so that only certainty is called 100."""
    return max(0, min(100, int(share * 100 + 1e-9)))


def level(of_hundred: int) -> str:
    """The class of a colour."""
    if of_hundred >= _SURE:
        return ""
    return "mid" if of_hundred >= _MIDDLING else "low"


def _read(kept: Mapping[str, Any], zone: tzinfo) -> Read:
    text: str = kept["normalized_text"]
    sure: Sequence[int] = kept["char_confidences"]
    # A read of another program may lack them: then all share the read's.
    shares = (
        [p / 1000 for p in sure] if len(sure) == len(text) else [kept["confidence"]] * len(text)
    )
    at = instant(kept["captured_at"])
    return Read(
        text=text,
        characters=tuple(_character(c, share) for c, share in zip(text, shares, strict=True)),
        crop=picture(kept["images"]["plate_url"]),
        percent=percent(kept["confidence"]),
        quality=percent(kept["quality"]),
        time=f"{at.astimezone(zone):%H:%M:%S.%f}"[:-3],
        frame_number=kept["frame_number"],
    )


def _character(character: str, share: float) -> Character:
    shown = percent(share)
    return Character(character or "∅", shown, level(shown))


def lane(name: str) -> str:
    """A lane in words."""
    return f"lane {name}" if name.isdigit() else name


@lru_cache(256)
def zone(name: str) -> tzinfo:
    """The time zone of this name; UTC, where it is unknown."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
