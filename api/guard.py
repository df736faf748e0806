"""Who asks, and whether they may: before any route looks at its request."""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from api.attempts import Failures
from api.errors import ApiError, Forbidden, OneTimePassword, Unauthorised
from api.limits import Limits
from api.roles import TO_CHANGE_A_PASSWORD, UNCOUNTED
from api.tokens import Claims, TokenError, Tokens, is_token
from api.visitor import Visitor, enter
from projections.access import AccessKeys, Key, Role
from projections.errors import ViewError
from projections.users import User

_log = logging.getLogger(__name__)

COOKIE = "alpr_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Trust:
    """How long an answer of the database is believed, and what wrong keys cost; seconds."""

    fresh: float = 2.0  # so soon a revoked key stops
    stream: float = 5.0  # how often a stream's key is looked at again
    wrong: float = 60.0  # a wrong key never becomes right, so it is not asked about again
    remembered: int = 4096  # keys and wrong keys, each
    failures: int = 20  # different wrong keys, or passwords, of one address in ``wrong`` seconds
    names: int = 10  # wrong passwords for one name, from wherever, in ``wrong`` seconds


class Guard:
    """Lets a request through if its key's role covers what its route needs.

    Without ``keys`` everybody is let through, which only a listener on loopback may do; that a
    page of elsewhere cannot change anything holds there too. ``needed`` is roles.NEEDED.
    ``tokens`` are those whose word is taken, ``rate`` the requests a second that one key, user or
    address may send (0: as many as they like). Lives in one event loop.
    """

    def __init__(  # noqa: PLR0917 (who is trusted, by what)
        self,
        keys: AccessKeys | None,
        needed: Mapping[str, Role | None],
        trust: Trust = Trust(),
        tokens: Tokens | None = None,
        rate: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._needed = needed
        self._trust = trust
        self._tokens = tokens
        self._limits = Limits(rate, clock)
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Key | User]] = OrderedDict()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()
        told = "too many wrong {} came {}: try again in a minute"
        self.addresses = Failures(
            trust.failures, trust.wrong, told.format("keys", "from your address"), clock
        )
        self.names = Failures(
            trust.names, trust.wrong, told.format("passwords", "for this name"), clock
        )

    async def __call__(self, request: Request) -> None:
        """Return, or raise Unauthorised, Forbidden, TooMany or ViewError."""
        header = key_of(request)
        cookie = None if header else request.cookies.get(COOKIE)
        if request.method not in _SAFE and header is None and _foreign(request, cookie):
            raise Forbidden(
                "this was sent by a page of another address: use the pages of this server, or "
                "give a key in the header Authorization"
            )
        name = f"{request.method} {getattr(request.scope.get('route'), 'path', None)}"
        if name not in self._needed:
            _log.error("%s declares no role in api.roles and is refused", name)
            raise Forbidden("nobody may use this address: it says of no role that it is enough")
        needed = self._needed[name]
        if self._keys is None:
            return
        address = address_of(request)
        if needed is None:
            self._count(request, name, f"address {address}")
            return
        if header is None and not cookie:
            self._count(request, name, f"address {address}")
            raise Unauthorised(
                "a key is needed: give it as `Authorization: Bearer alpr_…`, or log in at /login"
            )
        found = await self._visitor(header, cookie or "", address)
        if found is None:
            self._count(request, name, f"address {address}")
            raise Unauthorised(
                "the key is unknown, expired or revoked: ask an administrator for another"
                if header
                else "your session is over: log in again at /login",
                "invalid_token" if header else "",
            )
        who, must_change = found
        enter(who)
        self._count(request, name, who.actor)
        if must_change and name not in TO_CHANGE_A_PASSWORD:
            raise OneTimePassword(
                "this password was for one login: set your own at /password, then go on"
            )
        if not who.role.covers(needed):
            raise Forbidden(
                f"{_named(who)} has the role {who.role.value}, and {needed.value} is "
                "needed: ask an administrator for more"
            )

        async def until() -> None:
            while True:
                await asyncio.sleep(self._trust.stream)
                try:
                    # Whose role or cameras are others now begins anew, with those.
                    if await self._visitor(header, cookie or "", address) != found:
                        return
                except (ViewError, ApiError):
                    return

        request.state.until = until

    async def attempt(self, text: str, address: str) -> Key | None:
        """The active key of a text that somebody typed. Raises TooMany, ViewError."""
        found = await self._find(text, "", address)
        return found if isinstance(found, Key) else None

    def hold_off(self, address: str) -> None:
        """Raise TooMany where an address has given too many wrong keys."""
        self.addresses.hold_off(address)

    def failed(self, address: str) -> None:
        """Note a wrong key of an address."""
        if self.addresses.failed(address):
            _log.warning("a wrong key came from %s", address)

    def forget(self, token: str) -> None:
        """Ask about a session again, which has ended."""
        self._known.pop(_digest(None, token), None)

    def _count(self, request: Request, name: str, who: str) -> None:
        if name not in UNCOUNTED:
            request.state.headers = self._limits.take(who)

    async def _visitor(
        self, header: str | None, cookie: str, address: str
    ) -> tuple[Visitor, bool] | None:
        """Who asks, and whether they have to change their password first."""
        if header is not None and self._tokens is not None and is_token(header):
            try:
                claims = self._tokens.read(header)
            except TokenError as error:
                raise Unauthorised(f"the token is not accepted: {error}", "invalid_token") from None
            if claims.generation is None:
                return _holder(claims), False
            found = await self._standing(claims, claims.generation)
        else:
            found = await self._find(header, cookie, address)
        if found is None:
            return None
        who = Visitor(found.actor, found.name, found.role, found.cameras, found.clear)
        return who, isinstance(found, User) and found.must_change

    async def _standing(self, claims: Claims, generation: int) -> User | None:
        """The user of a token of ours, as they are now; None where it was made void."""
        assert self._keys is not None
        digest = _digest(None, f"user {generation} {claims.subject}")
        now = self._clock()
        until, known = self._known.get(digest, (0.0, None))
        if isinstance(known, User) and now < until:
            return known
        found = await asyncio.to_thread(self._keys.users.active, claims.subject, generation)
        if found is not None:
            self._remember(digest, now, found)
        return found

    async def _find(self, header: str | None, cookie: str, address: str) -> Key | User | None:
        assert self._keys is not None
        digest = _digest(header, cookie)
        now = self._clock()
        # One that was right before is never held off: who sits behind the same proxy as somebody
        # with a wrong key goes on working.
        until, key = self._known.get(digest, (0.0, None))
        if key is not None and now < until:
            return key
        if self._wrong.get(digest, 0.0) > now:
            return None
        if key is None:
            self.hold_off(address)
        if header is None:
            found = await asyncio.to_thread(self._keys.by_session, cookie)
        else:
            found = await asyncio.to_thread(self._keys.by_key, header)
        if found is None:
            self._wrong[digest] = now + self._trust.wrong
            _bound(self._wrong, self._trust.remembered)
            if self._known.pop(digest, None) is None:
                self.failed(address)
            return None
        self._remember(digest, now, found)
        return found

    def _remember(self, digest: bytes, asked: float, found: Key | User) -> None:
        # Since the question, not the answer: what was revoked in between is noticed as soon.
        self._known[digest] = (asked + self._trust.fresh, found)
        self._known.move_to_end(digest)
        _bound(self._known, self._trust.remembered)


