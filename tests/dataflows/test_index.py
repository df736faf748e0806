"""The index flow: killed, without its server, with records that no document can hold."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.search_contents import search_contents
from projections.search_index import live_generation, positions
from projections.search_rebuild import rebuild_search
from projections.search_server import SearchServer
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ
from tests.projections.sightings import event_id, sighting
from tests.servers import OpenSearch

ROOT = Path(__file__).parents[2]
SIGHTINGS = 60


class Flow:
    """The flow as a process of its own."""

    def __init__(self, home: Path, search: str) -> None:
        self.said = home / "index.txt"
        self._environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ALPR_")},
            "ALPR_HOME": str(home),
            "ALPR_LOG_PARTITIONS": "1",
            "ALPR_SEARCH_URL": search,
        }
        self.start()

    def start(self) -> None:
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bytewax.run", "dataflows.index"],
                env=self._environ,
                cwd=ROOT,
                stdout=said,
                stderr=said,
            )

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def log(home):
    with closing(SqliteLog(home / "log", 1)) as log:
        yield log


@pytest.fixture
def codec(home, log):
    with closing(SqliteRegistry(home / "log")) as registry:
        codec = Codec(registry)
        codec.register()
        yield codec


def record(codec, event):
    value = codec.encode(DETECTED.name, "PlateEvent", event)
    return Append(event["event_id"].encode(), value)


def caught_up(url, log, seconds=60):
    """Wait until the view stands at the end of the log."""
    until = time.monotonic() + seconds
    with closing(SearchServer(url)) as server:
        while time.monotonic() < until:
            live = live_generation(server)
            at = positions(server, live.name).get(0) if live is not None else None
            if at is not None and at.next_offset == log.end(DETECTED.name, 0):
                return
            time.sleep(0.2)
    pytest.fail("the flow never came to the end of the log")


@pytest.mark.slow
def test_killed_at_random_the_index_is_a_fold_of_the_log(home, log, codec, search):
    rng = Random(3)
    flow = Flow(home, search)
    expected = {}
    try:
        for round_number in range(6):
            batch = []
            for _ in range(400):
                number, revision = rng.randrange(SIGHTINGS), rng.randrange(1000)
                expected[event_id(number)] = max(expected.get(event_id(number), -1), revision)
                batch.append(record(codec, sighting(number, revision)))
            erased = event_id(round_number)
            batch.insert(rng.randrange(400), Append(erased.encode(), None))
            batch.insert(rng.randrange(400), Append(b"gate", b"no record"))
            batch.append(record(codec, sighting(900 + round_number, text="X" * 40_000)))
            log.append(DETECTED.name, 0, batch)
            time.sleep(rng.uniform(0.5, 4.0))
            assert flow.process.poll() is None, flow.said.read_text()
            flow.kill()
            flow.start()
        caught_up(search, log)
    finally:
        flow.kill()
    for number in range(6):
        expected.pop(event_id(number), None)
    assert {one.event_id: one.revision for one in search_contents(search)} == expected
    letters = {}
    for entry in log.read(DLQ.name, 0, 0, 1000):
        letter = codec.decode(entry.value)[1]
        letters[letter["offset"]] = (letter["step"], letter["reason"])
    assert sorted(letters.values()) == [("decode", "magic")] * 6 + [("index", "refused")] * 6
    assert rebuild_search(search, log, codec).differences == []


@pytest.mark.slow
def test_it_waits_for_a_server_that_is_away_and_goes_on_by_itself(home, log, codec, own_server):
    server = own_server(OpenSearch)
    flow = Flow(home, server.url)
    try:
        log.append(DETECTED.name, 0, [record(codec, sighting(1))])
        caught_up(server.url, log)
        address = server.url
        server.kill()
        log.append(DETECTED.name, 0, [record(codec, sighting(n)) for n in range(2, 40)])
        time.sleep(3)
        assert flow.process.poll() is None, flow.said.read_text()
        server.start()
        if server.url != address:
            pytest.skip("another program took the server's port")
        caught_up(server.url, log)
        assert len(list(search_contents(server.url))) == 39
    finally:
        flow.kill()
    said = flow.said.read_text()
    assert said.count("waiting:") == said.count("going on") >= 1
    assert "Traceback" not in said


def test_without_a_server_to_write_to_the_cure_is_named(home, log):
    flow = Flow(home, "")
    assert flow.process.wait(60) != 0
    assert "ALPR_SEARCH_URL is not set" in flow.said.read_text()
