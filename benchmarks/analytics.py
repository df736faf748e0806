"""A month's analytics over a year of sightings, beside the bare SQL over the sightings' table.

    python -m benchmarks.analytics --sightings 10000000 [--rounds 40] [--bare 3] [--url URL]

A database of its own is filled (minutes; --url names one that was), and ``alpr keep``'s chore
counts it. Each question is asked in turn about months that begin on random days, from one
process. JSON lines: p50 and p99 in milliseconds, and the median of the bare SQL in the same run.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.many_sightings import fill
from projections.analytics import Scope
from projections.analytics_rollups import RollupAnalytics
from projections.database import connect
from projections.embedded import EmbeddedPostgres
from projections.rollups import Rollups
from projections.schema import LIVE
from rules.local_time import days, hours

MONTH = timedelta(days=30)
LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
_STANDS = "status <> 'retracted' AND captured_at >= %s AND captured_at < %s"

Question = Callable[[RollupAnalytics, datetime, datetime], object]
QUESTIONS: Mapping[str, tuple[Question, str]] = {
    "counts by hour": (
        lambda a, start, end: a.counts(hours(start, end, LOCAL), Scope(), "all", 1),
        f"SELECT date_trunc('hour', captured_at), count(*) FROM plate_events WHERE {_STANDS} "
        "GROUP BY 1",
    ),
    "counts by day and camera": (
        lambda a, start, end: a.counts(days(start, end, LOCAL), Scope(), "camera", 10),
        "SELECT date_trunc('day', captured_at), camera_id, count(*) FROM plate_events "
        f"WHERE {_STANDS} GROUP BY 1, 2",
    ),
    "regions": (
        lambda a, start, end: a.counts([start, end], Scope(), "region", 20),
        f"SELECT plate_region, count(*) FROM plate_events WHERE {_STANDS} GROUP BY 1",
    ),
    "new and returning plates": (
        lambda a, start, end: a.plates(days(start, end, LOCAL), Scope()),
        "SELECT date_trunc('day', captured_at), count(DISTINCT plate_normalized_text) "
        f"FROM plate_events WHERE {_STANDS} GROUP BY 1",
    ),
    "top plates": (
        lambda a, start, end: a.top(start, end, Scope(), 20),
        f"SELECT plate_normalized_text, count(*) FROM plate_events WHERE {_STANDS} "
        "GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
    ),
    "dwell": (
        lambda a, start, end: a.spread("dwell", start, end, Scope()),
        "SELECT camera_id, percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP "
        f"(ORDER BY last_seen - first_seen) FROM plate_events WHERE {_STANDS} GROUP BY 1",
    ),
    "latency": (
        lambda a, start, end: a.spread("latency", start, end, Scope()),
        "SELECT camera_id, percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP "
        f"(ORDER BY latency_ms) FROM plate_events WHERE {_STANDS} GROUP BY 1",
    ),
    "quality": (
        lambda a, start, end: a.quality(start, end, Scope()),
        "SELECT camera_id, count(*), sum(reads), count(*) FILTER (WHERE was <> '[]') "
        f"FROM plate_events WHERE {_STANDS} GROUP BY 1",
    ),
}


def months(url: str, rounds: int) -> list[tuple[datetime, datetime]]:
    """Months within what there is, from local midnight to local midnight, the same each time."""
    with closing(connect(url, LIVE)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT min(captured_at), max(captured_at) FROM plate_events")
        first, last = cursor.fetchall()[0]
    chance = random.Random(1)
    found: list[tuple[datetime, datetime]] = []
    for _ in range(rounds):
        start = first + (last - first - MONTH) * chance.random()
        day = start.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)
        found.append((day, day + MONTH))
    return found


def timed(ask: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


def kept(url: str) -> None:
    """Count all, and tell how long that took."""
    started = time.perf_counter()
    with closing(Rollups(url)) as rollups:
        while rollups.step():
            pass
    with closing(connect(url, LIVE)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM plate_events")
        rows = cursor.fetchall()[0][0]
        connection.commit()
        connection.autocommit = True
        for table in ("counted_quarters", "counted_hours", "plate_days", "plate_totals"):
            cursor.execute(f"VACUUM ANALYZE alpr_derived.{table}")
        cursor.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = 'alpr_derived'::regnamespace AND relkind = 'r' "
            "AND relname ~ '^(counted|plate_)'"
        )
        size = cursor.fetchall()[0][0]
    tell("analytics.counted", time.perf_counter() - started, "s", sightings=rows)
    tell("analytics.size", float(size) / rows, "bytes/sighting")


def tell(name: str, value: float, unit: str, **more: Any) -> None:
    """One line."""
    print(json.dumps({"benchmark": name, "value": round(value, 2), "unit": unit, **more}))


def measure(url: str, rounds: int, bare: int) -> None:
    """Ask every question about every month, in turn; the bare SQL about the first few."""
    asked = months(url, rounds)
    taken: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    raw: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    with (
        closing(RollupAnalytics(url, timeout_ms=60_000)) as analytics,
        closing(connect(url, LIVE)) as connection,
        connection.cursor() as cursor,
    ):
        for number, month in enumerate(asked):
            for name, (ask, statement) in QUESTIONS.items():
                if number < bare:
                    raw[name].append(timed(partial(cursor.execute, statement, month)))
                taken[name].append(timed(partial(ask, analytics, *month)))
    for name in QUESTIONS:
        p99 = quantiles(taken[name], n=100, method="inclusive")[98]
        tell(
            f"analytics.{name}",
            p99,
            "ms p99",
            p50=round(median(taken[name]), 2),
            bare_ms=round(median(raw[name]), 2) if raw[name] else None,
        )


@contextmanager
def filled(url: str | None, sightings: int) -> Iterator[str]:
    """A database with sightings: the one named, or one that goes when the benchmark is over."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "p") as server:
        fill(server.url, sightings)
        yield server.url


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sightings", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=40, help="months to ask about")
    parser.add_argument("--bare", type=int, default=3, help="of these also by the bare SQL")
    parser.add_argument("--url", help="a database that benchmarks.many_sightings has filled")
    given = parser.parse_args()
    with filled(given.url, given.sightings) as url:
        kept(url)
        measure(url, given.rounds, given.bare)


if __name__ == "__main__":
    main()
