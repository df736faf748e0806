"""``alpr notify`` killed again and again, before a receiver that fails: every alert arrives."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from notify.store import begin
from projections.statements import Statements
from rules.alerts.parse import parse
from schemas.codec import Codec
from schemas.topics import ALERTS, NOTIFICATIONS, partition_of
from tests.notify.queue_world import alert, forget

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
SECONDS = float(os.environ.get("ALPR_TEST_KILLING_S", "15"))
"""How long alerts come and processes are killed; minutes and hours find more."""


class Receiver:
    """Takes posts; of ten it refuses two, and answers one as failed that it has taken.

    Never one alert more than four times, so that no test waits for the longer pauses.
    """

    def __init__(self, seed: int, failing: float = 0.3) -> None:
        self.taken: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self._chance = random.Random(seed)
        self._failing = failing
        self._failed: dict[str, int] = defaultdict(int)
        self._turn = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = outer.take(self.headers["Idempotency-Key"], body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, key: str, body: dict) -> int:
        with self._turn:
            fails = self._chance.random() < self._failing and self._failed[key] < 4
            self._failed[key] += fails
            accepts = not fails or self._chance.random() < 1 / 3
            if accepts:
                self.taken[key].append((body["alert"]["alert_id"], time.time()))
        return 503 if fails else 204

    @property
    def alerts(self) -> set[str]:
        with self._turn:
            return {alert_id for some in self.taken.values() for alert_id, _ in some}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def receiving(seed, failing=0.3):
    made = Receiver(seed, failing)
    try:
        yield made
    finally:
        made.close()


class Notify:
    """The process, and what it said."""

    def __init__(self, folder, environ, number) -> None:
        self._said = (folder / f"notify-{number}.txt").open("ab")
        self._environ = environ
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alpr", "notify"],
            env=self._environ,
            cwd=ROOT,
            stdout=self._said,
            stderr=self._said,
        )

    def kill(self, number=signal.SIGKILL, timeout=20.0) -> int:
        self._process.send_signal(number)
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        if self.running:
            self.kill()
        self._said.close()


class Said:
    """Appends alerts to a log of its own, and reads what became of them."""

    def __init__(self, folder, url, actions) -> None:
        self.log = SqliteLog(folder / "home" / "log", PARTITIONS)
        self.codec = Codec(SqliteRegistry(folder / "home" / "log"))
        self.codec.register()
        statements = Statements(self.log, self.codec, lambda: time.time_ns() // 1000)
        text = f"rules:\n  - name: Wanted\n    conditions: {{plates: [A]}}\n    actions: {actions}"
        (self.rule,) = parse(text, "rules.yaml").rules
        statements.rule(self.rule, "test")
        self.said: dict[str, float] = {}
        begin(url, self.log)

    def say(self, number):
        now = time.time_ns() // 1000
        event = alert(number, at=now, rule_version=self.rule.version)
        key = event["alert_id"].encode()
        value = self.codec.encode(ALERTS.name, "AlertEvent", event)
        self.said[event["alert_id"]] = time.time()
        self.log.append(ALERTS.name, partition_of(key, PARTITIONS), [Append(key, value)])

    def attempts(self):
        entries = [
            e for p in range(PARTITIONS) for e in self.log.read(NOTIFICATIONS.name, p, 0, 1_000_000)
        ]
        return [self.codec.decode(entry.value)[1] for entry in entries]


@pytest.fixture
def environ(tmp_path, postgres_url):
    forget(postgres_url)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALPR_")},
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_LOG_PARTITIONS": str(PARTITIONS),
        "ALPR_DATABASE_URL": postgres_url,
        "ALPR_NOTIFY_ALLOW": "127.0.0.0/8",
        "PYTHONPATH": str(ROOT),
    }


def within(seconds, what):
    """Whether something becomes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.05)
    return what()


def test_every_alert_arrives_and_doubles_have_the_same_key(tmp_path, environ, postgres_url):
    rng = random.Random(30)
    with receiving(30) as receiver:
        said = Said(tmp_path, postgres_url, f"[{{type: webhook, url: '{receiver.url}'}}]")
        processes = [Notify(tmp_path, environ, number) for number in range(2)]
        try:
            number, kills = 0, 0
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                for _ in range(rng.randrange(1, 8)):
                    said.say(number)
                    number += 1
                time.sleep(rng.uniform(0.3, 2.5))
                victim = rng.choice(processes)
                assert victim.running, "it ended by itself, see its text"
                victim.kill()
                kills += 1
                victim.start()
            everyone = set(said.said)
            assert within(90, lambda: receiver.alerts == everyone)
            arrived = {a: {k for k, v in receiver.taken.items() if v[0][0] == a} for a in everyone}
            assert {len(keys) for keys in arrived.values()} == {1}
            assert within(60, lambda: _sent(said) == everyone)
            assert all(process.running for process in processes)
            assert [process.kill(signal.SIGTERM) for process in processes] == [0, 0]
        finally:
            for process in processes:
                process.close()
        attempts = said.attempts()
        assert {a["outcome"] for a in attempts} <= {"sent", "failed"}
        assert {a["notification_id"] for a in attempts} == set(receiver.taken)
        doubles = sum(len(some) - 1 for some in receiver.taken.values())
        print(f"{number} alerts, {kills} kills, {len(attempts)} attempts, {doubles} doubles")
        said.log.close()


def _sent(said):
    return {a["alert_id"] for a in said.attempts() if a["outcome"] == "sent"}


def test_an_alert_is_with_its_receiver_within_a_moment(tmp_path, environ, postgres_url):
    with receiving(1, failing=0.0) as receiver:
        said = Said(tmp_path, postgres_url, f"[{{type: webhook, url: '{receiver.url}'}}]")
        process = Notify(tmp_path, environ, 0)
        try:
            said.say(0)
            assert within(30, lambda: len(receiver.alerts) == 1)
            for number in range(1, 41):
                time.sleep(0.05)
                said.say(number)
            assert within(10, lambda: len(receiver.alerts) == 41)
            assert process.kill(signal.SIGTERM, timeout=8.0) == 0
        finally:
            process.close()
        took = sorted(
            at - said.said[alert_id] for some in receiver.taken.values() for alert_id, at in some
        )[:-1]
        print(
            f"appended to received: median {took[20] * 1e3:.0f} ms, worst {took[-1] * 1e3:.0f} ms"
        )
        said.log.close()


def test_a_database_that_restarts_is_waited_for(tmp_path, environ, postgres_url):
    import psycopg2

    with receiving(2, failing=0.0) as receiver:
        said = Said(tmp_path, postgres_url, f"[{{type: webhook, url: '{receiver.url}'}}]")
        process = Notify(tmp_path, environ, 0)
        try:
            for number in range(5):
                said.say(number)
                assert within(30, lambda expected=number + 1: len(receiver.alerts) == expected)
                connection = psycopg2.connect(postgres_url)
                connection.cursor().execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                connection.close()
            assert process.running
            assert process.kill(signal.SIGTERM, timeout=8.0) == 0
        finally:
            process.close()
        said.log.close()
