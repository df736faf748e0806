"""The generated city's edges: cars before cameras become records of the raw topic."""

from collections.abc import Iterable
from hashlib import sha256
from operator import itemgetter
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from benchmarks.ocr_noise import LETTERINGS, WORDS, Reading, Recogniser
from benchmarks.plates import bare
from benchmarks.traffic import HOUR, MINUTE, SECOND, SLICE, Camera, Settings, Visit
from schemas.records import Box, Images, Node, Vehicle
from schemas.topics import partition_of

WIDTH, HEIGHT = 1920, 1080
READER = "generated 1"
# Reads of a car that drives by, as an edge makes them that reads again only for a better crop
# and until reads agree: 4 in the mean with those of fragments and junk.
READS = (1,) * 6 + (2,) * 15 + (3,) * 24 + (4,) * 24 + (5,) * 15 + (6,) * 9 + (7,) * 5 + (8,) * 2
REORDER = SECOND  # an edge's reorder buffer: heartbeats stay this far behind
FORWARDING = 5 * SECOND  # to forward what an outage stored
NOBODY = 0xFFFFFFFF
COLORS = ("white", "black", "grey", "blue", "red", None)
TYPES = ("car", "car", "car", "truck", "bus", "motorcycle")
VEHICLES: list[Vehicle] = [
    {"type": kind, "make": None, "model": None, "color": color}
    for kind in TYPES
    for color in COLORS
]
NO_IMAGES: Images = {"plate_url": "", "vehicle_url": "", "frame_url": ""}


class Item(NamedTuple):
    """A record of alpr.reads.raw as the log holds it; ``name`` is its schema's.

    Parts of ``record`` (node, images, vehicle) are shared between records: not to be changed.
    """

    appended_at: int
    partition: int
    key: bytes | None
    name: str
    record: Any


def visit_of(read_id: str) -> int | None:
    """Index of the visit that a generated read is of; None for what is no plate of a car.

    The truth is carried by the id itself, which decisions never look into.
    """
    index = int(read_id[:8], 16)
    return None if index == NOBODY else index


class Lens:
    """What the edge keeps for one camera while it generates."""

    def __init__(
        self, camera: Camera, partitions: int, start_us: int, settings: Settings, rng: Random
    ) -> None:
        self.camera = camera
        self.calm = not camera.troubles
        self.key = camera.gate.encode()
        self.partition = partition_of(self.key, partitions)
        self.node: Node = {
            "site": "city",
            "host": f"edge-{camera.index // 8:02d}",
            "zone": f"zone-{camera.index // 20}",
            "lane": "",
            "latitude": 48.0 + camera.index / 1000,
            "longitude": 8.0 + camera.index / 1000,
            "timezone": "Europe/Berlin",
        }
        self.latency = rng.randint(100_000, 300_000)
        self.phase = rng.randrange(int(settings.heartbeat_s * SECOND))
        self.lane = self.spot = self.tracks = 0
        self.last: tuple[str, int] = ("", 0)  # the track of the latest car and when it left
        self.sign_at = start_us

    def session(self, moment: int) -> tuple[str, int]:
        """Name and start of the session at a moment."""
        camera = self.camera
        number = 0 if self.calm else camera.session_at(moment)
        return f"{camera.camera_id}-{number}", camera.sessions[number]

    def track(self, session: str) -> str:
        """A new track."""
        self.tracks += 1
        return f"t-{session}-{self.tracks}"

    def clock(self, moment: int) -> int:
        """What the camera's clock shows."""
        wrong = self.camera.skew_us
        for trouble in self.camera.troubles:
            if trouble.kind == "clock" and trouble.start_us <= moment < trouble.end_us:
                wrong += trouble.offset_us
        return moment + wrong

    def lost(self, moment: int) -> bool:
        """Whether what is captured at a moment never reaches the log."""
        for kind, start, end, _ in self.camera.troubles:
            if start > moment:
                return False
            last = start + (end - start) // 2 if kind == "lossy" else end
            if kind in ("silence", "lossy") and moment < last:
                return True
        return False

    def forwarded(self, moment: int) -> int:
        """When the log gets what the edge stored at a moment: later in an outage, in order."""
        for kind, start, end, _ in self.camera.troubles:
            if kind in ("outage", "lossy") and start <= moment < end + FORWARDING:
                moment = end + (moment - start) * FORWARDING // (end + FORWARDING - start)
        return moment


