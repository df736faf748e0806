"""Rules tried on history: the log replayed through them, beside the alerts that it holds.

Nothing is written. The replay folds the records in the order in which they were appended, with
the clock and the watchlists of then, as the alerts flow does; so the log's own rules give the
log's own alerts, and other rules what they would have given. Alerts are kept in a private file
of SQLite, so that memory does not grow with them.
"""

import heapq
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

from alpr.errors import AlprError
from alpr.moments import SECOND_US, shown
from alpr.rules_file import Told, told
from alpr.two_sides import RECORDED, REPLAYED, RuleResult, TwoSides
from eventlog.log import Entry, Log
from eventlog.redriven import redriven
from eventlog.span import first_since, span
from projections.rulebook import RulebookFollower
from rules.alerts import rule as rules_
from rules.alerts.matching import Matching
from rules.alerts.parse import RulesError, rule_of
from rules.alerts.raising import Raising
from rules.alerts.rule import Rule
from rules.alerts.rulebook import Rulebook
from rules.alerts.signals import Signal
from schemas.codec import Codec, DecodeError
from schemas.topics import ALERTS, DETECTED

HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
LEAST_WARM_UP_US = HOUR_US
"""Sightings that were open at the beginning are to be known, and what was said of them."""
MOST_WARM_UP_US = 7 * DAY_US
"""Further back a replay does not begin for the sake of a rule that is tried."""
SETTLE_US = 600 * SECOND_US
"""Replayed beyond the end: twice the window after which a sighting ends."""
BY_HOUR_US = 2 * DAY_US
"""A stretch up to so long is told by the hour, a longer one by the day."""
FARTHEST_KM = 20_038
"""Half the equator."""
EVERY = 1_000
"""Records between two looks at ``stop`` and two words to ``progress``."""


