"""Finding plates in a picture: the interface, and the default that starts from text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import rapidocr

from edge.geometry import Quad, Region, box_of, share, size_of
from edge.lines import plates_of
from edge.text import TextFinder, TextLine

_STILL = 900_000  # pixels to which a still picture is reduced or enlarged, for its text
_ENLARGED = 2.0  # times at most


@dataclass(frozen=True, slots=True)
class Look:
    """A part of a picture to look at; ``scale`` below 1 reduces it first, which is cheaper."""

    region: Region
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Detection:
    """What may be a plate: its corners, a score of 0 to 1, the lines of text in it from the top.

    A detector that knows nothing of lines gives none.
    """

    quad: Quad
    score: float
    lines: tuple[Quad, ...] = ()

    @property
    def box(self) -> np.ndarray:
        """The upright box: left, top, right, bottom in pixels, float64."""
        return box_of(self.quad)


class PlateDetector(Protocol):
    """Finds plates. ``name`` says which detector with which weights, for PlateRead.reader."""

    @property
    def name(self) -> str:
        """Detector and version, without spaces."""
        ...

    def still(self, image: np.ndarray, region: Region) -> list[Detection]:
        """Plates in a region of a picture that stands alone, looked at as a whole."""
        ...

    def detect(self, image: np.ndarray, looks: Sequence[Look] | None = None) -> list[Detection]:
        """Plates in a BGR picture, only within ``looks`` unless that is None (everything).

        Corners are in pixels of the whole picture. Deterministic.
        """
        ...


class TextPlateDetector:
    """Finds plates text-first: lines of text by PP-OCR's detector, then what has a plate's shape.

    Needs no training on plates and knows those of every country.
    """

    def __init__(self, threads: int = 2, model: Path | None = None) -> None:
        self._finder = TextFinder(model or packaged("PP-OCRv6_det_small.onnx"), threads)

    @property
    def name(self) -> str:
        """The weights' name and the package's version."""
        return f"PP-OCRv6-det-small/rapidocr-{_version()}"

    def still(self, image: np.ndarray, region: Region) -> list[Detection]:
        """See PlateDetector: at 900,000 pixels, at most twice as large."""
        width, height = region[2] - region[0], region[3] - region[1]
        scale = min(_ENLARGED, (_STILL / (width * height)) ** 0.5)
        return self.detect(image, [Look(region, scale)])

    def detect(self, image: np.ndarray, looks: Sequence[Look] | None = None) -> list[Detection]:
        """See PlateDetector. A line that a look's edge cuts is left out: another look has it."""
        height, width = image.shape[:2]
        if looks is None:
            return self.still(image, (0, 0, width, height))
        lines: list[TextLine] = []
        for look in looks:
            left, top, right, bottom = look.region
            offset = np.array([left, top], np.float32)
            for line in self._finder.find(image[top:bottom, left:right], look.scale):
                moved = TextLine(line.quad + offset, line.score)
                if not _cut(moved.quad, look.region, width, height):
                    lines.append(moved)
        lines = _distinct(lines)
        return [Detection(plate.quad, plate.score, plate.lines) for plate in plates_of(lines)]


def _distinct(lines: Sequence[TextLine]) -> list[TextLine]:
    """Lines that looks over the same place found twice, once: as the earlier look saw them."""
    kept: list[TextLine] = []
    for line in lines:
        box = box_of(line.quad)
        if not any(_same(box, box_of(other.quad)) for other in kept):
            kept.append(line)
    return kept


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two boxes show one line: half of the smaller in the other, at its height.

    A state's name close above its letters lies half in their box, but not at their height.
    """
    apart = abs(first[1] + first[3] - second[1] - second[3]) / 2
    return share(first, second) >= 0.5 and apart < 0.3 * max(
        first[3] - first[1], second[3] - second[1]
    )


def packaged(name: str) -> Path:
    """The path of a model file that the rapidocr package brings."""
    return Path(rapidocr.__file__).parent / "models" / name


def _version() -> str:
    from importlib.metadata import version

    return version("rapidocr")


def _cut(quad: Quad, region: Region, width: int, height: int) -> bool:
    """Whether a line comes so near to an edge of the region that it may go on beyond it.

    The picture's own edges do not count.
    """
    left, top, right, bottom = region
    box = box_of(quad)
    near = 0.5 * size_of(quad)[1]
    return bool(
        (left > 0 and box[0] <= left + near)
        or (top > 0 and box[1] <= top + 1)
        or (right < width and box[2] >= right - near)
        or (bottom < height and box[3] >= bottom - 1)
    )
