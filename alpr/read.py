"""``alpr read``: pictures, videos and folders to sightings, without any service.

The same edge and the same rules as the whole system, folded in memory: what ``alpr up`` would
have shown of the source.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from alpr.errors import ConfigError
from alpr.recognition import open_detector, open_recogniser
from alpr.settings import Settings

if TYPE_CHECKING:
    from edge.detect import PlateDetector
    from edge.recognise import PlateRecogniser
    from rules.settings import DedupSettings
    from schemas.records import PlateEvent

SECOND = 1_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr read` takes."""
    parser.add_argument("file", nargs="+", type=Path, help="picture, video or folder of them")
    parser.add_argument(
        "--country", help="plates to expect: auto, eu, us, br, vn, de,fr … (ALPR_DEDUP_COUNTRY)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a sighting")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the sightings of every source; exit code 1 if one could not be read whole."""
    from edge.capture import CaptureError
    from rules.grammar import AUTO, GrammarError, grammar

    dedup = settings.dedup
    if arguments.country is not None:
        country = arguments.country.strip()
        country = AUTO if country.lower() == AUTO else country.upper()
        dedup = settings.changed(dedup={"country": country}).dedup
    try:
        grammar().check(dedup.country)
    except GrammarError as error:
        raise ConfigError(f"--country: {error}") from error
    out = _Lines() if arguments.json else _Table()
    detector, recogniser = open_detector(settings.detector), open_recogniser(settings.recogniser)
    failed = False
    for path in arguments.file:
        for source in _sources(path):
            try:
                for event in sightings(source, dedup, detector, recogniser):
                    out.add(source, event)
            except CaptureError as error:
                failed = True
                print(f"alpr: read: {error}", file=sys.stderr)
    out.close()
    return int(failed)


def sightings(
    source: Path, dedup: "DedupSettings", detector: "PlateDetector", recogniser: "PlateRecogniser"
) -> Iterator["PlateEvent"]:
    """The sightings of one file as they end; times in microseconds from its start.

    Raises edge.capture.CaptureError, of a truncated file after all that could be read.
    """
    from edge.cameras import Camera
    from edge.run import read_file
    from rules.dedup import Deduplication
    from rules.grammar import grammar

    fold = Deduplication(0, dedup, grammar())
    camera = Camera(id=source.name, source=str(source))
    records = read_file(source, camera, detector, recogniser, images=None)
    for offset, (name, record) in enumerate(records):
        for out in fold.fold(name, record, offset, record["captured_at"]):
            if out.name == "PlateEvent" and out.record["status"] == "ended":
                yield out.record


def line(source: Path, event: "PlateEvent") -> dict[str, Any]:
    """What ``--json`` tells of a sighting; times in seconds from the start of its source."""
    plate = event["plate"]
    return {
        "source": str(source),
        "plate": plate["normalized_text"],
        "confidence": plate["confidence"],
        "country": plate["region"],
        "first_seen": event["first_seen"] / SECOND,
        "last_seen": event["last_seen"] / SECOND,
        "reads": event["reads"],
        "box": event["extras"]["box"],
        "alternatives": event["alternatives"],
        "event_id": event["event_id"],
    }


class _Lines:
    def add(self, source: Path, event: "PlateEvent") -> None:
        print(orjson.dumps(line(source, event)).decode(), flush=True)

    def close(self) -> None:
        """Everything is out already."""


class _Table:
    """One table for people, printed at the end; what was found is told while it goes on."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.table import Column, Table

        self._console = Console()
        self._status = Console(stderr=True).status("reading")
        self._status.start()
        self._table = Table(
            Column("Source", overflow="fold"), "Plate", "Country", "Confidence", "Seen", "Reads"
        )
        self._count = 0

    def add(self, source: Path, event: "PlateEvent") -> None:
        row = line(source, event)
        self._count += 1
        self._status.update(f"reading {source.name}: {row['plate']}, {self._count} in all")
        self._table.add_row(
            str(source),
            row["plate"],
            row["country"] or "",
            f"{row['confidence']:.2f}",
            f"{row['first_seen']:.1f}–{row['last_seen']:.1f} s",
            str(row["reads"]),
        )

    def close(self) -> None:
        self._status.stop()
        if self._count:
            self._console.print(self._table)
        else:
            self._console.print("No plate was found.")


def _sources(path: Path) -> Iterator[Path]:
    """The pictures and videos of a folder, by name; anything else as it is."""
    from edge.capture import PICTURES

    if not path.is_dir():
        yield path
        return
    known = PICTURES | {".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".ts", ".mpg", ".mpeg"}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix.lower() in known:
            yield file
