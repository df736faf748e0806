"""A plate's passes as what its pages show: pure, and all text still to be escaped."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from api import view
from projections.journeys import Met
from projections.queries import Row
from rules.alerts.watch import LIKE
from rules.company import Company, company
from rules.journey import Hop, Stop, Trip, hop
from rules.pseudonym import is_pseudonym
from rules.similarity import similarity

_EPOCH = view.instant(0)
_US = timedelta(microseconds=1)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LEVELS = 4
_SHORT_STAY = 60_000_000  # below, a stay is but a passing by


@dataclass(frozen=True, slots=True)
class Halt:
    """A stop of a trip, with what lies between it and the one before."""

    number: int
    id: str
    plate: str
    other: bool
    corrected: bool
    camera: str
    place: tuple[str, ...]
    seen: view.Moment
    stay: str
    crop: str
    percent: int
    status: str
    placed: bool
    gap: str
    far: str
    speed: str
    impossible: bool


@dataclass(frozen=True, slots=True)
class Way:
    """A trip: from when to when, over what, and its halts in the order of time."""

    id: str
    begins: view.Moment
    ends: view.Moment
    pause: str
    continued: bool
    cameras: int
    km: str
    lasted: str
    impossible: int
    halts: tuple[Halt, ...]

    @property
    def span(self) -> str:
        """``21 Nov 2026, 07:41 – 08:20``."""
        if self.begins.exact == self.ends.exact:
            return self.begins.exact
        end = self.ends.time if self.begins.date == self.ends.date else self.ends.exact
        return f"{self.begins.exact} – {end}"


@dataclass(frozen=True, slots=True)
class Week:
    """How often at each hour of each day of the week, Monday first: counts, levels 0 to 4."""

    rows: tuple[tuple[tuple[int, int], ...], ...]
    told: str


def stop_of(row: Row) -> Stop:
    """A pass as the rules take it; coordinates that are none on earth are left out."""
    latitude, longitude = row["latitude"], row["longitude"]
    if not on_earth(latitude, longitude):
        latitude = longitude = None
    return Stop(
        event_id=str(row["event_id"]),
        camera_id=row["camera_id"],
        gate=row["camera_group"] or row["camera_id"],
        captured_at=_us(row["captured_at"]),
        first_seen=_us(row["first_seen"]),
        last_seen=_us(row["last_seen"]),
        latitude=latitude,
        longitude=longitude,
    )


def on_earth(latitude: float | None, longitude: float | None) -> bool:
    """Whether these are coordinates at all."""
    return (
        latitude is not None
        and longitude is not None
        and -90 <= latitude <= 90
        and -180 <= longitude <= 180
    )


def way(trip: Trip, rows: dict[str, Row], plates: Sequence[str], pause: int) -> Way:
    """A trip of stops whose rows are given by id, numbered from 1 on."""
    first, last = rows[trip.stops[0].event_id], rows[trip.stops[-1].event_id]
    km = trip.km
    return Way(
        id=trip.stops[0].event_id,
        begins=view.moment(first["first_seen"], first["timezone"]),
        ends=view.moment(last["last_seen"], last["timezone"]),
        pause=_length(trip.pause) if trip.pause is not None and trip.pause > pause else "",
        continued=trip.pause is not None and trip.pause <= pause,
        cameras=trip.cameras,
        km=distance(km) if km else "",
        lasted=_length(trip.elapsed),
        impossible=trip.impossible,
        halts=tuple(
            _halt(number, stop, between, rows[stop.event_id], plates)
            for number, (stop, between) in enumerate(
                zip(trip.stops, (None, *trip.hops), strict=True), 1
            )
        ),
    )


def journey(stops: Sequence[Stop], made: Sequence[Trip], before: Stop | None) -> list[Row]:
    """For programs: of each stop its trip's place among all, from 0, and the hop to it."""
    of = [number for number, trip in enumerate(made) for _ in trip.stops]
    hops = [None if before is None else hop(before, stops[0])] if stops else []
    hops += [hop(one, other) for one, other in pairwise(stops)]
    return [
        {"trip": number, "hop": None if between is None else hop_told(between)}
        for number, between in zip(of, hops, strict=True)
    ]


def hop_told(between: Hop) -> dict[str, Any]:
    """A hop for programs."""
    return {
        "seconds": between.elapsed / 1e6,
        "km": _rounded(between.km, 3),
        "kmh": _rounded(between.kmh, 1),
        "impossible": between.impossible,
    }


