"""What people say through the API, appended to the log in their name."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from api.visitor import visitor
from eventlog.log import Log, LogUnavailable
from eventlog.span import span
from projections.statements import Statements
from rules.alerts.life import Alert
from rules.alerts.rule import Rule
from schemas.codec import Codec, DecodeError
from schemas.records import AlertEvent, Correction, RuleVersion, WatchlistEntry
from schemas.topics import RULES

OpenLog = Callable[[], tuple[Log, Codec]]
_PATIENCE_S = 5.0
_AT_ONCE = 1_000  # entries of a watchlist
_BREATH_S = 0.001  # a lock is not fair: who lets go and takes it at once has it again


def actor() -> str:
    """Who asks, as records of the log name them."""
    return visitor().actor


class Voice:
    """Statements on a log that is opened when somebody first has something to say.

    Any number of threads may share it; they take turns. Every method raises LogError and
    RegistryUnavailable. ``clock`` gives microseconds UTC.
    """

    def __init__(
        self, open_log: OpenLog, clock: Callable[[], int], patience: float = _PATIENCE_S
    ) -> None:
        self._open = open_log
        self.clock = clock
        self._patience = patience
        self._turn = threading.Lock()
        self._log: tuple[Log, Codec] | None = None
        self._definitions: dict[str, str | None] = {}
        self._next = 0

    def rules(self, rules: Sequence[Rule]) -> list[RuleVersion]:
        """New versions of those rules that are not as the log has them; what was written."""
        with self._my_turn():
            statements = self._statements()
            known = self._follow()
            return [
                statements.rule(rule, actor())
                for rule in rules
                if known.get(rule.name) != rule.definition
            ]

    def definition(self, name: str) -> str | None:
        """The rule as the log has it now; None where there is none."""
        with self._my_turn():
            return self._follow().get(name)

    def remove_rule(self, name: str) -> RuleVersion:
        """The end of a rule; what was written."""
        with self._my_turn():
            return self._statements().remove_rule(name, actor())

    def watch(self, entries: Sequence[WatchlistEntry]) -> None:
        """Versions of entries of watchlists. Others have their say between those of a long list."""
        for start in range(0, len(entries), _AT_ONCE):
            with self._my_turn():
                self._statements().watch(entries[start : start + _AT_ONCE])
            time.sleep(_BREATH_S)

    def alert(self, alert: Alert, kind: str, comment: str) -> AlertEvent:
        """What somebody did about an alert; what was written."""
        with self._my_turn():
            return self._statements().alert(alert, kind, actor(), comment)

    def correction(self, correction: Correction) -> None:
        """What somebody says of a sighting."""
        with self._my_turn():
            self._statements().correction(correction)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        # Who waits holds one of the server's threads, and has not yet said anything.
        if not self._turn.acquire(timeout=self._patience):
            raise LogUnavailable(f"others have been writing to the log for {self._patience:g} s")
        try:
            yield
        finally:
            self._turn.release()

    def _opened(self) -> tuple[Log, Codec]:
        if self._log is None:
            self._log = self._open()
        return self._log

    def _statements(self) -> Statements:
        return Statements(*self._opened(), self.clock)

    def _follow(self) -> dict[str, str | None]:
        """The last definition of each rule. From the log itself, so that who turns a rule off
        does not put back what somebody else changed a moment ago, which no view shows yet.
        """
        log, codec = self._opened()
        end = log.end(RULES.name, 0)
        for entry in span(log, RULES.name, 0, self._next, end):
            try:
                name, record = codec.decode(entry.value or b"")
            except DecodeError:
                continue  # `project` keeps it as a dead letter
            if name == "RuleVersion":
                self._definitions[record["name"]] = record["definition"]
        self._next = max(self._next, end)
        return self._definitions
