"""The characters of a number plate as centre lines, drawn with a pen of any width.

Plate faces (DIN 1451, Charles Wright, the Vietnamese and Mercosur faces) are of one stroke width,
so a glyph is a few lines and arcs; drawn for this project, no font file is needed.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

# x in 0..10 and y in 0..20, y down: the pen's centre. A pair is a point; six numbers are an arc of
# an ellipse (cx, cy, rx, ry, from, to) in degrees, clockwise on the picture from the right.
CELL_HEIGHT = 20.0
Element = tuple[float, ...]
Path = Sequence[Element]

GLYPHS: dict[str, tuple[Path, ...]] = {
    "0": (((5, 5, 4.6, 5, 180, 360), (5, 15, 4.6, 5, 0, 180), (0.4, 5)),),
    "1": (((1.6, 4.6), (6, 0), (6, 20)),),
    "2": (((5, 5.2, 4.8, 5.2, 190, 388), (0.2, 20), (10, 20)),),
    "3": (((4.8, 4.8, 4.5, 4.8, 200, 450), (4.8, 14.8, 5.1, 5.2, 270, 520)),),
    "4": (((5.6, 0), (0, 14.6), (10, 14.6)), ((7.4, 9), (7.4, 20))),
    "5": (((9.2, 0), (1.4, 0), (0.9, 9.8), (4.9, 13.8, 5.1, 6.2, 220, 515)),),
    "6": (((7.2, 0), (0.5, 12.4), (5, 14.7, 5, 5.3, 205, 565)),),
    "7": (((0, 0), (10, 0), (3.6, 20)),),
    "8": (((5, 4.7, 4.3, 4.7, 0, 360),), ((5, 14.7, 5, 5.3, 0, 360),)),
    "9": (((2.8, 20), (9.5, 7.6), (5, 5.3, 5, 5.3, 25, 385)),),
    "A": (((0, 20), (5.2, 0), (10.4, 20)), ((1.9, 13.8), (8.5, 13.8))),
    "B": (
        ((0, 9.6), (5, 9.6), (5, 4.8, 4.4, 4.8, 90, -90), (0, 0), (0, 20), (4.8, 20)),
        ((4.8, 20), (4.8, 14.8, 5.2, 5.2, 90, -90)),
    ),
    "C": (((5.2, 5.6, 5.2, 5.6, -25, -180), (5.2, 14.4, 5.2, 5.6, 180, 25)),),
    "D": (
        ((4.4, 0), (4.4, 5.8, 5.8, 5.8, -90, 0), (4.4, 14.2, 5.8, 5.8, 0, 90)),
        ((4.4, 0), (0, 0), (0, 20), (4.4, 20)),
    ),
    "E": (((9, 0), (0, 0), (0, 20), (9.2, 20)), ((0, 9.6), (7.6, 9.6))),
    "F": (((9, 0), (0, 0), (0, 20)), ((0, 9.8), (7.6, 9.8))),
    "G": (((5.2, 5.6, 5.2, 5.6, -25, -180), (5.2, 14.4, 5.2, 5.6, 180, 0), (10.4, 11), (6, 11)),),
    "H": (((0, 0), (0, 20)), ((10, 0), (10, 20)), ((0, 9.8), (10, 9.8))),
    "I": (((5, 0), (5, 20)),),
    "J": (((8.4, 0), (8.4, 15), (4.4, 15.2, 4, 4.8, 0, 165)),),
    "K": (((0, 0), (0, 20)), ((9.4, 0), (0.4, 12)), ((3.6, 8.2), (10, 20))),
    "L": (((0, 0), (0, 20), (9, 20)),),
    "M": (((0, 20), (0, 0), (5.8, 12.5), (11.6, 0), (11.6, 20)),),
    "N": (((0, 20), (0, 0), (10, 20), (10, 0)),),
    "O": (((5.8, 6, 5.8, 6, 180, 360), (5.8, 14, 5.8, 6, 0, 180), (0, 6)),),
    "P": (((0, 20), (0, 0), (4.8, 0), (4.8, 5.4, 5, 5.4, -90, 90), (0, 10.8)),),
    "Q": (
        ((5.8, 6, 5.8, 6, 180, 360), (5.8, 14, 5.8, 6, 0, 180), (0, 6)),
        ((6.4, 14.6), (11.6, 20.8)),
    ),
    "R": (
        ((0, 20), (0, 0), (4.8, 0), (4.8, 5.2, 5, 5.2, -90, 90), (0, 10.4)),
        ((4.6, 10.4), (10, 20)),
    ),
    "S": (((5, 4.9, 4.7, 4.9, -20, -240), (5, 15, 5, 5, -68, 160)),),
    "T": (((0, 0), (10, 0)), ((5, 0), (5, 20))),
    "U": (((0, 0), (0, 14.6), (5, 15, 5, 5, 180, 0), (10, 0)),),
    "V": (((0, 0), (5.2, 20), (10.4, 0)),),
    "W": (((0, 0), (3.4, 20), (7, 4), (10.6, 20), (14, 0)),),
    "X": (((0, 0), (10, 20)), ((10, 0), (0, 20))),
    "Y": (((0, 0), (5.1, 10.4), (10.2, 0)), ((5.1, 10.4), (5.1, 20))),
    "Z": (((0.4, 0), (10, 0), (0, 20), (10.2, 20)),),
    "-": (((0, 10.4), (4, 10.4)),),
    ".": (((0.6, 17.6), (0.6, 17.7)),),
}
SPACE = 5.0  # the width of a gap between groups, in cell units


def width(character: str) -> float:
    """The width of one character's centre lines in cell units (20 high)."""
    if character == " ":
        return SPACE
    points = [point for path in _glyph(character) for point in _flatten(path)]
    return max(x for x, _ in points)


def draw(
    picture: np.ndarray,
    character: str,
    *,
    origin: tuple[float, float],
    scale: tuple[float, float],
    pen: float,
    colour: tuple[int, int, int],
) -> None:
    """Draw one character into a BGR picture, in place.

    `origin` is the pixel of the cell's (0, 0), `scale` pixels by cell unit in x and y, `pen` the
    stroke's width in pixels. A space draws nothing.
    """
    if character == " ":
        return
    for path in _glyph(character):
        line = np.array(_flatten(path)) * scale + origin
        # four fractional bits: OpenCV then places the pen to 1/16 pixel
        fixed = np.round(line * 16).astype(np.int32)
        thickness = max(1, round(pen))
        cv2.polylines(picture, [fixed], False, colour, thickness, cv2.LINE_AA, shift=4)


def _glyph(character: str) -> tuple[Path, ...]:
    try:
        return GLYPHS[character]
    except KeyError:
        known = "".join(GLYPHS)
        raise ValueError(f"no glyph for {character!r}: plates are drawn from {known}") from None


def _flatten(path: Path) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for element in path:
        if len(element) == 2:
            points.append((element[0], element[1]))
            continue
        cx, cy, rx, ry, start, stop = element
        steps = max(2, round(abs(stop - start) / 8))
        for step in range(steps + 1):
            angle = math.radians(start + (stop - start) * step / steps)
            points.append((cx + rx * math.cos(angle), cy + ry * math.sin(angle)))
    return points
