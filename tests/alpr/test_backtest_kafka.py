"""Rules tried on history, watchlists and rules by files: on a real broker, in real time."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alpr.commands.alerts import Alerts
from alpr.commands.watchlist import standing
from alpr.rules_file import Applied, apply
from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from schemas.codec import Codec
from tests.alpr.test_backtest import PARTITIONS, Site, counts, rule
from tests.schemas.memory import MemoryRegistry


class LiveSite(Site):
    """A site whose time is the broker's."""

    def __init__(self, log: KafkaLog) -> None:
        self.begin(log, Codec(MemoryRegistry()))

    @property
    def now(self) -> int:
        return time.time_ns() // 1000

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def run_until(self, alerts: int) -> None:
        """Run the engine until so many alerts are there."""
        deadline = time.monotonic() + 30
        while len(list(Alerts(self.log, self.codec).all())) < alerts:
            assert time.monotonic() < deadline
            self.run()
            time.sleep(0.1)


@pytest.fixture
def site(kafka: str) -> Iterator[LiveSite]:
    joint = "&" if "?" in kafka else "?"
    address = KafkaAddress.parse(f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.")
    create_topics(address, PARTITIONS, 1, {})
    with closing(KafkaLog(address, PARTITIONS)) as log:
        yield LiveSite(log)
    Cluster(address).drop()


def test_what_was_recorded_on_kafka_is_what_a_backtest_gives(site: LiveSite, tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text(rule("listed", watchlist="police"))
    applied = apply(site.log, site.codec, file, lambda: site.now)
    assert applied == Applied(("listed",), (), (), {})
    assert apply(site.log, site.codec, file, lambda: site.now).same == ("listed",)
    site.watch("A1")
    site.watch("B*", match="wildcard")
    assert list(standing(site.log, site.codec)) == [("police", "A1"), ("police", "B*")]
    site.wait(3)
    for camera, plate in enumerate(("A1", "B2", "C3")):
        site.sees(plate, camera)
    site.time()
    site.run_until(2)
    site.wait(3)
    since = site.now - 60_000_000
    result = site.tried(since=since)
    assert counts(result.rules[0]) == {"raised": 2, "recorded": 2, "same": 2}
    (tried,) = site.tried(rule("listed", plates=["A1", "C3"]), since=since).rules
    assert counts(tried) == {"raised": 2, "recorded": 2, "same": 1, "new": 1, "gone": 1}
