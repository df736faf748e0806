"""What differs between the sightings that were said and those that today's settings say."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from alpr.history import ERASED, NOW, SECOND_US, THEN, Covered, History, Span
from rules.similarity import fold, similarity_of_folded

Kind = Literal["changes", "appears", "vanishes", "merges", "splits"]
COMPARED = ("text", "region", "status", "first_seen", "last_seen")
NEAR_S = 10.0
"""How far apart the times of two sightings may be that are of one stay but share no opener."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A sighting as far as it is compared; times in microseconds UTC."""

    event_id: str
    place: str
    camera_id: str
    captured_at: int
    text: str
    region: str | None
    status: str
    first_seen: int
    last_seen: int
    merged_into: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A sighting that would be another, or none.

    - changes: it stands as before, ``differing`` says in which fields; with ``event_id`` among
      them, it would be opened by another read
    - appears, vanishes: ``then`` or ``now`` is None, or the sighting as retracted
    - merges: ``then`` would be part of ``now``, which stands for another sighting, too
    - splits: ``now`` would be a sighting of its own, and is part of ``then``
    """

    kind: Kind
    then: Stay | None
    now: Stay | None
    differing: tuple[str, ...] = ()

    @property
    def shown(self) -> Stay:
        """The sighting that it is about."""
        found = self.now if self.kind in ("appears", "splits") else self.then
        assert found is not None
        return found


_STAY = tuple(field.name for field in fields(Stay))


class Comparison:
    """The two sides of a History, compared by id, and where ids differ by place, time and text."""

    def __init__(
        self, history: History, covered: Sequence[Covered], span: Span, alike: float
    ) -> None:
        self._db = history.db
        self._alike = alike
        self._until = span.until
        self._db.executescript(
            "CREATE TEMP TABLE scope (part INTEGER PRIMARY KEY, since INTEGER);"
            "CREATE TEMP TABLE taken (event_id TEXT PRIMARY KEY);"
        )
        self._db.executemany(
            "INSERT INTO scope VALUES (?, ?)", [(part.partition, part.since) for part in covered]
        )

    def standing(self, side: int) -> int:
        """How many sightings of a side stand, of those compared."""
        return self._db.execute(
            f"SELECT count(*) FROM sighting s WHERE {self._meant('s')}", self._bound(side)
        ).fetchone()[0]

    def versions(self) -> Counter[str]:
        """By which rules_version the sightings were said, and how many by each."""
        return Counter(
            dict(
                self._db.execute(
                    "SELECT rules_version, count(*) FROM sighting s"
                    f" WHERE {self._meant('s')} GROUP BY 1",
                    self._bound(THEN),
                ).fetchall()
            )
        )

    def changes(self) -> Iterator[Change]:
        """What differs: sightings that stay one for one, then those gone, then those come."""
        for then in self._stays(THEN):
            now = self._standing_as(NOW, then.event_id)
            if now is not None and (differing := _differing(then, now)):
                yield Change("changes", then, now, differing)
        for then in self._stays(THEN, alone=True):
            yield self._gone(then)
        for now in self._stays(NOW, alone=True):
            if not self._is_taken(now):
                then = self._likest(now, THEN, lambda _: True)
                yield Change("splits" if then else "appears", then, now)

    def _gone(self, then: Stay) -> Change:
        retracted = self._find(NOW, then.event_id)
        if retracted is not None and retracted.merged_into is not None:
            into = self._standing_as(NOW, retracted.merged_into)
            if into is not None:
                return Change("merges", then, into)
        new = self._likest(then, NOW, lambda now: self._is_alone(now) and not self._is_taken(now))
        if new is not None:
            self._db.execute("INSERT INTO taken VALUES (?)", (new.event_id,))
            return Change("changes", then, new, ("event_id", *_differing(then, new)))
        into = self._likest(then, NOW, lambda _: True)
        return Change("merges", then, into) if into else Change("vanishes", then, retracted)

    def _likest(self, one: Stay, side: int, fits: Callable[[Stay], bool]) -> Stay | None:
        """The sighting of the other side at the same place and time whose text is likest."""
        near = int(NEAR_S * SECOND_US)
        found = self._db.execute(
            f"SELECT {', '.join(_STAY)} FROM sighting WHERE side = ? AND stands AND place = ?"
            " AND last_seen >= ? AND first_seen <= ?",
            (side, one.place, one.first_seen - near, one.last_seen + near),
        )
        ranked = [
            (likeness, -abs(other.captured_at - one.captured_at), other.event_id, other)
            for other in (Stay(*row) for row in found)
            if (likeness := self._likeness(one.text, other.text)) and fits(other)
        ]
        return max(ranked)[3] if ranked else None

    def _likeness(self, one: str, other: str) -> float:
        return similarity_of_folded(one, fold(one), other, fold(other), self._alike)

    def _stays(self, side: int, alone: bool = False) -> Iterator[Stay]:
        """The sightings of a side that stand, in order of time; ``alone``: on this side only."""
        other = (
            " AND NOT EXISTS (SELECT 1 FROM sighting o WHERE o.side = 1 - s.side"
            " AND o.event_id = s.event_id AND o.stands)"
        )
        found = self._db.execute(
            f"SELECT {', '.join(_STAY)} FROM sighting s WHERE {self._meant('s')}"
            f"{other if alone else ''} ORDER BY captured_at, event_id",
            self._bound(side),
        )
        for row in found:
            yield Stay(*row)

    def _find(self, side: int, event_id: str) -> Stay | None:
        row = self._db.execute(
            f"SELECT {', '.join(_STAY)} FROM sighting WHERE side = ? AND event_id = ?",
            (side, event_id),
        ).fetchone()
        return Stay(*row) if row else None

    def _standing_as(self, side: int, event_id: str) -> Stay | None:
        found = self._find(side, event_id)
        return found if found is not None and found.status != "retracted" else None

    def _is_alone(self, now: Stay) -> bool:
        return self._standing_as(THEN, now.event_id) is None

    def _is_taken(self, now: Stay) -> bool:
        return bool(
            self._db.execute("SELECT 1 FROM taken WHERE event_id = ?", (now.event_id,)).fetchone()
        )

    def _meant(self, name: str) -> str:
        """The condition of a sighting that is compared: it stands, in time, and is not erased."""
        return (
            f"{name}.side = ? AND {name}.stands AND {name}.captured_at < ? AND {name}.captured_at"
            f" >= (SELECT since FROM scope WHERE scope.part = {name}.part) AND NOT EXISTS"
            f" (SELECT 1 FROM sighting e WHERE e.side = {ERASED} AND e.event_id = {name}.event_id)"
        )

    def _bound(self, side: int) -> tuple[int, int]:
        return side, self._until


def _differing(then: Stay, now: Stay) -> tuple[str, ...]:
    return tuple(name for name in COMPARED if getattr(then, name) != getattr(now, name))
