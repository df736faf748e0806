"""The loop of ``alpr keep``: chores that keep what is derived from the views up to date."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from projections.errors import EmbeddedError, ViewError, ViewMissing, ViewUnavailable
from projections.schema import beside_is_there, migrate_beside

_log = logging.getLogger(__name__)

IDLE_S = 0.25
"""How long a chore with nothing to do waits: as long as a live page does."""
_FIRST_S, _LONGEST_S = 0.1, 5.0
_SOON_S = 10.0  # a new database has its view by then: nothing to speak of before
_GRACE_S = 8.0  # docker gives 10 s before it kills


class Chore(Protocol):
    """Something to do again and again, by one thread.

    ``step`` does a bounded part of it, in a transaction of its own, and returns whether there may
    be more at once. It may raise ViewUnavailable: it is called again, later, and must go on.
    """

    @property
    def name(self) -> str:
        """Of its thread and its log lines."""
        ...

    def step(self) -> bool:
        """Do some of it; whether something was done."""
        ...

    def close(self) -> None:
        """Release what it holds; ``step`` is not called any more."""
        ...


class Keeper:
    """Does chores until ``stop`` is set, each in a thread of its own.

    A database that is away, or has no views yet, is waited for; ``revive`` is called before each
    new try. What waiting does not mend ends all, and is raised: so does the loss of what is kept,
    which the next start makes anew, since chores remember what they have done.
    """

    def __init__(
        self,
        url: str,
        chores: Sequence[Chore],
        stop: threading.Event,
        revive: Callable[[], object] = lambda: None,
    ) -> None:
        self._url = url
        self._chores = chores
        self._stop = stop
        self._revive = revive
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Keep on until the event is set. Raises what waiting does not mend."""
        self._waiting_out("keep", lambda: migrate_beside(self._url))
        threads = [
            threading.Thread(target=self._keep, args=(chore,), name=chore.name, daemon=True)
            for chore in self._chores
        ]
        for thread in threads:
            thread.start()
        self._stop.wait()
        until = time.monotonic() + _GRACE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._failure is not None:
            raise self._failure

    def _keep(self, chore: Chore) -> None:
        try:
            while not self._stop.is_set():
                if not self._waiting_out(chore.name, chore.step):
                    self._stop.wait(IDLE_S)
        except BaseException as error:
            self._failure = self._failure or error
            self._stop.set()
        finally:
            chore.close()

    def _waiting_out(self, name: str, act: Callable[[], object]) -> object:
        """What ``act`` returns once it does; None when it is to end."""
        pause, since, said, missing = _FIRST_S, None, False, False
        while not self._stop.is_set():
            try:
                if since is not None:
                    self._revive()
                if missing and not beside_is_there(self._url):
                    raise ViewError("what is kept was dropped meanwhile: the next start makes it")
                done = act()
            except (ViewUnavailable, EmbeddedError) as error:
                missing = isinstance(error, ViewMissing)
                since = since or time.monotonic()
                late = time.monotonic() - since >= _SOON_S
                if not said and (late or not isinstance(error, ViewMissing)):
                    said = True
                    _log.warning("%s waits: %s", name, " ".join(str(error).split()))
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_S)
            else:
                if said and since is not None:
                    _log.warning("%s goes on after %.1f s", name, time.monotonic() - since)
                return done
        return None
