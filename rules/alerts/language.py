"""From plain values, of the structure that the JSON Schema holds, to a rule as a value."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from math import isfinite
from typing import Any, cast

from rules.alerts import normal
from rules.alerts.actions import action_problems
from rules.alerts.calendar import holidays_of, zone
from rules.alerts.duration import microseconds, written
from rules.alerts.fields import FIELDS, Field, FieldError, canonical
from rules.alerts.holds import PatternError, regex
from rules.alerts.normal import DAYS, FIELD_OF, KINDS, ON
from rules.alerts.rule import (
    Action,
    All,
    Among,
    Compare,
    Condition,
    Convoy,
    Count,
    Dwell,
    Escalation,
    Pattern,
    PlateIs,
    Rule,
    Scalar,
    Silent,
    Travel,
    Unseen,
    Watched,
    When,
)
from rules.alerts.rule import Sequence as Steps
from rules.text import normalise

Path = tuple[str | int, ...]
Plain = Mapping[str, Any]

COOLDOWN = "5m"
"""As long as dedup takes one stay for one sighting, so that a car that waits alerts once."""
SURE = 0.8
MAX_CONDITIONS = 20_000
"""Conditions of one rule, every plate of a list counted."""

MAX_PROGRAM = 100_000
"""Instructions that RE2 makes of one rule's regular expressions: 7 MB, and 0.2 s to make a set."""
MAX_PROBLEMS = 200
"""Problems that are told of a file; where there are more, the rest is not looked for."""

RESERVED = frozenset({"new", "schema", "test", "backtest"})
"""Names that are addresses beside the rules' own."""

_DAY = 86_400_000_000
_LONGEST_WINDOW = 31 * _DAY
_LONGEST = 400 * _DAY
_PATTERNS = (
    *("count", "dwell", "first_seen", "not_seen_for", "sequence", "convoy"),
    *("impossible_travel", "silent_for"),
)
_NEVER = All()
"""Stands where a problem was found, so that the rest can be read."""


