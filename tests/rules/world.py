"""Raw records by hand, and a fold that is given them one after the other."""

from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from rules.dedup import Deduplication, Output
from rules.grammar import grammar
from rules.settings import DedupSettings

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
NODE = {
    "site": "",
    "host": "edge",
    "zone": "",
    "lane": "",
    "latitude": None,
    "longitude": None,
    "timezone": "UTC",
}
NO_IMAGES = {"plate_url": "", "vehicle_url": "", "frame_url": ""}


def at(seconds: float) -> int:
    """A time of the tests, in microseconds."""
    return START + round(seconds * SECOND)


def read(seconds: float, text: str, **changes: Any) -> dict[str, Any]:
    """A read of a plate; what is not said is as of a car that drives through the picture."""
    confidence = changes.pop("confidence", 0.95)
    frame = changes.pop("frame_number", round(seconds * 10))
    made = {
        "camera_id": "gate",
        "camera_group": None,
        "session": "s1",
        "captured_at": at(seconds),
        "track_id": f"t-{text}",
        "frame_number": frame,
        "text": text,
        "confidence": confidence,
        "char_confidences": [int(confidence * 1000)] * len(text),
        "alternatives": [],
        "region": None,
        "box": box(100 + frame % 50 * 20, 300),
        "frame_width": 1920,
        "frame_height": 1080,
        "vehicle": None,
        "direction": None,
        "quality": 0.5,
        "images": NO_IMAGES,
        "node": NODE,
        "reader": "by hand",
    } | changes
    made.setdefault("read_id", read_id(made))
    return made


def read_id(made: dict[str, Any]) -> str:
    """An id that follows from what is read, where and when."""
    content = repr([made[k] for k in ("camera_id", "captured_at", "track_id", "text")])
    return str(UUID(bytes=_digest(content)))


def _digest(content: str) -> bytes:
    from hashlib import blake2b

    return blake2b(content.encode("utf-8", "replace"), digest_size=16).digest()


def box(x: int, y: int, width: int = 120, height: int = 30) -> dict[str, int]:
    """A box of the frame, in pixels."""
    return {"x": x, "y": y, "width": width, "height": height}


def heartbeat(seconds: float, **changes: Any) -> dict[str, Any]:
    """A sign of life of a camera."""
    return {
        "camera_id": "gate",
        "camera_group": None,
        "session": "s1",
        "captured_at": at(seconds),
        "state": "live",
        "frames_seen": 0,
        "frames_dropped": 0,
        "fps": 10.0,
        "clock_offset_us": 0,
    } | changes


def ended(seconds: float, **changes: Any) -> dict[str, Any]:
    """The end of a source."""
    return {
        "camera_id": "gate",
        "camera_group": None,
        "session": "s1",
        "captured_at": at(seconds),
        "reason": "end of file",
    } | changes


@cache
def settings() -> DedupSettings:
    """The defaults."""
    return DedupSettings()


class Fold:
    """A Deduplication that numbers what it is given, and keeps what it says."""

    def __init__(self, **changes: Any) -> None:
        self.settings = replace(settings(), **changes)
        self.dedup = Deduplication(0, self.settings, grammar())
        self.offset = -1
        self.said: list[Output] = []

    def give(
        self, name: str, record: Any, appended_at: int, *, redriven: bool = False
    ) -> list[Output]:
        """Fold one record; what it caused."""
        self.offset += 1
        out = self.dedup.fold(name, record, self.offset, appended_at, redriven=redriven)
        self.said += out
        return out

    def read(self, seconds: float, text: str, late: float = 0.2, **changes: Any) -> list[Output]:
        """A read, appended ``late`` seconds after it was captured."""
        return self.give("PlateRead", read(seconds, text, **changes), at(seconds + late))

    def redriven(self, seconds: float, text: str, now: float, **changes: Any) -> list[Output]:
        """A read of then that is sent again ``now``."""
        return self.give("PlateRead", read(seconds, text, **changes), at(now), redriven=True)

    def heartbeat(self, seconds: float, **changes: Any) -> list[Output]:
        """A heartbeat that arrives at once."""
        return self.give("CameraHeartbeat", heartbeat(seconds, **changes), at(seconds))

    def tick(self, seconds: float) -> list[Output]:
        """A tick."""
        return self.give("Tick", {"at": at(seconds)}, at(seconds))

    def ended(self, seconds: float, **changes: Any) -> list[Output]:
        """The end of a source."""
        return self.give("SourceEnded", ended(seconds, **changes), at(seconds))

    def events(self) -> list[Any]:
        """Every event of a sighting so far."""
        return [out.record for out in self.said if out.name == "PlateEvent"]

    def rejected(self) -> list[tuple[str, str]]:
        """Reason and text of every refusal so far."""
        return [
            (out.record["reason"], out.record["read"]["text"])
            for out in self.said
            if out.name == "ReadRejected"
        ]

    def sightings(self) -> dict[str, Any]:
        """The last event of each sighting, by its id."""
        return {event["event_id"]: event for event in self.events()}

    def standing(self) -> list[tuple[str, str]]:
        """Text and status of the sightings that were not retracted, in order of opening."""
        return [
            (e["plate"]["normalized_text"], e["status"])
            for e in self.sightings().values()
            if e["status"] != "retracted"
        ]

    def life(self, text: str | None = None) -> list[str]:
        """The statuses told of the sightings (of one text), in order."""
        return [
            e["status"]
            for e in self.events()
            if text is None or e["plate"]["normalized_text"] == text
        ]
