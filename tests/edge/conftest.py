"""Models loaded once, and small videos drawn here."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.detect import TextPlateDetector
from edge.recognise import TextRecogniser


@pytest.fixture(scope="session")
def detector() -> TextPlateDetector:
    return TextPlateDetector(threads=2)


@pytest.fixture(scope="session")
def recogniser() -> TextRecogniser:
    return TextRecogniser(threads=2)


def draw_plate(
    image: np.ndarray, text: str, left: int, top: int, *, height: int = 44, painted: bool = False
) -> None:
    """A plate, or the same letters painted on a dark ground, its upper left corner given."""
    scale = height / 44
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 2)
    right, bottom = left + wide + round(16 * scale), top + height
    ground, ink = ((30, 30, 30), (225, 225, 225)) if painted else ((235, 235, 235), (20, 20, 20))
    if painted:
        cv2.rectangle(image, (left - 60, top - 60), (right + 60, bottom + 60), ground, -1)
    else:
        cv2.rectangle(image, (left - 2, top - 2), (right + 2, bottom + 2), (40, 40, 40), -1)
        cv2.rectangle(image, (left, top), (right, bottom), ground, -1)
    at = (left + round(8 * scale), bottom - round(11 * scale))
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, ink, 2, cv2.LINE_AA)


def street(width: int = 640, height: int = 360) -> np.ndarray:
    """An empty road with some structure, always the same."""
    rows = np.linspace(90, 130, height, dtype=np.uint8)[:, None, None]
    image = np.broadcast_to(rows, (height, width, 3)).copy()
    cv2.line(image, (0, height // 3), (width, height // 4), (150, 150, 150), 3)
    return image


def drive_by(text: str, frames: int, *, stops: bool = False) -> list[np.ndarray]:
    """A car with a plate that crosses the picture to the right, or stays where it is."""
    pictures = []
    for index in range(frames):
        image = street()
        x = 200 if stops else 40 + 8 * index
        cv2.rectangle(image, (x - 20, 120), (x + 240, 300), (120, 60, 30), -1)
        draw_plate(image, text, x, 220)
        pictures.append(image)
    return pictures


Film = Callable[[Sequence[np.ndarray], str], Path]


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Writes pictures as a video of 25 frames a second."""

    def write(pictures: Sequence[np.ndarray], name: str = "film.mp4") -> Path:
        path = tmp_path / name
        height, width = pictures[0].shape[:2]
        codec = cv2.VideoWriter.fourcc(*("mp4v" if name.endswith("mp4") else "MJPG"))
        writer = cv2.VideoWriter(str(path), codec, 25.0, (width, height))
        for picture in pictures:
            writer.write(picture)
        writer.release()
        return path

    return write
