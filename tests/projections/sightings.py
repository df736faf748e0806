"""Sightings to write in tests, whole and valid."""

from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from schemas.records import Images, PlateEvent, Progress

NOON = 1_750_000_000_000_000  # microseconds
LOG = "3c2f8f0e-0000-4000-8000-00000000a10c"


def event_id(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"sighting {number}"))


def sighting(number: int = 0, revision: int = 0, **changed: Any) -> PlateEvent:
    """A sighting; ``text`` sets the plate, ``at`` the time of capture, else top-level fields."""
    text = changed.pop("text", f"ABC{number:04d}")
    captured = changed.pop("at", NOON + number * 1_000_000)
    site, zone = changed.pop("site", "north"), changed.pop("zone", "gate")
    confidence = changed.pop("confidence", 0.9)
    direction, region = changed.pop("direction", None), changed.pop("region", "US-FL")
    camera = changed.get("camera_id", "CAM-001")
    images: Images = {"plate_url": f"folder:/{number}.jpg", "vehicle_url": "", "frame_url": ""}
    box = {"x": 10, "y": 20, "width": 120, "height": 40}
    read = {
        "read_id": event_id(number),
        "camera_id": camera,
        "track_id": f"s1-{number}",
        "captured_at": captured,
        "frame_number": 7,
        "text": text,
        "normalized_text": text,
        "confidence": confidence,
        "char_confidences": [900] * len(text),
        "quality": 0.75,
        "box": box,
        "images": images,
        "reader": "test-1",
    }
    event: dict[str, Any] = {
        "event_id": event_id(number),
        "revision": revision,
        "partition": 0,
        "status": "confirmed",
        "captured_at": captured,
        "first_seen": captured,
        "last_seen": captured + revision * 1000,
        "camera_id": camera,
        "camera_group": None,
        "track_id": f"s1-{number}",
        "plate": {
            "text": text,
            "normalized_text": text,
            "confidence": confidence,
            "region": region,
        },
        "vehicle": {"type": "car", "make": None, "model": None, "color": "red"},
        "images": images,
        "latency_ms": 250,
        "node": {
            "site": site,
            "host": "edge-1",
            "zone": zone,
            "lane": "1",
            "latitude": 27.9,
            "longitude": -82.4,
            "timezone": "America/New_York",
        },
        "extras": {
            "roi": None,
            "direction": direction,
            "quality_score": 0.75,
            "frame_number": 7,
            "box": box,
        },
        "reads": revision + 1,
        "tracks": 1,
        "was": [],
        "alternatives": [{"text": "ABC", "confidence": 0.1}],
        "merged_into": None,
        "reason": None,
        "rules_version": "r1",
        "evidence": {
            "positions": [[{"character": c, "weight": 900}] for c in text],
            "reads": [read],
            "texts": 1,
        },
    }
    return cast("PlateEvent", event | changed)


def progress(watermark: int, revision: int = 0) -> Progress:
    return {"partition": 0, "revision": revision, "watermark": watermark, "clock": 0, "cameras": 1}
