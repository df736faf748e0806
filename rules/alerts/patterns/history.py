"""When each plate was seen last: a million plates in little room."""

import pickle
from collections.abc import Mapping
from zlib import crc32

PARTS = 1_024
MOST = 1_000
"""Plates in a part; of more, those that were not seen for longest are forgotten."""


class History:
    """Times of last sightings by plate, in microseconds.

    Kept in parts, so that a snapshot pickles only those that changed since the last one.
    """

    def __init__(self, state: Mapping[int, bytes] | None = None) -> None:
        self._kept: dict[int, bytes] = dict(state or {})
        self._parts: dict[int, dict[str, int]] = {
            part: pickle.loads(kept) for part, kept in self._kept.items()
        }
        self._dirty: set[int] = set()

    def get(self, plate: str) -> int | None:
        """When a plate was seen last; None if it is not known."""
        return self._parts.get(_part(plate), {}).get(plate)

    def put(self, plate: str, at: int) -> None:
        """Note that a plate was seen."""
        number = _part(plate)
        part = self._parts.setdefault(number, {})
        part[plate] = max(at, part.get(plate, 0))
        self._dirty.add(number)
        if len(part) > MOST:
            oldest = sorted(part, key=lambda one: (part[one], one))
            for forgotten in oldest[: MOST // 10]:
                del part[forgotten]

    def state(self) -> dict[int, bytes]:
        """Plain values that will not change."""
        for part in self._dirty:
            self._kept[part] = pickle.dumps(self._parts[part])
        self._dirty.clear()
        return dict(self._kept)


def _part(plate: str) -> int:
    return crc32(plate.encode()) % PARTS
