"""Whether a record says a plate: what somebody who is to be forgotten left in the log."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, cast

from rules.text import normalise

_WORDS = re.compile(r"""[^\s,;:"'()\[\]{}<>]+""")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    ``erased`` counts records by topic that are gone; ``left`` those that the log drops by itself,
    by compaction or retention. ``sightings`` are their ids by partition, ``alerts`` ids.
    ``rules`` are the names of alert rules that say the plate: whoever wrote them has to.
    """

    sightings: dict[int, set[str]]
    alerts: set[str]
    pictures: int
    erased: Counter[str] = field(default_factory=Counter[str])
    left: Counter[str] = field(default_factory=Counter[str])
    rules: Sequence[str] = ()


def says(value: Any, plate: str) -> bool:
    """Whether a record, or a part of it, holds a normalised plate, written in any way.

    A text says it as a whole (``34A-368.37``, a line feed between two lines) or as one of its
    words; bytes, such as the record that a dead letter keeps, by the plate's own letters.
    """
    if isinstance(value, str):
        return normalise(value) == plate or any(
            normalise(word) == plate for word in _WORDS.findall(value)
        )
    if isinstance(value, bytes):
        return plate.encode() in value
    if isinstance(value, Mapping):
        return any(says(part, plate) for part in cast("Mapping[str, Any]", value).values())
    if isinstance(value, Sequence):
        return any(says(part, plate) for part in cast("Sequence[Any]", value))
    return False


def pictures(value: Any) -> set[str]:
    """The addresses of all pictures that a record names."""
    if isinstance(value, Mapping):
        found: set[str] = set()
        for name, part in cast("Mapping[str, Any]", value).items():
            if name.endswith("_url") and isinstance(part, str):
                found.add(part)
            else:
                found |= pictures(part)
        return found - {""}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        parts = cast("Sequence[Any]", value)
        return set[str]().union(*(pictures(part) for part in parts))
    return set()


def tracks(event: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Camera and track of a sighting's opener and of each read that it keeps."""
    found = {(event["camera_id"], event["track_id"])}
    reads = cast("Sequence[Mapping[str, Any]]", event["evidence"]["reads"])
    return found | {(read["camera_id"], read["track_id"]) for read in reads}


def is_of(read: Mapping[str, Any], plate: str, known: Set[tuple[str, str]]) -> bool:
    """Whether a read is of the plate: by its text, or by the track of a sighting of it.

    ``known`` are cameras and tracks; of a record that is no read the answer is no.
    """
    if "track_id" not in read or "text" not in read:
        return False
    return (read["camera_id"], read["track_id"]) in known or says(read, plate)
