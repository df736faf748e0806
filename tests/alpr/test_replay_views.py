"""``alpr replay`` of a view as a person runs it: what it prints, its exit codes, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.view import SightingsView, change_of
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import NOON, event_id, sighting

ROOT = Path(__file__).parents[2]
HOUR = 3_600_000_000


@pytest.fixture
def environ(tmp_path, postgres_url):
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        connection.cursor().execute("DROP SCHEMA IF EXISTS alpr, alpr_next, alpr_old CASCADE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALPR_")},
        "ALPR_HOME": str(tmp_path),
        "ALPR_LOG_PARTITIONS": "1",
        "ALPR_DATABASE_URL": postgres_url,
        "PYTHONPATH": str(ROOT),
    }


def fill(home: Path, url: str, count: int) -> None:
    """A log of sightings ten seconds apart, and the live view of it."""
    with (
        closing(SqliteLog(home / "log", 1)) as log,
        closing(SqliteRegistry(home / "log")) as registry,
    ):
        codec = Codec(registry)
        codec.register()
        events = [sighting(n, 1, at=NOON + n * 10_000_000) for n in range(count)]
        for first in range(0, count, 1000):
            log.append(
                DETECTED.name,
                0,
                [
                    Append(e["event_id"].encode(), codec.encode(DETECTED.name, "PlateEvent", e))
                    for e in events[first : first + 1000]
                ],
            )
        with closing(SightingsView(url, log.uuid)) as view:
            for first in range(0, count, 1000):
                entries = log.read(DETECTED.name, 0, first, 1000)
                changes = [change_of(entry, codec) for entry in entries]
                view.apply(0, first, changes, first + len(entries))


def replay(environ, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alpr", "replay", *arguments],
        env=environ, cwd=environ["ALPR_HOME"], capture_output=True, text=True, check=False,
    )  # fmt: skip


def ask(url: str, statement: str) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def spoil(url: str, number: int) -> None:
    ask(
        url,
        f"UPDATE alpr.plate_events SET plate_text = 'X' WHERE event_id = '{event_id(number)}'",
    )


def test_identical_views_are_called_so_and_the_old_one_stays_until_told(tmp_path, environ):
    url = environ["ALPR_DATABASE_URL"]
    fill(tmp_path, url, 3)
    done = replay(environ, "--view", "timescale")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert "The live view and the rebuilt one are identical, hour by hour." in done.stdout
    assert "alpr replay --drop-old" in done.stdout
    assert ask(url, "SELECT count(*) FROM alpr_old.plate_events") == [(3,)]
    assert "is removed" in replay(environ, "--drop-old").stdout
    assert "no replaced view" in replay(environ, "--drop-old").stdout


def test_differences_are_named_by_hour_and_have_an_exit_code_of_their_own(tmp_path, environ):
    url = environ["ALPR_DATABASE_URL"]
    fill(tmp_path, url, 3)
    spoil(url, 1)
    for arguments in (["--dry-run"], []):
        done = replay(environ, *arguments)
        assert done.returncode == 3
        assert "differed in 1 hours" in done.stdout
        assert "UTC: 3 rows live, 3 rebuilt, not the same" in done.stdout
    assert replay(environ).returncode == 0


def test_what_is_older_than_from_is_taken_over(tmp_path, environ):
    url = environ["ALPR_DATABASE_URL"]
    fill(tmp_path, url, 1000)
    spoil(url, 1)
    spoil(url, 999)
    since = "2025-06-15T16:00:00Z"
    done = replay(environ, "--from", since)
    assert done.returncode == 3, done.stderr
    assert "what was captured before 2025-06-15 16:00:00.000Z was taken over" in done.stdout
    wrong = ask(url, "SELECT event_id::text FROM alpr.plate_events WHERE plate_text = 'X'")
    assert wrong == [(event_id(1),)]


@pytest.mark.slow
def test_ctrl_c_stops_it_in_a_line_and_the_same_command_goes_on(tmp_path, environ):
    url = environ["ALPR_DATABASE_URL"]
    fill(tmp_path, url, 20_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "alpr", "replay"],
        env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    reached = 0
    while not reached and process.poll() is None:
        time.sleep(0.02)
        there = ask(url, "SELECT to_regclass('alpr_next.view_positions') IS NOT NULL") == [(True,)]
        if there:
            found = ask(url, "SELECT max(next_offset) FROM alpr_next.view_positions")
            reached = found[0][0] or 0
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on where it was" in said
    assert "Traceback" not in said
    assert ask(url, "SELECT next_offset FROM alpr_next.view_positions")[0][0] >= reached
    done = replay(environ)
    assert done.returncode == 0
    assert "20000 sightings" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "tomorrow-ish"], "--from 'tomorrow-ish' is no time"),
        (["--view", "opensearch"], "ALPR_SEARCH_URL"),
        (["--flow", "dedup", "--view", "timescale"], "one or the other"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_cure(environ, arguments, told):
    done = replay(environ, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
