"""Sightings with pictures, among them what people with bad intentions would call a plate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from images.store import FolderStore
from projections.view import SightingsView
from schemas.records import Images, PlateEvent
from tests.projections.sightings import LOG, NOON, sighting

MINUTE = 60_000_000  # microseconds
HTML = "<img src=x onerror=alert(1)>"
SQL = "'; DROP TABLE alpr.plate_events; --"
PLAIN = 60  # sightings of CAM-001, ABC0000 to ABC0059
SHOWN, REVISED, RETRACTED, EVIL, BARE = 59, 100, 101, 102, 103
NO_PICTURES: Images = {"plate_url": "", "vehicle_url": "", "frame_url": ""}


class World:
    """A view in a database, its writer and its pictures."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.pictures = FolderStore(folder)
        self._view = SightingsView(url, LOG)
        self._next = 0
        self.write(_sightings(self.pictures))

    def write(self, events: Sequence[PlateEvent | tuple[str, str]]) -> None:
        """Apply events, or erasures, as the projection does."""
        after = self._next + len(events)
        assert self._view.apply(0, self._next, events, after) == []
        self._next = after

    def close(self) -> None:
        self._view.close()


def _sightings(store: FolderStore) -> list[PlateEvent]:
    plain = [_with_pictures(store, n, **({"region": "VN"} if n % 2 else {})) for n in range(PLAIN)]
    return [
        *plain,
        sighting(
            REVISED,
            at=NOON + 5 * MINUTE,
            camera_id="CAM-002",
            status="revised",
            was=["A8C"],
            images=NO_PICTURES,
        ),
        sighting(
            RETRACTED,
            at=NOON + 6 * MINUTE,
            camera_id="CAM-002",
            status="retracted",
            reason="overlay",
        ),
        sighting(
            EVIL,
            at=NOON + 7 * MINUTE,
            text=HTML,
            camera_id=HTML,
            site=SQL,
            zone=HTML,
            images=NO_PICTURES,
        ),
        sighting(BARE, at=NOON + 8 * MINUTE, camera_id="gate/1 & co", images=NO_PICTURES),
    ]


def _with_pictures(store: FolderStore, number: int, **how: Any) -> PlateEvent:
    event = sighting(number, **how, images=NO_PICTURES)
    if number % 20 == PLAIN % 20 - 1 or number == SHOWN:
        frame, crop, box = _draw(event["plate"]["text"])
        images: Images = {
            "plate_url": store.put(f"2025-06-15/{number} plate.jpg", _jpeg(crop)),
            "vehicle_url": "",
            "frame_url": store.put(f"2025-06-15/{number}-frame.jpg", _jpeg(frame)),
        }
        event["images"] = images
        event["extras"]["box"] = box  # type: ignore[typeddict-item]
        event["evidence"]["reads"][0]["images"] = images  # type: ignore[typeddict-item]
    return event


def pictured(store: FolderStore, text: str, name: str) -> Images:
    """The pictures of a sighting of a plate, kept under a name."""
    frame, crop, _ = _draw(text)
    return {
        "plate_url": store.put(f"2025-06-15/{name}-plate.jpg", _jpeg(crop)),
        "vehicle_url": "",
        "frame_url": store.put(f"2025-06-15/{name}-frame.jpg", _jpeg(frame)),
    }


def _draw(text: str) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    frame = np.full((360, 640, 3), (96, 88, 80), np.uint8)
    cv2.rectangle(frame, (180, 120), (460, 330), (60, 40, 140), -1)
    box = {"x": 240, "y": 270, "width": 160, "height": 40}
    corner = (box["x"] + box["width"], box["y"] + box["height"])
    cv2.rectangle(frame, (box["x"], box["y"]), corner, (245, 245, 245), -1)
    cv2.putText(frame, text, (250, 300), cv2.FONT_HERSHEY_SIMPLEX, 0.95, (20, 20, 20), 2)
    return frame, frame[264:316, 234:406], box


def _jpeg(picture: np.ndarray) -> bytes:
    done, encoded = cv2.imencode(".jpg", picture)
    assert done
    return encoded.tobytes()
