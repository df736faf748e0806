"""Threads that wait together while a server is away, and end when they are told to."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from eventlog.log import LogFull, LogUnavailable
from projections.errors import EmbeddedError, ViewMissing, ViewUnavailable
from schemas.codec import RegistryUnavailable

_log = logging.getLogger(__name__)
_FIRST_S, _LONGEST_S = 0.1, 5.0
_AWAY = (ViewUnavailable, LogUnavailable, LogFull, RegistryUnavailable, EmbeddedError)

T = TypeVar("T")


class Ending(Exception):
    """The process is to end; what waits is left as it is."""


class Patience:
    """Tries again what failed because the database, the log or the registry is away.

    Any number of threads share it: the first that waits says so, the first that goes on says so.
    ``revive`` is called before each new try.
    """

    def __init__(self, stop: threading.Event, revive: Callable[[], object] = lambda: None) -> None:
        self._stop = stop
        self._revive = revive
        self._turn = threading.Lock()
        self._since: float | None = None

    def until(self, act: Callable[[], T]) -> T:
        """What ``act`` returns once it does. Raises Ending, and what waiting does not mend."""
        pause, failed = _FIRST_S, False
        while True:
            try:
                if failed:
                    self._revive()
                done = act()
            except ViewMissing:
                raise
            except _AWAY as error:
                failed = True
                self._begin(error)
                if self._stop.wait(pause):
                    raise Ending from error
                pause = min(2 * pause, _LONGEST_S)
            else:
                if failed:
                    self._end()
                return done

    def _begin(self, error: Exception) -> None:
        with self._turn:
            if self._since is None:
                self._since = time.monotonic()
                _log.warning("waiting: %s", " ".join(str(error).split()))

    def _end(self) -> None:
        with self._turn:
            if self._since is not None:
                _log.warning("going on after %.1f s", time.monotonic() - self._since)
                self._since = None
