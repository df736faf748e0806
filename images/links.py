"""Links to pictures that are good for a while and need no key: path and end, signed."""

import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from pathlib import Path

from images.store import ImageError, write_whole

_SECRET_BYTES = 32
_TIME_BYTES = 5  # seconds since 1970 until the year 36812
_MAC_BYTES = 16  # 128 bits of HMAC-SHA256: as many as nobody guesses, in a link of half the length
_LONGEST = 2048  # characters of a token that are looked at; a path has at most 1024 bytes


class Forged(ImageError):
    """This server did not sign the token."""


class Expired(ImageError):
    """The token was good, and its time is over."""


class SignedLinks:
    """Makes tokens for addresses of pictures, and reads them back; safe for several threads."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ValueError(f"a secret for links has at least {_SECRET_BYTES} bytes")
        # For this one purpose, so that no other use of the file can sign a link.
        self._key = hmac.digest(secret, b"alpr picture links", "sha256")

    def token(self, path: str, expires_at: float) -> str:
        """Letters, digits, - and _ for a URL; ``path`` is as ``ImageStore.put`` returns it.

        ``expires_at`` are Unix seconds.
        """
        said = int(expires_at).to_bytes(_TIME_BYTES, "big") + path.encode()
        return urlsafe_b64encode(self._mac(said) + said).decode().rstrip("=")

    def path_of(self, token: str, now: float) -> str:
        """The path of a token that is good at ``now``. Raises Forged, Expired."""
        said = self._said(token)
        if int.from_bytes(said[:_TIME_BYTES], "big") <= now:
            raise Expired("this link is no longer good: ask who sent it for a new one")
        return said[_TIME_BYTES:].decode()

    def _said(self, token: str) -> bytes:
        try:
            if len(token) > _LONGEST or not token.isascii():
                raise Forged("this is no link to a picture")
            whole = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (Base64Error, ValueError):
            raise Forged("this is no link to a picture") from None
        mac, said = whole[:_MAC_BYTES], whole[_MAC_BYTES:]
        if len(said) <= _TIME_BYTES or not hmac.compare_digest(mac, self._mac(said)):
            raise Forged("this is no link to a picture")
        return said

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")[:_MAC_BYTES]


def secret_of(file: Path, lost: str = "links that were sent are then no longer good") -> bytes:
    """The secret in a file, which is made on first use, readable by its owner alone.

    Links are good as long as the file stays. ``lost`` says what is over with another secret.
    Raises ImageError.
    """
    for _ in range(2):
        try:
            secret = file.read_bytes()
        except FileNotFoundError:
            _make(file)
            continue
        except OSError as error:
            raise ImageError(f"{file} cannot be read: {error.strerror}") from error
        if len(secret) < _SECRET_BYTES:
            raise ImageError(
                f"{file} holds no secret of {_SECRET_BYTES} bytes: remove it, and another is made "
                f"({lost})"
            )
        return secret
    raise ImageError(f"{file} vanished while it was read")


def _make(file: Path) -> None:
    """Whole or not at all; where two processes make one at once, both go on with the first."""
    part = file.with_name(f"{file.name}.{secrets.token_hex(6)}.part")
    try:
        write_whole(part, secrets.token_bytes(_SECRET_BYTES))  # mkstemp's mode is 0600
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"{file} cannot be made: {error.strerror}") from error
