"""An edge to be killed: a generated city's reads into its own log, gone on with after a crash."""

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

from benchmarks.site import Site
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import RAW

BATCH = 200  # records appended at once


def site(seed: int, reads: int, partitions: int) -> Site:
    """A city of 200 cameras whose cars are read about so often, four times each."""
    return Site(seed, cameras=200, hours=max(0.2, reads / 96_000), partitions=partitions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--reads", type=int, required=True)
    parser.add_argument("--partitions", type=int, default=32)
    parser.add_argument("--rate", type=float, required=True, help="records a second")
    given = parser.parse_args()
    log = SqliteLog(given.folder, given.partitions)
    codec = Codec(SqliteRegistry(given.folder))
    codec.register()
    # What a killed predecessor appended: the stream is the same each time, and offsets are dense.
    there = {partition: log.end(RAW.name, partition) for partition in range(given.partitions)}
    items = iter(
        item
        for item in site(given.seed, given.reads, given.partitions).records()
        if item.key is not None  # the ticker's
    )
    skipped = 0
    began, appended = time.monotonic(), 0
    while batch := list(islice(items, BATCH)):
        fresh: dict[int, list[Append]] = {}
        for item in batch:
            if there[item.partition]:
                there[item.partition] -= 1
                skipped += 1
                continue
            value = codec.encode(RAW.name, item.name, item.record)
            fresh.setdefault(item.partition, []).append(Append(item.key, value))
        for partition, records in fresh.items():
            log.append(RAW.name, partition, records)
            appended += len(records)
        if (ahead := appended / given.rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
    print(f"{skipped} were there, {appended} appended", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
