"""Which of many texts are like another: by what is left when one character is left out."""

from typing import Generic, NamedTuple, TypeVar

from rules.similarity import fold, similarity, similarity_of_folded

T = TypeVar("T")
_GAP, _TWO = 10, 20
"""Tenths that one insertion or deletion costs, and the next dearer change, as ``similarity``."""


class _One(NamedTuple, Generic[T]):
    text: str
    least: float
    item: T


_Group = list[_One[T]]
"""Texts that are equal once confusable characters are folded."""


class Likeness(Generic[T]):
    """Texts with items, each with the least likeness (``rules.similarity``) that it asks for.

    A text that can differ by one insertion or deletion at most is found by its folded text and by
    that without any one character, which finds each single gap on either side (the symmetric
    delete of Garbe's SymSpell, 2012). One that may differ by more (12 characters and longer at
    0.85) is compared with each text of near length.
    """

    def __init__(self) -> None:
        self._folded: dict[str, _Group[T]] = {}
        self._shortened: dict[str, _Group[T] | tuple[_Group[T], ...]] = {}
        self._heads: set[str] = set()
        self._tails: set[str] = set()
        self._loose: dict[int, list[_One[T]]] = {}
        self._least = 1.0
        self._slack = 0.0
        """Tenths that a text may differ by for each of its characters, rather too many."""

    def __bool__(self) -> bool:
        return bool(self._folded or self._loose)

    def add(self, text: str, least: float, item: T) -> None:
        """Take an item under a normalised text."""
        one = _One(text, least, item)
        self._least = min(self._least, least)
        self._slack = 10 * (1.0 - self._least) + 1e-6
        length = len(text)
        if _budget(length, least) >= _TWO or _budget(length + 2, least) >= _TWO:
            self._loose.setdefault(length, []).append(one)
            return
        key = fold(text)
        group = self._folded.get(key)
        if group is None:
            group = self._folded[key] = []
            self._heads.add(key[: length // 2])
            self._tails.add(key[length // 2 :])
        group.append(one)
        # Again for a group that is known: the one before may ask for more likeness than a gap.
        if _budget(length, least) >= _GAP:
            for shorter in _shorter(key):
                known = self._shortened.get(shorter)
                if known is None:
                    self._shortened[shorter] = group
                elif isinstance(known, list):
                    if known is not group:
                        self._shortened[shorter] = (known, group)
                elif not any(other is group for other in known):
                    self._shortened[shorter] = (*known, group)

    def near(self, text: str) -> list[tuple[T, float]]:
        """The items whose text is at least as like ``text`` as they ask, with the likeness."""
        found: list[tuple[T, float]] = []
        if not text:
            return found
        for group in self._groups(fold(text), len(text)):
            for one in group:
                likeness = similarity(one.text, text)
                if likeness >= one.least:
                    found.append((one.item, likeness))
        for length, ones in self._loose.items():
            longest = max(length, len(text))
            if abs(length - len(text)) * _GAP <= _budget(longest, self._least):
                found += [
                    (one.item, likeness)
                    for one in ones
                    if (likeness := _like(one, text)) is not None
                ]
        return found

    def _groups(self, key: str, length: int) -> list[_Group[T]]:
        """The texts that are one gap away at most, once folded."""
        folded = self._folded
        groups = [folded[key]] if key in folded else []
        longer = self._shortened.get(key)
        if longer is not None:
            groups += [longer] if isinstance(longer, list) else longer
        if length * self._slack >= _GAP:
            # What follows the gap, or what comes before it, is one half at least of the shorter.
            half = (length - 1) // 2
            start = 0 if key[half + 1 :] in self._tails else half
            stop = length if key[:half] in self._heads else half
            before = ""
            for place in range(start, stop):
                shorter = key[:place] + key[place + 1 :]
                # One of two equal neighbours left out is the other left out.
                if shorter in folded and shorter != before:
                    groups.append(folded[shorter])
                    before = shorter
        return groups


def _like(one: _One[T], text: str) -> float | None:
    if one.least <= 0:  # where 0.0 stands for "less than asked" it would be enough
        likeness = similarity(one.text, text)
    else:
        likeness = similarity_of_folded(one.text, fold(one.text), text, fold(text), one.least)
    return likeness if likeness >= one.least else None


def _budget(longest: int, least: float) -> int:
    """Tenths that two texts may differ by, the longer being so long; never too few."""
    return int((1.0 - least) * longest * 10 + 1e-6)


def _shorter(text: str) -> set[str]:
    return {text[:place] + text[place + 1 :] for place in range(len(text))}
