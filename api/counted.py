"""What the metrics flow counted, for Prometheus: alpr.metrics followed from scrape to scrape."""

import logging
import threading
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from eventlog.log import Log, LogError, OffsetGone
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import METRICS

MOST = 20_000
"""Series kept, and points taken in at one scrape."""
BATCH = 500
_log = logging.getLogger(__name__)

Labels = tuple[tuple[str, str], ...]


class Counted(Collector):
    """Sums of the points appended since the first scrape, as counters and summaries.

    A name that ends with ``_seconds`` is a summary, another a counter. ``open_log`` is called
    when it is first asked; while the log is away it serves what it knows.
    """

    def __init__(self, open_log: Callable[[], tuple[Log, Codec]]) -> None:
        self._open = open_log
        self._log: tuple[Log, Codec] | None = None
        self._positions: dict[int, int] = {}
        self._series: dict[tuple[str, Labels], tuple[int, float]] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """The sums by name."""
        with self._lock:
            try:
                self._follow()
            except (LogError, RegistryUnavailable) as error:
                _log.warning("what the flows counted is as of before: %s", error)
            series = sorted(self._series.items())
        families: dict[tuple[str, tuple[str, ...]], Metric] = {}
        for (name, labels), (count, total) in series:
            names = tuple(label for label, _ in labels)
            values = [value for _, value in labels]
            if name.endswith("_seconds"):
                summary = families.setdefault(
                    (name, names), SummaryMetricFamily(name, "By the log's times", labels=names)
                )
                assert isinstance(summary, SummaryMetricFamily)
                summary.add_metric(values, count, total)
            else:
                counter = families.setdefault(
                    (name, names), CounterMetricFamily(name, "By alpr.metrics", labels=names)
                )
                assert isinstance(counter, CounterMetricFamily)
                counter.add_metric(values, count)
        yield from families.values()

    def describe(self) -> list[Metric]:
        """Nothing is promised, so that registering asks no log."""
        return []

    def _follow(self) -> None:
        if self._log is None:
            log, codec = self._open()
            ends = {p: log.end(METRICS.name, p) for p in range(log.partitions(METRICS.name))}
            self._log, self._positions = (log, codec), ends
        log, codec = self._log
        for partition in self._positions:
            taken = 0
            while taken < MOST:
                try:
                    entries = log.read(METRICS.name, partition, self._positions[partition], BATCH)
                except OffsetGone as gone:
                    self._positions[partition] = gone.lowest
                    continue
                if not entries:
                    break
                for entry in entries:
                    self._take(codec, entry.value)
                    self._positions[partition] = entry.offset + 1
                taken += len(entries)

    def _take(self, codec: Codec, value: bytes | None) -> None:
        try:
            name, point = codec.decode(value or b"")
        except DecodeError:
            return
        if name != "MetricPoint":
            return
        key = point["name"], tuple(sorted(point["labels"].items()))
        if key in self._series or len(self._series) < MOST:
            count, total = self._series.get(key, (0, 0.0))
            self._series[key] = count + point["count"], total + point["sum"]
