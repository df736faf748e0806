"""What the log says becomes rows in PostgreSQL: views of sightings, of alerts, of what people said.

``python -m bytewax.run dataflows.project`` runs it on the settings' log and database. It takes
no recovery store: it starts where its views stand, since rows and position are written together.
While the database or the schema registry is away it waits where it is and reads nothing.

Whose is partition 0 writes rules, watchlists and cameras too, whose topics have no other.
"""

import atexit
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import StatefulSinkPartition

from dataflows.dead_letters import dead_letter
from dataflows.log_io import IDLE, Batch, Idle, LogSource, PartitionSink, Together, part_name
from dataflows.observe import trace_shown, written
from dataflows.patience import Patience
from dataflows.retention import Retention
from eventlog.log import Append, Entry, Log, LogUnavailable
from projections.alert_view import SHOWN, AlertView, alert_change_of
from projections.errors import EmbeddedError, PositionConflict, ViewMissing, ViewUnavailable
from projections.people_view import PEOPLE_TOPICS, PeopleView, people_change_of
from projections.view import Refused, SightingsView, change_of
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import ALERTS, CORRECTIONS, DETECTED, DLQ, TOPICS

GROUP = "alpr-storage-consumer"
"""The group that Kafka's tools show the lag of; the position itself is the view's."""
_SOON: Idle = (timedelta(milliseconds=10), timedelta(milliseconds=50))
_SLOW: Idle = (timedelta(milliseconds=50), timedelta(milliseconds=100))
"""How soon to look again for alerts, and for what people look at after they did something."""


def _patience(revive: Callable[[], object] = lambda: None) -> Patience:
    """Waits for the database, the log and the registry; a view that was removed is made anew by
    the next start of the flow.
    """
    away = (ViewUnavailable, LogUnavailable, RegistryUnavailable, EmbeddedError)
    return Patience(away, (ViewMissing,), revive)


class Written(Protocol):
    """A view as it is written from one topic."""

    def positions(self) -> dict[int, int]:
        """The next offset of each partition that was ever read."""
        ...

    def apply(
        self,
        partition: int,
        expected: int,
        changes: Sequence[Any],
        next_offset: int,
        on_refused: Callable[[list[Refused]], None],
        /,
    ) -> list[Refused]:
        """Write changes and move the position, or neither; see SightingsView."""
        ...


class Views(NamedTuple):
    """The views that the flow writes."""

    sightings: SightingsView
    alerts: AlertView
    people: PeopleView


class _OfTopic:
    """A view of several topics as it is written from one of them."""

    def __init__(self, view: AlertView | PeopleView, topic: str) -> None:
        self._view = view
        self._topic = topic

    def positions(self) -> dict[int, int]:
        return self._view.positions(self._topic)

    def apply(self, *given: Any) -> list[Refused]:
        return self._view.apply(self._topic, *given)


