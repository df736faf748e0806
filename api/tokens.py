"""JSON web tokens: whose word on who asks is taken, and what their claims allow."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from projections.role import Role
from projections.users import User

LIFE_S = 900
"""Seconds that a token of ``POST /token`` is good for."""

LEAST_SECRET = 32  # bytes: as long as HS256's output (RFC 7518, 3.2)
_LEAST_RSA = 2048  # bits (RFC 7518, 3.3)
_LEEWAY_S = 10  # of clocks that differ
_USER = "alpr_user"  # the claim of our own tokens: the generation of the user that they stand for


class TokenError(Exception):
    """A token is not accepted, or a key cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says of who holds it; ``generation`` of a user of ours, None for others'."""

    subject: str
    role: Role
    cameras: frozenset[str] | None
    clear: bool
    generation: int | None = None


class Tokens:
    """Checks tokens by keys that are each good for one algorithm, and issues its own.

    ``secret`` is for HS256, ``public`` (a PEM, or a JWKS's JSON) for RS256; a token's own word on
    its algorithm only chooses among the keys of that algorithm. Raises TokenError for keys that
    cannot be used.
    """

    def __init__(
        self,
        secret: bytes = b"",
        public: str = "",
        audience: str = "",
        issuer: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if secret and len(secret) < LEAST_SECRET:
            raise TokenError(f"the secret has {len(secret)} bytes: give {LEAST_SECRET} or more")
        self._secret = secret
        self._keys: dict[str, list[tuple[str | None, Any]]] = {
            "HS256": [(None, secret)] if secret else [],
            "RS256": list(_public_keys(public)) if public.strip() else [],
        }
        self._audience = audience
        self._issuer = issuer
        self._clock = clock

    @property
    def issues(self) -> bool:
        """Whether there is a secret to sign tokens with."""
        return bool(self._secret)

    def issue(self, user: User) -> str:
        """A token of LIFE_S that stands for a user as they are when it is used."""
        now = int(self._clock())
        claims: dict[str, Any] = {
            "sub": user.name,
            "role": user.role.value,
            "iat": now,
            "exp": now + LIFE_S,
            _USER: user.generation,
        }
        if self._audience:
            claims["aud"] = self._audience
        if self._issuer:
            claims["iss"] = self._issuer
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def read(self, token: str) -> Claims:
        """What a good token says. Raises TokenError."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise TokenError("it cannot be read") from None
        algorithm = header.get("alg")
        keys = self._keys.get(algorithm, []) if isinstance(algorithm, str) else []
        wanted = header.get("kid")
        keys = [(name, key) for name, key in keys if None in (name, wanted) or name == wanted]
        if not keys:
            raise TokenError(f"no key is set for its algorithm {str(algorithm)[:20]!r}, or its kid")
        error = "its signature is not right"
        for _, key in keys:
            try:
                return _claims(self._decoded(token, key, str(algorithm)))
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError as refused:
                error = f"{refused}"
                break
        raise TokenError(error)

    def _decoded(self, token: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience or None,
            issuer=self._issuer or None,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "sub"]},
        )


def is_token(text: str) -> bool:
    """Whether a text has the form of a token and not of a key."""
    return text.startswith("ey") and text.count(".") == 2


def _claims(given: Mapping[str, Any]) -> Claims:
    subject, role, cameras = given["sub"], given.get("role"), given.get("cameras")
    generation = given.get(_USER)
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200 or not subject.isprintable():
        raise TokenError("its sub is no name")
    if role not in [one.value for one in Role]:  # which may be of any kind
        raise TokenError(f"its role is none of {', '.join(one.value for one in Role)}")
    named = isinstance(cameras, list) and all(isinstance(one, str) for one in cameras)
    if cameras is not None and not named:
        raise TokenError("its cameras are no list of texts")
    clear = given.get("clear", Role(role).sees_plates)
    if not isinstance(clear, bool):
        raise TokenError("its clear is neither true nor false")
    if generation is not None and type(generation) is not int:  # true is an int, too
        raise TokenError(f"its {_USER} is no number")
    granted = None if cameras is None else frozenset(cameras)
    return Claims(subject, Role(role), granted, clear, generation)


def _public_keys(text: str) -> Iterable[tuple[str | None, RSAPublicKey]]:
    """Keys with their ids. A JWKS may hold others than RSA's for signatures: those are left out."""
    if not text.lstrip().startswith("{"):
        try:
            key = load_pem_public_key(text.encode())
        except ValueError:
            raise TokenError(
                "this is no public key: give a PEM that begins -----BEGIN PUBLIC KEY-----, or a "
                "JWKS"
            ) from None
        yield None, _strong(key)
        return
    try:
        listed = json.loads(text)["keys"]
        chosen = [
            one
            for one in listed
            if one.get("kty") == "RSA"
            and one.get("use", "sig") == "sig"
            and one.get("alg", "RS256") == "RS256"
        ]
        found = [(one.get("kid"), jwt.PyJWK(one, "RS256").key) for one in chosen]
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
        raise TokenError('this is no JWKS: give {"keys": [{"kty": "RSA", …}]}') from None
    if not found:
        raise TokenError("this JWKS holds no RSA key for RS256")
    for name, key in found:
        yield name, _strong(key)


def _strong(key: Any) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey):
        raise TokenError("this is no RSA public key, and RS256 needs one")
    if key.key_size < _LEAST_RSA:
        raise TokenError(f"this key has {key.key_size} bits: take one of {_LEAST_RSA} or more")
    return key
