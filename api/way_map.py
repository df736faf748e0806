"""A way over cameras as a drawing: pure geometry, in pixels, without any map behind it.

Places are drawn by the equirectangular projection around their middle (Snyder, Map Projections: A
Working Manual, 1987, p. 90), which is true to scale there; over a city nothing else shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, cos, floor, hypot, log10, radians

from rules.earth import EARTH_KM
from rules.journey import Stop, hop

_KM_A_DEGREE = EARTH_KM * radians(1)
_LEAST_KM = 0.3  # of what is shown: a single camera is no point in nothing
_MARGIN_X, _MARGIN_Y = 0.12, 50  # for labels beside, of the width, and below, px
_ONE = 15  # px: places that are closer are drawn as one
_PILL = 11  # half the height of a stop's mark
_LETTER, _CAPITAL, _LINE = 7.0, 8.4, 15  # px: of a label at 12 px and 600, and its line
_LONGEST = 20  # letters of a label
_NUMBERS = 3  # of the stops at a place that its mark shows
_BEND = 0.14  # of its length an arrow is bent, so that there and back are two


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the way: its numbers in a pill around ``x``, ``y``, and its label."""

    x: float
    y: float
    width: float
    numbers: str
    label: str
    title: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one mark to another: a path, and the three points of its head."""

    path: str
    head: str
    title: str
    impossible: bool
    points: tuple[tuple[float, float], ...]
    """Some of those it goes through."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that is drawn. ``others`` are cameras beside the way; ``bar`` is the scale's, in px."""

    width: int
    height: int
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]
    others: tuple[tuple[float, float, str], ...]
    bar: float
    bar_label: str


@dataclass(slots=True)
class _Place:
    x: float
    y: float
    cameras: list[str]
    numbers: list[int]

    @property
    def half(self) -> float:
        return max(_PILL, len(_numbers(self.numbers)) * 3.7 + 6)


def draw(
    stops: Sequence[Stop],
    others: Iterable[tuple[str, float, float]] = (),
    size: tuple[int, int] = (760, 430),
) -> Drawing | None:
    """The stops that have coordinates, numbered by their place in ``stops`` from 1 on.

    ``others`` are more cameras with their latitude and longitude. None where no stop has any.
    """
    width, height = size
    placed = [
        (number, stop, stop.latitude, stop.longitude)
        for number, stop in enumerate(stops, 1)
        if stop.latitude is not None and stop.longitude is not None
    ]
    if not placed:
        return None
    middle = placed[0][3]
    turned = [(lat, _near(lon, middle)) for _, _, lat, lon in placed]
    south, north = min(lat for lat, _ in turned), max(lat for lat, _ in turned)
    west, east = min(lon for _, lon in turned), max(lon for _, lon in turned)
    centre = ((south + north) / 2, (west + east) / 2)
    narrower = max(0.01, cos(radians(centre[0])))
    across = max((east - west) * narrower * _KM_A_DEGREE, _LEAST_KM)
    along = max((north - south) * _KM_A_DEGREE, _LEAST_KM)
    room = width * (1 - 2 * _MARGIN_X), height - 2 * _MARGIN_Y
    scale = min(room[0] / across, room[1] / along)

    def point(latitude: float, longitude: float) -> tuple[float, float]:
        right = (_near(longitude, centre[1]) - centre[1]) * narrower * _KM_A_DEGREE * scale
        up = (latitude - centre[0]) * _KM_A_DEGREE * scale
        return width / 2 + right, height / 2 - up

    places: list[_Place] = []
    where: dict[int, _Place] = {}
    for number, stop, latitude, longitude in placed:
        x, y = point(latitude, longitude)
        place = next((p for p in places if hypot(p.x - x, p.y - y) < _ONE), None)
        if place is None:
            place = _Place(x, y, [], [])
            places.append(place)
        if stop.camera_id not in place.cameras:
            place.cameras.append(stop.camera_id)
        place.numbers.append(number)
        where[number] = place
    visited = {stop.camera_id for stop in stops}
    beside = [(*point(lat, lon), name) for name, lat, lon in others if name not in visited]
    bar, label = _scale(scale, width)
    arrows = list(_arrows(placed, where))
    return Drawing(
        width,
        height,
        tuple(_marks(places, arrows, width, height)),
        tuple(arrows),
        tuple(
            (round(x, 1), round(y, 1), name)
            for x, y, name in beside
            if 6 < x < width - 6 and 6 < y < height - 6
        ),
        bar,
        label,
    )