def key_of(request: Request) -> str | None:
    """The key in the headers of a request; a scheme other than Bearer is a proxy's affair."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip() or None
    return request.headers.get("x-api-key") or None


def address_of(request: Request) -> str:
    """Who is counted as one: an IPv4 address, or the /64 that one customer has of IPv6."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return host


def _foreign(request: Request, cookie: str | None) -> bool:
    """Whether a page of elsewhere sent this (cross-site request forgery).

    Browsers say so by Sec-Fetch-Site (all since 2023, to https and localhost), by Origin (with
    every POST since 2020), older ones by Referer. Who says nothing is a program; one that has a
    cookie, or asks for a page, is a browser too old to be trusted with it.
    """
    given = request.headers
    if (site := given.get("sec-fetch-site")) is not None:
        return site != "same-origin"
    for header in ("origin", "referer"):
        if (sent := given.get(header)) is not None:
            return urlsplit(sent).netloc.lower() != given.get("host", "").lower()
    return cookie is not None or "text/html" in given.get("accept", "")


def _holder(claims: Claims) -> Visitor:
    """Who a token of somebody else's stands for; neither a key's id nor a user begins so."""
    return Visitor(
        f"jwt:{claims.subject}", claims.subject, claims.role, claims.cameras, claims.clear
    )


def _named(who: Visitor) -> str:
    kind = "" if ":" in who.actor else "the key "
    return f"{kind}{who.actor}"


def _digest(header: str | None, cookie: str) -> bytes:
    kind, text = ("session", cookie) if header is None else ("key", header)
    return hashlib.sha256(f"{kind} {text}".encode()).digest()


def _bound(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
