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
from edge.text import session

_HEIGHT = 48  # pixels of a line at the network's input
_NARROWEST = 96  # pixels of width; the network was trained on padded lines
_BATCH = 8
_TWO_LINES = 1.9  # width over height below which a plate given as one picture has two lines
_POSSIBLE = 0.02  # probability from which a second sign is worth telling
_EMBLEM, _CLEAR = 0.45, 0.95  # below, a sign is none where the others' mean is above
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ÄÖÜ-.· "


@dataclass(frozen=True, slots=True)
class Reading:
    """What a plate says: its text, '\\n' between two lines, how sure of each character (per
    mille) and of the whole (0 to 1, their geometric mean), and likeliest first other texts."""

    text: str
    confidence: float
    char_confidences: tuple[int, ...]
    alternatives: tuple[tuple[str, float], ...] = ()


class PlateRecogniser(Protocol):
    """Reads plates. ``name`` says which recogniser with which weights, for PlateRead.reader."""

    @property
    def name(self) -> str:
        """Recogniser and version, without spaces."""
        ...

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> list[np.ndarray]:
        """What it wants to see of a plate: straight BGR parts of a picture, from the top.

        ``margin`` is left around each, in its heights.
        """
        ...

    def recognise(self, plates: Sequence[Sequence[np.ndarray]]) -> list[Reading]:
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
        self._signs = [sign for sign in characters if sign in columns]
        self._columns = [0] + [columns[sign] for sign in self._signs]
        self._folds = [
            (self._signs.index(sign) + 1, columns[sign.lower()])
            for sign in self._signs
            if sign.lower() != sign and sign.lower() in columns
        ]

    @property
    def name(self) -> str:
        """The weights' name and the package's version."""
        return f"PP-OCRv6-rec-small/rapidocr-{version('rapidocr')}"

    @cached_property
    def _lines(self) -> PlateLines:
        return PlateLines(self._threads)

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> list[np.ndarray]:
        """Its lines: those that the detector knows, else those of the text in it."""
        lines = detection.lines or self._lines.find(image, detection.quad)
        if lines:
            return [rectified(image, line, margin) for line in lines]
        return split_lines(rectified(image, detection.quad))

    def recognise(self, plates: Sequence[Sequence[np.ndarray]]) -> list[Reading]:
        """See PlateRecogniser."""
        readings = self._read([line for lines in plates for line in lines])
        result: list[Reading] = []
        start = 0
        for lines in plates:
            result.append(_stacked(readings[start : start + len(lines)]))
            start += len(lines)
        return result

    def _read(self, lines: Sequence[np.ndarray]) -> list[Reading]:
        order = sorted(range(len(lines)), key=lambda i: lines[i].shape[1] / lines[i].shape[0])
        readings: dict[int, Reading] = {}
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            output: Any = self._session.run(None, {self._input: _batch([lines[i] for i in chosen])})
            for index, scores in zip(chosen, output[0], strict=True):
                mine = scores[:, self._columns].copy()
                for column, small in self._folds:
                    mine[:, column] += scores[:, small]
                readings[index] = _decoded(mine, self._signs)
        return [readings[index] for index in range(len(lines))]


def _batch(lines: Sequence[np.ndarray]) -> np.ndarray:
    widths = [max(8, round(_HEIGHT * line.shape[1] / line.shape[0])) for line in lines]
    batch = np.zeros((len(lines), 3, _HEIGHT, max(_NARROWEST, *widths)), np.float32)
    for row, line, width in zip(batch, lines, widths, strict=True):
        how = cv2.INTER_CUBIC if line.shape[0] < _HEIGHT else cv2.INTER_AREA
        sized = cv2.resize(line, (width, _HEIGHT), interpolation=how)
        row[:, :, :width] = sized.transpose(2, 0, 1) / 127.5 - 1.0
    return batch


