"""The project flow while PostgreSQL is away: it waits, says so once, loses and doubles nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg2
import pytest

from dataflows.log_io import Batch
from dataflows.patience import Patience
from dataflows.project import Projection, _patience
from eventlog.log import Append, LogUnavailable
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.errors import PositionConflict, ViewMissing, ViewUnavailable
from projections.queries import SightingQueries
from projections.rebuild import rebuild
from projections.view import SightingsView
from schemas.codec import Codec, RegistryUnavailable
from schemas.topics import DETECTED
from tests.projections.sightings import event_id, sighting
from tests.servers import Postgres

ROOT = Path(__file__).parents[2]


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path / "home" / "log", 1)) as log:
        yield log


@pytest.fixture
def codec(tmp_path, log):
    with closing(SqliteRegistry(tmp_path / "home" / "log")) as registry:
        codec = Codec(registry)
        codec.register()
        yield codec


def append(log, codec, events):
    records = [
        Append(event["event_id"].encode(), codec.encode(DETECTED.name, "PlateEvent", event))
        for event in events
    ]
    log.append(DETECTED.name, 0, records)


def batch(log, start=0):
    entries = log.read(DETECTED.name, 0, start, 1000)
    return Batch(start, entries, entries[-1].offset + 1)


class Broken:
    """A view whose ``apply`` fails as told, before or after it has written."""

    def __init__(self, view, *failures):
        self._view, self._failures = view, list(failures)

    def apply(self, *arguments):
        told = self._failures.pop(0) if self._failures else None
        if told == "before":
            raise ViewUnavailable("postgresql://alpr:…@db broke off: the server is gone")
        done = self._view.apply(*arguments)
        if told == "after":
            raise ViewUnavailable("postgresql://alpr:…@db broke off: during the commit")
        return done

    def positions(self):
        return self._view.positions()


@pytest.fixture
def view(postgres_url, log):
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        connection.cursor().execute("DROP SCHEMA IF EXISTS alpr CASCADE")
    with closing(SightingsView(postgres_url, log.uuid)) as view:
        yield view


@pytest.mark.parametrize("failures", [("before",), ("after",), ("before", "before", "after")])
def test_a_batch_is_written_once_whenever_the_connection_breaks(log, codec, view, failures, caplog):
    append(log, codec, [sighting(1), sighting(2)])
    waits: list[float] = []
    patience = Patience((ViewUnavailable,), sleep=waits.append)
    Projection(log, codec, Broken(view, *failures), 0, patience).apply(batch(log))
    assert view.positions() == {0: 2}
    assert len(waits) == len(failures)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith("waiting: postgresql://alpr:…@db broke off")
    assert told[1].startswith("going on after ")


def test_another_writer_is_no_outage(log, codec, view):
    append(log, codec, [sighting(1), sighting(2)])
    view.apply(0, 0, [], 1)
    with pytest.raises(PositionConflict):
        Projection(log, codec, Broken(view, "before"), 0, _patience()).apply(batch(log))


def test_pauses_grow_up_to_five_seconds_and_what_died_is_revived():
    waits: list[float] = []
    revived: list[int] = []
    patience = Patience(
        (ViewUnavailable,), (ViewMissing,), lambda: revived.append(1), sleep=waits.append
    )
    failures = iter([ViewUnavailable("away")] * 9)

    def act():
        for failure in failures:
            raise failure
        return "done"

    assert patience.until(act) == "done"
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert len(revived) == 9


@pytest.mark.parametrize("error", [ViewUnavailable, LogUnavailable, RegistryUnavailable])
def test_the_database_the_log_and_the_registry_are_waited_for(error):
    failures = iter([error("away")])

    def act():
        for failure in failures:
            raise failure

    _patience().until(act)


def test_a_view_that_was_removed_is_made_by_the_next_start():
    def act():
        raise ViewMissing("no views")

    with pytest.raises(ViewMissing):
        _patience().until(act)


def rows(url):
    with closing(SightingQueries(url)) as queries:
        return queries.stats()["total_events"], queries.positions()


@pytest.fixture
def flow(tmp_path):
    """Starts the project flow as a process, its text in a file."""
    running: list[subprocess.Popen] = []

    def start(url: str) -> tuple[subprocess.Popen, Path]:
        text = tmp_path / "project.txt"
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ALPR_")},
            "ALPR_HOME": str(tmp_path / "home"),
            "ALPR_LOG_PARTITIONS": "1",
            "ALPR_DATABASE_URL": url,
        }
        with text.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "bytewax.run", "dataflows.project"],
                env=environ,
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


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def position(url):
    try:
        with closing(psycopg2.connect(url, options="-c search_path=alpr")) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT next_offset FROM view_positions")
            return (cursor.fetchone() or (0,))[0]
    except psycopg2.Error:
        return -1


@pytest.mark.slow
def test_postgresql_killed_in_the_middle_of_transactions_leaves_the_view_whole(
    log, codec, own_server, flow
):
    """kill -9 five times while batches are written; the flow lives through all of it."""
    server = own_server(Postgres)
    process, text = flow(server.url)
    chance = Random(15)
    stop = threading.Event()
    written = [0]

    def write():
        while not stop.is_set():
            first = written[0]
            events = [sighting(n, r) for n in range(first, first + 100) for r in (0, 1)]
            append(log, codec, events)
            written[0] = first + 100
            time.sleep(0.01)

    until(lambda: position(server.url) >= 0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            before = position(server.url)
            until(lambda before=before: position(server.url) > before)
            time.sleep(chance.uniform(0, 0.3))
            server.kill()
            time.sleep(chance.uniform(0, 1))
            server.start()
    finally:
        stop.set()
        writer.join()
    end = log.end(DETECTED.name, 0)
    until(lambda: position(server.url) == end)
    assert process.poll() is None
    total, _ = rows(server.url)
    assert total == written[0]
    told = text.read_text()
    assert "Traceback" not in told
    assert told.count("waiting: ") == told.count("going on after ") >= 1
    assert server.password not in told
    process.kill()
    assert rebuild(server.url, log, codec).differences == []


@pytest.mark.slow
def test_a_flow_waits_for_a_database_that_is_not_there_yet_and_ends_by_ctrl_c(
    log, codec, own_server, flow
):
    server = own_server(Postgres)
    server.stop()
    append(log, codec, [sighting(1)])
    process, text = flow(server.url)
    until(lambda: "waiting: no connection to" in text.read_text())
    server.start()
    until(lambda: position(server.url) == 1)
    with closing(SightingQueries(server.url)) as queries:
        assert queries.by_id(event_id(1)) is not None
    server.stop()
    append(log, codec, [sighting(2)])
    until(lambda: text.read_text().count("waiting: ") == 2)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    assert text.read_text().count("going on after ") == 1
