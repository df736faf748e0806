"""Flows and ticker while the broker and the registry are away, at their start and later."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log, open_registry
from benchmarks.site import Site
from eventlog.kafka_cluster import create_topics
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append
from schemas.publish import register
from schemas.topics import DETECTED, RAW, partition_of
from tests.servers import Kafka, Registry

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
FLOW = ("-m", "alpr", "flow")
COMMANDS = {
    "dedup": (*FLOW, "dedup"),
    "project": ("-m", "bytewax.run", "dataflows.project"),
    "metrics": (*FLOW, "metrics"),
    "ticker": ("-m", "alpr", "ticker"),
}
Run = Callable[[str, dict[str, str]], tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a command as a process, its text in a file."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, given: dict[str, str]) -> tuple[subprocess.Popen[bytes], Path]:
        text = tmp_path / f"{name}.txt"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
        with text.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *COMMANDS[name]],
                env=clean | given,
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )
        running.append(process)
        return process, text

    yield start
    for process in running:
        process.kill()
        process.wait()


def until(condition: Callable[[], Any], what: Callable[[], str], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def append(settings: Settings, items: list[Any]) -> None:
    codec = open_codec(settings)
    with closing(open_log(settings)) as log:
        for item in items:
            value = codec.encode(RAW.name, item.name, item.record)
            partition = partition_of(item.key, PARTITIONS)
            log.send(RAW.name, partition, [Append(item.key, value, {}, item.appended_at)])
        log.flush()


def behind(settings: Settings) -> tuple[int, int]:
    """How many events were said, and how many of them the view lacks."""
    with closing(open_log(settings)) as log:
        said = sum(log.end(DETECTED.name, p) for p in range(PARTITIONS))
    with closing(psycopg2.connect(settings.database_url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT coalesce(sum(next_offset), 0) FROM alpr.view_positions")
        (shown,) = cursor.fetchone() or (0,)
    return said, said - int(shown)


@pytest.mark.slow
def test_a_broker_that_is_away_is_a_line_and_one_that_is_back_another(
    tmp_path: Path, own_server: Callable[..., Any], postgres_url: str, run: Run
):
    broker, registry = own_server(Kafka), own_server(Registry)
    url = f"{broker.url}?prefix=outage."
    given = {
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_LOG_URL": url,
        "ALPR_LOG_PARTITIONS": str(PARTITIONS),
        "ALPR_REGISTRY_URL": registry.url.replace("http://", "http://alpr:S3cret@"),
        "ALPR_DATABASE_URL": postgres_url,
    }
    settings = load(given, None)
    create_topics(KafkaAddress.parse(url), PARTITIONS, 1, {})
    register(open_registry(settings))
    site = Site(1, cameras=4, hours=0.05, partitions=PARTITIONS)
    items = [item for item in site.records() if item.key is not None]
    broker.stop()

    running = {name: run(name, given) for name in COMMANDS}

    def said(name: str) -> str:
        return running[name][1].read_text()

    def told() -> str:
        return "\n".join(f"{name}: {said(name)}" for name in running)

    def all_said(word: str, times: int) -> bool:
        return all(said(name).count(word) == times for name in running)

    until(lambda: all_said("waiting: the log: Kafka at", 1), told)
    broker.start()
    until(lambda: all_said("answers again after", 1), told)
    append(settings, items[: len(items) // 2])
    until(lambda: behind(settings)[0] > 0 and behind(settings)[1] == 0, told)
    first = behind(settings)[0]

    broker.kill()
    until(lambda: all_said("waiting: the log: Kafka at", 2), told)
    time.sleep(3)
    broker.start()
    until(lambda: all_said("answers again after", 2), told)
    append(settings, items[len(items) // 2 :])
    until(lambda: behind(settings)[0] > first and behind(settings)[1] == 0, told)

    for name, (process, _) in running.items():
        assert process.poll() is None, told()
        lines = said(name).splitlines()
        assert len(lines) == 4, told()
        assert all(broker.bootstrap in line for line in lines)
        assert "Connection refused" in lines[0]
        assert "ALPR_LOG_URL" in lines[0]
        assert "S3cret" not in said(name)


@pytest.mark.slow
def test_a_registry_that_is_away_at_the_first_start_is_waited_for(
    tmp_path: Path, kafka: str, own_server: Callable[..., Any], run: Run
):
    registry = own_server(Registry)
    url = f"{kafka}{'&' if '?' in kafka else '?'}prefix={tmp_path.name.replace('_', '-')[-40:]}."
    given = {
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_LOG_URL": url,
        "ALPR_LOG_PARTITIONS": str(PARTITIONS),
        "ALPR_REGISTRY_URL": registry.url,
    }
    create_topics(KafkaAddress.parse(url), PARTITIONS, 1, {})
    registry.kill()
    process, text = run("ticker", given)
    until(lambda: "waiting: the schema registry at" in text.read_text(), text.read_text)
    registry.start()  # nobody has registered a schema
    until(lambda: process.poll() is not None, text.read_text)
    lines = text.read_text().splitlines()
    assert len(lines) == 3
    assert "going on: the schema registry at" in lines[1]
    assert "run `alpr topics create`" in lines[2]
    assert process.returncode == 1


@pytest.mark.parametrize("name", ["dedup", "project", "metrics"])
def test_what_keeps_a_flow_from_starting_is_one_line(tmp_path: Path, run: Run, name: str):
    process, text = run(name, {"ALPR_HOME": str(tmp_path), "ALPR_LOG_PARTITIONS": "none"})
    assert process.wait(60) == 2
    (line,) = text.read_text().splitlines()
    assert "ALPR_LOG_PARTITIONS=none cannot be used" in line
