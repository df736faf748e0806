"""Who looked at or did what, on alpr.audit before the answer goes out: no view without audit."""

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import unquote

from fastapi import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audited import CLEAR, Deed, deed_of, meant, subject_of
from api.errors import ApiError, ReasonNeeded, Unavailable
from api.joined import Joined
from api.visitor import visitor
from api.voice import OpenLog
from eventlog.log import Append, Log, LogError
from projections import veil
from projections.audit_queries import AuditQueries
from rules.pseudonym import Pseudonyms
from schemas.codec import Codec, RegistryUnavailable
from schemas.records import AuditEntry
from schemas.topics import AUDIT, partition_of

_log = logging.getLogger(__name__)

REASON_COOKIE = "alpr_reason"
MAX_REASON = 200  # characters
_NAMED = 1_000  # pseudonyms of one entry: some 15 kB, and as many rows as a page has at most
_AT_ONCE = 256  # entries of one append
_WAITING = 2_048  # entries that may wait; who comes then is told to come again
_PATIENCE_S = 10.0


class Writer:
    """Entries to the log: those that wait share one append, and nobody goes on before it is kept.

    The log is opened when there is something to write. Lives in one event loop.
    """

    def __init__(self, open_log: OpenLog, patience: float = _PATIENCE_S) -> None:
        self._open = open_log
        self._patience = patience
        self._log: tuple[Log, Codec] | None = None
        self._waiting: list[tuple[AuditEntry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self.joined = Joined(self.write)

    async def write(self, entry: AuditEntry) -> None:
        """Return when the log has it. Raises Unavailable."""
        if len(self._waiting) >= _WAITING:
            raise _unwritten("too many ask at once")
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        self._waiting.append((entry, kept))
        if self._writing is None:
            self._writing = loop.create_task(self._write_all())
        try:
            await asyncio.wait_for(kept, self._patience)
        except TimeoutError:
            raise _unwritten(f"the log took nothing for {self._patience:g} s") from None

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                failure: ApiError | None = None
                try:
                    entries = [entry for entry, _ in batch]
                    await loop.run_in_executor(self._thread, self._append, entries)
                except (LogError, RegistryUnavailable, OSError) as error:
                    failure = _unwritten(str(error))
                for _, kept in batch:
                    if kept.done():
                        continue
                    if failure is None:
                        kept.set_result(None)
                    else:
                        kept.set_exception(failure)
        finally:
            self._writing = None

    def _append(self, entries: Sequence[AuditEntry]) -> None:
        if self._log is None:
            self._log = self._open()
        log, codec = self._log
        parts: dict[int, list[Append]] = defaultdict(list)
        partitions = log.partitions(AUDIT.name)
        for entry in entries:
            key = entry["actor"].encode()
            value = codec.encode(AUDIT.name, "AuditEntry", entry)
            parts[partition_of(key, partitions)].append(Append(key, value))
        for partition, records in parts.items():
            log.append(AUDIT.name, partition, records)


def _unwritten(why: str) -> Unavailable:
    _log.warning("the audit cannot be written, so nothing is shown: %s", why)  # it names the server
    return Unavailable(
        "this is not shown, as it cannot be written down at the moment who looks at it: try again "
        "in a moment"
    )


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is written down of those who ask, and what they are shown.

    ``pseudonyms``: who may not see plates as they are is shown pseudonyms. ``reasons``: who asks
    says why. ``clock`` gives microseconds UTC. ``queries`` are what the audit's page asks.
    """

    names: Pseudonyms
    writer: Writer
    clock: Callable[[], int]
    pseudonyms: bool = False
    reasons: bool = False
    queries: AuditQueries | None = None

    async def __call__(self, request: Request) -> None:
        """After the guard: what the visitor is shown, and whether a reason is missing.

        Raises ReasonNeeded, and Veiled where a route shows plates in clear.
        """
        route = f"{request.method} {getattr(request.scope.get('route'), 'path', None)}"
        if self.pseudonyms and not visitor().clear:
            veil.cover(self.names.of)
            if route in CLEAR:
                veil.refuse("this")
        visit = _visit.get()
        if visit is None:
            return
        deed = deed_of(route)
        visit.reason = reason_of(request, parameter=deed is None or not deed.filters)
        if deed is None or not deed.when(request):
            return
        if self.reasons and deed.asks and not visit.reason:
            raise ReasonNeeded(
                "a reason is needed to look at plates here: give it as the header X-Reason or the "
                "parameter reason, such as ?reason=case+2025-17"
            )
        deed = meant(deed, request)
        visit.deed, visit.subject = deed, subject_of(deed, request, self.names)

    async def tell(self, visit: "Visit") -> None:
        """Write what a visit does and what it was shown. Raises Unavailable."""
        assert visit.deed is not None
        found = [self.names.of(plate) for plate in visit.shown.take()]
        found = sorted(set(found))
        for start in range(0, max(len(found), 1), _NAMED):
            entry: AuditEntry = {
                "audit_id": str(uuid.uuid4()),
                "at": self.clock(),
                "actor": visit.actor or visitor().actor,
                "action": visit.deed.action,
                "subject": visit.subject,
                "reason": visit.reason,
                "found": found[start : start + _NAMED],
            }
            await (self.writer.joined.tell if visit.deed.joined else self.writer.write)(entry)


@dataclass(slots=True)
class Visit:
    """One request, as far as the audit tells of it."""

    shown: veil.Shown = field(default_factory=veil.Shown)
    deed: Deed | None = None
    subject: str = ""
    reason: str = ""
    actor: str = ""


_visit: ContextVar[Visit | None] = ContextVar("visit", default=None)


def about(subject: str = "", actor: str = "") -> None:
    """Say in an endpoint what the request is about, or who asks, where its address does not."""
    visit = _visit.get()
    if visit is not None:
        visit.subject = subject or visit.subject
        visit.actor = actor or visit.actor


def reason() -> str:
    """Why the one who asks does, as far as they said."""
    visit = _visit.get()
    return visit.reason if visit else ""


class Audited:
    """Middleware: an answer waits until the audit tells of it.

    Where the audit cannot be written ``refuse`` makes the answer. What a streamed answer shows
    is written before each part of it.
    """

    def __init__(
        self, app: ASGIApp, privacy: Privacy, refuse: Callable[[Request, ApiError], Response]
    ) -> None:
        self._app = app
        self._privacy = privacy
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, self._ending(send))
            return
        visit = Visit()
        held: Message | None = None
        counts = refused = False
        _visit.set(visit)
        veil.note(visit.shown)

        async def audited(message: Message) -> None:
            nonlocal held, counts, refused
            if refused:
                return
            if message["type"] == "http.response.start":
                held = message  # what the first part shows is in the same entry
                return
            first, held = held, None
            if first is not None:
                counts = _counts(visit, first["status"])
            if counts and (first is not None or visit.shown.plates):
                try:
                    await self._privacy.tell(visit)
                except ApiError as error:
                    if first is None:
                        raise  # the answer breaks off: its end is missing
                    refused = True
                    await self._refuse(Request(scope), error)(scope, receive, send)
                    return
                if visit.deed and visit.deed.once:
                    visit.shown.close()
            if first is not None:
                await send(first)
            await send(message)

        await self._app(scope, receive, audited)

    def _ending(self, send: Send) -> Send:
        """The same, which writes what waits before it says that the server has ended."""

        async def ended(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                # What cannot be written now is lost, and the writer has said so.
                with suppress(ApiError):
                    await self._privacy.writer.joined.end()
            await send(message)

        return ended


def _counts(visit: Visit, status: int) -> bool:
    """Whether an answer is told of: it shows something, or that there is nothing."""
    if visit.deed is None or (visit.deed.named and not visit.actor):
        return False
    return status < 400 or status == 404


def reason_of(request: Request, *, parameter: bool = True) -> str:
    """Why somebody asks, in their words; '' where they do not say."""
    for given in (
        request.headers.get("x-reason"),
        request.query_params.get("reason") if parameter else None,
        request.cookies.get(REASON_COOKIE),
    ):
        if given:
            plain = unquote(given, errors="replace") if given.isascii() else _utf8(given)
            if reason := tidy(plain):
                return reason
    return ""


def tidy(reason: str) -> str:
    """A reason without line breaks and other control characters, of a bounded length."""
    shown = "".join(c if c.isprintable() else " " for c in reason)
    return " ".join(shown.split())[:MAX_REASON]


def _utf8(header: str) -> str:
    """A header's bytes as UTF-8, which programs send; HTTP itself knows Latin-1 alone."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
