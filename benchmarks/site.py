"""A city to test with: the raw topic of N cameras over hours or days, its truth known.

``python -m benchmarks.site --cameras 20 --hours 2 --seed 1`` counts what is in it; ``--log
FOLDER`` writes it into an embedded log.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.plates import bare
from benchmarks.stream import Edge, Item, visit_of
from benchmarks.traffic import HOUR, SECOND, SLICE, START, Settings, Traffic, Visit, rush
from benchmarks.traffic import cameras as city_cameras
from schemas.topics import RAW

__all__ = ["Item", "Settings", "Site", "Visit", "countable", "summary", "visit_of", "write"]


class Site:
    """A generated city. Everything follows from the arguments; iterating twice gives the same.

    ``days`` or ``hours`` is how long; ``cars`` how many come in all, instead of
    ``settings.cars_per_hour``. ``start_us`` is rounded down to ten minutes.
    """

    def __init__(
        self,
        seed: int,
        *,
        cameras: int = 200,
        hours: float = 1.0,
        days: float | None = None,
        cars: int | None = None,
        partitions: int = 4,
        start_us: int = START,
        settings: Settings | None = None,
    ) -> None:
        self.seed = seed
        self.partitions = partitions
        self.settings = settings or Settings()
        self.start_us = start_us // SLICE * SLICE
        span = (days * 24 if days is not None else hours) * HOUR
        self.end_us = self.start_us + max(SECOND, int(span))
        self.cameras = city_cameras(
            Random(f"{seed} cameras"), cameras, self.start_us, self.end_us, self.settings
        )
        if cars is not None:
            gates = len({camera.gate for camera in self.cameras})
            weight = sum(
                rush(at) * (min(at + SLICE, self.end_us) - at) / HOUR
                for at in range(self.start_us, self.end_us, SLICE)
            )
            self.settings = replace(self.settings, cars_per_hour=cars / gates / weight)

    def visits(self) -> Iterator[Visit]:
        """The truth: every car before every camera, numbered from 0."""
        for _, visits in self._traffic().slices():
            yield from visits

    def records(self) -> Iterator[Item]:
        """What the log holds, in log order; ``appended_at`` never goes back."""
        edge = Edge(self.seed, self.cameras, self.partitions, self.start_us, self.settings)
        for start, visits in self._traffic().slices():
            for visit in visits:
                edge.drive_by(visit)
            edge.live(start, min(start + SLICE, self.end_us))
            yield from edge.appended(start, min(start + SLICE, self.end_us))
        yield from edge.finish(self.end_us)

    def _traffic(self) -> Traffic:
        rng = Random(f"{self.seed} traffic")
        return Traffic(rng, self.cameras, self.start_us, self.end_us, self.settings)


def countable(text: str, confidence: float) -> bool:
    """Whether a read passes the seeds' validation: 0.70, 3 to 10 long, a letter and a digit."""
    plain = bare(text)
    return (
        confidence >= 0.70
        and 3 <= len(plain) <= 10
        and any(c.isdigit() for c in plain)
        and any(c.isalpha() for c in plain)
    )


def summary(site: Site, items: Iterable[Item]) -> dict[str, Any]:
    """Counts of what a city holds."""
    visits = list(site.visits())
    counts: Counter[str] = Counter()
    rejected = repeated = wrong = 0
    seen: set[str] = set()
    for _, _, _, name, record in items:
        counts[name] += 1
        if name != "PlateRead":
            continue
        if record["read_id"] in seen:
            repeated += 1
            continue
        seen.add(record["read_id"])
        index = visit_of(record["read_id"])
        if not countable(record["text"], record["confidence"]):
            rejected += 1
        elif index is not None and bare(record["text"]) != visits[index].plate:
            wrong += 1
    return {
        "cameras": len(site.cameras),
        "hours": (site.end_us - site.start_us) / HOUR,
        "visits": len(visits),
        "kinds": dict(Counter(visit.kind for visit in visits)),
        "troubles": dict(Counter(t.kind for c in site.cameras for t in c.troubles)),
        "records": counts.total(),
        **counts,
        "reads_per_visit": round(len(seen) / max(1, len(visits)), 2),
        "rejected_share": round(rejected / max(1, len(seen)), 4),
        "misread_share": round(wrong / max(1, len(seen)), 4),
        "repeated": repeated,
    }


def write(items: Iterable[Item], folder: Path, partitions: int) -> int:
    """Append a city to an embedded log, keeping ``appended_at``; how many records."""
    from eventlog.log import Append
    from eventlog.registry import SqliteRegistry
    from eventlog.sqlite import SqliteLog
    from schemas.codec import Codec

    log = SqliteLog(folder, partitions=partitions)
    registry = SqliteRegistry(folder)
    codec = Codec(registry)
    codec.register()
    batches: dict[int, list[Append]] = {n: [] for n in range(partitions)}
    written = 0
    for at, partition, key, name, record in items:
        batch = batches[partition]
        batch.append(Append(key, codec.encode(RAW.name, name, record), {}, at))
        written += 1
        if len(batch) >= 5000:
            log.append(RAW.name, partition, batch)
            batch.clear()
    for partition, batch in batches.items():
        if batch:
            log.append(RAW.name, partition, batch)
    log.close()
    registry.close()
    return written


def main(arguments: list[str] | None = None) -> int:
    """Generate a city, print its counts as one JSON line; 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.site", description=__doc__)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--cars", type=int, help="cars in all, instead of 120 an hour and camera")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="folder of an embedded log to write into")
    chosen = parser.parse_args(arguments)
    site = Site(
        chosen.seed,
        cameras=chosen.cameras,
        hours=chosen.hours,
        cars=chosen.cars,
        partitions=chosen.partitions,
    )
    began = time.perf_counter()
    total = sum(1 for _ in site.records())
    seconds = time.perf_counter() - began
    counts = summary(site, site.records())
    print(json.dumps({"seed": chosen.seed, **counts, "records_per_s": round(total / seconds)}))
    if chosen.log:
        written = write(site.records(), chosen.log, chosen.partitions)
        print(f"{written} records appended to {chosen.log}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
