"""How the whole system is: each part asked by itself, so that one that is away blanks no other."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api import system_view
from api.encode import Json
from api.errors import wants_page
from api.pages import Pages

_log = logging.getLogger(__name__)

PATIENCE_S = 4.0
"""How long a part is waited for; its answer may still come, and is told the next time."""


@dataclass(slots=True)
class _Known:
    """What a part told last, when, and whether it is being asked."""

    told: Any = None
    error: str | None = "it has not answered yet"
    at: float | None = None
    asked: float | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can be asked how it is; an answer is good for ``seconds``.

    ``ask`` gives plain data. What it raises is told if it is one of the ``expected``.
    """

    name: str
    ask: Callable[[], Any]
    seconds: float = 2.0


class System:
    """Asks parts, each in a thread of its own and never twice at once.

    ``expected`` are the exceptions whose text may be told; of others only that there was one.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        expected: tuple[type[Exception], ...],
        patience: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = tuple(parts)
        self._expected = expected
        self._patience = patience
        self._clock = clock
        self._known = {part.name: _Known() for part in parts}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(len(parts) or 1, thread_name_prefix="system")

    def told(self) -> dict[str, dict[str, Any]]:
        """By part ``told``, or ``error`` with a sentence; both of at most ``patience`` s ago."""
        waited = [self._begin(part) for part in self._parts]
        # After the last was asked, so that who has not answered by then is late.
        until = self._clock() + self._patience
        for done in waited:
            done.wait(max(0.0, until - self._clock()))
        with self._lock:
            return {part.name: self._tell(part) for part in self._parts}

    def close(self) -> None:
        """Ask nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, part: Part) -> threading.Event:
        """Ask a part whose answer is old, unless it is being asked; set once it has answered."""
        with self._lock:
            known, now = self._known[part.name], self._clock()
            if known.asked is None and (known.at is None or now - known.at >= part.seconds):
                known.asked = now
                known.done = threading.Event()
                self._pool.submit(self._ask, part)
            return known.done

    def _ask(self, part: Part) -> None:
        told, error = None, None
        try:
            told = part.ask()
        except self._expected as failure:
            error = " ".join(str(failure).split())
        except Exception:
            _log.exception("%s cannot be told", part.name)
            error = "it could not be asked: the cause is in the server's log"
        with self._lock:
            known = self._known[part.name]
            known.told, known.error = told, error
            known.at, known.asked = self._clock(), None
            known.done.set()

    def _tell(self, part: Part) -> dict[str, Any]:
        known = self._known[part.name]
        late = known.asked is not None and self._clock() - known.asked >= self._patience
        if known.error is None and not late:
            return {"told": known.told}
        if late:
            since = self._clock() - (known.asked or 0.0)
            return {"error": f"it has not answered for {since:.0f} s"}
        return {"error": known.error}


class PartResponse(BaseModel):
    """What a part told, or why it did not."""

    told: Any = None
    error: str | None = None


class SystemResponse(BaseModel):
    """How each part is, by its name."""

    at: datetime
    parts: dict[str, PartResponse]


def router(system: System, pages: Pages) -> APIRouter:
    """``/system``."""
    routes = APIRouter(tags=["system"])

    @routes.get("/system", response_model=None, responses={200: {"model": SystemResponse}})
    def whole(
        request: Request, live: bool = Query(default=False, include_in_schema=False)
    ) -> Response:
        """How the flows, the log, the databases and this machine are.

        Each part under `parts` has `told`, or `error` where it could not be asked.
        """
        at, parts = datetime.now(UTC), system.told()
        if not wants_page(request):
            return Json({"at": at, "parts": parts})
        shown = system_view.shown(parts)
        name = "system_parts.html" if live else "system.html"
        return pages.page(name, at=at, **shown)

    return routes
