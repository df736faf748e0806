"""What all patterns share: a sighting that counts, an alert that is due, those of one subject."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from rules.alerts.patterns.history import History
from rules.alerts.signals import Evidence

NEVER = 1 << 62
HOUR = 3_600_000_000
GRACE = HOUR
"""How far behind the watermark a sighting may still change what is said: stores and forwards."""
SWEEP = 600_000_000
"""How much later things are dropped than they could be: many at a time."""
LONGEST = 7 * 24 * HOUR
"""How long a sighting is waited for that never ends."""
SHOWN = 16
"""Sightings that an alert names, the latest."""


class Item(NamedTuple):
    """A sighting that counts for a rule; in order of time."""

    captured_at: int
    event_id: str
    root: str
    """the sighting that alerts are named by: its own, or one that was merged into it"""
    steps: tuple[int, ...]
    evidence: Evidence

    @property
    def over(self) -> bool:
        """Whether nothing more will be said of it."""
        return self.evidence.status == "ended"


class Claim(NamedTuple):
    """An alert that is due, and what it says."""

    alert_id: str
    subject: str
    plate: str | None
    at: int
    number: int
    """of matches it stands for"""
    event_ids: tuple[str, ...]
    first_at: int
    last_at: int
    lead: Evidence
    """the sighting that made it due"""
    until: int = NEVER
    """it is final when what may still change begins later"""
    was: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """further plates, of a convoy; or where else, of a clone"""


class Change(NamedTuple):
    """An alert that is due, no more due, or says something else."""

    before: Claim | None
    after: Claim | None


@dataclass(slots=True)
class Held:
    """What is held of one subject."""

    items: list[Item] = field(default_factory=list[Item])
    said: dict[str, Claim] = field(default_factory=dict[str, Claim])
    settled: int = 0
    """what was final before this time is not asked again"""
    carry: Any = None
    """what is left of items that were dropped: immutable, plain"""
    wake: int = NEVER
    touched: tuple[Any, ...] = ()
    """the first place at which items changed since ``marks`` were made"""
    marks: list[Any] = field(default_factory=list[Any])
    """what a pattern noted on its way through the items, to begin there; no part of the state"""
    live: Any = None
    """where it stopped, to go on from when only more came; no part of the state"""

    def touch(self, captured_at: int, event_id: str) -> None:
        """Note that something changed at a place."""
        self.touched = min(self.touched or (NEVER,), (captured_at, event_id))

    def put(self, item: Item) -> None:
        """Take an item in, at its place."""
        self.touch(*item[:2])
        self.items.insert(bisect_left(self.items, item[:2]), item)

    def drop(self, captured_at: int, event_id: str) -> None:
        """Take an item out that is there."""
        self.touch(captured_at, event_id)
        del self.items[bisect_left(self.items, (captured_at, event_id))]

    def replace(self, item: Item) -> None:
        """Put an item in the place of what it was."""
        self.items[bisect_left(self.items, item[:2])] = item

    def before(self, at: int) -> int:
        """How many items were captured before a time."""
        return bisect_left(self.items, (at,))

    def until(self, at: int) -> list[Item]:
        """The items captured until a time, it included."""
        if not self.items or self.items[-1].captured_at <= at:
            return self.items
        return self.items[: bisect_right(self.items, at, key=_captured)]


class Kind(Protocol):
    """A pattern of a rule over the sightings of one subject: a plate, a zone, a plate's day."""

    at_once: bool
    """whether sightings count when they arrive, rather than when the watermark has reached them"""
    welcome: int
    """how much farther behind the watermark than GRACE a sighting may come"""
    most: int
    """items of one subject beyond which the older half is settled, at whatever time"""
    asks_last_seen: bool
    """whether it matters how long a sighting goes on"""
    history: History | None
    """what is left of plates whose sightings are held no more"""

    def subject(self, item: Item) -> str:
        """Whose sighting this is."""
        ...

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """The alerts that are due by the items that count ``now``, a time of the watermark."""
        ...

    def due(self, held: Held, now: int) -> int:
        """The next time at which ``claims`` may change without a new item; NEVER if at none."""
        ...

    def expiry(self, held: Held) -> int:
        """The time at which something may be dropped."""
        ...

    def settle(self, held: Held, floor: int) -> None:
        """Drop what matters to nothing that is captured at ``floor`` or later."""
        ...


def _captured(item: Item) -> int:
    return item.captured_at


def shown(items: list[Item]) -> tuple[str, ...]:
    """The sightings to name, of these."""
    return tuple(item.event_id for item in items[-SHOWN:])