class Stopped(AlprError):
    """The replay was told to stop."""


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What rules would have raised from ``since`` to ``until`` (log time, microseconds UTC).

    The replay began at ``start``, or where the log does; ``whole``: with the first record that
    there ever was. ``step`` is an hour or a day, of ``by_time``.
    """

    since: int
    until: int
    start: int
    whole: bool
    step: int
    records: int
    unreadable: int
    poison: int
    took_s: float
    in_force: bool
    rules: tuple[RuleResult, ...]

    @property
    def agrees(self) -> bool:
        """Whether replayed and recorded alerts are the same, but for those marked."""
        return not any(rule.new or rule.gone for rule in self.rules)

    @property
    def records_per_s(self) -> float:
        """How fast the replay was."""
        return self.records / self.took_s if self.took_s else 0.0

    def plain(self) -> dict[str, Any]:
        """All of it as values of JSON, times in UTC as text, ``step`` in microseconds."""
        value = asdict(self)
        for name in ("since", "until", "start"):
            value[name] = shown(value[name])
        value["took_s"] = round(self.took_s, 3)
        value["records_per_s"] = round(self.records_per_s)
        value["agrees"] = self.agrees
        value["rules"] = [rule.plain() for rule in self.rules]
        return value


def backtest(  # noqa: PLR0917 (what is replayed, through what, from when to when)
    log: Log,
    codec: Codec,
    rules: Sequence[Rule] | None,
    since: int,
    until: int,
    progress: Callable[[int, int], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> BacktestResult:
    """Replay ``alpr.plates.detected`` through rules as if they had always been in force, disabled
    ones too; with None through those of the log, each as and when it was in force.

    ``progress`` gets the records folded and those there are. Raises Stopped when ``stop`` says
    so, LogUnavailable and RegistryUnavailable.
    """
    began = time.monotonic()
    follower = RulebookFollower(log, codec)
    follower.complete()
    known = told(log, codec)
    start = since - warm_up(rules)
    book = follower.book if rules is None else _book(rules, follower.book)
    with closing(TwoSides()) as alerts:
        _read_recorded(log, codec, start, alerts, stop)
        replay = _Replay(log, codec, book, alerts, follower.book.near_change)
        replay.run(start, until + SETTLE_US, progress, stop)
        alerts.flush()
        alerts.mark(replay.near, follower.book.near_change)
        step = HOUR_US if until - since <= BY_HOUR_US else DAY_US
        if rules is None:
            chosen = dict.fromkeys(sorted({*known, *alerts.rules()}), True)
        else:
            chosen = {rule.name: rule.enabled for rule in rules}
        tried = {} if rules is None else {rule.name: horizon(rule) for rule in rules}
        for name in chosen:
            alerts.spread(name, _reach(known.get(name), tried.get(name, 0)))
        return BacktestResult(
            since=since,
            until=until,
            start=max(start, replay.first_at or start),
            whole=replay.whole,
            step=step,
            records=replay.records,
            unreadable=replay.unreadable,
            poison=replay.poison,
            took_s=time.monotonic() - began,
            in_force=rules is None,
            rules=tuple(
                alerts.result(
                    name,
                    since=since,
                    until=until,
                    step=step,
                    enabled=enabled,
                    needs=tried.get(name),
                    in_force_since=known[name].first_at if name in known else None,
                )
                for name, enabled in chosen.items()
            ),
        )


def warm_up(rules: Sequence[Rule] | None) -> int:
    """How long before its beginning a replay starts, in microseconds.

    As far as the rules look back, but at most a week. For the log's own rules it is all there
    is: which sighting a cooldown lets pass depends on all before it.
    """
    if rules is None:
        return 1 << 62
    needed = [horizon(rule) for rule in rules]
    longest = max((MOST_WARM_UP_US if one is None else one for one in needed), default=0)
    return min(longest + LEAST_WARM_UP_US, MOST_WARM_UP_US)


def horizon(rule: Rule) -> int | None:
    """How long before an alert something may have happened that decides it; None: however long."""
    match rule.pattern:
        case rules_.Count(within=None):
            back = 2 * DAY_US  # a calendar day, wherever the camera stands
        case rules_.Count(within=within) | rules_.Sequence(within=within):
            back = within or 0
        case rules_.Convoy(within=within, apart=apart):
            back = within + apart
        case rules_.Dwell(longer=longer) | rules_.Silent(longer=longer):
            back = longer
        case rules_.Unseen(longer=None):
            return None
        case rules_.Unseen(longer=longer):
            back = longer or 0
        case rules_.Travel(faster=faster):
            back = round(FARTHEST_KM / faster * HOUR_US)
        case None:
            back = 0
    return back + rule.cooldown


def _reach(known: Told | None, tried: int | None) -> int | None:
    """How long after one alert another may follow from it, as the log's rule has it or the file's;
    None: however long.
    """
    if known is None or known.defined is None:
        return tried
    try:
        own = horizon(rule_of(known.defined))
    except RulesError:  # the engine passes over it as well
        return tried
    return None if own is None or tried is None else max(own, tried)


def _book(rules: Sequence[Rule], known: Rulebook) -> Rulebook:
    """Rules in force from the beginning, with the lists as they were."""
    book = Rulebook()
    book.watch = known.watch
    for rule in rules:
        book.put(rule.name, replace(rule, enabled=True), 0)
    return book


def _decoded(codec: Codec, entry: Entry) -> tuple[str, Any]:
    try:
        return codec.decode(entry.value or b"")
    except DecodeError:
        return "", None


class _Replay:
    """The two stages of the engine, over the records of all partitions in log order."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        book: Rulebook,
        alerts: TwoSides,
        changed: Callable[[int], bool],
    ) -> None:
        self._log = log
        self._codec = codec
        self._alerts = alerts
        self._changed = changed
        self.near: set[str] = set()
        """Sightings that were told of near a change of the log's rules or lists."""
        partitions = log.partitions(DETECTED.name)
        self._matching = [Matching(partition, book) for partition in range(partitions)]
        self._raising = Raising(book, partitions)
        self.records = 0
        self.unreadable = 0
        self.poison = 0
        self.first_at: int | None = None
        self.whole = False

    def run(
        self,
        start: int,
        until: int,
        progress: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> None:
        """Fold what was appended from ``start`` on and before ``until``."""
        firsts, ends = self._bounds(start)
        self.whole = not any(firsts)
        total = sum(ends) - sum(firsts)
        streams = [
            span(self._log, DETECTED.name, partition, first, end)
            for partition, (first, end) in enumerate(zip(firsts, ends, strict=True))
        ]
        for entry in heapq.merge(*streams, key=_order):
            if entry.appended_at >= until:
                break
            if self.first_at is None:
                self.first_at = entry.appended_at
            if self.records % EVERY == 0:
                if stop():
                    raise Stopped("the replay was stopped; nothing was written")
                progress(self.records, total)
            self._fold(entry)
            self.records += 1
        progress(self.records, self.records)

    def _bounds(self, start: int) -> tuple[list[int], list[int]]:
        name, partitions = DETECTED.name, range(len(self._matching))
        ends = [self._log.end(name, partition) for partition in partitions]
        if start <= 0:
            return [self._log.lowest(name, partition) for partition in partitions], ends
        near = self._log.since(name, start)
        firsts = [first_since(self._log, name, p, start, near[p]) for p in partitions]
        return firsts, ends

    def _fold(self, entry: Entry) -> None:
        matching = self._matching[entry.partition]
        if entry.value is None:
            signals = matching.erase((entry.key or b"").decode("utf-8", "replace"))
        else:
            name, record = _decoded(self._codec, entry)
            if name not in DETECTED.records:
                self.unreadable += 1
                return
            if name == "PlateEvent" and self._changed(entry.appended_at):
                self.near.add(record["event_id"])
            try:
                signals = matching.fold(name, record, entry.offset, entry.appended_at)
            except Exception:  # as live, where such a record is a dead letter
                self.poison += 1
                return
        self._raise(signals, entry.appended_at)

    def _raise(self, signals: Sequence[Signal], at: int) -> None:
        for signal in signals:
            for event in self._raising.fold(signal):
                self._alerts.take(REPLAYED, event, at)


def _order(entry: Entry) -> tuple[int, int, int]:
    return entry.appended_at, entry.partition, entry.offset


def _read_recorded(
    log: Log, codec: Codec, start: int, alerts: TwoSides, stop: Callable[[], bool]
) -> None:
    """The alerts that the log holds: all that was said of them since, to this day."""
    near = log.since(ALERTS.name, start) if start > 0 else {}
    for partition in range(log.partitions(ALERTS.name)):
        first = log.lowest(ALERTS.name, partition)
        if start > 0:
            first = first_since(log, ALERTS.name, partition, start, near[partition])
        entries = span(log, ALERTS.name, partition, first, log.end(ALERTS.name, partition))
        for passed, entry in enumerate(entries):
            if passed % EVERY == 0 and stop():
                raise Stopped("the replay was stopped; nothing was written")
            name, event = _decoded(codec, entry)
            if name == "AlertEvent" and not redriven(entry.topic, entry.headers):
                alerts.take(RECORDED, event, entry.appended_at)
