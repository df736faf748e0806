"""Watchlists: which entries a plate is on, as of any moment of the log."""

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rules.alerts.holds import plate_is
from rules.alerts.rule import PlateIs
from rules.alerts.watch_entry import plate_of
from rules.similarity import similarity
from schemas.records import Alternative, WatchHit, WatchlistEntry

LIKE = 0.85
"""Least likeness of a fuzzy match: the design's threshold for reads of one plate."""
LEAST_SHARE = 0.2
"""Least share of the evidence with which another text of the sighting counts."""
_RANK = {"exact": 0, "wildcard": 1, "fuzzy": 2}


def entry_key(watchlist: str, plate: str) -> str:
    """The key on alpr.watchlist of an entry."""
    return f"{watchlist}/{plate}"


class _Version(NamedTuple):
    """What an entry says from ``at`` on (log time)."""

    at: int
    removed: bool
    kind: str
    valid_from: int | None
    valid_to: int | None
    owner: str
    reason: str
    tags: tuple[str, ...]


class _Entry:
    """One entry with all its versions, ascending."""

    __slots__ = ("match", "plate", "versions", "watchlist")

    def __init__(self, watchlist: str, plate: str, match: str) -> None:
        self.watchlist = watchlist
        self.plate = plate
        self.match = match
        self.versions: list[_Version] = []

    def at(self, at: int, when: int) -> _Version | None:
        """The version in force at log time ``at`` and valid at event time ``when``."""
        versions = self.versions
        version = versions[-1]
        if version.at > at:
            place = bisect_right(versions, at, key=lambda one: one.at)
            if not place:
                return None
            version = versions[place - 1]
        if version.removed:
            return None
        if version.valid_from is not None and when < version.valid_from:
            return None
        if version.valid_to is not None and when >= version.valid_to:
            return None
        return version


class Watchlists:
    """Entries by list, plate and match, with their history."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        self.changes: list[int] = []
        """The log times at which an entry changed, ascending."""

    def put(self, entry: WatchlistEntry, at: int) -> None:
        """Take a version of an entry that is in force from log time ``at``."""
        match = entry["match"]
        plate = plate_of(entry["plate"], match)
        key = (entry["watchlist"], plate, match)
        found = self._entries.get(key)
        if found is None:
            found = self._entries[key] = _Entry(*key)
        version = _Version(
            at,
            entry["removed"],
            entry["kind"],
            entry["valid_from"],
            entry["valid_to"],
            entry["owner"],
            entry["reason"],
            tuple(entry["tags"]),
        )
        place = bisect_right(found.versions, at, key=lambda one: one.at)
        found.versions.insert(place, version)
        insort(self.changes, at)

    def look(
        self, text: str, alternatives: Sequence[Alternative], at: int, when: int
    ) -> list[WatchHit]:
        """The entries that a plate is on, best first, each once.

        ``text`` is the normalised plate and counts whole; another text of the sighting counts
        with its share of the evidence where that is ``LEAST_SHARE`` or more. The confidence is
        that share, times the likeness for a fuzzy match. ``at`` is log time (versions in force),
        ``when`` event time (``valid_from`` to ``valid_to``).

        Exact matches are before wildcards before fuzzy ones, then the more confident, then by
        name. A fuzzy entry that reads just as the plate does matches exactly.
        """
        found: dict[tuple[str, str, str], WatchHit] = {}
        shares = [(text, 1.0)] if text else []
        shares += [
            (one["text"], min(one["confidence"], 1.0))
            for one in alternatives
            if one["text"] and one["text"] != text and one["confidence"] >= LEAST_SHARE
        ]
        for one, share in shares:
            for entry, match, likeness in self._like(one):
                version = entry.at(at, when)
                if version is None:
                    continue
                key = (entry.watchlist, entry.plate, entry.match)
                confidence = share * likeness
                known = found.get(key)
                if known is None or known["confidence"] < confidence:
                    found[key] = {
                        "watchlist": entry.watchlist,
                        "plate": entry.plate,
                        "kind": version.kind,
                        "match": match,
                        "confidence": confidence,
                        "owner": version.owner,
                        "reason": version.reason,
                        "tags": list(version.tags),
                    }
        return sorted(found.values(), key=_order)

    def _like(self, text: str) -> Iterator[tuple[_Entry, str, float]]:
        for entry in self._entries.values():
            if entry.plate == text and entry.match != "wildcard":
                yield entry, "exact", 1.0
            elif entry.match == "wildcard":
                if plate_is(PlateIs(entry.plate, "wildcard"), text):
                    yield entry, "wildcard", 1.0
            elif entry.match == "fuzzy":
                likeness = similarity(entry.plate, text)
                if likeness >= LIKE:
                    yield entry, "fuzzy", likeness


def _order(hit: WatchHit) -> tuple[int, float, str, str]:
    return _RANK[hit["match"]], -hit["confidence"], hit["watchlist"], hit["plate"]