def trip_told(trip: Trip, pause: int) -> dict[str, Any]:
    """A trip for programs."""
    return {
        "first_seen": view.instant(trip.stops[0].first_seen),
        "last_seen": view.instant(max(stop.last_seen for stop in trip.stops)),
        "pause_s": None if trip.pause is None else trip.pause / 1e6,
        "continued": trip.pause is not None and trip.pause <= pause,
        "stops": len(trip.stops),
        "cameras": trip.cameras,
        "km": _rounded(trip.km, 3),
        "seconds": trip.elapsed / 1e6,
        "impossible": trip.impossible,
    }


def companions(met: Met, plates: Sequence[str], limit: int) -> list[tuple[Row, Company]]:
    """Who was near, least likely by chance first. ``alike`` may be the same vehicle, misread."""
    measured = [
        (
            row | {"alike": any(_alike(row["text"], plate) for plate in plates)},
            company(row["occasions"], met.chances, met.crowd, row["seen"], met.total),
        )
        for row in met.rows
    ]
    measured.sort(key=lambda one: (-one[1].unlikely, -one[1].share, one[0]["text"]))
    return measured[:limit]


def chance(of: Company) -> str:
    """How unlikely it is, in words: ``1 in 40``, ``1 in 10^12``."""
    if of.unlikely < 0.3:
        return "as chance has it"
    if of.unlikely < 6:
        return f"1 in {_two_digits(10**of.unlikely):,}"
    return f"1 in 10^{int(of.unlikely)}"


def week(rows: Sequence[Row]) -> Week:
    """When passes were, in the time zones of their cameras."""
    counted: Counter[tuple[int, int]] = Counter()
    for row in rows:
        local = row["captured_at"].astimezone(view.zone(row["timezone"]))
        counted[local.weekday(), local.hour] += 1
    most = max(counted.values(), default=0)
    told = ", ".join(
        f"{DAYS[day]} at {hour:02d}:00 ({times} ×)"
        for (day, hour), times in sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:3]
    )
    cells = tuple(
        tuple(
            (n := counted[day, hour], -(-n * _LEVELS // most) if most else 0) for hour in range(24)
        )
        for day in range(7)
    )
    return Week(cells, told)


def best(rows: Sequence[Row]) -> Row | None:
    """The pass with the best picture of the plate; the latest of equals. None without any."""
    shown = [row for row in rows if row["plate_image_url"]]
    return max(shown, key=lambda row: row["quality_score"] * row["plate_confidence"], default=None)


def distance(km: float) -> str:
    """``240 m``, ``3.4 km``, ``27 km``."""
    if km < 1:
        return f"{round(km * 100) * 10} m"
    return f"{km:.1f} km" if km < 10 else f"{km:,.0f} km"


def _halt(number: int, stop: Stop, between: Hop | None, row: Row, plates: Sequence[str]) -> Halt:
    stay = stop.last_seen - stop.first_seen
    return Halt(
        number=number,
        id=stop.event_id,
        plate=row["plate"],
        other=row["plate"] not in plates and not is_pseudonym(row["plate"]),
        corrected=row["corrected_by"] is not None,
        camera=stop.camera_id,
        place=view.place(row),
        seen=view.moment(row["first_seen"], row["timezone"]),
        stay=_length(stay) if stay >= _SHORT_STAY else "",
        crop=view.picture(row["plate_image_url"]),
        percent=view.percent(row["plate_confidence"]),
        status=row["status"],
        placed=stop.latitude is not None,
        gap=_gap(between),
        far="" if between is None or not between.km else distance(between.km),
        speed="" if between is None or not between.kmh else _speed(between.kmh),
        impossible=between is not None and between.impossible,
    )


def _gap(between: Hop | None) -> str:
    if between is None:
        return ""
    return _length(between.elapsed) if between.elapsed > 0 else "before both at once"


def _speed(kmh: float) -> str:
    return f"{kmh:,.0f} km/h" if kmh >= 1 else ""


def _length(us: int) -> str:
    length = timedelta(microseconds=us)
    if length >= timedelta(days=2):
        return f"{length.days} days"
    return view.duration(length) if length >= timedelta(seconds=10) else f"{us / 1e6:.0f} s"


def _two_digits(number: float) -> int:
    whole = round(number)
    step = 10 ** max(0, len(str(whole)) - 2)
    return whole // step * step


def _alike(one: str, other: str) -> bool:
    if is_pseudonym(one) or is_pseudonym(other):
        return False
    return similarity(one, other) >= LIKE


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _US
