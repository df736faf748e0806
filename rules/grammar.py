"""Which texts are plates of which region, from the grammars in ``rules/grammars``."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import product
from typing import Any, NamedTuple, cast

from rules.similarity import CONFUSABLE

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
AUTO = "auto"

_BIT = {character: 1 << index for index, character in enumerate(LETTERS + DIGITS)}
_ALL_DIGITS = sum(_BIT[digit] for digit in DIGITS)
_ALL_LETTERS = sum(_BIT[letter] for letter in LETTERS)
_SHORTEST = 5  # "7.5 T", "24 h", "A1": shorter lettering is everywhere, shorter plates are rare
_NONE: Mapping[str, int] = {}
_SHAPE = {ord(c): "0" if c in DIGITS else "A" for c in LETTERS + DIGITS}
_TOKEN = re.compile(r"([LDXa-z0-9])(?:\{(\d+),(\d+)\})?")


class GrammarError(ValueError):
    """A grammar file or a region's code is wrong; the message names it and the cause."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One pattern of one region: for each place the set of characters allowed, as bits."""

    region: str
    group: str
    pattern: str
    places: tuple[int, ...]


class Check(NamedTuple):
    """What a text of a layout's shape must have besides: characters of the sets at places."""

    region: str
    places: tuple[tuple[int, int], ...]


Repair = tuple[tuple[int, str], ...]
"""Places that have to change, and the characters that may come there, likeliest first."""


class Grammar:
    """The layouts of all regions.

    A *scope* says which of them count: ``auto`` for all, or codes with commas: ``DE,FR``,
    ``US`` (all its states), ``US-FL``, ``EU`` (the group of a whole file).
    """

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self.layouts = tuple(layouts)
        self._countries = {layout.region.partition("-")[0] for layout in self.layouts}
        self._by_scope: dict[str, dict[int, tuple[Layout, ...]]] = {}
        self._checks = lru_cache(maxsize=16_384)(self._checks_of)
        self._mendable = lru_cache(maxsize=16_384)(self._mendable_of)
        self.regions = lru_cache(maxsize=65_536)(self._regions)
        self.region = lru_cache(maxsize=65_536)(self._region)
        self._repairs = lru_cache(maxsize=65_536)(self._all_repairs)

    def check(self, scope: str) -> None:
        """Raise GrammarError if the scope names a region that no grammar describes."""
        if scope == AUTO:
            return
        known = {layout.region for layout in self.layouts}
        known |= {region.partition("-")[0] for region in known}
        known |= {layout.group for layout in self.layouts if layout.group}
        for code in scope.split(","):
            if code not in known:
                raise GrammarError(
                    f"no plate grammar for {code!r}: use {AUTO} or some of "
                    + ", ".join(sorted(region for region in known if "-" not in region))
                )

    def scope(self, region: str | None, otherwise: str) -> str:
        """The scope to judge a read by that says it is of ``region``.

        A subdivision widens to its country, since cars travel; a region without a grammar is
        judged by all.
        """
        if region is None:
            return otherwise
        country = region.partition("-")[0]
        if country not in self._countries:
            return AUTO
        return country

    def too_short(self, text: str, scope: str) -> bool:
        """Whether ``text`` is shorter than what is taken for a plate of some unknown country."""
        return scope == AUTO and len(text) < _SHORTEST

    def _regions(self, text: str, scope: str) -> tuple[str, ...]:
        """The regions of the scope whose plates look like ``text`` (normalised), sorted.

        For ``auto`` a text needs a letter, a digit and five characters, whatever a grammar
        allows: among all the world's short plates, any lettering fits one.
        """
        if self.too_short(text, scope) or (scope == AUTO and (text.isdigit() or text.isalpha())):
            return ()
        found = [
            check.region
            for check in self._checks(text.translate(_SHAPE), scope)
            if all(_BIT[text[place]] & allowed for place, allowed in check.places)
        ]
        return tuple(sorted(set(found)))

    def _checks_of(self, shape: str, scope: str) -> tuple[Check, ...]:
        """What tells which layouts take a text that has letters and digits where ``shape`` does."""
        kinds = [_ALL_DIGITS if kind == "0" else _ALL_LETTERS for kind in shape]
        found: dict[Check, None] = {}
        for layout in self._of(scope).get(len(shape), ()):
            pairs = list(enumerate(zip(layout.places, kinds, strict=True)))
            if all(place & kind for _, (place, kind) in pairs):
                narrow = [(i, place) for i, (place, kind) in pairs if place & kind != kind]
                found[Check(layout.region, tuple(narrow))] = None
        whole = {check.region for check in found if not check.places}
        return tuple(c for c in found if not c.places or c.region not in whole)

    def _region(self, text: str, scope: str, hint: str | None = None) -> str | None:
        """The one country or subdivision that ``text`` fits; None if none does or several do.

        A ``hint`` that it fits, or whose country it fits, decides between several.
        """
        regions = self.regions(text, scope)
        if hint is not None and hint in regions:
            return hint
        if len(regions) == 1:
            return regions[0]
        countries = {region.partition("-")[0] for region in regions}
        return countries.pop() if len(countries) == 1 else None

    def repair(
        self,
        text: str,
        scope: str,
        evidence: Sequence[Mapping[str, int]] = (),
        limit: int = 2,
    ) -> str:
        """``text`` with letters and digits that OCR confuses put where the grammar wants them.

        ``evidence`` gives for each place the weight of each character read there. The fewest
        changes win; of equals the one with the most evidence for it and the least against, so
        that the characters least certain give way. A text that fits as it is stays; so does one
        that needs more than ``limit`` changes, or for which two repairs are as good.
        """
        repairs = self._repairs(text, scope, limit)
        if not repairs:
            return text
        found: dict[str, tuple[int, int]] = {}
        for repair in repairs:
            characters, support = list(text), 0
            for place, allowed in repair:
                votes = evidence[place] if evidence else _NONE
                other = max(allowed, key=lambda other, votes=votes: votes.get(other, 0))
                support += votes.get(other, 0) - votes.get(text[place], 0)
                characters[place] = other
            found["".join(characters)] = (-len(repair), support)
        if scope == AUTO:
            found = {plate: rank for plate, rank in found.items() if self.regions(plate, scope)}
        if not found:
            return text
        highest = max(found.values())
        best = [plate for plate, rank in found.items() if rank == highest]
        return best[0] if len(best) == 1 else text

    def _all_repairs(self, text: str, scope: str, limit: int) -> tuple[Repair, ...]:
        """The ways to make ``text`` fit with at most ``limit`` changes; none if it fits."""
        if self.regions(text, scope):
            return ()
        layouts = self._mendable(text.translate(_SHAPE), scope, limit)
        found = dict.fromkeys([_repair(text, layout, limit) for layout in layouts])
        return tuple([repair for repair in found if repair])

    def _mendable_of(self, shape: str, scope: str, limit: int) -> tuple[Layout, ...]:
        """The layouts that want letters for digits or the reverse at ``limit`` places or fewer."""
        kinds = [_ALL_DIGITS if kind == "0" else _ALL_LETTERS for kind in shape]
        return tuple(
            layout
            for layout in self._of(scope).get(len(shape), ())
            if sum(not p & k for p, k in zip(layout.places, kinds, strict=True)) <= limit
        )

    def _of(self, scope: str) -> dict[int, tuple[Layout, ...]]:
        if scope not in self._by_scope:
            codes = scope.split(",")
            by_length: dict[int, list[Layout]] = {}
            for layout in self.layouts:
                if scope == AUTO or any(_within(layout, code) for code in codes):
                    by_length.setdefault(len(layout.places), []).append(layout)
            self._by_scope[scope] = {n: tuple(found) for n, found in by_length.items()}
        return self._by_scope[scope]


