"""What the flows counted is served to Prometheus, also while the log is away."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.counted import Counted
from eventlog.log import Append, LogUnavailable
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import METRICS
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
CODEC.register()


class Log:
    """A log that can be taken away."""

    def __init__(self, log: SqliteLog) -> None:
        self._log, self.away = log, False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise LogUnavailable("the broker is away")
        return getattr(self._log, name)

    def counted(self, name: str, count: int, total: float = 0.0, **labels: str) -> None:
        point = {
            "node": "n",
            "name": name,
            "labels": labels,
            "minute": 0,
            "count": count,
            "sum": total,
            "maximum": total,
        }
        value = CODEC.encode(METRICS.name, "MetricPoint", point)
        self._log.append(METRICS.name, 1, [Append(b"n", value), Append(b"n", b"junk")])


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(SqliteLog(tmp_path, 2))


def test_points_add_up_from_scrape_to_scrape(log: Log):
    registry = CollectorRegistry()
    registry.register(Counted(lambda: (log, CODEC)))  # type: ignore[arg-type]
    letters = {"topic": "alpr.reads.raw", "step": "decode", "reason": "magic"}
    log.counted("alpr_dead_letters", 99, **letters)  # before the first scrape

    def scrape() -> list[str]:
        lines = generate_latest(registry).decode().splitlines()
        return [line for line in lines if not line.startswith("#")]

    assert scrape() == []
    log.counted("alpr_dead_letters", 2, **letters)
    log.counted("alpr_dead_letters", 3, **letters)
    log.counted("alpr_read_latency_seconds", 4, 1.5, camera="gate")
    told = [
        'alpr_dead_letters_total{reason="magic",step="decode",topic="alpr.reads.raw"} 5.0',
        'alpr_read_latency_seconds_count{camera="gate"} 4.0',
        'alpr_read_latency_seconds_sum{camera="gate"} 1.5',
    ]
    assert scrape() == told
    log.away = True
    assert scrape() == told
    log.away = False
    log.counted("alpr_dead_letters", 1, **letters)
    assert scrape()[0].endswith(" 6.0")


def test_a_log_that_is_away_at_first_is_opened_later(log: Log):
    counted = Counted(lambda: (log, CODEC))  # type: ignore[arg-type]
    log.away = True
    assert list(counted.collect()) == []
    log.away = False
    assert list(counted.collect()) == []
    log.counted("alpr_sightings", 1, camera="gate", status="ended")
    (family,) = counted.collect()
    assert family.samples[0].value == 1.0
