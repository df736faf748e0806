"""The demo's own drive-by: vehicles pass a gate's camera at dusk, and what is true is known.

Geometry is exact (a pinhole, metres, seconds), so which plate is legible in which frame is
computed, not measured; the picture is then made worse as cameras do: motion, noise, compression.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import orjson

from training import plates, street, vehicles
from training.plates import Colour, Plate
from training.street import Camera
from training.vehicles import Body, Vehicle

BANNER = "KX51 OVR"  # the recorder's own mark, burned in: plate-like, and no plate
CAMERA_NAME = "CAM-03 GATE2"
# Height of a character from which PP-OCRv6 (small) reads these plates, measured on seeds 1 and 2:
# from 9 pixels every one unless O and 0 are mixed up, below 7 hardly.
LEGIBLE_PX = 9.0
SECONDS = 31.0
_FAR = 130.0  # metres: where a vehicle comes into the picture
_LANES = {1: -1.55, 2: 1.55}  # metres beside the road's middle
_COLOURS: dict[str, Colour] = {
    "white": (226, 228, 228),
    "silver": (172, 170, 168),
    "black": (46, 42, 40),
    "red": (48, 40, 168),
    "blue": (150, 92, 44),
    "green": (72, 98, 58),
    "yellow": (58, 176, 214),
    "grey": (112, 110, 108),
}


class DriveByError(Exception):
    """The drive-by could not be written, or its truth not be read."""


@dataclass(frozen=True, slots=True)
class PlateTruth:
    """One vehicle's stay: legible from first_frame to last_frame, both included."""

    plate: str  # letters and digits
    lines: tuple[str, ...]  # as printed
    country: str  # ISO 3166
    vehicle: str
    colour: str
    lane: int
    parked: bool
    first_frame: int
    last_frame: int
    best_frame: int  # the largest
    first_us: int  # from the clip's beginning
    last_us: int
    width_px: float  # at the best frame


