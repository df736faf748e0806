"""Waits where it is while a server is away, so that nothing further is read meanwhile."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

_log = logging.getLogger(__name__)
_FIRST_S, _LONGEST_S = 0.1, 5.0

T = TypeVar("T")


class Patience:
    """Tries again what failed with one of ``errors``, sooner at first, then every 5 seconds.

    Says when it begins to wait, with the cause, and when it goes on; between the two nothing.
    ``revive`` is called before each new try.
    """

    def __init__(
        self,
        errors: tuple[type[Exception], ...],
        but: tuple[type[Exception], ...] = (),
        revive: Callable[[], object] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._errors, self._but = errors, but
        self._revive, self._sleep = revive, sleep

    def until(self, act: Callable[[], T]) -> T:
        """What ``act`` returns once it does; errors of ``but`` and all others pass."""
        pause, since = _FIRST_S, None
        while True:
            try:
                if since is not None:
                    self._revive()
                done = act()
            except self._but:
                raise
            except self._errors as error:
                if since is None:
                    since = time.monotonic()
                    _log.warning("waiting: %s", " ".join(str(error).split()))
                self._sleep(pause)
                pause = min(2 * pause, _LONGEST_S)
            else:
                if since is not None:
                    _log.warning("going on after %.1f s", time.monotonic() - since)
                return done
