"""Number plates of several countries, drawn from their layouts with a text by chance or by hand."""

import random
import string
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training import emblems, glyphs
from training.faces import Face
from training.hand import PLAIN, Hand
from training.layouts import LAYOUTS, WHITE, Colour, Layout

_SEAL_GAP = 9.0  # the gap that holds a seal, in cell units
STACK = "^"
"""In a line: the next two signs stand one upon the other, half as high."""
_COVERED: Colour = (255, 255, 255)
_STACKED = 0.46  # of a line's height, that each of two such signs has


@dataclass(frozen=True, slots=True)
class Plate:
    """A text on a layout; its lines hold the gaps and marks that are printed."""

    layout: Layout
    lines: tuple[str, ...]

    @property
    def normalized(self) -> str:
        """Letters and digits alone, as a sighting names the plate."""
        return "".join(c for line in self.lines for c in line if c.isalnum())


def make(layout: str, *lines: str) -> Plate:
    """A plate with a given text; raises ValueError if the layout does not allow it."""
    found = _layout(layout)
    if not found.matches(lines):
        raise ValueError(
            f"{' / '.join(lines)!r} does not fit the layout {layout!r}: it allows {found.patterns}"
        )
    return Plate(found, lines)


def chance(layout: str | Layout, rng: random.Random) -> Plate:
    """A plate of this layout with a text drawn from `rng`."""
    found = _layout(layout) if isinstance(layout, str) else layout
    pattern = rng.choice(found.patterns)
    return Plate(found, tuple(_fill(found, line, rng) for line in pattern))


def successor(plate: Plate) -> Plate:
    """The plate a fleet would get next: the last run of digits plus one, 9 going over to 0."""
    *head, line = plate.lines
    digits = "".join(c for c in line if c.isdigit())
    if not digits:
        raise ValueError(f"{line!r} has no digits to count on from")
    following = iter(f"{(int(digits) + 1) % 10 ** len(digits):0{len(digits)}d}")
    return Plate(
        plate.layout, (*head, "".join(next(following) if c.isdigit() else c for c in line))
    )


