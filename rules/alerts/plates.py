"""Which of many patterns a plate follows, without asking each."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar

import re2  # pyright: ignore[reportMissingTypeStubs]

from rules.alerts.holds import plate_is, regex
from rules.alerts.likeness import Likeness
from rules.alerts.required import required
from rules.alerts.rule import PlateIs

_RE2: Any = re2  # it has no types

T = TypeVar("T")

SET_SIZE = 500
"""Regular expressions in one RE2 set: a change makes one set anew, in some 3 ms."""
SET_MEMORY = 32 * 1024 * 1024
"""Bytes of one set's program and automaton; RE2 begins the automaton anew when it is full."""


class _Guarded(NamedTuple, Generic[T]):
    """A pattern that can only be followed where a text holds its literal."""

    item: T
    rest: Callable[[str], bool] | None
    """What remains to be asked of the text; None where the literal is all of it."""


_Literals = dict[int, dict[str, list[_Guarded[T]]]]
"""Patterns by the length of their literal, and by the literal."""


class Patterns(Generic[T]):
    """Patterns with items; ``follow`` gives the items of those that ``plate_is`` says yes to."""

    def __init__(self) -> None:
        self._all: list[tuple[PlateIs, T]] = []
        self._exact: dict[str, list[T]] = {}
        self._prefixes: _Literals[T] = {}
        self._suffixes: _Literals[T] = {}
        self._inner: _Literals[T] = {}
        self._vague: list[tuple[T, str]] = []
        self._regexes = _Regexes[T]()
        self._fuzzy = Likeness[T]()

    def add(self, pattern: PlateIs, item: T) -> None:
        """Take an item under a pattern. Raises PatternError for a regex that RE2 refuses."""
        text = pattern.pattern
        match pattern.match:
            case "exact":
                self._exact.setdefault(text, []).append(item)
            case "prefix":
                _file(self._prefixes, text, _Guarded(item, None))
            case "suffix":
                _file(self._suffixes, text, _Guarded(item, None))
            case "contains":
                _file(self._inner, text, _Guarded(item, None))
            case "wildcard":
                self._wildcard(text.upper(), item)
            case "regex":
                self._regex(text, item)
            case "fuzzy":
                self._fuzzy.add(text, pattern.least, item)
        self._all.append((pattern, item))

    def follow(self, text: str) -> list[T]:
        """The items of all patterns that the text of a plate follows, in no order."""
        if not (text.isascii() and text.isalnum() and text == text.upper()):
            # No plate's normalised text: letters of two cases, or none.
            return [item for pattern, item in self._all if plate_is(pattern, text)]
        found = list(self._exact.get(text, ()))
        held = [ones for length, of in self._prefixes.items() if (ones := of.get(text[:length]))]
        for length, of in self._suffixes.items():
            if ones := of.get(text[-length:] if length else ""):
                held.append(ones)
        for length, of in self._inner.items():
            parts = {text[at : at + length] for at in range(len(text) - length + 1)}
            held += [of[part] for part in parts if part in of]
        for ones in held:
            for item, rest in ones:
                if rest is None or rest(text):
                    found.append(item)
        if self._vague:
            found += [item for item, wildcard in self._vague if follows(wildcard, text)]
        if self._regexes:
            found += self._regexes.follow(text)
        if self._fuzzy:
            found += [item for item, _ in self._fuzzy.near(text)]
        return found

    def _wildcard(self, pattern: str, item: T) -> None:
        """File a wildcard under the longest literal that a text must hold."""
        parts = _literals(pattern)
        if len(parts) == 1 and parts[0] == pattern:
            self._exact.setdefault(pattern, []).append(item)
            return
        literal = max(parts, key=len, default="")
        if not literal:
            self._vague.append((item, pattern))
        elif pattern.startswith(literal):
            rest = None if pattern == literal + "*" else partial(follows, pattern)
            _file(self._prefixes, literal, _Guarded(item, rest))
        elif pattern.endswith(literal):
            rest = None if pattern == "*" + literal else partial(follows, pattern)
            _file(self._suffixes, literal, _Guarded(item, rest))
        else:
            rest = None if pattern == f"*{literal}*" else partial(follows, pattern)
            _file(self._inner, literal, _Guarded(item, rest))

    def _regex(self, pattern: str, item: T) -> None:
        """File a regular expression under a literal that a text must hold, or in a set."""
        regex(pattern)  # alone it is refused by name; a set only says that something is wrong
        literal = required(pattern)
        if literal is None:
            self._regexes.add(pattern, item)
            return
        under = {"prefix": self._prefixes, "suffix": self._suffixes, "contains": self._inner}
        rest = None if literal.whole else partial(_found, pattern)
        _file(under[literal.place], literal.literal, _Guarded(item, rest))


