"""What a plate's text is: capital letters A to Z and digits, nothing else."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress

_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_ASCII = {code: chr(code).upper() if chr(code).upper() in _KEPT else None for code in range(128)}
# Letters that Unicode does not take apart, as registers write them.
_SPECIAL = {"Đ": "D", "Ø": "O", "Ł": "L", "Æ": "AE", "Œ": "OE", "Þ": "TH", "ẞ": "SS"}


def normalise(text: str) -> str:
    """The text in capitals without spaces, dashes, dots, accents or anything else.

    >>> normalise("34a-368.37"), normalise("M\\u00fc AB 12")
    ('34A36837', 'MUAB12')
    """
    if text.isascii():
        return text.translate(_ASCII)
    return "".join(_plain(character) for character in text)


def normalise_read(text: str, confidences: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The normalised text and the confidence of each of its characters, per mille.

    A read whose confidences do not match its text in number gets the least of them throughout
    (0 if there is none): a reader that is wrong about its own text is not to be trusted further.
    What is below 0 or above 1000 counts as that.
    """
    if confidences and (min(confidences) < 0 or max(confidences) > 1000):
        confidences = [min(max(confidence, 0), 1000) for confidence in confidences]
    if text.isascii() and len(confidences) == len(text):
        plain, kept = _letters(text)
        return plain, tuple(compress(confidences, kept))
    if len(confidences) != len(text):
        plain = normalise(text)
        return plain, (min(confidences, default=0),) * len(plain)
    characters: list[str] = []
    spread: list[int] = []
    for character, confidence in zip(text, confidences, strict=True):
        plain = _plain(character)
        characters.append(plain)
        spread.extend((confidence,) * len(plain))
    return "".join(characters), tuple(spread)


@lru_cache(maxsize=4096)
def _letters(text: str) -> tuple[str, tuple[bool, ...]]:
    """What is left of an ASCII text, and for each of its characters whether it is."""
    return text.translate(_ASCII), tuple([letter.upper() in _KEPT for letter in text])


def _plain(character: str) -> str:
    if character.isascii():
        return character.translate(_ASCII)
    capital = unicodedata.normalize("NFKC", character).upper()
    letters = "".join(_SPECIAL.get(letter, letter) for letter in capital)
    apart = unicodedata.normalize("NFKD", letters)
    return "".join(letter for letter in apart if letter in _KEPT)
