"""The rules in force at any moment of the log, and which of them a sighting matches."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rules.alerts.holds import holds, watched
from rules.alerts.rule import All, AnyOf, Condition, Rule, Silent, Watched
from rules.alerts.watch import Watchlists
from schemas.records import PlateEvent, WatchHit

NEAR = 2_000_000
"""Microseconds of log time about a change in which it is open what a process knew of it."""


class Hit(NamedTuple):
    """A sighting is what a step of a rule asks for."""

    rule: Rule
    step: int
    watched: WatchHit | None
    """The best match of a watchlist that the step asks for, if it asks for one."""


class Rulebook:
    """Every version of every rule, append-only, together with the watchlists."""

    def __init__(self) -> None:
        self.watch = Watchlists()
        self._histories: dict[str, list[tuple[int, Rule | None]]] = {}
        self._changes: list[int] = []

    def put(self, name: str, rule: Rule | None, at: int) -> None:
        """Take a version of a rule, in force from log time ``at``; None removes it."""
        history = self._histories.setdefault(name, [])
        place = bisect_right(history, at, key=lambda version: version[0])
        history.insert(place, (at, rule))
        insort(self._changes, at)

    def match(self, event: PlateEvent, at: int) -> list[Hit]:
        """The steps of enabled rules in force at log time ``at`` that hold, by rule and step.

        Rules that wait for silence match no sighting.
        """
        hits = self._look(event, at)
        found: list[Hit] = []
        for name in sorted(self._histories):
            rule = self.current(name, at)
            if rule is not None and rule.enabled:
                found += _steps(rule, event, hits)
        return found

    def recheck(self, rule: Rule, event: PlateEvent, at: int) -> list[Hit]:
        """The steps of one rule, of whatever version, that hold with the lists of ``at``."""
        return _steps(rule, event, self._look(event, at))

    def current(self, name: str, at: int) -> Rule | None:
        """The version of a rule in force at log time ``at``, enabled or not."""
        history = self._histories.get(name, [])
        place = bisect_right(history, at, key=lambda version: version[0])
        return history[place - 1][1] if place else None

    def shaped(self, name: str, shape: str) -> Rule | None:
        """The newest version of a rule, ever, that decides as ``shape`` does."""
        for _, rule in reversed(self._histories.get(name, [])):
            if rule is not None and rule.shape == shape:
                return rule
        return None

    def cameras(self, at: int) -> list[Rule]:
        """The enabled rules in force at ``at`` that wait for cameras to fall silent, by name."""
        rules = (self.current(name, at) for name in sorted(self._histories))
        return [r for r in rules if r and r.enabled and isinstance(r.pattern, Silent)]

    def changes(self) -> list[int]:
        """The log times at which a rule or list changed, ascending, each once."""
        return sorted({*self._changes, *self.watch.changes})

    def near_change(self, at: int) -> bool:
        """Whether a rule or list changed within two seconds before or after log time ``at``."""
        return _near(self._changes, at) or _near(self.watch.changes, at)

    def _look(self, event: PlateEvent, at: int) -> list[WatchHit]:
        text = event["plate"]["normalized_text"]
        return self.watch.look(text, event["alternatives"], at, event["captured_at"])


def _near(times: Sequence[int], at: int) -> bool:
    place = bisect_left(times, at - NEAR)
    return place < len(times) and times[place] <= at + NEAR


def _steps(rule: Rule, event: PlateEvent, hits: Sequence[WatchHit]) -> list[Hit]:
    if isinstance(rule.pattern, Silent):
        return []
    return [
        Hit(rule, step, best(one, hits))
        for step, one in enumerate(rule.steps)
        if holds(one, event, hits)
    ]


def best(condition: Condition, hits: Sequence[WatchHit]) -> WatchHit | None:
    """The first of the matches that a condition asks for; None if it asks for no list."""
    asked = list(_asked(condition)) if hits else []
    return next((hit for hit in hits if any(watched(one, hit) for one in asked)), None)


def _asked(condition: Condition) -> Iterator[Watched]:
    match condition:
        case Watched():
            yield condition
        case All(of=of) | AnyOf(of=of):
            for one in of:
                yield from _asked(one)
        case _:
            return
