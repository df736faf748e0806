"""Which of many patterns a plate follows, without asking each."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import re2  # pyright: ignore[reportMissingTypeStubs]

from rules.alerts.holds import plate_is, regex
from rules.alerts.likeness import Likeness
from rules.alerts.required import required
from rules.alerts.rule import PlateIs
from rules.wildcard import follows

_RE2: Any = re2  # it has no types

T = TypeVar("T")

GRAM = {"prefix": 4, "suffix": 4, "contains": 3}
"""Characters that a pattern is filed under, at most: a plate has few parts so long."""
SET_SIZE = 500
"""Regular expressions in one RE2 set: a change makes one set anew, in some 3 ms."""
SET_MEMORY = 32 * 1024 * 1024
"""Bytes of one set's program and automaton; RE2 begins the automaton anew when it is full."""


class _Guarded(NamedTuple, Generic[T]):
    """A pattern that can only be followed where a text holds its literal."""

    item: T
    rest: Callable[[str], bool] | None
    """What remains to be asked of the text; None where the literal is all of it."""


_Place = Literal["prefix", "suffix", "contains"]


class Patterns(Generic[T]):
    """Patterns with items; ``follow`` gives the items of those that ``plate_is`` says yes to."""

    def __init__(self) -> None:
        self._all: list[tuple[PlateIs, T]] = []
        self._exact: dict[str, list[T]] = {}
        self._grams: dict[str, list[_Guarded[T]]] = {}
        """By what a text, written ``^TEXT$``, must hold: few characters, so of few lengths."""
        self._lengths: set[tuple[_Place, int]] = set()
        self._slices: dict[int, list[slice]] = {}
        """By the length of a text where such grams can be."""
        self._vague: list[tuple[T, str]] = []
        self._regexes = _Regexes[T]()
        self._fuzzy = Likeness[T]()

    def add(self, pattern: PlateIs, item: T) -> None:
        """Take an item under a pattern. Raises PatternError for a regex that RE2 refuses."""
        text = pattern.pattern
        match pattern.match:
            case "exact":
                self._exact.setdefault(text, []).append(item)
            case "prefix" | "suffix" | "contains":
                self._file(text, pattern.match, item)
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
        slices = self._slices.get(len(text))
        if slices is None:
            slices = self._slices[len(text)] = list(self._sliced(len(text)))
        marked, grams = f"^{text}$", self._grams
        held = [ones for part in slices if (ones := grams.get(marked[part]))]
        if len(held) > 1:  # a text may hold a gram twice
            held = {id(ones): ones for ones in held}.values()
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
        wild = partial(follows, pattern)
        if not literal:
            self._vague.append((item, pattern))
        elif pattern.startswith(literal):
            self._file(literal, "prefix", item, pattern != literal + "*" and wild)
        elif pattern.endswith(literal):
            self._file(literal, "suffix", item, pattern != "*" + literal and wild)
        else:
            self._file(literal, "contains", item, pattern != f"*{literal}*" and wild)

    def _regex(self, pattern: str, item: T) -> None:
        """File a regular expression under a literal that a text must hold, or in a set."""
        regex(pattern)  # alone it is refused by name; a set only says that something is wrong
        literal = required(pattern)
        if literal is None:
            self._regexes.add(pattern, item)
            return
        self._file(
            literal.literal, literal.place, item, not literal.whole and partial(_found, pattern)
        )

    def _file(
        self,
        literal: str,
        place: _Place,
        item: T,
        rest: Callable[[str], bool] | Literal[False] = False,
    ) -> None:
        """File an item under a literal, or what there is room for of it."""
        gram = literal[-GRAM[place] :] if place == "suffix" else literal[: GRAM[place]]
        if not rest and gram != literal:
            rest = partial(plate_is, PlateIs(literal, place))
        marked = {"prefix": "^" + gram, "suffix": gram + "$", "contains": gram}[place]
        self._grams.setdefault(marked, []).append(_Guarded(item, rest or None))
        if (place, len(gram)) not in self._lengths:
            self._lengths.add((place, len(gram)))
            self._slices.clear()

    def _sliced(self, length: int) -> Iterator[slice]:
        for place, gram in self._lengths:
            if gram > length:
                continue
            if place == "prefix":
                yield slice(0, gram + 1)
            elif place == "suffix":
                yield slice(length + 1 - gram, length + 2)
            else:
                yield from (slice(at, at + gram) for at in range(1, length + 2 - gram))


def _found(pattern: str, text: str) -> bool:
    return regex(pattern).search(text) is not None


def _literals(wildcard: str) -> list[str]:
    return [part for part in wildcard.replace("?", "*").split("*") if part]


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

    def follow(self, text: str) -> list[T]:
        if self._taken < len(self._patterns):
            self._take()
        items: list[T] = []
        for found, patterns in self._sets:
            matches: list[int] | None = found.Match(text) if found is not None else None
            last = len(patterns)
            if matches is None or last not in matches:
                items += [item for pattern, item in patterns if _found(pattern, text)]
            elif len(matches) > 1:
                items += [patterns[index][1] for index in matches if index != last]
        return items

    def _take(self) -> None:
        """Make sets of what is new and of the last one, if that is not full; the others stay."""
        if self._sets and len(self._sets[-1][1]) < SET_SIZE:
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
