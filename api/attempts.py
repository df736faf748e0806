"""What guessing costs: failures counted by who makes them, passwords checked a few at a time."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from api.errors import TooMany
from projections.passwords import Passwords
from projections.users import User, Users, name_of

_log = logging.getLogger(__name__)
T = TypeVar("T")

# Each check takes 19 MiB and 20 ms of a core: a flood of logins is to cost no more than these.
_AT_ONCE = 2
_WAITING = 32
_REMEMBERED = 4096


class Failures:
    """Who failed too often within ``seconds`` is held off until they are over; bounded."""

    def __init__(
        self, most: int, seconds: float, told: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._told = told
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def hold_off(self, who: str) -> None:
        """Raise TooMany where somebody failed too often."""
        began, count = self._counts.get(who, (0.0, 0))
        left = began + self._seconds - self._clock()
        if count >= self._most and left > 0:
            raise TooMany(self._told, {"retry-after": str(int(left) + 1)})

    def failed(self, who: str) -> bool:
        """Note a failure; whether it is the first in a while."""
        began, count = self._counts.pop(who, (self._clock(), 0))
        if began + self._seconds <= self._clock():
            began, count = self._clock(), 0
        self._counts[who] = (began, count + 1)
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count == 0

    def forgive(self, who: str) -> None:
        """Count from none again."""
        self._counts.pop(who, None)


class Logins:
    """Names and passwords, checked in a time that does not tell which of the two was wrong.

    ``addresses`` counts failures by address, as wrong keys are; besides they count by name, so
    that many addresses cannot guess together. Who logged in from an address before is not held
    off there by what others do with the name. Sessions are never touched. Lives in one event loop.
    """

    def __init__(
        self, users: Users, passwords: Passwords, addresses: Failures, names: Failures
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._addresses = addresses
        self._names = names
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def user(self, given: str, password: str, address: str) -> User | None:
        """Who this is; None where name or password are wrong. Raises TooMany, ViewError."""
        name = name_of(given) or ""
        self._addresses.hold_off(address)
        if (name, address) not in self._known:
            self._names.hold_off(name)
        found = await self._check(name, password)
        if found is None:
            self._names.failed(name)
            if self._addresses.failed(address):
                _log.warning("a wrong password came from %s", address)
            return None
        self._names.forgive(name)
        self._known[name, address] = None
        self._known.move_to_end((name, address))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def hash(self, password: str) -> str:
        """The hash of a new password, in its turn. Raises TooMany."""
        return await self._in_turn(self._passwords.hash, password)

    async def _check(self, name: str, password: str) -> User | None:
        found = await asyncio.to_thread(self._users.credentials, name)
        user, hashed = found or (None, None)
        if not await self._in_turn(self._passwords.matches, hashed, password):
            return None
        assert user is not None
        assert hashed is not None
        if self._passwords.outdated(hashed):
            after = await self._in_turn(self._passwords.hash, password)
            await asyncio.to_thread(self._users.rehash, user.name, hashed, after)
        return user

    async def _in_turn(self, work: Callable[..., T], *given: Any) -> T:
        if self._waiting >= _WAITING:
            raise TooMany("too many log in at this moment: try again", {"retry-after": "2"})
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *given)
        finally:
            self._waiting -= 1
