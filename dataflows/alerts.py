"""Sightings become alerts: alpr.plates.detected → alpr.alerts, by the rules and lists of the log.

``python -m bytewax.run dataflows.alerts -r FOLDER -s 2 -b 0`` runs it on the settings' log. What
matches, ``rules.alerts.matching`` decides, by partition; what is raised, ``rules.alerts.raising``,
by rule: between the two the records change their key, so a cluster of Bytewax's may share them.
"""

import atexit
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from dataflows.dead_letters import dead_letter
from dataflows.log_io import Batch, LogSink, LogSource, part_name
from dataflows.observe import alert_events, alerts_triggered, evaluation
from dataflows.patience import Patience
from eventlog.log import Append, Entry, Log, LogUnavailable
from eventlog.span import first_since
from eventlog.tracing import tracing
from projections.rulebook import RulebookFollower
from rules.alerts.matching import Matching
from rules.alerts.raising import Raising, UnknownRule
from rules.alerts.rulebook import Rulebook
from rules.alerts.signals import BUCKETS, Signal, buckets
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import AlertEvent
from schemas.topics import ALERTS, DETECTED, DLQ, partition_of

_log = logging.getLogger(__name__)

GROUP = "alpr-alert-engine"
LOOK_S = 0.05
"""How often rules and lists are looked at while sightings come."""
MARK_S = 1.0
"""How often the log is told how far the flow is: `alpr up --once` waits for it."""
FRESH_US = 600_000_000
"""Without a store the flow begins with what was appended this long ago: older is history, which
`alpr rules backtest` tells, and nobody is told of an alert as old as that."""

_BUCKET_NAMES = [f"{bucket:02d}" for bucket in range(BUCKETS)]


class Matched(NamedTuple):
    """What a batch of sightings gave: signals by bucket, and what could not be processed."""

    signals: list[tuple[str, list[Signal]]]
    dead: list[Append]


