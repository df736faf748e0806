"""The same vehicles together at camera after camera."""

import pickle
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import combinations
from typing import Any, NamedTuple

from rules.alerts.identity import alert_id
from rules.alerts.patterns.base import GRACE, NEVER, SHOWN, SWEEP, Change, Claim, Item
from rules.alerts.rule import Convoy
from rules.alerts.signals import Evidence, Sighted

NEAR = 16
"""Places before and behind a vehicle that are looked at: more cannot be held together anyway."""
LARGEST = 32
"""Vehicles in a convoy; more that hang together are traffic, of which nothing is said."""
SEARCHED = 512
"""Vehicles that hang together which are looked at, to find out whether it is traffic."""
CAMERAS = 12
"""Cameras of one vehicle's way that are looked at at once, the latest."""


class Passage(NamedTuple):
    """A stretch of the way of one vehicle on which enough others were near it."""

    anchor: str
    plates: frozenset[str]
    """of the others"""
    began: tuple[int, str]
    """the first sighting of the way: its time and root"""
    full_at: int
    lead: Evidence
    """of the vehicle, where there had been enough cameras"""
    last_at: int
    shown: tuple[tuple[int, str], ...]
    """its latest sightings"""

    @property
    def key(self) -> tuple[str, int]:
        """By which it is known; the same vehicle has another later."""
        return self.anchor, self.full_at