def picture(
    plate: Plate,
    width: int = 1040,
    face: Face = glyphs,
    hand: Hand = PLAIN,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """The plate from straight ahead in even light, BGR uint8, `width` pixels wide.

    Another ``hand`` than the plain one makes its signs otherwise, what is chance in it by ``rng``.
    """
    layout = plate.layout
    scale = 2 * width / layout.size[0]  # drawn twice as large, then averaged
    w, h = (round(side * scale) for side in layout.size)
    canvas = np.empty((h, w, 3), np.uint8)
    canvas[:] = layout.ground
    area = _draw_bands(canvas, layout, scale)
    for caption in layout.captions:
        size = caption.height * scale
        small_print(canvas, caption.text, (w / 2, h * caption.middle), size, caption.colour)
    if hand == PLAIN:
        _draw_lines(canvas, canvas, plate, area, scale, face=face)
    else:
        cover = np.zeros_like(canvas)
        rng = rng or np.random.default_rng(0)
        _draw_lines(canvas, cover, plate, area, scale, face=face, hand=hand, rng=rng)
        height = layout.character * hand.tall * scale
        hand.ink(canvas, cover[..., 0], layout.ink, height, rng)
    if hand.rim:
        _rim(canvas, round(3 * scale * hand.rim), layout.ink)
    high = round(width * layout.size[1] / layout.size[0])
    return cv2.resize(canvas, (width, high), interpolation=cv2.INTER_AREA)


def small_print(
    canvas: np.ndarray, text: str, centre: tuple[float, float], height: float, colour: Colour
) -> None:
    """Write text in Pillow's own face (Aileron, CC0), centred, `height` pixels of capitals."""
    font = _font(max(6, round(height * 1.4)))
    left, top, right, bottom = font.getbbox(text)
    mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(mask).text((2 - left, 2 - top), text, fill=255, font=font)
    alpha = np.asarray(mask, np.float32)[..., None] / 255
    x, y = round(centre[0] - alpha.shape[1] / 2), round(centre[1] - alpha.shape[0] / 2)
    x0, y0 = max(x, 0), max(y, 0)
    x1 = min(x + alpha.shape[1], canvas.shape[1])
    y1 = min(y + alpha.shape[0], canvas.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    alpha = alpha[y0 - y : y1 - y, x0 - x : x1 - x]
    patch = canvas[y0:y1, x0:x1]
    patch[:] = patch * (1 - alpha) + np.array(colour, np.float32) * alpha


def _layout(name: str) -> Layout:
    try:
        return LAYOUTS[name]
    except KeyError:
        raise ValueError(f"no layout {name!r}: there are {', '.join(LAYOUTS)}") from None


def _fill(layout: Layout, pattern: str, rng: random.Random) -> str:
    kinds = {"A": layout.letters, "9": string.digits}
    text = "".join(rng.choice(kinds[p]) if p in kinds else p for p in pattern)
    return text.replace("#", rng.choice(layout.heads)) if "#" in text else text


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow has no FreeType: install Pillow from its wheel")
    return font


def _draw_bands(
    canvas: np.ndarray, layout: Layout, scale: float
) -> tuple[float, float, float, float]:
    """Draw the edge strips; what is left for the text as left, top, right, bottom in pixels."""
    h, w = canvas.shape[:2]
    left, top, right, bottom = 0.0, 0.0, float(w), float(h)
    for band in layout.bands:
        size = band.width * scale
        if band.side == "top":
            canvas[: round(size)] = band.colour
            small_print(canvas, band.text, (w / 2, size * 0.55), size * 0.5, WHITE)
            top += size
            continue
        x0, x1 = (0, size) if band.side == "left" else (w - size, w)
        canvas[:, round(x0) : round(x1)] = band.colour
        middle = (x0 + x1) / 2
        if band.stars:
            for k in range(12):
                angle = k * np.pi / 6
                x = middle + 12 * scale * np.sin(angle)
                y = h * 0.34 + 12 * scale * np.cos(angle)
                cv2.circle(
                    canvas, (round(x), round(y)), round(1.9 * scale), (0, 204, 255), -1, cv2.LINE_AA
                )
        if band.text:
            small_print(canvas, band.text, (middle, h * 0.77), 19 * scale, WHITE)
        if band.side == "left":
            left += size
        else:
            right -= size
    return left, top, right, bottom


def _draw_lines(
    canvas: np.ndarray,
    signs: np.ndarray,
    plate: Plate,
    area: tuple[float, float, float, float],
    scale: float,
    *,
    face: Face,
    hand: Hand = PLAIN,
    rng: np.random.Generator | None = None,
) -> None:
    """Seals go on ``canvas``, the signs on ``signs``: in ink if both are one, else white.

    With chance there are seals of all kinds, and beside the signs too.
    """
    layout = plate.layout
    ink = layout.ink if signs is canvas else _COVERED
    left, top, right, bottom = area
    pitch = (bottom - top) / len(plate.lines)
    for row, line in enumerate(plate.lines):
        character = layout.character * hand.tall
        pen = character * layout.pen * scale
        unit = (character * scale - pen) / glyphs.CELL_HEIGHT
        gap = character * 0.115 * scale * hand.gap + pen
        room = right - left - 22 * scale
        cells = _cells(line)
        widths = _widths(cells, layout.seal, face, hand)
        natural = sum(widths) * unit + gap * (len(cells) - 1) + pen
        squeeze = min(1.0, (room - pen) / (natural - pen))
        x = (left + right) / 2 - ((natural - pen) * squeeze) / 2
        x += hand.aside * max(0.0, room - natural) / 2
        y = top + pitch * (row + 0.5) - unit * glyphs.CELL_HEIGHT / 2 + layout.shift * scale
        if len(plate.lines) == 2:  # the lines of a two-line plate stand close in the middle
            y += (0.035 if row == 0 else -0.035) * pitch
        high, wide = character * scale, _SEAL_GAP * unit
        if rng is not None and hand.beside and room - natural > 1.5 * wide:
            end = x - 0.75 * wide if hand.beside < 0 else x + natural + 0.75 * wide
            emblems.draw(canvas, (end, y + high / 2), (wide, high * rng.uniform(0.5, 1)), rng)
        for cell, width in zip(cells, widths, strict=True):
            if cell == " " and width == _SEAL_GAP:
                middle = x + width * unit * squeeze / 2
                if rng is None:
                    _seal(canvas, middle, (top + bottom) / 2, scale)
                else:
                    size = width * unit * squeeze, high * rng.uniform(0.7, 1)
                    emblems.draw(canvas, (middle, y + high / 2), size, rng)
            part = 1.0 if len(cell) == 1 else _STACKED
            below = unit * glyphs.CELL_HEIGHT * (1 - _STACKED)
            for number, sign in enumerate(cell):
                face.draw(
                    signs,
                    sign,
                    origin=(x, y + number * below),
                    scale=(unit * squeeze * hand.narrow * max(part, 0.6), unit * part),
                    pen=pen * max(part, 0.6),
                    colour=ink,
                )
            x += (width * unit + gap) * squeeze


def _cells(line: str) -> list[str]:
    """The signs of a line, those that stand one upon the other together."""
    cells: list[str] = []
    rest = line
    while rest:
        size = 3 if rest[0] == STACK and len(rest) > 2 else 1
        cells.append(rest[:size].removeprefix(STACK))
        rest = rest[size:]
    return [cell for cell in cells if cell]


def _widths(cells: list[str], seal: bool, face: Face, hand: Hand) -> list[float]:
    """The cells' widths in their units; a seal widens the first gap."""
    widths = [
        max(face.width(sign) for sign in cell)
        * (1.0 if len(cell) == 1 else 0.6)
        * (hand.blank if cell == " " else hand.narrow)
        for cell in cells
    ]
    if seal and " " in cells:
        widths[cells.index(" ")] = _SEAL_GAP
    return widths


def _seal(canvas: np.ndarray, x: float, middle: float, scale: float) -> None:
    for offset, radius, colour in ((-20, 11, (196, 206, 200)), (17, 12, (212, 214, 214))):
        centre = (round(x), round(middle + offset * scale))
        cv2.circle(canvas, centre, round(radius * scale), colour, -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, round(radius * 0.5 * scale), (180, 190, 206), -1, cv2.LINE_AA)


def _rim(canvas: np.ndarray, rim: int, ink: Colour) -> None:
    h, w = canvas.shape[:2]
    inset = rim // 2 + 1
    cv2.rectangle(canvas, (inset, inset), (w - 1 - inset, h - 1 - inset), ink, rim)
