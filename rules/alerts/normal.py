"""The normal form of rules: one order, one spelling; canonical JSON, its hash, and YAML."""

import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, assert_never

import yaml

from rules.alerts.duration import written
from rules.alerts.rule import (
    Action,
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

FIELD_OF = {
    "camera_ids": "camera_id",
    "sites": "site",
    "zones": "zone",
    "lanes": "lane",
    "directions": "direction",
    "regions": "plate.region",
    "vehicle_types": "vehicle.type",
    "vehicle_colors": "vehicle.color",
}
"""Keys of conditions that list the values of a field."""

_KEY_OF = {field: key for key, field in FIELD_OF.items()}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ON = ("raised", "withdrawn")
"""What an action tells that does not say."""
KINDS = ("raised", "updated", "withdrawn", "acknowledged", "resolved", "commented", "escalated")
WORDS = ("name", "description", "enabled", "severity", "actions", "escalate")
"""Keys of a rule that do not decide what it matches."""

_ORDER = (
    *("plates", "plate_patterns", "watchlist", *FIELD_OF, "fields", "time", "any", "not", "all"),
)
_DEFAULTS: dict[str, Any] = {
    "description": "",
    "enabled": True,
    "severity": "warning",
    "cooldown": "5m",
    "sure": 0.8,
    "actions": [],
}
_RULE_ORDER = (
    *("name", "description", "enabled", "severity", "conditions"),
    *("count", "dwell", "first_seen", "not_seen_for", "sequence", "convoy"),
    *("impossible_travel", "silent_for", "cooldown", "sure", "actions", "escalate"),
)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and without spaces."""
    return _ENCODER.encode(value)


def digest(text: str) -> str:
    """Twelve hexadecimal digits of BLAKE2b."""
    return blake2b(text.encode(), digest_size=6).hexdigest()


def defined(rule: Rule) -> Rule:
    """The rule with its normal form as ``definition``, and the hashes of it."""
    whole = as_value(rule)
    definition = canonical_json(whole)
    shape = canonical_json({key: whole[key] for key in whole if key not in WORDS})
    return replace(rule, definition=definition, version=digest(definition), shape=digest(shape))


# Conditions: flat, sorted, nothing twice, so that equal meanings written differently are equal.


def all_of(members: Iterable[Condition]) -> Condition:
    """Every one of ``members``, in the normal form."""
    flat = _sorted(
        one for member in members for one in (member.of if isinstance(member, All) else (member,))
    )
    return flat[0] if len(flat) == 1 else All(flat)


def any_of(members: Iterable[Condition]) -> Condition:
    """At least one of ``members``, in the normal form."""
    flat = _sorted(
        one for member in members for one in (member.of if isinstance(member, AnyOf) else (member,))
    )
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def none_of(member: Condition) -> Condition:
    """Not ``member``, in the normal form."""
    return member.of if isinstance(member, Not) else Not(member)


def _sorted(members: Iterable[Condition]) -> tuple[Condition, ...]:
    keyed: dict[tuple[int, str], Condition] = {}
    for one in members:
        key, value = _entry(one)
        keyed.setdefault((_ORDER.index(key), canonical_json(value)), one)
    return tuple(keyed[key] for key in sorted(keyed))


# From values to the language.


def as_value(rule: Rule) -> dict[str, Any]:
    """The rule as the mapping that stands for it in the file, every default written out."""
    value: dict[str, Any] = {
        "name": rule.name,
        "description": rule.description,
        "enabled": rule.enabled,
        "severity": rule.severity,
        "conditions": conditions_value(rule.where),
        "sure": float(rule.sure),
        "actions": [_action(action) for action in rule.actions],
    }
    if rule.pattern is None:
        value["cooldown"] = written(rule.cooldown)
    else:
        key, pattern = _pattern(rule.pattern)
        value[key] = pattern
    if rule.escalation is not None:
        value["escalate"] = {
            "after": written(rule.escalation.after),
            "actions": [_action(action) for action in rule.escalation.actions],
        }
    return value


def to_yaml(rules: Iterable[Rule]) -> str:
    """The rules as a file of rules, defaults left out."""
    short: list[dict[str, Any]] = []
    for rule in rules:
        value = as_value(rule)
        for actions in (value["actions"], value.get("escalate", {}).get("actions", [])):
            actions[:] = [_short_action(action) for action in actions]
        short.append(
            {
                key: value[key]
                for key in _RULE_ORDER
                if key in value and not (key in _DEFAULTS and value[key] == _DEFAULTS[key])
            }
        )
    return yaml.dump(
        {"rules": short}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )


def _short_action(action: dict[str, Any]) -> dict[str, Any]:
    rest = {key: action[key] for key in action if key not in ("type", "on")}
    on = {} if action["on"] == list(ON) else {"on": action["on"]}
    return {"type": action["type"], **rest, **on}


class _Dumper(yaml.SafeDumper):
    """Lists indented; what is equal written out each time: the language has no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def conditions_value(condition: Condition) -> dict[str, Any]:
    """A condition as a mapping of the language."""
    value: dict[str, Any] = {}
    more: list[dict[str, Any]] = []
    for one in condition.of if isinstance(condition, All) else (condition,):
        key, part = _entry(one)
        if key == "fields":
            value["fields"] = [*value.get("fields", []), *part]
        elif key in value or (key == "plate_patterns" and "plates" in value):
            more.append({key: part})
        else:
            value[key] = part
    return value | {"all": more} if more else value


def _entry(condition: Condition) -> tuple[str, Any]:  # noqa: PLR0911, one a case
    """The key that says a condition, and what stands there."""
    match condition:
        case Compare(field=field, operator=operator, value=value):
            return "fields", [{"field": field, "operator": operator, "value": float(value)}]
        case Among():
            return _among(condition, "==")
        case PlateIs(pattern=pattern, match="exact"):
            return "plates", [pattern]
        case PlateIs():
            return "plate_patterns", [_plate_pattern(condition)]
        case Watched(lists=lists, kinds=kinds, least=least):
            return "watchlist", {
                **({"lists": list(lists)} if lists else {}),
                **({"kinds": list(kinds)} if kinds else {}),
                **({"confidence": float(least)} if least else {}),
            }
        case When():
            return "time", _window(condition)
        case All():
            return "all", [conditions_value(condition)]
        case AnyOf(of=of):
            return _any(of)
        case Not(of=Among() as inner) if _among(inner, "!=")[0] == "fields":
            return _among(inner, "!=")
        case Not(of=one):
            return "not", conditions_value(one)
        case _:
            assert_never(condition)


def _among(condition: Among, operator: str) -> tuple[str, Any]:
    values = list(condition.values)
    key = _KEY_OF.get(condition.field)
    if key is not None and all(isinstance(value, str) for value in values):
        return key, values
    value = values[0] if len(values) == 1 else values
    return "fields", [{"field": condition.field, "operator": operator, "value": value}]


def _any(of: tuple[Condition, ...]) -> tuple[str, Any]:
    exact = [one.pattern for one in of if isinstance(one, PlateIs) and one.match == "exact"]
    patterns = [one for one in of if isinstance(one, PlateIs)]
    windows = [_window(one) for one in of if isinstance(one, When)]
    if len(exact) == len(of):
        return "plates", exact
    if len(patterns) == len(of):
        return "plate_patterns", [_plate_pattern(one) for one in patterns]
    if len(windows) == len(of):
        return "time", windows
    groups: list[dict[str, Any]] = []
    if patterns:
        groups.append(conditions_value(AnyOf(tuple(patterns))))
    if windows:
        groups.append({"time": windows})
    rest = (one for one in of if not isinstance(one, PlateIs | When))
    return "any", [*groups, *(conditions_value(one) for one in rest)]


def _plate_pattern(condition: PlateIs) -> dict[str, Any]:
    value: dict[str, Any] = {"pattern": condition.pattern, "match_type": condition.match}
    if condition.match == "fuzzy":
        value["similarity"] = float(condition.least)
    return value


def _window(when: When) -> dict[str, Any]:
    value: dict[str, Any] = {"from": _clock(when.start), "to": _clock(when.end)}
    if len(when.days) < 7:
        value["days"] = _days(when.days)
    if when.holidays != "any":
        value["holidays"] = when.holidays
    if when.dates:
        value["dates"] = list(when.dates)
    if when.country:
        value["country"] = when.country
    if when.timezone:
        value["timezone"] = when.timezone
    return value


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _days(days: tuple[int, ...]) -> list[str]:
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [DAYS[r[0]] if len(r) == 1 else f"{DAYS[r[0]]}-{DAYS[r[-1]]}" for r in runs]


def _pattern(pattern: Pattern) -> tuple[str, Any]:  # noqa: PLR0911, one a case
    match pattern:
        case Count(at_least=at_least, by=by, within=within, distinct=distinct):
            value = {
                "at_least": at_least,
                "by": by or "all",
                "within": "today" if within is None else written(within),
            }
            return "count", value | ({"distinct": "plates"} if distinct else {})
        case Dwell(enter=enter, leave=leave, longer=longer):
            return "dwell", {
                "enter": conditions_value(enter),
                "leave": conditions_value(leave),
                "longer_than": written(longer),
            }
        case Unseen(longer=longer):
            return ("first_seen", True) if longer is None else ("not_seen_for", written(longer))
        case Sequence(steps=steps, within=within):
            values = [conditions_value(step) for step in steps]
            return "sequence", {"steps": values, "within": written(within)}
        case Convoy(plates=plates, cameras=cameras, apart=apart, within=within):
            return "convoy", {
                "plates": plates,
                "cameras": cameras,
                "apart": written(apart),
                "within": written(within),
            }
        case Travel(faster=faster, farther=farther):
            return "impossible_travel", {
                "faster_than_kmh": float(faster),
                "farther_than_km": float(farther),
            }
        case Silent(longer=longer):
            return "silent_for", written(longer)
        case _:
            assert_never(pattern)


def _action(action: Action) -> dict[str, Any]:
    return {**action.options, "type": action.type, "on": list(action.on)}
