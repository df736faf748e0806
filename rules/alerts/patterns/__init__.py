"""What alerts a set of sightings stands for, one module a pattern; each a pure function."""

from collections.abc import Callable
from typing import Any

from rules.alerts.patterns.base import Kind
from rules.alerts.patterns.convoy import Convoys
from rules.alerts.patterns.count import Daily, Sliding
from rules.alerts.patterns.desk import Desk
from rules.alerts.patterns.history import History
from rules.alerts.patterns.plates import Clone, Dwelling, Returning, Route
from rules.alerts.patterns.silence import Silence
from rules.alerts.patterns.single import Single
from rules.alerts.rule import Convoy, Count, Dwell, Rule, Sequence, Silent, Travel, Unseen
from rules.alerts.rulebook import Rulebook

AnyDesk = Desk | Convoys


def desk_of(rule: Rule, book: Rulebook, state: dict[str, Any] | None) -> AnyDesk | Silence:
    """What holds the evidence of a rule, and of all its versions of one shape."""
    match rule.pattern:
        case Convoy():
            return Convoys(rule.name, rule.pattern, state)
        case Silent(longer=longer):
            return Silence(rule.name, longer, _in_force(rule, book), state)
        case _:
            return Desk(_kind(rule, book, state), state)


def _kind(rule: Rule, book: Rulebook, state: dict[str, Any] | None) -> Kind:  # noqa: PLR0911, one a pattern
    name = rule.name
    match rule.pattern:
        case Count(within=None):
            return Daily(name, rule.pattern)
        case Count(within=int(within)):
            return Sliding(name, rule.pattern, within)
        case Dwell(longer=longer):
            return Dwelling(name, longer, _in_force(rule, book))
        case Unseen(longer=longer):
            return Returning(name, longer, History(state["history"] if state else None))
        case Sequence(steps=steps, within=within):
            return Route(name, len(steps), within)
        case Travel(faster=faster, farther=farther):
            return Clone(name, faster, farther)
        case _:
            return Single(name, rule.cooldown)


def _in_force(rule: Rule, book: Rulebook) -> Callable[[int], bool]:
    """Whether a rule decides the same at a log time as it does in this version."""

    def asked(at: int) -> bool:
        current = book.current(rule.name, at)
        return current is not None and current.enabled and current.shape == rule.shape

    return asked
