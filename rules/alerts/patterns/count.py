"""Counts of one subject: in a window that slides, or on a day of the camera's time zone."""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from rules.alerts.calendar import local_day
from rules.alerts.identity import alert_id
from rules.alerts.patterns.base import (
    GRACE,
    HOUR,
    NEVER,
    SHOWN,
    SWEEP,
    Claim,
    Held,
    Item,
    shown,
)
from rules.alerts.patterns.history import History
from rules.alerts.rule import Count

DAY = 25 * HOUR
"""The longest there is: clocks go back."""
CROWD = 4_096
"""Sightings of one subject that are held one by one: beyond, the older half is settled early."""

MARKED = 64
"""Sightings between two marks from which a count can go on."""


@dataclass(slots=True)
class _Live:
    """How far a count has come: at which sighting, in which run, with what in the window."""

    key: tuple[int, str] | tuple[()]
    run: Claim | None
    found: dict[str, Claim]
    window: deque[Item] = field(default_factory=deque[Item])
    plates: Counter[str] = field(default_factory=Counter[str])
    passed: int = 0

    def enter(self, item: Item) -> None:
        """The window reaches a sighting."""
        self.window.append(item)
        self.plates[item.evidence.plate] += 1

    def leave(self, until: int) -> None:
        """The window leaves what was captured until a time."""
        while self.window[0].captured_at <= until:
            gone = self.window.popleft().evidence.plate
            self.plates[gone] -= 1
            if not self.plates[gone]:
                del self.plates[gone]


