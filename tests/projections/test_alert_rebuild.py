"""The alerts' view rebuilt from the log is the live one, and takes its place while in use."""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from eventlog.log import Append
from eventlog.sqlite import SqliteLog
from projections.alert_queries import AlertQueries
from projections.alert_rebuild import VIEW, drop_old_alerts, rebuild_alerts
from projections.alert_schema import channel
from projections.alert_view import SHOWN, AlertView, alert_change_of
from projections.errors import ViewError
from projections.topic_rebuild import RebuiltTopics
from schemas.codec import Codec
from schemas.topics import ALERTS, DAY_US, NOTIFICATIONS, RULES, WATCHLIST
from tests.projections.alerts import alert, alert_id, attempt, entry, rule
from tests.projections.sightings import NOON

RECORDS = {
    ALERTS.name: "AlertEvent",
    NOTIFICATIONS.name: "NotificationAttempt",
    RULES.name: "RuleVersion",
    WATCHLIST.name: "WatchlistEntry",
}


@pytest.fixture
def asked(url: str) -> Iterator[AlertQueries]:
    with closing(AlertQueries(url)) as asked:
        yield asked


def append(
    log: SqliteLog,
    codec: Codec,
    topic: str,
    *records: Any,
    partition: int = 0,
    at: int | None = None,
) -> None:
    """Append records, or tombstones of keys; ``at``: when a copy says they were appended."""
    name = RECORDS[topic]
    log.append(
        topic,
        partition,
        [
            Append(one.encode(), None, appended_at=at)
            if isinstance(one, str)
            else Append(
                one.get("alert_id", "key").encode(), codec.encode(topic, name, one), appended_at=at
            )
            for one in records
        ],
    )


def follow(log: SqliteLog, codec: Codec, view: AlertView, limit: int = 3) -> None:
    """What the project flow does: everything there is, in small batches."""
    for topic in SHOWN:
        for partition in range(log.partitions(topic)):
            position = view.positions(topic).get(partition, 0)
            while entries := log.read(topic, partition, position, limit):
                changes = [alert_change_of(entry, codec) for entry in entries]
                end = entries[-1].offset + 1
                view.apply(topic, partition, position, changes, end)
                position = end


@pytest.fixture
def live(log: SqliteLog, codec: Codec, url: str) -> Iterator[AlertView]:
    """Twenty alerts told of and looked at, one erased; rules and a watchlist."""
    for n in range(20):
        append(log, codec, ALERTS.name, alert(n), alert(n, "updated", count=2), partition=n % 2)
        append(log, codec, NOTIFICATIONS.name, attempt(n, of=n), partition=n % 2)
    acknowledged = [alert(n, "acknowledged", actor="ayse") for n in range(0, 10, 2)]
    append(log, codec, ALERTS.name, *acknowledged, alert_id(4), alert(4))
    append(log, codec, ALERTS.name, alert(5, "withdrawn", reason="read anew"), partition=1)
    append(log, codec, RULES.name, rule("One"), rule("Two"), rule("One", "info"))
    append(log, codec, WATCHLIST.name, *(entry(n) for n in range(9)), entry(3, removed=True))
    with closing(AlertView(url, log.uuid)) as view:
        follow(log, codec, view)
        yield view


def shown(asked: AlertQueries) -> list[Any]:
    alerts = [asked.alert(row["alert_id"]) or {} for row in asked.alerts(limit=1000)]
    for row in alerts:
        row.pop("change")
    return [alerts, asked.rules(removed=True), asked.rule("One"), asked.watchlist(limit=1000)]


def test_a_rebuild_equals_the_live_view_and_takes_its_place(log, codec, live, asked, url):
    positions = {topic: live.positions(topic) for topic in SHOWN}
    before, told = shown(asked), []
    assert rebuild_alerts(url, log, codec, told.append) == RebuiltTopics(19, 0, [], "alerts")
    assert told[-1].done == told[-1].total
    assert shown(asked) == before
    assert {topic: live.positions(topic) for topic in SHOWN} == positions
    append(log, codec, ALERTS.name, alert(50))
    follow(log, codec, live)  # the same writer goes on in the new view
    assert asked.alert(alert_id(50)) is not None
    assert drop_old_alerts(url)
    assert not drop_old_alerts(url)
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'alpr%'")
        assert cursor.fetchall() == [("alpr_alerts",)]


def test_who_follows_the_changes_is_woken_and_loads_anew(log, codec, live, asked, url):
    cursor = asked.latest_change()
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"LISTEN {channel()}")
        rebuild_alerts(url, log, codec)
        assert select.select([connection], [], [], 5)[0]
        connection.poll()
        assert len(connection.notifies) == 1
    assert not asked.changes_since(cursor).complete
    cursor = asked.latest_change()
    append(log, codec, ALERTS.name, alert(50))
    follow(log, codec, live)
    changes = asked.changes_since(cursor)
    assert changes.complete
    assert [row["alert_id"] for row in changes.rows] == [alert_id(50)]


