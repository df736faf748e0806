"""Roads with plates in them, to train a detector: made in memory, as many as are asked for.

A vehicle's front or rear is drawn flat with its plate, then put into the picture by a perspective
of its own, so that the plate's corners are known exactly. What a detector takes for plates and are
none is there as often: lettering, signs, boards, a recorder's marks, grilles and lamps.
"""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training import plates
from training.degrade import Picture, spoil
from training.layouts import Colour, anywhere
from training.plates import small_print

NARROWEST = 16.0
"""Pixels of a plate's width below which it is no longer told: nothing could be read of it."""
_MM = 1800.0  # a vehicle's width
_FRONT = (420, 336)  # pixels of a flat front at scale 1, so 1 pixel is some 4.3 mm
_TRIES = 3  # at a place for a vehicle
_WORDS = ("NORDLINE", "CARGO", "TAXI", "POLICE", "BAKERY", "EXPRESS", "RENTAL", "TRANSPORT", "24H")
_LIKE = (1.3, 6.0)  # width over height of boards that could be taken for plates


@dataclass(frozen=True, slots=True)
class Sample:
    """``image`` (height, width, 3) BGR uint8; ``corners`` (plates, 4, 2) float32 in its pixels,
    each from the plate's upper left as one reads it, clockwise.

    ``doubtful`` (plates, 4, 2): plates that are cut, half hidden or too small: neither right
    nor wrong to be found.
    """

    image: Picture
    corners: np.ndarray
    doubtful: np.ndarray


def sample(
    seed: int,
    size: tuple[int, int] = (640, 384),
    backgrounds: Sequence[Picture] = (),
    harm: float = 1.0,
) -> Sample:
    """The picture of this seed, ``size`` wide and high; always the same.

    ``backgrounds`` are pictures of roads without plates, parts of which are taken half the time.
    """
    rng = np.random.default_rng(seed)
    chance = random.Random(seed)
    image = _background(rng, size, backgrounds)
    lettered(image, rng, int(rng.integers(0, 4)))
    found: list[np.ndarray] = []
    doubtful: list[np.ndarray] = []
    vehicles = int(rng.choice((0, 1, 2, 3, 4), p=(0.1, 0.4, 0.25, 0.15, 0.1)))
    # From afar to near, so that the near one hides the others.
    for width in sorted(np.exp(rng.uniform(np.log(70), np.log(1.25 * size[0]), vehicles))):
        target, corners = _put(image, rng, chance, float(width))
        doubtful += [one for one in found if _hidden(target, one) > 0.1]
        doubtful = [one for one in doubtful if _hidden(target, one) < 0.9]
        found = [one for one in found if _hidden(target, one) <= 0.1]
        if corners is not None:
            (found if _told(corners, size) else doubtful).append(corners)
    image = spoil(image, rng, harm)
    if rng.random() < 0.35:
        _overlay(image, rng)
    kept, unsure = (np.array(some, np.float32).reshape(-1, 4, 2) for some in (found, doubtful))
    return Sample(image, kept, unsure)


def samples(
    seed: int, size: tuple[int, int] = (640, 384), backgrounds: Sequence[Picture] = ()
) -> Iterator[Sample]:
    """One after another without an end; those of another seed are others."""
    number = seed << 40
    while True:
        yield sample(number, size, backgrounds)
        number += 1


