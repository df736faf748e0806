"""What happens by the minute: four topics of the log → alpr.metrics.

``python -m bytewax.run dataflows.metrics`` runs it on the settings' log. It takes no recovery
store: with the points of a minute it appends where counting goes on, and starts there. Points of
the same minute, name and labels add up. To look at, never to account with: what a flow said twice
after a crash is counted twice.
"""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import StatefulSinkPartition

from dataflows.dead_letters import NOTE, dead_letter
from dataflows.log_io import Batch, LogSource, PartitionSink, Together
from eventlog.log import Append, Entry, Log
from eventlog.span import span
from schemas.codec import Codec, DecodeError
from schemas.records import MetricPoint
from schemas.topics import DETECTED, DLQ, METRICS, RAW, REJECTED, partition_of

GROUP = "alpr-metrics"
MINUTE_US = 60_000_000
IDLE = (timedelta(seconds=0.25), timedelta(seconds=1))
"""How soon to look again when there was nothing: nobody waits for a minute's points."""
TOPICS = (RAW.name, REJECTED.name, DETECTED.name, DLQ.name)
MOST = 10_000
"""Series of one topic's minute; what comes beyond is counted under the label ``other``."""
NEXT = "next"
"""Header of a minute's last point: the log, the partition, and where each topic goes on."""
TAILS = (2_000, 200_000)
"""Last records of alpr.metrics in which that is looked for."""

Key = tuple[str, tuple[tuple[str, str], ...]]


class Minute:
    """The open minute of one topic: its series, and the offset at which it began."""

    __slots__ = ("at", "begin", "next", "series")

    def __init__(self, at: int, begin: int) -> None:
        self.at = at
        self.begin = begin
        self.next = begin
        self.series: dict[Key, list[float]] = {}

    def add(
        self, name: str, labels: Mapping[str, str], value: float | None = None, count: int = 1
    ) -> None:
        """Count, or observe a value."""
        key = name, tuple(sorted(labels.items()))
        if key not in self.series and len(self.series) >= MOST:
            key = name, tuple((label, "other") for label in sorted(labels))
        found = self.series.setdefault(key, [0, 0.0, 0.0])
        found[0] += count
        if value is not None:
            found[1] += value
            found[2] = max(found[2], value)


class Minutes:
    """The open minutes of one partition's topics; what is over comes out as points.

    A topic's minute is over with its first record of a later one, or, where it is quiet, a
    minute after the ticks of raw have left it.
    """

    def __init__(self, codec: Codec, node: str, log: str, partition: int) -> None:
        self._codec = codec
        self._node = node
        self._log = log
        self._partition = partition
        self._open: dict[str, Minute] = {}
        self._next: dict[str, int] = {}

    def count(self, entry: Entry) -> list[Append]:
        """Count a record; the points that are out with it, the last with where to go on."""
        at = entry.appended_at // MINUTE_US
        out: list[MetricPoint] = []
        minute = self._open.get(entry.topic)
        if minute is not None and at > minute.at:
            out += self._close(entry.topic)
            if entry.topic == RAW.name:
                for topic in TOPICS:
                    quiet = self._open.get(topic)
                    if quiet is not None and quiet.at < at - 1:
                        out += self._close(topic)
            minute = None
        if minute is None:
            minute = self._open[entry.topic] = Minute(at, entry.offset)
        self._add(minute, entry)
        minute.next = entry.offset + 1
        return self._appends(out)

    def _close(self, topic: str) -> Iterator[MetricPoint]:
        minute = self._open.pop(topic)
        self._next[topic] = minute.next
        for (name, labels), (count, total, maximum) in minute.series.items():
            yield {
                "node": self._node,
                "name": name,
                "labels": dict(labels),
                "minute": minute.at * MINUTE_US,
                "count": int(count),
                "sum": total,
                "maximum": maximum,
            }

    def _appends(self, points: Sequence[MetricPoint]) -> list[Append]:
        encode = self._codec.encoder(METRICS.name, "MetricPoint")
        key = self._node.encode()
        appends = [Append(key, encode(point)) for point in points]
        if appends:
            going_on = self._next | {topic: m.begin for topic, m in self._open.items()}
            told = {"log": self._log, "partition": self._partition, "next": going_on}
            appends[-1] = Append(key, appends[-1].value, {NEXT: json.dumps(told).encode()})
        return appends

    def _add(self, minute: Minute, entry: Entry) -> None:
        try:
            name, record = self._codec.decode(entry.value or b"")
        except DecodeError:
            minute.add("alpr_unreadable", {"topic": entry.topic})
            return
        minute.add("alpr_records", {"topic": entry.topic, "record": name})
        if name == "PlateRead":
            latency = (entry.appended_at - record["captured_at"]) / 1e6
            minute.add("alpr_read_latency_seconds", {"camera": record["camera_id"]}, latency)
        elif name == "Gap":
            lost = {"camera": record["camera_id"]}
            minute.add("alpr_reads_dropped", lost, count=record["dropped"])
        elif name == "ReadRejected":
            labels = {"camera": record["read"]["camera_id"], "reason": record["reason"]}
            minute.add("alpr_reads_rejected", labels)
        elif name == "PlateEvent":
            camera = {"camera": record["camera_id"]}
            minute.add("alpr_sightings", camera | {"status": record["status"]})
            if record["reads"] == 1:  # said because of its opener, whose arrival it knows
                arrived = record["captured_at"] + record["latency_ms"] * 1000
                latency = (entry.appended_at - arrived) / 1e6
                minute.add("alpr_event_latency_seconds", camera, latency)
        elif name == "DeadLetter":
            _add_letter(minute, entry, record)