@pytest.mark.parametrize(
    "damage",
    [
        ("UPDATE alerts SET state = 'resolved' WHERE plate = 'ABC0007'", "alerts"),
        ("DELETE FROM alerts WHERE plate = 'ABC0007'", "alerts"),
        ("DELETE FROM alert_history WHERE kind = 'withdrawn'", "alert_history"),
        ("UPDATE notifications SET outcome = 'failed'", "notifications"),
        ("UPDATE rule_versions SET severity = 'info' WHERE name = 'Two'", "rule_versions"),
        ("DELETE FROM watchlist WHERE plate = 'ABC0001'", "watchlist"),
    ],
)
def test_a_damaged_live_view_is_told_by_table_and_hour_and_healed(  # noqa: PLR0917 (fixtures)
    log, live, asked, url, damage, codec
):
    statement, table = damage
    before = shown(asked)
    with closing(psycopg2.connect(url, options="-c search_path=alpr_alerts")) as connection:
        connection.cursor().execute(statement)
        connection.commit()
    rebuilt = rebuild_alerts(url, log, codec)
    assert rebuilt.differences is not None
    assert {difference.table for difference in rebuilt.differences} == {table}
    assert shown(asked) == before


def test_a_rebuild_can_be_looked_at_without_a_swap(log, codec, live, asked, url):
    rebuild_alerts(url, log, codec, swap=False)
    append(log, codec, ALERTS.name, alert(60))
    follow(log, codec, live)
    assert asked.alert(alert_id(60)) is not None
    with closing(AlertQueries(url, schema="alpr_alerts_next")) as other:
        assert other.alert(alert_id(60)) is None
        assert other.alert(alert_id(4)) is None


def test_a_killed_rebuild_goes_on_where_it_was(log, codec, live, url):
    class Killed(Exception):
        pass

    def kill(_: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        rebuild_alerts(url, log, codec, kill)
    first: list[Any] = []
    assert rebuild_alerts(url, log, codec, first.append).differences == []
    assert len(first) == 5  # one of six partitions was done


def test_a_rebuild_waits_a_moment_for_one_that_was_killed_and_not_for_one_that_goes_on(
    log, codec, live, url
):
    with VIEW.alone(url), pytest.raises(ViewError, match="another replay of this view"):
        rebuild_alerts(url, log, codec)
    dying = VIEW.alone(url)
    dying.__enter__()
    threading.Timer(0.3, dying.__exit__, (None, None, None)).start()
    assert rebuild_alerts(url, log, codec).differences == []


def test_without_a_live_view_it_is_made(log, codec, url):
    append(log, codec, ALERTS.name, alert(1))
    assert rebuild_alerts(url, log, codec) == RebuiltTopics(1, 0, None, "alerts")
    with closing(AlertQueries(url)) as asked:
        assert asked.alert(alert_id(1)) is not None


def test_what_the_log_no_longer_holds_is_taken_over(log, codec, asked, url):
    """After ninety days an alert's last record is left, after thirty no attempt to tell of it."""
    old = NOON - 100 * DAY_US
    append(log, codec, ALERTS.name, alert(1, at=old), at=old)
    append(log, codec, NOTIFICATIONS.name, attempt(1, of=1, at=old), at=old)
    resolved = alert(1, "resolved", at=old, actor="ayse", images=None, event_ids=[])
    append(log, codec, ALERTS.name, resolved, at=old + 1)
    append(log, codec, ALERTS.name, alert(1, "commented", actor="bora", comment="why?"), at=NOON)
    append(log, codec, ALERTS.name, alert(2), alert(2, "updated", count=3), at=NOON)
    with closing(AlertView(url, log.uuid)) as view:
        follow(log, codec, view)
        before = shown(asked)
        assert log.trim(ALERTS.name, NOON - ALERTS.retention_us) == 2
        assert log.trim(NOTIFICATIONS.name, NOON - NOTIFICATIONS.retention_us) == 1
        rebuilt = rebuild_alerts(url, log, codec, now=lambda: NOON / 1e6)
        assert rebuilt.differences == []
        assert shown(asked) == before
        append(log, codec, ALERTS.name, alert(1, "resolved", actor="bora"), at=NOON + 1)
        follow(log, codec, view)
        one = asked.alert(alert_id(1))
        assert (one["resolved_by"], one["state"]) == ("ayse", "resolved")


def test_an_erased_alert_stays_away_where_its_tombstone_is_gone(log, codec, live, asked, url):
    append(log, codec, ALERTS.name, alert(4, "updated", count=9))
    follow(log, codec, live)
    assert rebuild_alerts(url, log, codec).differences == []
    assert asked.alert(alert_id(4)) is None


def test_the_view_of_another_log_is_replaced_and_what_it_erased_stays_away(
    log, codec, live, asked, url
):
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(
            "UPDATE alpr_alerts.view_state SET log_uuid = 'another'; "
            "INSERT INTO alpr_alerts.erased_alerts VALUES (%s, 1)",
            (alert_id(7),),
        )
    assert rebuild_alerts(url, log, codec) == RebuiltTopics(18, 0, None, "alerts")
    assert asked.alert(alert_id(7)) is None
    append(log, codec, ALERTS.name, alert(50))
    follow(log, codec, live)
    assert asked.alert(alert_id(50)) is not None


@pytest.mark.slow
def test_neither_readers_nor_the_writer_notice_a_swap(log, codec, live, asked, url):
    stop = threading.Event()
    wrong: list[str] = []
    longest = [0.0]

    def read() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                if len(asked.alerts(limit=1000)) < 19:
                    wrong.append("alerts were missing")
            except Exception as error:
                wrong.append(repr(error))
            longest[0] = max(longest[0], time.monotonic() - began)

    def write() -> None:
        number = 100
        try:
            while not stop.is_set():
                append(log, codec, ALERTS.name, alert(number), partition=number % 2)
                number += 1
                follow(log, codec, live)
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=one) for one in (read, read, write)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert rebuild_alerts(url, log, codec).differences == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert longest[0] < 2
    assert rebuild_alerts(url, log, codec).differences == []
