"""Names for plates that say nothing of them but whether two are the same: keyed hashes."""

import hmac
import re
from base64 import b32encode
from functools import lru_cache

from rules.text import normalise

MARK = "~"
"""What a pseudonym begins with, and no plate holds."""

LEAST_KEY = 32  # bytes
# 60 bits in 12 letters. Among 10 million plates the chance that any two share a pseudonym is
# n^2 / 2^61 = 1 in 23,000 (the birthday bound), among 100,000 plates 1 in 230 million.
_LETTERS = 12
_FORM = re.compile(r"~[a-z2-7]{12}")
_KEPT = 65_536  # plates whose pseudonyms are at hand; some 10 MB


class Pseudonyms:
    """Pseudonyms under one key: HMAC-SHA256 (RFC 2104) of the normalised plate, in base32.

    Without the key nobody can tell the plate, nor try which plate it could be. Safe for several
    threads. Raises ValueError for a key of less than 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < LEAST_KEY:
            raise ValueError(f"a key for pseudonyms has at least {LEAST_KEY} bytes")
        # For this one purpose, so that no other use of the file tells a pseudonym.
        self._key = hmac.digest(key, b"alpr plate pseudonyms", "sha256")
        self._of = lru_cache(_KEPT)(self._made)

    def of(self, text: str) -> str:
        """``~`` and 12 letters for a plate, written in any way; a pseudonym stays itself."""
        return text if is_pseudonym(text) else self._of(f"plate {normalise(text)}")

    def of_pattern(self, wildcards: str) -> str:
        """The same for a text with ``*`` and ``?``, which stand for themselves."""
        parts = re.split(r"([*?])", wildcards)
        text = "".join(part if part in "*?" else normalise(part) for part in parts)
        return self._of(f"pattern {text}")

    def of_words(self, text: str) -> str:
        """The same for any other text, in whatever case and spacing."""
        return self._of(f"text {' '.join(text.casefold().split())}")

    def _made(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256")
        return MARK + b32encode(digest).decode()[:_LETTERS].lower()


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _FORM.fullmatch(text) is not None


def pseudonym_of(typed: str) -> str | None:
    """The pseudonym that somebody typed, in whatever case; None where it is none."""
    text = typed.strip().lower()
    return text if is_pseudonym(text) else None
