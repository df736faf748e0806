"""What plates are lettered with: strokes drawn by this project, and free fonts of packages.

The fonts are those of the extra `training`, under the SIL Open Font Licence or the Apache
licence; without them there are strokes alone.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training import glyphs

_PACKAGES = {
    "font_roboto": ("Roboto-Bold", "Roboto-Medium", "Roboto-Black"),
    "font_lato": ("Lato-Bold", "Lato-Black"),
    "font_source_sans_pro": ("SourceSansPro-Bold", "SourceSansPro-Semibold"),
    "font_fjallaone": ("FjallaOne-Regular",),
    "font_manrope": ("Manrope-Bold", "Manrope-ExtraBold"),
    "font_rhd": ("RedHatDisplay-Bold", "RedHatDisplay-Black"),
    "font_hanken_grotesk": ("HankenGrotesk-Bold",),
    "matplotlib": ("DejaVuSans-Bold", "DejaVuSansMono-Bold"),
}
_DRAWN = 96  # pixels of capitals' height at which an outline is kept


class Face(Protocol):
    """Characters in cells 20 units high, as `training.glyphs` draws them."""

    def width(self, character: str) -> float:
        """Of a character, in units."""
        ...

    def draw(
        self,
        picture: np.ndarray,
        character: str,
        *,
        origin: tuple[float, float],
        scale: tuple[float, float],
        pen: float,
        colour: tuple[int, int, int],
    ) -> None:
        """Draw one character into a BGR picture; see `training.glyphs.draw`."""
        ...


@dataclass(frozen=True, slots=True)
class Outlines:
    """The capitals and digits of a font file. Its strokes are as wide as they are."""

    path: Path

    def width(self, character: str) -> float:
        """See Face."""
        if character == " ":
            return glyphs.SPACE
        return glyphs.CELL_HEIGHT * _outline(self.path, character)[0].shape[1] / _DRAWN

    def draw(
        self,
        picture: np.ndarray,
        character: str,
        *,
        origin: tuple[float, float],
        scale: tuple[float, float],
        pen: float,
        colour: tuple[int, int, int],
    ) -> None:
        """See Face; ``pen`` only makes it higher, as it does with strokes."""
        if character == " ":
            return
        mask, top = _outline(self.path, character)
        factor = (glyphs.CELL_HEIGHT * scale[1] + pen) / _DRAWN
        wide = max(1, round(mask.shape[1] * factor * scale[0] / scale[1]))
        high = max(1, round(mask.shape[0] * factor))
        x, y = round(origin[0]), round(origin[1] - pen / 2 + top * factor)
        alpha = cv2.resize(mask, (wide, high), interpolation=cv2.INTER_AREA)[..., None]
        part = picture[max(0, y) : y + high, max(0, x) : x + wide]
        alpha = alpha[max(0, -y) : max(0, -y) + part.shape[0], max(0, -x) :][:, : part.shape[1]]
        part[:] = part * (1 - alpha) + np.array(colour, np.float32) * alpha


@cache
def faces() -> tuple[Face, ...]:
    """The strokes first, then the fonts that are installed, always in one order."""
    found: list[Face] = [glyphs]
    for package, names in _PACKAGES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        files = {file.stem: file for file in sorted(Path(spec.origin).parent.rglob("*.[ot]tf"))}
        found += [Outlines(files[name]) for name in names if name in files]
    return tuple(found)


@cache
def _outline(path: Path, character: str) -> tuple[np.ndarray, int]:
    """A character's coverage 0 to 1, and how far below the capitals' top it begins, in pixels."""
    probe = ImageFont.truetype(str(path), 1000)
    top, bottom = probe.getbbox("H", anchor="ls")[1::2]
    font = ImageFont.truetype(str(path), round(1000 * _DRAWN / (bottom - top)))
    left, above, right, below = (round(v) for v in font.getbbox(character, anchor="ls"))
    image = Image.new("L", (max(1, right - left), max(1, below - above)))
    ImageDraw.Draw(image).text((-left, -above), character, fill=255, font=font, anchor="ls")
    return np.asarray(image, np.float32) / 255, above + _DRAWN
