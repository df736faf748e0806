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

from api.errors import ApiError, Forbidden, TooMany, Unauthorised
from api.visitor import Visitor, enter
from projections.access import AccessKeys, Key, Role
from projections.errors import ViewError

_log = logging.getLogger(__name__)

COOKIE = "alpr_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Trust:
    """How long an answer of the database is believed, and what wrong keys cost; seconds."""

    fresh: float = 2.0  # so soon a revoked key stops
    stream: float = 5.0  # how often a stream's key is looked at again
    wrong: float = 60.0  # a wrong key never becomes right, so it is not asked about again
    remembered: int = 4096  # keys, wrong keys and addresses, each
    failures: int = 20  # different wrong keys of one address within ``wrong`` seconds


class Guard:
    """Lets a request through if its key's role covers what its route needs.

    Without ``keys`` everybody is let through, which only a listener on loopback may do; that a
    page of elsewhere cannot change anything holds there too. ``needed`` is roles.NEEDED.
    Lives in one event loop.
    """

    def __init__(
        self,
        keys: AccessKeys | None,
        needed: Mapping[str, Role | None],
        trust: Trust = Trust(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._needed = needed
        self._trust = trust
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Key]] = OrderedDict()
        self._wrong: OrderedDict[bytes, float] = OrderedDict()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

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
        if self._keys is None or needed is None:
            return
        if header is None and not cookie:
            raise Unauthorised(
                "a key is needed: give it as `Authorization: Bearer alpr_…`, or log in at /login"
            )
        address = address_of(request)
        found = await self._find(header, cookie or "", address)
        if found is None:
            raise Unauthorised(
                "the key is unknown, expired or revoked: ask an administrator for another"
                if header
                else "your session is over: log in again at /login",
                "invalid_token" if header else "",
            )
        enter(Visitor(found.key_id, found.name, found.role))
        if not found.role.covers(needed):
            raise Forbidden(
                f"the key {found.key_id} has the role {found.role.value}, and {needed.value} is "
                "needed: ask an administrator for another key"
            )

        async def until() -> None:
            while True:
                await asyncio.sleep(self._trust.stream)
                try:
                    if await self._find(header, cookie or "", address) is None:
                        return
                except (ViewError, ApiError):
                    return

        request.state.until = until

    async def attempt(self, text: str, address: str) -> Key | None:
        """The active key of a text that somebody typed. Raises TooMany, ViewError."""
        return await self._find(text, "", address)

    def hold_off(self, address: str) -> None:
        """Raise TooMany where an address has given too many wrong keys."""
        began, count = self._failures.get(address, (0.0, 0))
        left = began + self._trust.wrong - self._clock()
        if count >= self._trust.failures and left > 0:
            raise TooMany(
                "too many wrong keys came from your address: try again in a minute",
                {"retry-after": str(int(left) + 1)},
            )

    def failed(self, address: str) -> None:
        """Note a wrong key of an address."""
        began, count = self._failures.pop(address, (self._clock(), 0))
        if began + self._trust.wrong <= self._clock():
            began, count = self._clock(), 0
        if count == 0:
            _log.warning("a wrong key came from %s", address)
        self._failures[address] = (began, count + 1)
        _bound(self._failures, self._trust.remembered)

    def forget(self, token: str) -> None:
        """Ask about a session again, which has ended."""
        self._known.pop(_digest(None, token), None)

    async def _find(self, header: str | None, cookie: str, address: str) -> Key | None:
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
        # Since the question, not the answer: what was revoked in between is noticed as soon.
        self._known[digest] = (now + self._trust.fresh, found)
        self._known.move_to_end(digest)
        _bound(self._known, self._trust.remembered)
        return found


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

    Browsers say so by Sec-Fetch-Site, to https and localhost, or by Origin. Who says neither is a
    program; one that has a cookie is a browser too old to be trusted with it.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    return cookie is not None


def _digest(header: str | None, cookie: str) -> bytes:
    kind, text = ("session", cookie) if header is None else ("key", header)
    return hashlib.sha256(f"{kind} {text}".encode()).digest()


def _bound(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