def _within(layout: Layout, code: str) -> bool:
    return code in (layout.region, layout.group) or layout.region.startswith(code + "-")


def _repair(text: str, layout: Layout, limit: int) -> Repair | None:
    """How ``text`` can be made to fit a layout; None if it cannot."""
    changes: list[tuple[int, str]] = []
    for index, (character, place) in enumerate(zip(text, layout.places, strict=True)):
        if _BIT[character] & place:
            continue
        allowed = "".join(o for o in CONFUSABLE.get(character, "") if _BIT[o] & place)
        if len(changes) == limit or not allowed:
            return None
        changes.append((index, allowed))
    return tuple(changes)


@cache
def grammar() -> Grammar:
    """The grammars that ship with the project, read once."""
    folder = files("rules") / "grammars"
    layouts: list[Layout] = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            layouts.extend(parse(file.read_text(encoding="utf-8"), file.name))
    return Grammar(layouts)


def parse(toml: str, name: str) -> Iterator[Layout]:
    """The layouts of one grammar file; raises GrammarError naming file, region and pattern."""
    try:
        data = tomllib.loads(toml)
        regions = cast("list[dict[str, Any]]", data["region"])
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise GrammarError(f"{name}: not a grammar file: {error}") from error
    for region in regions:
        unknown = set(region) - {"code", "letters", "layouts"}
        if unknown or not {"code", "layouts"} <= set(region):
            raise GrammarError(f"{name}: a region has code, layouts and perhaps letters: {region}")
        code, alphabet = region["code"], region.get("letters", LETTERS)
        patterns: Any = region["layouts"]
        if not (isinstance(code, str) and isinstance(alphabet, str) and isinstance(patterns, list)):
            raise GrammarError(f"{name}: code and letters are texts, layouts a list: {region}")
        if not alphabet or not set(alphabet) <= set(LETTERS):
            raise GrammarError(f"{name}: {code}: letters {alphabet!r} are not some of A to Z")
        letters = sum(_BIT[letter] for letter in set(alphabet))
        for pattern in cast("list[Any]", patterns):
            for places in _places(pattern, letters, f"{name}: {code}"):
                yield Layout(code, cast("str", data.get("group", "")), pattern, places)


def _places(pattern: Any, letters: int, where: str) -> Iterator[tuple[int, ...]]:
    tokens = _TOKEN.findall(pattern) if isinstance(pattern, str) else []
    if (
        not tokens
        or _TOKEN.sub("", pattern)
        or any(low and not int(low) <= int(high) <= 20 for _, low, high in tokens)
    ):
        raise GrammarError(f"{where}: {pattern!r} is no pattern (see rules/grammars/README.md)")
    choices: list[list[tuple[int, ...]]] = []
    for kind, low, high in tokens:
        sets = {"L": letters, "D": _ALL_DIGITS, "X": letters | _ALL_DIGITS}
        place = sets.get(kind) or _BIT[kind.upper()]
        span = range(int(low), int(high) + 1) if low else range(1, 2)
        choices.append([(place,) * count for count in span])
    for parts in product(*choices):
        yield tuple(place for part in parts for place in part)
