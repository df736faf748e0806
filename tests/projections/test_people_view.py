"""What people said and did: rows by the fold, whatever the batches; told on; rebuilt the same."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog.log import Append
from eventlog.sqlite import SqliteLog
from projections.errors import PositionConflict, ViewMismatch
from projections.people_queries import PeopleQueries
from projections.people_rebuild import drop_old_people, rebuild_people
from projections.people_view import PEOPLE_TOPICS, PeopleView, people_change_of
from projections.queries import SightingQueries
from projections.topic_rebuild import RebuiltTopics
from projections.view import SightingsView
from schemas.codec import Codec
from schemas.topics import AUDIT, CAMERAS, CORRECTIONS, correction_key, partition_of, placing
from tests.projections.alerts import changes, write
from tests.projections.people import changed, correction, looked, named
from tests.projections.sightings import LOG, event_id, sighting

RECORDS = {CORRECTIONS.name: "Correction", AUDIT.name: "AuditEntry", CAMERAS.name: "CameraChanged"}


@pytest.fixture
def people(view: SightingsView, url: str) -> Iterator[PeopleView]:
    """Beside a view of three sightings."""
    assert view.apply(0, 0, [sighting(n) for n in range(3)], 3) == []
    with closing(PeopleView(url, LOG)) as made:
        yield made


@pytest.fixture
def asked(people: PeopleView, url: str) -> Iterator[PeopleQueries]:
    with closing(PeopleQueries(url)) as made:
        yield made


def rows(url: str, table: str, order: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM alpr_people.{table} ORDER BY {order}")
        return cursor.fetchall()


def test_a_sighting_is_shown_as_corrected_and_as_read_again_after_the_undo(
    people: PeopleView, queries: SightingQueries
):
    write(people, CORRECTIONS.name, correction(1, of=1))
    found = queries.by_id(event_id(1))
    assert found is not None
    assert (found["plate_shown"], found["plate_normalized_text"]) == ("XYZ123", "ABC0001")
    write(people, CORRECTIONS.name, correction(2, of=1, kind="undo", undoes=1), start=1)
    found = queries.by_id(event_id(1))
    assert found is not None
    assert (found["plate_shown"], found["corrected"]) == ("ABC0001", None)


def test_a_correction_is_a_change_of_its_sighting_with_a_number_of_its_own(
    people: PeopleView, queries: SightingQueries
):
    cursor = queries.latest_change()
    write(people, CORRECTIONS.name, correction(1, of=1), correction(2, of=9))
    told = queries.changes_since(cursor)
    assert told.complete
    assert [(row["event_id"], row["plate_shown"]) for row in told.rows] == [
        (event_id(1), "XYZ123"),
    ]
    assert told.cursor == cursor + 1 == queries.latest_change()


def test_what_changes_nothing_that_stands_is_told_to_nobody(
    people: PeopleView, queries: SightingQueries
):
    write(people, CORRECTIONS.name, correction(1, of=1))
    cursor = queries.latest_change()
    write(people, CORRECTIONS.name, correction(1, of=1), start=1)
    write(people, CORRECTIONS.name, correction(3, of=1, kind="undo", undoes=7), start=2)
    assert queries.latest_change() == cursor


def test_a_correction_of_what_is_not_there_yet_waits_for_it(
    people: PeopleView, view: SightingsView, queries: SightingQueries
):
    write(people, CORRECTIONS.name, correction(1, of=7))
    view.apply(0, 3, [sighting(7)], 4)
    found = queries.by_id(event_id(7))
    assert found is not None
    assert found["plate_shown"] == "XYZ123"


def test_rows_and_position_move_together_or_not_at_all(people: PeopleView, url: str):
    write(people, CORRECTIONS.name, correction(1))
    with pytest.raises(PositionConflict, match="stands at 1, this writer expected 5"):
        write(people, CORRECTIONS.name, correction(2), start=5)
    assert len(rows(url, "corrections", "1")) == 1
    with pytest.raises(ViewMismatch, match="alpr replay --view people"):
        PeopleView(url, "another")


@pytest.mark.parametrize(
    ("topic", "misfit"),
    [
        (CORRECTIONS.name, correction(9, kind="guess")),
        (CORRECTIONS.name, correction(9, text="- -")),
        (CORRECTIONS.name, correction(9, comment="a\0b")),
        (CORRECTIONS.name, correction(9, at=1 << 62)),
        (CORRECTIONS.name, correction(9, event_id="none")),
        (CORRECTIONS.name, "no key of a correction"),
        (AUDIT.name, looked(9, audit_id="none")),
        (AUDIT.name, looked(9, reason="a\0b")),
        (CAMERAS.name, changed("GATE-9", "no json")),
    ],
)
def test_what_no_row_can_hold_is_named_and_all_else_written(
    people: PeopleView, url: str, topic: str, misfit: Any
):
    table = {CORRECTIONS.name: "corrections", AUDIT.name: "audit", CAMERAS.name: "cameras"}[topic]
    good = {
        CORRECTIONS.name: (correction(1), correction(2)),
        AUDIT.name: (looked(1), looked(2)),
        CAMERAS.name: (changed("GATE-1"), changed("GATE-2")),
    }[topic]
    given = changes(topic, good[0], misfit, good[1])
    assert [r.index for r in people.apply(topic, 0, 0, given, 3)] == [1]
    assert len(rows(url, table, "1")) == 2


def test_an_erased_correction_is_gone_and_what_stood_before_it_stands(
    people: PeopleView, asked: PeopleQueries, queries: SightingQueries
):
    gone = f"{event_id(1)}/{named(2)}"
    both = correction(1, of=1), correction(2, of=1, text="SECRET1")
    write(people, CORRECTIONS.name, *both, gone)
    found = queries.by_id(event_id(1))
    assert found is not None
    assert found["plate_shown"] == "XYZ123"
    assert [str(row["correction_id"]) for row in asked.of_sighting(event_id(1))] == [named(1)]


def test_a_camera_is_as_it_was_set_last_and_keeps_its_versions(people: PeopleView, url: str):
    write(people, CAMERAS.name, changed(), changed(settings='{"fps": 9}'), changed(settings=None))
    ((_, _, _, _, told, _),) = rows(url, "cameras", "1")
    assert told is None
    assert len(rows(url, "camera_versions", "log_offset")) == 3


SAID = st.one_of(
    st.builds(
        correction,
        st.integers(0, 9),
        of=st.integers(0, 2),
        kind=st.sampled_from(["text", "no plate"]),
    ),
    st.builds(
        correction,
        st.integers(10, 19),
        of=st.integers(0, 2),
        kind=st.just("undo"),
        undoes=st.integers(0, 9),
    ),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(SAID, max_size=12), st.data())
def test_the_borders_of_batches_do_not_show(url: str, view: SightingsView, said, data):
    found: list[Any] = []
    for size in (len(said) or 1, data.draw(st.integers(1, 4))):
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute("DROP SCHEMA IF EXISTS alpr_people CASCADE")
        with closing(PeopleView(url, LOG)) as people:
            for start in range(0, len(said), size):
                write(people, CORRECTIONS.name, *said[start : start + size], start=start)
        tables = ("corrections", "event_id, correction_id"), ("corrected", "event_id")
        found.append([rows(url, *table) for table in tables])
    assert found[0] == found[1]


def append(log: SqliteLog, codec: Codec, topic: str, *records: Any) -> None:
    for one in records:
        key = b"key"
        if topic == CORRECTIONS.name:
            key = correction_key(one["event_id"], one["correction_id"])
        place = partition_of(placing(topic, key), log.partitions(topic))
        value = codec.encode(topic, RECORDS[topic], one)
        log.append(topic, place, [Append(key, value)])


def follow(log: SqliteLog, codec: Codec, people: PeopleView) -> None:
    for topic in PEOPLE_TOPICS:
        for partition in range(log.partitions(topic)):
            at = people.positions(topic).get(partition, 0)
            while entries := log.read(topic, partition, at, 3):
                given = [people_change_of(entry, codec) for entry in entries]
                end = entries[-1].offset + 1
                people.apply(topic, partition, at, given, end)
                at = end


def test_a_rebuild_equals_the_live_view_takes_its_place_and_who_follows_loads_anew(
    log: SqliteLog, codec: Codec, url: str
):
    with (
        closing(SightingsView(url, log.uuid)) as view,
        closing(PeopleView(url, log.uuid)) as people,
        closing(SightingQueries(url)) as queries,
    ):
        view.apply(0, 0, [sighting(n) for n in range(3)], 3)
        append(log, codec, CORRECTIONS.name, *(correction(n, of=n % 3) for n in range(9)))
        append(log, codec, CORRECTIONS.name, correction(20, of=1, kind="undo", undoes=7))
        append(log, codec, AUDIT.name, *(looked(n) for n in range(5)))
        append(log, codec, CAMERAS.name, changed(), changed(settings=None))
        follow(log, codec, people)
        before, cursor = rows(url, "corrected", "event_id"), queries.latest_change()
        assert rebuild_people(url, log, codec) == RebuiltTopics(10, 0, [], "corrections")
        assert rows(url, "corrected", "event_id") == before
        assert not queries.changes_since(cursor).complete
        append(log, codec, CORRECTIONS.name, correction(30, of=2, text="NEW1"))
        follow(log, codec, people)  # the same writer goes on in the new view
        found = queries.by_id(event_id(2))
        assert found is not None
        assert found["plate_shown"] == "NEW1"
        assert drop_old_people(url)
