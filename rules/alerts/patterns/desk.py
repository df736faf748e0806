"""The sightings that count for one rule, by subject, and the alerts that were said of them."""

import pickle
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from rules.alerts.patterns.base import GRACE, LONGEST, NEVER, Change, Claim, Held, Item, Kind
from rules.alerts.signals import Sighted

PAUSE = 600_000_000
"""Between two looks at a subject whose items may go, but that one of them is not over yet."""

FAMILIES = 1_000
"""Names that are kept for sightings that do not count yet."""


class Desk:
    """Holds the evidence of one shape of one rule and tells how its alerts change."""

    def __init__(self, kind: Kind, state: dict[str, Any] | None = None) -> None:
        self._kind = kind
        self._subjects: dict[str, Held] = {}
        self._where: dict[str, tuple[str, Item]] = {}
        self._families: dict[str, tuple[int, str]] = {}
        """By sighting: the first of those that were merged into it, its time and its root."""
        self._timers: list[tuple[int, str]] = []
        self._kept: dict[str, bytes] = {}
        self._dirty: set[str] = set()
        if state is not None:
            self._families = dict(state["families"])
            self._kept = dict(state["subjects"])
            for subject, kept in self._kept.items():
                held = self._subjects[subject] = Held(*pickle.loads(kept))
                self._where |= {item.event_id: (subject, item) for item in held.items}
            self._timers = [(held.wake, subject) for subject, held in self._subjects.items()]
            heapify(self._timers)

    @property
    def due(self) -> int:
        """When it has to be woken, by the watermark."""
        if self._timers:
            return self._timers[0][0]
        return min((at + LONGEST for at, _ in self._families.values()), default=NEVER)

    @property
    def empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._subjects and not self._families and self._kind.history is None

    def says(self, alert_id: str) -> bool:
        """Whether it stands by an alert."""
        return any(alert_id in held.said for held in self._subjects.values())

    def take(self, signal: Sighted, now: int) -> list[Change]:
        """What changes by a sighting that counts, or counts no more."""
        evidence = signal.evidence
        event_id = evidence.event_id
        known = self._where.get(event_id)
        if known is not None and known[1].evidence.revision > evidence.revision:
            return []
        if known is None and evidence.captured_at < now - GRACE - self._kind.welcome:
            return []
        touched: set[str] = set()
        family = self._families.get(event_id)
        if known is not None and self._same(known, signal):
            subject, item = known
            item = item._replace(evidence=evidence)
            self._subjects[subject].replace(item)
            self._where[event_id] = subject, item
            self._dirty.add(subject)
            return []
        if known is not None:
            touched.add(self._remove(event_id))
        if signal.steps:
            own = (evidence.captured_at, event_id)
            root = min(own, family)[1] if family is not None else event_id
            touched.add(
                self._put(Item(evidence.captured_at, event_id, root, signal.steps, evidence))
            )
        elif signal.merged_into is not None and known is not None:
            touched |= self._inherit(signal.merged_into, known[1], family)
        return self._changed(touched, now)

    def erase(self, event_id: str, now: int) -> list[Change]:
        """What changes when a sighting is forgotten."""
        if event_id not in self._where:
            return []
        return self._changed({self._remove(event_id)}, now)

    def advance(self, now: int) -> list[Change]:
        """What changes as the watermark has come to ``now``; drop what can matter no more.

        Step by step, each at its own time: how far the watermark leapt does not show.
        """
        changes: list[Change] = []
        while self._timers and self._timers[0][0] <= now:
            wake, subject = heappop(self._timers)
            held = self._subjects.get(subject)
            if held is None or held.wake != wake:
                continue
            held.wake = NEVER
            changes += self._changed((subject,), wake)
            if self._kind.expiry(held) <= wake:
                self._settle(subject, held, wake, wake - GRACE)
        if not self._timers or len(self._families) > len(self._where) + FAMILIES:
            self._families = {
                heir: first for heir, first in self._families.items() if first[0] + LONGEST > now
            }
        return changes

    def state(self) -> dict[str, Any]:
        """Plain values, sharing nothing that will change; only what changed is pickled anew."""
        for subject in self._dirty:
            held = self._subjects.get(subject)
            if held is None:
                self._kept.pop(subject, None)
            else:
                self._kept[subject] = pickle.dumps(
                    (held.items, held.said, held.settled, held.carry, held.wake)
                )
        self._dirty.clear()
        history = self._kind.history
        return {
            "families": dict(self._families),
            "subjects": dict(self._kept),
            "history": None if history is None else history.state(),
        }

    def _same(self, known: tuple[str, Item], signal: Sighted) -> bool:
        """Whether a revision changes nothing that alerts follow from or name."""
        subject, item = known
        old, new = item.evidence, signal.evidence
        said = self._subjects[subject].said.values()
        return (
            item.steps == signal.steps
            and old.plate == new.plate
            and old.watched == new.watched
            and old[13:18] == new[13:18]
            and (old.camera_id, old.gate) == (new.camera_id, new.gate)
            and (old.last_seen == new.last_seen or not self._kind.asks_last_seen)
            and all(claim.lead.event_id != item.event_id for claim in said)
        )

    def _put(self, item: Item) -> str:
        subject = self._kind.subject(item)
        held = self._subjects.setdefault(subject, Held())
        held.put(item)
        self._where[item.event_id] = subject, item
        return subject

    def _remove(self, event_id: str) -> str:
        subject, item = self._where.pop(event_id)
        self._subjects[subject].drop(item.captured_at, event_id)
        return subject

    def _inherit(self, heir: str, gone: Item, family: tuple[int, str] | None) -> set[str]:
        """Let a sighting live on under the name of one that was merged into it."""
        of_gone = (gone.captured_at, gone.event_id)
        if family is not None:
            of_gone = min(of_gone, family)
        self._families[heir] = min(self._families.get(heir, of_gone), of_gone)
        self._families.pop(gone.event_id, None)
        known = self._where.get(heir)
        if known is None:
            return set()
        item = known[1]
        subject = self._remove(heir)
        root = min((item.captured_at, heir), self._families[heir])[1]
        return {subject, self._put(item._replace(root=root))}

    def _changed(self, subjects: Iterable[str], now: int) -> list[Change]:
        before: dict[str, Claim] = {}
        after: dict[str, tuple[Held, Claim]] = {}
        crowded: list[tuple[str, Held]] = []
        for subject in subjects:
            held = self._subjects[subject]
            before |= held.said
            held.said = self._claims(subject, held, now)
            after |= {alert_id: (held, claim) for alert_id, claim in held.said.items()}
            self._dirty.add(subject)
            self._schedule(subject, held, now)
            if len(held.items) > self._kind.most:
                crowded.append((subject, held))
        changes: list[Change] = []
        for alert_id in sorted(before.keys() | after.keys()):
            old = before.get(alert_id)
            held, new = after.get(alert_id, (None, None))
            if old is not None and new is not None and held is not None:
                new = held.said[alert_id] = new._replace(was=_was(old, new))
            changes.append(Change(old, new))
        for subject, held in crowded:
            middle = held.items[len(held.items) // 2].captured_at
            self._settle(subject, held, now, min(middle, now))
        return changes

    def _claims(self, subject: str, held: Held, now: int) -> dict[str, Claim]:
        items = held.items if self._kind.at_once else held.until(now)
        claims = self._kind.claims(subject, items, held, now)
        return {claim.alert_id: claim for claim in claims if claim.until >= held.settled}

    def _schedule(self, subject: str, held: Held, now: int) -> None:
        expiry = self._kind.expiry(held)
        wake = min(self._kind.due(held, now), expiry if expiry > now else now + PAUSE)
        if not self._kind.at_once:
            unseen = len(held.until(now))
            if unseen < len(held.items):
                wake = min(wake, held.items[unseen].captured_at)
        if wake < held.wake:
            held.wake = wake
            heappush(self._timers, (wake, subject))

    def _settle(self, subject: str, held: Held, now: int, floor: int) -> None:
        there = {item.event_id for item in held.items}
        self._kind.settle(held, floor)
        held.marks, held.live = [], None
        for event_id in there.difference([item.event_id for item in held.items]):
            del self._where[event_id]
            self._families.pop(event_id, None)
        if not held.items and held.carry is None:
            del self._subjects[subject]
            return
        said, held.said = held.said, self._claims(subject, held, now)
        for alert_id in held.said.keys() & said.keys():
            held.said[alert_id] = held.said[alert_id]._replace(was=said[alert_id].was)
        self._dirty.add(subject)
        self._schedule(subject, held, now)


def _was(old: Claim, new: Claim) -> tuple[str, ...]:
    """The plates that an alert named before."""
    if old.plate is None or old.plate == new.plate:
        return old.was
    return (*[plate for plate in old.was if plate != new.plate], old.plate)[-16:]
