"""The way of one plate over cameras: what its sightings, in event time, say of hops and trips.

Times are integers, microseconds UTC. Distances are along the great circle between two cameras,
so a road is longer and every speed is rather too low.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rules.earth import kilometres

_HOUR = 3_600_000_000
PAUSE = 4 * _HOUR
"""A longer time without a sighting ends a trip: longer than most errands, shorter than a night."""
FASTER, FARTHER = 250.0, 1.0
"""km/h and km, the defaults of the rule ``impossible_travel``: an alert and a journey agree."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A sighting as a place on a way. ``gate`` is what its camera watches: its group, or itself."""

    event_id: str
    camera_id: str
    gate: str
    captured_at: int
    first_seen: int
    last_seen: int
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """From one stop to the next: µs between leaving and coming, km where both have a place.

    ``elapsed`` is 0 or less where it was before both cameras at once. ``kmh`` is the least speed
    that the distance asks for; None where there is no distance or no time. ``impossible``: two
    vehicles with one plate, or a misread.
    """

    elapsed: int
    km: float | None
    kmh: float | None
    impossible: bool


@dataclass(frozen=True, slots=True)
class Trip:
    """Stops without a long pause between them, and the hops between each two of them.

    ``pause`` is how long it had not been seen before, None where that is not known.
    """

    stops: tuple[Stop, ...]
    hops: tuple[Hop, ...]
    pause: int | None

    @property
    def km(self) -> float | None:
        """The sum of the distances that are known; None where none is."""
        known = [hop.km for hop in self.hops if hop.km is not None]
        return sum(known) if known else None

    @property
    def elapsed(self) -> int:
        """From the first sight to the last, µs."""
        return max(stop.last_seen for stop in self.stops) - self.stops[0].first_seen

    @property
    def cameras(self) -> int:
        """How many different ones."""
        return len({stop.camera_id for stop in self.stops})

    @property
    def impossible(self) -> int:
        """How many of its hops nobody drives."""
        return sum(hop.impossible for hop in self.hops)


def hop(before: Stop, after: Stop) -> Hop:
    """What lies between two stops."""
    elapsed = after.first_seen - before.last_seen
    km = _km(before, after)
    kmh = km * _HOUR / elapsed if km is not None and elapsed > 0 else None
    # As impossible_travel decides it: from when it was last seen, cameras of one gate never.
    late = after.captured_at - max(before.last_seen, before.captured_at)
    impossible = (
        km is not None
        and before.gate != after.gate
        and km > FARTHER
        and km * _HOUR > FASTER * max(late, 0)
    )
    return Hop(elapsed, km, kmh, impossible)


def trips(stops: Sequence[Stop], pause: int = PAUSE, before: Stop | None = None) -> list[Trip]:
    """Stops in event time, parted where the plate was not seen for longer than ``pause`` µs.

    ``before`` is the stop that comes before all of them, if one is known.
    """
    if not stops:
        return []
    first = None if before is None else hop(before, stops[0]).elapsed
    found: list[Trip] = []
    begun, seen, pauses = [stops[0]], list[Hop](), first
    for one, other in pairwise(stops):
        between = hop(one, other)
        if between.elapsed > pause:
            found.append(Trip(tuple(begun), tuple(seen), pauses))
            begun, seen, pauses = [], [], between.elapsed
        else:
            seen.append(between)
        begun.append(other)
    found.append(Trip(tuple(begun), tuple(seen), pauses))
    return found


def _km(one: Stop, other: Stop) -> float | None:
    if (
        one.latitude is None
        or one.longitude is None
        or other.latitude is None
        or other.longitude is None
    ):
        return None
    return kilometres(one.latitude, one.longitude, other.latitude, other.longitude)
