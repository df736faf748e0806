"""What really happens in the generated city: which car stood before which camera, and when."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from benchmarks.ocr_noise import Noise
from benchmarks.plates import bare, make, successor

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SLICE = 10 * MINUTE  # what is planned and held in memory at once
START = 1_772_434_800 * SECOND  # Monday 2026-03-02 07:00 UTC: a short run sees the rush hour
# Cars by hour of the day against the day's mean, as city counters show them on working days.
RUSH = (0.3, 0.2, 0.1, 0.1, 0.2, 0.6, 1.2, 1.9, 1.9, 1.4, 1.1, 1.1)
RUSH += (1.2, 1.2, 1.3, 1.5, 1.8, 1.9, 1.6, 1.1, 0.8, 0.6, 0.5, 0.4)


@dataclass(frozen=True, slots=True)
class Settings:
    """How often what happens. Shares are 0 to 1; a rate by hour is for each camera."""

    cars_per_hour: float = 120.0  # a camera's or a group's, mean over the day
    # Traffic, shares of arrivals
    platoons: float = 0.25  # 1 to 4 more cars follow within seconds, some beside each other
    fleets: float = 0.01  # 1 to 3 more with consecutive plates, within minutes or in one frame
    known: float = 0.25  # a plate that was seen somewhere in the city before
    returning: float = 0.04  # comes back 6 minutes to 2 hours later
    lingering: float = 0.01  # comes back 20 s to 4 minutes later: still the same stay
    groups: float = 0.1  # cameras that share a gate with another, two by two
    lots: float = 0.1  # cameras that see a car park
    parked: float = 0.04  # of a car park's arrivals: stays 20 minutes to 6 hours
    # Tracking, shares of visits
    fragmented: float = 0.05  # two or three tracks for one car
    switched: float = 0.002  # a track goes over to the next car
    soiled: float = 0.01  # dirt that reads as the same wrong character most of the time
    lettered: float = 0.003  # a lorry's side or a model's name is read beside the plate
    # Reading
    noise: Noise = field(default_factory=Noise)
    rejected: float = 0.05  # of reads: too weak, too short or without a digit
    region_known: float = 0.5  # of reads: the reader tells the region
    overlays: float = 0.1  # of cameras: a text burned in or a sign, always there
    overlay_every_s: float = 60.0  # between two reads of it, mean
    # Delivery, shares of reads
    jumbled: float = 0.02  # up to 0.6 s later than its neighbours
    late: float = 0.001  # 2 to 8 s late
    repeated: float = 0.004  # appended twice, within 2 s
    repeated_later: float = 0.0005  # appended twice, minutes apart
    # Trouble, times an hour
    outages: float = 0.05  # 2 to 10 minutes stored, heartbeats too, then forwarded in order
    lossy: float = 0.1  # of outages: the first half was dropped, a Gap tells
    silences: float = 0.03  # nothing for 1 to 20 minutes, a new session after it
    restarts: float = 0.05  # a new session, a second missing
    stopped: float = 0.5  # of restarts of a camera without a group: SourceEnded before it
    clocks_ahead: float = 0.03  # the camera's clock 2 to 15 minutes ahead, for 1 to 10
    clocks_back: float = 0.03  # 2 to 8 s behind, for 5 to 30 minutes
    skew_us: int = 200_000  # of every camera's clock, at most, either way
    # The edge
    fps: float = 10.0
    heartbeat_s: float = 5.0


class Visit(NamedTuple):
    """A car before a camera, from ``enter_us`` to ``leave_us`` of true time.

    ``gate`` is the camera's group or itself: what is deduplicated as one. ``kind`` is passing,
    platoon, fleet, returning, lingering, parked, or shared (a group's second camera).
    """

    index: int
    plate: str
    painted: str
    region: str
    camera: int
    camera_id: str
    gate: str
    enter_us: int
    leave_us: int
    kind: str


class Trouble(NamedTuple):
    """Something is wrong with a camera from ``start_us`` to ``end_us``.

    ``kind`` is outage, lossy (an outage whose first half is lost), silence or clock;
    ``offset_us`` is what the clock is wrong by.
    """

    kind: str
    start_us: int
    end_us: int
    offset_us: int = 0


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera and all that will go wrong with it."""

    index: int
    camera_id: str
    group: str | None
    lot: bool
    skew_us: int
    troubles: tuple[Trouble, ...]
    sessions: tuple[int, ...]  # when each began
    stops: tuple[int, ...]  # the last moment of sessions that ended with a SourceEnded
    signs: tuple[str, ...]  # texts that are always in its picture

    @property
    def gate(self) -> str:
        """What is deduplicated as one."""
        return self.group or self.camera_id

    def session_at(self, moment: int) -> int:
        """Number of the session that a moment falls into."""
        return max(0, bisect_right(self.sessions, moment) - 1)


SIGNS = ("CAM01 NORTH", "ZONE30", "M25J10", "AB12CDE", "EXIT", "LANE2", "KA45", "GATE 7B")


def cameras(
    rng: Random, count: int, start_us: int, end_us: int, settings: Settings
) -> list[Camera]:
    """The cameras of the city; of a group of two, the second follows the first."""
    # Shares are counted out, not drawn, so that a small city has its car park and its gate too.
    places = list(range(0, count - 1, 2))
    rng.shuffle(places)
    pairs = set(places[: round(count * settings.groups / 2)])
    alone = [n for n in range(count) if n not in pairs and n - 1 not in pairs]
    rng.shuffle(alone)
    lots = set(alone[: round(count * settings.lots)])
    signed = set(rng.sample(range(count), round(count * settings.overlays)))
    hours = (end_us - start_us) / HOUR
    made: list[Camera] = []
    for index in range(count):
        first = index if index in pairs else index - 1
        group = f"gate-{first:03d}" if first in pairs else None
        troubles, sessions, stops = _troubles(rng, hours, start_us, group is None, settings)
        made.append(
            Camera(
                index,
                f"cam-{index:03d}",
                group,
                index in lots,
                rng.randint(-settings.skew_us, settings.skew_us),
                troubles,
                sessions,
                stops,
                (rng.choice(SIGNS),) if index in signed else (),
            )
        )
    return made


def _troubles(
    rng: Random, hours: float, start_us: int, may_stop: bool, settings: Settings
) -> tuple[tuple[Trouble, ...], tuple[int, ...], tuple[int, ...]]:
    def moments(rate: float) -> Iterator[int]:
        at = rng.expovariate(rate) if rate > 0 else hours
        while at < hours:
            yield start_us + int(at * HOUR)
            at += rng.expovariate(rate)

    def lasting(low: float, high: float) -> int:
        return int(rng.uniform(low, high) * MINUTE)

    troubles: list[Trouble] = []
    sessions, stops = [start_us], list[int]()
    for at in moments(settings.outages):
        kind = "lossy" if rng.random() < settings.lossy else "outage"
        troubles.append(Trouble(kind, at, at + lasting(2, 10)))
    for at in moments(settings.silences):
        troubles.append(Trouble("silence", at, at + lasting(1, 20)))
        sessions.append(troubles[-1].end_us)
    for at in moments(settings.restarts):
        troubles.append(Trouble("silence", at, at + SECOND))
        sessions.append(at + SECOND)
        if may_stop and rng.random() < settings.stopped:
            stops.append(at)
    troubles += [
        Trouble("clock", at, at + lasting(1, 10), lasting(2, 15))
        for at in moments(settings.clocks_ahead)
    ]
    troubles += [
        Trouble("clock", at, at + lasting(5, 30), -lasting(2 / 60, 8 / 60))
        for at in moments(settings.clocks_back)
    ]
    return tuple(sorted(troubles, key=lambda t: t.start_us)), tuple(sorted(sessions)), tuple(stops)


class Traffic:
    """Plans the visits of a city slice by slice; the same seed plans the same."""

    def __init__(
        self, rng: Random, cameras: list[Camera], start_us: int, end_us: int, settings: Settings
    ) -> None:
        self._rng = rng
        self._start, self._end = start_us, end_us
        self._settings = settings
        gates: dict[str, list[Camera]] = {}
        for camera in cameras:
            gates.setdefault(camera.gate, []).append(camera)
        self._gates = list(gates.values())
        self._seen: list[tuple[str, str]] = []
        self._again: dict[int, list[tuple[int, list[Camera], str, str, str]]] = {}
        self._index = 0

    def slices(self) -> Iterator[tuple[int, list[Visit]]]:
        """Every slice's start in microseconds, and the visits that begin in it or soon after."""
        for start in range(self._start, self._end, SLICE):
            visits: list[Visit] = []
            for at, gate, painted, region, kind in self._again.pop(start // SLICE, ()):
                visits += self._visit(at, gate, painted, region, kind)
            rate = self._settings.cars_per_hour * rush(start) / self._cars_per_arrival() / HOUR
            for gate in self._gates:
                at = start + self._rng.expovariate(rate)
                while at < min(start + SLICE, self._end):
                    visits += self._arrival(int(at), gate)
                    at += self._rng.expovariate(rate)
            visits = [visit for visit in visits if visit.enter_us < self._end]
            visits.sort(key=lambda visit: visit.enter_us)
            first, self._index = self._index, self._index + len(visits)
            yield start, [v._replace(index=first + n) for n, v in enumerate(visits)]

    def _cars_per_arrival(self) -> float:
        s = self._settings
        return 1 + s.platoons * 2.5 + s.fleets * 2 + s.returning + s.lingering

    def _arrival(self, at: int, gate: list[Camera]) -> Iterator[Visit]:
        rng, settings = self._rng, self._settings
        painted, region = self._plate()
        chance = rng.random()
        if chance < settings.fleets:
            yield from self._visit(at, gate, painted, region, "fleet")
            together = rng.random() < 0.4
            for _ in range(rng.randint(1, 3)):
                painted = successor(painted, region)
                at += int((rng.uniform(0.1, 0.4) if together else rng.uniform(1, 80)) * SECOND)
                yield from self._visit(at, gate, painted, region, "fleet")
            return
        if gate[0].lot and rng.random() < settings.parked:
            yield from self._visit(at, gate, painted, region, "parked")
            return
        yield from self._visit(at, gate, painted, region, "passing")
        back = rng.random()
        if back < settings.returning:
            self._schedule(at + int(rng.uniform(6, 120) * MINUTE), gate, painted, region)
        elif back < settings.returning + settings.lingering:
            later = at + int(rng.uniform(40, 240) * SECOND)
            yield from self._visit(later, gate, painted, region, "lingering")
        if chance > 1 - settings.platoons:
            for _ in range(rng.randint(1, 4)):
                at += int((0 if rng.random() < 0.25 else rng.uniform(0.8, 3)) * SECOND)
                yield from self._visit(at, gate, *self._plate(), "platoon")

    def _schedule(self, at: int, gate: list[Camera], painted: str, region: str) -> None:
        self._again.setdefault(at // SLICE, []).append((at, gate, painted, region, "returning"))

    def _plate(self) -> tuple[str, str]:
        rng = self._rng
        if self._seen and rng.random() < self._settings.known:
            return rng.choice(self._seen)
        plate = make(rng)
        if len(self._seen) < 5000:
            self._seen.append(plate)
        elif rng.random() < 0.2:
            self._seen[rng.randrange(5000)] = plate
        return plate

    def _visit(
        self, at: int, gate: list[Camera], painted: str, region: str, kind: str
    ) -> Iterator[Visit]:
        rng = self._rng
        if kind == "parked":
            lasts = min(rng.lognormvariate(0.1, 0.8), 6.0) * HOUR + 20 * MINUTE
        elif len(gate) > 1:
            lasts = rng.uniform(6, 20) * SECOND  # a barrier to wait for
        else:
            lasts = rng.uniform(1.5, 5) * SECOND
        for camera in gate:
            yield Visit(
                0,
                bare(painted),
                painted,
                region,
                camera.index,
                camera.camera_id,
                camera.gate,
                at,
                min(at + int(lasts), self._end),
                kind,
            )
            at += int(rng.uniform(0.2, 2) * SECOND)
            kind = "shared"


def rush(moment: int) -> float:
    """Traffic at a moment against the mean of its day."""
    return RUSH[moment // HOUR % 24]