class Projection:
    """Applies batches of one partition to a view, and keeps what does not fit as dead letters."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        view: Written,
        partition: int,
        patience: Patience,
        *,
        change: Callable[[Entry, Codec], Any] = change_of,
    ) -> None:
        self._log = log
        self._codec = codec
        self._view = view
        self._partition = partition
        self._patience = patience
        self._change = change

    def apply(self, batch: Batch) -> None:
        """Write a batch's rows and position in one transaction.

        What cannot be shown is on alpr.dlq before the position moves past it; after a crash
        between the two it is there twice, with the same coordinates.
        """
        dead: list[Append] = []
        changes: list[Any] = []
        entries: list[Entry] = []
        for entry in batch.entries:
            try:
                changes.append(
                    self._patience.until(lambda one=entry: self._change(one, self._codec))
                )
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
        began = time.time_ns() // 1000
        self._patience.until(write)
        trace_shown("project", changes, began)

    def _bury(self, letters: Iterable[Append]) -> None:
        records = list(letters)
        if records:
            self._log.append(DLQ.name, self._partition, records)


class _Rows(StatefulSinkPartition["Batch", None]):
    def __init__(
        self, projections: Mapping[str, Projection], retention: Retention, patience: Patience
    ) -> None:
        self._projections = projections
        self._retention = retention
        self._patience = patience

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            self._projections[batch.entries[0].topic].apply(batch)
        self._patience.until(self._retention.look)

    def snapshot(self) -> None:
        """The view keeps the position; nothing is pending."""


class ViewSink(PartitionSink["Batch"]):
    """Writes batches of each topic to its view, one transaction each."""

    def __init__(
        self,
        log: Log,
        codec: Codec,
        views: Views,
        partitions: Sequence[int],
        patience: Patience,
    ) -> None:
        super().__init__(partitions)
        self._patience = patience
        self._retention = Retention(views.sightings)
        self._projections = {
            part_name(partition): {
                DETECTED.name: Projection(log, codec, views.sightings, partition, patience),
                **{
                    topic: Projection(
                        log, codec, _OfTopic(view, topic), partition, patience, change=change
                    )
                    for view, topics, change in _by_topic(views)
                    for topic in topics
                },
            }
            for partition in partitions
        }

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Rows:
        """The writer of one partition."""
        return _Rows(self._projections[for_part], self._retention, self._patience)


def project_flow(
    log: Log,
    codec: Codec,
    views: Views,
    partitions: Sequence[int],
    patience: Patience | None = None,
) -> Dataflow:
    """The dataflow over some partitions of one log; it waits while a view cannot be written,
    ends where it must not be, and starts again where the views stand.
    """
    waits = patience if patience is not None else _patience()
    starts = {DETECTED.name: waits.until(views.sightings.positions)}
    for view, shown, _ in _by_topic(views):
        for topic in shown:
            starts[topic] = waits.until(lambda view=view, topic=topic: view.positions(topic))
    for topic, positions in starts.items():
        _check(log, topic, positions)
    idle = {DETECTED.name: IDLE, ALERTS.name: _SOON, CORRECTIONS.name: _SOON}
    topics = {
        topic: LogSource(log, topic, own, at, group=GROUP, idle=idle.get(topic, _SLOW))
        for topic, at in starts.items()
        if (own := [p for p in partitions if TOPICS[topic].partitioned or p == 0])
    }
    flow = Dataflow("project")
    read = op.input("read", flow, Together(topics))
    op.output("to_view", read, ViewSink(log, codec, views, partitions, waits))
    return flow


def _by_topic(
    views: Views,
) -> Iterator[tuple[AlertView | PeopleView, Sequence[str], Callable[[Entry, Codec], Any]]]:
    """The views of several topics, their topics, and what a record does to each."""
    yield views.alerts, SHOWN, alert_change_of
    yield views.people, PEOPLE_TOPICS, people_change_of


def _check(log: Log, topic: str, positions: Mapping[int, int]) -> None:
    for partition, position in positions.items():
        end = log.end(topic, partition)
        if position > end:
            which = " --view alerts" if topic in SHOWN else ""
            which = " --view people" if topic in PEOPLE_TOPICS else which
            raise PositionConflict(
                f"{topic}, partition {partition}: the view has read up to {position} and"
                f" the log ends at {end}. The log was restored from an older copy: bring back the"
                f" newer one, or rebuild the view with `alpr replay{which}`"
            )


def flow() -> Dataflow:
    """The dataflow on the settings, for ``python -m bytewax.run dataflows.project``."""
    from alpr import wiring

    with wiring.flow_settings("project") as settings:
        log = wiring.open_log(settings, waits=True)
        # An embedded server is let go when nobody holds it: this process does until it ends.
        database = wiring.open_database(settings)
        atexit.register(database.stop)
        waits = _patience(wiring.reviving(database))
        view = waits.until(lambda: wiring.open_view(settings, database, log.uuid))
        alerts = waits.until(lambda: wiring.open_alert_view(database, log.uuid))
        people = waits.until(lambda: wiring.open_people_view(database, log.uuid))
        codec = wiring.open_codec(settings, waits=True)
        return project_flow(log, codec, Views(view, alerts, people), settings.own_partitions, waits)
