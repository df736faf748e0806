"""Reads to sightings on the design's mix: the decisions alone, with Avro around them, and right.

    python -m benchmarks.dedup [--reads 30000] [--rounds 3] [--cities 3] [--hours 1]

One JSON line a figure. Memory figures are of one core's processor time, so that a busy machine
spoils them less, the best of the rounds; ``spin`` is the same round's reference of pure Python.
The flows as processes are ``benchmarks.two_processes``.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from benchmarks.accounting import Account, Ledger
from benchmarks.site import Item, Site
from dataflows.dedup import Dedup, collect_rarely
from dataflows.log_io import BATCH
from eventlog.log import Entry
from rules.dedup import Deduplication, Output
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.records import PlateEvent
from schemas.topics import RAW

PARTITIONS = 4
SPINS = 1_000_000


class MemoryRegistry:
    """Schemas and their numbers, for codecs without a log."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def register(self, subject: str, schema: str) -> int:
        if schema not in self._texts:
            self._texts.append(schema)
        return self._texts.index(schema)

    def find(self, subject: str, schema: str) -> int:
        return self.register(subject, schema)

    def schema(self, schema_id: int) -> str:
        try:
            return self._texts[schema_id]
        except IndexError:
            raise KeyError(schema_id) from None


def tell(benchmark: str, value: float, unit: str, **more: Any) -> None:
    """Print one figure as a JSON line."""
    line = {"benchmark": benchmark, "value": round(value, 3), "unit": unit, **more}
    print(json.dumps(line), flush=True)


def spin() -> float:
    """Seconds of processor time for a million rounds of a Python loop that adds."""
    began, total = time.process_time(), 0
    for number in range(SPINS):
        total += number
    return time.process_time() - began


def mix(reads: int, partitions: int = PARTITIONS, hours: float = 24) -> Iterator[Item]:
    """Records with so many reads: 200 cameras, heartbeats and ticks included."""
    left = reads
    for item in Site(1, cameras=200, hours=hours, partitions=partitions).records():
        if not left:
            return
        yield item
        left -= item.name == "PlateRead"


def folded(items: Iterable[Item]) -> Iterator[Output]:
    """What the decisions make of records, partition by partition at offsets from 0."""
    folds = [Deduplication(p, DedupSettings(), grammar()) for p in range(PARTITIONS)]
    offsets = [0] * PARTITIONS
    for appended_at, partition, _, name, record in items:
        yield from folds[partition].fold(name, record, offsets[partition], appended_at)
        offsets[partition] += 1


def entries(items: Iterable[Item], codec: Codec) -> list[Entry]:
    """The records as the log holds them."""
    offsets = [0] * PARTITIONS
    made: list[Entry] = []
    for appended_at, partition, key, name, record in items:
        value = codec.encode(RAW.name, name, record)
        made.append(Entry(RAW.name, partition, offsets[partition], appended_at, key, value, {}))
        offsets[partition] += 1
    return made


def batches(raw: Sequence[Entry]) -> list[list[Entry]]:
    """Batches as the flow reads them, each of one partition."""
    made: list[list[Entry]] = []
    for partition in range(PARTITIONS):
        own = iter([entry for entry in raw if entry.partition == partition])
        while batch := list(islice(own, BATCH)):
            made.append(batch)
    return made


def decided(raw: Sequence[Sequence[Entry]], codec: Codec) -> int:
    """Decode, decide, encode; the records that came out."""
    dedups = [Dedup(codec, DedupSettings(), grammar()) for _ in range(PARTITIONS)]
    count = 0
    for batch in raw:
        out = dedups[batch[0].partition].batch(batch)
        assert not out.dead
        count += len(out.detected) + len(out.rejected)
    return count


def account(seed: int, cameras: int, hours: float) -> Account:
    """One generated city's errors."""
    site = Site(seed, cameras=cameras, hours=hours, partitions=PARTITIONS)
    ledger = Ledger(list(site.visits()))
    events: list[PlateEvent] = [
        out.record for out in folded(ledger.follow(site.records())) if out.name == "PlateEvent"
    ]
    return ledger.audit(events)


def speed(reads: int, rounds: int) -> None:
    codec = Codec(MemoryRegistry())
    items = list(mix(reads))
    kinds = Counter(item.name for item in items)
    raw = batches(entries(items, codec))
    best: dict[str, tuple[float, float]] = {}
    collect_rarely()  # as the process does; the records in memory are none of its load
    for _ in range(rounds):
        reference = spin()
        for name in ("decisions", "decode, decide, encode"):
            began = time.process_time()
            if name == "decisions":
                out = sum(1 for _ in folded(items))
            else:
                out = decided(raw, codec)
            best[name] = min(best.get(name, (9e9, 0)), (time.process_time() - began, reference))
            kinds["out"] = out
    for name, (seconds, reference) in best.items():
        tell(
            f"dedup.{name}",
            reads / seconds,
            "reads/s",
            us_per_read=round(seconds / reads * 1e6, 1),
            spin_s=round(reference, 4),
            records=dict(kinds),
        )


def errors(cities: int, hours: float) -> None:
    total: Counter[str] = Counter()
    for seed in range(1, cities + 1):
        found = account(seed, 20, hours)
        row = found.row()
        total.update({k: row[k] for k in row if isinstance(row[k], int)})
        tell("dedup.errors", found.cars, "cars", seed=seed, per_10_000=found.per_10_000())
    names = ("missed", "misread", "doubled", "merged", "ghosts")
    rates = {name: round(total[name] * 10_000 / max(1, total["cars"]), 1) for name in names}
    tell("dedup.errors", total["cars"], "cars", seed="all", per_10_000=rates)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cities", type=int, default=3)
    parser.add_argument("--hours", type=float, default=1.0)
    given = parser.parse_args(arguments)
    speed(given.reads, given.rounds)
    errors(given.cities, given.hours)


if __name__ == "__main__":
    main()