def _found(pattern: str, text: str) -> bool:
    return regex(pattern).search(text) is not None


def follows(wildcard: str, text: str) -> bool:
    """Whether a text is what a pattern with ``*`` and ``?`` says, as a whole; linear in both."""
    first, *others = wildcard.split("*")
    if not others:
        return len(text) == len(first) and _at(first, text, 0)
    *between, last = others
    end = len(text) - len(last)
    if end < len(first) or not _at(first, text, 0) or not _at(last, text, end):
        return False
    place = len(first)
    for part in between:
        found = _find(part, text, place, end)
        if found is None:
            return False
        place = found + len(part)
    return True


def _at(part: str, text: str, place: int) -> bool:
    if "?" not in part:
        return text.startswith(part, place)
    return all(one in ("?", text[place + i]) for i, one in enumerate(part))


def _find(part: str, text: str, start: int, end: int) -> int | None:
    """The first place at or after ``start`` where a part lies before ``end``."""
    if "?" not in part:
        found = text.find(part, start, end)
        return found if found >= 0 else None
    places = range(start, end - len(part) + 1)
    return next((place for place in places if _at(part, text, place)), None)


def _literals(wildcard: str) -> list[str]:
    return [part for part in wildcard.replace("?", "*").split("*") if part]


def _file(under: _Literals[T], literal: str, one: _Guarded[T]) -> None:
    under.setdefault(len(literal), {}).setdefault(literal, []).append(one)


class _Regexes(Generic[T]):
    """Regular expressions in RE2 sets, each read in one pass over the text.

    A set that does not fit into its memory is split. Each holds one expression more that always
    matches: where that is missing RE2 gave up, and each expression is asked alone.
    """

    def __init__(self) -> None:
        self._patterns: list[tuple[str, T]] = []
        self._sets: list[tuple[Any, list[tuple[str, T]]]] = []
        self._taken = 0
        """How many of the patterns are in the sets."""

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def add(self, pattern: str, item: T) -> None:
        self._patterns.append((pattern, item))

    def follow(self, text: str) -> Iterator[T]:
        if self._taken < len(self._patterns):
            self._take()
        for found, patterns in self._sets:
            matches: list[int] | None = found.Match(text) if found is not None else None
            last = len(patterns)
            if matches is None or last not in matches:
                for pattern, item in patterns:
                    if _found(pattern, text):
                        yield item
            elif len(matches) > 1:
                for index in matches:
                    if index != last:
                        yield patterns[index][1]

    def _take(self) -> None:
        """Make sets of what is new; those that are full stay."""
        while self._sets and len(self._sets[-1][1]) < SET_SIZE:
            self._taken -= len(self._sets.pop()[1])
        for start in count(self._taken, SET_SIZE):
            part = self._patterns[start : start + SET_SIZE]
            if not part:
                break
            self._sets += _made(part)
        self._taken = len(self._patterns)


def _made(patterns: list[tuple[str, T]]) -> list[tuple[Any, list[tuple[str, T]]]]:
    options = _RE2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = SET_MEMORY
    made = _RE2.Set.SearchSet(options)
    try:
        for pattern, _ in patterns:
            made.Add(pattern)
        made.Add("")
        made.Compile()
    except _RE2.error:
        if len(patterns) == 1:
            return [(None, patterns)]
        half = len(patterns) // 2
        return _made(patterns[:half]) + _made(patterns[half:])
    return [(made, patterns)]
