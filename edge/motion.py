"""Where to look: at what has changed since it was last looked at, and at plates being followed."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.cameras import ConfigError
from edge.detect import Look
from edge.geometry import Region, clipped

_WIDTH = 160  # pixels of the reduced picture that changes are looked for in
_CHANGE = 14.0  # grey levels of 255; codec noise stays below
_RESTLESS = 2.5  # times the usual change of a place (leaves, flags) is a change there
_MEMORY = 0.1  # share of the newest change in what is usual
_FOLLOWED_HEIGHT = 26.0  # pixels of a line's height at which the text detector is surest
_SMALLEST = 16  # pixels; no plate can be read in less


@dataclass(frozen=True, slots=True)
class AttentionSettings:
    """How much looking is worth.

    What moves is searched every ``search_us``, plates being followed are looked at every
    ``follow_us``, standing ones every ``relook_us`` (microseconds). ``first_pixels`` bounds the
    size of the first look, which is at everything, ``pixels`` that of a search in one region:
    far plates move in small regions, which are looked at in full size, near ones in large
    regions, which are reduced. ``margin`` is put around what moves, in pixels. The first look
    may enlarge the picture up to ``enlarge`` times.
    """

    search_us: int = 240_000
    follow_us: int = 80_000
    relook_us: int = 2_000_000
    first_pixels: int = 500_000
    pixels: int = 90_000
    margin: int = 40
    enlarge: float = 1.0


class Attention:
    """Chooses the looks of one camera. What is searched becomes what later frames differ from."""

    def __init__(self, settings: AttentionSettings, roi: Region | None = None) -> None:
        self._settings = settings
        self._roi = roi
        self._seen: np.ndarray | None = None
        self._usual: np.ndarray | None = None
        self._searched_us = 0

    def looks(
        self,
        image: np.ndarray,
        at_us: int,
        wanted: Sequence[np.ndarray] = (),
    ) -> list[Look]:
        """The looks that this frame is worth; none is the usual answer for a quiet scene.

        ``wanted`` are the boxes of plates known that are due for a look.
        """
        roi = region_of(image, self._roi)
        looks = [_close(box, roi) for box in wanted]
        if self._seen is None or at_us - self._searched_us >= self._settings.search_us:
            self._searched_us = at_us
            looks += self._search(image, roi)
        return [look for look in looks if min(_size(look.region)) > _SMALLEST]

    def _search(self, image: np.ndarray, roi: Region) -> list[Look]:
        now = _reduced(image)
        scale = image.shape[1] / _WIDTH
        if self._seen is None or self._usual is None or self._seen.shape != now.shape:
            self._seen, self._usual = now.copy(), np.zeros(now.shape, np.float32)
            scale = (self._settings.first_pixels / _area(roi)) ** 0.5
            return [Look(roi, min(self._settings.enlarge, scale))]
        difference = now - self._seen
        difference = np.abs(difference - float(np.median(difference)))  # exposure is levelled out
        changed = difference > np.maximum(_CHANGE, _RESTLESS * self._usual)
        self._usual += _MEMORY * (difference - self._usual)
        margin = self._settings.margin
        regions = [
            _common(
                (left - margin, top - margin, right + margin, bottom + margin), roi, image.shape
            )
            for left, top, right, bottom in _boxes(changed, scale)
        ]
        regions = _merged([box for box in regions if min(_size(box)) > _SMALLEST])
        for left, top, right, bottom in regions:
            part = (
                slice(int(top / scale), int(np.ceil(bottom / scale))),
                slice(int(left / scale), int(np.ceil(right / scale))),
            )
            self._seen[part] = now[part]
        pixels = self._settings.pixels
        looks = [Look(box, _scale(box, pixels)) for box in regions]
        total = sum(_area(look.region) * look.scale**2 for look in looks)
        shrink = min(1.0, (2 * pixels / max(total, 1.0)) ** 0.5)
        return [Look(look.region, look.scale * shrink) for look in looks]


def region_of(image: np.ndarray, roi: Region | None) -> Region:
    """The part of a picture that a camera is to read; raises ConfigError if it has none."""
    height, width = image.shape[:2]
    region = clipped(roi or (0, 0, width, height), width, height)
    if min(_size(region)) <= 0:
        raise ConfigError(
            f"roi {list(roi or ())} lies outside the picture of {width} x {height} pixels; "
            "give left, top, right, bottom within it"
        )
    return region


def _close(box: np.ndarray, roi: Region) -> Look:
    """A look at a plate and what it may have moved by, as large as its text is found best."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    aside, above = 0.6 * width + 0.6 * height, height
    region = clipped(
        _within((left - aside, top - above, right + aside, bottom + above), roi), *roi[2:]
    )
    return Look(region, float(np.clip(_FOLLOWED_HEIGHT / max(height, 1.0), 0.25, 1.5)))


def _scale(region: Region, pixels: int) -> float:
    return min(1.0, (pixels / max(1, _area(region))) ** 0.5)


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (_WIDTH, max(1, round(height * _WIDTH / width)))
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return cv2.GaussianBlur(small, (3, 3), 0).astype(np.float32)


def _boxes(changed: np.ndarray, scale: float) -> list[tuple[float, float, float, float]]:
    """Boxes around what has changed, in pixels of the whole picture."""
    mask = cv2.dilate(changed.astype(np.uint8), np.ones((5, 5), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    return [
        (x * scale, y * scale, (x + w) * scale, (y + h) * scale)
        for x, y, w, h, _ in (map(int, stats[index]) for index in range(1, count))
    ]


def _within(box: Sequence[float], roi: Region) -> tuple[float, float, float, float]:
    return (
        max(box[0], roi[0]),
        max(box[1], roi[1]),
        min(box[2], roi[2]),
        min(box[3], roi[3]),
    )


def _common(box: Sequence[float], roi: Region, shape: tuple[int, ...]) -> Region:
    return clipped(_within(box, roi), shape[1], shape[0])


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


def _size(box: Region) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _area(box: Region) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
