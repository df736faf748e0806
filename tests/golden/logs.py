"""Small recorded raw logs, and what their sightings come to."""

import base64
import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.settings import DedupSettings
from rules.version import rules_version
from schemas.codec import Codec, schema_text
from schemas.topics import RAW, subject
from tests.schemas.memory import MemoryRegistry

FOLDER = Path(__file__).parent
HASHES = FOLDER / "hashes.json"
SEEDS = {"crossing": 101, "car_park": 102, "gate": 103}
"""The recorded logs and the seeds of the cities that they were taken from."""


def write_log(name: str, seed: int) -> None:
    """Record a generated city: its schemas, then (appended_at, bytes) of every record."""
    from tests.rules.cities import city

    registry = MemoryRegistry()
    codec = Codec(registry)
    for record in RAW.records:
        registry.register(subject(RAW.name, record), schema_text(record))
    lines: list[Any] = [registry.texts]
    for item in city(seed, cameras=3, hours=0.2):
        payload = codec.encode(RAW.name, item.name, item.record)
        lines.append([item.appended_at, base64.b85encode(payload).decode()])
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    # Neither the time nor the name of the file goes into it, so that it only changes by content.
    packed = gzip.compress(text.encode(), mtime=0)
    (FOLDER / f"{name}.jsonl.gz").write_bytes(packed)


def raw_log(name: str) -> list[tuple[int, str, Any]]:
    """(appended_at, record's name, record) of a recorded log, decoded as a release does today."""
    lines = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()
    registry = MemoryRegistry()
    registry.texts = json.loads(lines[0])
    codec = Codec(registry)
    found: list[tuple[int, str, Any]] = []
    for line in lines[1:]:
        appended_at, payload = json.loads(line)
        found.append((appended_at, *codec.decode(base64.b85decode(payload))))
    return found


def outcome(name: str) -> dict[str, Any]:
    """The final events and the refusals of a recorded log: their hash and how many there are.

    ``rules_version`` is left out of the hash, so that it says whether decisions changed.
    """
    settings, plates = DedupSettings(), grammar()
    dedup = Deduplication(0, settings, plates)
    sightings: dict[str, Any] = {}
    refusals: list[Any] = []
    for offset, (appended_at, record_name, record) in enumerate(raw_log(name)):
        for out in dedup.fold(record_name, record, offset, appended_at):
            if out.name == "PlateEvent":
                sightings[out.key] = _without_version(out.record)
            elif out.name == "ReadRejected":
                refusals.append((out.record["offset"], out.record["reason"]))
    statuses = Counter(event["status"] for event in sightings.values())
    return {
        "rules_version": rules_version(settings, plates),
        "sightings_sha256": _sha256([sightings, refusals]),
        "sightings": dict(sorted(statuses.items())),
        "refusals": len(refusals),
    }


def load() -> dict[str, Any]:
    """What was recorded of each log."""
    return json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.exists() else {}


def save(known: dict[str, Any]) -> None:
    """Keep it."""
    HASHES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _without_version(event: Any) -> Any:
    return {key: value for key, value in event.items() if key != "rules_version"}


def _sha256(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