@dataclass(frozen=True, slots=True)
class Truth:
    """What there is to see in a drive-by; `other_texts` are no plates."""

    seed: int
    size: tuple[int, int]
    fps: float
    frames: int
    plates: tuple[PlateTruth, ...]
    other_texts: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Truth":
        """Read what `save` wrote; raises DriveByError if it is missing or something else."""
        try:
            fields = orjson.loads(path.read_bytes())
            seen = tuple(
                PlateTruth(**{**plate, "lines": tuple(plate["lines"])})
                for plate in fields.pop("plates")
            )
            size = tuple(fields.pop("size"))
            return cls(
                plates=seen, size=size, other_texts=tuple(fields.pop("other_texts")), **fields
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DriveByError(
                f"no truth of a drive-by in {path}: {error}; render the clip again"
            ) from error


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle on its way: where its front is in every frame."""

    body: Body
    colour: str
    plate: Plate
    lane: int
    parked: bool
    x: np.ndarray  # (frames,) metres
    z: np.ndarray


def scene(
    seed: int = 1, size: tuple[int, int] = (1280, 720), fps: float = 20, seconds: float = SECONDS
) -> "Scene":
    """The drive-by of this seed, planned but not drawn."""
    rng = random.Random(seed)
    frames = round(seconds * fps)
    passages = tuple(_passages(rng, frames, fps))
    return Scene(seed, Camera(size=size), fps, frames, passages)


@dataclass(frozen=True, slots=True)
class Scene:
    """A planned drive-by: its truth at once, its frames one by one."""

    seed: int
    camera: Camera
    fps: float
    frames: int
    passages: tuple[Passage, ...]

    def truth(self) -> Truth:
        """What is to be read in it."""
        seen = [self._legible(passage) for passage in self.passages]
        letters = {text for p in self.passages for text in p.body.lettering}
        return Truth(
            seed=self.seed,
            size=self.camera.size,
            fps=self.fps,
            frames=self.frames,
            plates=tuple(sorted((s for s in seen if s), key=lambda s: s.first_frame)),
            other_texts=(BANNER, CAMERA_NAME, street.SIGN, *sorted(letters)),
        )

    def corners(self, passage: Passage, frame: int) -> np.ndarray | None:
        """The plate's corners in pixels, clockwise from top left (4, 2); None if out of sight."""
        z = float(passage.z[frame])
        if not 2.0 < z < _FAR:
            return None
        points = vehicles.plate_corners(passage.body, passage.plate, float(passage.x[frame]), z)
        corners = self.camera.project(points)
        inside = (corners >= 3).all() and (corners < np.array(self.camera.size) - 3).all()
        return corners if inside else None

    def draw(
        self, which: Iterable[int] | None = None, *, start: datetime | None = None
    ) -> Iterator[np.ndarray]:
        """The frames, or those wanted, BGR uint8; `start` is the time that is burned in, UTC.

        A frame is the same whichever others are drawn.
        """
        rng = random.Random(self.seed + 1)
        day, night = street.still(self.camera, rng)
        grains = _grains(rng, self.camera.size)
        start = start or datetime(2026, 11, 6, 16, 41, 8, tzinfo=UTC)
        cars: dict[int, Vehicle] = {}  # drawn when they come, so that the first frame comes soon
        overlay, ground, second, dusk = day[:0], day, -1, -1
        for frame in range(self.frames) if which is None else which:
            if frame // 5 != dusk:  # light falls by less than one grey level in five frames
                dusk = frame // 5
                light = self._light(dusk * 5)
                ground = cv2.addWeighted(day, light, night, 1 - light, 0)
            if int(frame / self.fps) != second:  # the clock shows whole seconds
                second = int(frame / self.fps)
                overlay = _overlay(self.camera.size[0], start + timedelta(seconds=second))
            picture = ground.copy()
            there = [k for k, p in enumerate(self.passages) if -6 < p.z[frame] < _FAR]
            for k in sorted(there, key=lambda k: -self.passages[k].z[frame]):
                if k not in cars:
                    cars[k] = self._vehicle(self.passages[k])
                self._drive(picture, self.passages[k], cars[k], frame)
            chance = random.Random(f"{self.seed}, {frame}")
            _expose(picture, grains, chance, self._light(frame))
            _burn_in(picture, overlay)
            yield picture

    def _light(self, frame: int) -> float:
        return 1 - 0.86 * _smooth(frame / self.frames)

    def _vehicle(self, passage: Passage) -> Vehicle:
        near = int(np.argmin(np.abs(passage.z - 10)))
        colour = _COLOURS[passage.colour]
        inner = -math.copysign(1, _LANES[passage.lane])
        return Vehicle.of(passage.body, colour, passage.plate, self._light(near), inner)

    def _drive(self, picture: np.ndarray, passage: Passage, car: Vehicle, frame: int) -> None:
        x, z = float(passage.x[frame]), float(passage.z[frame])
        hull = vehicles.paint(picture, self.camera, car, x, z)
        ahead = float(passage.z[max(frame - 1, 0)]) - z
        if len(hull) and ahead > 0:
            exposure = (1 / 200 + (1 / 125 - 1 / 200) * (1 - car.light)) * self.fps
            point = np.array((x, passage.body.plate, max(z, 5.0)))
            moved = self.camera.project(point - (0, 0, ahead * exposure)) - self.camera.project(
                point
            )
            _smear(picture, hull, moved)
        if z > 2.5:
            _headlights(picture, self.camera, car, x, z)

    def _legible(self, passage: Passage) -> PlateTruth | None:
        layout = passage.plate.layout
        widths: dict[int, float] = {}
        for frame in range(self.frames):
            corners = self.corners(passage, frame)
            if corners is None:
                continue
            height = float(corners[3, 1] - corners[0, 1]) * layout.character / layout.size[1]
            if height >= LEGIBLE_PX:
                widths[frame] = float(corners[1, 0] - corners[0, 0])
        if not widths:
            return None
        first, last, best = min(widths), max(widths), max(widths, key=lambda f: widths[f])
        return PlateTruth(
            plate=passage.plate.normalized,
            lines=passage.plate.lines,
            country=layout.country,
            vehicle=passage.body.name,
            colour=passage.colour,
            lane=passage.lane,
            parked=passage.parked,
            first_frame=first,
            last_frame=last,
            best_frame=best,
            first_us=round(first * 1_000_000 / self.fps),
            last_us=round(last * 1_000_000 / self.fps),
            width_px=round(widths[best], 1),
        )


def frames(seed: int = 1, **how) -> Iterator[np.ndarray]:
    """The frames of `scene(seed, **how)`, drawn as they are asked for."""
    return scene(seed, **how).draw()


def render(
    path: str | Path,
    *,
    seed: int = 1,
    size: tuple[int, int] = (1280, 720),
    fps: float = 20,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Truth:
    """Write the drive-by as an MP4, its truth beside it as `NAME.truth.json`.

    `progress` is called with the number of frames written and their total. Raises DriveByError
    where the file cannot be written.
    """
    path = Path(path)
    planned = scene(seed, size, fps, seconds)
    if not path.parent.is_dir():
        raise DriveByError(f"cannot write {path}: the folder {path.parent} is not there; make it")
    # MPEG-4 part 2 is the encoder that every OpenCV wheel brings
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise DriveByError(f"cannot write {path}: OpenCV opens no MP4 there; try another folder")
    try:
        for count, frame in enumerate(planned.draw(), 1):
            writer.write(frame)
            if progress:
                progress(count, planned.frames)
    finally:
        writer.release()
    truth = planned.truth()
    truth.save(path.with_suffix(".truth.json"))
    return truth


def later(clip: str | Path, path: str | Path, seconds: float) -> None:
    """Write a clip again as at another gate, with some seconds of an empty street before it.

    The empty street is its first frame, out of focus; there is no shop with letters over it there.
    Raises DriveByError where it cannot be read or written.
    """
    video = cv2.VideoCapture(str(clip))
    found, frame = video.read()
    if not found:
        raise DriveByError(f"cannot read {clip}: OpenCV finds no picture in it; render it anew")
    fps, size = video.get(cv2.CAP_PROP_FPS), (frame.shape[1], frame.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise DriveByError(f"cannot write {path}: OpenCV opens no MP4 there; try another folder")
    try:
        dim = cv2.GaussianBlur(frame, (0, 0), size[0] / 40)
        # The shop's board hangs higher than the camera: above this row, and plates below.
        board = np.s_[: size[1] // 7, 3 * size[0] // 4 :]
        for _ in range(round(seconds * fps)):
            writer.write(dim)
        while found:
            frame[board] = dim[board]
            writer.write(frame)
            found, frame = video.read()
    finally:
        writer.release()
        video.release()


def contact_sheet(planned: Scene, every: int = 40, columns: int = 4) -> np.ndarray:
    """Every n-th frame at a third of its size, to look at."""
    w, h = (side // 3 for side in planned.camera.size)
    small = [cv2.resize(f, (w, h)) for f in planned.draw(range(0, planned.frames, every))]
    small += [np.zeros_like(small[0])] * (-len(small) % columns)
    return np.vstack([np.hstack(small[k : k + columns]) for k in range(0, len(small), columns)])


def _passages(rng: random.Random, frames: int, fps: float) -> Iterator[Passage]:
    """Who comes by: a fixed cast with plates, colours and speeds by chance.

    Gaps are such that nobody hides another's plate while it is legible.
    """
    fleet = plates.chance("de", rng)
    cast = (  # seconds when the front is 9 m away, lane, body, plate, stop in seconds
        (3.4, 1, "saloon", plates.chance("fr", rng), 0.0),
        (6.2, 2, "suv", plates.chance("br", rng), 0.0),
        (8.4, 1, "van", fleet, 0.0),
        (13.4, 1, "van", plates.successor(fleet), 0.0),
        (11.2, 2, "saloon", plates.chance("vn-two-line", rng), 5.5),
        (18.2, 1, "suv", plates.chance("us-ca", rng), 0.0),
        (22.6, 2, "lorry", plates.chance("it", rng), 0.0),
        (25.0, 1, "saloon", plates.chance("gb", rng), 0.0),
        (28.6, 2, "saloon", plates.chance("vn", rng), 0.0),
    )
    paints = rng.sample(sorted(set(_COLOURS) - {"white", "yellow"}), 6)
    for when, lane, body, plate, stop in cast:
        colour = {"van": "white", "lorry": "yellow"}.get(body) or paints.pop()
        speed = rng.uniform(5.0, 6.2)  # m/s: a gate's 20 km/h
        z = _approach(when + rng.uniform(-0.25, 0.25), speed, stop, frames, fps)
        drift = rng.uniform(-0.12, 0.12)
        x = _LANES[lane] + drift + 0.08 * np.sin(z / 9 + rng.uniform(0, 6))
        yield Passage(vehicles.BODIES[body], colour, plate, lane, stop > 0, x, z)


def _approach(when: float, speed: float, stop: float, frames: int, fps: float) -> np.ndarray:
    """Metres ahead by frame: 9 m at `when` at an even speed, or a stop there of `stop` seconds."""
    if not stop:
        return 9.0 + speed * (when - np.arange(frames) / fps)
    halt, slow = 10.0, 1.8  # metres from the camera; m/s², an easy braking
    z = np.empty(frames)
    braking = speed / slow
    for frame in range(frames):
        t = frame / fps - when
        if t < 0:
            before = min(-t, braking)
            z[frame] = halt + slow * before**2 / 2 + speed * max(0.0, -t - braking)
        else:
            gone = max(0.0, t - stop)
            pull = min(gone, braking)
            z[frame] = halt - slow * pull**2 / 2 - speed * (gone - pull)
    return z


def _smooth(t: float) -> float:
    return t * t * (3 - 2 * t)


def _smear(picture: np.ndarray, hull: np.ndarray, moved: np.ndarray) -> None:
    """Blur what lies in the hull along its way during the exposure, in pixels."""
    if math.hypot(*moved) < 0.35:
        return
    h, w = picture.shape[:2]
    x0, y0 = np.maximum(np.floor(hull.min(0)).astype(int) - 4, 0)
    x1, y1 = np.minimum(np.ceil(hull.max(0)).astype(int) + 4, (w, h))
    if x1 <= x0 or y1 <= y0:
        return
    roi = picture[y0:y1, x0:x1]
    blurred = cv2.sepFilter2D(roi, -1, _box(moved[0]), _box(moved[1]))
    mask = np.zeros(roi.shape[:2], np.uint8)
    outline = cv2.convexHull(hull.astype(np.float32))[:, 0] - (x0, y0)
    street.polygon(mask, outline, (255,), cv2.LINE_8)
    cv2.copyTo(blurred, mask, roi)


def _box(length: float) -> np.ndarray:
    """A box kernel of this length in pixels, its ends by fractions."""
    reach = math.ceil(abs(length) / 2)
    weights = [
        min(1.0, max(0.0, (abs(length) + 1) / 2 - abs(k) + 0.0)) for k in range(-reach, reach + 1)
    ]
    return np.array(weights, np.float32) / sum(weights)


def _headlights(picture: np.ndarray, camera: Camera, car: Vehicle, x: float, z: float) -> None:
    strength = 0.2 + 0.8 * (1 - car.light)
    lamp_x, lamp_y = car.body.lamps
    size = camera.focal / z * (0.5 + 0.35 * (1 - car.light))
    for side in (-1, 1):
        middle = camera.project(np.array((x + side * lamp_x, lamp_y, z)))
        _add_glow(picture, middle, (size, size), strength * 0.9)
    if car.light < 0.7:  # the beam on the road ahead
        near = camera.project(np.array((x, 0.0, max(z - 3.2, 2.4))))
        width = camera.focal / max(z - 3.2, 2.4) * 3.0
        _add_glow(picture, near, (width, width * 0.5), 0.25 * (0.7 - car.light))


def _add_glow(
    picture: np.ndarray, middle: np.ndarray, size: tuple[float, float], strength: float
) -> None:
    """Add a soft warm light, falling off to nothing at `size` pixels across."""
    h, w = picture.shape[:2]
    across, down = max(2, round(size[0])), max(2, round(size[1]))
    x, y = round(float(middle[0]) - across / 2), round(float(middle[1]) - down / 2)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + across, w), min(y + down, h)
    if x1 <= x0 or y1 <= y0:
        return
    soft = cv2.resize(_fall_off(), (across, down))[y0 - y : y1 - y, x0 - x : x1 - x]
    warm = cv2.merge([cv2.convertScaleAbs(soft, alpha=strength * c) for c in (0.86, 0.95, 1.0)])
    roi = picture[y0:y1, x0:x1]
    cv2.add(roi, warm, dst=roi)


@cache
def _fall_off() -> np.ndarray:
    """A round light from 255 in the middle to nothing at the edge."""
    u = np.linspace(-1, 1, 192)
    return (np.clip(1 - np.hypot(u[None, :], u[:, None]), 0, 1) ** 2.4 * 255).astype(np.uint8)


def _grains(rng: random.Random, size: tuple[int, int]) -> list[np.ndarray]:
    """Sensor noise around 16, BGR, from bright light to dim: deviations in grey levels."""
    noise = np.random.default_rng(rng.getrandbits(32))
    shape = (size[1], size[0])
    luma = noise.standard_normal((*shape, 1), np.float32)
    grain = luma + 0.4 * noise.standard_normal((*shape, 3), np.float32)
    return [cv2.convertScaleAbs(grain * d + 16) for d in (1.2, 1.6, 2.0, 2.5, 3.0, 3.6)]


def _expose(
    picture: np.ndarray, grains: list[np.ndarray], rng: random.Random, light: float
) -> None:
    grain = grains[min(len(grains) - 1, int((1 - light) * len(grains)))]
    # the same grain turned and moved by chance: fresh noise would cost more than the drawing
    moved = np.roll(grain, rng.randrange(grain.shape[0]), axis=0)[:, :: rng.choice((1, -1))]
    cv2.add(picture, moved, dst=picture)
    cv2.subtract(picture, np.array((16.0, 16, 16, 0)), dst=picture)


def _overlay(width: int, now: datetime) -> np.ndarray:
    """The recorder's text: camera and clock on the left, its mark on the right."""
    scale = width / 1280
    bar = np.zeros((round(34 * scale), width, 3), np.uint8)
    text = f"{CAMERA_NAME}  {now:%Y-%m-%d %H:%M:%S}"
    for words, middle in ((text, 220 * scale), (BANNER, width - 80 * scale)):
        plates.small_print(bar, words, (middle, bar.shape[0] / 2), 17 * scale, (240, 240, 240))
    return bar


def _burn_in(picture: np.ndarray, overlay: np.ndarray) -> None:
    bar = picture[: len(overlay)]
    cv2.addWeighted(bar, 0.45, overlay, 1.0, 0, dst=bar)
