"""What stands between and beside a plate's signs and is none: arms, seals, stickers, outlines."""

import cv2
import numpy as np

from training.degrade import Picture

_LIGHT, _DEEP = (150, 256), (0, 140)


def draw(
    canvas: Picture,
    centre: tuple[float, float],
    size: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Draw an emblem by chance, ``size`` pixels wide and high at most."""
    (x, y), (w, h) = centre, size
    kind = rng.choice(("stickers", "arms", "seal", "outline", "flower", "mark"))
    if kind == "stickers":  # one upon the other
        radius = min(w / 2, h / 4) * rng.uniform(0.7, 1)
        for sign in (-1, 1):
            _round(canvas, (x, y + sign * h * rng.uniform(0.2, 0.26)), (radius, radius), rng)
    elif kind == "seal":
        across = w / 2 * rng.uniform(0.75, 1)
        _round(canvas, (x, y), (across, min(h / 2, across * rng.uniform(0.9, 1.4))), rng)
    elif kind == "arms":
        _arms(canvas, (x, y), (w * rng.uniform(0.8, 1.05), h * rng.uniform(0.5, 0.95)), rng)
    elif kind == "outline":  # of a state, a bear, a mountain
        turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 12))))
        reach = rng.uniform(0.45, 1, len(turns))
        points = np.stack((x + w / 2 * reach * np.cos(turns), y + h / 2 * reach * np.sin(turns)), 1)
        _filled(canvas, points, rng)
    elif kind == "flower":
        radius, count = min(w, h) / 4, int(rng.integers(3, 7))
        colour = _colour(rng)
        for k in range(count):
            turn = 2 * np.pi * k / count
            place = round(x + radius * np.cos(turn)), round(y + radius * np.sin(turn))
            cv2.circle(canvas, place, round(radius * 0.8), colour, -1, cv2.LINE_AA)
        cv2.circle(canvas, (round(x), round(y)), round(radius * 0.6), _colour(rng), -1, cv2.LINE_AA)
    else:  # a dot, a dash, a cross
        wide, high = w * rng.uniform(0.15, 0.5), h * rng.uniform(0.05, 0.3)
        colour = _colour(rng)
        a, b = (round(x - wide / 2), round(y)), (round(x + wide / 2), round(y))
        cv2.line(canvas, a, b, colour, max(1, round(0.06 * h)), cv2.LINE_AA)
        if rng.random() < 0.5:
            a, b = (round(x), round(y - high)), (round(x), round(y + high))
            cv2.line(canvas, a, b, colour, max(1, round(0.06 * h)), cv2.LINE_AA)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    low, high = _LIGHT if rng.random() < 0.4 else _DEEP
    blue, green, red = (int(v) for v in rng.integers(low, high, 3))
    if rng.random() < 0.5:  # a strong one: red, blue, green, gold
        strong = [blue, green, red]
        strong[int(rng.integers(3))] = int(rng.integers(180, 256))
        blue, green, red = strong
    return blue, green, red


def _round(
    canvas: Picture,
    centre: tuple[float, float],
    radii: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    place = round(centre[0]), round(centre[1])
    for part in (1.0, rng.uniform(0.6, 0.9), rng.uniform(0.15, 0.5)):
        size = max(1, round(radii[0] * part)), max(1, round(radii[1] * part))
        cv2.ellipse(canvas, place, size, 0, 0, 360, _colour(rng), -1, cv2.LINE_AA)


def _arms(
    canvas: Picture,
    centre: tuple[float, float],
    size: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """A shield with what heralds put on it."""
    (x, y), (w, h) = centre, size
    down = np.linspace(0, np.pi, 9)
    low = np.stack((x + w / 2 * np.cos(down), y + h * (0.1 + 0.4 * np.sin(down))), 1)
    _filled(canvas, np.vstack((((x - w / 2, y - h / 2), (x + w / 2, y - h / 2)), low)), rng)
    colour, pen = _colour(rng), max(1, round(0.12 * w))
    upper, lower = (round(x), round(y - 0.35 * h)), (round(x), round(y + 0.3 * h))
    if rng.random() < 0.7:
        cv2.line(canvas, upper, lower, colour, pen, cv2.LINE_AA)
    for part in rng.uniform(-0.3, 0.2, int(rng.integers(0, 3))):
        reach = 0.3 * w
        a, b = (round(x - reach), round(y + part * h)), (round(x + reach), round(y + part * h))
        cv2.line(canvas, a, b, colour, pen, cv2.LINE_AA)
    if rng.random() < 0.3:  # a crown
        _round(canvas, (x, y - 0.55 * h), (0.3 * w, 0.1 * h), rng)


def _filled(canvas: Picture, points: np.ndarray, rng: np.random.Generator) -> None:
    shape = [np.round(points * 16).astype(np.int32)]
    cv2.fillPoly(canvas, shape, _colour(rng), cv2.LINE_AA, shift=4)
    if rng.random() < 0.6:
        cv2.polylines(canvas, shape, True, _colour(rng), 1, cv2.LINE_AA, shift=4)
