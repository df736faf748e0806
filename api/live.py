"""Changes of the view to many listeners as server-sent events, from one poll of the database.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eventlog.tracing import tracing
from projections import veil
from projections.errors import ViewError
from projections.grant import granted, granting
from projections.queries import Changes, Row
from projections.wanted import Wanted

if TYPE_CHECKING:
    from eventlog.traces import Traces

_log = logging.getLogger(__name__)

# A change as one server-sent event: event and data lines, without id and closing line.
Render = Callable[[Row], bytes]

# Which rows may be told to who sees some cameras alone; asked in a thread.
Among = Callable[[Sequence[Row], frozenset[str]], Sequence[Row]]

HEARTBEAT = b": still here\n\n"


class ChangeSource(Protocol):
    """What the feed asks of projections.queries.SightingQueries."""

    def latest_change(self) -> int:
        """The cursor of now."""
        ...

    def changes_since(self, cursor: int, limit: int = 100) -> Changes:
        """What changed after a cursor."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the database is asked and what a listener may cost; times in seconds."""

    poll: float = 0.25
    heartbeat: float = 15.0
    stall: float = 20.0  # a listener whose connection takes nothing for so long is let go
    page: int = 500  # changes read at once
    queue: int = 64  # pages that may wait for one listener; all listeners share their rows


@dataclass(frozen=True, slots=True)
class _Form:
    """What a listener is told of a row: how, of which cameras, and plates by which name."""

    render: Render
    cameras: frozenset[str] | None
    name: veil.Name | None
    wanted: Wanted | None = None

    def event(self, row: Row) -> bytes:
        """One event."""
        told = row if self.name is None else veil.veiled(row, self.name)
        return b"id: %d\n%b\n" % (row["change"], self.render(told))

    def made(self, rows: Sequence[Row]) -> "_Made":
        """The events of the rows that are wanted, of those that may be told."""
        if self.wanted is not None:
            rows = [row for row in rows if self.wanted.takes(row)]
        events = [(row["change"], self.event(row)) for row in rows]
        return _Made(events, b"".join(event for _, event in events))


@dataclass(frozen=True, slots=True)
class _Made:
    """The events of a page in one form, each with its change, and all of them in one."""

    events: Sequence[tuple[int, bytes]]
    whole: bytes

    def after(self, cursor: int) -> bytes:
        """The events of the changes after a cursor."""
        if not self.events or cursor < self.events[0][0]:
            return self.whole
        return b"".join(event for change, event in self.events if change > cursor)


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """Some changes; each form of each is made once, however many listen."""

    rows: Sequence[Row]
    made: dict[_Form, "asyncio.Future[_Made]"] = field(default_factory=dict)


def event(kind: str, data: bytes) -> bytes:
    """The lines of one event; ``data`` is a single line, such as JSON."""
    return b"event: %b\ndata: %b\n" % (kind.encode(), data)