def _decoded(scores: np.ndarray, signs: list[str]) -> Reading:
    """Best path: a sign for each run of equal columns, as sure as the run's best step."""
    best = scores.argmax(axis=1)
    steps: list[int] = []
    previous = 0
    for step, column in enumerate(best):
        if column and column == previous:
            if scores[step, column] > scores[steps[-1], column]:
                steps[-1] = step
        elif column:
            steps.append(step)
        previous = column
    while steps and signs[best[steps[0]] - 1] == " ":
        steps.pop(0)
    while steps and signs[best[steps[-1]] - 1] == " ":
        steps.pop()
    if not steps:
        return Reading("", 0.0, ())
    return _without_emblem([signs[best[step] - 1] for step in steps], scores[steps], signs)


def _without_emblem(text: list[str], rows: np.ndarray, signs: list[str]) -> Reading:
    """The reading of signs with a row of probabilities each, less an emblem between sure ones.

    A coat of arms or a sticker is read as some sign that is less likely than not, in a text
    that is clear otherwise; the text with it is an alternative.
    """
    sure = [float(row.max()) for row in rows]
    weakest = min(range(len(sure)), key=sure.__getitem__)
    others = [value for place, value in enumerate(sure) if place != weakest]
    if len(others) < 4 or sure[weakest] >= _EMBLEM or float(np.mean(others)) < _CLEAR:
        return _reading(text, rows, signs)
    rest = [place for place in range(len(text)) if place != weakest]
    less = _reading([text[place] for place in rest], rows[rest], signs)
    whole = ("".join(text), round(_together(sure), 4))
    return Reading(
        less.text, less.confidence, less.char_confidences, (whole, *less.alternatives[:1])
    )


def _reading(text: list[str], rows: np.ndarray, signs: list[str]) -> Reading:
    """A reading with its characters' confidences and what its two weakest could be instead."""
    sure = [min(1.0, float(row.max())) for row in rows]
    confidence = _together(sure)
    others: list[tuple[str, float]] = []
    for place in sorted(range(len(sure)), key=sure.__getitem__)[:2]:
        row = rows[place].copy()
        row[0] = row[rows[place].argmax()] = 0.0
        second = int(row.argmax())
        if row[second] >= _POSSIBLE and signs[second - 1].isalnum():
            changed = [*sure[:place], float(row[second]), *sure[place + 1 :]]
            other = "".join([*text[:place], signs[second - 1], *text[place + 1 :]])
            others.append((other, round(_together(changed), 4)))
    return Reading(
        "".join(text),
        round(confidence, 4),
        tuple(round(1000 * value) for value in sure),
        tuple(sorted(others, key=lambda other: -other[1])),
    )


def _together(sure: Sequence[float]) -> float:
    """The geometric mean: the likelihood of all signs, per sign; one bad sign spoils a text."""
    return float(np.exp(np.mean(np.log(np.clip(sure, 1e-3, 1.0)))))


def _stacked(lines: Sequence[Reading]) -> Reading:
    """The readings of a plate's lines as one; its line feeds are certain (1000)."""
    lines = [line for line in lines if line.text]
    if len(lines) <= 1:
        return lines[0] if lines else Reading("", 0.0, ())
    text = "\n".join(line.text for line in lines)
    confidences = [list(line.char_confidences) for line in lines]
    together = confidences[0] + [value for part in confidences[1:] for value in (1000, *part)]
    values = [line.confidence for line in lines for _ in line.text]
    confidence = _together(values)
    others: list[tuple[str, float]] = []
    for index, line in enumerate(lines):
        for other, value in line.alternatives:
            whole = [part.text for part in lines]
            whole[index] = other
            changed = [
                value if part is line else part.confidence for part in lines for _ in part.text
            ]
            others.append(("\n".join(whole), round(_together(changed), 4)))
    return Reading(
        text,
        round(confidence, 4),
        tuple(together),
        tuple(sorted(others, key=lambda other: -other[1])[:2]),
    )


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
