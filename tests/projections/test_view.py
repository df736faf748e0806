"""What the view's writer promises: once, in any batches, by one writer, from one log."""

import threading
from contextlib import closing

import psycopg2
import psycopg2.errors
import pytest

from projections.database import speaking
from projections.errors import PositionConflict, ViewMismatch, ViewUnavailable
from projections.queries import SightingQueries
from projections.view import Refused, SightingsView
from tests.projections.sightings import LOG, NOON, event_id, progress, sighting


def contents(url: str) -> dict[str, list[tuple]]:
    """Every row that a view holds, except the numbering of its changes."""
    with closing(psycopg2.connect(url, options="-c search_path=alpr")) as connection:
        cursor = connection.cursor()
        held: dict[str, list[tuple]] = {}
        for table in ("plate_events", "plate_reads", "erased_events", "view_positions"):
            cursor.execute(
                f"SELECT * FROM {table} ORDER BY 1, 2"
                if table != "erased_events"
                else "SELECT * FROM erased_events ORDER BY 1"
            )
            held[table] = cursor.fetchall()
        return held


def test_rows_and_position_are_written_together(view, queries):
    assert view.positions() == {}
    assert view.apply(3, 0, [sighting(1), sighting(2), progress(99)], 17) == []
    assert view.positions() == {3: 17}
    assert [row["event_id"] for row in queries.recent(10)] == [event_id(2), event_id(1)]
    assert queries.positions()[0]["watermark"] == 99


def test_only_a_higher_revision_replaces_an_older_one(view, queries):
    view.apply(0, 0, [sighting(1, 5, text="NEW555")], 1)
    view.apply(0, 1, [sighting(1, 4, text="OLD444"), sighting(1, 5, text="SAME55")], 3)
    assert queries.by_id(event_id(1))["plate_text"] == "NEW555"
    view.apply(0, 3, [sighting(1, 7, text="TOP777"), sighting(1, 6, text="MID666")], 5)
    assert queries.by_id(event_id(1))["plate_text"] == "TOP777"


def test_an_id_used_twice_gives_the_same_rows_in_any_batches(view, queries, url):
    first, second = sighting(1, 5, text="FIRST55"), sighting(1, 9, text="SECOND9", at=NOON + 10**9)
    view.apply(0, 0, [first, second], 2)
    together = contents(url)["plate_events"]
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute("TRUNCATE alpr.plate_events CASCADE")
    view.apply(0, 2, [first], 3)
    view.apply(0, 3, [second], 4)
    assert contents(url)["plate_events"] == together
    assert [row["plate_text"] for row in queries.recent(10)] == ["SECOND9", "FIRST55"]


def test_every_message_given_twice_changes_nothing(view, queries, url):
    batch = [sighting(n, r) for n in range(5) for r in range(3)]
    view.apply(0, 0, batch, 15)
    before, cursor = contents(url), queries.latest_change()
    view.apply(0, 15, batch, 15)
    assert contents(url) == before
    assert queries.latest_change() == cursor


def test_a_second_writer_is_noticed_and_writes_nothing(view, queries, url):
    with closing(SightingsView(url, LOG)) as second:
        second.apply(0, 0, [sighting(1)], 1)
    with pytest.raises(PositionConflict, match="stands at 1, this writer expected 0"):
        view.apply(0, 0, [sighting(2)], 1)
    assert [row["event_id"] for row in queries.recent(10)] == [event_id(1)]


def test_an_older_restored_database_is_noticed(view):
    with pytest.raises(PositionConflict, match="stands at 0, this writer expected 100"):
        view.apply(0, 100, [sighting(1)], 101)


def test_another_log_is_noticed_and_the_cure_named(view, url):
    with pytest.raises(ViewMismatch, match="alpr replay"):
        SightingsView(url, "another")
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute("UPDATE alpr.view_state SET log_uuid = 'another'")
    with pytest.raises(ViewMismatch, match="alpr replay"):
        view.apply(0, 0, [sighting(1)], 1)


def test_an_erased_sighting_is_gone_and_stays_gone(view, queries):
    view.apply(0, 0, [sighting(1), sighting(2)], 2)
    view.apply(0, 2, [("erase", event_id(1))], 3)
    view.apply(0, 3, [sighting(1, 9)], 4)
    assert queries.by_id(event_id(1)) is None
    assert queries.by_id(event_id(2)) is not None


