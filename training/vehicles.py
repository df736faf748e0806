"""Vehicles as simple solids with a drawn front, seen through the street's camera."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training import plates
from training.plates import Colour, Plate
from training.street import Camera, polygon

_PX = 400  # pixels by metre of a front's picture
_DISTANT = 35.0  # metres: from there on few faces do
_NEAREST = 1.6  # metres: what is nearer to the pinhole is cut off
Outline = list[tuple[float, float]]
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
            (
                (0.35, 2.86, 1.12, False),
                (1.7, 2.86, 1.12, False),
                (1.72, 3.5, 1.22, False),
                (7.6, 3.5, 1.22, False),
            ),
            (1.1, 5.6),
            lettering=("TRANS 24H", "7.5T"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Mesh:
    """Flat faces in painter's order. Points in metres from the front's middle on the ground."""

    points: np.ndarray  # (n, 3)
    faces: tuple[tuple[slice, tuple[float, ...], bool], ...]  # points, BGR, whether convex
    shadow: slice
    hull: slice


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A body in a colour with a plate, drawn and lit once for the light it drives in."""

    body: Body
    light: float  # 1 by day, 0 after dusk
    mesh: Mesh
    distant: Mesh  # the same in fewer faces
    front: tuple[np.ndarray, ...]  # BGRA, each half as large as the one before

    @classmethod
    def of(cls, body: Body, colour: Colour, plate: Plate, light: float, inner: float) -> "Vehicle":
        """Build the solid and draw its front; `inner` (-1, 1) is the flank the camera sees."""
        levels = [_front(body, colour, plate, light)]
        while levels[-1].shape[1] > 60:
            levels.append(cv2.pyrDown(levels[-1]))
        near, far = (_mesh(body, colour, light, inner, shades=n) for n in (8, 2))
        return cls(body, light, near, far, tuple(levels))


def ambient(light: float) -> np.ndarray:
    """What daylight is left, by BGR channel."""
    return np.array((0.42, 0.34, 0.31)) * (1 - light) + light


def plate_corners(body: Body, plate: Plate, x: float, z: float) -> np.ndarray:
    """The plate's corners in metres, clockwise from top left, (4, 3)."""
    half, rise = (side / 2000 for side in plate.layout.size)
    signs = np.array(((-1, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)))
    return signs * (half, rise, 0) + np.array((x, body.plate, z))


def paint(frame: np.ndarray, camera: Camera, vehicle: Vehicle, x: float, z: float) -> np.ndarray:
    """Draw the vehicle with its front at (x, z) into the frame; its hull in pixels (n, 2)."""
    mesh = vehicle.mesh if z < _DISTANT else vehicle.distant
    if z + vehicle.body.length <= _NEAREST:
        return np.empty((0, 2))
    world = mesh.points + np.array((x, 0, z))
    hidden = world[:, 2] < _NEAREST
    world[:, 2] = np.maximum(world[:, 2], _NEAREST)
    pixels = camera.project(world)
    _darken(frame, pixels[mesh.shadow], 0.5 * vehicle.light + 0.22)
    for where, colour, convex in mesh.faces:
        if hidden[where].all():
            continue
        if convex:
            polygon(frame, pixels[where], colour)
        else:
            outline = np.round(pixels[where] * 16).astype(np.int32)
            cv2.fillPoly(frame, [outline], colour, cv2.LINE_AA, 4)
    if z > _NEAREST:
        _overlay_front(frame, camera, vehicle, x, z)
    return pixels[mesh.hull]


