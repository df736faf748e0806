"""alpr.alerts into the queue: what is news, who is to be told of it, and what is too old."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import cast

import psycopg2

from eventlog.log import Append, Entry, Log, LogError, OffsetGone
from notify.channel import Channel, OptionsError
from notify.ledger import DeadLetters, Ledger, Told
from notify.limits import SECOND
from notify.orders import actions, further, order, unusable
from notify.queue import Dropped, Order, Page, Queue
from projections.errors import PositionConflict
from projections.rulebook import RulebookFollower
from rules.alerts.life import fold
from rules.alerts.rule import Action, Rule
from schemas.codec import Codec, DecodeError
from schemas.records import AlertEvent
from schemas.topics import ALERTS, partition_of

_log = logging.getLogger(__name__)

GROUP = "alpr-notify"
"""The group that Kafka's tools show the lag of; the position itself is the queue's."""
STALE = 600 * SECOND
"""An alert that is older is recorded, and nobody is told."""
BATCH = 200
IDLE_S = (0.005, 0.025)
"""How soon to look again when there was nothing: at first, and after a second without."""
OTHERS_S = 0.5
"""How soon to look whether the process that reads the alerts has gone."""
_MARK_S = 5.0
_ESCALATIONS_S = 0.2
_RULE_S = 1.0  # how long a rule that an alert names may be on its way
_VAIN_S = 30.0  # how long nothing is waited for after a rule that did not come
_ID = 200  # characters of an alert's id; ours have 36


class Consumer:
    """Reads every partition; for one thread. ``clock`` gives microseconds UTC of the wall.

    Any number of processes may have one: the database lets one of them read at a time.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        queue: Queue,
        *,
        follower: RulebookFollower,
        channels: Mapping[str, Channel],
        ledger: Ledger,
        dead: DeadLetters,
        clock: Callable[[], int],
        ring: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._queue = queue
        self._follower = follower
        self._channels = channels
        self._ledger = ledger
        self._dead = dead
        self._clock = clock
        self._ring = ring
        self._positions: dict[int, int] | None = None
        self._told_from: dict[int, int] = {}
        self._quiet_since = 0.0
        self._escalated = 0.0
        self._marked = 0.0
        self._versions: dict[tuple[str, str], Rule] = {}
        self._unknown: set[tuple[str, str]] = set()
        self._waits_from = 0.0

    def step(self) -> float:
        """Read once what there is; how many seconds to pause before the next time.

        May be called again after any error: nothing was read then that is not in the queue.
        """
        positions, self._positions = self._positions, None
        if not self._queue.mine():
            return OTHERS_S
        if positions is None:
            self._follower.complete()
            positions = self._queue.positions()
            self._told_from = self._queue.told_from()
        read = 0
        try:
            for partition in sorted(positions):
                read += self._read(partition, positions)
        except PositionConflict:
            return 0.0  # another process read on, before it lost the lock that is ours now
        now = time.monotonic()
        if not read and now - self._escalated >= _ESCALATIONS_S:
            self._escalated = now
            self._escalate(positions)
        if now - self._marked >= _MARK_S:
            self._marked = now
            self._mark(positions)
        self._positions = positions
        if read:
            self._quiet_since = now
            return 0.0
        return IDLE_S[now - self._quiet_since > 1.0]

    def close(self) -> None:
        """Let another process read."""
        self._queue.close()

    def _read(self, partition: int, positions: dict[int, int]) -> int:
        start = positions[partition]
        try:
            entries = self._log.read(ALERTS.name, partition, start, BATCH)
        except OffsetGone as gone:
            _log.error("alerts that retention dropped are told to nobody: %s", gone)
            with self._queue.writing(partition, start, gone.lowest):
                positions[partition] = gone.lowest
            return 1
        if not entries:
            return 0
        while self._follower.look():
            pass
        told = Told()
        events = [self._event(entry, told) for entry in entries]
        end, queued = entries[-1].offset + 1, 0
        with self._queue.writing(partition, start, end) as page:
            for entry, event in zip(entries, events, strict=True):
                queued += self._take(page, entry, event, told)
            self._ledger.write(told)
        positions[partition] = end
        if queued:
            self._ring(queued)
        return len(entries)

    def _event(self, entry: Entry, told: Told) -> AlertEvent | None:
        """The alert event of a record; None for one that erases, or is none."""
        if entry.value is None:
            return None
        try:
            name, record = self._codec.decode(entry.value)
            if name != "AlertEvent":
                raise DecodeError("schema", f"a {name} does not belong on {ALERTS.name}")
            if not 0 < len(record["alert_id"]) <= _ID:
                raise DecodeError("unreadable", f"an alert's id has 1 to {_ID} characters")
            if not all(_in_calendar(record[name]) for name in ("at", "first_at", "last_at")):
                raise DecodeError("unreadable", "an alert's times lie in the years 1 to 9999")
        except DecodeError as error:
            told.letters.append(self._ledger.letter(entry, error.reason, error.detail))
            return None
        return cast("AlertEvent", record)

    def _take(self, page: Page, entry: Entry, event: AlertEvent | None, told: Told) -> int:
        """What a record does to the queue; how many deliveries are due."""
        own = Told()
        try:
            with page.part():
                if event is not None:
                    queued = _Reading(self, page, entry, event, own).take()
                else:
                    queued = 0
                    if entry.value is None:
                        page.erase((entry.key or b"").decode("utf-8", "replace"))
        except (ValueError, psycopg2.DataError) as error:  # what no row can hold, such as NUL
            told.letters.append(self._ledger.letter(entry, "refused", str(error)))
            return 0
        told.add(own)
        return queued

    def rule(self, event: AlertEvent, appended_at: int) -> Rule | None:
        """The version of the rule that an event names, else the one in force."""
        name, version = event["rule"], event["rule_version"]
        found = self._version(name, version, appended_at)
        began = time.monotonic()
        until = began + _RULE_S if began >= self._waits_from else began
        while found is None and (name, version) not in self._unknown:
            if self._follower.look():
                found = self._version(name, version, appended_at)
            elif (now := time.monotonic()) >= until:
                self._waits_from = now + _VAIN_S
                self._unknown.add((name, version))
                _log.warning(
                    "rule %r, version %s, is not on the log: what it finds is told as the version "
                    "in force says, if there is one", name, version,
                )  # fmt: skip
            else:
                time.sleep(IDLE_S[0])
        return found or self._follower.book.current(name, self._clock())

    def _version(self, name: str, version: str, appended_at: int) -> Rule | None:
        found = self._follower.book.current(name, appended_at)  # as a rule it is this one
        if found is None or found.version != version:
            found = self._versions.get((name, version))
        if found is None and (name, version) not in self._unknown:
            for at in self._follower.book.changes():
                if (one := self._follower.book.current(name, at)) is not None:
                    self._versions[name, one.version] = one
            found = self._versions.get((name, version))
        return found

    def _escalate(self, positions: Mapping[int, int]) -> None:
        """Append what is to be told to others; reading it back queues it, once."""
        now = self._clock()
        late = self._queue.drop_escalations(now - STALE)
        if late:
            _log.warning("%d alerts were to be escalated over 10 minutes ago and are not now", late)
        due = self._queue.due_escalations(now)
        caught_up: dict[int, bool] = {}
        for alert_id, raised in due:
            key = alert_id.encode()
            partition = partition_of(key, self._log.partitions(ALERTS.name))
            # What is not read yet may acknowledge it, or be the escalation of a try before.
            if partition not in caught_up:
                caught_up[partition] = self._caught_up(partition, positions[partition])
            if not caught_up[partition]:
                continue
            _, event = self._codec.decode(raised)
            event |= {"kind": "escalated", "at": now, "actor": None, "comment": None}
            value = self._codec.encode(ALERTS.name, "AlertEvent", event)
            self._log.append(ALERTS.name, partition, [Append(key, value)])

    def _caught_up(self, partition: int, position: int) -> bool:
        reached = max(position, self._log.reached(ALERTS.name, partition, position))
        return reached >= self._log.end(ALERTS.name, partition)

    def _mark(self, positions: Mapping[int, int]) -> None:
        try:
            self._log.mark(GROUP, ALERTS.name, positions)
        except LogError as error:
            _log.warning("the lag of %s is not shown for now: %s", GROUP, error)

    # What a reading needs of its consumer.

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Channels by type."""
        return self._channels

    @property
    def ledger(self) -> Ledger:
        """What makes records of attempts."""
        return self._ledger

    def now(self) -> int:
        """Wall time in microseconds."""
        return self._clock()

    def history(self, entry: Entry) -> bool:
        """Whether it was there before this queue was."""
        return entry.offset < self._told_from.get(entry.partition, 0)

    def redriven(self, entry: Entry) -> bool:
        """Whether somebody sent the record again."""
        return self._dead.redriven(entry)


class _Reading:
    """One alert event, and what it does to the queue."""

    def __init__(
        self, consumer: Consumer, page: Page, entry: Entry, event: AlertEvent, told: Told
    ) -> None:
        self._consumer = consumer
        self._page = page
        self._entry = entry
        self._event = event
        self._told = told
        self._now = consumer.now()

    def take(self) -> int:
        """How many deliveries are queued."""
        event, page = self._event, self._page
        before = page.life(event["alert_id"])
        again = self._consumer.redriven(self._entry)
        after, news = fold(before, event, redriven=again)
        if after != before:
            page.keep(after, self._now)
        if self._consumer.history(self._entry):
            return 0
        if event["kind"] in ("acknowledged", "resolved", "withdrawn", "escalated"):
            page.calm(event["alert_id"])
        # One that is raised anew may be escalated anew, which is nothing new in an alert's life.
        if not (news or again or event["kind"] == "escalated"):
            return 0
        rule = self._consumer.rule(event, self._entry.appended_at)
        if rule is None:
            return 0
        return self._again(rule) if again else self._tell(rule, stands=after.state == "open")

    def _tell(self, rule: Rule, *, stands: bool) -> int:
        """Tell those whom the rule names; ``stands``: and nobody has seen to it."""
        match self._event["kind"]:
            case "raised":
                return self._raise(rule, escalates=stands)
            case "escalated":
                further_too = further(rule) if stands else []
                return self._others(rule) + sum(self._add(rule, *one) for one in further_too)
            case "withdrawn":
                return self._withdraw(rule)
            case _:
                if self._event["kind"] == "updated":
                    self._page.rephrase(self._event["alert_id"], self._entry.value or b"")
                return self._others(rule)

    def _raise(self, rule: Rule, *, escalates: bool) -> int:
        queued = 0
        for name, action in actions(rule):
            if "raised" in action.on:
                queued += self._add(rule, name, action)
        if rule.escalation is not None and escalates and not self._stale():
            due = self._now + rule.escalation.after
            self._page.escalate(self._event["alert_id"], due, self._entry.value or b"")
        return queued

    def _withdraw(self, rule: Rule) -> int:
        """Whoever was told is told; whoever was not never hears of either."""
        queued = 0
        for name, action in actions(rule) + further(rule):
            order = self._order(rule, name, action, report=False)
            if order is None:
                continue
            told, dropped = self._page.told(self._event["alert_id"], order.lane, drop=True)
            for one in dropped:
                self._record(one, "withdrawn", "withdrawn before it was sent")
            if "withdrawn" not in action.on:
                continue
            if told:
                queued += self._queue(order)
            elif dropped:
                self._note(order, "withdrawn", "nobody had been told")
        return queued

    def _others(self, rule: Rule) -> int:
        """Tell those who ask for it, and know of the alert."""
        queued, lanes = 0, set[str]()
        for name, action in actions(rule) + further(rule):
            if self._event["kind"] not in action.on:
                continue
            order = self._order(rule, name, action, report=False)
            if order is None or order.lane in lanes:
                continue
            lanes.add(order.lane)
            if self._page.told(self._event["alert_id"], order.lane)[0]:
                queued += self._queue(order)
        return queued

    def _again(self, rule: Rule) -> int:
        """Somebody sent the record again: what was given up of it is tried again."""
        queued = 0
        for name, action in actions(rule) + further(rule):
            order = self._order(rule, name, action, report=False)
            if order is not None:
                queued += self._page.again(order, self._entry, self._now)
        return queued

    def _add(self, rule: Rule, name: str, action: Action) -> int:
        order = self._order(rule, name, action)
        return 0 if order is None else self._queue(order)

    def _queue(self, order: Order) -> int:
        if self._stale():
            self._note(order, "stale", "older than 10 minutes when it was read")
            return 0
        return int(self._page.add(order, self._entry, self._event["alert_id"], self._now))

    def _order(self, rule: Rule, name: str, action: Action, *, report: bool = True) -> Order | None:
        """The delivery by an action, None where it cannot be used."""
        try:
            return order(self._event, rule, name, action, self._consumer.channels)
        except OptionsError as error:
            if report:
                refused = unusable(self._event, rule, name, action)
                if self._note(refused, "refused", str(error)):
                    letter = self._consumer.ledger.letter(self._entry, "refused", str(error))
                    self._told.letters.append(letter)
                    _log.error("rule %r, %s: %s", rule.name, action.type, error)
            return None

    def _note(self, order: Order, outcome: str, detail: str) -> bool:
        alert_id = self._event["alert_id"]
        new = self._page.note(order, self._entry, alert_id, outcome, self._now)
        if new:
            dropped = Dropped(order.notification_id, alert_id, order.channel, order.target)
            self._record(dropped, outcome, detail)
        return new

    def _record(self, one: Dropped, outcome: str, detail: str) -> None:
        attempt = self._consumer.ledger.attempt(
            one.notification_id, one.alert_id, one.channel, one.target, outcome, detail
        )
        self._told.attempts.append(attempt)

    def _stale(self) -> bool:
        """Whether it is too old to be told; what follows up on what was told, by the log's time."""
        at = self._event["at"]
        if self._event["kind"] != "raised":
            at = max(at, self._entry.appended_at)
        return at < self._now - STALE


def _in_calendar(at: int | None) -> bool:
    """Whether a time can be told as a date."""
    return at is None or -62_135_596_800 <= at // SECOND < 253_402_300_800
