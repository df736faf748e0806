"""Lists that are asked for again and again are told once, and then once a minute what is new."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from api.errors import ApiError
from schemas.records import AuditEntry

_EVERY_S = 60.0
_NAMED = 1_000  # plates that wait to be told; then they are told at once
_MOST = 1_000  # lists that are joined at a time; others are told each time
_TOLD = 50_000  # plates that one list remembers it has told
_AGAIN_S = 5.0  # after the log could not be written

Key = tuple[str, ...]


@dataclass(slots=True)
class _List:
    """One list of one actor: what was told of it, what waits to be, and its newest entry."""

    last: AuditEntry
    told: set[str]
    waits: set[str] = field(default_factory=set)
    failed: bool = False


class Joined:
    """Joins entries of the same actor, action, subject and reason; lives in one event loop.

    The first is written before its answer goes out. What the same list shows in the ``seconds``
    after it is one entry, written when they are over and when the server ends. While that cannot
    be written the list is not shown any more: ``write`` raises.
    """

    def __init__(
        self, write: Callable[[AuditEntry], Awaitable[None]], seconds: float = _EVERY_S
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._lists: dict[Key, _List] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def tell(self, entry: AuditEntry) -> None:
        """Return when the answer may be shown. Raises what ``write`` does."""
        key = (entry["actor"], entry["action"], entry["subject"], entry["reason"])
        known = self._lists.get(key)
        if known is None:
            await self._write(entry)
            if key not in self._lists and len(self._lists) < _MOST:
                self._lists[key] = _List(entry, set(entry["found"]))
                self._later(key, self._seconds)
            return
        fresh = set(entry["found"]) - known.told
        known.last = entry
        known.told |= fresh
        known.waits |= fresh
        if known.failed or len(known.waits) >= _NAMED or len(known.told) > _TOLD:
            await self._flush(known)

    async def end(self) -> None:
        """Write what waits. Raises what ``write`` does."""
        for one in list(self._lists.values()):
            await self._flush(one)

    async def _flush(self, one: _List) -> None:
        while one.waits:
            taken = set(sorted(one.waits)[:_NAMED])
            one.waits -= taken
            try:
                await self._write({**one.last, "found": sorted(taken)})
            except ApiError:
                one.waits |= taken
                one.failed = True
                raise
        one.failed = False
        if len(one.told) > _TOLD:
            one.told.clear()

    def _later(self, key: Key, seconds: float) -> None:
        def close() -> None:
            task = asyncio.ensure_future(self._close(key))
            self._closing.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._closing.discard)

        asyncio.get_running_loop().call_later(seconds, close)

    async def _close(self, key: Key) -> None:
        one = self._lists[key]
        try:
            await self._flush(one)
        except ApiError:  # the writer has said so in the server's log
            self._later(key, min(_AGAIN_S, self._seconds))
            return
        del self._lists[key]
