"""What analytics answer, made of the few counts that a view gives, for programs and the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal

from api import parameters
from api.errors import BadInput
from projections.analytics import Analytics, By, Scope
from rules import local_time
from rules.alerts.calendar import zone as zone_of
from rules.spread import CONFIDENCE, READS, Measure, added

MOST_DAYS = 400
"""Of one question: a year, and the same weeks of the next beside it."""
MOST_HOURLY_DAYS = 35
_YEARS = (1970, 2200)  # of captures that can be asked for
_HOUR = timedelta(hours=1)
RANGES: Mapping[str, int] = {"today": 1, "7d": 7, "30d": 30}
"""Days of each, today included."""

Range = Literal["today", "7d", "30d"]
Interval = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which time, of which cameras, by whose clock."""

    start: datetime
    end: datetime
    timezone: str
    zone: tzinfo
    scope: Scope

    @property
    def whole_hours(self) -> tuple[datetime, datetime]:
        """The hours (UTC) that the time touches."""
        start = self.start - (self.start - _EPOCH) % _HOUR
        return start, -((_EPOCH - self.end) // _HOUR) * _HOUR + _EPOCH


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(  # noqa: PLR0917 (what an address may say)
    now: datetime,
    range_: str | None,
    start_time: str | None,
    end_time: str | None,
    timezone: str | None,
    camera: str | None,
    site: str | None,
) -> Asked:
    """What is asked for; the last 7 days where no time is. Raises BadInput."""
    name = parameters.text("timezone", timezone) or "UTC"
    zone = zone_of(name)
    if zone is None:
        raise BadInput(f"timezone={name!r} is no time zone: give a name such as Europe/Berlin")
    start, end = (
        parameters.read_time(name, text, zone)
        for name, text in (("start_time", start_time), ("end_time", end_time))
    )
    if start and end and start > end:
        raise BadInput(f"start_time={start_time!r} is after end_time={end_time!r}: exchange them")
    if range_ is not None and (start or end):
        raise BadInput(
            f"range={range_} and a time were both given: leave out the one that is not meant"
        )
    end = end or now
    if start is None:
        days = RANGES[range_ or "7d"]
        before = end.astimezone(zone).date() - timedelta(days=days - 1)
        start = local_time.midnight(before, zone)
    if not (_YEARS[0] <= start.year and end.year < _YEARS[1]):
        raise BadInput(f"there are no times before {_YEARS[0]} or from {_YEARS[1]} on to ask for")
    if start >= end:
        raise BadInput(
            f"start_time={start_time!r} is not before the end, {end.isoformat()}: give an earlier "
            "one, or a later end_time"
        )
    if end - start > timedelta(days=MOST_DAYS):
        raise BadInput(
            f"the time is {(end - start).days:,} days long, at most {MOST_DAYS} are counted at "
            "once: ask for a part of it"
        )
    scope = Scope(parameters.text("camera", camera), parameters.text("site", site))
    return Asked(start, end, name, zone, scope)


def marks(asked: Asked, interval: Interval) -> list[datetime]:
    """Where the buckets begin, and the end of the last. Raises BadInput for too many."""
    if interval == "day":
        return local_time.days(asked.start, asked.end, asked.zone)
    if asked.end - asked.start > timedelta(days=MOST_HOURLY_DAYS):
        raise BadInput(
            f"interval=hour over {(asked.end - asked.start).days} days is too much for one "
            f"answer: ask for interval=day, or for at most {MOST_HOURLY_DAYS} days"
        )
    return local_time.hours(asked.start, asked.end, asked.zone)


def told(analytics: Analytics, asked: Asked, start: datetime, end: datetime) -> dict[str, Any]:
    """What every answer says first."""
    behind = analytics.behind()
    return {
        "start": start,
        "end": end,
        "timezone": asked.timezone,
        "behind": None if behind is None else {"changes": behind.changes, "hours": behind.hours},
    }


def counts(
    analytics: Analytics, asked: Asked, interval: Interval, by: By, limit: int
) -> dict[str, Any]:
    """Sightings by hour or day."""
    at = marks(asked, interval)
    found = analytics.counts(at, asked.scope, by, limit)
    if by == "all":
        found.groups.setdefault("", [0] * (len(at) - 1))

    def points(name: str, numbers: Sequence[int]) -> list[dict[str, Any]]:
        return [
            {"time": time, "name": name, "sightings": number}
            for time, number in zip(at, numbers, strict=False)
        ]

    grouped = [one for name, numbers in found.groups.items() for one in points(name, numbers)]
    total = sum(map(sum, found.groups.values())) + sum(found.other)
    return {
        **told(analytics, asked, at[0], at[-1]),
        "interval": interval,
        "by": by,
        "total": total,
        "points": grouped,
        "other": points("other", found.other) if any(found.other) else [],
    }


def groups(analytics: Analytics, asked: Asked, by: By, limit: int) -> dict[str, Any]:
    """Sightings of each camera, site, vehicle type or region."""
    start = local_time.quarters_down(asked.start)
    end = local_time.quarters_up(asked.end)
    found = analytics.counts([start, end], asked.scope, by, limit)
    total = sum(map(sum, found.groups.values())) + sum(found.other)
    return {
        **told(analytics, asked, start, end),
        "by": by,
        "total": total,
        "groups": [
            {"name": name, "sightings": number, "share": round(number / total, 6)}
            for name, (number,) in found.groups.items()
        ],
        "other": found.other[0],
    }


def week(analytics: Analytics, asked: Asked) -> dict[str, Any]:
    """Sightings by hour of the week. Over any time: only 168 numbers are told."""
    at = local_time.hours(asked.start, asked.end, asked.zone)
    found = analytics.counts(at, asked.scope, "all", 1)
    numbers = found.groups.get("", [0] * (len(at) - 1))
    table = local_time.week(at, numbers, asked.zone)
    return {
        **told(analytics, asked, at[0], at[-1]),
        "hours": [
            {"weekday": day + 1, "hour": hour, "sightings": number, "hours": often}
            for day, row in enumerate(table)
            for hour, (number, often) in enumerate(row)
        ],
    }


def plates(analytics: Analytics, asked: Asked) -> dict[str, Any]:
    """New and returning plates by day."""
    at = local_time.days(asked.start, asked.end, asked.zone)
    return {
        **told(analytics, asked, at[0], at[-1]),
        "days": [
            {
                "day": mark.astimezone(asked.zone).date(),
                "plates": different,
                "new": new,
                "returning": different - new,
            }
            for mark, (different, new) in zip(at, analytics.plates(at, asked.scope), strict=False)
        ],
    }


def top(analytics: Analytics, asked: Asked, limit: int) -> dict[str, Any]:
    """The plates there most often."""
    rows = analytics.top(asked.start, asked.end, asked.scope, limit)
    return {**told(analytics, asked, asked.start, asked.end), "plates": rows}


def spread(analytics: Analytics, asked: Asked, measure: Measure) -> dict[str, Any]:
    """How a measure is spread, over all and by camera."""
    start, end = asked.whole_hours
    found = analytics.spread(measure.name, start, end, asked.scope)
    return {
        **told(analytics, asked, start, end),
        "unit": measure.unit,
        "edges": measure.edges,
        "all": _quantiles(measure, None, added([*found.values()], measure.bins)),
        "cameras": [_quantiles(measure, name, found[name]) for name in found],
    }


def quality(analytics: Analytics, asked: Asked) -> dict[str, Any]:
    """How well plates are read."""
    start, end = asked.whole_hours
    rows = analytics.quality(start, end, asked.scope)
    names = [name for name in rows[0] if name != "camera_id"] if rows else []
    whole: dict[str, Any] = {name: sum(row[name] for row in rows) for name in names}
    histograms = {}
    for measure in (CONFIDENCE, READS):
        found = analytics.spread(measure.name, start, end, asked.scope)
        histograms[measure.name] = _quantiles(measure, None, added([*found.values()], measure.bins))
        histograms[f"{measure.name}_edges"] = measure.edges
    return {
        **told(analytics, asked, start, end),
        "all": _quality(None, whole),
        "cameras": [_quality(row["camera_id"], row) for row in rows],
        **histograms,
    }


def _quality(camera: str | None, row: Mapping[str, Any]) -> dict[str, Any]:
    number: Callable[[str], int] = lambda name: row.get(name, 0)  # noqa: E731
    stands, gone = number("sightings"), number("retracted")
    return {
        "camera_id": camera,
        "sightings": stands,
        "reads_a_sighting": _share(number("read_total"), stands),
        "revised": number("revised"),
        "revised_share": _share(number("revised"), stands),
        "corrected": number("corrected"),
        "hidden": number("hidden"),
        "retracted": gone,
        "retracted_share": _share(gone, stands + gone),
        "merged": number("merged"),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _quantiles(measure: Measure, camera: str | None, numbers: Sequence[int]) -> dict[str, Any]:
    shares = {f"p{percent}": measure.quantile(numbers, percent * 10) for percent in (10, 50, 90)}
    return {
        "camera_id": camera,
        "sightings": sum(numbers),
        **shares,
        "p99": measure.quantile(numbers, 990),
        "counts": list(numbers),
    }
