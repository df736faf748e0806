"""When `alpr up --once` and `alpr log close` are through with what the log held."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from eventlog.log import Log
from eventlog.span import stretch
from schemas.codec import Codec, DecodeError
from schemas.topics import ALERTS, DETECTED, RAW

BATCH = 1000
ALERTS_GROUP = "alpr-alert-engine"
"""By which ``dataflows.alerts`` tells how far it is."""
QUIET_S = 3.0  # see alpr.up.Up.drained
FAILED = "failed: "  # how the edge begins the reason of a SourceEnded that is no end


class Drain:
    """How far the flows have come with what was in the log when its sources had ended."""

    def __init__(self, log: Log, codec: Codec, partitions: Sequence[int]) -> None:
        self._log = log
        self._codec = codec
        self._raw = {p: log.end(RAW.name, p) for p in partitions}
        self._said = {p: log.end(DETECTED.name, p) for p in partitions}
        self._ends: dict[int, int] = {}
        self._caused: dict[int, int] = {}
        self.failed: list[str] = []
        self._changed = time.monotonic()
        self._through: dict[int, int] = {}

    @property
    def log_uuid(self) -> str:
        """Identity of the log that the flows read."""
        return self._log.uuid

    def through(self, quiet: bool) -> bool:
        """Whether dedup has gone past every SourceEnded; by silence only if ``quiet``."""
        for partition, at in self._raw.items():
            for entry_name, record, offset in self._new(RAW.name, self._raw, partition, at):
                if entry_name == "SourceEnded":
                    self._ends[partition] = offset
                    if record["reason"].startswith(FAILED):
                        self.failed.append(record["reason"].removeprefix(FAILED))
        for partition, at in self._said.items():
            for _, record, _ in self._new(DETECTED.name, self._said, partition, at):
                self._changed = time.monotonic()
                if record is not None:
                    self._caused[partition] = max(
                        record["revision"], self._caused.get(partition, -1)
                    )
        done = all(self._caused.get(p, -1) >= end for p, end in self._ends.items())
        if done or (quiet and time.monotonic() - self._changed > QUIET_S):
            self._through = self._through or dict(self._said)
            return True
        return False

    def shown(self, url: str, search_url: str) -> bool:
        """Whether the view, and that in OpenSearch if there is one, has read all of dedup's."""
        from projections.errors import ViewUnavailable
        from projections.queries import SightingQueries
        from projections.search_contents import search_positions

        queries = SightingQueries(url, connections=1)
        try:
            at = {
                row["partition"]: row["next_offset"]
                for row in queries.positions()
                if row["topic"] == DETECTED.name
            }
            indexed = search_positions(search_url) if search_url else at
        except ViewUnavailable:
            return False  # a flow has yet to make its tables, or its index
        finally:
            queries.close()
        ends = {p: self._log.end(DETECTED.name, p) for p in self._said}
        return all(min(at.get(p, 0), indexed.get(p, 0)) >= end for p, end in ends.items())

    def alerted(self, url: str) -> bool:
        """Whether what dedup said when it was through has met the rules, and each alert is in the
        view and was told, or tried to be.

        Rules over several sightings wait for time to pass; they are not waited for.
        """
        from notify.store import told
        from projections.alert_queries import AlertQueries
        from projections.errors import ViewUnavailable

        met = self._log.marks(ALERTS_GROUP, DETECTED.name)
        if any(met.get(p, 0) < end for p, end in self._through.items()):
            return False
        ends = {p: self._log.end(ALERTS.name, p) for p in range(self._log.partitions(ALERTS.name))}
        queries = AlertQueries(url, connections=1)
        try:
            at = {
                row["partition"]: row["next_offset"]
                for row in queries.positions()
                if row["topic"] == ALERTS.name
            }
            return all(at.get(p, 0) >= end for p, end in ends.items()) and told(url, ends)
        except ViewUnavailable:
            return False
        finally:
            queries.close()

    def close(self) -> None:
        """Release the log."""
        self._log.close()

    def _new(
        self, topic: str, positions: dict[int, int], partition: int, at: int
    ) -> Iterator[tuple[str, Any, int]]:
        """Name, record and offset of what is new in a partition; moves its position."""
        end = self._log.end(topic, partition)
        while entries := stretch(self._log, topic, partition, at, end, BATCH):
            for entry in entries:
                name, record = "", None
                if entry.value is not None:
                    with contextlib.suppress(DecodeError):  # a dead letter for the flows
                        name, record = self._codec.decode(entry.value)
                yield name, record, entry.offset
            at = positions[partition] = entries[-1].offset + 1