def _add_letter(minute: Minute, entry: Entry, letter: Mapping[str, Any]) -> None:
    if NOTE not in entry.headers:
        labels = {name: letter[name] for name in ("topic", "step", "reason")}
        minute.add("alpr_dead_letters", labels)
    elif letter["reason"] == "done":
        minute.add("alpr_redriven", {"topic": letter["topic"]})


class _Counting(StatefulSinkPartition["Batch", None]):
    """Counts the records of one partition's topics and appends what is over."""

    def __init__(self, log: Log, codec: Codec, node: str, partition: int) -> None:
        self._log = log
        self._codec = codec
        self._partition = partition
        self._minutes = Minutes(codec, node, log.uuid, partition)
        self._to = partition_of(node.encode(), log.partitions(METRICS.name))

    def write_batch(self, values: list[Batch]) -> None:
        for batch in values:
            for entry in batch.entries:
                if entry.topic == REJECTED.name:
                    self._keep(entry)
                points = self._minutes.count(entry)
                if points:
                    self._log.append(METRICS.name, self._to, points)

    def snapshot(self) -> None:
        """The topic keeps the position; nothing is pending."""

    def _keep(self, entry: Entry) -> None:
        """Bury what cannot be read where no other flow reads; elsewhere that flow does."""
        try:
            name, _ = self._codec.decode(entry.value or b"")
        except DecodeError as error:
            reason, detail = error.reason, error.detail
        else:
            if name in REJECTED.records:
                return
            reason, detail = "schema", f"a {name} does not belong on {REJECTED.name}"
        letter = dead_letter(self._codec, entry, "decode", reason, detail)
        self._log.append(DLQ.name, self._partition, [letter])


class MetricsSink(PartitionSink["Batch"]):
    """Counts batches, each partition by itself."""

    def __init__(self, log: Log, codec: Codec, node: str, partitions: Sequence[int]) -> None:
        super().__init__(partitions)
        self._log = log
        self._codec = codec
        self._node = node

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Counting:
        """Who counts one partition."""
        return _Counting(self._log, self._codec, self._node, self._numbers[for_part])


def going_on(log: Log, partitions: Sequence[int]) -> dict[str, dict[int, int]]:
    """Where counting goes on, by topic and partition: what the last points of each say.

    A partition of which nothing is found is counted from its beginning.
    """
    found: dict[int, Mapping[str, int]] = {}
    for tail in TAILS:
        for to in range(log.partitions(METRICS.name)):
            end = log.end(METRICS.name, to)
            for entry in span(log, METRICS.name, to, max(0, end - tail), end):
                told = json.loads(entry.headers[NEXT]) if NEXT in entry.headers else {}
                if told.get("log") == log.uuid:
                    known = found.get(told["partition"], {})
                    found[told["partition"]] = _furthest(known, told["next"])
        if all(partition in found for partition in partitions):
            break
    return {
        topic: {
            partition: max(at[topic], log.lowest(topic, partition))  # nothing is owed an account
            for partition, at in found.items()
            if partition in partitions and topic in at
        }
        for topic in TOPICS
    }


def _furthest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {topic: max(one.get(topic, 0), other.get(topic, 0)) for topic in {*one, *other}}


def metrics_flow(log: Log, codec: Codec, node: str, partitions: Sequence[int]) -> Dataflow:
    """The dataflow over some partitions of one log; several may run over disjoint ones."""
    starts = going_on(log, partitions)
    topics = {
        topic: LogSource(log, topic, partitions, starts[topic], GROUP, idle=IDLE)
        for topic in TOPICS
    }
    flow = Dataflow("metrics")
    read = op.input("read", flow, Together(topics))
    op.output("to_metrics", read, MetricsSink(log, codec, node, partitions))
    return flow


def flow() -> Dataflow:
    """The dataflow on the settings' log, for ``python -m bytewax.run dataflows.metrics``."""
    from alpr import wiring

    with wiring.flow_settings("metrics") as settings:
        log = wiring.open_log(settings, waits=True)
        codec = wiring.open_codec(settings, waits=True)
        node = f"metrics@{socket.gethostname()}"
        return metrics_flow(log, codec, node, settings.own_partitions)
