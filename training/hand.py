"""How a plate's signs were made: how thick, narrow and apart, pressed into the metal, worn.

A country has several makers, and a reader that has seen one face exactly hangs on it.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from training.degrade import Picture


@dataclass(frozen=True, slots=True)
class Hand:
    """What is changed of a layout's own signs; as it stands, nothing.

    ``tall``, ``narrow``, ``gap``, ``blank`` and ``rim`` multiply the signs' height and width, the
    room between two, a blank's and the thickness of the plate's rim. ``aside`` shifts the line in
    the room that is left, -1 to 1, and ``beside`` puts an emblem before (-1) or behind it (1) if
    there is room. ``level`` (0.2 to 0.8, thick to thin) and ``soft`` (of the
    signs' height) say how thick strokes and how round their corners are; ``lean`` is a slant,
    ``warp`` (of the height) how far signs are bent. ``relief`` (0 to 1) is how much light from
    ``light`` (radians) shows that they are pressed; ``worn`` the share of paint that is gone.
    """

    tall: float = 1.0
    narrow: float = 1.0
    gap: float = 1.0
    blank: float = 1.0
    rim: float = 1.0
    aside: float = 0.0
    beside: int = 0
    level: float = 0.5
    soft: float = 0.0
    lean: float = 0.0
    warp: float = 0.0
    relief: float = 0.0
    light: float = 0.0
    worn: float = 0.0

    def ink(
        self,
        canvas: Picture,
        cover: np.ndarray,
        colour: tuple[int, int, int],
        height: float,
        rng: np.random.Generator,
    ) -> None:
        """Put signs of ``height`` pixels, drawn in ``cover`` (255 where they are), on a plate."""
        part = _around(cover, round(0.15 * height))
        canvas, cover = canvas[part], cover[part]
        alpha = self._shaped(cover, height, rng)
        if self.worn:
            grain = rng.uniform(0, 1, (8, 24)).astype(np.float32)
            grain = cv2.resize(grain, (cover.shape[1], cover.shape[0]))
            alpha = alpha * (1 - self.worn * np.clip(3 * grain - 1.5, 0, 1))
        ground = canvas.astype(np.float32)
        lit = ground + alpha[..., None] * (np.array(colour, np.float32) - ground)
        if self.relief:
            across = 0.025 * height * math.cos(self.light), 0.025 * height * math.sin(self.light)
            edge = cv2.GaussianBlur(alpha, (0, 0), max(0.6, 0.015 * height))
            lit += 110 * self.relief * (_moved(edge, across) - edge)[..., None]
        canvas[:] = np.clip(lit, 0, 255)

    def _shaped(self, cover: np.ndarray, height: float, rng: np.random.Generator) -> np.ndarray:
        high, wide = cover.shape
        found = cover.astype(np.float32) / 255
        if self.warp or self.lean:
            bent = rng.normal(0, self.warp * height, (5, 14, 2)).astype(np.float32)
            place = cv2.resize(bent, (wide, high), interpolation=cv2.INTER_CUBIC)
            down = np.arange(high, dtype=np.float32)[:, None]
            place[..., 0] += np.arange(wide, dtype=np.float32) + self.lean * (down - high / 2)
            place[..., 1] += down
            found = cv2.remap(found, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        sigma = self.soft * height
        if sigma > 0.3:  # what is left of a blurred edge is steep again, and elsewhere
            blurred = cv2.GaussianBlur(found, (0, 0), sigma)
            found = np.clip(0.5 + (blurred - self.level) * max(1.0, 1.7 * sigma), 0, 1)
        return found


PLAIN = Hand()


def by_chance(rng: np.random.Generator) -> Hand:
    """A hand among all that there may be."""
    pressed = rng.random() < 0.5
    bent = rng.random() < 0.5
    return Hand(
        tall=rng.uniform(0.85, 1.12),
        narrow=math.exp(rng.normal(-0.06, 0.14)),
        gap=math.exp(rng.normal(0.1, 0.45)),
        blank=math.exp(rng.normal(0.1, 0.5)),
        rim=float(rng.choice((0.0, 0.5, 1.0, 1.6))),
        aside=rng.uniform(-1, 1) if rng.random() < 0.5 else 0.0,
        beside=int(rng.choice((-1, 0, 0, 0, 0, 1))),
        level=rng.uniform(0.25, 0.72),
        soft=rng.uniform(0.005, 0.045),
        lean=rng.normal(0, 0.03),
        warp=rng.uniform(0, 0.02) if bent else 0.0,
        relief=rng.uniform(0.1, 1.0) if pressed else 0.0,
        light=rng.uniform(0, 2 * math.pi),
        worn=rng.uniform(0, 0.8) if rng.random() < 0.15 else 0.0,
    )


def _around(cover: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Where anything is in a mask, and a margin around it."""
    left, top, wide, high = cv2.boundingRect(cover)
    rows = slice(max(0, top - margin), top + high + margin)
    return rows, slice(max(0, left - margin), left + wide + margin)


def _moved(picture: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    shift = np.array(((1, 0, by[0]), (0, 1, by[1])), np.float32)
    return cv2.warpAffine(picture, shift, (picture.shape[1], picture.shape[0]))
