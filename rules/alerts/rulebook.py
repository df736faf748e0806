"""The rules in force at any moment of the log, and which of them a sighting matches."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rules.alerts.holds import holds, watched
from rules.alerts.masks import Masks
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


class _Version(NamedTuple):
    """A rule from ``at`` on (log time), and the number of each of its steps in the masks."""

    at: int
    rule: Rule | None
    steps: tuple[int, ...]


class Rulebook:
    """Every version of every rule, append-only, together with the watchlists.

    All versions' conditions are in one set of masks. A match is looked for among the newest
    versions where ``at`` is past their time, else among all, of which those then in force stay.
    """

    def __init__(self) -> None:
        self.watch = Watchlists()
        self._histories: dict[str, list[_Version]] = {}
        self._masks = Masks()
        self._owners: list[list[_Version]] = []
        """Of each condition in the masks the history of its rule."""
        self._known: dict[tuple[str, str], tuple[int, ...]] = {}
        """By name and shape the numbers of the steps: versions that decide alike share them."""
        self._all = 0
        self._newest = 0
        """The bits of all versions, and of the newest."""
        self._live: set[int] = set()
        """The numbers of the newest."""
        self._changes: list[int] = []

    def put(self, name: str, rule: Rule | None, at: int) -> None:
        """Take a version of a rule, in force from log time ``at``; None removes it.

        Of two with one time the one that came later counts.
        """
        history = self._histories.setdefault(name, [])
        steps: tuple[int, ...] = ()
        if rule is not None and rule.enabled and not isinstance(rule.pattern, Silent):
            steps = self._numbered(name, rule)
        place = bisect_right(history, at, key=_time)
        if place == len(history):
            if history:
                self._newest &= ~self._bits(history[-1].steps)
                self._live.difference_update(history[-1].steps)
            self._newest |= self._bits(steps)
            self._live.update(steps)
        history.insert(place, _Version(at, rule, steps))
        insort(self._changes, at)

    def match(self, event: PlateEvent, at: int) -> list[Hit]:
        """The steps of enabled rules in force at log time ``at`` that hold, by rule and step.

        Rules that wait for silence match no sighting.
        """
        bits, numbers = self._all, range(len(self._owners))
        if self._changes and at >= self._changes[-1]:
            bits, numbers = self._newest, self._live
        hits = self._look(event, at) if self._masks.asks_lists else []
        found: list[Hit] = []
        for number in self._masks.match(event, hits, bits, numbers):
            _, rule, steps = _in_force(self._owners[number], at)
            if rule is not None:
                for step, one in enumerate(steps):
                    if one == number:
                        watched = best(rule.steps[step], hits) if hits else None
                        found.append(Hit(rule, step, watched))
        if len(found) > 1:
            found.sort(key=_order)
        return found

    def recheck(self, rule: Rule, event: PlateEvent, at: int) -> list[Hit]:
        """The steps of one rule, of whatever version, that hold with the lists of ``at``."""
        return _steps(rule, event, self._look(event, at))

    def current(self, name: str, at: int) -> Rule | None:
        """The version of a rule in force at log time ``at``, enabled or not."""
        return _in_force(self._histories.get(name, ()), at).rule

    def shaped(self, name: str, shape: str) -> Rule | None:
        """The newest version of a rule, ever, that decides as ``shape`` does."""
        for _, rule, _ in reversed(self._histories.get(name, [])):
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

    def _numbered(self, name: str, rule: Rule) -> tuple[int, ...]:
        known = self._known.get((name, rule.shape))
        if known is None:
            known = tuple([self._masks.add(step) for step in rule.steps])
            self._known[name, rule.shape] = known
            self._owners += [self._histories[name]] * len(known)
            self._all |= self._bits(known)
        return known

    def _bits(self, steps: tuple[int, ...]) -> int:
        bits = 0
        for step in steps:
            bits |= self._masks.bits(step)
        return bits

    def _look(self, event: PlateEvent, at: int) -> list[WatchHit]:
        text = event["plate"]["normalized_text"]
        return self.watch.look(text, event["alternatives"], at, event["captured_at"])


_NONE = _Version(0, None, ())


def _in_force(history: Sequence[_Version], at: int) -> _Version:
    if history and history[-1].at <= at:
        return history[-1]
    place = bisect_right(history, at, key=_time)
    return history[place - 1] if place else _NONE


def _order(hit: Hit) -> tuple[str, int]:
    return hit.rule.name, hit.step


def _time(version: _Version) -> int:
    return version.at


def _near(times: Sequence[int], at: int) -> bool:
    place = bisect_left(times, at - NEAR)
    return place < len(times) and times[place] <= at + NEAR


def _steps(rule: Rule, event: PlateEvent, hits: Sequence[WatchHit]) -> list[Hit]:
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