class Sliding:
    """An alert stands for a run of sightings at each of which there were enough within the time
    before it; it is named by the first of them, and grows with the run. The run is over with a
    sighting at which there were not enough. So what makes a run is near it: a sighting that comes
    late changes the alert about its own time, not all later ones.
    """

    at_once = False
    welcome = 0
    asks_last_seen = False
    history: History | None = None

    def __init__(self, rule: str, pattern: Count, within: int) -> None:
        self._rule = rule
        self._least = pattern.at_least
        self._by = pattern.by
        self._within = within
        self._distinct = pattern.distinct
        self._back = max(CROWD // 4, 2 * pattern.at_least)
        self.most = max(CROWD, 4 * pattern.at_least)

    def subject(self, item: Item) -> str:
        """What is counted by."""
        return value_of(item, self._by)

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each run; it goes on from where it stopped, or the last mark before a change."""
        live: _Live | None = held.live
        if held.touched:
            touched = held.touched
            held.marks = [mark for mark in held.marks if mark[0] < touched]
            held.touched = ()
            if live is not None and live.key >= touched:
                live = None
        if live is None:
            key, run, said = held.marks[-1] if held.marks else ((), held.carry, ())
            live = _Live(key, run, {claim.alert_id: claim for claim in said})
            begin = bisect_right(items, key, key=_place) if key else 0
            if begin:
                first = items[begin - 1].captured_at - self._within
                for item in items[bisect_right(items, first, key=_captured) : begin]:
                    live.enter(item)
        else:
            begin = bisect_right(items, live.key, key=_place)
        for item in self._walk(subject, items, held, begin, live):
            if live.run is not None:
                live.found[live.run.alert_id] = live.run
            live.passed += 1
            if live.passed % MARKED == 0:
                held.marks.append((item[:2], live.run, tuple(live.found.values())))
        held.live = live if len(items) > MARKED else None  # of few it is made anew
        return list(live.found.values())

    def due(self, held: Held, now: int) -> int:
        """Never."""
        return NEVER

    def expiry(self, held: Held) -> int:
        """When the first has left all windows."""
        if held.items:
            return held.items[0].captured_at + self._within + GRACE + SWEEP
        return 0

    def settle(self, held: Held, floor: int) -> None:
        """Drop what no window sees, and keep what run goes on."""
        carry: Claim | None = held.carry
        subject = self.subject(held.items[0]) if held.items else ""
        live = _Live((), carry, {})
        for item in self._walk(subject, held.items, held, 0, live):
            if item.captured_at >= floor:
                break
            carry = live.run
        if carry is not None and carry.last_at + self._within <= floor:
            carry = None
        held.carry, held.settled = carry, floor
        seen = held.before(floor - self._within + 1)
        del held.items[: max(seen, held.before(floor) - self._back)]

    def _walk(
        self, subject: str, items: list[Item], held: Held, begin: int, live: "_Live"
    ) -> Iterator[Item]:
        """Each sighting from a place on that is not settled, when ``live`` has come to it."""
        for item in islice(items, begin, None):
            live.enter(item)
            live.leave(item.captured_at - self._within)
            live.key = item[:2]
            if item.captured_at < held.settled:
                continue
            there = len(live.plates) if self._distinct else len(live.window)
            run = live.run
            if there < self._least:
                run = None
            elif run is None or item.captured_at - run.last_at >= self._within:
                run = self._begun(subject, item, live.window, there)
            else:
                run = run._replace(
                    number=max(run.number, there) if self._distinct else run.number + 1,
                    event_ids=(*run.event_ids, item.event_id)[-SHOWN:],
                    last_at=item.captured_at,
                    until=item.captured_at,
                )
            live.run = run
            yield item

    def _begun(self, subject: str, item: Item, window: deque[Item], there: int) -> Claim:
        at = item.captured_at
        return Claim(
            alert_id(self._rule, subject, item.root),
            subject,
            item.evidence.plate if self._by == "plate" else None,
            at,
            there,
            shown(list(window)[-SHOWN:]),
            window[0].captured_at,
            at,
            item.evidence,
            until=at,
        )


class _Day(NamedTuple):
    """What is left of the sightings of a day that are not held one by one."""

    number: int
    plates: frozenset[str]
    first_at: int
    lead: Item | None


class Daily:
    """One alert for a subject and day, once there are enough; it grows till the day is over."""

    at_once = False
    welcome = DAY
    most = CROWD
    asks_last_seen = False
    history: History | None = None

    def __init__(self, rule: str, pattern: Count) -> None:
        self._rule = rule
        self._least = pattern.at_least
        self._by = pattern.by
        self._distinct = pattern.distinct

    def subject(self, item: Item) -> str:
        """What is counted by, and the day."""
        day = local_day(item.captured_at, item.evidence.timezone)
        return f"{day}\x1f{value_of(item, self._by)}"

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """The day's, if there are enough."""
        total = self._of_plates(items, held) if self._distinct else self._total(items, held.carry)
        if total.lead is None:
            return []
        day, value = subject.split("\x1f", 1)
        lead = total.lead
        last = items[-1] if items else lead
        return [
            Claim(
                alert_id(self._rule, value, day),
                value,
                value if self._by == "plate" else None,
                lead.captured_at,
                total.number,
                shown(items) or (lead.event_id,),
                total.first_at,
                max(last.captured_at, lead.captured_at),
                lead.evidence,
            )
        ]

    def due(self, held: Held, now: int) -> int:
        """Never."""
        return NEVER

    def expiry(self, held: Held) -> int:
        """When the day is over."""
        if held.items:
            return held.items[0].captured_at + DAY + GRACE
        return 0 if held.carry is None else held.carry.first_at + DAY + GRACE

    def settle(self, held: Held, floor: int) -> None:
        """Drop all of a day that is over; of a crowded one, keep the count."""
        if not held.items or held.items[-1].captured_at + DAY < floor:
            held.items, held.carry = [], None
        elif len(held.items) > self.most:
            # What is not over may yet change.
            over = [item for item in held.items if item.over and item.captured_at < floor]
            held.carry = self._total(over, held.carry)
            gone = {item.event_id for item in over}
            held.items = [item for item in held.items if item.event_id not in gone]

    def _of_plates(self, items: list[Item], held: Held) -> _Day:
        """The same as ``_total``, going on with the plates of last time if only more came."""
        touched, held.touched = held.touched, ()
        if held.marks and touched and touched <= held.marks[0]:
            held.marks = []
        carry: _Day = held.carry or _Day(0, frozenset(), NEVER, None)
        last, plates, lead = held.marks or ((), set(carry.plates), carry.lead)
        begin = bisect_right(items, last, key=_place) if last else 0
        for item in items[begin:]:
            plates.add(item.evidence.plate)
            if lead is None and len(plates) >= self._least:
                lead = item
        if items:
            held.marks = [items[-1][:2], plates, lead]
        first_at = min(carry.first_at, items[0].captured_at) if items else carry.first_at
        return _Day(len(plates), frozenset(), first_at, lead)

    def _total(self, items: list[Item], carry: _Day | None) -> _Day:
        if carry is None:
            carry = _Day(0, frozenset(), items[0].captured_at if items else NEVER, None)
        lead = carry.lead
        first_at = min(carry.first_at, items[0].captured_at) if items else carry.first_at
        if not self._distinct:
            number = carry.number + len(items)
            if lead is None and number >= self._least:
                lead = items[self._least - carry.number - 1]
            return _Day(number, frozenset(), first_at, lead)
        plates = set(carry.plates)
        for item in items:
            plates.add(item.evidence.plate)
            if lead is None and len(plates) >= self._least:
                lead = item
        return _Day(len(plates), frozenset(plates), first_at, lead)


def value_of(item: Item, by: str) -> str:
    """What a sighting is counted by; all together are ``all``."""
    evidence = item.evidence
    match by:
        case "plate":
            return evidence.plate
        case "camera_id":
            return evidence.camera_id
        case "zone":
            return evidence.zone
        case "site":
            return evidence.site
        case _:
            return "all"


def _captured(item: Item) -> int:
    return item.captured_at


def _place(item: Item) -> tuple[int, str]:
    return item.captured_at, item.event_id