def _near(longitude: float, other: float) -> float:
    """The same longitude, turned to be within half the earth of another."""
    return other + (longitude - other + 180) % 360 - 180


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NUMBERS]))
    return shown if len(numbers) <= _NUMBERS else f"{shown} …"


def _marks(
    places: Sequence[_Place], arrows: Sequence[Arrow], width: int, height: int
) -> Iterable[Mark]:
    """Each label goes where it covers least of what is there already."""
    taken = [(p.x - p.half, p.y - _PILL, p.x + p.half, p.y + _PILL) for p in places]
    taken += [(x - 4, y - 4, x + 4, y + 4) for arrow in arrows for x, y in arrow.points]
    taken += [(0, height - 30, width / 4 + 60, height), (width - 34, 0, width, 54)]
    for place in places:
        label = _label(place.cameras)
        long = sum(_LETTER if c.islower() or c in " .-_/1iIl" else _CAPITAL for c in label)
        reach = long + place.half + 2 * _LINE  # no label of this place goes farther
        close = [
            box
            for box in taken
            if box[0] < place.x + reach
            and box[2] > place.x - reach
            and box[1] < place.y + 3 * _LINE
            and box[3] > place.y - 3 * _LINE
        ]
        best: tuple[float, tuple[float, float, float, float], str] | None = None
        side, over, under = place.half + 5, _PILL + 4 + _LINE, _PILL + 4
        for x, y, anchor in (
            (place.x + side, place.y - _LINE / 2, "start"),
            (place.x - side - long, place.y - _LINE / 2, "end"),
            (place.x - long / 2, place.y + under, "middle"),
            (place.x - long / 2, place.y - over, "middle"),
            (place.x + side - 6, place.y + under - 3, "start"),
            (place.x - side + 6 - long, place.y + under - 3, "end"),
            (place.x + side - 6, place.y - over + 3, "start"),
            (place.x - side + 6 - long, place.y - over + 3, "end"),
        ):
            box = (x, y, x + long, y + _LINE)
            out = max(0, 4 - x) + max(0, x + long + 4 - width)
            out += max(0, 4 - y) + max(0, y + _LINE + 4 - height)
            covered = out * 100 + sum(_shared(box, other) for other in close)
            if best is None or covered < best[0]:
                best = (covered, box, anchor)
            if not covered:
                break
        assert best is not None
        _, box, anchor = best
        taken.append(box)
        at = {"start": box[0], "end": box[2], "middle": (box[0] + box[2]) / 2}[anchor]
        yield Mark(
            round(place.x, 1),
            round(place.y, 1),
            round(2 * place.half, 1),
            _numbers(place.numbers),
            label,
            f"{' / '.join(place.cameras)}: {', '.join(map(str, place.numbers))}",
            round(at, 1),
            round(box[1] + 0.75 * _LINE, 1),
            anchor,
        )


def _label(cameras: Sequence[str]) -> str:
    more = f" +{len(cameras) - 1}" if len(cameras) > 1 else ""
    name, most = cameras[0], _LONGEST - len(more)
    return (name if len(name) <= most else name[: most - 1] + "…") + more


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    if other[0] >= one[2] or other[2] <= one[0] or other[1] >= one[3] or other[3] <= one[1]:
        return 0.0
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across * along


