"""Reading plates: the interface, and the default by PP-OCR's recogniser on ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.detect import Detection, packaged
from edge.geometry import rectified
from edge.inside import PlateLines
from edge.models import session
from edge.reading import Reading, decoded, stacked

_HEIGHT = 48  # pixels of a line at the network's input
_NARROWEST = 96  # pixels of width; the network was trained on padded lines
_BATCH = 8
_TWO_LINES = 1.9  # width over height below which a plate given as one picture has two lines
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ÄÖÜ-.· "


@dataclass(frozen=True, slots=True)
class Crops:
    """What a recogniser wants to see of a plate, straight BGR: the ``whole`` of it, its ``lines``
    from the top, or both.
    """

    whole: np.ndarray | None = None
    lines: tuple[np.ndarray, ...] = ()

    @property
    def all(self) -> tuple[np.ndarray, ...]:
        """All of them."""
        return self.lines if self.whole is None else (self.whole, *self.lines)


class PlateRecogniser(Protocol):
    """Reads plates. ``name`` says which recogniser with which weights, for PlateRead.reader."""

    @property
    def name(self) -> str:
        """Recogniser and version, without spaces."""
        ...

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> Crops:
        """What it wants to see of a plate; ``margin`` is left around each line, in its heights."""
        ...

    def recognise(self, plates: Sequence[Crops]) -> list[Reading]:
        """Read each plate, given as its ``crops``. Deterministic."""
        ...


class TextRecogniser:
    """Reads lines with PP-OCR's recogniser (CTC, Graves et al. 2006).

    Only ``characters`` are read, small letters as capitals: a network of 18,000 signs
    otherwise sees Chinese in dirt. Probabilities stay those among all signs.
    """

    def __init__(
        self, threads: int = 2, characters: str = LATIN, model: Path | None = None
    ) -> None:
        self._session = session(model or packaged("PP-OCRv6_rec_small.onnx"), threads)
        self._threads = threads
        self._input = self._session.get_inputs()[0].name
        known = [*self._session.get_modelmeta().custom_metadata_map["character"].split("\n"), " "]
        columns = {sign: index + 1 for index, sign in enumerate(known)}  # column 0 is no sign
        self.signs: list[str] = [sign for sign in characters if sign in columns]
        self._columns = [0] + [columns[sign] for sign in self.signs]
        self._folds = [
            (self.signs.index(sign) + 1, columns[sign.lower()])
            for sign in self.signs
            if sign.lower() != sign and sign.lower() in columns
        ]

    @property
    def name(self) -> str:
        """The weights' name and the package's version."""
        return f"PP-OCRv6-rec-small/rapidocr-{version('rapidocr')}"

    @cached_property
    def _lines(self) -> PlateLines:
        return PlateLines(self._threads)

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> Crops:
        """Its lines: those that the detector knows, else those of the text in it."""
        lines = detection.lines or self._lines.find(image, detection.quad)
        if lines:
            return Crops(lines=tuple(rectified(image, line, margin) for line in lines))
        return Crops(lines=tuple(split_lines(rectified(image, detection.quad))))

    def recognise(self, plates: Sequence[Crops]) -> list[Reading]:
        """See PlateRecogniser."""
        return [
            stacked([decoded(line, self.signs, emblems=True) for line in lines])
            for lines in self.probabilities(plates)
        ]

    def probabilities(self, plates: Sequence[Crops]) -> list[list[np.ndarray]]:
        """Of each plate's lines (columns, 1 + ``signs``), no sign first; among all signs that the
        network knows, so that they need not add up to 1.
        """
        found = iter(self._read([line for crops in plates for line in crops.lines]))
        return [[next(found) for _ in crops.lines] for crops in plates]

    def _read(self, lines: Sequence[np.ndarray]) -> list[np.ndarray]:
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[1] / lines[i].shape[0])
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            output: Any = self._session.run(None, {self._input: _batch([lines[i] for i in chosen])})
            for index, scores in zip(chosen, output[0], strict=True):
                mine = scores[:, self._columns].copy()
                for column, small in self._folds:
                    mine[:, column] += scores[:, small]
                found[index] = mine
        return [found[index] for index in range(len(lines))]


def _batch(lines: Sequence[np.ndarray]) -> np.ndarray:
    widths = [max(8, round(_HEIGHT * line.shape[1] / line.shape[0])) for line in lines]
    batch = np.zeros((len(lines), 3, _HEIGHT, max(_NARROWEST, *widths)), np.float32)
    for row, line, width in zip(batch, lines, widths, strict=True):
        how = cv2.INTER_CUBIC if line.shape[0] < _HEIGHT else cv2.INTER_AREA
        sized = cv2.resize(line, (width, _HEIGHT), interpolation=how)
        row[:, :, :width] = sized.transpose(2, 0, 1) / 127.5 - 1.0
    return batch


def split_lines(plate: np.ndarray) -> list[np.ndarray]:
    """The lines of a plate's picture: a nearly square one is cut where its ink is thinnest."""
    height, width = plate.shape[:2]
    third = height // 3
    if width >= _TWO_LINES * height or third < 6:
        return [plate]
    gray = cv2.cvtColor(plate, cv2.COLOR_BGR2GRAY).astype(np.float32)
    ink = np.abs(np.diff(gray, axis=1)).mean(axis=1)
    middle = np.convolve(ink, np.ones(3) / 3, mode="same")[third : 2 * third]
    cut = third + int(middle.argmin())
    return [plate[:cut], plate[cut:]]
