"""Where to look: only what has changed since it was last looked at, and standing plates at times."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.detect import Look
from edge.geometry import Region, clipped

_WIDTH = 160  # pixels of the reduced picture that changes are looked for in
_CHANGE = 14  # grey levels of 255; codec noise stays below


@dataclass(frozen=True, slots=True)
class AttentionSettings:
    """How much looking is worth.

    ``interval_us`` is the least time between two looks, ``relook_us`` between two at a standing
    plate. ``first_pixels`` bounds the size of the first look, which is at everything,
    ``pixels`` that of a later one at one region: far plates move in small regions, which are
    looked at in full size, near ones in large regions, which are reduced.
    """

    interval_us: int = 120_000
    relook_us: int = 2_000_000
    first_pixels: int = 500_000
    pixels: int = 90_000
    margin: int = 40


class Attention:
    """Chooses the looks of one camera. What is looked at becomes what later frames differ from."""

    def __init__(self, settings: AttentionSettings, roi: Region | None = None) -> None:
        self._settings = settings
        self._roi = roi
        self._seen: np.ndarray | None = None
        self._last = 0

    def looks(
        self, image: np.ndarray, at_us: int, standing: Sequence[np.ndarray] = ()
    ) -> list[Look]:
        """The looks that this frame is worth; none is the usual answer for a quiet scene.

        ``standing`` are boxes of plates that are due to be looked at though nothing moves.
        """
        height, width = image.shape[:2]
        roi = clipped(self._roi or (0, 0, width, height), width, height)
        scale = width / _WIDTH
        small = _reduced(image)
        if self._seen is None or self._seen.shape != small.shape:
            self._seen, self._last = small, at_us
            return [_look(roi, self._settings.first_pixels)]
        if at_us - self._last < self._settings.interval_us:
            return []
        regions = _changed(self._seen, small, scale)
        regions += [tuple(box) for box in standing]
        margin = self._settings.margin
        wide = [(a - margin, b - margin, c + margin, d + margin) for a, b, c, d in regions]
        chosen = [clipped(_common(box, roi), width, height) for box in wide]
        merged = _merged([box for box in chosen if box[2] - box[0] > 16 and box[3] - box[1] > 16])
        if not merged:
            return []
        self._last = at_us
        for left, top, right, bottom in merged:
            part = (
                slice(int(top / scale), int(np.ceil(bottom / scale))),
                slice(int(left / scale), int(np.ceil(right / scale))),
            )
            self._seen[part] = small[part]
        return [_look(box, self._settings.pixels) for box in merged]


def _look(region: Region, pixels: int) -> Look:
    left, top, right, bottom = region
    return Look(region, min(1.0, (pixels / max(1, (right - left) * (bottom - top))) ** 0.5))


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (_WIDTH, max(1, round(height * _WIDTH / width)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (3, 3), 0).astype(np.int16)


def _changed(seen: np.ndarray, now: np.ndarray, scale: float) -> list[tuple[float, ...]]:
    """Boxes around what differs, in pixels of the whole picture; exposure is levelled out."""
    difference = now - seen
    difference = np.abs(difference - int(np.median(difference)))
    mask = (difference > _CHANGE).astype(np.uint8)
    mask = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    return [
        (x * scale, y * scale, (x + w) * scale, (y + h) * scale)
        for x, y, w, h, _ in (map(int, stats[index]) for index in range(1, count))
    ]


def _common(box: Sequence[float], roi: Region) -> tuple[float, float, float, float]:
    return (
        max(box[0], roi[0]),
        max(box[1], roi[1]),
        min(box[2], roi[2]),
        min(box[3], roi[3]),
    )


def _merged(boxes: Sequence[Region]) -> list[Region]:
    """Boxes joined where one look at both costs hardly more than two, until none is left."""
    todo, done = list(boxes), []
    while todo:
        box = todo.pop()
        for other in todo:
            union = (
                min(box[0], other[0]),
                min(box[1], other[1]),
                max(box[2], other[2]),
                max(box[3], other[3]),
            )
            if _area(union) <= 1.15 * (_area(box) + _area(other)):
                todo.remove(other)
                todo.append(union)
                break
        else:
            done.append(box)
    return sorted(done)


def _area(box: Region) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
