"""Passwords: hashed with Argon2id, and what makes one too weak."""

import base64
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST, MOST = 12, 200  # characters
# OWASP's Password Storage Cheat Sheet (2023 on): Argon2id, 19 MiB, two passes, one lane.
_PASSES, _KIB, _LANES = 2, 19_456, 1


class Passwords:
    """Hashes and checks; any number of threads may share it. One check takes 19 MiB and 20 ms."""

    def __init__(self, passes: int = _PASSES, kib: int = _KIB) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=kib, parallelism=_LANES)
        self._nobody = ""

    def hash(self, text: str) -> str:
        """The hash to keep, with its salt and parameters."""
        return self._hasher.hash(_plain(text))

    def matches(self, hashed: str | None, text: str) -> bool:
        """Whether this is the password; None, for an unknown user, takes as long to say no."""
        if hashed is None:
            self._nobody = self._nobody or self.hash(secrets.token_hex())
        try:
            self._hasher.verify(hashed or self._nobody, _plain(text))
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    def outdated(self, hashed: str) -> bool:
        """Whether it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)


def weakness(text: str, name: str) -> str | None:
    """Why this cannot be a user's password, with the cure; None where it can."""
    plain = _plain(text)
    if not LEAST <= len(plain) <= MOST:
        return f"a password has {LEAST} to {MOST} characters, such as four words with spaces"
    if len(set(plain.lower())) < 5:
        return "the password repeats a few characters: take one with more of them"
    if len(name) > 3 and plain.lower().replace(name.lower(), "").strip(" .-_0123456789") == "":
        return "the password is the name and little else: take another"
    return None


def one_time() -> str:
    """100 random bits in four groups of letters and digits, to be read out or copied."""
    letters = base64.b32encode(secrets.token_bytes(13)).decode().lower()
    return "-".join(letters[at : at + 5] for at in range(0, 20, 5))


def _plain(text: str) -> str:
    """The same text for the same keys, whatever keyboard composed them (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", text)