class Reader:
    """Reads rules and keeps what is wrong with them; ``problems`` are paths and messages."""

    def __init__(self) -> None:
        self.problems: list[tuple[Path, str]] = []
        self._count = self._program = 0

    def rule(self, value: Plain, path: Path) -> Rule:
        """The rule of a mapping. With problems, what it returns is not to be used."""
        self._count = 0
        if told := _wrong_name(value["name"]):
            self._wrong((*path, "name"), told)
        where = self._where(value, path)
        pattern = self._the_pattern(value, path)
        if self._count > MAX_CONDITIONS:
            told = f"has {self._count:,} conditions, {MAX_CONDITIONS:,} is the most"
            self._wrong(path, f"{told}: keep plates on a watchlist and ask for that")
        if self._program > MAX_PROGRAM:
            told = f"{self._program:,} instructions of RE2, {MAX_PROGRAM:,} is the most"
            self._wrong(
                path,
                f"has regular expressions of {told}: write fewer, without long repetitions"
                r" and classes such as \pL",
            )
        if isinstance(pattern, Silent) and not _asks_only_camera(where):
            self._wrong(
                (*path, "conditions"),
                "silent_for is about cameras, not sightings: only camera_ids may stand here",
            )
        escalate = value.get("escalate")
        rule = Rule(
            name=value["name"],
            description=value.get("description", ""),
            enabled=value.get("enabled", True),
            severity=value.get("severity", "warning"),
            where=where,
            pattern=pattern,
            cooldown=self._cooldown(value, path, pattern),
            sure=float(value.get("sure", SURE)),
            actions=self._actions(value.get("actions", ()), (*path, "actions")),
            escalation=None
            if escalate is None
            else Escalation(
                self._duration(escalate, "after", (*path, "escalate")),
                self._actions(escalate["actions"], (*path, "escalate", "actions")),
            ),
            definition="",
            version="",
            shape="",
        )
        return rule if self.problems else normal.defined(rule)

    def _wrong(self, path: Path, message: str) -> None:
        self.problems.append((path, message))

    def _where(self, value: Plain, path: Path) -> Condition:
        members: list[Condition] = []
        if "conditions" in value:
            members.append(self._condition(value["conditions"], (*path, "conditions")))
        kind = value.get("type")
        if kind == "plate_match":
            members.append(self._plates(value["plates"], (*path, "plates")))
        elif kind == "threshold":
            members.append(self._comparison(value, path))
        for key in ("plates", "field", "operator", "value"):
            needed = "plate_match" if key == "plates" else "threshold"
            if key in value and kind != needed:
                told = "put it under conditions, or" if key == "plates" else "under conditions: "
                told += "" if key == "plates" else "fields, or"
                self._wrong((*path, key), f"stands alone: {told} say type: {needed}")
        if not members and not any(key in value for key in _PATTERNS):
            self._wrong(path, "has no conditions: say which sightings, or {} for every sighting")
        return normal.all_of(members)

    def _cooldown(self, value: Plain, path: Path, pattern: Pattern | None) -> int:
        if pattern is None:
            return self._duration(value, "cooldown", path, COOLDOWN, least=0)
        if "cooldown" in value:
            told = "has no effect: what a pattern finds is one alert, however long it goes on"
            self._wrong((*path, "cooldown"), told)
        return 0

    # Conditions.

    def _condition(self, value: Any, path: Path) -> Condition:
        if isinstance(value, list):
            parts = cast("list[Any]", value)
            return normal.all_of([self._condition(one, (*path, i)) for i, one in enumerate(parts)])
        given = cast("dict[str, Any]", value)
        if "field" in given:
            return self._comparison(given, path)
        if "plates" in given and "plate_patterns" in given:
            self._wrong(
                (*path, "plate_patterns"),
                "stands beside plates, and both would have to hold: put each under any",
            )
        read: dict[str, Callable[[Any, Path], Condition]] = {
            "all": self._condition,
            "fields": self._condition,
            "any": self._any,
            "not": lambda value, path: normal.none_of(self._condition(value, path)),
            "plates": self._plates,
            "plate_patterns": self._plate_patterns,
            "watchlist": self._watched,
            "time": self._time,
        }
        return normal.all_of(
            [
                self._listed(FIELD_OF[key], one)
                if key in FIELD_OF
                else read[key](one, (*path, key))
                for key, one in given.items()
            ]
        )

    def _any(self, value: Sequence[Any], path: Path) -> Condition:
        return normal.any_of([self._condition(one, (*path, i)) for i, one in enumerate(value)])

    def _listed(self, field: str, value: Any) -> Condition:
        values = _several(value)
        self._count += len(values)
        return Among(field, _distinct(values))

    def _comparison(self, value: Plain, path: Path) -> Condition:
        self._count += 1
        if len(self.problems) >= MAX_PROBLEMS:
            return _NEVER
        try:
            field = FIELDS[canonical(value["field"])]
        except FieldError as error:
            self._wrong((*path, "field"), str(error))
            return _NEVER
        operator, here = value["operator"], (*path, "value")
        values = [self._value(field, one, here) for one in _several(value["value"])]
        if operator not in ("==", "!="):
            if field.kind == "text":
                told = f"{field.name} is a text: compare it with == or !="
                self._wrong((*path, "operator"), told)
                return _NEVER
            if len(values) != 1:
                self._wrong(here, f"is a list: {operator} takes one number")
                return _NEVER
            return Compare(field.name, operator, float(cast(float, values[0])))
        self._count += len(values)
        if field.name == "plate.normalized_text":
            found = normal.any_of([self._exact(str(one), here) for one in values])
        else:
            found = Among(field.name, _distinct(values))
        return found if operator == "==" else normal.none_of(found)

    def _value(self, field: Field, value: Scalar, path: Path) -> Scalar:
        if field.kind == "text":
            if not isinstance(value, str):
                said = str(value).lower() if isinstance(value, bool) else str(value)
                self._wrong(path, f'{field.name} is a text: write "{said[:40]}" in quotes')
                return ""
            return value
        if field.kind == "time" and isinstance(value, str):
            return self.moment(value, path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            said = str(value).lower() if isinstance(value, bool) else repr(value)
            self._wrong(path, f"{field.name} is a number, {said} is none: write it without quotes")
            return 0
        if not isfinite(value) or abs(value) > 1e18:
            self._wrong(path, "is too large: use a number up to 1e18")
            return 0
        return value

    def moment(self, text: str, path: Path) -> int:
        """Microseconds of an ISO 8601 text with its offset from UTC."""
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self._wrong(path, f"{text!r} is no moment: write 2026-03-02T08:00:00+03:00")
            return 0
        if at.tzinfo is None:
            self._wrong(path, f"{text!r} has no offset from UTC: add Z, or one like +03:00")
            return 0
        epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        since = at - epoch
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    # Plates.

    def _plates(self, value: str | Sequence[str], path: Path) -> Condition:
        if isinstance(value, str):
            return self._exact(value, path)
        self._count += len(value)
        if self._count > MAX_CONDITIONS:
            return _NEVER  # refused as a whole
        return normal.any_of([self._exact(one, (*path, i)) for i, one in enumerate(value)])

    def _exact(self, text: str, path: Path) -> PlateIs:
        if "*" in text or "?" in text:
            self._wrong(path, f"{text!r} is a pattern: put it under plate_patterns")
        elif not normalise(text):
            self._wrong(path, f"{text!r} has no letter from A to Z and no digit")
        return PlateIs(normalise(text), "exact")

    def _plate_patterns(self, value: Sequence[Plain], path: Path) -> Condition:
        self._count += len(value)
        return normal.any_of([self._plate_pattern(one, (*path, i)) for i, one in enumerate(value)])

    def _plate_pattern(self, value: Plain, path: Path) -> PlateIs:
        written_as: str = value["pattern"]
        match, here = value.get("match_type", "exact"), (*path, "pattern")
        if "similarity" in value and match != "fuzzy":
            self._wrong((*path, "similarity"), "has a meaning for match_type: fuzzy alone")
        if match == "regex":
            try:
                self._program += regex(written_as).programsize
            except PatternError as error:
                self._wrong(here, f"RE2 does not take this regular expression: {error}")
            return PlateIs(written_as, match)
        inner = written_as
        # The seeds write a star where the rest may stand.
        if match in ("prefix", "contains"):
            inner = inner.removesuffix("*")
        if match in ("suffix", "contains"):
            inner = inner.removeprefix("*")
        if match == "wildcard":
            pattern = "".join(one if one in "*?" else normalise(one) for one in inner)
            if not pattern.strip("*"):
                self._wrong(here, f"{written_as!r} takes every plate: leave the pattern out")
            return PlateIs(pattern, match)
        pattern = normalise(inner)
        if "*" in inner or "?" in inner:
            self._wrong(here, f"{written_as!r} has * or ? inside: say match_type: wildcard")
        elif not pattern:
            self._wrong(here, f"{written_as!r} has no letter from A to Z and no digit")
        elif match == "fuzzy":
            if len(pattern) > 40:
                self._wrong(here, "is longer than 40 letters and digits, as no plate is")
            return PlateIs(pattern, match, float(value.get("similarity", 0.85)))
        return PlateIs(pattern, match)

    def _watched(self, value: Any, path: Path) -> Condition:
        self._count += 1
        if not isinstance(value, dict):
            return Watched(_names(value))
        given = cast("dict[str, Any]", value)
        return Watched(
            _names(given.get("lists", ())),
            _names(given.get("kinds", ())),
            float(given.get("confidence", 0)),
        )

    # Time.

    def _time(self, value: Any, path: Path) -> Condition:
        if isinstance(value, list):
            windows = cast("list[Any]", value)
            return normal.any_of([self._window(one, (*path, i)) for i, one in enumerate(windows)])
        return self._window(value, path)

    def _window(self, value: Plain, path: Path) -> When:
        self._count += 1
        start = _minute(value.get("from", "00:00"))
        end = _minute(value.get("to", "24:00"))
        if start == end:
            self._wrong((*path, "to"), "is the same as from: leave both out for the whole day")
        name, country = value.get("timezone", ""), value.get("country", "")
        if name and zone(name) is None:
            self._wrong(
                (*path, "timezone"), f"{name!r} is no time zone: write one like Europe/Istanbul"
            )
        dates, which = tuple(sorted(set(value.get("dates", ())))), value.get("holidays", "any")
        for i, day in enumerate(value.get("dates", ())):
            try:
                date.fromisoformat(day)
            except ValueError:
                self._wrong((*path, "dates", i), f"{day!r} is in no calendar")
        if country and not _has_holidays(country):
            self._wrong(
                (*path, "country"),
                f"no holidays are known of {country!r}: write a code like TR or US-CA, or dates",
            )
        if which == "any" and (dates or country):
            key = "country" if country else "dates"
            self._wrong((*path, key), "has no effect: say holidays: only, or except")
        if which != "any" and not (dates or country):
            self._wrong((*path, "holidays"), "does not say which: add country, or dates")
        days = self._days(value["days"], path) if "days" in value else tuple(range(7))
        # Until midnight is the same written either way.
        return When(start, end or 1440, days, which, dates, country, name)

    def _days(self, value: Any, path: Path) -> tuple[int, ...]:
        days: set[int] = set()
        for i, one in enumerate(_several(value)):
            first, _, last = one.partition("-")
            begin, end = DAYS.index(first), DAYS.index(last or first)
            if end < begin:
                here = (*path, "days", i) if isinstance(value, list) else (*path, "days")
                begun = "mon" if last == "mon" else f"mon-{last}"
                self._wrong(here, f"{one!r} goes backwards: write [{first}-sun, {begun}]")
            days.update(range(begin, end + 1))
        return tuple(sorted(days))

    # Patterns.

    def _the_pattern(self, value: Plain, path: Path) -> Pattern | None:  # noqa: PLR0911, one a key
        keys = [key for key in _PATTERNS if key in value]
        if not keys:
            return None
        if len(keys) > 1:
            told = f"stands beside {keys[0]}: a rule has one of {', '.join(_PATTERNS)}"
            self._wrong((*path, keys[1]), told)
        key = keys[0]
        inner, here = value[key], (*path, key)
        match key:
            case "count":
                return self._counted(inner, here)
            case "dwell":
                return Dwell(
                    self._condition(inner["enter"], (*here, "enter")),
                    self._condition(inner["leave"], (*here, "leave")),
                    self._duration(inner, "longer_than", here, most=_LONGEST_WINDOW),
                )
            case "first_seen":
                return Unseen(None)
            case "not_seen_for":
                return Unseen(self._duration(value, key, path, most=_LONGEST))
            case "sequence":
                steps = (*here, "steps")
                return Steps(
                    tuple(self._condition(s, (*steps, i)) for i, s in enumerate(inner["steps"])),
                    self._duration(inner, "within", here, most=_LONGEST_WINDOW),
                )
            case "convoy":
                return self._convoy(inner, here)
            case "impossible_travel":
                return Travel(
                    float(inner.get("faster_than_kmh", 250)), float(inner.get("farther_than_km", 1))
                )
            case _:
                return Silent(self._duration(value, key, path, most=_LONGEST_WINDOW))

    def _counted(self, value: Plain, path: Path) -> Count:
        if ("at_least" in value) == ("more_than" in value):
            self._wrong(path, "needs one of at_least and more_than")
        distinct = "distinct" in value
        by = value.get("by", "all" if distinct else "plate")
        if distinct and by == "plate":
            self._wrong((*path, "by"), "one plate has no distinct plates: leave by or distinct out")
        within = None
        if value["within"] != "today":
            within = self._duration(value, "within", path, most=_LONGEST_WINDOW)
        least = value.get("at_least") or value.get("more_than", 0) + 1
        return Count(int(least), "" if by == "all" else by, within, distinct)

    def _convoy(self, value: Plain, path: Path) -> Convoy:
        apart = self._duration(value, "apart", path, "60s", most=3_600_000_000)
        within = self._duration(value, "within", path, "1h", most=_LONGEST_WINDOW)
        if apart > within:
            self._wrong((*path, "apart"), "is longer than within: make it shorter")
        return Convoy(int(value.get("plates", 2)), int(value.get("cameras", 3)), apart, within)

    def _duration(
        self,
        value: Plain,
        key: str,
        path: Path,
        default: str = "",
        *,
        least: int = 1,
        most: int = _LONGEST,
    ) -> int:
        duration = microseconds(value.get(key, default))
        if not least <= duration <= most:
            low = "more than 0s" if least else "0s or more"
            told = f"{value[key]!r} is out of range: use {low}, {written(most)} at most"
            self._wrong((*path, key), told)
        return duration

    # Actions.

    def _actions(self, value: Sequence[Plain], path: Path) -> tuple[Action, ...]:
        actions: list[Action] = []
        for i, one in enumerate(value):
            for key, told in action_problems(one):
                self._wrong((*path, i, *key), told)
            told_of = _several(one.get("on", ON))
            options = {key: one[key] for key in one if key not in ("type", "on")}
            actions.append(
                Action(one["type"], options, tuple(kind for kind in KINDS if kind in told_of))
            )
        return tuple(actions)


def _several(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else [value]


def _names(value: Any) -> tuple[str, ...]:
    return tuple(sorted(set(_several(value))))


def _distinct(values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """In one order, texts that differ in case alone once."""
    found: dict[tuple[str, str], Scalar] = {}
    for value in values:
        key = str(value).casefold() if isinstance(value, str) else repr(float(value or 0))
        found.setdefault((type(value).__name__, key), value)
    return tuple(found[key] for key in sorted(found))


def _wrong_name(name: str) -> str:
    """What is wrong with a name that no address of a page could hold, or nobody could see."""
    if name != name.strip() or not any(one.isalnum() for one in name):
        return f"{name!a} needs a letter or digit, and no space at its ends: name it otherwise"
    if name in RESERVED or name.startswith("backtest/"):
        return f"{name!r} is an address of the API: name it otherwise"
    if {".", ".."} & set(name.split("/")):
        return f"{name!r} is a path in an address: name it otherwise"
    return ""


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


def _has_holidays(country: str) -> bool:
    try:
        return bool(holidays_of(country, 2026))
    except (NotImplementedError, KeyError, ValueError):
        return False


def _asks_only_camera(where: Condition) -> bool:
    parts = where.of if isinstance(where, All) else (where,)
    return all(isinstance(one, Among) and one.field == "camera_id" for one in parts)
