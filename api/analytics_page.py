"""The page of analytics: its numbers as bars and shades, which the template only draws."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from api import analysis
from api.analysis import Asked, Interval
from api.view import duration
from projections.analytics import Analytics, By
from projections.queries import Row, SightingQueries
from projections.veil import lifted
from rules.alerts.calendar import zone as zone_of
from rules.spread import CONFIDENCE, DWELL, LATENCY, Measure

_SERIES = 6  # colours that can be told apart; what is beyond is other
_TOP = 15
_GROUPS = 8
_HOURLY = timedelta(days=3)  # bars by the hour up to this, by the day beyond
_CHOICES = 200  # cameras to choose from; where there are more, a name is typed
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_BY: tuple[tuple[By, str], ...] = (
    ("all", "all together"),
    ("camera", "camera"),
    ("site", "site"),
    ("type", "vehicle type"),
    ("region", "country or region"),
)
_SHARES: tuple[tuple[By, str], ...] = (
    ("region", "Countries and regions"),
    ("type", "Vehicles"),
)
_RANGES = (("today", "Today"), ("7d", "7 days"), ("30d", "30 days"))


def clock_of_cameras(queries: SightingQueries) -> str | None:
    """The time zone in which the latest sighting was, to count its days by; None where unknown."""
    with lifted():  # nothing of the sighting is shown
        latest = queries.recent(1)
    name = latest[0]["timezone"] if latest else ""
    return name if name and zone_of(name) else None


def values(
    analytics: Analytics,
    asked: Asked,
    by: By,
    query: Mapping[str, str],
    queries: SightingQueries,
) -> dict[str, Any]:
    """What the template shows for a question; ``query`` is the address's, to lead on from."""
    interval: Interval = "hour" if asked.end - asked.start <= _HOURLY else "day"
    counts = analysis.counts(analytics, asked, interval, by, _SERIES)
    given = {name: query.get(name) or "" for name in ("camera", "site", "start_time", "end_time")}
    preset = query.get("range") or ("" if given["start_time"] or given["end_time"] else "7d")
    behind = counts["behind"]
    shown: dict[str, Any] = {
        "asked": asked,
        "given": given,
        "preset": preset,
        "by": by,
        "choices": _BY,
        "presets": [
            (name, words, _address(query, range=name, start_time="", end_time=""))
            for name, words in _RANGES
        ],
        "own": _address(
            query, range="", start_time=asked.start.astimezone(asked.zone).date().isoformat()
        ),
        "clear": _address(query, camera="", site=""),
        "cameras": _cameras(queries.cameras(), given["camera"]),
        "behind": behind if behind and (behind["changes"] > 1000 or behind["hours"] > 6) else None,
        "span": f"{_moment(asked.start, asked)} to {_moment(asked.end, asked)}",
        "total": counts["total"],
        "interval": interval,
    }
    if not counts["total"]:
        return shown
    quality = analysis.quality(analytics, asked)
    dwell, latency = (analysis.spread(analytics, asked, one) for one in (DWELL, LATENCY))
    days = analysis.plates(analytics, asked)["days"]
    return shown | {
        "over_time": _over_time(counts, asked),
        "week": _week(analysis.week(analytics, asked)["hours"]),
        "plates": _new_and_returning(days),
        "different": sum(day["new"] for day in days),
        "top": _shares(
            [
                {
                    "name": row["plate"],
                    "url": f"/plates/{quote(row['plate'], safe='')}",
                    "sightings": row["sightings"],
                }
                for row in analysis.top(analytics, asked, _TOP)["plates"]
            ]
        ),
        "groups": [
            (words, _grouped(analysis.groups(analytics, asked, name, _GROUPS)))
            for name, words in _SHARES
        ],
        "quality": quality,
        "dwell": _histogram(DWELL, dwell["all"]["counts"], _seconds),
        "dwell_rows": _spread_rows(dwell, _seconds, ("p50", "p90")),
        "latency": _histogram(LATENCY, latency["all"]["counts"], _millis),
        "latency_rows": _spread_rows(latency, _millis, ("p50", "p90", "p99")),
        "confidence": _confidence(quality),
        "seconds": _seconds,
    }


def _address(query: Mapping[str, str], **changed: str) -> str:
    told = {name: value for name, value in {**query, **changed}.items() if value}
    return f"/analytics?{urlencode(told)}"


def _cameras(rows: Iterable[Row], chosen: str) -> list[str]:
    names = sorted({row["camera_id"] for row in rows} | ({chosen} if chosen else set()))
    return names if len(names) <= _CHOICES else []


