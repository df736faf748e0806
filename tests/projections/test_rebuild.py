"""A view rebuilt from the log is the live one, and takes its place while both are in use."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.errors import ViewUnavailable
from projections.queries import SightingQueries
from projections.rebuild import Rebuilt, drop_old, rebuild
from projections.schema import migrate
from projections.view import SightingsView, change_of
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import event_id, progress, sighting


def append(log: SqliteLog, codec: Codec, partition: int, changes: list) -> None:
    records = []
    for change in changes:
        if isinstance(change, tuple):
            records.append(Append(change[1].encode(), None))
        elif "watermark" in change:
            value = codec.encode(DETECTED.name, "Progress", change)
            records.append(Append(f"progress-{partition}".encode(), value))
        else:
            value = codec.encode(DETECTED.name, "PlateEvent", change)
            records.append(Append(change["event_id"].encode(), value))
    log.append(DETECTED.name, partition, records)


def follow(log: SqliteLog, codec: Codec, view: SightingsView, limit: int = 3) -> None:
    """What the project flow does: everything there is, in small batches."""
    for partition in range(log.partitions(DETECTED.name)):
        position = view.positions().get(partition, 0)
        while entries := log.read(DETECTED.name, partition, position, limit):
            changes = [change_of(entry, codec) for entry in entries]
            view.apply(partition, position, changes, entries[-1].offset + 1)
            position = entries[-1].offset + 1


@pytest.fixture
def live(log: SqliteLog, codec: Codec, url: str) -> Iterator[SightingsView]:
    """A live view of forty sightings in three revisions, one erased, one retracted."""
    for revision in range(3):
        append(log, codec, 0, [sighting(n, revision) for n in range(0, 40, 2)])
        append(log, codec, 1, [sighting(n, revision) for n in range(1, 40, 2)])
    append(log, codec, 0, [("erase", event_id(4)), progress(77)])
    append(log, codec, 1, [sighting(5, 9, status="retracted", text="NONE")])
    view = SightingsView(url, log.uuid)
    follow(log, codec, view)
    yield view
    view.close()


def test_a_rebuild_equals_the_live_view_and_takes_its_place(log, codec, live, url):
    positions = live.positions()
    with closing(SightingQueries(url)) as queries:
        before, cursor = queries.recent(100, retracted=True), queries.latest_change()
        seen = []
        assert rebuild(url, log, codec, seen.append) == Rebuilt(39, 0, [])
        assert seen[-1].done == seen[-1].total == sum(positions.values())
        assert queries.recent(100, retracted=True) == before
        assert live.positions() == positions
        append(log, codec, 0, [sighting(50)])
        follow(log, codec, live)  # the same writer goes on in the new view
        assert queries.by_id(event_id(50)) is not None
        assert [row["event_id"] for row in queries.changes_since(cursor).rows] == [event_id(50)]
    with closing(SightingQueries(url, schema="alpr_old")) as old:
        assert old.by_id(event_id(50)) is None
    drop_old(url)
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alpr%'")
        found = {name for (name,) in cursor.fetchall()}
        assert found - {"alpr_people", "alpr_derived"} == {"alpr"}


def test_a_damaged_live_view_is_told_by_hour_and_healed(log, codec, live, url):
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(
            "UPDATE alpr.plate_events SET plate_text = 'WRONG' WHERE event_id = %s", (event_id(7),)
        )
        connection.cursor().execute(
            "DELETE FROM alpr.plate_events WHERE event_id = %s", (event_id(8),)
        )
    with closing(SightingQueries(url)) as queries:
        cursor = queries.latest_change()
        rebuilt = rebuild(url, log, codec)
        assert rebuilt.differences is not None
        assert [(d.live_rows, d.rebuilt_rows) for d in rebuilt.differences] == [(38, 39)]
        assert queries.by_id(event_id(7))["plate_text"] == "ABC0007"
        assert queries.by_id(event_id(8)) is not None
        assert not queries.changes_since(cursor).complete


def test_a_rebuild_can_be_looked_at_without_a_swap(log, codec, live, url):
    rebuild(url, log, codec, swap=False)
    append(log, codec, 0, [sighting(60)])
    follow(log, codec, live)
    with closing(SightingQueries(url)) as queries:
        assert queries.by_id(event_id(60)) is not None
    with closing(SightingQueries(url, schema="alpr_next")) as queries:
        assert queries.by_id(event_id(60)) is None
        assert queries.by_id(event_id(4)) is None


def test_a_killed_rebuild_goes_on_where_it_was(log, codec, live, url):
    class Killed(Exception):
        pass

    def kill(replayed):
        raise Killed

    with pytest.raises(Killed):
        rebuild(url, log, codec, kill)
    first = []
    rebuild(url, log, codec, first.append)
    assert len(first) == 1  # one of two partitions was done


def test_a_rebuild_replaces_the_view_of_another_log(log, codec, url):
    SightingsView(url, "another").apply(0, 0, [sighting(99)], 1)
    append(log, codec, 0, [sighting(1)])
    assert rebuild(url, log, codec) == Rebuilt(1, 0, None)
    with closing(SightingsView(url, log.uuid)) as view:
        assert view.positions() == {0: 1}


def test_a_rebuild_replaces_a_view_ahead_of_its_log(log, codec, live, url):
    live.apply(0, live.positions()[0], [sighting(99)], 10_000)
    assert rebuild(url, log, codec).differences is None
    with closing(SightingQueries(url)) as queries:
        assert queries.by_id(event_id(99)) is None


def test_a_rebuild_makes_the_first_view(log, codec, url):
    append(log, codec, 1, [sighting(1), ("erase", "progress-0")])
    assert rebuild(url, log, codec) == Rebuilt(1, 1, None)


def test_a_rebuild_replaces_a_view_of_a_newer_version(log, codec, live, url):
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute("INSERT INTO alpr.schema_versions VALUES (999, 'future')")
    assert rebuild(url, log, codec) == Rebuilt(39, 0, None)
    migrate(url, log_uuid=log.uuid)


def test_what_was_erased_stays_so_when_the_log_has_forgotten_the_tombstone(log, codec, live, url):
    live.apply(0, live.positions()[0], [("erase", event_id(10))], live.positions()[0])
    rebuild(url, log, codec)
    with closing(SightingQueries(url)) as queries:
        assert queries.by_id(event_id(10)) is None


def test_what_cannot_be_read_is_counted_and_passed(log, codec, live, url):
    log.append(DETECTED.name, 0, [Append(b"x", b"not a record")])
    live.apply(0, live.positions()[0], [], log.end(DETECTED.name, 0))
    assert rebuild(url, log, codec).refused == 1


def test_a_swap_under_writers_and_readers_loses_and_doubles_nothing(log, codec, live, url):
    stop = threading.Event()
    failures: list[BaseException] = []
    counts: list[int] = []

    def guarded(work):
        def run():
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    written = iter(range(100, 1_000_000))

    def write():
        append(log, codec, next(written) % 2, [sighting(next(written))])
        follow(log, codec, live)
        time.sleep(0.002)

    queries = SightingQueries(url)

    def read():
        counts.append(queries.stats()["total_events"])

    threads = [guarded(write), guarded(read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert rebuild(url, log, codec).differences == []
            drop_old(url)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        queries.close()
    assert failures == []
    assert counts == sorted(counts)  # no reader ever saw less than before
    follow(log, codec, live)
    assert rebuild(url, log, codec).differences == []


def test_the_swap_waits_its_turn_behind_a_long_transaction(log, codec, live, url, monkeypatch):
    monkeypatch.setattr("projections.beside._LOCK_TIMEOUT_MS", 50)
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("UPDATE alpr.view_positions SET watermark = watermark")
        timer = threading.Timer(0.5, connection.rollback)
        timer.start()
        rebuild(url, log, codec)
        timer.join()
    monkeypatch.setattr("projections.beside._LOCK_ATTEMPTS", 1)
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("UPDATE alpr.view_positions SET watermark = watermark")
        with pytest.raises(ViewUnavailable, match="try again"):
            rebuild(url, log, codec)


def test_a_compacted_log_gives_the_same_view(tmp_path, url):
    now = [1_000]
    with (
        closing(SqliteLog(tmp_path / "log", partitions=1, clock=lambda: now[0])) as log,
        closing(SqliteRegistry(tmp_path / "log")) as registry,
        closing(SightingsView(url, log.uuid)) as view,
    ):
        codec = Codec(registry)
        codec.register()
        append(log, codec, 0, [sighting(n, revision) for revision in (1, 2) for n in range(20)])
        append(log, codec, 0, [("erase", event_id(3))])
        now[0] = 10_000
        append(log, codec, 0, [sighting(n, 3) for n in range(10, 20)])
        follow(log, codec, view)
        assert log.trim(DETECTED.name, 5_000) > 0
        assert rebuild(url, log, codec) == Rebuilt(19, 0, [])
