"""Which alerts are due by all that counts for the rules of one bucket, and what changed in that.

The alerts of a rule are a function of the sightings that count for it, of how far the watermark
has come and, for silence, of the clock. Each signal changes one of these; what is said is the
difference. So it does not matter in the end in which order partitions were heard.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from rules.alerts.matching import StateError
from rules.alerts.patterns import kind_of
from rules.alerts.patterns.base import NEVER, Change
from rules.alerts.patterns.desk import Desk
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
from rules.alerts.telling import told
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
        self._now = 0
        self._desks: dict[_Key, Desk] = {}
        self._due: list[tuple[int, _Key]] = []
        self._set: dict[_Key, int] = {}
        """when each desk is to be woken"""
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
            for key, kept in state["desks"].items():
                self._kept[key] = kept
                self._desks[key] = self._open(key, kept)
                self._wake(key)

    def fold(self, signal: Signal) -> list[AlertEvent]:
        """What one signal lets say. Raises UnknownRule before anything has changed."""
        match signal:
            case Sighted():
                key = (signal.rule, signal.shape)
                changes = self._desk(key).take(signal, self._now)
                return self._tell(key, changes, signal, signal.evidence.event_id)
            case Clock():
                return self._clock(signal)
            case CameraTold():
                return []
            case Erased(event_id=event_id):
                out: list[AlertEvent] = []
                for key, desk in self._desks.items():
                    out += self._tell(key, desk.erase(event_id, self._now), signal, event_id)
                return out

    def snapshot(self) -> dict[str, Any]:
        """All state as plain values, sharing nothing that will change."""
        for key in self._changed:
            desk = self._desks.get(key)
            if desk is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = desk.state()
        self._changed.clear()
        return {
            "version": STATE_VERSION,
            "now": self._now,
            "watermarks": dict(self._watermarks),
            "desks": dict(self._kept),
        }

    def _clock(self, clock: Clock) -> list[AlertEvent]:
        time = clock.watermark if clock.cameras else clock.clock - BEHIND
        partition = clock.partition
        self._watermarks[partition] = max(time, self._watermarks.get(partition, 0))
        if len(self._watermarks) < self._partitions:
            return []
        now = min(self._watermarks.values())
        if now <= self._now:
            return []
        self._now = now
        out: list[AlertEvent] = []
        while self._due and self._due[0][0] <= now:
            due, key = heappop(self._due)
            if self._set.get(key) != due:
                continue
            del self._set[key]
            desk = self._desks[key]
            out += self._tell(key, desk.advance(now), clock, "")
            if desk.empty:
                del self._desks[key]
                self._set.pop(key, None)
        return out

    def _wake(self, key: _Key) -> None:
        due = self._desks[key].due
        if due < self._set.get(key, NEVER):
            self._set[key] = due
            heappush(self._due, (due, key))

    def _desk(self, key: _Key) -> Desk:
        desk = self._desks.get(key)
        if desk is None:
            desk = self._desks[key] = self._open(key, None)
        return desk

    def _open(self, key: _Key, state: dict[str, Any] | None) -> Desk:
        rule = self._book.shaped(*key)
        if rule is None:
            raise UnknownRule(f"rule {key[0]!r} has no version of shape {key[1]} in the rulebook")
        return Desk(kind_of(rule, self._book), state)

    def _tell(
        self, key: _Key, changes: Iterable[Change], signal: Signal, event_id: str
    ) -> list[AlertEvent]:
        self._changed.add(key)
        self._wake(key)
        cause = signal.evidence if isinstance(signal, Sighted) else None
        out: list[AlertEvent] = []
        for change in changes:
            claim = change.after or change.before
            if claim is None or (change.after is None and self._elsewhere(key, claim.alert_id)):
                continue
            rule = self._rule(key, claim.lead)
            event = told(change, rule, _why(change, rule, signal, event_id), cause)
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
        return any(
            desk.says(alert_id)
            for other, desk in self._desks.items()
            if other[0] == key[0] and other != key
        )


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
