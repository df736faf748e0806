"""The rules and watchlists of a log, in memory, following their topics."""

import logging

from eventlog.log import Entry, Log, LogUnavailable, OffsetGone
from rules.alerts.parse import rule_of
from rules.alerts.rulebook import Rulebook
from rules.alerts.watch_entry import check_stated
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import RuleVersion, WatchlistEntry
from schemas.topics import RULES, WATCHLIST

_log = logging.getLogger(__name__)

BATCH = 5_000
SKEW_US = 86_400_000_000
"""Up to here a time ahead of the log's is a writer's wrong clock, and means: at once."""


class RulebookFollower:
    """A rulebook that holds every version its log tells of, each from when it is in force.

    For one thread. Raises LogUnavailable and RegistryUnavailable in ``look`` and ``complete``;
    call again then: nothing is lost.
    """

    def __init__(self, log: Log, codec: Codec) -> None:
        self.book = Rulebook()
        self._log = log
        self._codec = codec
        self._next = {RULES.name: 0, WATCHLIST.name: 0}

    def look(self) -> bool:
        """Take in what is new, at most a few thousand records of each topic; True if any was."""
        news = [self._read(topic) for topic in self._next]
        return any(news)

    def complete(self) -> None:
        """Take in all there is."""
        ends = {topic: self._log.end(topic, 0) for topic in self._next}
        for topic, end in ends.items():
            while self._next[topic] < end:
                if not self._read(topic):
                    reached = self._log.reached(topic, 0, self._next[topic])
                    if reached <= self._next[topic]:
                        break
                    self._next[topic] = reached

    def _read(self, topic: str) -> bool:
        try:
            entries = self._log.read(topic, 0, self._next[topic], BATCH)
        except OffsetGone as gone:
            self._next[topic] = gone.lowest
            return True
        for entry in entries:
            try:
                self._take(entry)
            except (LogUnavailable, RegistryUnavailable):
                raise
            except Exception as error:  # a poisoned record must not stop all that follow it
                # `project` keeps it as a dead letter.
                _log.error("%s, offset %d is passed over: %s", topic, entry.offset, error)
            self._next[topic] = entry.offset + 1
        return bool(entries)

    def _take(self, entry: Entry) -> None:
        if entry.value is None and entry.topic == WATCHLIST.name:
            name, _, plate = (entry.key or b"").decode().partition("/")
            self.book.watch.erase(name, plate, entry.appended_at)
            return
        if entry.value is None:
            raise DecodeError("unreadable", "a record without a value")
        name, record = self._codec.decode(entry.value)
        if name == "RuleVersion" and entry.topic == RULES.name:
            self._rule(record, entry.appended_at)
        elif name == "WatchlistEntry" and entry.topic == WATCHLIST.name:
            self._watch(record, entry.appended_at)
        else:
            raise DecodeError("schema", f"a {name} does not belong on {entry.topic}")

    def _rule(self, version: RuleVersion, appended_at: int) -> None:
        at = in_force(version["effective_from"], appended_at)
        definition = version["definition"]
        rule = None if definition is None else rule_of(definition)
        if rule is not None and rule.name != version["name"]:
            raise ValueError(f"the definition is of {rule.name!r}, not of {version['name']!r}")
        self.book.put(version["name"], rule, at)

    def _watch(self, entry: WatchlistEntry, appended_at: int) -> None:
        check_stated(entry)
        self.book.watch.put(entry, in_force(entry["effective_from"], appended_at))


def in_force(effective_from: int, appended_at: int) -> int:
    """Log time from which a version holds: at once, or when it says if that is to come.

    Never before it was appended, so that no version changes what has been decided.
    """
    return effective_from if effective_from > appended_at + SKEW_US else appended_at
