"""The query API against a bare FastAPI + psycopg2 endpoint that runs the same SQL.

Both are real uvicorn processes on one PostgreSQL, asked by the same clients in turn, so that
each round compares like with like. One JSON line a figure; `ratio` is the median over the rounds
of API/bare in requests per second, the API writing its audit to an embedded log as it does at work;
`ratio_unaudited` is the same without an audit.

    python -m benchmarks.api [--events 20000] [--rounds 5] [--seconds 2] [--clients 8]
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import uvicorn
from fastapi import FastAPI, Response
from psycopg2.extras import RealDictCursor
from psycopg2.pool import ThreadedConnectionPool

from api.app import create_app
from api.audit import Privacy, Writer
from api.routes import Parts
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog, wall_clock
from images.store import FolderStore
from projections.embedded import EmbeddedPostgres
from projections.queries import SightingQueries
from projections.view import SightingsView
from rules.pseudonym import Pseudonyms
from schemas.codec import Codec
from schemas.records import PlateEvent

CASES = {
    "recent": "/events/recent?limit=10",
    "recent_100": "/events/recent?limit=100",
    "plate": "/events/plate/ABC00042?limit=100",
}
_START = 1_750_000_000_000_000


def sightings(count: int) -> Iterator[PlateEvent]:
    """Whole and valid: 200 cameras, each plate seen about four times."""
    for number in range(count):
        text = f"ABC{number * 7919 % max(count // 4, 1):05d}"
        at = _START + number * 250_000
        camera = f"CAM-{number % 200:03d}"
        box = {"x": 604, "y": 388, "width": 142, "height": 41}
        images = {
            "plate_url": f"images/2025-06-15/{camera}/{number}-plate.jpg",
            "vehicle_url": "",
            "frame_url": f"images/2025-06-15/{camera}/{number}-frame.jpg",
        }
        event: dict[str, Any] = {
            "event_id": f"00000000-0000-5000-8000-{number:012x}",
            "revision": number,
            "partition": 0,
            "status": "ended",
            "captured_at": at,
            "first_seen": at,
            "last_seen": at + 3_000_000,
            "camera_id": camera,
            "camera_group": None,
            "track_id": f"{camera}/1a2b/{number}",
            "plate": {"text": text, "normalized_text": text, "confidence": 0.97, "region": "VN"},
            "vehicle": {"type": "car", "make": None, "model": None, "color": "white"},
            "images": images,
            "latency_ms": 85,
            "node": {
                "site": "DC1",
                "host": "edge-1",
                "zone": "north",
                "lane": "2",
                "latitude": 25.79,
                "longitude": -80.29,
                "timezone": "America/New_York",
            },
            "extras": {
                "roi": None,
                "direction": "approaching",
                "quality_score": 0.85,
                "frame_number": number,
                "box": box,
            },
            "reads": 4,
            "tracks": 1,
            "was": [],
            "alternatives": [{"text": text[:-1] + "8", "confidence": 0.011}],
            "merged_into": None,
            "reason": "window",
            "rules_version": "3f9ac1d07be2",
            "evidence": {"positions": [], "reads": [], "texts": 1},
        }
        yield event  # type: ignore[misc]


Statements = dict[str, list[tuple[str, list[Any]]]]


def bare(url: str, statements: Statements, fast: bool) -> FastAPI:
    """One endpoint a case, which runs its statements in turn and shows the rows of the last.

    With FastAPI's own encoder, or with orjson where ``fast``.
    """
    app = FastAPI()
    pool = ThreadedConnectionPool(8, 40, url)

    def ask(name: str) -> Any:
        rows: list[Any] = []
        connection = pool.getconn()
        try:
            connection.autocommit = True
            with connection.cursor(cursor_factory=RealDictCursor) as cursor:
                for statement, values in statements[name]:
                    cursor.execute(statement, values)
                    rows = cursor.fetchall()
        finally:
            pool.putconn(connection)
        answer = {"count": len(rows), "events": rows}
        if fast:
            return Response(orjson.dumps(answer, default=dict), media_type="application/json")
        return answer

    app.get("/{name}", response_model=None)(ask)
    return app


def statements(url: str) -> Statements:
    """The SQL that the API runs for each case, taken from it while it runs."""
    seen: list[tuple[str, list[Any]]] = []

    class Recorded(SightingQueries):
        def _all(self, statement: str, values: Any = None) -> list[dict[str, Any]]:
            seen.append((statement, list(values or ())))
            return []

    recorded = Recorded(url)
    found: Statements = {}
    asked: dict[str, Callable[[], Any]] = {
        "recent": lambda: recorded.recent(10),
        "recent_100": lambda: recorded.recent(100),
        "plate": lambda: recorded.by_plate("ABC00042", 100),
    }
    for name in CASES:
        asked[name]()
        found[name] = seen.copy()
        seen.clear()
    return found


def serve_api(url: str, listener: socket.socket) -> None:
    """The API over a view, until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        run(create_app(SightingQueries(url), FolderStore(Path(folder))), listener)


