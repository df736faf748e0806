"""Vehicles as simple solids with a drawn front, seen through the street's camera."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from training import plates
from training.plates import Colour, Plate
from training.street import Camera, polygon

_PX = 400  # pixels by metre of a front's picture
_NEAREST = 1.6  # metres: what is nearer to the pinhole is cut off
GLASS: Colour = (58, 50, 42)


@dataclass(frozen=True, slots=True)
class Body:
    """A kind of vehicle; metres. `profile` is the outline over the front's upper edge, rearwards:
    (behind the front, height, half width, whether the strip up to here is glass).
    """

    name: str
    width: float
    front: float  # height of the upper edge of the front
    plate: float  # height of the plate's middle
    lamps: tuple[float, float]  # the left lamp's middle: off the axis, height
    profile: tuple[tuple[float, float, float, bool], ...]
    wheels: tuple[float, ...]
    flank: float = 0.3  # height of the sill
    lettering: tuple[str, ...] = ()

    @property
    def length(self) -> float:
        """From front to rear."""
        return self.profile[-1][0]


BODIES: dict[str, Body] = {
    body.name: body
    for body in (
        Body(
            "saloon",
            1.82,
            0.80,
            0.46,
            (0.68, 0.66),
            (
                (1.15, 1.0, 0.86, False),
                (1.95, 1.43, 0.63, True),
                (3.2, 1.43, 0.62, False),
                (3.9, 1.08, 0.74, True),
                (4.5, 1.04, 0.8, False),
            ),
            (0.85, 3.55),
        ),
        Body(
            "suv",
            1.92,
            0.98,
            0.55,
            (0.72, 0.84),
            (
                (1.1, 1.16, 0.9, False),
                (1.75, 1.68, 0.7, True),
                (4.1, 1.68, 0.68, False),
                (4.6, 1.2, 0.8, True),
            ),
            (0.9, 3.65),
        ),
        Body(
            "van",
            2.02,
            1.18,
            0.56,
            (0.8, 0.92),
            (
                (0.55, 1.36, 0.95, False),
                (1.2, 2.18, 0.8, True),
                (1.5, 2.4, 0.82, False),
                (5.4, 2.4, 0.84, False),
            ),
            (0.95, 4.3),
            lettering=("NORDLINE",),
        ),
        Body(
            "lorry",
            2.46,
            2.72,
            0.62,
            (0.92, 0.72),
            ((0.35, 2.86, 1.12, False), (1.7, 2.86, 1.12, False), (1.72, 3.5, 1.22, False))
            + ((7.6, 3.5, 1.22, False),),
            (1.1, 5.6),
            lettering=("TRANS 24H", "7.5T"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A body in a colour with a plate; its front is drawn once for the light it drives in."""

    body: Body
    colour: Colour
    plate: Plate
    light: float  # 1 by day, 0 after dusk
    front: tuple[np.ndarray, ...] = field(repr=False, compare=False)  # BGRA, by halves

    @classmethod
    def of(cls, body: Body, colour: Colour, plate: Plate, light: float) -> "Vehicle":
        """Draw the vehicle's front and keep it at several sizes."""
        levels = [_front(body, colour, plate, light)]
        while levels[-1].shape[1] > 60:
            levels.append(cv2.pyrDown(levels[-1]))
        return cls(body, colour, plate, light, tuple(levels))


def ambient(light: float) -> np.ndarray:
    """What daylight is left, by BGR channel."""
    return np.array((0.42, 0.34, 0.31)) * (1 - light) + light


def plate_corners(body: Body, plate: Plate, x: float, z: float) -> np.ndarray:
    """The plate's corners in metres, clockwise from top left, (4, 3)."""
    half, rise = (side / 2000 for side in plate.layout.size)
    y = body.plate
    return np.array(
        (
            (x - half, y + rise, z),
            (x + half, y + rise, z),
            (x + half, y - rise, z),
            (x - half, y - rise, z),
        )
    )


