"""What the view answers: order, filters, wildcards, hostile text, and what changed since."""

import select
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from projections.errors import QueryTimeout, ViewUnavailable
from projections.queries import Search, SightingQueries
from projections.view import CHANNEL, SightingsView
from tests.projections.sightings import LOG, NOON, event_id, sighting

MINUTE = 60_000_000
HOSTILE = [
    "'; DROP TABLE plate_events; --",
    "' OR '1'='1",
    "%' OR true --",
    "<script>alert(1)</script>",
    "%s %(x)s {} \\",
    "\0",
    "\ud800",
    "ABC%",
    "ABC_001",
]


def at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def numbers(rows) -> list[int]:
    known = {event_id(n): n for n in range(100)}
    return [known[row["event_id"]] for row in rows]


@pytest.fixture
def filled(view: SightingsView, queries: SightingQueries) -> SightingQueries:
    view.apply(
        0,
        0,
        [
            sighting(0, at=NOON, text="ABC123", camera_id="CAM-A", site="north", zone="gate"),
            sighting(1, at=NOON + MINUTE, text="ABC124", camera_id="CAM-A", direction="entry"),
            sighting(2, at=NOON + 2 * MINUTE, text="XBC123", camera_id="CAM-B", site="south"),
            sighting(3, at=NOON + 3 * MINUTE, text="ABC123", camera_id="CAM-B", confidence=0.5),
            sighting(4, at=NOON + 4 * MINUTE, text="NOTHING", status="retracted", zone="exit"),
            # captured first, arrived last
            sighting(5, at=NOON - MINUTE, latency_ms=600_000, text="LATE1", region="VN"),
        ],
        6,
    )
    return queries


def test_recent_is_by_arrival_and_a_plate_by_capture(filled):
    assert numbers(filled.recent(10)) == [5, 3, 2, 1, 0]
    assert numbers(filled.recent(2, 1)) == [3, 2]
    assert numbers(filled.by_plate("abc-123", 10)) == [3, 0]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(), [3, 2, 1, 0, 5]),
        (Search(plate="abc 123"), [3, 0]),
        (Search(plate="abc*"), [3, 1, 0]),
        (Search(plate="?BC123"), [3, 2, 0]),
        (Search(plate="*12?"), [3, 2, 1, 0]),
        (Search(plate="%BC*"), []),
        (Search(plate="*"), [3, 2, 1, 0, 5]),
        (Search(camera="CAM-B"), [3, 2]),
        (Search(site="south"), [2]),
        (Search(zone="exit"), []),
        (Search(status="retracted"), [4]),
        (Search(min_confidence=0.6), [2, 1, 0, 5]),
        (Search(start=at(NOON + MINUTE), end=at(NOON + 2 * MINUTE)), [2, 1]),
        (Search(direction="entry"), [1]),
        (Search(region="VN"), [5]),
        (Search(plate="ABC*", camera="CAM-A", end=at(NOON)), [0]),
    ],
)
def test_search(filled, search, expected):
    assert numbers(filled.search(search)) == expected


def test_retracted_sightings_are_listed_only_when_asked_for(filled):
    assert numbers(filled.recent(10, retracted=True)) == [5, 4, 3, 2, 1, 0]
    assert filled.by_plate("NOTHING", 10) == []
    assert numbers(filled.by_plate("NOTHING", 10, retracted=True)) == [4]
    assert numbers(filled.by_camera("CAM-001", retracted=True)) == [4, 5]
    assert filled.by_id(event_id(4))["status"] == "retracted"
    assert filled.stats()["total_events"] == 5


def test_a_camera_between_two_times(filled):
    assert numbers(filled.by_camera("CAM-A", at(NOON + 1), at(NOON + MINUTE))) == [1]
    assert [row["camera_id"] for row in filled.cameras()] == ["CAM-001", "CAM-A", "CAM-B"]


def test_one_sighting_comes_with_its_evidence(filled):
    found = filled.by_id(event_id(0).upper())
    assert found["captured_at"] == at(NOON)
    assert found["created_at"] == at(NOON + 250_000)
    assert found["evidence"]["reads"][0]["captured_at"] == NOON
    assert found["evidence"]["positions"][0] == [{"character": "A", "weight": 900}]
    assert found["alternatives"] == [{"text": "ABC", "confidence": 0.1}]
    assert filled.by_id(event_id(77)) is None
    assert filled.by_id("no id") is None


def test_the_evidence_can_be_read_as_rows(filled, url):
    with closing(
        psycopg2.connect(url, options="-c search_path=alpr -c timezone=UTC")
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT plate_text, captured_at, plate_image_url FROM plate_reads WHERE event_id = %s",
            (event_id(0),),
        )
        assert cursor.fetchall() == [("ABC123", at(NOON), "folder:/0.jpg")]


