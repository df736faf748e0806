"""The project flow and the alerts' view: soon there, and stopped by no record."""

import time
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from dataflows.log_io import Batch
from dataflows.patience import Patience
from dataflows.project import Projection, _OfTopic, _patience
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.alert_queries import AlertQueries
from projections.alert_view import AlertView, alert_change_of
from projections.errors import PositionConflict, ViewError, ViewUnavailable
from schemas.codec import Codec
from schemas.topics import ALERTS, DETECTED, DLQ, NOTIFICATIONS, RULES, WATCHLIST
from tests.dataflows.test_project_outage import flow  # noqa: F401 (a fixture)
from tests.projections.alerts import alert, alert_id, attempt, entry, rule
from tests.projections.sightings import event_id, sighting

RECORDS = {
    ALERTS.name: "AlertEvent",
    NOTIFICATIONS.name: "NotificationAttempt",
    RULES.name: "RuleVersion",
    WATCHLIST.name: "WatchlistEntry",
    DETECTED.name: "PlateEvent",
}


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path / "home" / "log", 1)) as log:
        yield log


@pytest.fixture
def codec(tmp_path, log):
    with closing(SqliteRegistry(tmp_path / "home" / "log")) as registry:
        codec = Codec(registry)
        codec.register()
        yield codec


@pytest.fixture
def url(postgres_url):
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        connection.cursor().execute("DROP SCHEMA IF EXISTS alpr, alpr_alerts CASCADE")
    return postgres_url


@pytest.fixture
def view(url, log):
    with closing(AlertView(url, log.uuid)) as view:
        yield view


@pytest.fixture
def asked(url):
    with closing(AlertQueries(url)) as asked:
        yield asked


def append(log: SqliteLog, codec: Codec, topic: str, *records: Any) -> None:
    values = [
        one if isinstance(one, bytes) else codec.encode(topic, RECORDS[topic], one)
        for one in records
    ]
    log.append(topic, 0, [Append(b"key", value) for value in values])


def batch(log: SqliteLog, topic: str, start: int = 0) -> Batch:
    entries = log.read(topic, 0, start, 1000)
    return Batch(start, entries, entries[-1].offset + 1)


def letters(log: SqliteLog, codec: Codec) -> list[tuple[str, int, str, str]]:
    """Topic, offset, step and reason of each dead letter."""
    found = [codec.decode(one.value or b"")[1] for one in log.read(DLQ.name, 0, 0, 1000)]
    return [(one["topic"], one["offset"], one["step"], one["reason"]) for one in found]


class Broken:
    """A view whose ``apply`` fails as told, before or after it has written."""

    def __init__(self, view: _OfTopic, *failures: str) -> None:
        self._view, self._failures = view, list(failures)

    def apply(self, *given: Any) -> Any:
        told = self._failures.pop(0) if self._failures else None
        if told == "before":
            raise ViewUnavailable("the server is gone")
        done = self._view.apply(*given)
        if told == "after":
            raise ViewUnavailable("during the commit")
        return done

    def positions(self) -> dict[int, int]:
        return self._view.positions()


def projection(log, codec, view, topic: str, *failures: str) -> Projection:
    patience = Patience((ViewUnavailable,), sleep=lambda _: None)
    broken: Any = Broken(_OfTopic(view, topic), *failures)
    return Projection(log, codec, broken, 0, patience, change=alert_change_of)


@pytest.mark.parametrize("failures", [("before",), ("after",), ("before", "before", "after")])
def test_a_batch_is_written_once_whenever_the_connection_breaks(log, codec, view, asked, failures):
    append(log, codec, ALERTS.name, alert(1), alert(1, "updated", count=2))
    projection(log, codec, view, ALERTS.name, *failures).apply(batch(log, ALERTS.name))
    assert view.positions(ALERTS.name) == {0: 2}
    assert len(asked.alert(alert_id(1))["history"]) == 2


