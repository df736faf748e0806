"""Frames of real roads with boxes of plates, and other countries' plates put in their place."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from training import plates, scenes
from training.degrade import Picture
from training.layouts import anywhere

HELD_OUT = 43
"""Of a folder's frames, by name, the first so many are never learned from."""


@dataclass(frozen=True, slots=True)
class RoadFrame:
    """``image`` (height, width, 3) BGR uint8; ``boxes`` (plates, 4) x, y, width, height."""

    image: Picture
    boxes: np.ndarray


class RoadData(ValueError):
    """A folder of frames cannot be used; says which file, why, and what to do."""


def load(folder: Path) -> list[RoadFrame]:
    """The frames of a folder by name: NAME.jpg, and NAME.txt with tab-separated lines
    `file, x, y, width, height` in pixels. Raises RoadData.
    """
    found: list[RoadFrame] = []
    for truth in sorted(folder.glob("*.txt")):
        image = cv2.imread(str(truth.with_suffix(".jpg")))
        if image is None:
            raise RoadData(f"{truth}: no picture {truth.stem}.jpg that can be read beside it")
        boxes: list[list[float]] = []
        lines = truth.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                _, x, y, w, h = line.split("\t")[:5]
                boxes.append([float(x), float(y), float(w), float(h)])
                if not np.isfinite(boxes[-1]).all() or min(boxes[-1][2:]) <= 0:
                    raise ValueError("an empty box, or one without an end")
            except ValueError as error:
                told = "file, x, y, width, height, tab-separated and above 0, are wanted"
                raise RoadData(f"{truth}, line {number}: {told}") from error
        found.append(RoadFrame(image, np.array(boxes, np.float32).reshape(-1, 4)))
    if not found:
        raise RoadData(f"{folder}: no NAME.txt beside NAME.jpg in it; name a folder of frames")
    return found


def to_learn_from(folder: Path) -> list[RoadFrame]:
    """The frames of a folder less those held out; raises RoadData."""
    frames = load(folder)
    if len(frames) <= HELD_OUT:
        told = f"the first {HELD_OUT} are for measuring; give more, or leave --road out"
        raise RoadData(f"{folder}: has {len(frames)} frames, and {told}")
    return frames[HELD_OUT:]


def quads(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) as corners (n, 4, 2), from the upper left clockwise."""
    x, y, w, h = np.asarray(boxes, np.float32).reshape(-1, 4).T
    corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    return np.stack([np.stack(corner, 1) for corner in corners], 1)


def without_plates(frames: Sequence[RoadFrame]) -> list[Picture]:
    """The frames with their plates painted over by what is around them: to put vehicles into."""
    cleaned: list[Picture] = []
    for frame in frames:
        image = frame.image.copy()
        for x, y, w, h in frame.boxes:
            left, top = max(0, int(x - 0.3 * w)), max(0, int(y - h))
            part = image[top : int(y + 2 * h), left : int(x + 1.3 * w)]
            mask = np.zeros(part.shape[:2], np.uint8)
            inset = 0.1 * w, 0.3 * h
            corner = int(x - left - inset[0]), int(y - top - inset[1])
            other = int(x + w - left + inset[0]), int(y + h - top + inset[1])
            cv2.rectangle(mask, corner, other, 255, -1)
            part[:] = cv2.inpaint(part, mask, 3, cv2.INPAINT_TELEA)
        cleaned.append(image)
    return cleaned


def exchanged(
    picture: Picture, quad: np.ndarray, rng: np.random.Generator, chance: random.Random
) -> np.ndarray:
    """Draw a plate of any country over one in a picture, in place; its corners (4, 2).

    ``quad`` is the upright box of the plate that is there. The drawn one has its light and
    about its sharpness, and is as wide, but has its own country's shape.
    """
    (x, y), (right, bottom) = quad[0], quad[2]
    wide, high = float(right - x), float(bottom - y)
    plate = plates.chance(anywhere(chance), chance)
    shape = plate.layout.size[0] / plate.layout.size[1]
    aside = min(1.0, wide / high / 4.5)  # how far the vehicle is turned away
    new_wide = wide * rng.uniform(1.02, 1.1)
    new_high = max(high * 1.04, new_wide / (shape * max(aside, 0.6)) * rng.uniform(0.95, 1.1))
    slant = rng.normal(0, 0.05 if rng.random() < 0.8 else 0.15) * wide * (1.3 - aside)
    middle = np.array((x + wide / 2, y + high / 2))
    corners = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1))) * (new_wide / 2, new_high / 2)
    corners[:, 1] += np.array((-0.5, 0.5, 0.5, -0.5)) * slant
    corners += middle
    drawn = scenes.worn(plates.picture(plate, max(24, round(new_wide * 1.5))), rng)
    there = picture[max(0, int(y)) : int(bottom) + 1, max(0, int(x)) : int(right) + 1]
    rims = _rims(rng, drawn.shape[0]) if rng.random() < 0.4 else (0, 0, 0, 0)
    colour = tuple(int(v) for v in rng.uniform(0, 255, 3) * rng.uniform(0, 1))
    outer = _widened(corners, drawn.shape[:2], rims)
    drawn = cv2.copyMakeBorder(drawn, *rims, cv2.BORDER_CONSTANT, value=colour)
    drawn = _lit_as(drawn.astype(np.float32), there)
    drawn = cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.5, 2.0))
    _paste(picture, drawn, outer.astype(np.float32))
    return corners.astype(np.float32)


def _rims(rng: np.random.Generator, high: int) -> tuple[int, int, int, int]:
    """A dealer's frame around a plate ``high`` pixels high: above, below, left and right of it."""
    rim = max(1, round(high * rng.uniform(0.02, 0.1)))
    return round(rim * rng.uniform(1, 2)), round(rim * rng.uniform(1, 3)), rim, rim


def _widened(
    corners: np.ndarray, shape: tuple[int, int], rims: tuple[int, int, int, int]
) -> np.ndarray:
    """Where the corners of a plate with a frame come, if the plate's own come to ``corners``."""
    (h, w), (above, below, left, right) = shape, rims
    flat = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
    wider = flat + np.array(((-left, -above), (right, -above), (right, below), (-left, below)))
    turn = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    return cv2.perspectiveTransform(wider[None].astype(np.float32), turn)[0]


def _lit_as(drawn: np.ndarray, there: Picture) -> np.ndarray:
    """A drawn plate in the light of the one that is there, as if both were as white."""
    if not there.size:
        return drawn
    white = np.percentile(there.reshape(-1, 3), 80, axis=0) + 4
    black = np.percentile(there.reshape(-1, 3), 5, axis=0) * 0.8
    return np.clip(black + drawn / 250 * (white - black), 0, 255)


def _paste(picture: Picture, drawn: np.ndarray, corners: np.ndarray) -> None:
    h, w = drawn.shape[:2]
    flat = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
    left, top = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, picture.shape[1::-1])
    if right - left < 2 or bottom - top < 2:
        return
    turn = cv2.getPerspectiveTransform(flat, corners - np.array((left, top), np.float32))
    size = int(right - left), int(bottom - top)
    seen = cv2.warpPerspective(drawn, turn, size, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.ones((h, w), np.float32), turn, size, flags=cv2.INTER_LINEAR)
    part = picture[top:bottom, left:right]
    part[:] = (part * (1 - mask[..., None]) + seen * mask[..., None]).astype(np.uint8)
