"""Sightings into PostgreSQL, against COPY of as many rows into tables with the same indexes.

    python -m benchmarks.projection [--sightings 10000] [--batch 1000] [--url URL]

Three revisions a sighting (tentative, confirmed, ended) of 200 cameras, spaced as on a road, so
that some meet in a batch and most do not; six reads of evidence. The reference is what a server
takes at best: the same rows, already encoded, copied with one statement a batch, each row a new
one. One JSON line a measurement.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from projections.database import connect
from projections.embedded import EmbeddedPostgres
from projections.rows import COLUMNS, HEADER, TRAILER, row
from projections.schema import migrate
from projections.view import SightingsView
from schemas.records import PlateEvent

LOG = "00000000-0000-4000-8000-000000000000"
CAMERAS = 200
START = 1_750_000_000_000_000
SPACING = 50_000  # microseconds between openings: 20 sightings a second over the city


def stream(sightings: int, chance: random.Random) -> list[PlateEvent]:
    """Every revision of every sighting in the order of the log."""
    made: list[tuple[int, PlateEvent]] = []
    for number in range(sightings):
        opened = START + number * SPACING
        camera = chance.randrange(CAMERAS)
        text = "".join(chance.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=7))
        event_id = str(UUID(int=chance.getrandbits(128), version=5))
        confirmed = chance.randrange(500_000, 1_500_000)
        ended = 300_000_000 + chance.randrange(5_000_000)
        for status, after, reads in (
            ("tentative", 0, 1),
            ("confirmed", confirmed, 3),
            ("ended", ended, 6),
        ):
            event = _event(event_id, camera, text, opened, status=status, after=after, reads=reads)
            made.append((opened + after, event))
    made.sort(key=lambda pair: pair[0])
    for revision, (_, event) in enumerate(made):
        event["revision"] = revision
    return [event for _, event in made]


def _event(
    event_id: str, camera: int, text: str, at: int, *, status: str, after: int, reads: int
) -> PlateEvent:
    images = {
        "plate_url": f"s3://alpr-plate-images/2025-06-15/CAM-{camera:03d}/{event_id}-plate.jpg",
        "vehicle_url": "",
        "frame_url": f"s3://alpr-plate-images/2025-06-15/CAM-{camera:03d}/{event_id}-frame.jpg",
    }
    box = {"x": 412, "y": 301, "width": 148, "height": 40}
    event: dict[str, Any] = {
        "event_id": event_id,
        "revision": 0,
        "partition": 0,
        "status": status,
        "captured_at": at,
        "first_seen": at,
        "last_seen": at + min(after, 2_000_000),
        "camera_id": f"CAM-{camera:03d}",
        "camera_group": None,
        "track_id": f"4f1d2c-{at % 100_000}",
        "plate": {"text": text, "normalized_text": text, "confidence": 0.93, "region": "US-FL"},
        "vehicle": {"type": "car", "make": None, "model": None, "color": None},
        "images": images,
        "latency_ms": 180,
        "node": {
            "site": "harbour",
            "host": "edge-07",
            "zone": "north",
            "lane": "2",
            "latitude": 27.9,
            "longitude": -82.4,
            "timezone": "America/New_York",
        },
        "extras": {
            "roi": None,
            "direction": "entry",
            "quality_score": 0.71,
            "frame_number": 5321,
            "box": box,
        },
        "reads": reads,
        "tracks": 1,
        "was": [],
        "alternatives": [{"text": text[:-1] + "8", "confidence": 0.04}],
        "merged_into": None,
        "reason": "window" if status == "ended" else None,
        "rules_version": "5f1c9a2b7d3e",
        "evidence": {
            "positions": [
                [{"character": c, "weight": 900 * reads}, {"character": "8", "weight": 41}]
                for c in text
            ],
            "reads": [
                {
                    "read_id": str(UUID(int=(at + n) << 64 | camera)),
                    "camera_id": f"CAM-{camera:03d}",
                    "track_id": f"4f1d2c-{at % 100_000}",
                    "captured_at": at + n * 66_667,
                    "frame_number": 5321 + n,
                    "text": text,
                    "normalized_text": text,
                    "confidence": 0.93 - n / 100,
                    "char_confidences": [931, 944, 902, 988, 917, 952, 964],
                    "quality": 0.71,
                    "box": box,
                    "images": images,
                    "reader": "rapidocr-3.10",
                }
                for n in range(reads)
            ],
            "texts": 1,
        },
    }
    return cast("PlateEvent", event)


def copied(url: str, events: list[PlateEvent], batch: int) -> float:
    """Seconds to COPY the rows, each with an id of its own, encoded beforehand."""
    migrate(url, "bench_copy", LOG)
    batches = []
    for start in range(0, len(events), batch):
        rows = [
            row(cast("PlateEvent", event | {"event_id": str(UUID(int=start + n))}))
            for n, event in enumerate(events[start : start + batch])
        ]
        batches.append(b"".join((HEADER, *rows, TRAILER)))
    with closing(connect(url, "bench_copy")) as connection:
        started = time.perf_counter()
        for data in batches:
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(
                    f"COPY plate_events ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)",
                    BytesIO(data),
                    size=1 << 20,
                )
        return time.perf_counter() - started


def applied(url: str, events: list[PlateEvent], batch: int) -> float:
    """Seconds for the view's writer, decoded records to rows and position."""
    with closing(SightingsView(url, LOG, "bench_view")) as view:
        started = time.perf_counter()
        for start in range(0, len(events), batch):
            part = events[start : start + batch]
            if view.apply(0, start, part, start + len(part)):
                raise SystemExit("a sighting was refused")
        return time.perf_counter() - started


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """A given server, or an embedded one that goes when the benchmark is over."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as embedded:
        yield embedded.url


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sightings", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--url")
    given = parser.parse_args()
    events = stream(given.sightings, random.Random(1))
    with server(given.url) as url:
        reference = len(events) / copied(url, events, given.batch)
        reached = len(events) / applied(url, events, given.batch)
        with closing(connect(url, "public")) as connection, connection:
            for schema in ("bench_copy", "bench_view"):
                connection.cursor().execute(f"DROP SCHEMA {schema} CASCADE")
    for name, value, unit in (
        ("projection.copy", reference, "rows/s"),
        ("projection.apply", reached, "events/s"),
        ("projection.ratio", reached / reference, "apply/copy"),
    ):
        print(json.dumps({"benchmark": name, "value": round(value, 3), "unit": unit}))


if __name__ == "__main__":
    main()