def contact_sheet(found: Sequence[Sample], columns: int = 4) -> Picture:
    """Samples side by side at half their size, plates outlined: to look at."""
    tiles = []
    for one in found:
        drawn = one.image.copy()
        cv2.polylines(drawn, list(one.corners.round().astype(np.int32)), True, (0, 255, 0), 2)
        tiles.append(cv2.resize(drawn, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _told(corners: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a plate is whole in the picture and wide enough."""
    inside = bool(((corners >= 0) & (corners < np.array(size))).all())
    return inside and float(np.linalg.norm(corners[1] - corners[0])) >= NARROWEST


def _colour(rng: np.random.Generator, dark: float = 0.0, light: float = 1.0) -> Colour:
    grey = rng.uniform(dark, light) * 255
    tint = rng.normal(0, 45 if rng.random() < 0.4 else 8, 3)
    blue, green, red = (int(v) for v in np.clip(grey + tint, 0, 255))
    return blue, green, red


def shaded(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A surface: one colour turning into another, with a grain."""
    w, h = size
    a, b = (np.array(_colour(rng), np.float32) for _ in range(2))
    b = a + (b - a) * rng.uniform(0, 0.6)
    along = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    grain = rng.standard_normal((h // 3 + 1, w // 3 + 1, 1), np.float32) * rng.uniform(0, 14)
    grain = cv2.resize(grain, (w, h))[..., None]
    return np.clip(a + (b - a) * along + grain, 0, 255).astype(np.uint8)


def _background(
    rng: np.random.Generator, size: tuple[int, int], given: Sequence[Picture]
) -> Picture:
    """A part of a given picture, or a street of plain shapes."""
    w, h = size
    if given and rng.random() < 0.5:
        chosen = given[int(rng.integers(len(given)))]
        part = rng.uniform(0.35, 1)
        cw = int(min(chosen.shape[1], chosen.shape[0] * w / h) * part)
        ch = int(cw * h / w)
        x = int(rng.integers(0, chosen.shape[1] - cw + 1))
        y = int(rng.integers(0, chosen.shape[0] - ch + 1))
        found = cv2.resize(chosen[y : y + ch, x : x + cw], size, interpolation=cv2.INTER_AREA)
        return found[:, ::-1].copy() if rng.random() < 0.5 else found
    horizon = int(h * rng.uniform(0.05, 0.6))
    image = np.vstack((shaded(rng, (w, horizon)), shaded(rng, (w, h - horizon))))
    for _ in range(rng.integers(2, 14)):  # houses, fences, trees, shop windows
        x, y = rng.uniform(-0.1, 1) * w, rng.uniform(0, 1.1) * horizon
        bw, bh = rng.uniform(0.03, 0.4) * w, rng.uniform(0.05, 0.5) * h
        corners = np.array(((x, y), (x + bw, y), (x + bw, y + bh), (x, y + bh)))
        corners += rng.normal(0, 6, (4, 2))
        if rng.random() < 0.6:
            cv2.fillConvexPoly(image, corners.astype(np.int32), _colour(rng), cv2.LINE_AA)
        else:
            axes = round(bw / 2), round(bh / 2)
            centre = round(x), round(y)
            cv2.ellipse(image, centre, axes, 0, 0, 360, _colour(rng, 0, 0.5), -1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 8)):  # kerbs, lanes, wires, posts
        a, b = rng.uniform(0, 1, (2, 2)) * (w, h)
        ends = (round(a[0]), round(a[1])), (round(b[0]), round(b[1]))
        cv2.line(image, *ends, _colour(rng), int(rng.integers(1, 8)), cv2.LINE_AA)
    return image


def _words(rng: np.random.Generator) -> str:
    """Lettering, much of it as long as a plate and with its signs."""
    if rng.random() < 0.3:
        return str(rng.choice(_WORDS))
    signs = string.ascii_uppercase + string.digits * 3
    text = "".join(rng.choice(list(signs), int(rng.integers(2, 11))))
    return f"{text[: len(text) // 2]} {text[len(text) // 2 :]}" if rng.random() < 0.3 else text


def lettered(
    image: Picture, rng: np.random.Generator, boards: int, away: np.ndarray | None = None
) -> None:
    """Put signs and shop boards into a picture, none of which could be a plate: those of a
    plate's shape bear a word. None comes upon ``away``, corners (n, 4, 2).
    """
    h, w = image.shape[:2]
    for _ in range(boards):
        bw = int(rng.uniform(0.06, 0.4) * w)
        bh = int(bw * rng.uniform(0.15, 1.2))
        text = _words(rng)
        if _LIKE[0] < bw / bh < _LIKE[1] and any(sign.isdigit() for sign in text):
            letters = list(string.ascii_uppercase)
            text = "".join(rng.choice(letters, int(rng.integers(2, 11))))
        ground, ink = _colour(rng), _colour(rng)
        board = np.full((bh + 2, bw + 2, 3), ground, np.uint8)
        height = min(0.7 * bh, 1.5 * bw / len(text))
        small_print(board, text, (bw / 2, bh / 2), max(4.0, height * rng.uniform(0.4, 1)), ink)
        corners = np.array(((0, 0), (bw, 0), (bw, bh), (0, bh)), np.float32)
        place = np.array((rng.uniform(-0.1, 0.9) * w, rng.uniform(-0.1, 0.7) * h))
        target = (corners + place + rng.normal(0, bh * 0.06, (4, 2))).astype(np.float32)
        if away is None or not any(_hidden(target, one) > 0 for one in away):
            warp_onto(image, board, corners, target)


def _overlay(image: Picture, rng: np.random.Generator) -> None:
    """A recorder's time and camera's name, burned in."""
    h, w = image.shape[:2]
    for _ in range(rng.integers(1, 3)):
        text = (
            f"20{rng.integers(10, 30)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d} "
            f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}"
            if rng.random() < 0.5
            else _words(rng)
        )
        height = rng.uniform(8, 22)
        x = rng.choice((0.18, 0.5, 0.82)) * w
        y = rng.choice((0.05, 0.95)) * h
        light = (250, 250, 250) if rng.random() < 0.7 else (20, 230, 240)
        small_print(image, text, (float(x) + 1, float(y) + 1), height, (10, 10, 10))
        small_print(image, text, (float(x), float(y)), height, light)


def _put(
    image: Picture, rng: np.random.Generator, chance: random.Random, width: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """Put a vehicle ``width`` pixels wide into the picture: its outline, its plate's corners."""
    h, w = image.shape[:2]
    scale = float(np.clip(1.3 * width / _FRONT[0], 0.4, 2.5))
    front, corners = _front(rng, chance, scale)
    fh, fw = front.shape[:2]
    flat = np.array(((0, 0), (fw, 0), (fw, fh), (0, fh)), np.float32)
    high = width * fh / fw
    box = np.array(((0, 0), (width, 0), (width, high), (0, high)))
    turn = rng.normal(0, 0.05 if rng.random() < 0.75 else 0.2)
    rotate = np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))))
    yaw, pitch, squeeze = rng.normal(0, 0.12), rng.normal(0, 0.06), rng.uniform(0.6, 1)
    middle = box.mean(0)
    bent = (box - middle) * (squeeze if rng.random() < 0.4 else 1, 1)
    bent[:, 1] *= 1 + yaw * np.array((-1, 1, 1, -1)) * 0.5
    bent[:, 0] *= 1 + pitch * np.array((-1, -1, 1, 1)) * 0.5
    bent[:, 1] += yaw * bent[:, 0] * 0.5  # seen from above and aside the front climbs or falls
    bent = bent @ rotate.T + middle
    target = bent.astype(np.float32)
    for _ in range(_TRIES):  # most of them so that their plate is seen
        x = rng.uniform(-0.25, 1.25) * w - width / 2
        # Low in the picture, and lower the nearer it is.
        y = rng.uniform(0.35, 1.1) * h - high * rng.uniform(0.5, 1)
        target = (bent + np.array((x, y))).astype(np.float32)
        if corners is None or _told(_moved(corners, flat, target), (w, h)):
            break
    warp_onto(image, front, flat, target)
    return target, None if corners is None else _moved(corners, flat, target)


