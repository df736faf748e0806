"""Boxes and quadrilaterals in a picture: what both mean, and how one becomes a straight crop."""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

Region: TypeAlias = tuple[int, int, int, int]
"""A part of a picture in pixels: left, top, right, bottom; right and bottom are outside it."""

Quad: TypeAlias = np.ndarray
"""Corners of shape (4, 2), float32 pixels: upper left, upper right, lower right, lower left."""


def rotated_quad(
    centre: Sequence[float], size: Sequence[float], angle: float, clockwise_limit: float = 45.0
) -> Quad:
    """The corners of OpenCV's rotated rectangle, beginning where its text begins.

    Text is taken to run within ``clockwise_limit`` degrees of the horizontal.
    """
    corners = cv2.boxPoints((tuple(centre), tuple(size), angle)).astype(np.float32)
    return ordered(corners)


def ordered(corners: np.ndarray) -> Quad:
    """Four corners in any order as a Quad: the two leftmost are the left side."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def size_of(quad: Quad) -> tuple[float, float]:
    """Mean width and height of a quad in pixels."""
    width = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    height = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    return float(width), float(height)


def box_of(quad: Quad) -> np.ndarray:
    """The upright box around a quad: left, top, right, bottom as float64."""
    return np.concatenate([quad.min(axis=0), quad.max(axis=0)]).astype(np.float64)


def enclosing(quads: Sequence[Quad]) -> Quad:
    """The smallest rotated rectangle around several quads."""
    return rotated_quad(*cv2.minAreaRect(np.concatenate(list(quads)).astype(np.float32)))


def rectified(image: np.ndarray, quad: Quad, margin: float = 0.0) -> np.ndarray:
    """The part of a picture inside a quad, straightened, each side ``margin`` heights further out.

    What lies outside the picture repeats its border.
    """
    turn, size = straightening(quad, margin)
    return cv2.warpPerspective(
        image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def straightening(quad: Quad, margin: float = 0.0) -> tuple[np.ndarray, tuple[int, int]]:
    """The transform (3, 3) of ``rectified``, and the width and height of what it gives."""
    width, height = size_of(quad)
    wide, high = max(2, round(width)), max(2, round(height))
    pad = margin * height
    to = np.array(
        [[pad, pad], [pad + wide, pad], [pad + wide, pad + high], [pad, pad + high]], np.float32
    )
    size = (max(2, round(wide + 2 * pad)), max(2, round(high + 2 * pad)))
    return cv2.getPerspectiveTransform(quad.astype(np.float32), to), size


def clipped(box: Sequence[float] | np.ndarray, width: int, height: int) -> Region:
    """A box rounded outwards to whole pixels and cut at the picture's borders."""
    left, top, right, bottom = box
    return (
        max(0, int(np.floor(left))),
        max(0, int(np.floor(top))),
        min(width, int(np.ceil(right))),
        min(height, int(np.ceil(bottom))),
    )


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of shape (n, 4) with every one of (m, 4): (n, m)."""
    lower = np.maximum(first[:, None, :2], second[None, :, :2])
    upper = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(upper - lower, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return common / np.maximum(areas[0][:, None] + areas[1][None, :] - common, 1e-9)


def share(first: np.ndarray, second: np.ndarray) -> float:
    """How much of the smaller of two boxes lies in the other, 0 to 1."""
    common = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    smaller = min(float(np.prod(box[2:] - box[:2])) for box in (first, second))
    return float(np.prod(np.clip(common, 0, None))) / max(smaller, 1e-6)
