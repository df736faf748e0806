"""The writer of the alerts' view: what the log says, once, whatever the borders of its batches."""

import select
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog.log import Entry
from eventlog.registry import SqliteRegistry
from projections.alert_queries import AlertQueries
from projections.alert_schema import channel
from projections.alert_view import AlertView, alert_change_of
from projections.errors import PositionConflict, ViewMismatch
from projections.topic_view import Change
from schemas.codec import Codec, DecodeError
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, WATCHLIST
from tests.projections.alerts import alert, alert_id, attempt, changes, entry, rule, write
from tests.projections.sightings import LOG, NOON


def test_an_alert_is_a_row_with_its_history(alerts: AlertView, asked: AlertQueries):
    write(
        alerts,
        ALERTS.name,
        alert(1),
        alert(1, "updated", count=2),
        alert(1, "acknowledged", at=NOON, actor="ayse", comment="on my way"),
    )
    found = asked.alert(alert_id(1))
    assert found is not None
    assert (found["state"], found["count"], found["acknowledged_by"]) == ("acknowledged", 2, "ayse")
    assert [line["kind"] for line in found["history"]] == ["raised", "updated", "acknowledged"]
    assert found["history"][2]["comment"] == "on my way"
    assert found["watched"]["watchlist"] == "stolen"


def test_a_repeat_is_no_line_of_the_history(alerts: AlertView, asked: AlertQueries):
    write(alerts, ALERTS.name, alert(1), alert(1, "updated", count=2))
    before = asked.alert(alert_id(1))
    write(alerts, ALERTS.name, alert(1), alert(1, "updated", count=2), start=2)
    after = asked.alert(alert_id(1))
    assert before is not None
    assert after is not None
    assert after["history"] == before["history"]
    assert after["count"] == before["count"] == 2


def test_rows_and_position_move_together_or_not_at_all(alerts: AlertView, asked: AlertQueries):
    write(alerts, ALERTS.name, alert(1))
    assert alerts.positions(ALERTS.name) == {0: 1}
    with pytest.raises(PositionConflict, match="stands at 1, this writer expected 5"):
        write(alerts, ALERTS.name, alert(2), start=5)
    with pytest.raises(PositionConflict, match="stands at 1, this writer expected 0"):
        write(alerts, ALERTS.name, alert(2))
    assert asked.alert(alert_id(2)) is None


def test_each_topic_and_partition_has_a_position_of_its_own(alerts: AlertView):
    write(alerts, ALERTS.name, alert(1), partition=3)
    write(alerts, NOTIFICATIONS.name, attempt(1))
    assert alerts.positions(ALERTS.name) == {3: 1}
    assert alerts.positions(NOTIFICATIONS.name) == {0: 1}
    assert alerts.positions(RULES.name) == {}


def test_the_view_of_another_log_is_not_written(alerts: AlertView, url: str):
    with pytest.raises(ViewMismatch, match="alpr replay --view alerts"):
        AlertView(url, "another")
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute("UPDATE alpr_alerts.view_state SET log_uuid = 'another'")
    with pytest.raises(ViewMismatch, match="were made from log another"):
        write(alerts, ALERTS.name, alert(1))


MISFITS: list[tuple[str, Any]] = [
    (ALERTS.name, alert(9, message="a\0b")),
    (ALERTS.name, alert(9, message="half \ud800 a pair")),
    (ALERTS.name, alert(9, at=1 << 62)),
    (ALERTS.name, alert(9, confidence=float("nan"))),
    (ALERTS.name, alert(9, alert_id="none")),
    (ALERTS.name, "no id of an alert"),
    (NOTIFICATIONS.name, attempt(9, alert_id="none")),
    (NOTIFICATIONS.name, attempt(9, detail="a\0b")),
    (RULES.name, rule() | {"definition": "no json"}),
    (RULES.name, rule() | {"definition": "{}"}),
    (RULES.name, rule() | {"name": "Another"}),
    (RULES.name, rule() | {"effective_from": 1 << 62}),
    (WATCHLIST.name, entry(9, reason="a\0b")),
    (WATCHLIST.name, entry(9, valid_to=1 << 62)),
    (WATCHLIST.name, entry(9, removed=True, plate="a\0b")),
]
GOOD: dict[str, tuple[Any, Any]] = {
    ALERTS.name: (alert(1), alert(2)),
    NOTIFICATIONS.name: (attempt(1), attempt(2)),
    RULES.name: (rule("One"), rule("Two")),
    WATCHLIST.name: (entry(1), entry(2)),
}


