"""Conditions as clauses: any of them is enough, and each asks one thing of each field."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from rules.alerts.fields import canonical
from rules.alerts.holds import regex
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Not,
    PlateIs,
    Watched,
    When,
)

MOST = 32
"""Clauses that one condition may come to; beyond it they ask for less, and are checked."""

PLATE, WATCHED, WHEN = "(plate)", "(watched)", "(when)"
"""What stands for a field where a condition is about none by name."""

Leaf = Compare | Among | PlateIs | Watched | When


@dataclass(frozen=True, slots=True)
class Literal:
    """At least one of these holds, or one of those does not; all are about one field."""

    field: str
    yes: tuple[Leaf, ...]
    no: tuple[Leaf, ...]


class Clause(NamedTuple):
    """All of these hold; more than one may be about the same field."""

    literals: tuple[Literal, ...]

    def fields(self) -> dict[str, tuple[Literal, ...]]:
        """What is asked of each field."""
        of: dict[str, list[Literal]] = defaultdict(list)
        for literal in self.literals:
            of[literal.field].append(literal)
        return {field: tuple(literals) for field, literals in of.items()}


class Clauses(NamedTuple):
    """One of ``any`` holds wherever the condition does, and nowhere else if it is ``exact``."""

    any: tuple[Clause, ...]
    exact: bool


_ALWAYS = Clauses((Clause(()),), exact=True)
_UNKNOWN = Clauses((Clause(()),), exact=False)


def clauses(condition: Condition, yes: bool = True) -> Clauses:
    """The disjunctive normal form of a condition, or of its opposite, negations at the leaves.

    Alternatives about one field stay together in one literal, so that a thousand plates of one
    rule are one clause. What would exceed ``MOST`` is left out, which only makes it hold more
    often, and is told by ``exact``. Raises FieldError for an unknown field, PatternError for a
    regular expression that RE2 refuses.
    """
    match condition:
        case All(of=of):
            parts = [clauses(one, yes) for one in of]
            return _both(parts) if yes else _either(parts)
        case AnyOf(of=of):
            parts = [clauses(one, yes) for one in of]
            return _either(parts) if yes else _both(parts)
        case Not(of=one):
            return clauses(one, not yes)
        case _:
            field = _field(condition)
            literal = Literal(field, (condition,), ()) if yes else Literal(field, (), (condition,))
            return Clauses((Clause((literal,)),), exact=True)


def _field(leaf: Leaf) -> str:
    match leaf:
        case Compare(field=field) | Among(field=field):
            return canonical(field)
        case PlateIs(pattern=pattern, match=how):
            if how == "regex":
                regex(pattern)
            return PLATE
        case Watched():
            return WATCHED
        case When():
            return WHEN


def _either(parts: list[Clauses]) -> Clauses:
    alone: dict[str, list[Literal]] = defaultdict(list)
    others: list[Clause] = []
    for clause in (clause for part in parts for clause in part.any):
        if len(clause.literals) == 1:
            literal = clause.literals[0]
            alone[literal.field].append(literal)
        else:
            others.append(clause)
    together = [
        Clause(
            (
                Literal(
                    field,
                    tuple(leaf for literal in literals for leaf in literal.yes),
                    tuple(leaf for literal in literals for leaf in literal.no),
                ),
            )
        )
        for field, literals in alone.items()
    ]
    found = (*together, *others)
    exact = all(part.exact for part in parts)
    return Clauses(found, exact) if len(found) <= MOST else _UNKNOWN


def _both(parts: list[Clauses]) -> Clauses:
    found, exact = _ALWAYS
    for part in sorted(parts, key=lambda part: len(part.any)):
        exact = exact and part.exact
        if len(found) * len(part.any) > MOST:
            exact = False
            continue
        found = tuple(Clause(a.literals + b.literals) for a, b in product(found, part.any))
    return Clauses(found, exact)