class Convoys:
    """Holds the evidence of one shape of a rule about convoys, and what was said of it.

    Around each vehicle, by turns: those that were at most ``apart`` from it at each of the same
    ``cameras`` within ``within``; if that makes ``plates`` with itself, it has a passage. Passages
    that share a vehicle and a time are one convoy, named by its earliest sighting.
    """

    def __init__(self, rule: str, pattern: Convoy, state: dict[str, Any] | None = None) -> None:
        self._rule = rule
        self._pattern = pattern
        self._settled = 0
        self._where: dict[str, Item] = {}
        self._by_plate: dict[str, list[Item]] = {}
        self._by_camera: dict[str, list[Item]] = {}
        self._pending: list[tuple[int, str]] = []
        self._passages: dict[str, list[Passage]] = {}
        self._rides: dict[str, set[str]] = {}
        """By plate, the anchors whose passages it is in."""
        self._carry: dict[str, Passage] = {}
        self._said: dict[str, Claim] = {}
        self._about: dict[str, set[str]] = {}
        """By plate, the alerts that were said."""
        self._sweep = NEVER
        self._kept: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        if state is not None:
            self._resume(state)

    @property
    def due(self) -> int:
        """When it has to be woken, by the watermark."""
        return min(self._sweep, self._pending[0][0] if self._pending else NEVER)

    @property
    def empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._where

    def says(self, alert_id: str) -> bool:
        """Whether it stands by an alert."""
        return alert_id in self._said

    def take(self, signal: Sighted, now: int) -> list[Change]:
        """What changes by a sighting that counts, or counts no more."""
        evidence = signal.evidence
        event_id = evidence.event_id
        known = self._where.get(event_id)
        if known is None:
            if not signal.steps or evidence.captured_at < now - GRACE:
                return []
        elif known.evidence.revision > evidence.revision:
            return []
        touched: set[str] = set()
        if known is not None:
            touched |= self._remove(known)
        if signal.steps:
            item = Item(evidence.captured_at, event_id, event_id, signal.steps, evidence)
            self._where[event_id] = item
            self._dirty.add(evidence.plate)
            if item.captured_at <= now:
                touched |= self._file(item)
            else:
                heappush(self._pending, (item.captured_at, event_id))
            self._sweep = min(self._sweep, self._horizon(item.captured_at))
        return self._changed(touched)

    def erase(self, event_id: str, now: int) -> list[Change]:
        """What changes when a sighting is forgotten."""
        known = self._where.get(event_id)
        return [] if known is None else self._changed(self._remove(known))

    def advance(self, now: int) -> list[Change]:
        """What changes as the watermark has come to ``now``; drop what can matter no more."""
        changes: list[Change] = []
        while self._pending and self._pending[0][0] <= now:
            _, event_id = heappop(self._pending)
            item = self._where.get(event_id)
            if item is not None and not self._filed(item):
                changes += self._changed(self._file(item))
        if self._sweep <= now:
            self._settle(now - GRACE)
        return changes

    def state(self) -> dict[str, Any]:
        """Plain values that will not change; only what changed is pickled anew."""
        items: dict[str, list[Item]] = {plate: [] for plate in self._dirty}
        for item in self._where.values():
            if item.evidence.plate in items:
                items[item.evidence.plate].append(item)
        for plate, those in items.items():
            if those:
                self._kept[plate] = pickle.dumps(those)
            else:
                self._kept.pop(plate, None)
        self._dirty.clear()
        return {
            "settled": self._settled,
            "pending": [one for one in self._pending if one[1] in self._where],
            "said": pickle.dumps((self._said, self._carry)),
            "items": dict(self._kept),
        }

    def _resume(self, state: dict[str, Any]) -> None:
        self._settled = state["settled"]
        self._said, self._carry = pickle.loads(state["said"])
        for name, claim in self._said.items():
            self._note(name, claim)
        self._pending = list(state["pending"])
        heapify(self._pending)
        unseen = {event_id for _, event_id in self._pending}
        self._kept = dict(state["items"])
        for kept in self._kept.values():
            for item in pickle.loads(kept):
                self._where[item.event_id] = item
                self._sweep = min(self._sweep, self._horizon(item.captured_at))
                if item.event_id not in unseen:
                    self._file(item)
        for plate in [*self._by_plate, *self._carry]:
            self._renew(plate)

    # Filing

    def _horizon(self, captured_at: int) -> int:
        return captured_at + self._pattern.within + self._pattern.apart + GRACE + SWEEP

    def _filed(self, item: Item) -> bool:
        row = self._by_plate.get(item.evidence.plate, [])
        place = bisect_left(row, item[:2])
        return place < len(row) and row[place].event_id == item.event_id

    def _file(self, item: Item) -> set[str]:
        """File a sighting; returns the plates whose way this may change."""
        insort(self._by_plate.setdefault(item.evidence.plate, []), item)
        insort(self._by_camera.setdefault(item.evidence.camera_id, []), item)
        return self._around(item)

    def _remove(self, item: Item) -> set[str]:
        del self._where[item.event_id]
        plate, camera_id = item.evidence.plate, item.evidence.camera_id
        self._dirty.add(plate)
        if not self._filed(item):
            return set()
        touched = self._around(item)
        for index, key in ((self._by_plate, plate), (self._by_camera, camera_id)):
            row = index[key]
            del row[bisect_left(row, item[:2])]
            if not row:
                del index[key]
        return touched

    def _around(self, item: Item) -> set[str]:
        row = self._by_camera[item.evidence.camera_id]
        place = bisect_left(row, item[:2])
        near = row[max(0, place - NEAR - 1) : place + NEAR + 2]
        apart = self._pattern.apart
        return {
            one.evidence.plate for one in near if abs(one.captured_at - item.captured_at) <= apart
        }

    def _company(self, item: Item) -> Iterator[Item]:
        """Sightings of others near a sighting."""
        row = self._by_camera[item.evidence.camera_id]
        place = bisect_left(row, item[:2])
        for one in row[max(0, place - NEAR) : place + NEAR + 1]:
            near = abs(one.captured_at - item.captured_at) <= self._pattern.apart
            if near and one.evidence.plate != item.evidence.plate:
                yield one

    # Passages

    def _renew(self, anchor: str) -> set[str]:
        """Find the passages of a vehicle anew; returns the plates in those it had and has."""
        old = self._passages.pop(anchor, [])
        new = list(self._find(anchor))
        touched = {anchor}
        for passage in old:
            touched |= passage.plates
            for plate in passage.plates:
                self._rides.get(plate, set()).discard(anchor)
        for passage in new:
            touched |= passage.plates
            for plate in passage.plates:
                self._rides.setdefault(plate, set()).add(anchor)
        if new:
            self._passages[anchor] = new
        return touched if old or new else set()

    def _find(self, anchor: str, end: int = NEVER) -> Iterator[Passage]:
        """Its passages, by what was before ``end``."""
        way = self._by_plate.get(anchor, [])
        passage = self._carry.get(anchor)
        if passage is None and len({i.evidence.camera_id for i in way}) < self._pattern.cameras:
            return
        begin = 0
        for place, item in enumerate(way):
            while way[begin].captured_at <= item.captured_at - self._pattern.within:
                begin += 1
            if item.captured_at >= end:
                break
            if item.captured_at < self._settled:
                continue
            those = self._together(way[begin : place + 1])
            own = (item.captured_at, item.event_id)
            if not those:
                if passage is not None:
                    yield passage
                passage = None
            elif passage is None:
                first = way[begin]
                passage = Passage(
                    anchor,
                    those,
                    (first.captured_at, first.root),
                    item.captured_at,
                    item.evidence,
                    item.captured_at,
                    tuple((i.captured_at, i.event_id) for i in way[begin : place + 1][-SHOWN:]),
                )
            else:
                passage = passage._replace(
                    plates=passage.plates | those,
                    last_at=item.captured_at,
                    shown=(*passage.shown, own)[-SHOWN:],
                )
        if passage is not None:
            yield passage

    def _together(self, way: list[Item]) -> frozenset[str]:
        """Those who were near a vehicle at enough of the same cameras, if they are enough."""
        cameras, others = self._pattern.cameras, self._pattern.plates - 1
        at: dict[str, set[str]] = {}
        for item in way:
            for one in self._company(item):
                at.setdefault(one.evidence.plate, set()).add(item.evidence.camera_id)
        able = {plate: there for plate, there in at.items() if len(there) >= cameras}
        if len(able) < others:
            return frozenset()
        if others <= 1:
            return frozenset(able)
        latest = dict.fromkeys(item.evidence.camera_id for item in reversed(way))
        found: set[str] = set()
        for chosen in combinations(list(latest)[:CAMERAS], cameras):
            those = [plate for plate, there in able.items() if there.issuperset(chosen)]
            if len(those) >= others:
                found.update(those)
        return frozenset(found)

    # Alerts

    def _changed(self, touched: Iterable[str]) -> list[Change]:
        plates: set[str] = set()
        for plate in touched:
            plates |= self._renew(plate)
        if not plates:
            return []
        for name in [name for plate in plates for name in self._about.get(plate, ())]:
            plates |= {self._said[name].subject, *self._said[name].others}
        before: dict[str, Claim] = {}
        after: dict[str, Claim] = {}
        asked: set[str] = set()
        for plate in sorted(plates):
            if plate in asked:
                continue
            for convoy in self._convoys(plate):
                everyone = {plate for one in convoy for plate in (one.anchor, *one.plates)}
                asked |= everyone & plates
                claim = self._claim(convoy, everyone)
                if claim is not None and claim.until >= self._settled:
                    after[claim.alert_id] = claim
                for one in everyone:
                    before |= {a: self._said[a] for a in self._about.get(one, ())}
        for plate in plates:
            before |= {a: self._said[a] for a in self._about.get(plate, ())}
        for name, claim in before.items():
            self._unsay(name, claim)
        for name, claim in after.items():
            self._said[name] = claim
            self._note(name, claim)
        return [
            Change(before.get(name), after.get(name))
            for name in sorted(before.keys() | after.keys())
        ]

    def _convoys(self, plate: str) -> Iterator[list[Passage]]:
        """The passages that hang together with each of those that a plate is in."""
        left = list(self._with(plate))
        while left:
            convoy, plates, queue = {left[0].key: left[0]}, set[str](), [left[0]]
            while queue and len(plates) <= SEARCHED:
                one = queue.pop()
                plates |= {one.anchor, *one.plates}
                for other in (o for p in (one.anchor, *one.plates) for o in self._with(p)):
                    if other.key not in convoy and self._meet(one, other):
                        convoy[other.key] = other
                        queue.append(other)
            yield sorted(convoy.values(), key=lambda one: (one.full_at, one.lead.event_id))
            left = [one for one in left if one.key not in convoy]

    def _with(self, plate: str) -> Iterator[Passage]:
        yield from self._passages.get(plate, ())
        for anchor in self._rides.get(plate, ()):
            for passage in self._passages.get(anchor, ()):
                if plate in passage.plates:
                    yield passage

    def _meet(self, one: Passage, other: Passage) -> bool:
        apart = self._pattern.apart
        return other.full_at <= one.last_at + apart and one.full_at <= other.last_at + apart

    def _claim(self, convoy: list[Passage], everyone: set[str]) -> Claim | None:
        if len(everyone) > LARGEST:
            return None
        began = min(one.began for one in convoy)
        last_at = max(one.last_at for one in convoy)
        sightings = sorted({seen for one in convoy for seen in one.shown})
        plates = sorted(everyone)
        return Claim(
            alert_id(self._rule, "convoy", began[1]),
            plates[0],
            plates[0],
            convoy[0].full_at,
            len(plates),
            tuple(event_id for _, event_id in sightings[-SHOWN:]),
            began[0],
            last_at,
            convoy[0].lead,
            until=last_at,
            others=tuple(plates[1:]),
        )

    def _note(self, name: str, claim: Claim) -> None:
        for plate in (claim.subject, *claim.others):
            self._about.setdefault(plate, set()).add(name)

    def _unsay(self, name: str, claim: Claim) -> None:
        del self._said[name]
        for plate in (claim.subject, *claim.others):
            about = self._about[plate]
            about.discard(name)
            if not about:
                del self._about[plate]

    # Dropping

    def _settle(self, floor: int) -> None:
        """Drop what no passage to come can begin with; keep the passages that go on."""
        carry: dict[str, Passage] = {}
        for anchor in self._passages:
            passages = list(self._find(anchor, floor))
            way = self._by_plate.get(anchor, [])
            last = bisect_left(way, (floor,))
            if not passages or passages[-1].last_at <= floor - self._pattern.within:
                continue
            running = passages[-1]
            if last == 0 or way[last - 1].captured_at <= running.last_at:
                # The convoy keeps its name, whichever passage it has it from.
                names = [
                    one.began
                    for convoy in self._convoys(anchor)
                    for one in convoy
                    if running.full_at <= one.last_at + self._pattern.apart
                ]
                carry[anchor] = running._replace(began=min([running.began, *names]))
        self._carry = carry
        self._settled = floor
        least = floor - self._pattern.within - self._pattern.apart
        for item in [item for item in self._where.values() if item.captured_at < least]:
            self._remove(item)
        for anchor in {*self._passages, *self._carry}:
            self._renew(anchor)
        for name in [name for name, claim in self._said.items() if claim.until < floor]:
            self._unsay(name, self._said[name])
        self._rides = {plate: anchors for plate, anchors in self._rides.items() if anchors}
        oldest = min((item.captured_at for item in self._where.values()), default=None)
        self._sweep = NEVER if oldest is None else self._horizon(oldest)
