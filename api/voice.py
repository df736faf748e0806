"""What people say through the API, appended to the log in their name."""

import threading
from collections.abc import Callable, Sequence

from api.guard import visitor
from eventlog.log import Log
from eventlog.span import span
from projections.statements import Statements
from rules.alerts.life import Alert
from rules.alerts.rule import Rule
from schemas.codec import Codec, DecodeError
from schemas.records import AlertEvent, RuleVersion, WatchlistEntry
from schemas.topics import RULES

OpenLog = Callable[[], tuple[Log, Codec]]


def actor() -> str:
    """Who asks: the id of the key, ``local`` where no key is asked for."""
    key = visitor()
    return key.key_id if key else "local"


class Voice:
    """Statements on a log that is opened when somebody first has something to say.

    Any number of threads may share it; they take turns. Every method raises LogError and
    RegistryUnavailable. ``clock`` gives microseconds UTC.
    """

    def __init__(self, open_log: OpenLog, clock: Callable[[], int]) -> None:
        self._open = open_log
        self.clock = clock
        self._turn = threading.Lock()
        self._log: tuple[Log, Codec] | None = None
        self._definitions: dict[str, str | None] = {}
        self._next = 0

    def rules(self, rules: Sequence[Rule]) -> list[RuleVersion]:
        """New versions of those rules that are not as the log has them; what was written."""
        with self._turn:
            statements = self._statements()
            known = self._follow()
            return [
                statements.rule(rule, actor())
                for rule in rules
                if known.get(rule.name) != rule.definition
            ]

    def definition(self, name: str) -> str | None:
        """The rule as the log has it now; None where there is none."""
        with self._turn:
            return self._follow().get(name)

    def definitions(self) -> dict[str, str]:
        """Every rule as the log has it now, by name."""
        with self._turn:
            return {name: one for name, one in self._follow().items() if one is not None}

    def remove_rule(self, name: str) -> RuleVersion:
        """The end of a rule; what was written."""
        with self._turn:
            return self._statements().remove_rule(name, actor())

    def watch(self, entries: Sequence[WatchlistEntry]) -> None:
        """Versions of entries of watchlists."""
        with self._turn:
            self._statements().watch(entries)

    def alert(self, alert: Alert, kind: str, comment: str) -> AlertEvent:
        """What somebody did about an alert; what was written."""
        with self._turn:
            return self._statements().alert(alert, kind, actor(), comment)

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
