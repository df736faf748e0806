"""Sightings become rows: alpr.plates.detected → the read model in PostgreSQL.

``python -m bytewax.run dataflows.project`` runs it on the settings' log and database. It takes
no recovery store: it starts where its view stands, since rows and position are written together.
While the database or the schema registry is away it waits where it is and reads nothing.
"""

import atexit
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import StatefulSinkPartition

from dataflows.dead_letters import dead_letter
from dataflows.log_io import Batch, LogSource, PartitionSink, part_name
from dataflows.observe import written
from dataflows.patience import Patience
from dataflows.retention import Retention
from eventlog.log import Append, Entry, Log, LogUnavailable
from projections.errors import EmbeddedError, PositionConflict, ViewMissing, ViewUnavailable
from projections.view import Change, Refused, SightingsView, change_of
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import DETECTED, DLQ

GROUP = "alpr-storage-consumer"
"""The group that Kafka's tools show the lag of; the position itself is the view's."""


def _patience(revive: Callable[[], object] = lambda: None) -> Patience:
    """Waits for the database, the log and the registry; a view that was removed is made anew by
    the next start of the flow.
    """
    away = (ViewUnavailable, LogUnavailable, RegistryUnavailable, EmbeddedError)
    return Patience(away, (ViewMissing,), revive)


class Projection:
    """Applies batches of one partition to the view, and keeps what does not fit as dead letters."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        view: SightingsView,
        partition: int,
        patience: Patience,
    ) -> None:
        self._log = log
        self._codec = codec
        self._view = view
        self._partition = partition
        self._patience = patience

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
                changes.append(self._patience.until(lambda one=entry: change_of(one, self._codec)))
                entries.append(entry)
            except DecodeError as error:
                dead.append(dead_letter(self._codec, entry, "decode", error.reason, error.detail))

        def keep(refused: Sequence[Refused]) -> None:
            self._bury(
                dead_letter(self._codec, entries[r.index], "project", "refused", r.reason)
                for r in refused
            )

        tries = count()

        def write() -> None:
            # A connection that breaks off during the commit does not tell whether it happened.
            again = next(tries) > 0
            if again and self._view.positions().get(self._partition, 0) == batch.end:
                return
            refused = self._view.apply(self._partition, batch.start, changes, batch.end, keep)
            written().inc(len(changes) - len(refused))

        self._patience.until(lambda: self._bury(dead))
        self._patience.until(write)

    def _bury(self, letters: Iterable[Append]) -> None:
        records = list(letters)
        if records:
            self._log.append(DLQ.name, self._partition, records)


class _Rows(StatefulSinkPartition["Batch", None]):
    def __init__(self, projection: Projection, retention: Retention, patience: Patience) -> None:
        self._projection = projection
        self._retention = retention
        self._patience = patience

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            self._projection.apply(batch)
        self._patience.until(self._retention.look)

    def snapshot(self) -> None:
        """The view keeps the position; nothing is pending."""


class ViewSink(PartitionSink["Batch"]):
    """Writes batches to the view, one transaction each."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        view: SightingsView,
        partitions: Sequence[int],
        patience: Patience,
    ) -> None:
        super().__init__(partitions)
        self._patience = patience
        self._retention = Retention(view)
        self._projections = {
            part_name(partition): Projection(log, codec, view, partition, patience)
            for partition in partitions
        }

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Rows:
        """The writer of one partition."""
        return _Rows(self._projections[for_part], self._retention, self._patience)


def project_flow(
    log: Log,
    codec: Codec,
    view: SightingsView,
    partitions: Sequence[int],
    patience: Patience | None = None,
) -> Dataflow:
    """The dataflow over some partitions of one log; it waits while the view cannot be written,
    ends where it must not be, and starts again where the view stands.
    """
    waits = patience if patience is not None else _patience()
    starts = waits.until(view.positions)
    for partition, position in starts.items():
        end = log.end(DETECTED.name, partition)
        if position > end:
            raise PositionConflict(
                f"{DETECTED.name}, partition {partition}: the view has read up to {position} and"
                f" the log ends at {end}. The log was restored from an older copy: bring back the"
                " newer one, or rebuild the view with `alpr replay`"
            )
    flow = Dataflow("project")
    source = LogSource(log, DETECTED.name, partitions, starts, group=GROUP)
    detected = op.input("detected", flow, source)
    op.output("to_view", detected, ViewSink(log, codec, view, partitions, waits))
    return flow


def flow() -> Dataflow:
    """The dataflow on the settings, for ``python -m bytewax.run dataflows.project``."""
    from alpr import wiring

    with wiring.flow_settings() as settings:
        log = wiring.open_log(settings, waits=True)
        # An embedded server is let go when nobody holds it: this process does until it ends.
        database = wiring.open_database(settings)
        atexit.register(database.stop)
        waits = _patience(database.ensure)
        view = waits.until(lambda: wiring.open_view(settings, database, log.uuid))
        codec = wiring.open_codec(settings, waits=True)
        return project_flow(log, codec, view, settings.own_partitions, waits)
