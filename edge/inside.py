"""The lines of text in a plate that is known to be one: its number, and not what is small print."""

from pathlib import Path

import cv2
import numpy as np

from edge.detect import packaged
from edge.geometry import Quad, rectified, size_of, straightening
from edge.lines import PlateShape, plates_of
from edge.text import TextFinder

_MARGIN = 0.15  # around the plate, of its height
_ONE_LINE = (
    2.8  # width over height, margin and all, from which it has one line and is looked at lower
)
_LOW, _HIGH = 64, 96  # pixels of height at which a plate is looked at
_SMALL = 0.2  # of the area, margin and all, that its number fills at the least


class PlateLines:
    """Finds a plate's lines by PP-OCR's text detector, which sees nothing but the plate."""

    def __init__(self, threads: int = 2, model: Path | None = None) -> None:
        self._finder = TextFinder(model or packaged("PP-OCRv6_det_small.onnx"), threads)

    def find(self, image: np.ndarray, plate: Quad) -> tuple[Quad, ...]:
        """The lines from the top, in pixels of the picture; none where no text is found."""
        turn, (wide, high) = straightening(plate, _MARGIN)
        scale = (_LOW if wide > _ONE_LINE * high else _HIGH) / high
        lines = self._finder.find(rectified(image, plate, _MARGIN), scale)
        shapes = plates_of(lines)
        if not shapes:
            return ()
        number = max(shapes, key=_letters)
        if _letters(number) < _SMALL * wide * high:
            return ()
        back = np.linalg.inv(turn)
        return tuple(
            cv2.perspectiveTransform(line[None].astype(np.float64), back)[0].astype(np.float32)
            for line in number.lines
        )


def _letters(shape: PlateShape) -> float:
    """Square pixels of a shape's lines."""
    return sum(width * height for width, height in map(size_of, shape.lines))