def _arrows(
    placed: Sequence[tuple[int, Stop, float, float]], where: dict[int, _Place]
) -> Iterable[Arrow]:
    """One from a place to another, however often that way was taken."""
    ways: dict[tuple[int, int], list[tuple[int, bool]]] = {}
    ends: dict[tuple[int, int], tuple[_Place, _Place]] = {}
    for (number, stop, _, _), (after, next_stop, _, _) in pairwise(placed):
        start, end = where[number], where[after]
        if start is end:
            continue
        key = (id(start), id(end))
        ends[key] = start, end
        # Over a stop without coordinates the line leads on, but says nothing of speed.
        too_fast = after == number + 1 and hop(stop, next_stop).impossible
        ways.setdefault(key, []).append((number, too_fast))
    for key, taken in ways.items():
        start, end = ends[key]
        told = ", ".join(f"{number} to {number + 1}" for number, _ in taken[:8])
        yield _arrow(start, end, told, any(too_fast for _, too_fast in taken))


def _arrow(start: _Place, end: _Place, title: str, impossible: bool) -> Arrow:
    dx, dy = end.x - start.x, end.y - start.y
    bent_x = (start.x + end.x) / 2 - dy * _BEND
    bent_y = (start.y + end.y) / 2 + dx * _BEND
    from_x, from_y = _edge(start, bent_x, bent_y, 2)
    to_x, to_y = _edge(end, bent_x, bent_y, 3)
    long = hypot(to_x - bent_x, to_y - bent_y) or 1.0
    ux, uy = (to_x - bent_x) / long, (to_y - bent_y) / long
    back_x, back_y = to_x - 9 * ux, to_y - 9 * uy
    head = (
        f"{to_x:.1f},{to_y:.1f} {back_x - 4.5 * uy:.1f},{back_y + 4.5 * ux:.1f} "
        f"{back_x + 4.5 * uy:.1f},{back_y - 4.5 * ux:.1f}"
    )
    path = f"M{from_x:.1f} {from_y:.1f}Q{bent_x:.1f} {bent_y:.1f} {back_x:.1f} {back_y:.1f}"
    curve = ((from_x, from_y), (bent_x, bent_y), (to_x, to_y))
    steps = max(4, round(hypot(dx, dy) / 10))
    points = tuple(_along(curve, step / steps) for step in range(steps + 1))
    return Arrow(path, head, title, impossible, points)


def _along(
    curve: tuple[tuple[float, float], tuple[float, float], tuple[float, float]], share: float
) -> tuple[float, float]:
    """A point of a quadratic Bézier curve."""
    (ax, ay), (bx, by), (cx, cy) = curve
    a, b, c = (1 - share) ** 2, 2 * share * (1 - share), share**2
    return a * ax + b * bx + c * cx, a * ay + b * by + c * cy


def _edge(place: _Place, to_x: float, to_y: float, gap: float) -> tuple[float, float]:
    """Where a line from a mark to a point leaves the mark."""
    dx, dy = to_x - place.x, to_y - place.y
    half_x, half_y = place.half + gap, _PILL + gap
    share = 1 / max(abs(dx) / half_x, abs(dy) / half_y, 1e-9)
    # A corner of the pill is round: a line that goes there has not so far to go.
    share = min(share, 1.0) * (1 - 0.2 * min(1.0, abs(dx * dy) / (dx * dx + dy * dy + 1e-9) * 2))
    return place.x + dx * share, place.y + dy * share


def _scale(scale: float, width: int) -> tuple[float, str]:
    """The longest bar of 1, 2 or 5 times a power of ten that is no more than a quarter wide."""
    most = width / 4 / scale
    power = 10.0 ** floor(log10(most))
    km = next(step * power for step in (5, 2, 1) if step * power <= most * 1.000001)
    label = f"{ceil(km * 1000)} m" if km < 1 else f"{km:,.0f} km"
    return round(km * scale, 1), label
