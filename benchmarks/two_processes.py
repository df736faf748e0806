"""Dedup as processes on preloaded SQLite logs: one, beside a bare loop; then two, beside one.

    python -m benchmarks.two_processes [--reads 30000] [--rounds 2]

Each is ``python -m bytewax.run dataflows.dedup`` with a recovery store of its own. Its time is
counted by the log, from the first sighting appended to the last, so that starting Python and
the first batch do not count. The bare loop reads the same log in the same batches, decodes and
encodes every read with fastavro and appends it to another topic. One JSON line a figure; the
median of the rounds, in which the kinds take turns.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.dedup import PARTITIONS, mix, tell
from benchmarks.site import write
from dataflows.log_io import BATCH
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import DETECTED, RAW, REJECTED

PATIENCE_S = 300.0


def bare(home: Path) -> float:
    """Reads a second of a loop that decides nothing."""
    log, registry = SqliteLog(home / "log"), SqliteRegistry(home / "log")
    codec = Codec(registry)
    reads, began = 0, time.perf_counter()
    for partition in range(PARTITIONS):
        offset = 0
        while batch := log.read(RAW.name, partition, offset, BATCH):
            offset = batch[-1].offset + 1
            out: list[Append] = []
            for entry in batch:
                name, record = codec.decode(entry.value or b"")
                if name == "PlateRead":
                    value = codec.encode(RAW.name, name, record)
                    out.append(Append(entry.key, value, entry.headers))
            log.append(REJECTED.name, partition, out)
            reads += len(out)
    seconds = time.perf_counter() - began
    log.close()
    registry.close()
    return reads / seconds


def flow(home: Path, partitions: str) -> subprocess.Popen[bytes]:
    """Start dedup over some partitions of the log under ``home``."""
    store = home / f"recovery-{partitions}"
    store.mkdir()
    subprocess.run([sys.executable, "-m", "bytewax.recovery", str(store), "1"], check=True)
    environ = {name: value for name, value in os.environ.items() if name[:5] != "ALPR_"}
    environ |= {
        "ALPR_HOME": str(home),
        "ALPR_LOG_PARTITIONS": str(PARTITIONS),
        "ALPR_PARTITIONS": partitions,
    }
    command = ["bytewax.run", "dataflows.dedup", "-r", str(store), "-s", "1", "-b", "0"]
    return subprocess.Popen([sys.executable, "-m", *command], env=environ)


def decided(home: Path, parts: Sequence[str]) -> float:
    """Reads a second of dedup processes, one for each of ``parts``, by what they append."""
    processes = [flow(home, partitions) for partitions in parts]
    log = SqliteLog(home / "log")
    try:
        waited = time.monotonic()
        ends: list[int] = []
        quiet = 0
        while quiet < 8:  # 2 s without a record: the raw log is preloaded, so this is the end
            time.sleep(0.25)
            if any(process.poll() is not None for process in processes):
                raise SystemExit("a dedup process ended by itself")
            if time.monotonic() - waited > PATIENCE_S:
                raise SystemExit(f"dedup is not done after {PATIENCE_S:.0f} s")
            now = [log.end(DETECTED.name, partition) for partition in range(PARTITIONS)]
            quiet = quiet + 1 if all(now) and now == ends else 0
            ends = now
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    times: list[int] = []
    records = 0
    for partition in range(PARTITIONS):
        first = log.read(DETECTED.name, partition, 0, 1)[0]
        last = log.read(DETECTED.name, partition, ends[partition] - 1, 1)[0]
        times += (first.appended_at, last.appended_at)
        records += log.end(RAW.name, partition) - BATCH
    log.close()
    return records * 1_000_000 / (max(times) - min(times))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args(arguments)
    found: dict[str, list[float]] = {"bare": [], "one": [], "two": []}
    with tempfile.TemporaryDirectory() as folder:
        loaded = Path(folder) / "loaded"
        share = given.reads / write(mix(given.reads), loaded / "log", PARTITIONS)
        for number in range(given.rounds):
            for name, run in (
                ("bare", bare),
                ("one", lambda home: share * decided(home, ["0-3"])),
                ("two", lambda home: share * decided(home, ["0-1", "2-3"])),
            ):
                home = Path(folder) / f"{name}-{number}"
                shutil.copytree(loaded, home)
                found[name].append(run(home))
                shutil.rmtree(home)
    load = {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    for name, rates in found.items():
        spread = [round(rate) for rate in rates]
        tell(f"dedup.processes.{name}", statistics.median(rates), "reads/s", rounds=spread, **load)
    for name, reference in (("one", "bare"), ("two", "one")):
        ratios = [a / b for a, b in zip(found[name], found[reference], strict=True)]
        tell("dedup.processes.ratio", statistics.median(ratios), f"{name}/{reference}", **load)


if __name__ == "__main__":
    main()