@pytest.mark.parametrize(("topic", "misfit"), MISFITS)
def test_what_no_row_can_hold_is_named_and_all_else_written(
    alerts: AlertView, asked: AlertQueries, topic: str, misfit: Any
):
    told: list[Any] = []
    one, two = GOOD[topic]
    given = changes(topic, one, misfit, two)
    refused = alerts.apply(topic, 0, 0, given, 3, told.extend)
    assert [r.index for r in refused] == [1]
    assert told == refused
    assert alerts.positions(topic) == {0: 3}
    shown = {
        ALERTS.name: len(asked.alerts()),
        NOTIFICATIONS.name: len(asked.latest_notifications()),
        RULES.name: len(asked.rules()),
        WATCHLIST.name: asked.watchlist().total,
    }
    assert shown == dict.fromkeys(shown, 0) | {topic: 2}


def test_an_erased_alert_goes_with_all_that_was_said_of_it_and_stays_away(
    alerts: AlertView, asked: AlertQueries
):
    write(alerts, NOTIFICATIONS.name, attempt(1, of=1), attempt(2, of=2))
    write(alerts, ALERTS.name, alert(1), alert(2), alert_id(1), alert(1, "updated", count=7))
    assert asked.alert(alert_id(1)) is None
    assert [row["alert_id"] for row in asked.alerts()] == [alert_id(2)]
    assert [row["alert_id"] for row in asked.latest_notifications()] == [alert_id(2)]
    write(alerts, ALERTS.name, alert(1), start=4)
    write(alerts, NOTIFICATIONS.name, attempt(3, of=1), start=2)
    assert asked.alert(alert_id(1)) is None
    assert asked.notifications(alert_id(1)) == []


def test_an_attempt_told_twice_is_one(alerts: AlertView, asked: AlertQueries):
    failed = attempt(1, outcome="failed", detail="the server is away")
    write(alerts, NOTIFICATIONS.name, failed, failed, attempt(1, attempt=2), failed)
    assert [row["outcome"] for row in asked.notifications(alert_id(0))] == ["failed", "sent"]


def test_an_entry_is_what_was_said_of_it_last(alerts: AlertView, asked: AlertQueries):
    write(
        alerts,
        WATCHLIST.name,
        entry(1),
        entry(2),
        entry(1, kind="allow"),
        entry(2, removed=True),
        entry(3, removed=True),
        entry(3),
    )
    rows = asked.watchlist().rows
    assert [(row["plate"], row["kind"]) for row in rows] == [
        ("ABC0001", "allow"),
        ("ABC0003", "deny"),
    ]


TOPICS = {
    ALERTS.name: [
        alert(n, kind, count=count, actor=who, comment=who, revision=count)
        for n in (1, 2)
        for kind in ("raised", "updated", "withdrawn", "acknowledged", "resolved", "commented")
        for count in (1, 2)
        for who in ("ayse", None)
    ]
    + [alert_id(2), alert(1, message="a\0b")],
    NOTIFICATIONS.name: [
        attempt(n, attempt=m, outcome=o) for n in (1, 2) for m in (1, 2) for o in ("sent", "failed")
    ],
    RULES.name: [rule("One"), rule("One", "info"), rule("Two"), rule("One", definition=None)],
    WATCHLIST.name: [
        entry(n, kind=kind, removed=removed)
        for n in (1, 2)
        for kind in ("deny", "allow")
        for removed in (False, True)
    ],
}


