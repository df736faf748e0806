"""What the detector learns from: parts of made scenes and of real roads, without an end."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training import scenes
from training.degrade import Picture, spoil
from training.detector import road
from training.detector.road import RoadFrame

SIZE = (384, 288)
"""Pixels of width and height of an example."""
_NARROW, _WIDE = 18.0, 300.0  # pixels of the plates that a part is chosen for
_SHOWN = 0.9  # of a plate's area inside the part, from which it is whole,
_CUT = 0.75  # and below which it is none: what the rest says, nobody can know
_SEEN = 18.0  # of 255, between a plate's dark and light, from which it can be seen,
_UNSEEN = 8.0  # and below which it is none
_ROLLED = 0.35  # of the parts are turned as a whole,
_ROLL = 7.0  # by so many degrees or about


@dataclass(frozen=True, slots=True)
class Example:
    """``image`` (height, width, 3) BGR uint8 and its plates, corners in its pixels.

    ``exact`` (plates,) tells of which of ``corners`` (plates, 4, 2) only the upright box is true;
    ``doubtful`` (n, 4, 2) are plates that nothing is learned from.
    """

    image: Picture
    corners: np.ndarray
    exact: np.ndarray
    doubtful: np.ndarray


@dataclass(slots=True)
class _Known:
    """A whole picture with its plates, of which examples are parts."""

    image: Picture
    corners: np.ndarray
    exact: np.ndarray
    doubtful: np.ndarray


class Feed:
    """Examples one after another, the same ones for the same seed.

    ``real`` of them are of ``frames``, 0 to 1; the rest are parts of made scenes, each of which
    serves about ``uses`` times before another takes its place among the ``kept``. ``streets`` are
    pictures without plates that made scenes may have behind them.
    """

    def __init__(
        self,
        seed: int,
        frames: Sequence[RoadFrame] = (),
        real: float = 0.5,
        streets: Sequence[Picture] = (),
        *,
        kept: int = 256,
        uses: int = 6,
    ) -> None:
        self._rng = np.random.default_rng((seed, 7))
        self._chance = random.Random(seed)
        self._frames = frames
        self._real = real if frames else 0.0
        self._scenes = scenes.samples(seed, backgrounds=streets)
        self._made: list[_Known] = []
        self._kept, self._uses = kept, uses

    def __iter__(self) -> Iterator[Example]:
        while True:
            yield self.example()

    def example(self) -> Example:
        """The next one."""
        rng = self._rng
        if rng.random() < self._real:
            frame = self._frames[int(rng.integers(len(self._frames)))]
            known = self._exchange(frame)
            part = _rolled(_part(known, rng), rng)
            part.image = _other_camera(part.image, rng)
            if rng.random() < 0.6:
                part.image = spoil(part.image, rng, 0.5)
        else:
            part = _rolled(_part(self._scene(), rng), rng)
        return _seen(part)

    def _exchange(self, frame: RoadFrame) -> _Known:
        """A frame, mirrored half the time, and then with other plates most of the time."""
        image, corners = frame.image, road.quads(frame.boxes)
        exact = np.zeros(len(corners), bool)
        if self._rng.random() < 0.5:
            image = np.asarray(cv2.flip(image, 1), np.uint8)
            corners[..., 0] = image.shape[1] - corners[..., 0]
            corners = corners[:, [1, 0, 3, 2]]
        else:
            image = image.copy()
        if len(corners) and self._rng.random() < 0.7:
            for n, quad in enumerate(corners):
                if self._rng.random() < 0.9:
                    corners[n] = road.exchanged(image, quad, self._rng, self._chance)
                    exact[n] = True
        if self._rng.random() < 0.3:
            scenes.lettered(image, self._rng, int(self._rng.integers(1, 4)), corners)
        return _Known(image, corners, exact, np.zeros((0, 4, 2), np.float32))

    def _scene(self) -> _Known:
        full = len(self._made) >= self._kept
        if not full or self._rng.random() < 1 / self._uses:
            made = next(self._scenes)
            known = _Known(
                made.image, made.corners, np.ones(len(made.corners), bool), made.doubtful
            )
            if full:
                self._made[int(self._rng.integers(self._kept))] = known
            else:
                self._made.append(known)
            return known
        return self._made[int(self._rng.integers(len(self._made)))]


def _part(known: _Known, rng: np.random.Generator) -> _Known:
    """A part of a picture at a scale by chance, mostly with a plate somewhere in it."""
    h, w = known.image.shape[:2]
    width, height = SIZE
    smallest = 0.8 * max(width / w, height / h)
    if len(known.corners) and rng.random() < 0.85:
        plate = known.corners[int(rng.integers(len(known.corners)))]
        wide = float(np.linalg.norm(plate[1] - plate[0]))
        scale = np.exp(rng.uniform(np.log(_NARROW), np.log(_WIDE))) / wide
        scale = float(np.clip(scale, smallest, 2.5))
        middle = plate.mean(0) * scale
        room = np.maximum(np.array(SIZE) - np.ptp(plate, axis=0) * scale, 0) / 2
        corner = middle - np.array(SIZE) / 2 + rng.uniform(-1, 1, 2) * (room + 8)
    else:
        scale = float(np.exp(rng.uniform(np.log(smallest), np.log(1.3))))
        corner = rng.uniform(0, 1, 2) * np.maximum(np.array((w, h)) * scale - SIZE, 0)
    image, moved = _taken(known.image, scale, corner, rng)
    corners, doubtful = (
        (some * moved[0] + moved[1]).astype(np.float32) for some in (known.corners, known.doubtful)
    )
    return _sorted(image, corners, known.exact, doubtful)


def _rolled(part: _Known, rng: np.random.Generator) -> _Known:
    """The part as a camera gives it that hangs askew: not where only upright boxes are known."""
    if not part.exact.all() or rng.random() > _ROLLED:
        return part
    width, height = SIZE
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, _ROLL)), 1.0)
    image = cv2.warpAffine(
        part.image, turn, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    corners, doubtful = (
        (quads @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
        for quads in (part.corners, part.doubtful)
    )
    return _sorted(np.asarray(image, np.uint8), corners, part.exact, doubtful)


def _sorted(image: Picture, corners: np.ndarray, exact: np.ndarray, doubtful: np.ndarray) -> _Known:
    """A part with its plates: whole ones, doubtful ones, and none of which much is cut off."""
    width, height = SIZE
    shown = np.array([_inside(quad, width, height) for quad in corners], np.float32)
    wide = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    whole = (shown >= _SHOWN) & (wide >= 0.8 * scenes.NARROWEST)
    unsure = np.concatenate((doubtful, corners[~whole]))
    kept = np.array([_inside(quad, width, height) >= _CUT for quad in unsure], bool)
    return _Known(image, corners[whole], exact[whole], unsure[kept])


def _seen(part: _Known) -> Example:
    """The example of a part: plates that are too dark or too pale to be seen are none."""
    width, height = SIZE
    grey = cv2.cvtColor(part.image, cv2.COLOR_BGR2GRAY)
    contrast = np.zeros(len(part.corners), np.float32)
    for n, quad in enumerate(part.corners):
        low = np.clip(quad.min(0), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(quad.max(0)), low + 1, SIZE).astype(int)
        inside = grey[low[1] : high[1], low[0] : high[0]]
        contrast[n] = np.subtract(*np.percentile(inside, (95, 5)))
    seen = contrast >= _SEEN
    unsure = np.concatenate((part.doubtful, part.corners[~seen & (contrast >= _UNSEEN)]))
    return Example(part.image, part.corners[seen], part.exact[seen], unsure)


def _other_camera(image: Picture, rng: np.random.Generator) -> Picture:
    """The picture with light and colours of another camera: those of one are no sign of a plate."""
    if rng.random() < 0.6:  # as if exposed for longer: most roads are photographed by day
        wanted = rng.uniform(80, 150) / max(8.0, float(image.mean()))
        image = np.clip(image * min(4.0, wanted) ** rng.uniform(0.5, 1), 0, 255).astype(np.uint8)
    kind = rng.random()
    if kind < 0.25:  # at night many cameras give grey alone
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if kind < 0.7:  # grey on the whole
        means = image.reshape(-1, 3).mean(0) + 1
        gains = (means.mean() / means).clip(0.5, 2) * rng.uniform(0.9, 1.1, 3)
        return np.clip(image * gains, 0, 255).astype(np.uint8)
    if kind < 0.85:
        return np.ascontiguousarray(image[..., rng.permutation(3)])
    return image


def _taken(
    image: Picture, scale: float, corner: np.ndarray, rng: np.random.Generator
) -> tuple[Picture, tuple[np.ndarray, np.ndarray]]:
    """The part of a picture enlarged by ``scale`` that begins at ``corner``, grey beyond it;
    the factors and the shift, of x and y, by which its places become the part's.
    """
    width, height = SIZE
    a = np.clip(np.floor(corner / scale).astype(int), 0, image.shape[1::-1])
    b = np.clip(np.ceil((corner + SIZE) / scale).astype(int), 0, image.shape[1::-1])
    canvas = np.full((height, width, 3), int(rng.integers(0, 256)), np.uint8)
    if (b - a).min() < 2:
        return canvas, (np.full(2, scale), -corner)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    source = image[a[1] : b[1], a[0] : b[0]]
    size = np.maximum(np.round((b - a) * scale).astype(int), 1)
    sized = cv2.resize(source, (int(size[0]), int(size[1])), interpolation=how)
    at = np.round(a * scale - corner).astype(int)
    skipped, (x, y) = np.maximum(-at, 0), np.maximum(at, 0)
    w, h = np.maximum(np.minimum(size - skipped, SIZE - np.array((x, y))), 0)
    canvas[y : y + h, x : x + w] = sized[skipped[1] : skipped[1] + h, skipped[0] : skipped[0] + w]
    factors = size / (b - a)
    return canvas, (factors, at - a * factors)


def _inside(quad: np.ndarray, width: int, height: int) -> float:
    """How much of a plate's upright box is in the picture, 0 to 1."""
    low, high = quad.min(0), quad.max(0)
    common = np.clip(np.minimum(high, (width, height)) - np.maximum(low, 0), 0, None)
    return float(common.prod() / max(float((high - low).prod()), 1e-6))