def _mesh(body: Body, colour: Colour, light: float, inner: float, *, shades: int) -> Mesh:
    points: list[tuple[float, float, float]] = []
    faces: list[tuple[slice, tuple[float, ...], bool]] = []
    lit = ambient(light)

    def keep(corners: list[tuple[float, float, float]]) -> slice:
        points.extend(corners)
        return slice(len(points) - len(corners), len(points))

    def face(corners, paint: Colour, strength: float, convex: bool = True) -> None:
        shade = np.clip(np.array(paint) * lit * strength, 0, 255)
        faces.append((keep(corners), tuple(shade.tolist()), convex))

    half, length = body.width / 2, body.length
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    blunt = np.sign(cos) * np.sqrt(np.abs(cos)) * (half + 0.22)
    depth = length / 2 + sin * (length / 2 + 0.35)
    shadow = keep([(x, 0.0, d) for x, d in zip(blunt, depth, strict=True)])

    flank = [(half * inner * 0.97, body.front, 0.05)]
    flank += [(w * inner, h, d) for d, h, w, _ in body.profile]
    flank += [(half * inner, body.flank, length), (half * inner, body.flank, 0.05)]
    face(flank, colour, 0.5, convex=False)
    for d in body.wheels:
        for radius, rubber in ((0.36, (22, 22, 22)), (0.2, (84, 84, 84))):
            face(
                [
                    (half * inner, 0.34 + radius * s, d + radius * c)
                    for c, s in zip(cos, sin, strict=True)
                ],
                rubber,
                0.9,
            )

    edge = (0.0, body.front, half * 0.95, False)
    strips = list(zip((edge, *body.profile[:-1]), body.profile, strict=True))
    for before, after in reversed(strips):
        _strip(face, before, after, colour, shades=shades)
    mirror = body.profile[0][1] + (0.02 if body.front < 2 else -0.6)
    for side in (-1, 1):
        face(
            [
                (side * (half + 0.1) + 0.13 * c, mirror + 0.085 * s, 1.1)
                for c, s in zip(cos, sin, strict=True)
            ],
            colour,
            0.8,
        )
    top = max(h for _, h, _, _ in body.profile)
    hull = keep(
        [
            (side * (half + 0.25), y, d)
            for side in (-1, 1)
            for y in (0.0, top)
            for d in (-0.2, length)
        ]
    )
    return Mesh(np.array(points), tuple(faces), shadow, hull)


def _strip(face: Callable[..., None], before, after, colour: Colour, *, shades: int) -> None:
    """One strip of the outline between two cross-sections, glass or painted, in shades."""
    (d0, h0, w0, _), (d1, h1, w1, glass) = before, after
    facing_up = float(np.cos(np.arctan2(h1 - h0, max(d1 - d0, 1e-3))))

    def quad(low: float, high: float, inset: float) -> list[tuple[float, float, float]]:
        return [
            (side * (w0 + (w1 - w0) * t - inset), h0 + (h1 - h0) * t, d0 + (d1 - d0) * t)
            for side, t in ((-1, low), (1, low), (1, high), (-1, high))
        ]

    shades = shades * 5 // 2 if glass else shades
    sheen = 0.62 + 0.42 * facing_up
    if not glass:
        for k in reversed(range(shades)):
            bend = 0.12 * (1 - abs(2 * k / shades - 0.9))
            face(quad(k / shades, 1.0, 0.0), colour, sheen + bend)
        return
    face(quad(0, 1, 0.0), colour, sheen)
    for k in range(shades):  # the sky in the glass, brighter towards the roof
        face(quad(max(0.05, k / shades), 0.95, 0.07), GLASS, 0.75 + 1.5 * (k / shades) ** 2)
    if h1 <= h0:
        return
    y, d = (h0 + h1) / 2 - 0.02, (d0 + d1) / 2
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for x in (-0.36, 0.36):  # head-rests behind the glass
        rest = [(x + 0.12 * np.cos(a), y + 0.15 * np.sin(a), d) for a in angles]
        face(rest, GLASS, 0.6)


