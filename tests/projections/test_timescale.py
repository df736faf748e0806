"""TimescaleDB where a server has it (ALPR_TEST_DATABASE_URL), and a server that refuses it."""

import logging
from contextlib import closing

import psycopg2
import pytest

from projections import timescale
from projections.queries import SightingQueries
from projections.rebuild import Rebuilt, rebuild
from projections.timescale import HOURLY, Policies, Timescale, found
from projections.view import DAY, SightingsView
from tests.projections.sightings import LOG, NOON, event_id, sighting
from tests.projections.test_rebuild import append, follow


def ask(url: str, statement: str, *values: object) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def extension(url: str) -> Timescale:
    with closing(psycopg2.connect(url)) as connection, connection:
        here = found(connection.cursor())
    if here is None:
        pytest.skip("the server has no TimescaleDB: name one by ALPR_TEST_DATABASE_URL")
    return here


@pytest.fixture
def community(extension: Timescale) -> Timescale:
    if not extension.community:
        pytest.skip("TimescaleDB's Apache edition compresses nothing")
    return extension


def test_sightings_are_a_hypertable_of_a_day_a_chunk(extension, view, url):
    view.apply(0, 0, [sighting(n, at=NOON + n * DAY) for n in range(3)], 3)
    assert len(ask(url, f"SELECT {extension.schema}.show_chunks('alpr.plate_events')")) == 3


def test_old_days_are_compressed_and_still_revised(community, view, queries, url):
    view.apply(0, 0, [sighting(n, 1) for n in range(10)], 10)
    jobs = ask(url, "SELECT proc_name FROM timescaledb_information.jobs WHERE hypertable_id > 0")
    assert "policy_compression" in {name for (name,) in jobs}
    ask(
        url,
        f"SELECT {community.schema}.compress_chunk(chunk) "
        f"FROM {community.schema}.show_chunks('alpr.plate_events') AS chunk",
    )
    view.apply(0, 10, [sighting(3, 2, text="LATE333"), ("erase", event_id(4))], 12)
    assert queries.by_id(event_id(3))["plate_text"] == "LATE333"
    assert queries.by_id(event_id(4)) is None
    assert queries.stats()["total_events"] == 9


def test_the_hourly_aggregate_counts_before_and_after_its_refresh(community, view, url):
    view.apply(0, 0, [sighting(n, 1, at=NOON + n * 60_000_000) for n in range(100)], 100)
    rows = by_hour(url)
    assert sum(sightings for _, sightings, _ in rows) == 100
    ask(
        url,
        f"CALL {community.schema}.refresh_continuous_aggregate(%s::regclass, NULL, NULL)",
        f"alpr.{HOURLY}",
    )
    assert by_hour(url) == rows


def test_dropped_days_leave_rows_counts_and_hours_alike(community, url):
    with closing(SightingsView(url, LOG, policies=Policies(retain_days=2))) as view:
        view.apply(0, 0, [sighting(n, at=NOON + n * DAY) for n in range(5)], 5)
        view.retain(NOON + 5 * DAY)
        assert sum(sightings for _, sightings, _ in by_hour(url)) == 2
        with closing(SightingQueries(url)) as queries:
            assert queries.stats()["total_events"] == 2


def test_a_rebuilt_view_has_the_same_and_takes_the_policies(community, log, codec, url):
    append(log, codec, 0, [sighting(n, 1, at=NOON + n * DAY) for n in range(5)])
    with closing(SightingsView(url, log.uuid)) as view:
        follow(log, codec, view)
    for _ in range(2):
        assert rebuild(url, log, codec) == Rebuilt(5, 0, [])
    enabled = "SELECT compression_enabled FROM timescaledb_information.hypertables "
    assert ask(url, enabled + "WHERE hypertable_schema = 'alpr'") == [(True,)]


def by_hour(url: str) -> list[tuple[str, int, int]]:
    """(camera, sightings, different plates) by hour."""
    return ask(
        url,
        "SELECT camera_id, sightings, unique_plates FROM alpr.plate_events_hourly "
        "ORDER BY hour, camera_id",
    )


@pytest.fixture
def refusing(url, monkeypatch):
    """A server that says it has TimescaleDB and then knows none of its words."""
    if ask(url, "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"):
        pytest.skip("this server has it")
    here = Timescale((2, 20), "public", True)
    monkeypatch.setattr(timescale, "found", lambda cursor: here)


def test_what_the_server_refuses_is_said_and_the_view_is_a_plain_table(refusing, url, caplog):
    with caplog.at_level(logging.WARNING), closing(SightingsView(url, LOG)) as view:
        view.apply(0, 0, [sighting(1)], 1)
    assert "TimescaleDB could not be used, the view does without" in caplog.text
    with closing(SightingQueries(url)) as queries:
        assert queries.stats()["total_events"] == 1


def test_hours_are_counted_by_camera_in_utc(view, url):
    hour = 3_600_000_000
    start = NOON - NOON % hour
    events = [
        sighting(0, at=start, camera_id="A", text="SAME111"),
        sighting(1, at=start + hour - 1, camera_id="A", text="SAME111"),
        sighting(2, at=start + hour, camera_id="A"),
        sighting(3, at=start + 1, camera_id="B"),
        sighting(4, at=start + 1, camera_id="B", status="retracted"),
    ]
    view.apply(0, 0, events, 5)
    assert by_hour(url) == [("A", 2, 1), ("B", 1, 1), ("A", 1, 1)]
