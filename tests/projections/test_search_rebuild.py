"""An index rebuilt from the log is the live one, and takes its place while both are in use."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections import search_rebuild, search_view
from projections.compare import by_hour, contents
from projections.errors import PositionConflict, ViewMismatch, ViewUnavailable
from projections.rebuild import Rebuilt
from projections.search_contents import search_contents
from projections.search_documents import ERASED
from projections.search_index import (
    ALIAS,
    change,
    create,
    generations,
    live_generation,
    position,
    positions,
    show,
)
from projections.search_rebuild import drop_old_search, rebuild_search
from projections.search_server import SearchServer
from projections.search_view import SearchView
from projections.view import SightingsView, change_of
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import NOON, event_id, progress, sighting


class Killed(Exception):
    """The end of a rebuild or of a writer."""


@pytest.fixture
def server(search: str) -> Iterator[SearchServer]:
    with closing(SearchServer(search)) as server:
        yield server


def append(log: SqliteLog, codec: Codec, partition: int, changes: list) -> None:
    records = []
    for one in changes:
        if isinstance(one, tuple):
            records.append(Append(one[1].encode(), None))
        elif "watermark" in one:
            value = codec.encode(DETECTED.name, "Progress", one)
            records.append(Append(f"progress-{partition}".encode(), value))
        else:
            value = codec.encode(DETECTED.name, "PlateEvent", one)
            records.append(Append(one["event_id"].encode(), value))
    log.append(DETECTED.name, partition, records)


def follow(log: SqliteLog, codec: Codec, view, limit: int = 20) -> None:
    """What the flow does: everything there is, in small batches."""
    for partition in range(log.partitions(DETECTED.name)):
        at = view.positions().get(partition, 0)
        while entries := log.read(DETECTED.name, partition, at, limit):
            changes = [change_of(entry, codec) for entry in entries]
            view.apply(partition, at, changes, entries[-1].offset + 1)
            at = entries[-1].offset + 1


@pytest.fixture
def live(log: SqliteLog, codec: Codec, search: str) -> Iterator[SearchView]:
    """A live view of forty sightings in three revisions, one erased, one retracted."""
    for revision in range(3):
        append(log, codec, 0, [sighting(n, revision) for n in range(0, 40, 2)])
        append(log, codec, 1, [sighting(n, revision) for n in range(1, 40, 2)])
    append(log, codec, 0, [("erase", event_id(4)), progress(77)])
    append(log, codec, 1, [sighting(5, 9, status="retracted", text="NONE")])
    with closing(SearchView(search, log.uuid)) as view:
        follow(log, codec, view)
        yield view


@pytest.fixture
def world(log, codec, live, search, server):
    return log, codec, live, search, server


def named(server: SearchServer) -> dict[str, bool]:
    return {generation.name: generation.live for generation in generations(server)}


def test_a_rebuild_equals_the_live_view_and_takes_its_place(log, codec, live, search, server):
    before, at = list(search_contents(search)), live.positions()
    seen = []
    assert rebuild_search(search, log, codec, seen.append) == Rebuilt(39, 0, [])
    assert seen[-1].done == seen[-1].total == sum(at.values())
    assert list(search_contents(search)) == before
    assert named(server) == {"alpr-events-000001": False, "alpr-events-000002": True}
    # the same writer goes on in the new index, where it was in the old one
    append(log, codec, 0, [sighting(50)])
    live.apply(0, at[0], [sighting(50)], at[0] + 1)
    assert live.positions() == {0: at[0] + 1, 1: at[1]}
    assert event_id(50) in {one.event_id for one in search_contents(search)}
    assert drop_old_search(search)
    assert named(server) == {"alpr-events-000002": True}
    assert not drop_old_search(search)


def test_a_second_rebuild_drops_what_the_first_replaced(log, codec, live, search, server):
    for number in (2, 3):
        assert rebuild_search(search, log, codec).differences == []
        assert list(named(server)) == [
            f"alpr-events-{number - 1:06d}",
            f"alpr-events-{number:06d}",
        ]


def test_patterns_see_one_generation(log, codec, live, search, server):
    """A dashboard on alpr-events-* counts no sighting twice."""
    rebuild_search(search, log, codec, swap=False)
    query = {"query": {"exists": {"field": "event_id"}}}
    for _ in range(2):
        server.ask("POST", "/alpr-events-*/_refresh", params={"expand_wildcards": "all"})
        assert server.ask("POST", "/alpr-events-*/_count", query)["count"] == 39
        rebuild_search(search, log, codec)


def test_a_damaged_live_view_is_told_by_hour_and_healed(log, codec, live, search, server):
    name = live_generation(server).name
    wrong = {"doc": {"plate_text": "WRONG"}}
    server.ask("POST", f"/{name}/_update/{event_id(7)}", wrong)
    server.ask("DELETE", f"/{name}/_doc/{event_id(8)}")
    rebuilt = rebuild_search(search, log, codec)
    assert rebuilt.differences is not None
    assert [(d.live_rows, d.rebuilt_rows) for d in rebuilt.differences] == [(38, 39)]
    assert rebuild_search(search, log, codec).differences == []


def test_documents_ahead_of_their_position_are_no_difference(log, codec, live, search):
    """A writer that was killed between the two."""
    append(log, codec, 0, [sighting(2, 7), sighting(90)])
    at = live.positions()[0]

    def kill(_):
        raise Killed

    with pytest.raises(Killed):  # refused last, after everything else is written
        live.apply(0, at, [sighting(2, 7), sighting(90), sighting(91, -1)], at + 2, kill)
    assert rebuild_search(search, log, codec).differences == []


def test_a_rebuild_can_be_looked_at_without_a_swap(log, codec, live, search, server):
    assert rebuild_search(search, log, codec, swap=False) == Rebuilt(39, 0, [])
    append(log, codec, 0, [sighting(60)])
    follow(log, codec, live)
    assert named(server) == {"alpr-events-000001": True, "alpr-events-000002": False}
    assert event_id(60) in {one.event_id for one in search_contents(search)}
    seen = []
    rebuild_search(search, log, codec, seen.append)  # goes on from there
    assert len(seen) == 1
    assert event_id(60) in {one.event_id for one in search_contents(search)}


class Mortal(SearchServer):
    """Ends what uses it at a certain request."""

    life = 0

    def ask(self, *given, **options):
        if Mortal.life == 0:
            raise Killed
        Mortal.life -= 1
        return super().ask(*given, **options)


@pytest.mark.parametrize("life", range(0, 75, 5))
def test_a_rebuild_killed_at_any_request_is_made_good_by_the_next(world, life, monkeypatch):
    """Meanwhile the live view's writer goes on, and nothing is in its way."""
    log, codec, live, search, server = world
    with monkeypatch.context() as patch:
        patch.setattr(search_rebuild, "SearchServer", Mortal)
        Mortal.life = life
        with suppress(Killed):
            rebuild_search(search, log, codec)
    assert len(list(search_contents(search))) == 39
    at = log.end(DETECTED.name, 0)
    append(log, codec, 0, [sighting(70), sighting(2, 8)])
    live.apply(0, at, [sighting(70), sighting(2, 8)], at + 2)
    assert len(list(search_contents(search))) == 40
    assert rebuild_search(search, log, codec).differences == []
    assert len(list(search_contents(search))) == 40
    live.apply(0, at + 2, [], at + 2)
    assert live.positions()[0] == at + 2
    drop_old_search(search)
    assert list(named(server).values()) == [True]