class Following:
    """The rulebook of this process, looked after by whoever works; not by several workers."""

    def __init__(
        self,
        follower: RulebookFollower,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._follower = follower
        self._patience = patience or Patience((LogUnavailable, RegistryUnavailable))
        self._clock = clock
        self._lock = threading.Lock()
        self._patience.until(follower.complete)
        self._next = clock() + LOOK_S

    @property
    def book(self) -> Rulebook:
        """The rulebook as it was last looked at."""
        return self._follower.book

    def look(self, *, now: bool = False) -> None:
        """Take in what people have changed, if it is time or at once."""
        if not now and self._clock() < self._next:
            return
        with self._lock:
            self._patience.until(self._follower.complete)
            self._next = self._clock() + LOOK_S


class Match:
    """Decodes and matches the records of one partition; its state is a plain dict."""

    def __init__(self, codec: Codec, following: Following, state: dict[str, Any] | None) -> None:
        self._codec = codec
        self._following = following
        self._state = state
        self._fold: Matching | None = None

    def batch(self, entries: Sequence[Entry]) -> Matched:
        """Match the records in order; one that cannot be processed goes to the dead letters."""
        self._following.look()
        if self._fold is None and entries:
            self._fold = Matching(entries[0].partition, self._following.book, self._state)
        by_bucket: dict[int, list[Signal]] = defaultdict(list)
        dead: list[Append] = []
        for entry in entries:
            assert self._fold is not None
            try:
                for signal in self._one(self._fold, entry):
                    for bucket in buckets(signal):
                        by_bucket[bucket].append(signal)
            except DecodeError as error:
                dead.append(dead_letter(self._codec, entry, "decode", error.reason, error.detail))
            except Exception as error:  # a poisoned record must not stop all that follow it
                detail = f"{type(error).__name__}: {error}"
                dead.append(dead_letter(self._codec, entry, "alerts", "poison", detail))
        return Matched([(_BUCKET_NAMES[b], signals) for b, signals in by_bucket.items()], dead)

    def snapshot(self) -> dict[str, Any]:
        """The fold's state, independent of what happens next."""
        if self._fold is not None:
            return self._fold.snapshot()
        assert self._state is not None, "a snapshot follows a batch or a resumption"
        return self._state

    def _one(self, fold: Matching, entry: Entry) -> list[Signal]:
        if entry.value is None:
            return fold.erase((entry.key or b"").decode("utf-8", "replace"))
        name, record = self._decode(entry.value)
        if name not in DETECTED.records:
            raise DecodeError("schema", f"a {name} does not belong on {DETECTED.name}")
        if name != "PlateEvent":
            return fold.fold(name, record, entry.offset, entry.appended_at)
        alert_events().inc()
        began = time.perf_counter()
        signals = fold.fold(name, record, entry.offset, entry.appended_at)
        evaluation().observe(time.perf_counter() - began)
        return signals

    def _decode(self, value: bytes) -> tuple[str, Any]:
        """The record; a registry that is away says nothing about it and is waited for."""
        try:
            return self._codec.decode(value)
        except RegistryUnavailable:
            return Patience((RegistryUnavailable,)).until(lambda: self._codec.decode(value))


class _MatchLogic(StatefulBatchLogic["Batch", "Matched", "dict[str, Any]"]):
    def __init__(self, match: Match) -> None:
        self._match = match

    def on_batch(self, values: list[Batch]) -> tuple[list[Matched], bool]:
        return [self._match.batch(batch.entries) for batch in values], False

    def snapshot(self) -> dict[str, Any]:
        return self._match.snapshot()


class _RaiseLogic(
    StatefulBatchLogic["list[Signal]", "list[tuple[str, list[Append]]]", "dict[str, Any]"]
):
    """Raises what the rules of one bucket find; gives records by partition of alpr.alerts."""

    def __init__(
        self, codec: Codec, raising: Raising, following: Following, partitions: int
    ) -> None:
        self._encode = codec.encoder(ALERTS.name, "AlertEvent")
        self._raising = raising
        self._following = following
        self._partitions = partitions
        self._told: set[str] = set()

    def on_batch(
        self, values: list[list[Signal]]
    ) -> tuple[list[list[tuple[str, list[Append]]]], bool]:
        self._following.look()
        records: dict[int, list[Append]] = defaultdict(list)
        traces = tracing()
        for signals in values:
            for signal in signals:
                began = time.time_ns() // 1000 if traces is not None else 0
                for event, value in self._raised(signal):
                    if event["kind"] == "raised":
                        alerts_triggered().labels(event["rule"]).inc()
                    if traces is not None and event["event_id"]:
                        alert = event["alert_id"]
                        traces.step(
                            event["kind"], event["event_id"], began, rule=event["rule"], alert=alert
                        )
                    key = event["alert_id"].encode()
                    records[partition_of(key, self._partitions)].append(Append(key, value))
        if not records:
            return [], False
        return [[(part_name(partition), made) for partition, made in records.items()]], False

    def snapshot(self) -> dict[str, Any]:
        return self._raising.snapshot()

    def _raised(self, signal: Signal) -> list[tuple[AlertEvent, bytes]]:
        """What a signal lets say, encoded; what one rule stumbles over must not stop the others."""
        try:
            return [(event, self._encode(event)) for event in self._folded(signal)]
        except UnknownRule as error:  # of a newer release, that this one cannot read
            self._tell_once(str(error))
        except Exception as error:
            rule = getattr(signal, "rule", "of no rule")
            self._tell_once(f"rule {rule!r}: {type(error).__name__}: {error}")
        return []

    def _folded(self, signal: Signal) -> list[AlertEvent]:
        try:
            return self._raising.fold(signal)
        except UnknownRule:  # of a process that has looked at the rules since this one has
            self._following.look(now=True)
            return self._raising.fold(signal)

    def _tell_once(self, trouble: str) -> None:
        if trouble not in self._told:
            self._told.add(trouble)
            _log.error("what counts for it is passed over: %s", trouble)


def alerts_flow(
    log: Log, codec: Codec, following: Following, starts: dict[int, int] | None = None
) -> Dataflow:
    """The dataflow over all partitions of one log.

    ``starts``: next offset by partition where the recovery store says nothing.
    """
    count = log.partitions(DETECTED.name)
    partitions = range(count)
    out = range(log.partitions(ALERTS.name))

    def match(state: dict[str, Any] | None) -> _MatchLogic:
        return _MatchLogic(Match(codec, following, state))

    def raise_(state: dict[str, Any] | None) -> _RaiseLogic:
        return _RaiseLogic(codec, Raising(following.book, count, state), following, len(out))

    def by_rule(keyed: tuple[str, Matched]) -> Iterator[tuple[str, list[Signal]]]:
        yield from keyed[1].signals

    flow = Dataflow("alerts")
    source = LogSource(log, DETECTED.name, partitions, starts, GROUP, mark_s=MARK_S)
    matched = op.stateful_batch("match", op.input("detected", flow, source), match)
    dead = op.map_value("dead", matched, lambda batch: batch.dead)
    op.output("to_dlq", dead, LogSink(log, DLQ.name, partitions))
    raised = op.stateful_batch("raise", op.flat_map("by_rule", matched, by_rule), raise_)
    appended = op.flat_map("by_alert", raised, lambda keyed: keyed[1])
    op.output("to_alerts", appended, LogSink(log, ALERTS.name, out))
    return flow


def _starts(log: Log, since: int) -> dict[int, int]:
    near = log.since(DETECTED.name, since)
    return {p: first_since(log, DETECTED.name, p, since, low) for p, low in near.items()}


def flow() -> Dataflow:
    """The dataflow on the settings' log, for ``python -m bytewax.run dataflows.alerts``."""
    from alpr import wiring
    from dataflows.delivered import Delivered

    with wiring.flow_settings("alerts") as settings:
        log = wiring.open_log(settings, waits=True)
        atexit.register(wiring.hold_alerts(settings, log.uuid).close)
        codec = wiring.open_codec(settings, waits=True)
        waits = Patience((LogUnavailable, RegistryUnavailable))
        since = time.time_ns() // 1000 - FRESH_US
        starts = waits.until(lambda: _starts(log, since))
        following = Following(RulebookFollower(log, codec))
        Delivered(wiring.open_log(settings, waits=True), codec).start()
        return alerts_flow(log, codec, following, starts)
