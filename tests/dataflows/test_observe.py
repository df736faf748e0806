"""What a flow counts, asked of the running flow as Prometheus asks."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from alpr.layout import Store
from alpr.settings import load
from alpr.up import Up
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import sighting
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
EVENTS = 3


@contextmanager
def flow(home: Path, name: str, *flags: str, **given: str) -> Iterator[subprocess.Popen[str]]:
    """`alpr flow NAME` on a log of three sightings."""
    with closing(SqliteLog(home / "log", 1)) as log:
        codec = Codec(SqliteRegistry(home / "log"))
        codec.register()
        values = [codec.encode(DETECTED.name, "PlateEvent", sighting(n)) for n in range(EVENTS)]
        log.append(DETECTED.name, 0, [Append(b"k", value) for value in values])
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "alpr", "flow", name, *flags],
        env=clean | {"ALPR_HOME": str(home), "ALPR_LOG_PARTITIONS": "1", **given},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def scraped(port: int) -> dict[str, float]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def until_written(port: int, process: subprocess.Popen[str]) -> dict[str, float]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        counts = scraped(port)
        if counts.get("alpr_database_writes_total") == EVENTS:
            return counts
        time.sleep(0.1)
    raise AssertionError(f"{scraped(port)} {process.communicate()[0] if process.poll() else ''}")


def listens_on(process: subprocess.Popen[str], port: int) -> set[str]:
    found = psutil.Process(process.pid).net_connections("inet")
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN and c.laddr.port == port}


@pytest.mark.slow
def test_the_project_flow_tells_what_it_read_and_wrote_on_loopback(
    tmp_path: Path, postgres_url: str
):
    port = free_port()
    flags = ("--metrics-port", str(port))
    with flow(tmp_path, "project", *flags, ALPR_DATABASE_URL=postgres_url) as process:
        counts = until_written(port, process)
        assert counts['alpr_messages_consumed_total{topic="alpr.plates.detected"}'] == EVENTS
        assert listens_on(process, port) == {"127.0.0.1"}


@pytest.mark.slow
def test_the_index_flow_does_by_the_setting(tmp_path: Path, search: str):
    port = free_port()
    given = {"ALPR_SEARCH_URL": search, "ALPR_METRICS_PORT": str(port)}
    with flow(tmp_path, "index", **given) as process:
        until_written(port, process)


def test_a_port_in_use_is_one_line_with_the_cure(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with flow(tmp_path, "metrics", "--metrics-port", str(port)) as process:
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert f"port {port} cannot be had for metrics" in line
    assert "ALPR_METRICS_PORT" in line


@pytest.mark.parametrize(("port", "ports"), [("0", (0,) * 7), ("8002", (*range(8002, 8008), 8009))])
def test_under_one_supervisor_each_flow_has_a_port_of_its_own(port: str, ports: tuple[int, ...]):
    settings = load({"ALPR_METRICS_PORT": port, "ALPR_SEARCH_URL": "http://localhost:9200"}, None)
    dedups = {"dedup": Store(Path("a"), (0, 1)), "dedup-2-3": Store(Path("b"), (2, 3))}
    programs = Up(settings, lambda *_: None)._programs(dedups, Path("alerts"))
    own = {p.name: int(p.environ["ALPR_METRICS_PORT"]) for p in programs}
    names = ("project", "alerts", "notify", "index", "dedup", "metrics", "dedup-2-3")
    assert tuple(own[name] for name in names) == ports
