"""Which alerts are due by all that counts for the rules of one bucket, and what changed in that.

The alerts of a rule are a function of the sightings that count for it, of how far the watermark
has come and, for silence, of the clock. Each signal changes one of these; what is said is the
difference. So it does not matter in the end in which order partitions were heard.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from rules.alerts.matching import StateError
from rules.alerts.patterns import AnyDesk, desk_of
from rules.alerts.patterns.base import NEVER, Change
from rules.alerts.patterns.silence import Silence
from rules.alerts.rule import Rule
from rules.alerts.rulebook import Rulebook
from rules.alerts.signals import (
    BUCKETS,
    CameraTold,
    Clock,
    Erased,
    Evidence,
    Sighted,
    Signal,
    bucket_of,
)
from rules.alerts.telling import resolved, told
from schemas.records import AlertEvent

__all__ = ["BUCKETS", "Raising", "UnknownRule", "bucket_of"]

STATE_VERSION = 1
BEHIND = 15_000_000
"""How far behind the clock the time of a partition is taken to be in which no camera lives."""

_Key = tuple[str, str]
"""A rule's name, and the shape by which the sightings of a desk count."""


class UnknownRule(LookupError):
    """A signal names a version of a rule that the rulebook does not hold: let it look again."""


class Raising:
    """Folds the signals for the rules of one bucket into the events of their alerts."""

    def __init__(
        self, book: Rulebook, partitions: int, state: dict[str, Any] | None = None
    ) -> None:
        """Begin, or go on from a ``snapshot``; ``partitions`` is how many the log has.

        Raises StateError for a snapshot of another version.
        """
        self._book = book
        self._partitions = partitions
        self._watermarks: dict[int, int] = {}
        self._clocks: dict[int, int] = {}
        self._now = 0
        self._desks: dict[_Key, AnyDesk] = {}
        self._silences: dict[_Key, Silence] = {}
        self._due: list[tuple[int, _Key]] = []
        self._set: dict[_Key, int] = {}
        """when each desk is to be woken"""
        self._names: dict[str, set[_Key]] = {}
        self._changed: set[_Key] = set()
        self._kept: dict[_Key, dict[str, Any]] = {}
        if state is not None:
            if state.get("version") != STATE_VERSION:
                raise StateError(
                    f"the snapshot of alerts has version {state.get('version')}, this release"
                    f" continues version {STATE_VERSION}: begin with an empty recovery folder"
                )
            self._now = state["now"]
            self._watermarks = dict(state["watermarks"])
            self._clocks = dict(state["clocks"])
            for key, kept in state["desks"].items():
                self._kept[key] = kept
                try:
                    desk = self._open(key, kept)
                except UnknownRule:
                    # Of a rule that this release cannot read: left for one that can.
                    continue
                if isinstance(desk, Silence):
                    self._silences[key] = desk
                else:
                    self._desks[key] = desk
                    self._wake(key)

    def fold(self, signal: Signal) -> list[AlertEvent]:
        """What one signal lets say. Raises UnknownRule before anything has changed."""
        match signal:
            case Sighted():
                key = (signal.rule, signal.shape)
                desk = self._desks.get(key)
                if desk is None:
                    opened = self._open(key, None)
                    if isinstance(opened, Silence):
                        return []
                    desk = self._desks[key] = opened
                changes = desk.take(signal, self._now)
                return self._tell(key, changes, signal, signal.evidence.event_id)
            case Clock():
                return self._clock(signal)
            case CameraTold():
                return self._camera(signal)
            case Erased(event_id=event_id):
                out: list[AlertEvent] = []
                for key, desk in self._desks.items():
                    out += self._tell(key, desk.erase(event_id, self._now), signal, event_id)
                return out

    def snapshot(self) -> dict[str, Any]:
        """All state as plain values, sharing nothing that will change."""
        for key in self._changed:
            desk = self._desks.get(key) or self._silences.get(key)
            if desk is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = desk.state()
        self._changed.clear()
        return {
            "version": STATE_VERSION,
            "now": self._now,
            "watermarks": dict(self._watermarks),
            "clocks": dict(self._clocks),
            "desks": dict(self._kept),
        }

    def _clock(self, clock: Clock) -> list[AlertEvent]:
        time = clock.watermark if clock.cameras else clock.clock - BEHIND
        partition = clock.partition
        self._clocks[partition] = max(clock.clock, self._clocks.get(partition, 0))
        out = self._silent(partition)
        self._watermarks[partition] = max(time, self._watermarks.get(partition, 0))
        if len(self._watermarks) < self._partitions:
            return out
        now = min(self._watermarks.values())
        if now <= self._now:
            return out
        self._now = now
        while self._due and self._due[0][0] <= now:
            due, key = heappop(self._due)
            if self._set.get(key) != due:
                continue
            del self._set[key]
            desk = self._desks[key]
            out += self._tell(key, desk.advance(now), clock, "")
            if desk.empty:
                del self._desks[key]
                self._names[key[0]].discard(key)
                self._set.pop(key, None)
        return out

    def _wake(self, key: _Key) -> None:
        due = self._desks[key].due
        if due < self._set.get(key, NEVER):
            self._set[key] = due
            heappush(self._due, (due, key))

    def _camera(self, signal: CameraTold) -> list[AlertEvent]:
        key = (signal.rule, signal.shape)
        silence = self._silences.get(key)
        if silence is None:
            opened = self._open(key, None)
            if not isinstance(opened, Silence):
                return []
            silence = self._silences[key] = opened
        self._changed.add(key)
        claim = silence.take(signal)
        if silence.empty:
            del self._silences[key]
        if claim is not None:
            comment = "its source ended" if signal.state == "ended" else "heard again"
            return [resolved(claim, self._rule(key, claim.lead), signal.at, comment)]
        return self._silent(signal.partition)

    def _silent(self, partition: int) -> list[AlertEvent]:
        clock, out = self._clocks.get(partition, 0), list[AlertEvent]()
        for key, silence in self._silences.items():
            for claim in silence.advance(partition, clock):
                self._changed.add(key)
                if self._elsewhere(key, claim.alert_id):
                    continue
                change = Change(None, claim)
                event = told(change, self._rule(key, claim.lead), "", None)
                if event is not None:
                    out.append(event)
        return out

    def _open(self, key: _Key, state: dict[str, Any] | None) -> AnyDesk | Silence:
        rule = self._book.shaped(*key)
        if rule is None:
            raise UnknownRule(f"rule {key[0]!r} has no version of shape {key[1]} in the rulebook")
        self._names.setdefault(key[0], set()).add(key)
        return desk_of(rule, self._book, state)

    def _tell(
        self, key: _Key, changes: Iterable[Change], signal: Signal, event_id: str
    ) -> list[AlertEvent]:
        self._changed.add(key)
        self._wake(key)
        cause = signal.evidence if isinstance(signal, Sighted) else None
        out: list[AlertEvent] = []
        for change in changes:
            claim = change.after or change.before
            if claim is None:
                continue
            new = change.before is None
            if (new or change.after is None) and self._elsewhere(key, claim.alert_id):
                # Another shape of the rule stands by it: it was raised before, or is not over yet.
                if not new:
                    continue
                new = False
            rule = self._rule(key, claim.lead)
            event = told(change, rule, _why(change, rule, signal, event_id), cause)
            if event is not None and event["kind"] == "raised" and not new:
                event["kind"] = "updated"
            if event is not None:
                out.append(event)
        return out

    def _rule(self, key: _Key, lead: Evidence) -> Rule:
        """The version that was in force when the sighting came that an alert is about."""
        rule = self._book.current(key[0], lead.appended_at)
        if rule is None or rule.shape != key[1]:
            rule = self._book.shaped(*key)
        if rule is None:
            raise UnknownRule(f"rule {key[0]!r} has no version of shape {key[1]} in the rulebook")
        return rule

    def _elsewhere(self, key: _Key, alert_id: str) -> bool:
        """Whether another shape of the same rule stands by an alert."""
        others = [one for one in self._names.get(key[0], ()) if one != key]
        desks = [self._desks.get(one) or self._silences.get(one) for one in others]
        return any(desk is not None and desk.says(alert_id) for desk in desks)


def _why(change: Change, rule: Rule, signal: Signal, event_id: str) -> str:
    """Why an alert is due no more: what became of a sighting of its own, or that another came."""
    claim = change.before
    if claim is None:
        return ""
    own = event_id == claim.lead.event_id or event_id in claim.event_ids
    if own and isinstance(signal, Erased):
        return "erased"
    if isinstance(signal, Sighted) and signal.reason is not None:
        if own or signal.merged_into == claim.lead.event_id:
            return signal.reason
    elif own and rule.pattern is not None:
        return "revised"
    return "cooldown" if rule.pattern is None else "late"