def _moved(corners: np.ndarray, flat: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where a plate's corners come when a picture's own come from ``flat`` to ``target``."""
    turn = cv2.getPerspectiveTransform(flat, target)
    return cv2.perspectiveTransform(corners[None].astype(np.float32), turn)[0]


def _hidden(target: np.ndarray, corners: np.ndarray) -> float:
    """How much of a plate a shape covers, 0 to 1."""
    area, _ = cv2.intersectConvexConvex(target, corners.astype(np.float32))
    return float(area) / max(cv2.contourArea(corners.astype(np.float32)), 1e-6)


def warp_onto(image: Picture, flat: Picture, corners: np.ndarray, target: np.ndarray) -> None:
    """Draw a flat picture into another by its corners' places."""
    turn = cv2.getPerspectiveTransform(corners, target)
    x0, y0 = np.maximum(np.floor(target.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(target.max(0)).astype(int), image.shape[1::-1])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    shift = np.array(((1, 0, -x0), (0, 1, -y0), (0, 0, 1)), np.float64)
    size = int(x1 - x0), int(y1 - y0)
    drawn = cv2.warpPerspective(flat, shift @ turn, size, flags=cv2.INTER_LINEAR)
    whole = np.full(flat.shape[:2], 255, np.uint8)
    mask = cv2.warpPerspective(whole, shift @ turn, size, flags=cv2.INTER_LINEAR)
    alpha = mask[..., None].astype(np.float32) / 255
    part = image[y0:y1, x0:x1]
    part[:] = (part * (1 - alpha) + drawn * alpha).astype(np.uint8)


def _front(
    rng: np.random.Generator, chance: random.Random, scale: float
) -> tuple[Picture, np.ndarray | None]:
    """A vehicle's front or rear, flat, and its plate's corners; None where it has no plate."""
    w, h = (round(side * scale) for side in _FRONT)
    front = shaded(rng, (w, h))
    paint = np.array(_colour(rng), np.float32)
    front = (front * 0.25 + paint * 0.75).astype(np.uint8)
    glass = int(h * rng.uniform(0.25, 0.45))
    inset = rng.uniform(0.05, 0.18) * w
    window = np.array(
        ((inset * 1.3, 0.05 * h), (w - inset * 1.3, 0.05 * h), (w - inset, glass), (inset, glass))
    )
    cv2.fillConvexPoly(front, window.astype(np.int32), _colour(rng, 0, 0.35), cv2.LINE_AA)
    low = rng.uniform(0.62, 0.88) * h  # the plate's middle
    _grille(front, rng, glass, low)
    lamp = round(rng.uniform(0.03, 0.09) * w), round(rng.uniform(0.02, 0.06) * h)
    for side in (0.13, 0.87):
        centre = round(side * w), round((glass + low) / 2)
        light = _colour(rng, 0.6, 1) if rng.random() < 0.6 else _colour(rng, 0.1, 0.5)
        cv2.ellipse(front, centre, lamp, 0, 0, 360, light, -1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 3)):  # maker, model, a haulier's name, a sticker
        place = rng.uniform(0.15, 0.85) * w, rng.uniform(0.1, 0.95) * h
        if abs(place[1] - low) > 0.12 * h:
            small_print(front, _words(rng), place, rng.uniform(0.02, 0.07) * h, _colour(rng))
    cv2.rectangle(front, (0, round(0.95 * h)), (w, h), _colour(rng, 0, 0.3), -1)
    if rng.random() < 0.08:
        return front, None
    return front, _plate_onto(front, rng, chance, low)


def worn(drawn: Picture, rng: np.random.Generator) -> Picture:
    """A plate as it may be after years: faded, over a picture as states print it, dirty."""
    h, w = drawn.shape[:2]
    light = drawn.astype(np.float32)
    if rng.random() < 0.3:
        light *= 0.5 + 0.5 * np.array(_colour(rng, 0.5, 1), np.float32) / 255
    if rng.random() < 0.3:  # hills, a sky, a flag
        printed = rng.uniform(0.45, 1, (int(rng.integers(2, 6)), int(rng.integers(2, 8)), 3))
        light *= cv2.resize(printed.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.15:
        dirt = rng.standard_normal((6, 14, 1), np.float32)
        dirt = np.clip(cv2.resize(dirt, (w, h)), 0, 1.5)[..., None] * 0.35
        light = light * (1 - dirt) + np.array((60, 80, 95), np.float32) * dirt
    return np.clip(light, 0, 255).astype(np.uint8)


def _grille(front: Picture, rng: np.random.Generator, top: float, low: float) -> None:
    h, w = front.shape[:2]
    a = round(rng.uniform(0.2, 0.35) * w), round(top + 0.05 * h)
    b = w - a[0], round(min(low + rng.uniform(-0.05, 0.1) * h, 0.93 * h))
    cv2.rectangle(front, a, b, _colour(rng, 0, 0.4), -1)
    bars, colour = int(rng.integers(0, 9)), _colour(rng)
    for k in range(bars):
        if rng.random() < 0.5:
            y = a[1] + (b[1] - a[1]) * (k + 1) // (bars + 1)
            cv2.line(front, (a[0], y), (b[0], y), colour, max(1, w // 200))
        else:
            x = a[0] + (b[0] - a[0]) * (k + 1) // (bars + 1)
            cv2.line(front, (x, a[1]), (x, b[1]), colour, max(1, w // 200))


def _plate_onto(
    front: Picture, rng: np.random.Generator, chance: random.Random, low: float
) -> np.ndarray:
    """Screw a plate of any country on, perhaps in a frame, perhaps dirty; its corners."""
    w = front.shape[1]
    plate = plates.chance(anywhere(chance), chance)
    wide = plate.layout.size[0] / _MM * w * rng.uniform(0.85, 1.15)
    drawn = plates.picture(plate, max(24, round(wide)))
    drawn = worn(drawn, rng)
    ph, pw = drawn.shape[:2]
    x = round(w * (0.5 if rng.random() < 0.85 else rng.uniform(0.3, 0.7)) - pw / 2)
    y = round(min(low, front.shape[0] - ph - 2) - ph / 2)
    x, y = max(2, min(x, w - pw - 2)), max(2, min(y, front.shape[0] - ph - 2))
    if rng.random() < 0.5:
        rim = max(1, round(pw * rng.uniform(0.01, 0.04)))
        below = rim * (3 if rng.random() < 0.4 else 1)
        corner = (x + pw + rim, y + ph + below)
        cv2.rectangle(front, (x - rim, y - rim), corner, _colour(rng, 0, 0.5), -1)
    front[y : y + ph, x : x + pw] = drawn
    return np.array(((x, y), (x + pw, y), (x + pw, y + ph), (x, y + ph)), np.float64)
