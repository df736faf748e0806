"""What cameras and weather do to a picture, by chance; its geometry stays."""

import math

import cv2
import numpy as np

Picture = np.ndarray
"""(height, width, 3), BGR, uint8."""


def spoil(picture: Picture, rng: np.random.Generator, harm: float = 1.0) -> Picture:
    """The picture as a camera might have given it; ``harm`` 0 to 1 bounds how much is done to it.

    In the order in which it happens: light, air, lens, sensor, recorder.
    """
    lit = _light(picture.astype(np.float32) / 255, rng, harm)
    lit = _air(lit, rng, harm)
    lit = _blur(lit, rng, harm)
    return _record(_noise(lit, rng, harm), rng, harm)


def _light(lit: np.ndarray, rng: np.random.Generator, harm: float) -> np.ndarray:
    """Time of day: gain, contrast, the colour of the light, shadows that end anywhere."""
    cast = 1 + harm * rng.uniform(-0.12, 0.12, 3).astype(np.float32)
    gain = math.exp(harm * rng.normal(0, 0.35))
    gamma = math.exp(harm * rng.normal(0, 0.25))
    if rng.random() < 0.2 * harm:  # night
        gain *= rng.uniform(0.15, 0.5)
    out = np.clip(lit, 0, 1) ** gamma * gain * cast
    if rng.random() < 0.3 * harm:
        h, w = lit.shape[:2]
        y, x = np.mgrid[0:h, 0:w].astype(np.float32)
        turn, soft = rng.uniform(0, 2 * math.pi), rng.uniform(1, 25)
        edge = (x - rng.uniform(0, w)) * math.cos(turn) + (y - rng.uniform(0, h)) * math.sin(turn)
        shade = rng.uniform(0.35, 0.85)
        out *= (shade + (1 - shade) / (1 + np.exp(np.clip(edge / soft, -30, 30))))[..., None]
    return np.clip(out, 0, 1.2)


def _air(lit: np.ndarray, rng: np.random.Generator, harm: float) -> np.ndarray:
    """Fog, rain, and the glow of lamps that face the camera."""
    h, w = lit.shape[:2]
    if rng.random() < 0.12 * harm:
        thick = rng.uniform(0.1, 0.5)
        lit = lit * (1 - thick) + thick * rng.uniform(0.55, 0.9)
    if rng.random() < 0.1 * harm:
        drops = np.zeros((h, w), np.float32)
        lean = rng.uniform(-0.4, 0.4)
        for x, y, long in zip(
            rng.uniform(0, w, 120), rng.uniform(0, h, 120), rng.uniform(6, 30, 120), strict=True
        ):
            ends = (round(x), round(y)), (round(x + lean * long), round(y + long))
            cv2.line(drops, *ends, rng.uniform(0.1, 0.45), 1, cv2.LINE_AA)
        lit = lit + drops[..., None] * 0.6
    if rng.random() < 0.25 * harm:
        glow = np.zeros((h // 4, w // 4), np.float32)
        for _ in range(rng.integers(1, 4)):
            centre = int(rng.integers(0, w // 4)), int(rng.integers(h // 8, h // 4))
            cv2.circle(glow, centre, int(rng.integers(1, 6)), float(rng.uniform(0.5, 2)), -1)
        glow = cv2.GaussianBlur(glow, (0, 0), rng.uniform(3, 14))
        lit = lit + cv2.resize(glow, (w, h))[..., None] * np.array((0.8, 0.95, 1), np.float32)
    return lit


def _blur(lit: np.ndarray, rng: np.random.Generator, harm: float) -> np.ndarray:
    """Motion in any direction, mostly along the road; out of focus."""
    if rng.random() < 0.35 * harm:
        size = int(rng.integers(1, 5)) * 2 + 1
        kernel = np.zeros((size, size), np.float32)
        turn = rng.normal(math.pi / 2, 0.6)
        middle, reach = size / 2 - 0.5, size / 2
        ends = [
            (round(middle + s * reach * math.cos(turn)), round(middle + s * reach * math.sin(turn)))
            for s in (-1, 1)
        ]
        cv2.line(kernel, ends[0], ends[1], 1, 1)
        lit = cv2.filter2D(lit, -1, kernel / max(kernel.sum(), 1))
    if rng.random() < 0.4 * harm:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 1.8))
    return lit


def _noise(lit: np.ndarray, rng: np.random.Generator, harm: float) -> np.ndarray:
    """Of the sensor, more where there was less light; coarse where the camera smooths it."""
    strength = harm * rng.uniform(0, 0.05)
    h, w = lit.shape[:2]
    coarse = int(rng.integers(1, 3))
    noise = rng.standard_normal((h // coarse + 1, w // coarse + 1, 3), np.float32)
    noise = cv2.resize(noise, (w, h), interpolation=cv2.INTER_LINEAR) if coarse > 1 else noise
    return lit + strength * noise[:h, :w]


def _record(lit: np.ndarray, rng: np.random.Generator, harm: float) -> Picture:
    """Resolution that is lost on the way, sharpening, compression."""
    h, w = lit.shape[:2]
    picture = (np.clip(lit, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3 * harm:
        part = rng.uniform(0.5, 0.95)
        small = cv2.resize(
            picture, (round(w * part), round(h * part)), interpolation=cv2.INTER_AREA
        )
        picture = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.25 * harm:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.2)
        picture = cv2.addWeighted(picture, 1.6, soft, -0.6, 0)
    if rng.random() < 0.8 * harm:
        quality = int(rng.integers(25, 95))
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)
