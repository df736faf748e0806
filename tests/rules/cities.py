"""Small generated cities, as the raw log of one partition holds them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from benchmarks.site import Item, Settings, Site
from rules.dedup import Deduplication, Output
from rules.grammar import grammar
from rules.settings import DedupSettings

EVENTFUL = Settings(
    fleets=0.05,
    returning=0.1,
    lingering=0.05,
    groups=0.5,
    lots=0.4,
    parked=0.2,
    fragmented=0.1,
    switched=0.05,
    soiled=0.05,
    lettered=0.05,
    overlays=0.5,
    late=0.01,
    repeated=0.02,
    repeated_later=0.01,
    outages=0.5,
    silences=0.5,
    restarts=0.5,
    clocks_ahead=0.5,
    clocks_back=0.5,
)
"""A city in which within minutes all happens that can."""


@cache
def city(seed: int, cameras: int = 4, hours: float = 0.25) -> tuple[Item, ...]:
    """The raw records of an eventful city, all in partition 0."""
    site = Site(seed, cameras=cameras, hours=hours, partitions=1, settings=EVENTFUL)
    return tuple(site.records())


def start(state: Any = None, settings: DedupSettings | None = None) -> Deduplication:
    """A fold of partition 0."""
    return Deduplication(0, settings or DedupSettings(), grammar(), state)


def folded(dedup: Deduplication, items: Sequence[Item], first: int = 0) -> list[list[Output]]:
    """What each item causes; the first has offset ``first``."""
    return [
        dedup.fold(item.name, item.record, offset, item.appended_at)
        for offset, item in enumerate(items, first)
    ]


def digest(outputs: Iterable[Output]) -> str:
    """One hash of all outputs, to the last byte of their canonical JSON."""
    found = hashlib.sha256()
    for out in outputs:
        found.update(json.dumps(out, sort_keys=True, separators=(",", ":")).encode())
    return found.hexdigest()
