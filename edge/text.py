"""Where text is: PP-OCR's detector (differentiable binarization) on ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.geometry import Quad, rotated_quad
from edge.models import session

_MULTIPLE = 32  # the network halves its input five times
_SCORE_CONTOUR = 0.3  # pixels above it form a contour; PaddleOCR's `thresh`
_UNCLIP = 1.6  # the network is trained on shrunken text, this undoes it; PaddleOCR's `unclip_ratio`
_SMALLEST = 3.0  # pixels of the reduced picture; nothing below can be text


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text: corners in pixels of its picture, from the upper left clockwise."""

    quad: Quad
    score: float


class TextFinder:
    """Finds lines of text (Liao et al. 2020, arXiv:1911.08947), with the weights of a file.

    ``minimum`` is the mean probability, 0 to 1, below which a line is dropped.
    """

    def __init__(self, model: Path, threads: int, minimum: float = 0.4) -> None:
        self._session = session(model, threads)
        self._input = self._session.get_inputs()[0].name
        self._minimum = minimum

    def find(self, image: np.ndarray, scale: float) -> list[TextLine]:
        """The lines of a BGR picture, looked at reduced by ``scale`` (below 1) or enlarged."""
        height, width = image.shape[:2]
        small = _fitted(image, scale)
        x = small.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1.0
        output: Any = self._session.run(None, {self._input: x})[0]
        scores: np.ndarray = output[0, 0]
        back = np.array([width / small.shape[1], height / small.shape[0]], np.float32)
        return [TextLine(line.quad * back, line.score) for line in self._lines(scores)]

    def _lines(self, scores: np.ndarray) -> list[TextLine]:
        mask = cv2.dilate((scores > _SCORE_CONTOUR).astype(np.uint8), np.ones((2, 2), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        lines: list[TextLine] = []
        for contour in contours:
            centre, (width, height), angle = cv2.minAreaRect(contour)
            if min(width, height) < _SMALLEST:
                continue
            score = _mean_inside(scores, cv2.boxPoints((centre, (width, height), angle)))
            if score < self._minimum:
                continue
            grow = 2 * _UNCLIP * width * height / (2 * (width + height))
            lines.append(
                TextLine(rotated_quad(centre, (width + grow, height + grow), angle), score)
            )
        return lines


def _fitted(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    size = tuple(max(_MULTIPLE, round(n * scale / _MULTIPLE) * _MULTIPLE) for n in (width, height))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _mean_inside(scores: np.ndarray, corners: np.ndarray) -> float:
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = scores[top:bottom, left:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).round().astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])