def _over_time(counts: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Stacked bars, the largest group below, and the same as a table."""
    points = [*counts["points"], *counts["other"]]
    times = list(dict.fromkeys(point["time"] for point in points))
    names = list(dict.fromkeys(point["name"] for point in points))
    numbers = {(point["name"], point["time"]): point["sightings"] for point in points}
    sums = [sum(numbers[name, time] for name in names) for time in times]
    most = max(sums)
    bars: list[dict[str, Any]] = []
    for place, time in enumerate(times):
        low = 0
        for series, name in enumerate(names):
            number = numbers[name, time]
            if number:
                label = f"{_label(time, counts['interval'], asked)}: {number:,}"
                bars.append(
                    {
                        "x": place * 10 + 1,
                        "y": round(100 - 100 * (low + number) / most, 2),
                        "height": round(100 * number / most, 2),
                        "series": _colour(series, counts["by"], name),
                        "label": label if counts["by"] == "all" else f"{label} ({name or '?'})",
                    }
                )
            low += number
    legend = [
        {
            "name": name or "unknown",
            "series": _colour(series, counts["by"], name),
            "total": sum(numbers[name, time] for time in times),
        }
        for series, name in enumerate(names)
    ]
    return {
        "width": len(times) * 10,
        "bars": bars,
        "most": most,
        "legend": legend if counts["by"] != "all" else [],
        "names": [one["name"] for one in legend] if counts["by"] != "all" else ["sightings"],
        "rows": [
            (_label(time, counts["interval"], asked), [numbers[name, time] for name in names])
            for time in times
        ],
        "first": _label(times[0], counts["interval"], asked),
        "last": _label(times[-1], counts["interval"], asked),
    }


def _colour(series: int, by: str, name: str) -> int:
    return _SERIES if by != "all" and name == "other" and series >= _SERIES else series


def _label(time: datetime, interval: str, asked: Asked) -> str:
    local = time.astimezone(asked.zone)
    day = f"{local:%a} {local.day} {local:%b}"
    return f"{day} {local:%H:%M}" if interval == "hour" else day


def _moment(time: datetime, asked: Asked) -> str:
    local = time.astimezone(asked.zone)
    return f"{local.day} {local:%b %Y %H:%M}"


def _week(hours: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a day: sightings an hour on average, and how strongly that is to be shaded, 0 to 9."""
    means = [one["sightings"] / one["hours"] if one["hours"] else 0.0 for one in hours]
    most = max(means) or 1.0
    return [
        {
            "day": day,
            "hours": [
                {
                    "mean": round(means[number * 24 + hour], 1),
                    "shade": _shade(means[number * 24 + hour] / most),
                }
                for hour in range(24)
            ],
        }
        for number, day in enumerate(_DAYS)
    ]


def _shade(part: float) -> int:
    return 1 + int(8 * part) if part else 0


def _new_and_returning(days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    most = max((day["plates"] for day in days), default=0) or 1
    bars: list[dict[str, Any]] = []
    for place, day in enumerate(days):
        low = 0
        for series, name in enumerate(("returning", "new")):
            number = day[name]
            if number:
                bars.append(
                    {
                        "x": place * 10 + 1,
                        "y": round(100 - 100 * (low + number) / most, 2),
                        "height": round(100 * number / most, 2),
                        "series": series,
                        "label": f"{day['day']:%a %d %b}: {number:,} {name}",
                    }
                )
            low += number
    return {"width": max(1, len(days)) * 10, "bars": bars, "most": most, "rows": days}


def _shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with ``width``: their part of the largest, of 100."""
    most = max((row["sightings"] for row in rows), default=0) or 1
    return [row | {"width": round(100 * row["sightings"] / most, 2)} for row in rows]


def _grouped(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [
        {"name": one["name"] or "unknown", "url": "", "sightings": one["sightings"]}
        for one in found["groups"]
    ]
    if found["other"]:
        rows.append({"name": "all others", "url": "", "sightings": found["other"]})
    return _shares(rows)


def _histogram(measure: Measure, counts: Sequence[int], words: Any) -> dict[str, Any]:
    """Bars of equal width from the first bin that has something to the last."""
    there = [n for n, count in enumerate(counts) if count]
    first, last = there[0], there[-1]
    most = max(counts)
    bars = []
    rows = []
    for place, n in enumerate(range(first, last + 1)):
        start, end = measure.span(n)
        label = f"from {words(start)}" if end is None else f"{words(start)} to {words(end)}"
        rows.append((label, counts[n]))
        bars.append(
            {
                "x": place * 10 + 0.5,
                "y": round(100 - 100 * counts[n] / most, 2),
                "height": round(100 * counts[n] / most, 2),
                "label": f"{label}: {counts[n]:,}",
            }
        )
    end = measure.span(last)[1]
    return {
        "width": 10 * len(bars),
        "bars": bars,
        "rows": rows,
        "first": words(measure.span(first)[0]),
        "last": words(end) if end is not None else f"over {words(measure.span(last)[0])}",
        "most": most,
    }


def _confidence(quality: Mapping[str, Any]) -> dict[str, Any]:
    return _histogram(CONFIDENCE, quality["confidence"]["counts"], _percent)


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _spread_rows(
    found: Mapping[str, Any], words: Any, quantiles: Sequence[str]
) -> list[tuple[str, int, list[str]]]:
    told = [found["all"], *found["cameras"]] if len(found["cameras"]) > 1 else found["cameras"]
    return [
        (
            one["camera_id"] if one["camera_id"] is not None else "all",
            one["sightings"],
            [words(one[name]) for name in quantiles],
        )
        for one in told
    ]


def _seconds(value: float) -> str:
    return duration(timedelta(seconds=value)) if value < 600 else _long(value)


def _long(value: float) -> str:
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _millis(value: float) -> str:
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"
