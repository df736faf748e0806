"""Drops what a view no longer keeps, now and then, by the time that the log tells."""

import time
from collections.abc import Callable
from typing import Protocol

LOOK_S = 3_600.0


class Aging(Protocol):
    """A view that knows what time the log has come to, and what it keeps then."""

    def watermark(self) -> int | None:
        """The latest event time that a Progress has told, in microseconds."""
        ...

    def retain(self, now: int) -> None:
        """Drop what is too old at a time (microseconds UTC)."""
        ...


class Retention:
    """Looks once an hour of this machine; how old something is, the log's event time says.

    So an old recording does not age by being read late. Nothing is older than this machine's time
    (``wall``, microseconds UTC) makes it: a clock that was ahead and was set right drops nothing.
    """

    def __init__(
        self,
        view: Aging,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._view, self._clock, self._wall = view, clock, wall
        self._due = clock()

    def look(self) -> None:
        """Drop what is to go, if it is time to look."""
        now = self._clock()
        if now < self._due:
            return
        watermark = self._view.watermark()
        if watermark is not None:
            self._view.retain(min(watermark, self._wall()))
        self._due = now + LOOK_S