def test_what_a_later_event_of_the_batch_would_hide_is_refused_all_the_same(
    alerts: AlertView, asked: AlertQueries
):
    hidden = alert(1, revision=5, message="a\0b")
    refused = write(alerts, ALERTS.name, alert(1), hidden, alert(1, "updated", count=2))
    assert [one.index for one in refused] == [1]
    assert [len(row["history"]) for row in [asked.alert(alert_id(1)) or {}]] == [2]
    literal = alert(2, message="a text that holds \\u0000 in letters")
    assert write(alerts, ALERTS.name, literal, start=3) == []


def contents(url: str) -> dict[str, list[Any]]:
    """All that the view shows, but for the numbers of changes."""
    with closing(psycopg2.connect(url, options="-c search_path=alpr_alerts")) as connection:
        cursor = connection.cursor()
        shown: dict[str, list[Any]] = {}
        for table in ("alerts", "alert_history", "notifications", "rule_versions", "watchlist"):
            cursor.execute(f"SELECT to_jsonb(each) - 'change' FROM {table} AS each ORDER BY 1")
            shown[table] = cursor.fetchall()
        return shown


@pytest.mark.parametrize("topic", list(TOPICS))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_the_borders_of_batches_do_not_show(url: str, topic: str, data: st.DataObject):
    said = data.draw(st.lists(st.sampled_from(TOPICS[topic]), min_size=1, max_size=15))
    borders = data.draw(st.sets(st.integers(1, len(said) - 1))) if len(said) > 1 else set()
    shown: list[Any] = []
    for cut in (sorted(borders), range(1, len(said)), ()):
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute("DROP SCHEMA IF EXISTS alpr_alerts CASCADE")
        with closing(AlertView(url, LOG)) as view:
            start = 0
            for end in (*cut, len(said)):
                write(view, topic, *said[start:end], start=start)
                start = end
        shown.append(contents(url))
    assert shown[0] == shown[1] == shown[2]


def test_a_change_wakes_who_listens(alerts: AlertView, asked: AlertQueries, url: str):
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"LISTEN {channel()}")
        write(alerts, ALERTS.name, alert(1))
        write(alerts, ALERTS.name, alert(1), start=1)
        write(alerts, WATCHLIST.name, entry(1))
        while len(connection.notifies) < 2 and select.select([connection], [], [], 5)[0]:
            connection.poll()
        told = [notice.payload.split() for notice in connection.notifies]
    assert [topic for _, topic in told] == [ALERTS.name, WATCHLIST.name]
    assert int(told[-1][0]) == asked.latest_change()


def test_a_hundred_thousand_entries_are_shown_within_seconds(
    alerts: AlertView, asked: AlertQueries
):
    began = time.monotonic()
    for start in range(0, 100_000, 500):
        write(alerts, WATCHLIST.name, *(entry(n) for n in range(start, start + 500)), start=start)
    took = time.monotonic() - began
    assert asked.watchlist().total == 100_000
    assert took < 30, f"{took:.1f} s"  # 4 s on two idle cores


def test_alerts_and_watched_plates_can_be_erased_and_nothing_else(tmp_path: Path):
    codec = Codec(SqliteRegistry(tmp_path))
    tombstone = Entry(RULES.name, 0, 0, NOON, b"Wanted", None, {})
    with pytest.raises(DecodeError):
        alert_change_of(tombstone, codec)
    for topic in (ALERTS.name, WATCHLIST.name):
        assert alert_change_of(tombstone._replace(topic=topic), codec).record is None


def test_an_entry_that_is_erased_is_on_no_list(alerts: AlertView, asked: AlertQueries):
    write(alerts, WATCHLIST.name, entry(1), entry(2))
    gone = Entry(WATCHLIST.name, 0, 2, NOON, b"stolen/ABC0001", None, {})
    assert alerts.apply(WATCHLIST.name, 0, 2, [Change(gone, None)], 3) == []
    assert [one["plate"] for one in asked.watchlist().rows] == ["ABC0002"]
