"""Patterns of plates: ``*`` is any characters, ``?`` one; and the parts that a text must hold."""

from zlib import crc32

from rules.text import normalise

GRAM = 3
"""Characters of a part: of two there are too few different ones to tell plates apart."""


def is_pattern(text: str) -> bool:
    """Whether a text holds a wildcard."""
    return "*" in text or "?" in text


def normal(text: str) -> str:
    """A pattern as plates are written: all but its wildcards normalised, of stars in a row one."""
    return squeeze("".join(c if c in "*?" else normalise(c) for c in text))


def squeeze(pattern: str) -> str:
    """The same pattern with one star for stars in a row."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern


def like(pattern: str) -> str:
    """A normal pattern for SQL's LIKE: none of its characters needs to be escaped."""
    return pattern.replace("*", "%").replace("?", "_")


def follows(wildcard: str, text: str) -> bool:
    """Whether a text is what a pattern with ``*`` and ``?`` says, as a whole.

    >>> follows("AB?12*", "ABX12"), follows("AB?12*", "AB12"), follows("*7", "77")
    (True, False, True)
    """
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


def kept_grams(text: str) -> list[int]:
    """Hashes of every part of a text, its ends marked; ascending, each once."""
    return _grams([f"^{text}$"])


def wanted_grams(pattern: str) -> list[int]:
    """Hashes of the parts that every text has that follows a pattern; may be none."""
    return _grams(f"^{pattern}$".replace("?", "*").split("*"))


def _grams(texts: list[str]) -> list[int]:
    found = {text[start : start + GRAM] for text in texts for start in range(len(text) - GRAM + 1)}
    return sorted(crc32(gram.encode("utf-8", "surrogatepass")) - (1 << 31) for gram in found)


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
