"""Whether a record says a plate: what somebody who is to be forgotten left in the log."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rules.text import normalise

_WORDS = re.compile(r"""[^\s,;:"'()\[\]{}<>]+""")


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