def test_a_swap_under_writers_and_readers_loses_and_doubles_nothing(log, codec, live, search):
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
    at = live.positions()

    def write():
        """As the flow does: on and on from where it is, never asking the view."""
        n = next(written)
        append(log, codec, n % 2, [sighting(n)])
        live.apply(n % 2, at[n % 2], [sighting(n)], at[n % 2] + 1)
        at[n % 2] += 1

    reader = SearchServer(search)

    def read():
        with suppress(ViewUnavailable):  # what it read was replaced and dropped: it reads again
            counts.append(len(list(search_contents(search))))
        time.sleep(0.01)

    threads = [guarded(write), guarded(read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert rebuild_search(search, log, codec).differences == []
            drop_old_search(search)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        reader.close()
    assert failures == []
    assert len(counts) > 10
    assert counts == sorted(counts)  # no reader ever saw less than before
    assert rebuild_search(search, log, codec).differences == []
    assert len(list(search_contents(search))) == 39 + next(written) - 100


@pytest.mark.parametrize("one", [progress(79), sighting(95)], ids=["progress", "sighting"])
def test_a_writer_whose_index_is_removed_goes_on_in_the_new_one(world, one, monkeypatch):
    """The removal may come between any two of its requests."""
    log, codec, live, search, server = world
    monkeypatch.setattr(search_view, "TRUSTED_S", 1e9)  # it has not looked since
    append(log, codec, 0, [progress(78), one])
    at = live.positions()[0]
    live.apply(0, at, [progress(78)], at + 1)
    rebuild_search(search, log, codec, sleep=lambda _: None)
    drop_old_search(search, sleep=lambda _: None)
    made = {"transient": {"action.auto_create_index": "false"}}
    server.ask("PUT", "/_cluster/settings", made)
    try:
        with suppress(ViewUnavailable):  # then the same call may be made again
            live.apply(0, at + 1, [one], at + 2)
        live.apply(0, live.positions()[0], [one], at + 2)
    finally:
        server.ask("PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": None}})
    assert named(server) == {"alpr-events-000002": True}
    assert positions(server, "alpr-events-000002")[0].next_offset == at + 2
    shown = {found.event_id for found in search_contents(search)}
    assert ("event_id" not in one) or one["event_id"] in shown


