"""The plain meaning of conditions: slow and evident, which every faster way must agree with."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, assert_never

import re2  # pyright: ignore[reportMissingTypeStubs]

from rules.alerts.calendar import within
from rules.alerts.fields import getter
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Not,
    PlateIs,
    Scalar,
    Watched,
    When,
)
from rules.similarity import similarity
from schemas.records import PlateEvent, WatchHit

_RE2: Any = re2  # it has no types

REGEX_MEMORY = 256 * 1024
"""Bytes that RE2 may spend on one pattern; a pattern that needs more is refused."""


class PatternError(ValueError):
    """RE2 refuses a regular expression; the message says why."""


def holds(  # noqa: PLR0911, one a case
    condition: Condition, event: PlateEvent, hits: Sequence[WatchHit]
) -> bool:
    """Whether a sighting is what a condition says; ``hits`` are all its watchlist matches.

    A field that is unknown (None) fulfils no comparison, so that only ``Not`` of one holds.
    """
    match condition:
        case Compare():
            return _compare(condition, getter(condition.field)(event))
        case Among(field=field, values=values):
            value = folded(getter(field)(event))
            return value is not None and any(value == folded(one) for one in values)
        case PlateIs():
            return plate_is(condition, event["plate"]["normalized_text"])
        case Watched():
            return any(watched(condition, hit) for hit in hits)
        case When():
            return within(condition, event["captured_at"], event["node"]["timezone"])
        case All(of=of):
            return all(holds(one, event, hits) for one in of)
        case AnyOf(of=of):
            return any(holds(one, event, hits) for one in of)
        case Not(of=one):
            return not holds(one, event, hits)
        case _:
            assert_never(condition)


def folded(value: Scalar) -> Scalar:
    """A value as it is compared: text without case, a truth value apart from 0 and 1."""
    if isinstance(value, str):
        return value.casefold()
    # True == 1 in Python; in a rule it is not.
    return repr(value) if isinstance(value, bool) else value


def plate_is(condition: PlateIs, text: str) -> bool:  # noqa: PLR0911, one a case
    """Whether a plate's normalised text follows a pattern."""
    pattern = condition.pattern
    match condition.match:
        case "exact":
            return text == pattern
        case "prefix":
            return text.startswith(pattern)
        case "suffix":
            return text.endswith(pattern)
        case "contains":
            return pattern in text
        case "wildcard":
            return regex(_of_wildcard(pattern)).fullmatch(text) is not None
        case "regex":
            return regex(pattern).search(text) is not None
        case "fuzzy":
            return text != "" and similarity(pattern, text) >= condition.least
        case _:
            assert_never(condition.match)


def watched(condition: Watched, hit: WatchHit) -> bool:
    """Whether a match of a watchlist is one that a condition asks for."""
    return (
        (not condition.lists or hit["watchlist"] in condition.lists)
        and (not condition.kinds or hit["kind"] in condition.kinds)
        and hit["confidence"] >= condition.least
    )


@lru_cache(maxsize=4096)
def regex(pattern: str) -> Any:
    """RE2's regular expression, case ignored: linear in time, bounded in memory.

    Raises PatternError where RE2 refuses it: look-around, back references, too much memory.
    """
    options = _RE2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = REGEX_MEMORY
    try:
        return _RE2.compile(pattern, options)
    except _RE2.error as error:
        raise PatternError(error.args[0].decode(errors="replace")) from error


def _of_wildcard(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(one) or _RE2.escape(one) for one in pattern)


def _compare(condition: Compare, value: Scalar) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    match condition.operator:
        case ">":
            return value > condition.value
        case ">=":
            return value >= condition.value
        case "<":
            return value < condition.value
        case "<=":
            return value <= condition.value
        case _:
            assert_never(condition.operator)
