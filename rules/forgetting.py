"""Whether a record says a plate: what somebody who is to be forgotten left in the log."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from rules.text import normalise

_WORDS = re.compile(r"""[^\s,;:"'()\[\]{}<>]+""")
_SPACED = 5  # letters from which on a plate may be several words of a sentence
_AROUND = 3_600_000_000
"""Microseconds before and after a stay in which a track is that vehicle's: others may be given its
name another day, by who numbers tracks anew after each start."""

Tracks = Mapping[tuple[str, str], Sequence[tuple[int, int]]]
"""Times (microseconds, both ends included) by camera and track."""


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

    A text says it as a whole (``34A-368.37``, a line feed between two lines), as one of its words
    or, a longer plate, as several in a row; bytes, such as the record that a dead letter keeps, by
    the plate's own letters.
    """
    if isinstance(value, str):
        return (
            normalise(value) == plate
            or any(normalise(word) == plate for word in _WORDS.findall(value))
            or (len(plate) >= _SPACED and _spread(plate).search(value) is not None)
        )
    if isinstance(value, bytes):
        return plate.encode() in value
    if isinstance(value, Mapping):
        return any(says(part, plate) for part in cast("Mapping[str, Any]", value).values())
    if isinstance(value, Sequence):
        return any(says(part, plate) for part in cast("Sequence[Any]", value))
    return False


def without(text: str, plate: str, name: str) -> str:
    """A sentence that says a normalised plate by another name alone, however it is written."""
    if normalise(text) == plate:
        return name
    text = _WORDS.sub(lambda word: name if normalise(word[0]) == plate else word[0], text)
    return _spread(plate).sub(name, text) if len(plate) >= _SPACED else text


@lru_cache(16)
def _spread(plate: str) -> re.Pattern[str]:
    """A plate whose letters stand by themselves, a sign or two between them."""
    letters = r"[\W_]{0,2}".join(plate)
    return re.compile(rf"(?<![^\W_]){letters}(?![^\W_])", re.IGNORECASE)


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


def tracks(event: Mapping[str, Any]) -> Tracks:
    """The tracks of a sighting's opener and of each read that it keeps, for the time around it."""
    reads = cast("Sequence[Mapping[str, Any]]", event["evidence"]["reads"])
    stay = (event["first_seen"] - _AROUND, event["last_seen"] + _AROUND)
    return {(one["camera_id"], one["track_id"]): [stay] for one in (event, *reads)}


def is_of(read: Mapping[str, Any], plate: str, known: Tracks) -> bool:
    """Whether a read is of the plate: by its text, or by the track of a sighting of it.

    Of a record that is no read the answer is no.
    """
    if "track_id" not in read or "text" not in read:
        return False
    times = known.get((read["camera_id"], read["track_id"]), ())
    return any(a <= read["captured_at"] <= b for a, b in times) or says(read, plate)
