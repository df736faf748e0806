"""The view in OpenSearch is a fold of the log: order, repeats and batch borders do not show."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from dataflows.patience import Patience
from projections import search_index
from projections.errors import PositionConflict, ViewMismatch, ViewUnavailable
from projections.search_contents import search_contents
from projections.search_documents import ERASED
from projections.search_index import ALIAS, check_alias, create, delete, generations, show
from projections.search_server import SearchServer
from projections.search_view import SearchView
from tests.projections.sightings import LOG, NOON, event_id, progress, sighting
from tests.projections.test_consistency import borders, changes, fold


@pytest.fixture
def server(search: str) -> Iterator[SearchServer]:
    with closing(SearchServer(search)) as server:
        yield server


@pytest.fixture
def view(search: str) -> Iterator[SearchView]:
    with closing(SearchView(search, LOG, sleep=lambda _: None)) as view:
        yield view


def ask(server: SearchServer, **query: Any) -> list[dict[str, Any]]:
    """Sightings found through the alias."""
    server.ask("POST", f"/{ALIAS}/_refresh")
    found = server.ask("POST", f"/{ALIAS}/_search", {"size": 100, **query})
    return [hit["_source"] for hit in found["hits"]["hits"]]


def revisions(url: str) -> dict[str, int]:
    return {one.event_id: one.revision for one in search_contents(url)}


def held(server: SearchServer, setting: str, value: Any) -> None:
    server.ask("PUT", f"/{ALIAS}/_settings", {"index": {setting: value}})


# what a document is


def test_a_document_has_the_columns_of_plate_events_and_a_place(view, server):
    view.apply(0, 0, [sighting(7, 3, at=NOON + 1, status="retracted")], 1)
    (found,) = ask(server)
    assert found["captured_at"] == "2025-06-15T15:06:40.000001Z"
    assert found["created_at"] == "2025-06-15T15:06:40.250001Z"
    assert found["location"] == {"lat": 27.9, "lon": -82.4}
    assert found["status"] == "retracted"
    assert (found["event_id"], found["revision"], found["plate_normalized_text"]) == (
        event_id(7),
        3,
        "ABC0007",
    )


@pytest.mark.parametrize(
    "query",
    [
        {"term": {"plate_normalized_text": "ABC0007"}},
        {"prefix": {"plate_normalized_text": "ABC0007"}},
        {"fuzzy": {"plate_normalized_text": "ABC0O07"}},
        {"wildcard": {"plate_normalized_text.wildcard": "*C?007"}},
        {"match": {"plate_normalized_text.text": "abc0007"}},
        {"match": {"plate_text": "abc0007"}},
        {"term": {"was": "ABC0001"}},
        {"term": {"alternatives.text": "A8C0007"}},
        {"range": {"captured_at": {"gte": "2025-06-15T15:06:47Z"}}},
        {"geo_distance": {"distance": "1km", "location": {"lat": 27.9, "lon": -82.4}}},
    ],
    ids=lambda query: "-".join((*query, *next(iter(query.values())))),
)
def test_a_sighting_is_found_by(view, server, query):
    wanted = sighting(7, was=["ABC0001"], alternatives=[{"text": "A8C0007", "confidence": 0.2}])
    other = sighting(8, at=NOON, text="XYZ9999")
    other["node"] = other["node"] | {"latitude": 50.0, "longitude": 8.0}
    view.apply(0, 0, [wanted, other], 2)
    assert [found["event_id"] for found in ask(server, query=query)] == [event_id(7)]


def test_microseconds_order_what_one_millisecond_holds(view, server):
    view.apply(0, 0, [sighting(n, at=NOON + n) for n in (3, 1, 2)], 3)
    found = ask(server, sort=[{"captured_at.exact": "desc"}])
    assert [one["event_id"] for one in found] == [event_id(n) for n in (3, 2, 1)]


def test_a_time_before_1970_and_a_place_beyond_the_pole_are_no_reason_to_lose_a_sighting(
    view, server
):
    event = sighting(1, at=-1_000_000)
    event["node"] = event["node"] | {"latitude": 95.0}
    assert view.apply(0, 0, [event], 1) == []
    (found,) = ask(server)
    assert (found["captured_at"], found["latitude"]) == ("1969-12-31T23:59:59Z", 95.0)


# a fold of the log


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(log=changes, cuts=borders)
def test_any_batches_of_any_order_of_doubled_records_give_the_fold(search, server, log, cuts):
    for generation in generations(server):
        delete(server, generation.name)
    doubled = log + log
    with closing(SearchView(search, LOG)) as view:
        position = 0
        for end in [*sorted(cut for cut in cuts if cut < len(doubled)), len(doubled)]:
            assert view.apply(0, position, doubled[position:end], end) == []
            position = end
        assert view.positions() == {0: len(doubled)}
    assert revisions(search) == fold(log)


def test_an_older_revision_changes_nothing(view, search, server):
    view.apply(0, 0, [sighting(1, 5, text="NEW")], 1)
    view.apply(0, 1, [sighting(1, 4, text="OLD")], 2)
    view.apply(0, 2, [sighting(1, 5, text="SAME")], 3)
    assert revisions(search) == {event_id(1): 5}
    assert ask(server)[0]["plate_text"] == "NEW"


def test_what_is_erased_stays_so_long_after_the_server_has_forgotten_deletions(
    view, search, server
):
    held(server, "gc_deletes", "1ms")  # the server's memory of deletions: 60 s unless set
    view.apply(0, 0, [sighting(1, 5), sighting(2, 5)], 2)
    view.apply(0, 2, [("erase", event_id(1))], 3)
    server.ask("POST", f"/{ALIAS}/_forcemerge", params={"max_num_segments": 1})
    view.apply(0, 3, [sighting(1, 9), sighting(2, 9)], 5)
    assert revisions(search) == {event_id(2): 9}
    name = generations(server)[0].name
    kept = server.ask("GET", f"/{name}/_doc/{event_id(1)}")
    assert (kept["_source"], kept["_version"]) == ({"erased": event_id(1)}, ERASED)


def test_the_alias_shows_sightings_alone(view, server):
    view.apply(0, 0, [sighting(1), ("erase", event_id(2)), progress(77)], 3)
    assert [found["event_id"] for found in ask(server)] == [event_id(1)]


# what the server does not take


def test_what_no_document_can_hold_is_told_and_the_rest_is_written(view, search):
    endless = sighting(2)
    endless["plate"] = endless["plate"] | {"confidence": float("nan")}
    batch = [
        sighting(1),
        endless,
        sighting(3, -1),
        sighting(4, text="A\0B"),
        sighting(5, at=10**18),
        sighting(6, event_id="no uuid"),
        sighting(7, text="X" * 40_000),  # longer than a term of the index may be
        ("erase", "no uuid"),
        sighting(8),
    ]
    told = []
    refused = view.apply(0, 0, batch, len(batch), told.extend)
    assert [one.index for one in refused] == [1, 2, 3, 4, 5, 6, 7]
    assert told == refused
    assert "immense term" in refused[5].reason
    assert revisions(search) == {event_id(1): 0, event_id(8): 0}
    assert view.positions() == {0: len(batch)}


@pytest.mark.parametrize("together", [True, False])
def test_where_the_highest_revision_is_refused_the_next_below_it_counts(view, search, together):
    first, last = sighting(1, 1), sighting(1, 2, text="X" * 40_000)
    if together:
        view.apply(0, 0, [first, last], 2)
    else:
        view.apply(0, 0, [first], 1)
        view.apply(0, 1, [last], 2)
    assert revisions(search) == {event_id(1): 1}


@pytest.mark.parametrize(
    "setting", ["blocks.write", "blocks.read_only", "blocks.read_only_allow_delete"]
)
def test_a_blocked_index_is_waited_for_and_blames_no_document(view, search, server, setting):
    held(server, setting, True)
    try:
        with pytest.raises(ViewUnavailable):
            view.apply(0, 0, [sighting(1)], 1, pytest.fail)
    finally:
        held(server, setting, None)
    assert view.apply(0, 0, [sighting(1)], 1) == []
    assert revisions(search) == {event_id(1): 0}


def test_a_closed_index_is_waited_for(view, search, server):
    name = generations(server)[0].name
    server.ask("POST", f"/{name}/_close")
    with pytest.raises(ViewUnavailable):
        view.apply(0, 0, [sighting(1)], 1, pytest.fail)
    server.ask("POST", f"/{name}/_open")
    view.apply(0, 0, [sighting(1)], 1)
    assert revisions(search) == {event_id(1): 0}


def test_what_a_busy_server_did_not_take_is_offered_again_and_nothing_else(
    view, search, server, monkeypatch
):
    """While the index is blocked in the middle of a batch, a part of it is in."""
    offered: list[int] = []
    ask = view._server.ask

    def blocking(method, path, body=None, params=None):
        if path == "/_bulk":
            offered.append(body.count(b'"_index"'))
            if len(offered) == 1:
                answer = ask(method, path, body, params)
                held(server, "blocks.write", True)
                return answer
        return ask(method, path, body, params)

    def unblock(_: float) -> None:
        held(server, "blocks.write", None)

    view._server.ask = blocking
    view._sleep = unblock
    monkeypatch.setattr("projections.search_bulk._BYTES", 20_000)  # several requests a batch
    view.apply(0, 0, [sighting(n) for n in range(60)], 60)
    taken = offered[0]
    assert 0 < taken < 60
    assert sum(offered) == 60 + (60 - taken)
    assert len(revisions(search)) == 60


# the position


def test_the_position_moves_from_where_it_was(view, search):
    view.apply(3, 0, [sighting(1)], 10)
    with closing(SearchView(search, LOG)) as again:
        assert again.positions() == {3: 10}
        again.apply(3, 10, [], 20)
    with pytest.raises(PositionConflict, match="stands at 20, this writer expected 10"):
        view.apply(3, 10, [sighting(2)], 11)
    assert view.positions() == {3: 20}
    with pytest.raises(ValueError, match="back"):
        view.apply(3, 20, [], 19)


def test_of_two_writers_at_once_each_batch_is_moved_past_by_one(view, search):
    won: list[int] = []
    lost: list[int] = []
    failed: list[BaseException] = []
    batches = 30

    def rival() -> None:
        try:
            with closing(SearchView(search, LOG)) as mine:
                while (position := mine.positions().get(0, 0)) < batches:
                    try:
                        mine.apply(0, position, [sighting(position)], position + 1)
                        won.append(position)
                    except PositionConflict:
                        lost.append(position)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=rival) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(won) == list(range(batches))
    assert len(revisions(search)) == batches


def test_a_move_that_got_no_answer_is_found_made_or_not(view, search):
    ask = view._server.ask

    def cut_off_after(method, path, body=None, params=None):
        answer = ask(method, path, body, params)
        if "position" in path and method == "PUT":
            raise ViewUnavailable("cut off")
        return answer

    view._server.ask = cut_off_after
    with pytest.raises(ViewUnavailable):
        view.apply(0, 0, [sighting(1)], 1)
    view._server.ask = ask
    assert view.apply(0, 0, [sighting(1)], 1) == []
    assert view.apply(0, 1, [sighting(2)], 2) == []
    assert view.positions() == {0: 2}


def test_an_index_that_was_removed_is_noticed_and_begun_anew(view, search, server):
    view.apply(0, 0, [sighting(1)], 5)
    delete(server, generations(server)[0].name)
    with pytest.raises(PositionConflict, match="stands at 0, this writer expected 5"):
        view.apply(0, 5, [sighting(2)], 6)
    with closing(SearchView(search, LOG)) as again:
        assert again.positions() == {}
        again.apply(0, 0, [sighting(1), sighting(2)], 6)
    assert len(revisions(search)) == 2


def test_another_logs_view_is_not_written(view, search):
    with pytest.raises(ViewMismatch, match=r"was made from log .* `alpr replay"):
        SearchView(search, "another")


def test_another_versions_view_is_not_written(view, search, server):
    name = generations(server)[0].name
    server.ask("PUT", f"/{name}/_mapping", {"_meta": {"log": LOG, "version": 99}})
    with pytest.raises(ViewMismatch, match="has version 99"):
        view.positions()


@pytest.fixture
def made(server: SearchServer) -> Iterator[Callable[[str], None]]:
    """Makes an index as some other tool does."""
    names: list[str] = []

    def make(name: str) -> None:
        names.append(name)
        server.ask("PUT", f"/{name}/_doc/1", {"message": "not a sighting"})

    yield make
    for name in names:
        delete(server, name)


def test_an_index_of_the_aliass_name_is_told_with_its_cure(search, server, made):
    made(ALIAS)
    with pytest.raises(ViewMismatch, match=r"index of the name alpr-events.*DELETE /alpr-events"):
        SearchView(search, LOG)
    assert generations(server) == []


def test_an_index_of_the_aliass_name_that_another_tool_makes_meanwhile_is_told_too(
    server, made, monkeypatch
):
    checked = []

    def late(server: SearchServer) -> None:
        if checked:
            check_alias(server)
        checked.append(True)

    made(ALIAS)
    monkeypatch.setattr(search_index, "check_alias", late)
    with pytest.raises(ViewMismatch, match="index of the name alpr-events"):
        create(server, 1, LOG, live=True)


def test_an_alias_that_shows_another_index_too_is_refused(view, search, server, made):
    made("alpr-events-imported")
    action = {"add": {"index": "alpr-events-imported", "alias": ALIAS}}
    server.ask("POST", "/_aliases", {"actions": [action]})
    cure = r"also shows alpr-events-imported.*DELETE /alpr-events-imported/_alias/alpr-events"
    with pytest.raises(ViewMismatch, match=cure):
        SearchView(search, LOG)
    with pytest.raises(ViewMismatch, match=cure):
        view.positions()
    with pytest.raises(ViewMismatch, match=cure):
        show(server, generations(server)[0].name)
    server.ask("DELETE", f"/alpr-events-imported/_alias/{ALIAS}")
    assert view.positions() == {}


def test_many_start_at_once_and_make_one_view(search, server):
    failed: list[BaseException] = []

    def start() -> None:
        try:
            # As the flow does: the loser of the race meets an index whose shard is not up yet.
            Patience((ViewUnavailable,)).until(lambda: SearchView(search, LOG)).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [generation.live for generation in generations(server)] == [True]
