"""The alerts flow as a process: killed, restarted, started anew, changed while it runs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import pytest

from alpr.backtest import backtest
from dataflows.alerts import Following, Match, _RaiseLogic, _starts
from dataflows.dedup import Dedup
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.span import span
from eventlog.sqlite import SqliteLog
from projections.rulebook import RulebookFollower
from projections.statements import Statements
from rules.alerts.life import Alert, fold
from rules.alerts.parse import parse
from rules.alerts.raising import Raising
from rules.alerts.signals import Signal
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.records import AlertEvent, NotificationAttempt, WatchlistEntry
from schemas.topics import ALERTS, DETECTED, DLQ, NOTIFICATIONS, RAW, partition_of
from tests.dataflows.logs import raw_records
from tests.servers import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
KILLS = 12
RULES = """
rules:
  - name: Sure
    type: threshold
    field: plate_confidence
    operator: ">="
    value: 0.9
    cooldown: 20m
  - name: Often
    count: {at_least: 2, by: plate, within: 1h}
  - name: Crowd
    count: {more_than: 4, distinct: plates, by: all, within: 5m}
  - name: Back again
    not_seen_for: 10m
  - name: Listed
    conditions: {watchlist: {kinds: deny}}
"""


class Engine:
    """``alpr flow alerts``, started again whenever it was killed."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.home = folder / "home"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
        self._environ = clean | {
            "ALPR_HOME": str(self.home),
            "ALPR_LOG_PARTITIONS": str(PARTITIONS),
            "ALPR_METRICS_PORT": str(port),
        }
        self.said = folder / "alerts.txt"
        self._out = self.said.open("ab")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alpr", "flow", "alerts"],
            env=self._environ, cwd=ROOT, stdout=self._out, stderr=self._out,
        )  # fmt: skip

    def kill(self) -> None:
        assert self._process.poll() is None, self.said.read_text()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()


