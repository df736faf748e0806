"""A rebuild from a time on: older sightings are taken over as they are, newer ones replayed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.errors import ViewError, ViewMismatch
from projections.queries import SightingQueries
from projections.rebuild import VIEW, Rebuilt, rebuild
from projections.takeover import first_offset
from projections.view import SightingsView
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import NOON, event_id, sighting
from tests.projections.test_rebuild import append, follow

HOUR = 3_600_000_000
START = NOON + 5 * HOUR


class Clock:
    """Stands at the time of capture of what is being appended."""

    now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log", partitions=2, clock=clock)) as log:
        yield log


@pytest.fixture
def codec(tmp_path: Path, log: SqliteLog) -> Iterator[Codec]:
    with closing(SqliteRegistry(tmp_path / "log")) as registry:
        codec = Codec(registry)
        codec.register()
        yield codec


@pytest.fixture
def live(log: SqliteLog, codec: Codec, clock: Clock, url: str) -> Iterator[SightingsView]:
    """Ten sightings, one an hour, each said twice; the last of the old is revised much later."""
    for number in range(10):
        clock.now = NOON + number * HOUR
        for revision in (1, 2):
            append(log, codec, number % 2, [sighting(number, revision, at=clock.now)])
    append(log, codec, 0, [sighting(4, 9, at=NOON + 4 * HOUR, text="LATE999")])
    with closing(SightingsView(url, log.uuid)) as view:
        follow(log, codec, view)
        yield view


def spoil(url: str, number: int) -> None:
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(
            "UPDATE alpr.plate_events SET plate_text = 'WRONG' WHERE event_id = %s",
            (event_id(number),),
        )


def texts(url: str) -> dict[str, str]:
    with closing(SightingQueries(url)) as queries:
        return {row["event_id"]: row["plate_text"] for row in queries.recent(100)}


def counted(url: str) -> tuple:
    with closing(SightingQueries(url)) as queries:
        return tuple(queries.stats().values())


def test_it_equals_the_live_view(log, codec, live, url):
    before = texts(url), counted(url)
    assert rebuild(url, log, codec, start=START) == Rebuilt(10, 0, [])
    assert (texts(url), counted(url)) == before
    append(log, codec, 0, [sighting(50)])
    follow(log, codec, live)
    assert event_id(50) in texts(url)


def test_older_sightings_are_left_as_they_are_and_newer_ones_mended(log, codec, live, url):
    spoil(url, 1)
    spoil(url, 8)
    rebuilt = rebuild(url, log, codec, start=START)
    assert rebuilt.differences is not None
    assert len(rebuilt.differences) == 1
    assert texts(url)[event_id(1)] == "WRONG"
    assert texts(url)[event_id(8)] == "ABC0008"


def test_only_what_is_newer_is_read_from_the_log(log, codec, live, clock, url):
    for partition in range(2):
        at = first_offset(log, DETECTED.name, partition, START)
        assert log.read(DETECTED.name, partition, at, 1)[0].appended_at >= START
        assert log.read(DETECTED.name, partition, at - 1, 1)[0].appended_at < START
    seen = []
    rebuild(url, log, codec, seen.append, start=START)
    assert seen[0].done > 10  # of 21; all before was passed at once
    assert first_offset(log, DETECTED.name, 0, NOON) == 0
    assert first_offset(log, DETECTED.name, 0, NOON + 99 * HOUR) == log.end(DETECTED.name, 0)


def test_what_changes_while_it_is_copied_is_not_missed(log, codec, live, url, monkeypatch):
    def meanwhile(*arguments):
        append(log, codec, 0, [sighting(2, 7, at=NOON + 2 * HOUR, text="NEWER77")])
        append(log, codec, 0, [("erase", event_id(0))])
        follow(log, codec, live)
        take_over(*arguments)
        append(log, codec, 0, [sighting(2, 8, at=NOON + 2 * HOUR, text="NEWER88")])
        append(log, codec, 1, [("erase", event_id(3))])
        follow(log, codec, live)

    from projections.takeover import take_over

    monkeypatch.setattr("projections.rebuild.take_over", meanwhile)
    assert rebuild(url, log, codec, start=START) == Rebuilt(8, 0, [])
    assert texts(url)[event_id(2)] == "NEWER88"


def test_a_killed_one_goes_on_and_another_time_begins_anew(log, codec, live, url, monkeypatch):
    class Killed(Exception):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("projections.takeover.recount", kill)
        with pytest.raises(Killed):
            rebuild(url, log, codec, start=START)
    spoil(url, 1)  # copied already, and so it stays right
    assert rebuild(url, log, codec, start=START, swap=False).differences != []
    assert rebuild(url, log, codec, start=START + HOUR, swap=False).differences == []
    assert len(rebuild(url, log, codec).differences or ()) == 1
    assert texts(url)[event_id(1)] == "ABC0001"


def test_without_a_view_there_is_nothing_to_take_over(log, codec, url):
    append(log, codec, 0, [sighting(1)])
    with pytest.raises(ViewMismatch, match="without --from"):
        rebuild(url, log, codec, start=START)


def test_two_replays_do_not_meet(log, codec, live, url):
    with VIEW.alone(url), pytest.raises(ViewError, match="another replay"):
        rebuild(url, log, codec)
