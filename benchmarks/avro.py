"""Avro in Confluent's wire format beside JSON: bytes, and time to encode and decode.

    python -m benchmarks.avro [--reads 3000] [--rounds 3]

Of the design's mix: its reads, and the sightings that dedup makes of them. ``json`` is the
standard library's without spaces, ``orjson`` what the API answers with; neither checks a schema.
One JSON line a figure, processor time, the best of the rounds.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from benchmarks.dedup import MemoryRegistry, folded, mix, spin, tell
from schemas.codec import Codec
from schemas.topics import DETECTED, RAW


def measured(work: Callable[[Any], Any], values: Sequence[Any], rounds: int) -> float:
    """Microseconds of one call."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for value in values:
            work(value)
        best = min(best, time.process_time() - began)
    return best / len(values) * 1e6


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def compare(name: str, topic: str, records: Sequence[Any], rounds: int) -> None:
    codec = Codec(MemoryRegistry())
    encode = codec.encoder(topic, name)
    avro, text = [encode(record) for record in records], [compact(record) for record in records]
    less = 100 * (sum(map(len, avro)) / sum(map(len, text)) - 1)
    sizes = {"avro": round(sum(map(len, avro)) / len(avro))}
    sizes["json"] = round(sum(map(len, text)) / len(text))
    tell(f"avro.size.{name}", less, "% against JSON's bytes", bytes=sizes)
    for way, writers, given in (
        ("encode", {"avro": encode, "orjson": orjson.dumps, "json": compact}, (records,) * 3),
        ("decode", {"avro": codec.decode, "orjson": orjson.loads, "json": json.loads},
         (avro, text, text)),
    ):  # fmt: skip
        times = {
            kind: round(measured(work, values, rounds), 2)
            for (kind, work), values in zip(writers.items(), given, strict=True)
        }
        tell(f"avro.{way}.{name}", times["avro"], "us", **times)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    items = list(mix(given.reads))
    reads = [item.record for item in items if item.name == "PlateRead"]
    events = [out.record for out in folded(items) if out.name == "PlateEvent"]
    tell("spin", spin(), "s per million rounds of a Python loop")
    compare("PlateRead", RAW.name, reads, given.rounds)
    compare("PlateEvent", DETECTED.name, events, given.rounds)


if __name__ == "__main__":
    main()
