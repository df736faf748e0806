"""Sightings become documents: alpr.plates.detected → the read model in OpenSearch.

``python -m bytewax.run dataflows.index`` runs it on the settings' log and ALPR_SEARCH_URL. It takes
no recovery store: it starts where its view stands. While OpenSearch, the log or the registry is
away it holds the batch in hand and waits.
"""

import time
from collections.abc import Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import StatefulSinkPartition

from dataflows.dead_letters import dead_letter
from dataflows.log_io import Batch, LogSource, PartitionSink, part_name
from dataflows.observe import trace_shown, written
from dataflows.patience import Patience
from dataflows.retention import Retention
from eventlog.log import Append, Entry, Log, LogUnavailable
from projections.errors import PositionConflict, ViewUnavailable
from projections.search_view import SearchView
from projections.view import Change, Refused, change_of
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import DETECTED, DLQ

GROUP = "alpr-elasticsearch-consumer"


def _patience() -> Patience:
    """Waits for OpenSearch, the log and the registry."""
    return Patience((ViewUnavailable, LogUnavailable, RegistryUnavailable))


class Indexing:
    """Applies batches of one partition to the view, and keeps what does not fit as dead letters."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        view: SearchView,
        partition: int,
        *,
        start: int,
        patience: Patience,
    ) -> None:
        self._log = log
        self._codec = codec
        self._view = view
        self._partition = partition
        self._next = start
        self._patience = patience

    def apply(self, batch: Batch) -> None:
        """Write a batch's documents, then its position.

        What cannot be shown is on alpr.dlq before the position moves past it; after a crash
        between the two it is there twice, with the same coordinates.
        """
        changes: list[Change] = []
        entries: list[Entry] = []
        dead: list[Append] = []
        for entry in batch.entries:
            try:
                changes.append(self._patience.until(lambda one=entry: change_of(one, self._codec)))
                entries.append(entry)
            except DecodeError as error:
                dead.append(dead_letter(self._codec, entry, "decode", error.reason, error.detail))
        self._bury(dead)
        buried: set[int] = set()

        def keep(refused: Sequence[Refused]) -> None:
            new = [one for one in refused if one.index not in buried]
            self._bury(
                [
                    dead_letter(self._codec, entries[one.index], "index", "refused", one.reason)
                    for one in new
                ]
            )
            buried.update(one.index for one in new)

        began = time.time_ns() // 1000
        refused = self._patience.until(
            lambda: self._view.apply(self._partition, self._next, changes, batch.end, keep)
        )
        written().inc(len(changes) - len(refused))
        trace_shown("index", changes, began)
        # Not the batch's own start: at its first start the source begins at the log's lowest.
        self._next = batch.end

    def _bury(self, letters: Sequence[Append]) -> None:
        if letters:
            self._patience.until(lambda: self._log.append(DLQ.name, self._partition, letters))


class _Documents(StatefulSinkPartition["Batch", None]):
    def __init__(self, indexing: Indexing, retention: Retention, patience: Patience) -> None:
        self._indexing = indexing
        self._retention = retention
        self._patience = patience

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            self._indexing.apply(batch)
        self._patience.until(self._retention.look)

    def snapshot(self) -> None:
        """The view keeps the position; nothing is pending."""


class SearchSink(PartitionSink["Batch"]):
    """Writes batches to the view."""

    def __init__(
        self,
        indexings: Sequence[tuple[int, Indexing]],
        retention: Retention,
        patience: Patience,
    ) -> None:
        super().__init__(partition for partition, _ in indexings)
        self._retention = retention
        self._patience = patience
        self._indexings = {part_name(partition): indexing for partition, indexing in indexings}

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Documents:
        """The writer of one partition."""
        return _Documents(self._indexings[for_part], self._retention, self._patience)


def index_flow(
    log: Log,
    codec: Codec,
    view: SearchView,
    partitions: Sequence[int],
    patience: Patience | None = None,
) -> Dataflow:
    """The dataflow over some partitions of one log; it starts where the view stands.

    Raises PositionConflict where the view is ahead of the log.
    """
    waits = patience if patience is not None else _patience()
    starts = waits.until(view.positions)
    for partition in partitions:
        position = starts.get(partition, 0)
        end = waits.until(lambda p=partition: log.end(DETECTED.name, p))
        if position > end:
            raise PositionConflict(
                f"{DETECTED.name}, partition {partition}: the view has read up to {position} and"
                f" the log ends at {end}. The log was restored from an older copy: bring back the"
                " newer one, or rebuild the view with `alpr replay --view opensearch`"
            )
    indexings = [
        (
            partition,
            Indexing(log, codec, view, partition, start=starts.get(partition, 0), patience=waits),
        )
        for partition in partitions
    ]
    flow = Dataflow("index")
    source = LogSource(log, DETECTED.name, partitions, starts, group=GROUP)
    detected = op.input("detected", flow, source)
    op.output("to_search", detected, SearchSink(indexings, Retention(view), waits))
    return flow


def flow() -> Dataflow:
    """The dataflow on the settings, for ``python -m bytewax.run dataflows.index``."""
    from alpr import wiring

    with wiring.flow_settings("index") as settings:
        log = wiring.open_log(settings, waits=True)
        waits = _patience()
        view = waits.until(lambda: wiring.open_search(settings, log.uuid))
        codec = wiring.open_codec(settings, waits=True)
        return index_flow(log, codec, view, settings.own_partitions, waits)
