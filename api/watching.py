"""What alerts, rules, watchlists and corrections are asked of, and said to."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from api.backtests import Backtests
from api.voice import Voice
from projections.alert_queries import AlertQueries
from projections.people_queries import PeopleQueries
from rules.alerts.rule import Rule

T = TypeVar("T")

# A message is delivered, or a change answered, before the view shows it: it is waited for so long.
_PATIENCE_S = 2.0
_PAUSE_S = 0.1
# Who waits holds one of the server's 40 threads: others have to be answered meanwhile.
_WAITING = 8


@dataclass(frozen=True, slots=True)
class Watching:
    """The alerts' view, the log behind it, and what tries rules on history, if anything does.

    ``refused`` gives what the channels would refuse of a rule's actions. ``people`` is asked for
    corrections; without it there are none.
    """

    queries: AlertQueries
    voice: Voice
    backtests: Backtests | None = None
    people: PeopleQueries | None = None
    refused: Callable[[Rule], Iterable[str]] = field(default=lambda _: ())
    patience: float = field(default=_PATIENCE_S)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_WAITING))

    def wait_for(self, read: Callable[[], T | None]) -> T | None:
        """What is read, as soon as it is there; None when it is not there in ``patience`` s.

        Where many wait already, it is looked for once.
        """
        found = read()
        if found is not None or not self.waiting.acquire(blocking=False):
            return found
        try:
            until = time.monotonic() + self.patience
            while (found := read()) is None and time.monotonic() < until:
                time.sleep(_PAUSE_S)
            return found
        finally:
            self.waiting.release()