def test_another_writer_is_no_outage(log, codec, view):
    append(log, codec, ALERTS.name, alert(1))
    view.apply(ALERTS.name, 0, 0, [], 1)
    with pytest.raises(PositionConflict):
        Projection(
            log, codec, _OfTopic(view, ALERTS.name), 0, _patience(), change=alert_change_of
        ).apply(batch(log, ALERTS.name))


@pytest.mark.parametrize(
    ("topic", "good"),
    [
        (ALERTS.name, alert(1)),
        (NOTIFICATIONS.name, attempt(1)),
        (RULES.name, rule()),
        (WATCHLIST.name, entry(1)),
    ],
)
def test_what_nobody_can_read_becomes_a_dead_letter_and_the_rest_is_shown(  # noqa: PLR0917
    log, codec, view, asked, topic, good
):
    strange = codec.encode(DETECTED.name, "PlateEvent", sighting(1))
    append(log, codec, topic, b"", b"\0\0\0\0\xff...", strange, good)
    projection(log, codec, view, topic).apply(batch(log, topic))
    assert view.positions(topic) == {0: 4}
    assert [(t, offset, step) for t, offset, step, _ in letters(log, codec)] == [
        (topic, offset, "decode") for offset in range(3)
    ]
    shown = {
        ALERTS.name: len(asked.alerts()),
        NOTIFICATIONS.name: len(asked.latest_notifications()),
        RULES.name: len(asked.rules()),
        WATCHLIST.name: asked.watchlist().total,
    }
    assert shown == dict.fromkeys(shown, 0) | {topic: 1}


def test_what_no_row_can_hold_becomes_a_dead_letter(log, codec, view, asked):
    append(log, codec, ALERTS.name, alert(1), alert(2, alert_id="none"), alert(3, message="a\0b"))
    append(log, codec, RULES.name, rule() | {"definition": "{}"}, rule())
    for topic in (ALERTS.name, RULES.name):
        projection(log, codec, view, topic).apply(batch(log, topic))
    assert letters(log, codec) == [
        (ALERTS.name, 1, "project", "refused"),
        (ALERTS.name, 2, "project", "refused"),
        (RULES.name, 0, "project", "refused"),
    ]
    assert [row["alert_id"] for row in asked.alerts()] == [alert_id(1)]
    assert [row["name"] for row in asked.rules()] == ["Wanted"]


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def there(asked: AlertQueries, number: int) -> bool:
    try:
        return asked.alert(alert_id(number)) is not None
    except ViewError:
        return False


@pytest.mark.slow
def test_the_flow_shows_all_five_topics_an_alert_within_a_tenth_of_a_second(
    log,
    codec,
    url,
    asked,
    flow,  # noqa: F811
):
    append(log, codec, ALERTS.name, b"nobody reads this", alert(1))
    append(log, codec, NOTIFICATIONS.name, attempt(1, of=1))
    append(log, codec, RULES.name, rule())
    append(log, codec, WATCHLIST.name, *(entry(n) for n in range(2000)))
    append(log, codec, DETECTED.name, sighting(1))
    process, text = flow(url)
    until(lambda: there(asked, 1))
    until(lambda: asked.watchlist(limit=1).total == 2000)
    assert len(asked.rules()) == 1
    assert len(asked.notifications(alert_id(1))) == 1
    with closing(psycopg2.connect(url, options="-c search_path=alpr")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT event_id FROM plate_events")
        assert cursor.fetchall() == [(event_id(1),)]
    waits: list[float] = []
    for number in range(10, 30):
        time.sleep(0.1)
        append(log, codec, ALERTS.name, alert(number))
        began = time.monotonic()
        until(lambda number=number: there(asked, number))
        waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < 0.2, waits  # 40 ms where nothing else runs
    assert process.poll() is None
    assert "Traceback" not in text.read_text()
    process.kill()
    process.wait()
    append(log, codec, ALERTS.name, alert(10, "updated", count=2), alert(40))
    flow(url)
    until(lambda: there(asked, 40))
    assert asked.alert(alert_id(10))["count"] == 2
    assert len(letters(log, codec)) == 1