def test_the_statistics_are_the_seeds(filled):
    stats = filled.stats()
    assert stats["unique_plates"] == 4
    assert stats["active_cameras"] == 3
    assert (stats["earliest_event"], stats["latest_event"]) == (
        at(NOON - MINUTE),
        at(NOON + 3 * MINUTE),
    )
    assert stats["avg_confidence"] == pytest.approx(0.82)


def test_the_statistics_of_nothing_are_zero(queries):
    assert queries.stats()["total_events"] == 0
    assert queries.stats()["avg_confidence"] is None
    assert queries.cameras() == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_finds_nothing_and_harms_nothing(filled, text):
    assert filled.search(Search(camera=text)) == []
    assert filled.search(Search(site=text, zone=text, direction=text, region=text)) == []
    assert filled.by_camera(text) == []
    filled.by_plate(text, 10)
    filled.search(Search(plate=text + "*"))
    assert filled.by_id(text) is None
    assert len(filled.recent(10)) == 5


@pytest.mark.parametrize("text", [text for text in HOSTILE if text not in ("\0", "\ud800")])
def test_hostile_text_is_kept_as_it_is(view, queries, text):
    odd = sighting(1, text=text, camera_id=text, site=text, was=[text], reason=text)
    assert view.apply(0, 0, [odd], 1) == []
    found = queries.by_id(event_id(1))
    assert (found["plate_text"], found["camera_id"], found["site_id"]) == (text,) * 3
    assert found["was"] == [text]
    assert numbers(queries.search(Search(camera=text))) == [1]


def test_changes_come_once_in_order_and_as_they_are_now(view, queries):
    view.apply(0, 0, [sighting(1), sighting(2)], 2)
    start = queries.latest_change()
    assert queries.changes_since(start).rows == []
    view.apply(0, 2, [sighting(1, 1), sighting(3)], 4)
    view.apply(0, 4, [sighting(1, 2), ("erase", event_id(2))], 6)
    changes = queries.changes_since(start)
    assert changes.complete
    assert changes.cursor == queries.latest_change()
    assert [row.get("erased", row.get("revision")) for row in changes.rows] == [0, True, 2]
    page = queries.changes_since(start, limit=1)
    assert numbers(page.rows) == [3]
    assert numbers(queries.changes_since(page.cursor).rows) == [2, 1]


def test_a_cursor_nobody_knows_is_told_to_load_anew(view, queries):
    assert queries.changes_since(0).complete
    assert not queries.changes_since(5).complete
    for batch in range(12):
        events = [sighting(batch * 1000 + n) for n in range(1000)]
        view.apply(0, batch, events, batch + 1)
    assert not queries.changes_since(0).complete
    assert queries.changes_since(11_000).complete


def test_no_change_is_passed_over_while_two_writers_write(view, queries, url):
    with closing(SightingsView(url, LOG)) as other:

        def write(writer: SightingsView, partition: int) -> None:
            for n in range(40):
                number = partition * 40 + n
                writer.apply(partition, n, [sighting(number, partition=partition)], n + 1)

        threads = [
            threading.Thread(target=write, args=(view, 0)),
            threading.Thread(target=write, args=(other, 1)),
        ]
        for thread in threads:
            thread.start()
        seen: list[int] = []
        cursor = 0
        while len(seen) < 80:
            changes = queries.changes_since(cursor)
            seen += numbers(changes.rows)
            cursor = changes.cursor
            if not changes.rows and not any(thread.is_alive() for thread in threads):
                seen += numbers(queries.changes_since(cursor).rows)
                break
        for thread in threads:
            thread.join()
        assert sorted(seen) == list(range(80))


def test_a_listener_is_woken_once_a_batch(view, url):
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"LISTEN {CHANNEL}_alpr")
        view.apply(0, 0, [sighting(1), sighting(2)], 2)
        select.select([connection], [], [], 5)
        connection.poll()
        assert [note.payload for note in connection.notifies] == ["2"]


def test_a_query_that_takes_too_long_is_cut_off(filled, url):
    with closing(SightingQueries(url, timeout_ms=50)) as hasty, pytest.raises(QueryTimeout):
        hasty._all("SELECT pg_sleep(2)")


def test_many_threads_share_few_connections(filled, url):
    with closing(SightingQueries(url, connections=2)) as queries:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(len(queries.recent(3))))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [3] * 20


def test_a_view_that_is_not_there_yet_is_said(url):
    with closing(SightingQueries(url)) as queries:
        with pytest.raises(ViewUnavailable, match="no views yet"):
            queries.recent(1)
        assert queries.answers()
