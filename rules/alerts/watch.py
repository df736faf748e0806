"""Watchlists: which entries a plate is on, as of any moment of the log."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple

from rules.alerts.likeness import Likeness
from rules.alerts.plates import Patterns
from rules.alerts.rule import PlateIs
from rules.alerts.watch_entry import MATCHES, plate_of
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
    match: str
    kind: str
    valid_from: int | None
    valid_to: int | None
    owner: str
    reason: str
    tags: tuple[str, ...]


class _Entry:
    """One entry with all its versions, ascending."""

    __slots__ = ("plate", "versions", "watchlist")

    def __init__(self, watchlist: str, plate: str) -> None:
        self.watchlist = watchlist
        self.plate = plate
        self.versions: list[_Version] = []

    def at(self, at: int, when: int) -> _Version | None:
        """The version in force at log time ``at`` and valid at event time ``when``."""
        versions = self.versions
        version = versions[-1]
        if version.at > at:
            place = bisect_right(versions, at, key=_time)
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

    def hit(self, match: str, likeness: float, share: float, at: int, when: int) -> list["_Found"]:
        """What ``look`` tells of the entry, if it is in force, valid and to be matched so."""
        version = self.at(at, when)
        if version is None or version.match != match:
            return []
        found: WatchHit = {
            "watchlist": self.watchlist,
            "plate": self.plate,
            "kind": version.kind,
            # What is alike to the last character is the same.
            "match": "exact" if likeness == 1.0 and match == "fuzzy" else match,
            "confidence": share * likeness,
            "owner": version.owner,
            "reason": version.reason,
            "tags": list(version.tags),
        }
        return [(found, self)]


_Found = tuple[WatchHit, _Entry]


class Watchlists:
    """Entries by list, plate and match, with their history, found by what a plate reads."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._exact: dict[str, _Entry | tuple[_Entry, ...]] = {}
        """By plate; most have one entry."""
        self._wildcards = Patterns[_Entry]()
        self._fuzzy = Likeness[_Entry]()
        self.changes: list[int] = []
        """The log times at which an entry changed, ascending."""

    def put(self, entry: WatchlistEntry, at: int) -> None:
        """Take a version of an entry, in force from log time ``at`` until its next one.

        Of two with one time the one that came later counts. A plate is on a list once: to be
        matched otherwise is another version.
        """
        match = entry["match"]
        key = (entry["watchlist"], plate_of(entry["plate"], match))
        found = self._entries.get(key)
        if found is None:
            found = self._entries[key] = _Entry(*key)
        if not any(version.match == match for version in found.versions):
            self._file(found, match)
        version = _Version(
            at,
            entry["removed"],
            match,
            entry["kind"],
            entry["valid_from"],
            entry["valid_to"],
            entry["owner"],
            entry["reason"],
            tuple(entry["tags"]),
        )
        insort(found.versions, version, key=_time)
        insort(self.changes, at)

    def erase(self, watchlist: str, plate: str, at: int) -> None:
        """Take an entry off for ever, from log time ``at`` on: its plate is to be forgotten."""
        for match in MATCHES:
            found = self._entries.get((watchlist, plate_of(plate, match)))
            if found is not None and not found.versions[-1].removed:
                last = found.versions[-1]
                gone = last._replace(at=at, removed=True, owner="", reason="", tags=())
                insort(found.versions, gone, key=_time)
                insort(self.changes, at)

    def look(
        self, text: str, alternatives: Sequence[Alternative], at: int, when: int
    ) -> list[WatchHit]:
        """The entries that a plate is on, best first, each once.

        ``text`` is the normalised plate and counts whole; another text of the sighting counts
        with its share of the evidence where that is ``LEAST_SHARE`` or more. The confidence is
        that share, times the likeness (``rules.similarity``) for a fuzzy match. ``at`` is log time
        (versions in force), ``when`` event time (from ``valid_from`` until ``valid_to``).

        Exact matches are before wildcards before fuzzy ones, then the more confident, then by
        name. A fuzzy entry that reads just as the plate does matches exactly.
        """
        found = self._found(text, 1.0, at, when) if text else []
        for one in alternatives:
            other, share = one["text"], one["confidence"]
            if share >= LEAST_SHARE and other and other != text:
                found += self._found(other, min(share, 1.0), at, when)
        if len(found) > 1:
            found.sort(key=_order)
            if alternatives:
                return _each_once(found)
        return [hit for hit, _ in found]

    def _file(self, entry: _Entry, match: str) -> None:
        match match:
            case "wildcard":
                self._wildcards.add(PlateIs(entry.plate, "wildcard"), entry)
            case "fuzzy":
                self._fuzzy.add(entry.plate, LIKE, entry)
            case _:
                known = self._exact.get(entry.plate, ())
                more = (*known, entry) if isinstance(known, tuple) else (known, entry)
                self._exact[entry.plate] = more if len(more) > 1 else entry

    def _found(self, text: str, share: float, at: int, when: int) -> list[_Found]:
        found: list[_Found] = []
        exact = self._exact.get(text, ())
        for entry in exact if isinstance(exact, tuple) else (exact,):
            found += entry.hit("exact", 1.0, share, at, when)
        for entry in self._wildcards.follow(text):
            found += entry.hit("wildcard", 1.0, share, at, when)
        if self._fuzzy:
            for entry, likeness in self._fuzzy.near(text):
                found += entry.hit("fuzzy", likeness, share, at, when)
        return found


def _each_once(found: Sequence[_Found]) -> list[WatchHit]:
    """Of each entry the most confident match, which need not be the first."""
    best: dict[int, WatchHit] = {}
    for hit, entry in found:
        known = best.get(id(entry))
        if known is None or hit["confidence"] > known["confidence"]:
            best[id(entry)] = hit
    return [hit for hit, entry in found if best[id(entry)] is hit]


def _time(version: _Version) -> int:
    return version.at


def _order(found: _Found) -> tuple[int, float, str, str]:
    hit, _ = found
    return _RANK[hit["match"]], -hit["confidence"], hit["watchlist"], hit["plate"]
