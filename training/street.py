"""A street seen by a fixed camera: the pinhole it is seen through, and the still picture of it."""

import random
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from training.plates import Colour, small_print

SIGN = "TYRES 24H"  # over the shop: a text that is no plate
# tar, paint, slabs, kerb, grass: BGR by brightness
_TINTS = np.array(
    (
        (1.0, 0.985, 0.97),
        (0.96, 0.99, 1.0),
        (0.95, 0.98, 1.0),
        (1.0, 1.0, 1.0),
        (0.55, 1.0, 0.78),
    ),
    np.float32,
)
_ROAD = 3.4  # metres from the middle to the kerb


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole on a mast. World: x right, y up, z along the road, metres, origin below it."""

    size: tuple[int, int] = (1280, 720)
    height: float = 2.6
    pitch: float = 6.5  # degrees down
    yaw: float = 0.35
    roll: float = -0.5
    reach: float = 1.875  # focal length by the picture's width: a gate camera's narrow view

    @property
    def focal(self) -> float:
        """In pixels."""
        return self.reach * self.size[0]

    def axes(self) -> np.ndarray:
        """The rotation from world (y down) to camera, 3x3."""
        return _axes(self.pitch, self.yaw, self.roll)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of world points (..., 3), which must lie ahead of the camera."""
        seen = (np.asarray(points, float) * (1, -1, 1) + (0, self.height, 0)) @ self.axes().T
        centre = np.array(self.size) / 2
        return seen[..., :2] / seen[..., 2:] * self.focal + centre

    def ground(self, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """x and z in metres of the road under every pixel, infinite from the horizon up."""
        w, h = (side * scale for side in self.size)
        u = ((np.arange(w) + 0.5) / scale - self.size[0] / 2) / self.focal
        v = ((np.arange(h) + 0.5) / scale - self.size[1] / 2) / self.focal
        axes = self.axes().astype(np.float32)
        across, down = np.meshgrid(u.astype(np.float32), v.astype(np.float32), sparse=True)
        x, y, z = (across * axes[0, k] + down * axes[1, k] + axes[2, k] for k in range(3))
        with np.errstate(divide="ignore"):
            reach = np.where(y > 1e-4, np.float32(self.height) / y, np.float32(np.inf))
        return x * reach, z * reach


@cache
def _axes(*degrees: float) -> np.ndarray:
    pitch, yaw, roll = np.radians(degrees)
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    lean = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return lean @ tilt @ turn


def still(camera: Camera, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """The empty street by day and after dusk, BGR uint8 of the camera's size."""
    # twice as large and averaged down: lines far away stay lines
    day = _ground(camera, rng)
    lit = np.zeros_like(day)
    _houses(camera, rng, day, lit)
    small = [cv2.resize(p, camera.size, interpolation=cv2.INTER_AREA) for p in (day, lit)]
    day, lit = small[0], cv2.add(small[1], cv2.GaussianBlur(small[1], (0, 0), 14))
    pools = _lamp_light(camera)
    night = day * (np.array((0.40, 0.31, 0.27)) + pools * (0.14, 0.30, 0.44))
    night = cv2.add(np.clip(night, 0, 255).astype(np.uint8), lit)
    return day, night


def polygon(
    picture: np.ndarray, points: np.ndarray, colour: tuple[float, ...], line: int = cv2.LINE_AA
) -> None:
    """Fill a convex polygon given in pixels, to 1/16 pixel."""
    cv2.fillConvexPoly(picture, np.round(points * 16).astype(np.int32), colour, line, shift=4)


def _ground(camera: Camera, rng: random.Random) -> np.ndarray:
    noise = np.random.default_rng(rng.getrandbits(32))
    x, z = camera.ground(scale=2)
    h, w = x.shape
    flat = np.isfinite(z) & (z > 0) & (z < 900)
    x, z = np.where(flat, x, np.float32(0)), np.where(flat, z, np.float32(900))

    grain = noise.normal(0, 1, (1024, 1024)).astype(np.float32)
    patches = cv2.resize(noise.normal(0, 1, (64, 64)).astype(np.float32), (1024, 1024))

    def texture(source: np.ndarray, by_metre: float) -> np.ndarray:
        u, v = (np.mod(axis * by_metre, 1023).astype(np.float32) for axis in (x, z))
        return cv2.remap(source, u, v, cv2.INTER_LINEAR)

    fine = texture(grain, 60) * np.clip(14 / z, 0, 1) * 9
    broad = texture(patches, 28) * 5
    tone = 96 + fine + broad
    for lane in (-1.55, 1.55):  # where tyres have polished the tar, and the oil between
        for track in (-0.78, 0.78):
            tone -= 9 * np.exp(-(((x - lane - track) / 0.22) ** 2))
        tone -= 6 * np.exp(-(((x - lane) / 0.3) ** 2))

    aside = np.abs(x)
    paint = (aside < 0.07) & (np.mod(z, 6) < 3)
    paint |= np.abs(aside - 3.15) < 0.06
    walk, grass = aside > _ROAD, aside > _ROAD + 2.3
    kerb = (aside > _ROAD - 0.05) & (aside < _ROAD + 0.16)
    joints = (np.mod(z, 1.2) < 0.05) | (np.mod(aside - _ROAD, 0.9) < 0.03)
    # what lies where: its brightness, and its colour by number
    ground = np.zeros(x.shape, np.uint8)
    for number, (where, brightness) in enumerate(
        (
            (paint, 205 + broad * 5 + fine * 2),
            (walk, 142 + fine * 0.6 + broad - 24 * joints.astype(np.float32)),
            (kerb, 172 + fine),
            (grass, 88 + fine * 2.2 + broad * 3),
        ),
        1,
    ):
        np.copyto(tone, brightness, where=where)
        ground[where] = number
    road = tone[..., None] * _TINTS[ground]

    haze = np.clip((z - 60) / 500, 0, 0.75)[..., None]
    road = road * (1 - haze) + np.array((196, 190, 186), np.float32) * haze
    up = np.linspace(0, 1, h, dtype=np.float32)[:, None, None] * 7
    up = np.clip(up, 0, 1)
    sky = np.array((214, 182, 160), np.float32) * (1 - up) + np.array((196, 205, 222)) * up
    scene = np.where(flat[..., None], road, np.broadcast_to(sky.astype(np.float32), (h, w, 3)))
    return cv2.convertScaleAbs(np.maximum(scene, 0))


def _houses(camera: Camera, rng: random.Random, day: np.ndarray, lit: np.ndarray) -> None:
    """Rows of houses and trees left and right, far ones first; lit windows go into `lit`."""
    walls: tuple[Colour, ...] = (
        (150, 165, 182),
        (128, 148, 176),
        (170, 176, 178),
        (118, 132, 158),
        (156, 158, 150),
    )
    for depth in (230, 180, 140, 105, 80, 60):
        for side in (-1, 1):
            _tree(camera, rng, day, side * (8 + depth * 0.02), depth + 9)
            near = side * (8.0 + rng.uniform(0, 2.5) + depth * 0.012)
            box = (near, near + side * 26, rng.uniform(7, 12), depth, depth * 0.22)
            _house(camera, rng, day, lit, box, wall=rng.choice(walls))
    shop = (6.1, 22, 6.4, 40, 14)
    _house(camera, rng, day, lit, shop, wall=(150, 168, 190), shop_front=True)
    _tree(camera, rng, day, -7.4, 46)
    _tree(camera, rng, day, -8.6, 33)
    for x, z in ((-4.2, 52), (4.2, 66), (-4.2, 27)):  # lamp posts
        foot = camera.project(np.array(((x - 0.07, 0, z), (x + 0.07, 0, z)))) * 2
        top = camera.project(np.array(((x + 0.05, 8, z), (x - 0.05, 8, z)))) * 2
        polygon(day, np.concatenate([foot, top]), (78, 76, 72))


def _house(
    camera: Camera,
    rng: random.Random,
    day: np.ndarray,
    lit: np.ndarray,
    box: tuple[float, float, float, float, float],
    *,
    wall: Colour,
    shop_front: bool = False,
) -> None:
    near, far, height, depth, length = box
    haze = min(0.6, depth / 420)

    def tone(colour: Colour, light: float) -> tuple[float, ...]:
        return tuple(c * light * (1 - haze) + 200 * haze for c in colour)

    def quad(corners: list[tuple[float, float, float]]) -> np.ndarray:
        return camera.project(np.array(corners)) * 2

    def front(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        return quad([(x0, y0, depth), (x1, y0, depth), (x1, y1, depth), (x0, y1, depth)])

    back = depth + length
    flank = quad([(near, 0, depth), (near, 0, back), (near, height, back), (near, height, depth)])
    polygon(day, flank, tone(wall, 0.66))
    polygon(lit, flank, (0, 0, 0))
    polygon(day, front(near, far, 0, height), tone(wall, 0.92))
    polygon(lit, front(near, far, 0, height), (0, 0, 0))
    polygon(day, front(near, far, 0, 0.5), tone(wall, 0.7))
    step = 2.4 if far > near else -2.4
    for storey in range(1 if shop_front else 0, int(height // 3)):
        for column in range(int(abs(far - near) // 2.4)):
            x = near + step * (column + 0.3)
            y = storey * 3.0 + 1.0
            pane = front(x, x + step * 0.45, y, y + 1.5)
            polygon(day, pane, tone((92, 84, 76), 1.0))
            if rng.random() < 0.45:
                warm = rng.uniform(0.5, 1)
                polygon(lit, pane, (45 * warm, 110 * warm, 160 * warm))
    if shop_front:
        window = front(near + 0.4, near + 8, 0.5, 2.3)
        polygon(day, window, (100, 96, 88))
        polygon(lit, window, (45, 92, 118))
        board = np.full((120, 560, 3), (60, 40, 150), np.uint8)
        small_print(board, SIGN, (280, 60), 62, (235, 240, 240))
        corners = front(near + 0.25, near + 3.7, 2.55, 3.3)[::-1].astype(np.float32)
        flat = np.array(((0, 0), (560, 0), (560, 120), (0, 120)), np.float32)
        turn = cv2.getPerspectiveTransform(flat, corners)
        size = day.shape[1], day.shape[0]
        mask = cv2.warpPerspective(np.full((120, 560), 255, np.uint8), turn, size)
        warped = cv2.warpPerspective(board, turn, size, flags=cv2.INTER_AREA)
        cv2.copyTo(warped, mask, day)
        cv2.copyTo((warped * 0.7).astype(np.uint8), mask, lit)


def _tree(camera: Camera, rng: random.Random, day: np.ndarray, x: float, z: float) -> None:
    haze = min(0.6, z / 420)
    trunk = [(x - 0.2, 0, z), (x + 0.2, 0, z), (x + 0.12, 3, z), (x - 0.12, 3, z)]
    polygon(day, camera.project(np.array(trunk)) * 2, (52, 62, 74))
    for _ in range(420):
        dx, dy = rng.gauss(0, 1.0), rng.gauss(0, 0.9)
        centre = camera.project(np.array((x + dx, 4.2 + dy, z))) * 2
        radius = rng.uniform(0.07, 0.24) * camera.focal / z * 2
        light = 0.75 + 0.22 * dy + rng.uniform(-0.12, 0.12)
        colour = [c * light * (1 - haze) + 190 * haze for c in (52, 88, 70)]
        cv2.circle(day, (round(centre[0]), round(centre[1])), round(radius), colour, -1)


def _lamp_light(camera: Camera) -> np.ndarray:
    """How much of the street lamps' light falls on each pixel's ground, (h, w, 1), 0 to 1."""
    x, z = camera.ground()
    light = np.zeros(x.shape)
    for lamp_x, lamp_z in ((-4, 52.0), (4, 66.0), (-4, 27.0), (4, 12.0)):
        with np.errstate(invalid="ignore", over="ignore"):
            light += np.nan_to_num(
                np.exp(-(((x - lamp_x * 0.5) / 3.6) ** 2) - ((z - lamp_z) / 6.0) ** 2)
            )
    return np.clip(light, 0, 1)[..., None]