class World:
    """A log with rules, and the sightings of a generated city to be appended piece by piece."""

    def __init__(self, folder: Path) -> None:
        self.log = SqliteLog(folder / "home" / "log", PARTITIONS)
        self.codec = Codec(SqliteRegistry(folder / "home" / "log"))
        self.codec.register()
        self.statements = Statements(self.log, self.codec, lambda: time.time_ns() // 1000)
        for rule in parse(RULES, "rules").rules:
            self.statements.rule(rule, "test")
        self.sightings: dict[int, list[Append]] = {}
        for partition in range(PARTITIONS):
            raw = MemoryEntries(self.codec, partition, 31 + partition)
            self.sightings[partition] = raw.detected()

    def append(self, share: slice) -> None:
        for partition, records in self.sightings.items():
            chosen = records[share]
            for start in range(0, len(chosen), 50):
                self.log.append(DETECTED.name, partition, chosen[start : start + 50])

    def alerts(self) -> dict[str, Alert]:
        """The alerts as they stand."""
        found: dict[str, Alert] = {}
        for event in self.events(ALERTS.name):
            found[event["alert_id"]], _ = fold(found.get(event["alert_id"]), event)
        return found

    def events(self, topic: str) -> Iterator[Any]:
        for partition in range(PARTITIONS):
            for entry in span(self.log, topic, partition, 0, self.log.end(topic, partition)):
                yield self.codec.decode(entry.value or b"")[1]

    def watch(self, plate: str) -> None:
        entry: WatchlistEntry = {
            "watchlist": "test", "plate": plate, "kind": "deny", "match": "exact",
            "effective_from": time.time_ns() // 1000, "valid_from": None, "valid_to": None,
            "owner": "", "reason": "", "tags": [], "removed": False, "actor": "test",
        }  # fmt: skip
        self.statements.watch([entry])

    def quiet(self, seconds: float = 3.0, patience: float = 60.0) -> None:
        """Wait until nothing more is raised."""
        deadline, since, before = time.monotonic() + patience, time.monotonic(), -1
        while time.monotonic() - since < seconds:
            assert time.monotonic() < deadline
            now = sum(self.log.end(ALERTS.name, p) for p in range(PARTITIONS))
            if now != before:
                since, before = time.monotonic(), now
            time.sleep(0.1)


class MemoryEntries:
    """What dedup says of a generated city."""

    def __init__(self, codec: Codec, partition: int, seed: int) -> None:
        from eventlog.log import Entry

        self._dedup = Dedup(codec, DedupSettings(), grammar())
        self._entries = [
            Entry(RAW.name, partition, n, r.appended_at or 0, r.key, r.value, r.headers)
            for n, r in enumerate(raw_records(codec, seed, cameras=4, hours=0.5))
        ]

    def detected(self) -> list[Append]:
        return [
            Append(record.key, record.value) for record in self._dedup.batch(self._entries).detected
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.log.close()


def test_killed_at_any_moment_it_ends_with_the_alerts_of_a_run_that_nothing_disturbed(
    tmp_path: Path, world: World
):
    rng = Random(5)
    longest = max(map(len, world.sightings.values()))
    chunk = longest // KILLS + 1
    with closing(Engine(tmp_path)) as engine:
        time.sleep(3)
        for n in range(KILLS):
            world.append(slice(n * chunk, (n + 1) * chunk))
            time.sleep(rng.uniform(0.2, 1.5) + (3 if n % 4 == 3 else 0))
            engine.kill()
            engine.start()
        time.sleep(6)
        world.quiet()
    alerts = world.alerts()
    assert {alert.rule for alert in alerts.values()} >= {"Sure", "Crowd"}
    assert list(world.events(DLQ.name)) == []
    found = backtest(world.log, world.codec, None, 0, time.time_ns() // 1000)
    assert found.agrees, found.plain()
    raised = [e["alert_id"] for e in world.events(ALERTS.name) if e["kind"] == "raised"]
    assert len(set(raised)) > 100


def test_a_change_of_a_list_is_in_force_within_a_second_and_tells_who_passes_then(
    tmp_path: Path, world: World
):
    events = [world.codec.decode(r.value or b"")[1] for r in world.sightings[0]]
    listed = next(e for e in reversed(events) if e.get("status") == "confirmed")
    with closing(Engine(tmp_path)):
        world.append(slice(0, 20))
        world.quiet(2)
        world.watch(listed["plate"]["normalized_text"])
        time.sleep(1)
        world.append(slice(20, None))
        world.quiet(2)
    about = {a.plate for a in world.alerts().values() if a.rule == "Listed"}
    assert about == {listed["plate"]["normalized_text"]}


def test_without_its_store_it_begins_with_the_last_ten_minutes_and_repeats_no_other_alert(
    tmp_path: Path, world: World
):
    with closing(Engine(tmp_path)):
        world.append(slice(None))
        world.quiet()
    before = world.alerts()
    for store in (tmp_path / "home" / "recovery").glob("alerts-*"):
        store.rename(store.with_name("gone-" + store.name))
    with closing(Engine(tmp_path)):
        time.sleep(5)
        world.quiet()
    after = world.alerts()
    assert {name: a.state for name, a in after.items()} == {n: a.state for n, a in before.items()}


def test_without_its_store_it_leaves_what_was_appended_longer_ago(tmp_path: Path, world: World):
    past = time.time_ns() // 1000 - 3_600_000_000
    for partition, records in world.sightings.items():
        old = [replace(record, appended_at=past) for record in records[:-50]]
        world.log.append(DETECTED.name, partition, old)
        world.log.append(DETECTED.name, partition, records[-50:])
    starts = _starts(world.log, past + 1)
    assert starts == {p: world.log.end(DETECTED.name, p) - 50 for p in range(PARTITIONS)}


def test_it_counts_what_it_did_and_what_notify_did_on_the_port_it_is_given(
    tmp_path: Path, world: World
):
    port = free_port()

    def counts() -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return {n: float(v) for n, v in re.findall(r"^(alpr_\w+(?:\{.*\})?) (\S+)$", text, re.M)}

    with closing(Engine(tmp_path, port)):
        world.append(slice(None))
        world.quiet()
        time.sleep(1.5)  # the follower of alpr.notifications has looked once
        for outcome in ("sent", "sent", "failed", "stale"):
            attempt: NotificationAttempt = {
                "notification_id": "n", "alert_id": "a", "channel": "webhook", "target": "t",
                "attempt": 1, "at": 0, "outcome": outcome, "detail": "", "duration_ms": 1,
            }  # fmt: skip
            value = world.codec.encode(NOTIFICATIONS.name, "NotificationAttempt", attempt)
            world.log.append(
                NOTIFICATIONS.name, partition_of(b"a", PARTITIONS), [Append(b"a", value)]
            )
        deadline = time.monotonic() + 20
        while 'alpr_notifications_sent_total{channel="webhook"}' not in counts():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        found = counts()
    told = [e for e in world.events(DETECTED.name) if "event_id" in e]
    assert found["alpr_alert_events_processed_total"] == len(told)
    assert found["alpr_rule_evaluation_duration_seconds_count"] == len(told)
    raised = [e for e in world.events(ALERTS.name) if e["kind"] == "raised" and e["rule"] == "Sure"]
    assert found['alpr_alert_triggered_total{rule="Sure"}'] == len(raised)
    assert found['alpr_notifications_sent_total{channel="webhook"}'] == 2
    assert found['alpr_notifications_failed_total{channel="webhook"}'] == 1


def test_what_one_rule_stumbles_over_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
):
    class Stumbling(Raising):
        def fold(self, signal: Signal) -> list[AlertEvent]:
            if getattr(signal, "rule", "") == "Often":
                raise ZeroDivisionError("a defect")
            return super().fold(signal)

    following = Following(RulebookFollower(world.log, world.codec))
    match = Match(world.codec, following, None)
    stumbling = Stumbling(following.book, PARTITIONS)
    raise_ = _RaiseLogic(world.codec, stumbling, following, PARTITIONS)
    world.append(slice(None))
    entries = list(span(world.log, DETECTED.name, 0, 0, world.log.end(DETECTED.name, 0)))
    raised = []
    for _, signals in match.batch(entries).signals:
        raised += raise_.on_batch([signals])[0]
    assert raised
    (told,) = caplog.messages
    assert told == "what counts for it is passed over: rule 'Often': ZeroDivisionError: a defect"