def test_a_position_of_an_index_that_is_gone_is_no_endless_wait(live, server):
    """Where nothing makes indices by themselves."""
    made = {"transient": {"action.auto_create_index": "false"}}
    server.ask("PUT", "/_cluster/settings", made)
    try:
        with pytest.raises(ViewUnavailable, match="alpr-events-000009 was removed meanwhile"):
            change(server, "alpr-events-000009", 0, lambda at: replace(at, also="some"))
    finally:
        server.ask("PUT", "/_cluster/settings", {"transient": {"action.auto_create_index": None}})


def test_a_rebuild_replaces_the_view_of_another_log(log, codec, search):
    with closing(SearchView(search, "another")) as other:
        other.apply(0, 0, [sighting(99)], 1)
    append(log, codec, 0, [sighting(1)])
    assert rebuild_search(search, log, codec) == Rebuilt(1, 0, None)
    with closing(SearchView(search, log.uuid)) as view:
        assert view.positions() == {0: 1}
    assert [one.event_id for one in search_contents(search)] == [event_id(1)]


def test_a_rebuild_replaces_a_view_ahead_of_its_log(log, codec, live, search):
    live.apply(0, live.positions()[0], [sighting(99)], 10_000)
    assert rebuild_search(search, log, codec).differences is None
    assert event_id(99) not in {one.event_id for one in search_contents(search)}
    with pytest.raises(PositionConflict):
        live.apply(0, 10_000, [], 10_001)


def test_a_rebuild_makes_the_first_view(log, codec, search):
    append(log, codec, 1, [sighting(1), ("erase", "progress-0")])
    assert rebuild_search(search, log, codec) == Rebuilt(1, 1, None)


def test_a_rebuild_replaces_a_view_of_another_version(log, codec, live, search, server):
    meta = {"_meta": {"log": log.uuid, "version": 99}}
    server.ask("PUT", "/alpr-events-000001/_mapping", meta)
    assert rebuild_search(search, log, codec) == Rebuilt(39, 0, None)
    assert live.positions() == {p: log.end(DETECTED.name, p) for p in (0, 1)}


def test_what_is_left_of_a_rebuild_of_another_log_is_removed(log, codec, live, search, server):
    create(server, 2, "another", live=False)
    change(server, "alpr-events-000001", 0, lambda at: replace(at, also="alpr-events-000002"))
    rebuild_search(search, log, codec, swap=False)
    assert named(server) == {"alpr-events-000001": True, "alpr-events-000003": False}
    assert position(server, "alpr-events-000001", 0).also is None
    assert generations(server)[1].log == log.uuid


