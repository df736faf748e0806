"""Dedup and projection as real processes, killed twenty times while a city is appended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import psycopg2
import pytest

from dataflows.dedup import Dedup
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.schema import LIVE
from projections.view import SightingsView
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, RAW, REJECTED
from tests.dataflows.logs import raw_records

ROOT = Path(__file__).parents[2]
KILLS = 20
GARBAGE = Append(b"gate", b"no record at all", {})


class Flow:
    """A dataflow as a process that is started again whenever it was killed."""

    def __init__(self, name: str, folder: Path, environ: dict[str, str]) -> None:
        self._name = name
        self._environ = environ
        self._log = (folder / f"{name}.txt").open("ab")
        self._options: list[str] = []
        if name == "dedup":
            recovery = folder / "recovery"
            recovery.mkdir()
            subprocess.run(
                [sys.executable, "-m", "bytewax.recovery", str(recovery), "1"], check=True, cwd=ROOT
            )
            self._options = ["-r", str(recovery), "-s", "1", "-b", "0"]
        self.start()

    def start(self) -> None:
        module = f"dataflows.{self._name}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bytewax.run", module, *self._options],
            env=self._environ,
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        if self.running():
            self.kill()
        self._log.close()


@pytest.fixture
def environ(tmp_path, postgres_url):
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALPR_")},
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_LOG_PARTITIONS": "1",
        "ALPR_DATABASE_URL": postgres_url,
    }


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "home" / "log", 1)
    yield log
    log.close()


def read_all(log, topic):
    entries, at = [], 0
    while found := log.read(topic, 0, at, 1000):
        entries += found
        at = found[-1].offset + 1
    return entries


def rows_of(cursor, schema):
    """Every sighting of a view, whole."""
    cursor.execute(f"SELECT to_jsonb(e) FROM {schema}.plate_events e ORDER BY event_id")
    return [row for (row,) in cursor.fetchall()]


def position(url):
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('view_positions') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute("SELECT next_offset FROM view_positions WHERE topic = %s", (DETECTED.name,))
        return (cursor.fetchone() or (0,))[0]


@pytest.mark.slow
def test_no_sighting_is_lost_or_doubled_by_twenty_kills(tmp_path, log, environ, postgres_url):
    rng = Random(20)
    registry = SqliteRegistry(tmp_path / "home" / "log")
    codec = Codec(registry)
    codec.register()
    records = raw_records(codec, 21, cameras=8, hours=0.5)
    for place in (100, len(records) // 2, len(records) - 5):
        records.insert(place, GARBAGE)
    flows = [Flow(name, tmp_path, environ) for name in ("dedup", "project")]
    chunk = len(records) // KILLS + 1
    try:
        for number in range(KILLS):
            log.append(RAW.name, 0, records[number * chunk : (number + 1) * chunk])
            time.sleep(rng.uniform(0.4, 2.0))
            victim = flows[number % 2] if number % 5 else rng.choice(flows)
            assert victim.running(), "a flow ended by itself, see its text"
            victim.kill()
            victim.start()
        assert _quiet(log, postgres_url, 60), "the flows never came to the end of the log"
        assert all(flow.running() for flow in flows)
    finally:
        for flow in flows:
            flow.stop()

    # What a run that nothing disturbed says of the same log
    raw = read_all(log, RAW.name)
    assert len(raw) == len(records)
    clean = Dedup(codec, DedupSettings(), grammar()).batch(raw)
    for topic, expected in (
        (DETECTED.name, clean.detected),
        (REJECTED.name, clean.rejected),
        (DLQ.name, clean.dead),
    ):
        found = {(entry.key, entry.value) for entry in read_all(log, topic)}
        assert found == {(record.key, record.value) for record in expected}, topic
    assert len(clean.dead) == 3

    rebuilt = SightingsView(postgres_url, log.uuid, schema="rebuilt")
    changes = [codec.decode(record.value)[1] for record in clean.detected]
    assert rebuilt.apply(0, 0, changes, len(changes)) == []
    rebuilt.close()
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        rows = [rows_of(cursor, schema) for schema in (LIVE, "rebuilt")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == len({c["event_id"] for c in changes if "event_id" in c}) > 100
    registry.close()


def _quiet(log, url, seconds):
    """Whether all is processed: nothing new for two seconds and the view at the log's end."""
    until = time.monotonic() + seconds
    seen, since = None, time.monotonic()
    while time.monotonic() < until:
        now = log.end(DETECTED.name, 0), log.end(REJECTED.name, 0), position(url)
        if now != seen:
            seen, since = now, time.monotonic()
        elif now[0] == now[2] and now[0] and time.monotonic() - since > 3:
            return True
        time.sleep(0.1)
    return False
