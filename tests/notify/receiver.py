"""A real receiver that may fail, ``alpr notify`` as a process, and alerts on a log for it."""

import json
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

from eventlog.log import Append
from eventlog.span import span
from notify.store import begin
from projections.statements import Statements
from rules.alerts.parse import parse
from schemas.topics import ALERTS, NOTIFICATIONS, partition_of
from tests.notify.queue_world import alert

ROOT = Path(__file__).parents[2]


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
        if number != signal.SIGKILL:
            assert within(20, lambda: self._hears(number)), "it is not up"
        self._process.send_signal(number)
        return self._process.wait(timeout)

    def _hears(self, number) -> bool:
        """Whether it is so far up that it ends in order: it has a handler for a signal."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
        return False

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        if self.running:
            self.kill()
        self._said.close()


class Said:
    """Appends a rule and its alerts to a log, and reads what became of them."""

    def __init__(self, log, codec, url, actions) -> None:
        self.log, self.codec = log, codec
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
        partition = partition_of(key, self.log.partitions(ALERTS.name))
        self.said[event["alert_id"]] = time.time()
        self.log.append(ALERTS.name, partition, [Append(key, value)])

    def attempts(self):
        return self.records(NOTIFICATIONS.name)

    def records(self, topic):
        """All that a topic holds."""
        found = []
        for partition in range(self.log.partitions(topic)):
            end = self.log.end(topic, partition)
            found += span(self.log, topic, partition, 0, end)
        return [self.codec.decode(entry.value)[1] for entry in found]


def within(seconds, what):
    """Whether something becomes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.05)
    return what()
