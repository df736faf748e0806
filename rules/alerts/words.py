"""A rule in words, for people who do not read YAML."""

from collections.abc import Iterator

from rules.alerts.duration import written
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Convoy,
    Count,
    Dwell,
    Not,
    Pattern,
    PlateIs,
    Rule,
    Sequence,
    Silent,
    Travel,
    Unseen,
    Watched,
    When,
)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PLATE = {
    "exact": "the plate is {}",
    "prefix": "the plate begins with {}",
    "suffix": "the plate ends with {}",
    "contains": "the plate contains {}",
    "wildcard": "the plate looks like {}",
    "regex": "the plate matches the expression {}",
    "fuzzy": "the plate is nearly {}",
}
_WHAT = {"plate": "of one plate", "camera_id": "on one camera", "": "in all"}
_NAMES = {
    "camera_id": "the camera",
    "plate.confidence": "the confidence",
    "direction": "the direction",
    "zone": "the zone",
    "site": "the site",
    "vehicle.type": "the vehicle",
    "vehicle.color": "the colour",
}


def words(rule: Rule) -> list[str]:
    """Sentences without their full stops: when it raises, and what it does then."""
    told = list(_when(rule))
    if rule.cooldown:
        told.append(f"at most once in {written(rule.cooldown)} for a plate")
    if rule.actions:
        told.append("then tells " + ", ".join(action.type for action in rule.actions))
    if rule.escalation:
        others = ", ".join(action.type for action in rule.escalation.actions)
        after = written(rule.escalation.after)
        told.append(f"and {others}, if nobody has acknowledged within {after}")
    return told


def _when(rule: Rule) -> Iterator[str]:
    pattern = rule.pattern
    if pattern is None:
        yield f"when {_condition(rule.where)}"
        return
    yield _pattern(pattern)
    if rule.where != All():
        yield f"looking only where {_condition(rule.where)}"


def _pattern(pattern: Pattern) -> str:  # noqa: PLR0911, one a pattern
    match pattern:
        case Count():
            what = "different plates" if pattern.distinct else "sightings"
            by = _WHAT.get(pattern.by, f"in one {pattern.by}")
            span = f"within {written(pattern.within)}" if pattern.within else "on one day"
            return f"when there are {pattern.at_least} {what} {by} {span}"
        case Dwell():
            return (
                f"when a plate came in ({_condition(pattern.enter)}) and did not leave "
                f"({_condition(pattern.leave)}) for longer than {written(pattern.longer)}"
            )
        case Unseen(longer=longer):
            if longer is None:
                return "when a plate is seen for the first time ever"
            return f"when a plate was not seen for {written(longer)} before"
        case Sequence():
            steps = ", then ".join(_condition(step) for step in pattern.steps)
            return f"when a plate is seen within {written(pattern.within)} where {steps}"
        case Convoy():
            return (
                f"when the same {pattern.plates} plates or more pass {pattern.cameras} cameras, "
                f"at most {written(pattern.apart)} apart, within {written(pattern.within)}"
            )
        case Travel():
            return (
                f"when a plate is at two places more than {pattern.farther:g} km apart, faster "
                f"than {pattern.faster:g} km/h"
            )
        case Silent():
            return f"when a camera is not heard for {written(pattern.longer)}"


def _condition(condition: Condition) -> str:  # noqa: PLR0911, one a condition
    match condition:
        case Compare():
            return f"{_name(condition.field)} {condition.operator} {condition.value:g}"
        case Among():
            values = " or ".join("nothing" if v is None else str(v) for v in condition.values)
            return f"{_name(condition.field)} is {values}"
        case PlateIs():
            least = f" ({condition.least:.0%} alike)" if condition.match == "fuzzy" else ""
            return _PLATE[condition.match].format(condition.pattern) + least
        case Watched():
            lists = " or ".join(condition.lists) if condition.lists else "any watchlist"
            kinds = f" as {' or '.join(condition.kinds)}" if condition.kinds else ""
            sure = f", {condition.least:.0%} sure" if condition.least else ""
            return f"the plate is on {lists}{kinds}{sure}"
        case When():
            return _hours(condition)
        case All(of=of):
            return " and ".join(map(_inner, of)) if of else "always"
        case AnyOf(of=of):
            return " or ".join(map(_inner, of)) if of else "never"
        case Not(of=of):
            return f"not ({_condition(of)})"


def _inner(condition: Condition) -> str:
    told = _condition(condition)
    several = isinstance(condition, All | AnyOf) and len(condition.of) > 1
    return f"({told})" if several else told


def _hours(when: When) -> str:
    parts: list[str] = []
    if (when.start, when.end) != (0, 1440):
        parts.append(f"between {_clock(when.start)} and {_clock(when.end)}")
    if len(when.days) < len(_DAYS):
        parts.append("on " + ", ".join(_DAYS[day] for day in when.days))
    if when.holidays != "any":
        which = " and ".join([*([f"those of {when.country}"] if when.country else []), *when.dates])
        parts.append(f"{'only' if when.holidays == 'only' else 'not'} on holidays ({which})")
    told = " ".join(parts) or "at any time"
    return f"it is {told}{f' in {when.timezone}' if when.timezone else ''}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _name(field: str) -> str:
    return _NAMES.get(field, field.replace("_", " ").replace(".", " "))
