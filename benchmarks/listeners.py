"""Many listeners of the stream of sightings: how long after its commit the last one has a change.

The API is a process of its own with the view in PostgreSQL, the sightings are written by another,
and every listener has a connection of its own, here. One JSON line.

    python -m benchmarks.listeners [--listeners 1000] [--rate 20] [--seconds 20]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.api import process, serve_api, sightings
from projections.embedded import EmbeddedPostgres
from projections.view import SightingsView

_EVENT = re.compile(
    rb'\nid: \d+\nevent: sighting\ndata: {[^\n]*?"event_id":"[0-9a-f-]{24}(\w{12})"'
)
_LONGEST_S = 30  # for the last changes to arrive
_AT_ONCE = 50  # connections that are made at once


class Heard:
    """When the last of all listeners had each sighting, and how many had it."""

    def __init__(self, count: int) -> None:
        self.times = [0] * count
        self.firsts = [0] * count
        self.by = [0] * count

    def note(self, number: int, at: int) -> None:
        self.firsts[number] = self.firsts[number] or at
        self.times[number] = at
        self.by[number] += 1


class Listener(asyncio.Protocol):
    """One connection with an open stream."""

    def __init__(self, heard: Heard, ready: asyncio.Future[None]) -> None:
        self._heard = heard
        self._ready = ready
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"GET /events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        """Note the sightings that are whole, keep what is not."""
        now = time.monotonic_ns()
        rest = self._rest + data
        if not self._ready.done() and b"retry:" in rest:
            if not rest.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(rest[:100].decode())
            self._ready.set_result(None)
        end = 0
        for found in _EVENT.finditer(rest):
            self._heard.note(int(found[1], 16), now)
            end = found.end()
        self._rest = rest[end:] if end else rest[-65_536:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Before it listened: the benchmark is over."""
        if not self._ready.done():
            self._ready.set_exception(exc or RuntimeError("the API closed a connection"))


def _write(url: str, rate: float, count: int, told: Connection) -> None:
    """Write sightings one by one; tells when each was committed."""
    view = SightingsView(url, "benchmark")
    told.recv()
    committed: list[int] = []
    begun = time.monotonic()
    for number, event in enumerate(sightings(count)):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        view.apply(0, number, [event], number + 1)
        committed.append(time.monotonic_ns())
    view.close()
    told.send(committed)


async def measure(url: str, port: int, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    """The figure of one run."""
    loop = asyncio.get_running_loop()
    count = int(given.rate * given.seconds)
    heard = Heard(count)
    mine, theirs = multiprocessing.Pipe()
    writer = multiprocessing.get_context("fork").Process(
        target=_write, args=(url, given.rate, count, theirs)
    )
    writer.start()
    before = _memory(pid)
    transports: list[asyncio.BaseTransport] = []
    began = time.monotonic()
    for first in range(0, given.listeners, _AT_ONCE):
        ready = [loop.create_future() for _ in range(min(_AT_ONCE, given.listeners - first))]
        for one in ready:
            made = await loop.create_connection(
                lambda one=one: Listener(heard, one), "127.0.0.1", port
            )
            transports.append(made[0])
        await asyncio.gather(*ready)
    joined = time.monotonic() - began
    spent, started = _processor(pid), time.monotonic()
    mine.send(None)
    committed: list[int] = await asyncio.to_thread(mine.recv)
    spent, lasted = _processor(pid) - spent, time.monotonic() - started
    until = time.monotonic() + _LONGEST_S
    while min(heard.by) < given.listeners and time.monotonic() < until:
        await asyncio.sleep(0.1)
    memory = _memory(pid)
    for transport in transports:
        transport.close()
    writer.join()
    took = sorted((at - then) / 1e6 for at, then in zip(heard.times, committed, strict=True))
    spread = [(at - then) / 1e6 for at, then in zip(heard.times, heard.firsts, strict=True)]
    return {
        "benchmark": "listeners",
        "listeners": given.listeners,
        "changes_per_s": round(count / lasted, 1),
        "changes": count,
        "missed": sum(given.listeners - by for by in heard.by),
        "last_p50_ms": round(statistics.median(took), 1),
        "last_p99_ms": round(took[int(count * 0.99)], 1),
        "last_most_ms": round(took[-1], 1),
        "first_to_last_p50_ms": round(statistics.median(spread), 1),
        "api_cores": round(spent / lasted, 2),
        "api_mib": round(memory / 2**20),
        "api_kib_a_listener": round((memory - before) / 1024 / given.listeners, 1),
        "joining_s": round(joined, 2),
    }


def _processor(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.listeners")
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="changes a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with (
        tempfile.TemporaryDirectory(prefix="alpr-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        SightingsView(server.url, "benchmark").close()
        with process(serve_api, server.url) as port:
            [child] = multiprocessing.active_children()
            assert child.pid is not None
            figure = asyncio.run(measure(server.url, port, child.pid, given))
    print(json.dumps(figure), flush=True)
    return int(figure["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
