"""What a plate's text is: capital letters A to Z and digits, nothing else."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

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
    plain, sources = _letters(text)
    if len(confidences) != len(text):
        return plain, (min(confidences, default=0),) * len(plain)
    if sources is None:
        return plain, tuple(confidences)
    return plain, tuple([confidences[source] for source in sources])


@lru_cache(maxsize=16_384)
def _letters(text: str) -> tuple[str, tuple[int, ...] | None]:
    """The normalised text, and for each of its characters the place of the one it comes from.

    None instead of the places where nothing was left out or taken apart.
    """
    if text.isascii():
        plain = text.translate(_ASCII)
        if len(plain) == len(text):
            return plain, None
    parts = [_plain(character) for character in text]
    plain = "".join(parts)
    if all(len(part) == 1 for part in parts):
        return plain, None
    return plain, tuple([place for place, part in enumerate(parts) for _ in part])


def _plain(character: str) -> str:
    if character.isascii():
        capital = character.upper()
        return capital if capital in _KEPT else ""
    capital = unicodedata.normalize("NFKC", character).upper()
    letters = "".join(_SPECIAL.get(letter, letter) for letter in capital)
    apart = unicodedata.normalize("NFKD", letters)
    return "".join(letter for letter in apart if letter in _KEPT)