def paint(frame: np.ndarray, camera: Camera, vehicle: Vehicle, x: float, z: float) -> np.ndarray:
    """Draw the vehicle with its front at (x, z) into the frame; its hull in pixels (n, 2)."""
    body = vehicle.body
    half = body.width / 2

    def at(points: list[tuple[float, float, float]]) -> np.ndarray:
        world = np.array(points) + (x, 0, z)
        world[:, 2] = np.maximum(world[:, 2], _NEAREST)
        return camera.project(world)

    light = ambient(vehicle.light)

    def tone(colour: Colour, strength: float) -> tuple[float, ...]:
        return tuple(np.clip(np.array(colour) * light * strength, 0, 255))

    _shadow(frame, at, body, 0.62 * vehicle.light + 0.25)
    if z + body.length <= _NEAREST:
        return np.empty((0, 2))
    inner = -1.0 if x > 0 else 1.0
    _side(at, frame, body, inner, tone, vehicle.colour)
    edge = (0.0, body.front, half * 0.95, False)
    strips = list(zip((edge, *body.profile[:-1]), body.profile, strict=True))
    for before, after in reversed(strips):
        if z + after[0] > _NEAREST:
            _strip(at, frame, before, after, tone, vehicle.colour)
    if z + 1.3 > _NEAREST:
        mirror = body.profile[0][1] + (0.02 if body.name != "lorry" else -0.6)
        for side in (-1, 1):
            _ellipse(
                at, frame, (side * (half + 0.1), mirror, 1.1), (0.13, 0.085), tone, vehicle.colour
            )
    if z > _NEAREST:
        _overlay_front(frame, camera, vehicle, x, z)
    top = max(p[1] for p in body.profile)
    corners = [
        (sx * (half + 0.25), y, d)
        for sx in (-1, 1)
        for y in (0.0, top)
        for d in (-0.2, body.length)
    ]
    return at(corners)