class Edge:
    """Turns visits into records and keeps those that the log gets later, by slice."""

    def __init__(
        self, seed: int, cameras: list[Camera], partitions: int, start_us: int, settings: Settings
    ) -> None:
        rng = Random(f"{seed} edge")
        self._rng = rng
        self._partitions = partitions
        self._settings = settings
        self._recogniser = Recogniser(rng, settings.noise)
        self._lenses = [Lens(camera, partitions, start_us, settings, rng) for camera in cameras]
        self._frame_us = int(SECOND / settings.fps)
        self._slices: dict[int, list[Item]] = {}
        self._reads = 0
        tag = sha256(f"{seed}".encode()).hexdigest()
        self._tag = f"-{tag[:4]}-8{tag[4:7]}-8{tag[7:10]}-"

    def drive_by(self, visit: Visit) -> None:
        """All reads of one visit."""
        rng, settings = self._rng, self._settings
        lens = self._lenses[visit.camera]
        enter, lasts = visit.enter_us, visit.leave_us - visit.enter_us
        moments = self._parked(visit) if visit.kind == "parked" else self._passing(enter, lasts)
        session, began = lens.session(enter)
        track = lens.track(session)
        chance = rng.random()
        cut = len(moments)
        before, left = lens.last
        if (
            chance < settings.switched
            and enter - left < 3 * SECOND
            and before.startswith(f"t-{session}-")
        ):
            track = before
            cut = (cut + 1) // 2
        elif chance > 1 - settings.fragmented:
            cut = rng.randint(1, 2)
        soiled = rng.random() < settings.soiled
        soil = self._recogniser.soil(visit.plate) if soiled else None
        lens.lane = (lens.lane + 1) % 3
        if visit.kind == "parked":
            lens.spot = (lens.spot + 1) % 24
        frame = -1
        for number, moment in enumerate(moments):
            if not lens.calm and lens.session(moment)[0] != session:
                session, began = lens.session(moment)
                track, frame = lens.track(session), -1
            elif number == cut or (number == 2 * cut and chance > 1 - settings.fragmented / 3):
                track = lens.track(session)
            frame = max(frame + 1, (moment - began) // self._frame_us)
            box = self._box(visit, lens, (moment - enter) / max(1, lasts))
            reading, own = self._reading(visit, soil)
            place = (session, began, frame, track if own else lens.track(session))
            self._emit(visit, lens, place, reading, box)
        lens.last = (track, visit.leave_us)
        if rng.random() < settings.lettered:
            self._lettering(lens, visit)

    def live(self, start: int, end: int) -> None:
        """Heartbeats, ticks, signs, ends of sessions and gaps of a slice."""
        self._ticks(start, end)
        every = int(self._settings.heartbeat_s * SECOND)
        for lens in self._lenses:
            camera = lens.camera
            first = start + (lens.phase - start) % every
            for moment in range(first, end, every):
                self._heartbeat(lens, moment)
            for sign in camera.signs:
                self._sign(lens, sign, end)
            for stop in camera.stops:
                if start <= stop < end:
                    self._ended(lens, stop, "stopped")
            for trouble in camera.troubles:
                if trouble.kind == "lossy" and start <= trouble.start_us < end:
                    self._gap(lens, trouble.start_us, trouble.end_us)

    def appended(self, start: int, end: int) -> Iterable[Item]:
        """The records that the log gets from ``start`` to before ``end``, in order."""
        items = self._slices.pop(start // SLICE, [])
        items.sort(key=itemgetter(0))
        if end % SLICE == 0:
            return items
        self._slices.setdefault(end // SLICE, []).extend(i for i in items if i[0] >= end)
        return [i for i in items if i[0] < end]

    def finish(self, end: int) -> Iterable[Item]:
        """What still arrives within 30 s after the last slice; then every camera is stopped."""
        last = end + 30 * SECOND
        self._ticks(end, last + SECOND)
        for lens in self._lenses:
            self._ended(lens, end, "stopped", last)
        items = [i for items in self._slices.values() for i in items if i[0] <= last]
        return sorted(items, key=itemgetter(0))

    def _parked(self, visit: Visit) -> list[int]:
        """Moments of reads: four at first, then as seldom as the edge throttles."""
        moments = self._passing(visit.enter_us, 8 * SECOND, 4)
        at = moments[-1]
        while (at := at + int(self._rng.uniform(60, 150) * SECOND)) < visit.leave_us:
            moments.append(at)
        return moments

    def _passing(self, enter: int, lasts: int, reads: int | None = None) -> list[int]:
        random = self._rng.random
        count = reads or READS[int(random() * 100)]
        step = lasts / count
        return [enter + int((n + random()) * step) for n in range(count)]

    def _reading(self, visit: Visit, soil: tuple[int, str] | None) -> tuple[Reading, bool]:
        """A reading of a car, and whether it belongs to the plate's own track."""
        chance = self._rng.random() / max(self._settings.rejected, 1e-9)
        if chance < 0.6:
            return self._recogniser.blurred(visit.plate), True
        if chance < 0.8:
            return self._recogniser.fragment(visit.plate), True
        if chance < 1:
            return self._recogniser.lettering(self._rng.choice(WORDS)), False
        if soil and self._rng.random() < 0.6:
            return self._recogniser.soiled(visit.plate, *soil), True
        return self._recogniser.read(visit.plate, visit.painted), True

    def _box(self, visit: Visit, lens: Lens, progress: float) -> Box:
        """Where the plate is: growing down its lane, or still on its spot of a car park."""
        random = self._rng.random
        if visit.kind == "parked":
            x = 40 + lens.spot % 8 * 230 + int(random() * 3)
            y = 60 + lens.spot // 8 * 70 + int(random() * 3)
            return {"x": x, "y": y, "width": 90, "height": 24}
        width = 70 + int(progress * 130)
        x = 200 + lens.lane * 560 + int(progress * 60 + random() * 4)
        y = 300 + int(progress * 620 + random() * 4)
        return {"x": x, "y": y, "width": width, "height": width // 4}

    def _emit(
        self,
        visit: Visit | None,
        lens: Lens,
        place: tuple[str, int, int, str],
        reading: Reading,
        box: Box,
    ) -> None:
        """One read; ``place`` is its session, when that began, its frame and its track."""
        random, settings = self._rng.random, self._settings
        session, began, frame, track = place
        moment = began + frame * self._frame_us
        if not lens.calm and lens.lost(moment):
            return
        captured = moment + lens.camera.skew_us if lens.calm else lens.clock(moment)
        self._reads += 1
        index = visit.index if visit else NOBODY
        text, confidence, characters, alternatives = reading
        record = {
            "read_id": f"{index:08x}{self._tag}{self._reads:012x}",
            "camera_id": lens.camera.camera_id,
            "camera_group": lens.camera.group,
            "session": session,
            "captured_at": captured,
            "track_id": track,
            "frame_number": frame,
            "text": text,
            "confidence": confidence,
            "char_confidences": characters,
            "alternatives": alternatives,
            "region": visit.region if visit and random() < settings.region_known else None,
            "box": box,
            "frame_width": WIDTH,
            "frame_height": HEIGHT,
            "vehicle": VEHICLES[crc32(visit.plate.encode()) % len(VEHICLES)] if visit else None,
            "direction": "approaching",
            "quality": round(box["width"] / 250 * (0.6 + 0.4 * random()), 3),
            "images": NO_IMAGES,
            "node": lens.node,
            "reader": READER,
        }
        delay = lens.latency + int(random() * 20_000)
        chance = random()
        if chance < settings.jumbled:
            delay += int(random() * 600_000)
        elif chance > 1 - settings.late:
            delay += int((2 + 6 * random()) * SECOND)
        self._append(lens, moment + delay, "PlateRead", record)
        chance = random()
        if chance < settings.repeated:
            self._append(lens, moment + delay + int(2 * random() * SECOND), "PlateRead", record)
        elif chance > 1 - settings.repeated_later:
            later = int((1 + 5 * random()) * MINUTE)
            self._append(lens, moment + delay + later, "PlateRead", record)

    def _append(self, lens: Lens, at: int, name: str, record: Any) -> None:
        if not lens.calm:
            at = lens.forwarded(at)
        item = Item(at, lens.partition, lens.key, name, record)
        items = self._slices.get(at // SLICE)
        if items is None:
            self._slices[at // SLICE] = [item]
        else:
            items.append(item)

    def _lettering(self, lens: Lens, visit: Visit) -> None:
        """What else is written on a car, once to three times in a track of its own."""
        rng = self._rng
        session, began = lens.session(visit.enter_us)
        track, text = lens.track(session), rng.choice(LETTERINGS)
        frame = (visit.enter_us - began) // self._frame_us
        for number in range(rng.randint(1, 3)):
            box = self._box(visit, lens, 0.2 + number / 10)
            box["y"] -= 90
            reading = self._recogniser.lettering(text)
            place = (session, began, frame + number * 3, track)
            self._emit(None, lens, place, reading, box)

    def _sign(self, lens: Lens, text: str, end: int) -> None:
        """Reads of a sign until ``end``, in a new track whenever a car has covered it."""
        rng = self._rng
        session = ""
        track = ""
        while lens.sign_at < end:
            current, began = lens.session(lens.sign_at)
            if current != session or rng.random() < 0.4:
                session, track = current, lens.track(current)
            frame = (lens.sign_at - began) // self._frame_us
            if frame >= 0:
                box: Box = {"x": 30, "y": 1020, "width": 180, "height": 30}
                reading = self._recogniser.read(bare(text), text)
                self._emit(None, lens, (session, began, frame, track), reading, box)
            lens.sign_at += int(rng.expovariate(1 / self._settings.overlay_every_s) * SECOND) + 1

    def _ticks(self, start: int, end: int) -> None:
        first = -(-start // SECOND) * SECOND
        for at in range(first, end, SECOND):
            items = self._slices.setdefault(at // SLICE, [])
            for partition in range(self._partitions):
                items.append(Item(at, partition, None, "Tick", {"at": at}))

    def _heartbeat(self, lens: Lens, moment: int) -> None:
        if not lens.calm and lens.lost(moment):
            return
        session, began = lens.session(moment)
        wrong = lens.clock(moment) - moment
        record = self._of(lens, session) | {
            "captured_at": moment + wrong - REORDER,
            "state": "live",
            "frames_seen": (moment - began) // self._frame_us,
            "frames_dropped": 0,
            "fps": self._settings.fps,
            "clock_offset_us": 0,
        }
        self._append(lens, moment, "CameraHeartbeat", record)

    def _ended(self, lens: Lens, moment: int, reason: str, at: int | None = None) -> None:
        session, _ = lens.session(moment)
        record = self._of(lens, session) | {
            "captured_at": lens.clock(moment),
            "reason": reason,
        }
        self._append(lens, moment + SECOND if at is None else at, "SourceEnded", record)

    def _gap(self, lens: Lens, start: int, end: int) -> None:
        session, _ = lens.session(start)
        half = start + (end - start) // 2
        record = self._of(lens, session) | {
            "from_at": lens.clock(start),
            "to_at": lens.clock(half),
            "dropped": int((half - start) / HOUR * self._settings.cars_per_hour * 4),
        }
        self._append(lens, half, "Gap", record)

    def _of(self, lens: Lens, session: str) -> dict[str, Any]:
        camera = lens.camera
        return {
            "camera_id": camera.camera_id,
            "camera_group": camera.group,
            "session": session,
        }
