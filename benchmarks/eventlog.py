"""How fast the SQLite log appends, reads and wakes, each beside a bare reference of the same run.

    python -m benchmarks.eventlog [FOLDER]

One JSON line a figure: ``what``, ``value``, ``unit``, ``reference`` (the same work done barely),
``ratio`` (above 1 is better than the reference). FOLDER lies on the disk to be measured.
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from eventlog.log import Append
from eventlog.sqlite import SqliteLog
from schemas.topics import RAW

VALUE = bytes(range(200))  # about what a read's Avro record has
KEY = b"gate-north-1"
SECONDS = 1.0
WAKES = 200
READS = 100_000

WAKER = """
import sys, time
from pathlib import Path
from eventlog.log import Append
from eventlog.sqlite import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
log.end("alpr.reads.raw", 1)
for line in sys.stdin:
    time.sleep(float(line))
    log.append("alpr.reads.raw", 1, [Append(b"k", b"v")])
    print(time.time(), flush=True)
"""


def tell(
    what: str, value: float, unit: str, reference: float | None = None, more: bool = True
) -> None:
    line: dict[str, object] = {"what": what, "value": round(value, 4), "unit": unit}
    if reference is not None:
        ratio = value / reference if more else reference / value
        line |= {"reference": round(reference, 4), "ratio": round(ratio, 3)}
    print(json.dumps(line), flush=True)


def rate(work: Callable[[], None], size: int) -> float:
    """Records a second of a piece of work over ``size`` records, repeated for a while."""
    work()
    began, rounds = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        work()
        rounds += 1
    return rounds * size / spent


def bare_sqlite(folder: Path) -> sqlite3.Connection:
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, at INT, key BLOB, value BLOB)")
    return db


def appends(folder: Path, log: SqliteLog) -> None:
    db = bare_sqlite(folder)
    with open(folder / "bare.log", "wb", buffering=0) as file:
        for size in (1, 100, 1000):
            records = [Append(KEY, VALUE)] * size
            rows = [(0, KEY, VALUE)] * size
            raw = VALUE * size

            def insert(rows: list[tuple[int, bytes, bytes]] = rows) -> None:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT INTO record (at, key, value) VALUES (?, ?, ?)", rows)
                db.execute("COMMIT")

            def write(raw: bytes = raw, descriptor: int = file.fileno()) -> None:
                os.write(descriptor, raw)
                os.fsync(descriptor)

            def append(records: list[Append] = records) -> None:
                log.append(RAW.name, 0, records)

            ours = rate(append, size)
            what = f"append, batches of {size}"
            tell(f"{what}, beside bare SQLite", ours, "records/s", rate(insert, size))
            tell(f"{what}, beside write and fsync", ours, "records/s", rate(write, size))
    db.close()


def reads(folder: Path, log: SqliteLog) -> None:
    for _ in range(READS // 1000):
        log.append(RAW.name, 2, [Append(KEY, VALUE, {"traceparent": bytes(55)})] * 1000)
    began, position, count = time.perf_counter(), 0, 0
    while entries := log.read(RAW.name, 2, position, 1000):
        position = entries[-1].offset + 1
        count += len(entries)
    ours = count / (time.perf_counter() - began)
    db = sqlite3.connect(folder / "log" / f"{RAW.name}.db")
    began = time.perf_counter()
    count = len(db.execute("SELECT * FROM record WHERE id >= ?", (2 << 48,)).fetchall())
    tell(
        "read, 1,000 at once, beside a bare SELECT",
        ours,
        "records/s",
        count / (time.perf_counter() - began),
    )
    db.close()


def wakes(folder: Path, log: SqliteLog) -> None:
    waker = subprocess.Popen(
        [sys.executable, "-c", WAKER, folder / "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waker.stdin is not None
    assert waker.stdout is not None
    delays: list[float] = []
    for index in range(WAKES):
        end = log.end(RAW.name, 1)
        waker.stdin.write(f"{0.001 * (index % 50)}\n")
        waker.stdin.flush()
        log.wait(RAW.name, {1: end}, 10)
        woken = time.time()
        delays.append((woken - float(waker.stdout.readline())) * 1000)
    waker.stdin.close()
    waker.wait()
    hundredths = statistics.quantiles(delays[1:], n=100)
    # Counted from when append returned: below 0 where the reader was faster than that.
    tell("wake in another process, median", hundredths[49], "ms")
    tell("wake in another process, 99th percentile", hundredths[98], "ms")
    before = time.process_time()
    log.wait(RAW.name, {1: log.end(RAW.name, 1)}, 3.0)
    tell("waiting while nothing comes", (time.process_time() - before) / 3.0, "cores")


def trimming(folder: Path, log: SqliteLog) -> None:
    count = log.end(RAW.name, 2)
    began = time.perf_counter()
    log.trim(RAW.name, time.time_ns() // 1000)
    tell("trim of all", (time.perf_counter() - began) / count * 1e6, "s per million records")


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        log = SqliteLog(folder / "log")
        for figure in (wakes, appends, reads, trimming):
            figure(folder, log)
        log.close()


if __name__ == "__main__":
    main()
