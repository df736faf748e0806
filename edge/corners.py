"""The default detector: plates' corners by a small network of our own, in one pass."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.detect import Detection, Look
from edge.geometry import Quad, Region, box_of, iou, size_of
from edge.models import opened

WIDE = 640
"""Pixels of width at which a whole picture is looked at."""
_MOST = WIDE * WIDE  # pixels of it at most
_ENLARGED = 2.0  # times at most
_MULTIPLE = 32  # the network halves its input five times
_GREY = 114  # what fills the input's right and lower edge
_SAME = 0.4  # overlap from which two cells mean one plate,
_WITHIN = 0.7  # or share of the smaller in the larger,
_AGREE = 0.7  # and overlap from which they say its corners together
_KIND = "plate-corners"  # of a model: what it is


class CornerDetector:
    """Finds plates with the network of `training/detector`, by ONNX Runtime on the CPU.

    ``minimum`` is the score, 0 to 1, below which nothing is told. ``model`` is a file that
    `training.detector.export` made; the project's own if None. Raises ModelError.
    """

    def __init__(self, threads: int = 2, model: Path | None = None, minimum: float = 0.25) -> None:
        with as_file(files("edge") / "weights" / "plate-corners.onnx") as own:
            path = model or own
            self._session = opened(path, threads, _KIND, "training.detector.export")
        self._input = self._session.get_inputs()[0].name
        told = self._session.get_modelmeta().custom_metadata_map
        self._name = told["name"]
        self._minimum = float(np.log(minimum / (1 - minimum)))

    @property
    def name(self) -> str:
        """The weights' name, with their version."""
        return self._name

    def still(self, image: np.ndarray, region: Region) -> list[Detection]:
        """See PlateDetector: at 640 pixels of width, and no more than a square of that has."""
        width, height = region[2] - region[0], region[3] - region[1]
        scale = min(_ENLARGED, WIDE / width, (_MOST / (width * height)) ** 0.5)
        return self.detect(image, [Look(region, scale)])

    def detect(self, image: np.ndarray, looks: Sequence[Look] | None = None) -> list[Detection]:
        """See PlateDetector. A plate that a look's edge cuts is left out: another look has it."""
        height, width = image.shape[:2]
        if looks is None:
            return self.still(image, (0, 0, width, height))
        quads: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for look in looks:
            found, logits = self._look(image, look)
            cut = [_cut(quad, look, width, height) for quad in found]
            inside = ~np.array(cut, bool)
            quads.append(found[inside])
            scores.append(logits[inside])
        if not quads:
            return []
        distinct = _distinct(np.concatenate(quads), np.concatenate(scores))
        return sorted(distinct, key=lambda one: (float(one.quad[0, 0]), float(one.quad[0, 1])))

    def _look(self, image: np.ndarray, look: Look) -> tuple[np.ndarray, np.ndarray]:
        """Corners (n, 4, 2) in pixels of the whole picture, and their scores as logits."""
        left, top, right, bottom = look.region
        part = image[top:bottom, left:right]
        high, wide = (max(1, round(side * look.scale)) for side in part.shape[:2])
        how = cv2.INTER_AREA if look.scale < 1 else cv2.INTER_LINEAR
        padded = [-(-side // _MULTIPLE) * _MULTIPLE for side in (high, wide)]
        canvas = np.full((*padded, 3), _GREY, np.uint8)
        canvas[:high, :wide] = cv2.resize(part, (wide, high), interpolation=how)
        x = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        output: Any = self._session.run(None, {self._input: x})[0]
        rows: np.ndarray = output[0]
        rows = rows[(rows[:, 0] > self._minimum) & np.isfinite(rows).all(axis=1)]
        quads = rows[:, 1:].reshape(-1, 4, 2)
        sound = _sound(quads, wide, high)
        back = np.array([(right - left) / wide, (bottom - top) / high], np.float32)
        quads = quads[sound] * back + np.array([left, top], np.float32)
        return quads, rows[sound, 0]


def _sound(quads: np.ndarray, wide: int, high: int) -> np.ndarray:
    """Which corners go round a plate as they should and have their middle in the picture."""
    middle, a, b = quads.mean(axis=1), quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    inside = ((middle >= 0) & (middle < (wide, high))).all(axis=1)
    return inside & (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0)


def _distinct(quads: np.ndarray, logits: np.ndarray) -> list[Detection]:
    """One detection for each plate: the surest cell's, its corners meant by all that agree."""
    boxes = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    left = np.argsort(-scores, kind="stable")
    left = left[(boxes[left, 2:] - boxes[left, :2] >= 1).all(axis=1)]
    found: list[Detection] = []
    while len(left):
        overlap = iou(boxes[left[:1]], boxes[left])[0]
        agree = left[overlap > _AGREE]
        weights = scores[agree] / scores[agree].sum()
        quad = np.einsum("n,nij->ij", weights, quads[agree]).astype(np.float32)
        found.append(Detection(quad, float(scores[left[0]])))
        apart = (overlap <= _SAME) & (_shares(boxes[left[0]], boxes[left]) <= _WITHIN)
        left = left[apart]
    return found


def _shares(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How much of the smaller of a box and each of others (n, 4) lies in the other."""
    common = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.prod(np.clip(common, 0, None), axis=1) / np.minimum(areas, np.prod(box[2:] - box[:2]))


def _cut(quad: Quad, look: Look, width: int, height: int) -> bool:
    """Whether a plate may go on beyond a look's edge, which is not the picture's own.

    Of a cut plate the network tells what it sees, and ends that somewhat short of the edge.
    """
    left, top, right, bottom = look.region
    box = box_of(quad)
    high, least = size_of(quad)[1], 3 / look.scale
    aside, above = max(0.3 * high, least), max(0.2 * high, least)
    return bool(
        (left > 0 and box[0] <= left + aside)
        or (top > 0 and box[1] <= top + above)
        or (right < width and box[2] >= right - aside)
        or (bottom < height and box[3] >= bottom - above)
    )