def test_what_was_erased_stays_so_when_the_log_has_forgotten_the_tombstone(
    log, codec, live, search, server
):
    at = live.positions()[0]
    live.apply(0, at, [("erase", event_id(10))], at)
    for _ in range(2):
        rebuild_search(search, log, codec)
        assert event_id(10) not in {one.event_id for one in search_contents(search)}
    kept = server.ask("GET", f"/{live_generation(server).name}/_doc/{event_id(10)}")
    assert kept["_version"] == ERASED


def test_what_cannot_be_read_is_counted_and_passed(log, codec, live, search):
    log.append(DETECTED.name, 0, [Append(b"x", b"not a record")])
    live.apply(0, live.positions()[0], [], log.end(DETECTED.name, 0))
    assert rebuild_search(search, log, codec).refused == 1


def test_two_rebuilds_at_once_are_noticed(world, monkeypatch):
    log, codec, _, search, server = world
    monkeypatch.setattr(search_rebuild, "_BATCH", 10)

    def rival(_):
        name = generations(server)[-1].name
        for partition in positions(server, name):
            change(server, name, partition, lambda at: replace(at, watermark=1))

    with pytest.raises(PositionConflict, match="another rebuild"):
        rebuild_search(search, log, codec, rival)


def test_a_compacted_log_gives_the_same_view(tmp_path, search):
    now = [1_000]
    with (
        closing(SqliteLog(tmp_path / "log", partitions=1, clock=lambda: now[0])) as log,
        closing(SqliteRegistry(tmp_path / "log")) as registry,
        closing(SearchView(search, log.uuid)) as view,
    ):
        codec = Codec(registry)
        codec.register()
        append(log, codec, 0, [sighting(n, revision) for revision in (1, 2) for n in range(20)])
        append(log, codec, 0, [("erase", event_id(3))])
        now[0] = 10_000
        append(log, codec, 0, [sighting(n, 3) for n in range(10, 20)])
        follow(log, codec, view)
        assert log.trim(DETECTED.name, 5_000) > 0
        assert rebuild_search(search, log, codec) == Rebuilt(19, 0, [])


def test_postgresql_and_opensearch_show_the_same(log, codec, live, search, url):
    with closing(SightingsView(url, log.uuid)) as rows:
        follow(log, codec, rows)
    assert list(contents(url)) == list(search_contents(search))
    assert by_hour(contents(url)) == by_hour(search_contents(search))


def test_what_is_older_is_taken_over_and_only_what_is_newer_is_replayed(world):
    log, codec, live, search, server = world
    wrong = {"doc": {"plate_text": "KEPT"}}
    server.ask("POST", f"/alpr-events-000001/_update/{event_id(3)}", wrong)
    later = NOON + 20 * 1_000_000
    assert rebuild_search(search, log, codec, start=later, swap=False) == Rebuilt(39, 0, [])
    append(log, codec, 0, [sighting(6, 9), sighting(95)])
    follow(log, codec, live)
    assert rebuild_search(search, log, codec, start=later) == Rebuilt(40, 0, [])
    taken = server.ask("GET", f"/alpr-events-000002/_doc/{event_id(3)}")
    assert taken["_source"]["plate_text"] == "KEPT"
    assert {one.event_id: one.revision for one in search_contents(search)}[event_id(6)] == 9
    differences = rebuild_search(search, log, codec).differences  # from the log alone
    assert [(d.live_rows, d.rebuilt_rows) for d in differences] == [(40, 40)]


def test_without_a_view_there_is_nothing_to_take_over(log, codec, search):
    with pytest.raises(ViewMismatch, match="rebuild without --from"):
        rebuild_search(search, log, codec, start=NOON)


def test_an_alias_that_was_moved_by_hand_is_followed(log, codec, live, search, server):
    """The writer goes on in the new index from where that one stands."""
    rebuild_search(search, log, codec, swap=False)
    show(server, "alpr-events-000002")
    append(log, codec, 0, [sighting(50)])
    follow(log, codec, live)
    assert live_generation(server).name == "alpr-events-000002"
    assert len(list(search_contents(search))) == 40
    assert server.ask("GET", f"/_alias/{ALIAS}").keys() == {"alpr-events-000002"}