def _darken(frame: np.ndarray, outline: np.ndarray, strength: float) -> None:
    """A soft shadow of this outline in pixels."""
    x0, y0 = np.maximum(np.floor(outline.min(0) - 24).astype(int), 0)
    x1, y1 = np.maximum(np.ceil(outline.max(0) + 24).astype(int), 0)
    patch = frame[y0:y1, x0:x1]
    if patch.size == 0:
        return
    # soft edges at a quarter of the size: a blur of a few pixels for little work
    small = np.zeros((patch.shape[0] // 4 + 1, patch.shape[1] // 4 + 1), np.uint8)
    polygon(small, (outline - (x0, y0)) / 4, (round(255 * min(strength, 0.8)),))
    keep = 255 - cv2.resize(cv2.blur(small, (5, 5)), (patch.shape[1], patch.shape[0]))
    cv2.multiply(patch, cv2.merge((keep, keep, keep)), dst=patch, scale=1 / 255)


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


class _Easel:
    """A front's picture while it is drawn: metres from the middle of its lower edge, y up."""

    def __init__(self, width: float, height: float):
        self.h, self.w = round(height * _PX), round(width * _PX)
        self.art = np.zeros((self.h, self.w, 3), np.float32)
        self.mask = np.zeros((self.h, self.w, 1), np.float32)

    def at(self, x: float, y: float) -> tuple[int, int]:
        return round(self.w / 2 + x * _PX), round(self.h - y * _PX)

    def fill(self, outline: Outline, colour, soft: float = 0.0, cut: bool = False) -> None:
        """Fill an outline, corners rounded by `soft` metres; `cut` opens the mask instead."""
        corners = np.array([self.at(*point) for point in outline])
        margin = round(soft * _PX) + 2
        x0, y0 = np.maximum(corners.min(0) - margin, 0)
        x1, y1 = np.minimum(corners.max(0) + margin, (self.w, self.h))
        area = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(area, [corners - (x0, y0)], 255, cv2.LINE_AA)
        if soft:
            size = int(soft * _PX) * 2 + 1
            area = cv2.GaussianBlur(area, (size, size), 0)
            area = np.clip((area.astype(np.float32) - 118) * 14, 0, 255)
        part = (area.astype(np.float32) / 255)[..., None]
        patch = (self.mask if cut else self.art)[y0:y1, x0:x1]
        shade = np.asarray(colour, np.float32)
        patch += (
            np.broadcast_to(shade[y0:y1] if shade.ndim == 3 else shade, patch.shape) - patch
        ) * part

    def both(self, outline: Outline, colour, soft: float = 0.0, cut: bool = False) -> None:
        """Fill on the right and mirrored on the left."""
        for side in (-1, 1):
            self.fill([(side * x, y) for x, y in outline], colour, soft, cut)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        cv2.circle(self.art, self.at(x, y), round(radius * _PX), colour, -1, cv2.LINE_AA)


def _front(body: Body, colour: Colour, plate: Plate, light: float) -> np.ndarray:
    """The front's picture with its plate, BGRA with the colours multiplied by alpha."""
    easel = _Easel(body.width + 0.1, body.front + 0.05)
    _shell(easel, body, colour)
    _furnish(easel, body, colour)
    easel.art *= ambient(light).astype(np.float32)
    _lamps(easel, body, light)
    _mount(easel, body, plate, light)
    art = np.clip(easel.art * easel.mask, 0, 255)
    return np.dstack([art, np.clip(easel.mask * 255, 0, 255)]).astype(np.uint8)


def _shell(easel: _Easel, body: Body, colour: Colour) -> None:
    half, top, sill = body.width / 2, body.front, body.flank - 0.08
    right = [(half * 0.95, sill), (half, sill + 0.22), (half * 0.99, top * 0.82)]
    right.append((half * 0.94, top + 0.01))
    hull = right + [(-x, y) for x, y in reversed(right)]
    tyre = [(half - 0.3, 0.0), (half - 0.06, 0.0), (half - 0.06, 0.5), (half - 0.3, 0.5)]
    easel.both(tyre, 1.0, 0.06, cut=True)
    easel.fill(hull, 1.0, 0.08, cut=True)
    easel.both(tyre, (22, 22, 22))
    shade = np.linspace(1.05, 0.62, easel.h)[:, None, None] * np.array(colour)
    easel.fill(hull, shade)
    crease = [(-half, top * 0.8), (half, top * 0.8), (half, top * 0.775), (-half, top * 0.775)]
    easel.fill(crease, np.array(colour) * 0.7, 0.02)


def _furnish(easel: _Easel, body: Body, colour: Colour) -> None:
    """Grille, intake, lettering, and a lorry's windscreen."""
    lx, ly = body.lamps
    upper, lower = min(ly + 0.06, body.front - 0.06), ly - 0.2
    inner, outer = lx - 0.32, lx - 0.24
    if body.front > 2:
        screen = [(-1.08, 2.42), (1.08, 2.42), (1.12, 1.7), (-1.12, 1.7)]
        easel.fill(_grown(screen, 0.03), (30, 30, 30), 0.05)
        sky = np.linspace(2.0, 0.8, easel.h)[:, None, None] * np.array(GLASS)
        easel.fill(screen, sky, 0.05)
        upper, lower, inner, outer = 1.35, 0.88, 0.8, 0.85
    grille = [(-outer, upper), (outer, upper), (inner, lower), (-inner, lower)]
    easel.fill(_grown(grille, 0.012), (120, 122, 124), 0.03)
    easel.fill(grille, (26, 25, 25), 0.03)
    for y in np.arange(lower + 0.04, upper - 0.02, 0.045):
        cv2.line(easel.art, easel.at(-inner + 0.05, y), easel.at(inner - 0.05, y), (70, 70, 70), 3)
    middle = (upper + lower) / 2
    easel.disc(0, middle, 0.05, (190, 190, 188))
    easel.disc(0, middle, 0.035, (60, 60, 60))
    intake = [(-lx + 0.05, 0.36), (lx - 0.05, 0.36), (lx - 0.15, 0.25), (-lx + 0.15, 0.25)]
    easel.fill(intake, (30, 29, 28), 0.03)
    ink = (60, 50, 40) if sum(colour) > 380 else (225, 225, 225)
    for text, y in zip(body.lettering, (body.front - 0.1, 1.53), strict=False):
        plates.small_print(easel.art, text, easel.at(0, y), 0.09 * _PX, ink)


def _lamps(easel: _Easel, body: Body, light: float) -> None:
    lx, ly = body.lamps
    lamp = [(lx - 0.19, ly - 0.06), (lx + 0.16, ly - 0.09), (lx + 0.19, ly + 0.08), (lx, ly + 0.05)]
    easel.both(_grown(lamp, 0.012), (40, 40, 40), 0.03)
    easel.both(lamp, np.array((190, 188, 184)) * (1 - 0.25 * light), 0.03)
    for side in (-1, 1):
        easel.disc(side * (lx + 0.03), ly, 0.06, (250, 252, 255))
        easel.disc(side * (lx - 0.06), 0.31, 0.04, (170, 180, 190))


def _mount(easel: _Easel, body: Body, plate: Plate, light: float) -> None:
    """Screw the plate on, in a dark frame."""
    w, h = (round(side / 1000 * _PX) for side in plate.layout.size)
    x, y = easel.at(0, body.plate)
    x, y = x - w // 2, y - h // 2
    cv2.rectangle(easel.art, (x - 8, y - 8), (x + w + 7, y + h + 7), (24, 24, 24), -1)
    drawn = cv2.resize(plates.picture(plate, 4 * w), (w, h), interpolation=cv2.INTER_AREA)
    # plates throw light back: they darken less than paint does
    easel.art[y : y + h, x : x + w] = drawn * (0.93 * (0.62 + 0.38 * light))


def _grown(outline: Outline, by: float) -> Outline:
    """The outline moved outwards from its middle."""
    cx = sum(x for x, _ in outline) / len(outline)
    cy = sum(y for _, y in outline) / len(outline)
    return [(x + np.sign(x - cx) * by, y + np.sign(y - cy) * by) for x, y in outline]