def _shadow(frame: np.ndarray, at, body: Body, strength: float) -> None:
    half = body.width / 2
    ring = [
        (np.sign(np.cos(a)) * abs(np.cos(a)) ** 0.5 * (half + 0.22), 0.0, d)
        for a in np.linspace(0, 2 * np.pi, 28, endpoint=False)
        for d in (body.length / 2 + np.sin(a) * (body.length / 2 + 0.35),)
    ]
    points = at(ring)
    x0, y0 = np.floor(points.min(0) - 24).astype(int)
    x1, y1 = np.ceil(points.max(0) + 24).astype(int)
    x0, y0 = max(x0, 0), max(y0, 0)
    patch = frame[y0 : max(y1, y0), x0 : max(x1, x0)]
    if patch.size == 0:
        return
    # soft edges at a quarter of the size: a blur of a few pixels for little work
    small = np.zeros((patch.shape[0] // 4 + 1, patch.shape[1] // 4 + 1), np.uint8)
    polygon(small, (points - (x0, y0)) / 4, (round(255 * min(strength, 0.8)),))
    small = cv2.blur(small, (5, 5))
    keep = 255 - cv2.resize(small, (patch.shape[1], patch.shape[0]))
    cv2.multiply(patch, cv2.merge((keep, keep, keep)), dst=patch, scale=1 / 255)


def _side(at, frame: np.ndarray, body: Body, inner: float, tone, colour: Colour) -> None:
    half = body.width / 2 * inner
    upper = [(half * 0.97, body.front, 0.05)]
    upper += [(w * inner, h, d) for d, h, w, _ in body.profile]
    sill = [(half, body.flank, body.length), (half, body.flank, 0.05)]
    cv2.fillPoly(
        frame,
        [np.round(at(upper + sill) * 16).astype(np.int32)],
        tone(colour, 0.5),
        cv2.LINE_AA,
        4,
    )
    for d in body.wheels:
        for radius, shade in ((0.36, 0.9), (0.2, 3.0)):
            ring = [
                (half, 0.34 + radius * np.sin(a), d + radius * np.cos(a))
                for a in np.linspace(0, 2 * np.pi, 20, endpoint=False)
            ]
            polygon(frame, at(ring), tone((24, 24, 24), shade))


def _strip(at, frame: np.ndarray, before, after, tone, colour: Colour) -> None:
    """One strip of the outline between two cross-sections, glass or painted, front to rear."""
    (d0, h0, w0, _), (d1, h1, w1, glass) = before, after
    slope = np.arctan2(h1 - h0, max(d1 - d0, 1e-3))
    facing_up = float(np.cos(slope))
    steps = 8 if (d1 - d0) < 2.2 else 4
    for k in reversed(range(steps)):
        a, b = k / steps, (k + 1.04) / steps
        quad = [
            (side * (w0 + (w1 - w0) * t), h0 + (h1 - h0) * t, d0 + (d1 - d0) * t)
            for side, t in ((-1, a), (1, a), (1, b), (-1, b))
        ]
        sheen = 0.62 + 0.42 * facing_up + (0.12 * (1 - abs(2 * a - 0.9)) if not glass else 0)
        polygon(frame, at(quad), tone(colour, sheen))
        if glass:
            pane = [(sx - np.sign(sx) * 0.07, y, d) for sx, y, d in quad]
            sky = 0.75 + 1.5 * a * a
            polygon(frame, at(pane), tone(GLASS, sky))
    if glass and h1 > h0:
        for sx in (-0.38, 0.38):  # head-rests behind the glass
            _ellipse(
                at, frame, (sx, (h0 + h1) / 2 - 0.02, (d0 + d1) / 2), (0.13, 0.16), tone, GLASS, 0.6
            )


def _ellipse(at, frame: np.ndarray, centre, radii, tone, colour: Colour, strength=0.8) -> None:
    ring = [
        (centre[0] + radii[0] * np.cos(a), centre[1] + radii[1] * np.sin(a), centre[2])
        for a in np.linspace(0, 2 * np.pi, 18, endpoint=False)
    ]
    polygon(frame, at(ring), tone(colour, strength))


def _overlay_front(frame: np.ndarray, camera: Camera, vehicle: Vehicle, x: float, z: float) -> None:
    """Lay the front's picture on the plane that faces the street at z."""
    half = vehicle.front[0].shape[1] / _PX / 2
    top = vehicle.front[0].shape[0] / _PX
    corners = camera.project(
        np.array([(x - half, top, z), (x + half, top, z), (x + half, 0, z), (x - half, 0, z)])
    )
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, camera.size)
    if x1 <= x0 or y1 <= y0:
        return
    across = np.linalg.norm(corners[1] - corners[0])
    # the smallest picture that still has a pixel for each pixel drawn
    level = next((p for p in reversed(vehicle.front) if p.shape[1] >= across), vehicle.front[0])
    h, w = level.shape[:2]
    flat = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
    turn = cv2.getPerspectiveTransform(flat, (corners - (x0, y0)).astype(np.float32))
    patch = cv2.warpPerspective(level, turn, (int(x1 - x0), int(y1 - y0)))
    roi = frame[y0:y1, x0:x1]
    alpha = patch[..., 3]
    keep = cv2.bitwise_not(alpha)
    cv2.multiply(roi, cv2.merge((keep, keep, keep)), dst=roi, scale=1 / 255)
    cv2.add(roi, patch[..., :3].copy(), dst=roi)


def _front(body: Body, colour: Colour, plate: Plate, light: float) -> np.ndarray:
    """The front's picture with its plate, BGRA with the colours multiplied by alpha."""
    w, h = round((body.width + 0.1) * _PX), round((body.front + 0.05) * _PX)
    art = np.zeros((h, w, 3), np.uint8)
    mask = np.zeros((h, w), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round(w / 2 + x * _PX), round(h - y * _PX)

    def shape(target: np.ndarray, outline: list[tuple[float, float]], value, round_off=0.0) -> None:
        area = np.zeros((h, w), np.uint8)
        cv2.fillPoly(area, [np.array([at(*p) for p in outline])], 255, cv2.LINE_AA)
        if round_off:
            size = int(round_off * _PX) * 2 + 1
            area = cv2.GaussianBlur(area, (size, size), 0)
            area = np.clip((area.astype(np.float32) - 118) * 14, 0, 255).astype(np.uint8)
        part = area[..., None] / 255 if target.ndim == 3 else area / 255
        target[:] = target * (1 - part) + np.asarray(value) * part

    def both(outline: list[tuple[float, float]], value, round_off=0.0) -> None:
        for side in (-1, 1):
            shape(art, [(side * px, py) for px, py in outline], value, round_off)

    half, top, sill = body.width / 2, body.front, body.flank - 0.08
    hull = [
        (-half * 0.95, sill),
        (-half, sill + 0.22),
        (-half * 0.99, top * 0.82),
        (-half * 0.94, top + 0.01),
        (half * 0.94, top + 0.01),
        (half * 0.99, top * 0.82),
        (half, sill + 0.22),
        (half * 0.95, sill),
    ]
    tyre = [(half - 0.3, 0), (half - 0.06, 0), (half - 0.06, 0.5), (half - 0.3, 0.5)]
    for side in (-1, 1):
        shape(mask, [(side * px, py) for px, py in tyre], 255, 0.06)
    shape(mask, hull, 255, 0.08)
    both(tyre, (22, 22, 22))
    shade = np.linspace(1.05, 0.62, h)[:, None, None] * np.array(colour)
    shape(art, hull, np.clip(shade, 0, 255))
    crease = [(-half, top * 0.8), (half, top * 0.8), (half, top * 0.775), (-half, top * 0.775)]
    shape(art, crease, np.array(colour) * 0.7, 0.02)

    lx, ly = body.lamps
    lower, upper = ly - 0.2, min(ly + 0.06, top - 0.06)
    grille = [(-lx + 0.24, upper), (lx - 0.24, upper), (lx - 0.32, lower), (-lx + 0.32, lower)]
    if body.name == "lorry":
        screen = [(-1.08, 2.42), (1.08, 2.42), (1.12, 1.7), (-1.12, 1.7)]
        shape(art, _grown(screen, 0.03), (30, 30, 30), 0.05)
        shape(art, screen, np.linspace(2.0, 0.8, h)[:, None, None] * np.array(GLASS), 0.05)
        grille = [(-0.85, 1.35), (0.85, 1.35), (0.8, 0.88), (-0.8, 0.88)]
    shape(art, _grown(grille, 0.012), (120, 122, 124), 0.03)
    shape(art, grille, (26, 25, 25), 0.03)
    rows = [y for _, y in grille]
    for y in np.arange(min(rows) + 0.04, max(rows) - 0.02, 0.045):
        cv2.line(art, at(grille[3][0] + 0.05, y), at(-grille[3][0] - 0.05, y), (70, 70, 70), 3)
    cv2.circle(art, at(0, (rows[0] + rows[2]) / 2), round(0.05 * _PX), (190, 190, 188), -1)
    cv2.circle(art, at(0, (rows[0] + rows[2]) / 2), round(0.035 * _PX), (60, 60, 60), -1)
    intake = [(-lx + 0.05, 0.36), (lx - 0.05, 0.36), (lx - 0.15, 0.25), (-lx + 0.15, 0.25)]
    shape(art, intake, (30, 29, 28), 0.03)
    for text, y in zip(body.lettering, (top - 0.16, 1.53), strict=False):
        ink = (60, 50, 40) if sum(colour) > 380 else (225, 225, 225)
        plates.small_print(art, text, at(0, y), 0.09 * _PX, ink)
    art[:] = np.clip(art * ambient(light), 0, 255)

    lamp = [(lx - 0.19, ly - 0.06), (lx + 0.16, ly - 0.09), (lx + 0.19, ly + 0.08), (lx, ly + 0.05)]
    glow = 1 - light
    both(_grown(lamp, 0.012), (40, 40, 40), 0.03)
    both(lamp, np.array((190, 188, 184)) * (0.75 + 0.25 * glow), 0.03)
    for side in (-1, 1):
        cv2.circle(art, at(side * (lx + 0.03), ly), round(0.06 * _PX), (250, 252, 255), -1)
        cv2.circle(art, at(side * (lx - 0.06), 0.31), round(0.04 * _PX), (170, 180, 190), -1)

    pw, ph = (round(side / 1000 * _PX) for side in plate.layout.size)
    px, py = at(0, body.plate)
    x0, y0 = px - pw // 2, py - ph // 2
    cv2.rectangle(art, (x0 - 8, y0 - 8), (x0 + pw + 7, y0 + ph + 7), (24, 24, 24), -1)
    drawn = cv2.resize(plates.picture(plate, 4 * pw), (pw, ph), interpolation=cv2.INTER_AREA)
    # plates throw light back: they darken less than paint does
    art[y0 : y0 + ph, x0 : x0 + pw] = drawn * (0.93 * (0.62 + 0.38 * light))
    alpha = mask[..., None] / 255
    return np.dstack([(art * alpha).astype(np.uint8), mask])


def _grown(outline: list[tuple[float, float]], by: float) -> list[tuple[float, float]]:
    """The outline moved outwards from its middle."""
    cx = sum(x for x, _ in outline) / len(outline)
    cy = sum(y for _, y in outline) / len(outline)
    return [(x + np.sign(x - cx) * by, y + np.sign(y - cy) * by) for x, y in outline]
