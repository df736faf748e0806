"""Which of many short texts are nearly one text, without comparing with all of them."""

from collections.abc import Iterable
from functools import lru_cache

from rapidfuzz.distance import Indel


class Nearby:
    """Texts by key, to be found by others that are at most two insertions or deletions away.

    Two texts of equal length are so near if they are the same but for one character each; texts
    of which one is a character longer, if that leaves the other when one is left out. So each
    text is filed under itself and under what is left of it without each of its characters (the
    idea of Garbe's symmetric delete, https://github.com/wolfgarbe/SymSpell).
    """

    __slots__ = ("_filed", "_lengths", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._filed: dict[str, list[str]] = {}
        self._lengths: dict[int, int] = {}

    def put(self, key: str, text: str) -> None:
        """File a text, in place of what the key stood for."""
        known = self._texts.get(key)
        if known == text:
            return
        if known is not None:
            self.drop(key)
        self._texts[key] = text
        self._lengths[len(text)] = self._lengths.get(len(text), 0) + 1
        for variant in _variants(text):
            keys = self._filed.get(variant)
            if keys is None:
                self._filed[variant] = [key]
            else:
                keys.append(key)

    def drop(self, key: str) -> None:
        """Forget a key."""
        text = self._texts.pop(key)
        self._lengths[len(text)] -= 1
        for variant in _variants(text):
            keys = self._filed[variant]
            if len(keys) == 1:
                del self._filed[variant]
            else:
                keys.remove(key)

    def near(self, text: str) -> list[str]:
        """The keys of all texts at a distance of at most 2, in no order."""
        found: list[str] = []
        filed, length = self._filed, len(text)
        for variant in _variants(text):
            keys = filed.get(variant)
            if keys is not None:
                found += keys
        if len(found) > 1:
            found = list(dict.fromkeys(found))
        if self._lengths.get(length - 2) or self._lengths.get(length + 2):
            found += self._within(text, 2, (length - 2, length + 2))
        return found

    def within(self, text: str, distance: int) -> list[str]:
        """The keys of all texts at a distance of at most ``distance``, compared one by one."""
        return self._within(text, distance, range(len(text) - distance, len(text) + distance + 1))

    def _within(self, text: str, distance: int, lengths: Iterable[int]) -> list[str]:
        return [
            key
            for key, other in self._texts.items()
            if len(other) in lengths
            and Indel.distance(text, other, score_cutoff=distance) <= distance
        ]


@lru_cache(maxsize=16_384)
def _variants(text: str) -> tuple[str, ...]:
    shorter = [text[:place] + text[place + 1 :] for place in range(len(text))]
    return tuple(dict.fromkeys([text, *shorter]))
