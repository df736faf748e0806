"""What the reader learns from: straightened plates as a detector's corners give them."""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import cv2
import numpy as np

from edge.reader import straightened
from training import plates, scenes
from training.degrade import Picture, spoil
from training.faces import faces
from training.hand import PLAIN, by_chance
from training.layouts import LAYOUTS, anywhere
from training.plates import Plate

COUNTRIES = ("", *sorted({layout.country[:2] for layout in LAYOUTS.values()}))
"""What the reader can take a plate's country for; '' is none of these."""
_DRAWN = 320  # pixels of width at which a plate is drawn
_NARROW, _WIDE = 40.0, 340.0  # pixels of width at which a camera sees it
_LEGIBLE = 14.0  # of 255, between a plate's dark and light, from which anybody could read it
_CLEAR = 150.0  # pixels of width from which on a plate is read though much is done to it
_BOXED = 0.35  # of all plates are told by their upright box
_TRIES = 4  # at a legible one
_KEPT, _USES = 512, 3.0  # drawn plates that are at hand, and how often each is seen, about


@dataclass(frozen=True, slots=True)
class Crop:
    """``image`` (64, 192, 3) BGR uint8, its lines from the top, letters and digits alone, and
    the number of its country among COUNTRIES.
    """

    image: Picture
    lines: tuple[str, ...]
    country: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A plate before a camera: ``image`` BGR uint8, and its corners ``quad`` (4, 2) in it, about
    as right as a detector's, or those of its upright box; what it says and its country as in Crop.
    """

    image: Picture
    quad: np.ndarray
    lines: tuple[str, ...]
    country: int


def seen(seed: int, hard: float = 1.0) -> Seen:
    """The plate of this seed; always the same. The less ``hard``, 0 to 1, the more plates are
    lettered as their layouts say, and told by their corners.
    """
    rng = np.random.default_rng((seed, 11))
    return _seen(_drawn(random.Random(seed), rng, hard), rng, hard)


def crop(seed: int) -> Crop:
    """The same, straightened."""
    return _crop(seen(seed))


def crops(
    seed: int,
    real: Sequence[Seen] = (),
    share: float = 0.0,
    *,
    hard: float = 1.0,
    gentle: int = 0,
) -> Iterator[Crop]:
    """One after another without an end; those of another seed are others.

    A drawn plate is seen some times, each time by another camera in other light. Of all, ``share``
    are of ``real``, each text as often as another. The first ``gentle`` ones get ``hard`` little by
    little: see ``seen``.
    """
    by_text: dict[tuple[str, ...], list[Seen]] = {}
    for one in real:
        by_text.setdefault(one.lines, []).append(one)
    texts = list(by_text.values())
    rng, chance = np.random.default_rng((seed, 13)), random.Random(seed)
    kept: list[_Drawn] = []
    for number in count():
        now = hard if number >= gentle else hard * number / gentle
        if texts and rng.random() < share:
            yield _crop(_again(chance.choice(chance.choice(texts)), rng))
            continue
        if len(kept) < _KEPT:
            kept.append(_drawn(chance, rng, now))
        elif rng.random() < 1 / _USES:
            kept[int(rng.integers(_KEPT))] = _drawn(chance, rng, now)
        yield _crop(_seen(kept[int(rng.integers(len(kept)))], rng, now))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A plate from straight ahead, as it is mounted, and what it says."""

    picture: Picture
    lines: tuple[str, ...]
    country: int


def _drawn(chance: random.Random, rng: np.random.Generator, hard: float) -> _Drawn:
    plate = _plate(chance)
    face = chance.choice(faces()) if chance.random() < 0.7 else faces()[0]
    hand = by_chance(rng) if rng.random() < 0.85 * hard else PLAIN
    drawn = plates.picture(plate, _DRAWN, face, hand, rng)
    picture = _mounted(scenes.worn(drawn, rng), rng)
    lines = tuple("".join(sign for sign in line if sign.isalnum()) for line in plate.lines)
    return _Drawn(picture, lines, COUNTRIES.index(plate.layout.country[:2]))


def _crop(one: Seen) -> Crop:
    return Crop(straightened(one.image, one.quad), one.lines, one.country)


def _seen(drawn: _Drawn, rng: np.random.Generator, hard: float) -> Seen:
    image, corners = drawn.picture, np.zeros((4, 2))
    for _ in range(_TRIES):
        image, corners = _before_a_camera(drawn.picture, rng)
        image = spoil(image, rng, min(0.7, float(np.ptp(corners[:, 0])) / _CLEAR))
        (left, top), (right, bottom) = corners.min(0).astype(int), corners.max(0).astype(int)
        dark, light = np.percentile(image[top : bottom + 1, left : right + 1, 1], (5, 95))
        if light - dark >= _LEGIBLE:
            break
    return Seen(image, _told(corners, rng, hard), drawn.lines, drawn.country)


def _again(real: Seen, rng: np.random.Generator) -> Seen:
    """A real plate in somewhat other light, by other corners."""
    image = spoil(real.image, rng, 0.25)
    return replace(real, image=image, quad=_told(real.quad, rng, 1.0))