class LiveFeed:
    """One poll of the view, shared by every listener; nothing is asked while nobody listens.

    A listener that does not keep up is let go, and all are when the view cannot be read: they
    come back with the id of the last event they had and are told what changed since. Lives in
    one event loop. All rows are read once, as they stand; what each listener may be told of them,
    as the context says in which it begins to listen, is taken from those: ``among`` says which
    rows of some cameras, by default those that name one of them.
    """

    def __init__(
        self, source: ChangeSource, pace: Pace = Pace(), among: Among | None = None
    ) -> None:
        self._source = source
        self._among = among or _of_cameras
        self.pace = pace
        self._queues: set[asyncio.Queue[_Page | None]] = set()
        self._joining = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        self._cursor = 0
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._queues)

    def close(self) -> None:
        """Let everyone go, now and from now on."""
        self._closed = True
        self._release_all()
        if self._polling is not None:
            self._polling.cancel()

    async def listen(
        self, since: int | None, render: Render, wanted: Wanted | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Events after the cursor ``since`` (None: from now), until the listener is let go.

        ``reset`` says that ``since`` is unknown or too old: what the listener knows is stale.
        Raises ViewError when the view cannot be read.
        """
        # Joined first and caught up afterwards; what comes both ways is known by its number.
        queue, cursor = await self._join()
        form = _Form(render, granted(), veil.veil(), wanted)
        try:
            yield b"retry: 2000\n\n"
            if since is not None and since != cursor:
                joined, cursor = cursor, since
                if since > joined and since > await asyncio.to_thread(self._source.latest_change):
                    cursor = joined
                    yield _reset(cursor)
                while cursor < joined:
                    found = await self._read(cursor)
                    if not found.complete:
                        cursor = joined
                        yield _reset(cursor)
                    elif found.rows:
                        yield await self._events(_Page(found.rows), form, cursor)
                        cursor = found.cursor
                    else:
                        break
            while True:
                try:
                    async with asyncio.timeout(self.pace.heartbeat):  # wait_for makes a task
                        page = await queue.get()
                except TimeoutError:
                    yield HEARTBEAT
                    continue
                if page is None:
                    return
                if events := await self._events(page, form, cursor):
                    yield events
        finally:
            self._queues.discard(queue)

    async def _join(self) -> tuple[asyncio.Queue[_Page | None], int]:
        queue: asyncio.Queue[_Page | None] = asyncio.Queue(self.pace.queue)
        async with self._joining:
            if self._polling is None and not self._closed:
                self._cursor = await asyncio.to_thread(self._source.latest_change)
                self._polling = asyncio.create_task(self._poll())
            self._queues.add(queue)
            if self._closed:
                _release(queue)
            return queue, self._cursor

    async def _events(self, page: _Page, form: _Form, after: int) -> bytes:
        """The events of the changes after a cursor."""
        made = page.made.get(form)
        if made is None:  # whoever comes first makes it, the others wait for it
            if form.cameras is None:
                made = asyncio.get_running_loop().create_future()
                made.set_result(form.made(page.rows))
            else:
                made = asyncio.ensure_future(self._make(page.rows, form, form.cameras))
            page.made[form] = made
        # Nobody waits for what is there already: of a thousand listeners nearly all.
        ready = made.result() if made.done() else await asyncio.shield(made)
        return ready.after(after)

    async def _make(self, rows: Sequence[Row], form: _Form, cameras: frozenset[str]) -> _Made:
        return form.made(await asyncio.to_thread(self._among, rows, cameras))

    async def _read(self, cursor: int) -> Changes:
        return await asyncio.to_thread(self._read_all, cursor)

    def _read_all(self, cursor: int) -> Changes:
        with granting(None), veil.lifted():
            return self._source.changes_since(cursor, self.pace.page)

    async def _poll(self) -> None:
        try:
            await asyncio.sleep(0)  # lets the one that started this join
            while self._queues:
                found = await self._read(self._cursor)
                if not found.complete:
                    self._release_all()  # they learn it from their own cursors
                    return
                if found.rows:
                    self._cursor = found.cursor
                    self._tell(_Page(found.rows))
                if len(found.rows) < self.pace.page:
                    await asyncio.sleep(self.pace.poll)
        except ViewError as error:
            _log.warning("live changes stop until somebody asks again: %s", error)
            self._release_all()
        finally:
            self._polling = None

    def _tell(self, page: _Page) -> None:
        if (traces := tracing()) is not None:
            _trace(traces, page.rows, len(self._queues))
        for queue in tuple(self._queues):
            try:
                queue.put_nowait(page)
            except asyncio.QueueFull:
                self._queues.discard(queue)
                _release(queue)

    def _release_all(self) -> None:
        for queue in self._queues:
            _release(queue)
        self._queues.clear()


def _of_cameras(rows: Sequence[Row], cameras: frozenset[str]) -> list[Row]:
    """An erased one has no camera any more, and tells nothing but its id."""
    return [row for row in rows if row.get("erased") or row["camera_id"] in cameras]


def _trace(traces: "Traces", rows: Sequence[Row], listeners: int) -> None:
    """The last step of a sighting's trace: those who watch are told."""
    now = time.time_ns() // 1000
    for row in rows:
        if not row.get("erased") and row.get("event_id"):
            traces.step(
                *("tell", str(row["event_id"]), now), status=row["status"], listeners=listeners
            )


def _release(queue: asyncio.Queue[_Page | None]) -> None:
    """End a listener, whatever still waited for it: it comes back and asks for that."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _reset(cursor: int) -> bytes:
    return b"id: %d\n%b\n" % (cursor, event("reset", b"{}"))


class EventStream(Response):
    """An answer without end that stops when its client goes, or takes nothing for ``stall`` s.

    Also when ``until`` of the request's state returns: its listener may no longer listen.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, events: AsyncGenerator[bytes, None], stall: float) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self._first = first
        self._events = events
        self._stall = stall
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_gone(receive))
        until = scope.get("state", {}).get("until")
        ends = [sending, leaving] + ([asyncio.create_task(until())] if until else [])
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            over = ends[2:] and ends[2].done()
        finally:
            for task in ends:
                task.cancel()
            results = await asyncio.gather(*ends, return_exceptions=True)
            await self._events.aclose()
        if over:
            await self._part(send, b"", more=False)
            return
        if isinstance(results[0], TimeoutError):
            _log.info("a listener took nothing for %g s and was let go", self._stall)
        elif isinstance(results[0], Exception):
            raise results[0]

    async def _send(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": list(self.raw_headers)}
        )
        await self._part(send, self._first)
        async for events in self._events:
            await self._part(send, events)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _part(self, send: Send, body: bytes, more: bool = True) -> None:
        async with asyncio.timeout(self._stall):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
