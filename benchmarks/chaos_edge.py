"""An edge to be killed: a generated city's reads into its own log, gone on with after a crash."""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from struct import Struct

from benchmarks.site import Site
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import RAW

BATCH = 200  # records appended at once
CAMERAS, READS_A_CAMERA, HOURS = 200, 700, 0.2  # at most; an hour by day; at least
STREAM = "stream.bin"
_HEAD = Struct("<HHI")  # partition, bytes of the key, bytes of the value


def prepare(folder: Path, seed: int, reads: int, partitions: int) -> int:
    """Make the edge's log in ``folder`` and a city's records to be appended to it; how many."""
    cameras = min(CAMERAS, max(8, round(reads / (READS_A_CAMERA * HOURS))))
    hours = max(HOURS, reads / (READS_A_CAMERA * cameras))
    site = Site(seed, cameras=cameras, hours=hours, partitions=partitions)
    SqliteLog(folder, partitions).close()
    codec = Codec(SqliteRegistry(folder))
    codec.register()
    count = 0
    with (folder / STREAM).open("wb") as out:
        for item in site.records():
            if item.key is None:  # the ticker's
                continue
            value = codec.encode(RAW.name, item.name, item.record)
            out.write(_HEAD.pack(item.partition, len(item.key), len(value)) + item.key + value)
            count += 1
    return count


def prepared(folder: Path) -> Iterator[tuple[int, Append]]:
    """The records, each with its partition."""
    with (folder / STREAM).open("rb") as stream:
        while head := stream.read(_HEAD.size):
            partition, of_key, of_value = _HEAD.unpack(head)
            yield partition, Append(stream.read(of_key), stream.read(of_value))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="records a second")
    given = parser.parse_args()
    log = SqliteLog(given.folder, create=False)
    # What a killed predecessor appended: the stream is the same each time, and offsets are dense.
    there = {number: log.end(RAW.name, number) for number in range(log.partitions(RAW.name))}
    skipped = appended = 0
    began = time.monotonic()
    items = prepared(given.folder)
    while batch := list(islice(items, BATCH)):
        fresh: dict[int, list[Append]] = {}
        for partition, record in batch:
            if there[partition]:
                there[partition] -= 1
                skipped += 1
            else:
                fresh.setdefault(partition, []).append(record)
        for partition, records in fresh.items():
            log.append(RAW.name, partition, records)
            appended += len(records)
        if (ahead := appended / given.rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
    print(f"{skipped} were there, {appended} appended", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