def _plate(chance: random.Random) -> Plate:
    """A plate by its country's grammar, or of its shape with any signs: to be read, not guessed."""
    layout = anywhere(chance)
    plate = plates.chance(layout, chance)
    lines = plate.lines
    if chance.random() < 0.45:
        lines = tuple(_scrambled(line, chance) for line in lines)
    if len(lines) == 1 and chance.random() < 0.08:
        lines = (_stacked(lines[0], chance),)
    if any(" " in line for line in lines) and chance.random() < 0.35:
        layout = replace(layout, seal=True)  # or a state's outline, a peach, a sun
    return Plate(layout, lines)


def _stacked(line: str, chance: random.Random) -> str:
    """The line with its first two or last two signs one upon the other."""
    if len(line) < 5 or not line.isalnum():
        return line
    place = chance.choice((0, len(line) - 2))
    return line[:place] + plates.STACK + line[place:]


def _scrambled(line: str, chance: random.Random) -> str:
    signs = string.ascii_uppercase + string.digits
    text = "".join(chance.choice(signs) if sign.isalnum() else sign for sign in line)
    kind = chance.random()
    if kind < 0.15 and len(text) > 3:
        text = text[1:]
    elif kind < 0.25:
        text = "".join(sign for sign in text if sign.isalnum())
    return text


def _mounted(drawn: Picture, rng: np.random.Generator) -> Picture:
    """A plate with bolts, perhaps in a frame that hides its rim, or behind a tow bar."""
    h, w = drawn.shape[:2]
    out = drawn.copy()
    colour = tuple(int(v) for v in rng.uniform(0, 255, 3))
    if rng.random() < 0.35:
        for x, y in ((0.18, 0.1), (0.82, 0.1), (0.18, 0.9), (0.82, 0.9))[
            :: int(rng.integers(1, 3))
        ]:
            cv2.circle(out, (round(x * w), round(y * h)), round(rng.uniform(2, 6)), colour, -1)
    if rng.random() < 0.3:  # a dealer's frame, thicker below
        rim = rng.uniform(0.01, 0.05) * h
        below = round(rim + rng.uniform(0, 0.1) * h)
        cv2.rectangle(out, (0, 0), (w - 1, h - 1), colour, max(1, round(2 * rim)))
        cv2.rectangle(out, (0, h - below), (w, h), colour, -1)
    if rng.random() < 0.25:  # what has to be stuck on each year
        size = rng.uniform(0.05, 0.1) * w, rng.uniform(0.1, 0.2) * h
        for x in rng.choice((0.08, 0.92), int(rng.integers(1, 3)), replace=False):
            top = (0.12, 0.88)[int(rng.integers(2))]
            a = round(x * w - size[0] / 2), round(top * h - size[1] / 2)
            b = round(x * w + size[0] / 2), round(top * h + size[1] / 2)
            cv2.rectangle(out, a, b, tuple(int(v) for v in rng.uniform(0, 255, 3)), -1)
    if rng.random() < 0.06:
        y = round(rng.uniform(0.05, 0.95) * h)
        cv2.line(
            out, (0, y), (w, round(y + rng.normal(0, 0.1) * h)), colour, int(rng.integers(1, 5))
        )
    return out


def _before_a_camera(drawn: Picture, rng: np.random.Generator) -> tuple[Picture, np.ndarray]:
    """A plate on a vehicle as a camera sees it, and its corners."""
    h, w = drawn.shape[:2]
    wide = float(np.exp(rng.uniform(np.log(_NARROW), np.log(_WIDE))))
    yaw, pitch, roll = rng.normal(0, 0.45), rng.normal(0, 0.25), rng.normal(0, 0.08)
    high = wide * h / w * np.cos(min(abs(pitch), 1.0))
    across = wide * max(0.45, np.cos(yaw))
    box = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), np.float64) * (across / 2, high / 2)
    box[:, 1] *= 1 + 0.18 * np.sin(yaw) * np.array((-1, 1, 1, -1))
    box[:, 0] *= 1 + 0.08 * np.sin(pitch) * np.array((-1, -1, 1, 1))
    box[:, 1] += 0.3 * np.sin(yaw) * rng.uniform(-1, 1) * box[:, 0]  # seen from above and aside
    turn = np.array(((np.cos(roll), -np.sin(roll)), (np.sin(roll), np.cos(roll))))
    box = box @ turn.T
    size = np.ceil(np.ptp(box, axis=0) * 1.3 + 12).astype(int)
    corners = (box - box.min(0) + (size - np.ptp(box, axis=0)) / 2).astype(np.float32)
    ground = scenes.shaded(rng, (int(size[0]), int(size[1])))
    factor = max(1.0, w / max(wide, 1.0))
    soft = cv2.GaussianBlur(drawn, (0, 0), 0.35 * factor) if factor > 1.2 else drawn
    flat = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
    scenes.warp_onto(ground, soft, flat, corners)
    return ground, corners


def _told(corners: np.ndarray, rng: np.random.Generator, hard: float) -> np.ndarray:
    """Corners that are about right, as a detector's are; or, as other detectors and people tell
    a plate, its upright box with some of what is around it.
    """
    if rng.random() < _BOXED * hard:
        low, high = corners.min(0), corners.max(0)
        size = high - low
        low, high = (
            (low - size * rng.uniform(-0.02, 0.1, 2)),
            high + size * rng.uniform(-0.02, 0.1, 2),
        )
        return np.array((low, (high[0], low[1]), high, (low[0], high[1])), np.float32)
    sides = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[3] - corners[0])
    off = rng.normal(0, 1, (4, 2)) * (0.012, 0.035) + rng.normal(0, 1, 2) * (0.012, 0.03)
    return (corners + off * sides).astype(np.float32)
