"""What alerts a set of sightings stands for, one module a pattern; each a pure function."""

from rules.alerts.patterns.base import Kind
from rules.alerts.patterns.single import Single
from rules.alerts.rule import Rule
from rules.alerts.rulebook import Rulebook


def kind_of(rule: Rule, book: Rulebook) -> Kind:
    """How the alerts of a rule follow from its sightings; of all its versions of one shape."""
    return Single(rule.name, rule.cooldown)