def _serve_audited(url: str, listener: socket.socket) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        codec = Codec(SqliteRegistry(home))
        codec.register()
        log = SqliteLog(home, 4)
        privacy = Privacy(Pseudonyms(b"k" * 32), Writer(lambda: (log, codec)), wall_clock)
        run(create_app(SightingQueries(url), FolderStore(home), Parts(privacy=privacy)), listener)


def _serve_bare(url: str, found: Statements, fast: bool, listener: socket.socket) -> None:
    schema = psycopg2.extensions.make_dsn(url, options="-c search_path=alpr,public")
    run(bare(schema, found, fast), listener)


def run(app: FastAPI, listener: socket.socket) -> None:
    """Serve an application on a socket until the process is ended."""
    config = uvicorn.Config(app, log_config=None, access_log=False)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def process(target: Any, *given: Any) -> Iterator[int]:
    """A server in a process of its own; its port."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # so that asyncio sets TCP_NODELAY
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        made = multiprocessing.get_context("fork").Process(target=target, args=(*given, listener))
        made.start()
        try:
            yield listener.getsockname()[1]
        finally:
            made.terminate()
            made.join(10)


async def ask(port: int, path: str, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Requests per second and the latencies in seconds of clients that ask one after another."""
    until = time.perf_counter() + seconds
    spent: list[float] = []
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n".encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {head.splitlines()[0].decode()}")
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            spent.append(time.perf_counter() - begun)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(spent) / (time.perf_counter() - begun), spent


def measure(url: str, rounds: int, seconds: float, clients: int) -> Iterator[dict[str, Any]]:
    """One figure a case: the API beside both bare endpoints."""
    found = statements(url)
    with (
        process(_serve_audited, url) as api,
        process(serve_api, url) as unaudited,
        process(_serve_bare, url, found, False) as plain,
        process(_serve_bare, url, found, True) as fast,
    ):
        for name, path in CASES.items():
            servers = {
                "api": (api, path),
                "unaudited": (unaudited, path),
                "bare": (plain, f"/{name}"),
                "orjson": (fast, f"/{name}"),
            }
            rates: dict[str, list[float]] = {server: [] for server in servers}
            spent: list[float] = []
            for port, at in servers.values():
                asyncio.run(ask(port, at, clients, 0.5))  # warm
            for _ in range(rounds):
                for server, (port, at) in servers.items():
                    rate, took = asyncio.run(ask(port, at, clients, seconds))
                    rates[server].append(rate)
                    if server == "api":
                        spent += took
            yield {
                "benchmark": "api",
                "case": name,
                "requests_per_s": round(statistics.median(rates["api"])),
                "unaudited_per_s": round(statistics.median(rates["unaudited"])),
                "bare_per_s": round(statistics.median(rates["bare"])),
                "bare_orjson_per_s": round(statistics.median(rates["orjson"])),
                "ratio": _ratio(rates, "api", "bare"),
                "ratio_unaudited": _ratio(rates, "unaudited", "bare"),
                "ratio_to_orjson": _ratio(rates, "api", "orjson"),
                "p50_ms": round(statistics.median(spent) * 1000, 2),
                "p99_ms": round(sorted(spent)[int(len(spent) * 0.99)] * 1000, 2),
                "clients": clients,
            }


def _ratio(rates: dict[str, list[float]], one: str, other: str) -> float:
    pairs = zip(rates[one], rates[other], strict=True)
    return round(statistics.median(mine / theirs for mine, theirs in pairs), 2)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.api")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="alpr-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        view = SightingsView(server.url, "benchmark")
        view.apply(0, 0, list(sightings(given.events)), given.events)
        view.close()
        with psycopg2.connect(server.url) as connection, connection.cursor() as cursor:
            cursor.execute("ANALYZE alpr.plate_events")
        for figure in measure(server.url, given.rounds, given.seconds, given.clients):
            print(json.dumps({"events": given.events, **figure}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