@pytest.mark.parametrize(
    "poison",
    [
        sighting(2, text="A\0B"),
        sighting(2, text="A\ud800B"),
        sighting(2, was=["A\0B"]),
        sighting(2, at=10**18),
        sighting(2, at=253_402_300_799_000_000, latency_ms=0),  # its hour ends beyond the calendar
        sighting(2, latency_ms=2**62),
        sighting(2, event_id="not an id"),
        sighting(2, text="".join(map(chr, range(256, 20_000)))),
        sighting(2, revision=2**70),
        sighting(2, confidence=float("nan")),
        sighting(2, alternatives=[{"text": "A", "confidence": float("inf")}]),
        ("erase", "progress-0"),
    ],
    ids=[
        "NUL",
        "surrogate",
        "NUL in JSON",
        "year 33658",
        "last day",
        "latency",
        "id",
        "long",
        "int",
        "NaN",
        "inf",
        "erase",
    ],
)
def test_what_postgresql_refuses_is_named_and_the_rest_goes_in(view, queries, poison):
    refused = view.apply(0, 0, [sighting(1), poison, sighting(3)], 3)
    assert [one.index for one in refused] == [1]
    assert refused[0].reason
    assert {row["event_id"] for row in queries.recent(10)} == {event_id(1), event_id(3)}
    assert view.positions() == {0: 3}


def test_a_refused_revision_leaves_the_one_below_it(view, queries):
    refused = view.apply(0, 0, [sighting(1, 1), sighting(1, 2, text="\0")], 2)
    assert [one.index for one in refused] == [1]
    assert isinstance(refused[0], Refused)
    assert queries.by_id(event_id(1))["revision"] == 1


def hang_up(url: str) -> None:
    """End our sessions of the database, as a server's restart does."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'alpr'"
        )


def test_after_a_restart_of_the_server_the_next_call_connects_anew(view, queries, url):
    view.apply(0, 0, [sighting(1)], 1)
    assert len(queries.recent(10)) == 1
    hang_up(url)
    view.apply(0, 1, [sighting(2)], 2)
    assert len(queries.recent(10)) == 2


def test_a_connection_lost_halfway_writes_nothing_and_is_said(view, queries, url):
    view.apply(0, 0, [], 1)
    with closing(psycopg2.connect(url)) as blocker:
        blocker.cursor().execute("LOCK TABLE alpr.plate_events IN SHARE MODE")
        timer = threading.Timer(0.5, hang_up, [url])
        timer.start()
        with pytest.raises(ViewUnavailable):
            view.apply(0, 1, [sighting(1)], 2)
        timer.join()
    assert view.positions() == {0: 1}
    assert view.apply(0, 1, [sighting(1)], 2) == []


def test_a_database_that_takes_no_writes_is_waited_for(view, queries, url):
    """As after a failover to a standby: sessions end, new ones can only read."""

    def read_only(value: str) -> None:
        with closing(psycopg2.connect(url)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
            connection.commit()
            cursor.execute("SELECT quote_ident(current_database())")
            (name,) = cursor.fetchone() or ("",)
            cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
        hang_up(url)

    view.apply(0, 0, [sighting(1)], 1)
    read_only("on")
    try:
        for _ in range(2):
            with pytest.raises(ViewUnavailable, match="takes no writes now"):
                view.apply(0, 1, [sighting(2)], 2)
        with pytest.raises(ViewUnavailable, match="takes no writes now"):
            SightingsView(url, LOG).positions()
        assert len(queries.recent(10)) == 1
    finally:
        read_only("off")
    assert view.apply(0, 1, [sighting(2)], 2) == []
    assert len(queries.recent(10)) == 2


@pytest.mark.parametrize(
    "code", ["53100", "53200", "53300", "57P01", "57P02", "57P03", "57P04", "58030", "08006"]
)
def test_a_server_that_is_full_or_going_down_is_waited_for(code):
    with pytest.raises(ViewUnavailable), speaking("postgresql://db/alpr"):
        raise psycopg2.errors.lookup(code)("as the server says it")


@pytest.mark.parametrize(
    "nowhere",
    [
        "postgresql://alpr:secret@127.0.0.1:1/alpr_db",
        "postgresql://alpr@127.0.0.1:1/alpr_db?password=secret&sslmode=disable",
        "host=127.0.0.1 port=1 password=secret",
    ],
)
def test_no_server_is_said_without_the_password(nowhere):
    with pytest.raises(ViewUnavailable, match=r"127\.0\.0\.1") as raised:
        SightingsView(nowhere, LOG)
    assert "secret" not in str(raised.value)


def test_a_query_without_a_server_is_said():
    with pytest.raises(ViewUnavailable):
        SightingQueries("postgresql://alpr@127.0.0.1:1/alpr_db").stats()
