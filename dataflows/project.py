"""Sightings become rows: alpr.plates.detected → the read model in PostgreSQL.

``python -m bytewax.run dataflows.project`` runs it on the settings' log and database. It takes
no recovery store: it starts where its view stands, since rows and position are written together.
"""

import atexit
import os
from collections.abc import Iterable, Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from dataflows.dead_letters import dead_letter
from dataflows.log_io import Batch, LogSource, part_name
from eventlog.log import Append, Entry, Log
from projections.errors import PositionConflict
from projections.view import Change, Refused, SightingsView, change_of
from schemas.codec import Codec, DecodeError
from schemas.topics import DETECTED, DLQ


class Projection:
    """Applies batches of one partition to the view, and keeps what does not fit as dead letters."""

    def __init__(self, log: Log, codec: Codec, view: SightingsView, partition: int) -> None:
        self._log = log
        self._codec = codec
        self._view = view
        self._partition = partition

    def apply(self, batch: Batch) -> None:
        """Write a batch's rows and position in one transaction.

        What cannot be shown is on alpr.dlq before the position moves past it; after a crash
        between the two it is there twice, with the same coordinates.
        """
        dead: list[Append] = []
        changes: list[Change] = []
        entries: list[Entry] = []
        for entry in batch.entries:
            try:
                changes.append(change_of(entry, self._codec))
                entries.append(entry)
            except DecodeError as error:
                dead.append(dead_letter(self._codec, entry, "decode", error.reason, error.detail))

        def keep(refused: Sequence[Refused]) -> None:
            self._bury(
                dead_letter(self._codec, entries[r.index], "project", "refused", r.reason)
                for r in refused
            )

        self._bury(dead)
        self._view.apply(self._partition, batch.start, changes, batch.end, keep)

    def _bury(self, letters: Iterable[Append]) -> None:
        records = list(letters)
        if records:
            self._log.append(DLQ.name, self._partition, records)


class _Rows(StatefulSinkPartition["Batch", None]):
    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            self._projection.apply(batch)

    def snapshot(self) -> None:
        """The view keeps the position; nothing is pending."""


class ViewSink(FixedPartitionedSink["Batch", None]):
    """Writes batches to the view, one transaction each."""

    def __init__(
        self, log: Log, codec: Codec, view: SightingsView, partitions: Sequence[int]
    ) -> None:
        self._projections = {
            part_name(partition): Projection(log, codec, view, partition)
            for partition in partitions
        }
        self._index = {name: index for index, name in enumerate(sorted(self._projections))}

    def list_parts(self) -> list[str]:
        """One part for each partition."""
        return sorted(self._projections)

    def part_fn(self, item_key: str) -> int:
        """The place of a partition's name in ``list_parts``."""
        return self._index[item_key]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Rows:
        """The writer of one partition."""
        return _Rows(self._projections[for_part])


def project_flow(
    log: Log, codec: Codec, view: SightingsView, partitions: Sequence[int]
) -> Dataflow:
    """The dataflow over some partitions of one log; it ends with an error when the view cannot
    be written, and starts again where the view stands.
    """
    starts = view.positions()
    for partition, position in starts.items():
        end = log.end(DETECTED.name, partition)
        if position > end:
            raise PositionConflict(
                f"{DETECTED.name}, partition {partition}: the view has read up to {position} and"
                f" the log ends at {end}. The log was restored from an older copy: bring back the"
                " newer one, or rebuild the view with `alpr replay`"
            )
    flow = Dataflow("project")
    source = LogSource(log, DETECTED.name, partitions, starts)
    detected = op.input("detected", flow, source)
    op.output("to_view", detected, ViewSink(log, codec, view, partitions))
    return flow


def flow() -> Dataflow:
    """The dataflow on the settings, for ``python -m bytewax.run dataflows.project``."""
    from alpr import wiring
    from alpr.settings import load

    settings = load(os.environ)
    log = wiring.open_log(settings)
    # An embedded server is let go when nobody holds it: this process does until it ends.
    database = wiring.open_database(settings)
    atexit.register(database.stop)
    view = wiring.open_view(database, log.uuid)
    return project_flow(log, wiring.open_codec(settings), view, settings.own_partitions)
