"""Raw reads become sightings: alpr.reads.raw → alpr.plates.detected and alpr.reads.rejected.

``python -m bytewax.run dataflows.dedup -r FOLDER -s 1 -b 0`` runs it on the settings' log. What
is decided, ``rules.dedup`` decides; here stands only what flows where.
"""

import atexit
import gc
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from dataflows.dead_letters import dead_letter
from dataflows.layout import FLOW, FOLD, SOURCE, OwnedSource
from dataflows.log_io import Batch, LogSink, LogSource
from dataflows.patience import Patience
from eventlog.log import Append, Entry, Log
from eventlog.redriven import REDRIVEN
from eventlog.tracing import tracing
from rules.dedup import Deduplication
from rules.grammar import Grammar, grammar
from rules.settings import DedupSettings
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.records import PlateEvent
from schemas.topics import DETECTED, DLQ, RAW, REJECTED

_OUT = dict.fromkeys(DETECTED.records, DETECTED.name) | {"ReadRejected": REJECTED.name}


class Decided(NamedTuple):
    """What a batch of raw records gave, by topic."""

    detected: list[Append]
    rejected: list[Append]
    dead: list[Append]


class Dedup:
    """Decodes, folds and encodes the records of one partition; its state is a plain dict."""

    def __init__(
        self,
        codec: Codec,
        settings: DedupSettings,
        plates: Grammar,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._codec = codec
        self._settings = settings
        self._plates = plates
        self._state = state
        self._fold: Deduplication | None = None
        self._encoders = {name: codec.encoder(topic, name) for name, topic in _OUT.items()}

    def batch(self, entries: Sequence[Entry]) -> Decided:
        """Fold the records in order; one that cannot be processed goes to the dead letters."""
        decided = Decided([], [], [])
        if self._fold is None and entries:
            self._fold = Deduplication(
                entries[0].partition, self._settings, self._plates, self._state
            )
        for entry in entries:
            assert self._fold is not None
            try:
                self._one(self._fold, entry, decided)
            except DecodeError as error:
                decided.dead.append(
                    dead_letter(self._codec, entry, "decode", error.reason, error.detail)
                )
            except Exception as error:  # a poisoned record must not stop all that follow it
                detail = f"{type(error).__name__}: {error}"
                decided.dead.append(dead_letter(self._codec, entry, "dedup", "poison", detail))
        return decided

    def snapshot(self) -> dict[str, Any]:
        """The fold's state, independent of what happens next."""
        if self._fold is not None:
            return self._fold.snapshot()
        assert self._state is not None, "a snapshot follows a batch or a resumption"
        return self._state

    def _decode(self, value: bytes) -> tuple[str, Any]:
        """The record; a registry that is away says nothing about it and is waited for."""
        try:
            return self._codec.decode(value)
        except RegistryUnavailable:
            return Patience((RegistryUnavailable,)).until(lambda: self._codec.decode(value))

    def _one(self, fold: Deduplication, entry: Entry, decided: Decided) -> None:
        if entry.value is None:
            raise DecodeError("unreadable", "a raw record without a value")
        name, record = self._decode(entry.value)
        if name not in RAW.records:
            raise DecodeError("schema", f"a {name} does not belong on {RAW.name}")
        again = REDRIVEN in entry.headers
        traces = tracing()
        began = time.time_ns() // 1000 if traces is not None else 0
        for out in fold.fold(name, record, entry.offset, entry.appended_at, redriven=again):
            value = self._encoders[out.name](out.record)
            append = Append(out.key.encode(), value, entry.headers)
            (decided.rejected if out.name == "ReadRejected" else decided.detected).append(append)
            if traces is not None and out.name == "PlateEvent":
                event: PlateEvent = out.record
                traces.step(
                    *("dedup", event["event_id"], began),
                    cause=entry.headers,
                    status=event["status"],
                    revision=event["revision"],
                    waited_ms=(began - entry.appended_at) / 1000,
                )


class _DedupLogic(StatefulBatchLogic["Batch", "Decided", "dict[str, Any]"]):
    def __init__(self, dedup: Dedup) -> None:
        self._dedup = dedup

    def on_batch(self, values: list[Batch]) -> tuple[list[Decided], bool]:
        return [self._dedup.batch(batch.entries) for batch in values], False

    def snapshot(self) -> dict[str, Any]:
        return self._dedup.snapshot()


def dedup_flow(
    log: Log,
    codec: Codec,
    settings: DedupSettings,
    plates: Grammar,
    partitions: Sequence[int],
) -> Dataflow:
    """The dataflow over some partitions of one log; several may run over disjoint ones."""

    def logic(state: dict[str, Any] | None) -> _DedupLogic:
        return _DedupLogic(Dedup(codec, settings, plates, state))

    flow = Dataflow(FLOW)
    raw = LogSource(log, RAW.name, partitions, group="alpr-dedup")
    source = OwnedSource(raw, partitions, log.partitions(RAW.name))
    decided = op.stateful_batch(FOLD, op.input(SOURCE, flow, source), logic)
    detected = op.map_value("detected", decided, lambda batch: batch.detected)
    rejected = op.map_value("rejected", decided, lambda batch: batch.rejected)
    dead = op.map_value("dead", decided, lambda batch: batch.dead)
    op.output("to_rejected", rejected, LogSink(log, REJECTED.name, partitions))
    op.output("to_dlq", dead, LogSink(log, DLQ.name, partitions))
    op.output("to_detected", detected, LogSink(log, DETECTED.name, partitions))
    return flow


def collect_rarely() -> None:
    """Look for cyclic garbage a hundred times less often than Python would by itself.

    Folding leaves none, and Python would look through all open sightings again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(70_000, 10, 10)


def flow() -> Dataflow:
    """The dataflow on the settings' log, for ``python -m bytewax.run dataflows.dedup``."""
    from alpr import wiring

    with wiring.flow_settings("dedup") as settings:
        plates = grammar()
        plates.check(settings.dedup.country)
        log = wiring.open_log(settings, waits=True)
        atexit.register(wiring.hold_partitions(settings, log.uuid).close)
        codec = wiring.open_codec(settings, waits=True)
        collect_rarely()
        return dedup_flow(log, codec, settings.dedup, plates, settings.own_partitions)
