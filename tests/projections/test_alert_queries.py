"""What the alerts' view answers."""

from datetime import UTC, datetime, timedelta

import pytest

from api.encode import dumps
from projections.alert_queries import AlertQueries, AlertSearch
from projections.alert_view import AlertView
from projections.errors import ViewMissing
from rules.alerts.life import Alert, fold
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, WATCHLIST
from tests.projections.alerts import SECOND, alert, alert_id, attempt, entry, rule, write
from tests.projections.sightings import NOON, event_id

AT_NOON = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOON)


@pytest.fixture
def five(alerts: AlertView, asked: AlertQueries) -> AlertQueries:
    write(
        alerts,
        ALERTS.name,
        alert(1, plate="34ABC123", rule="Night", severity="warning"),
        alert(2, plate="34ABD777", camera_id="CAM-002"),
        alert(3, plate="06XYZ1", site="south", text="O6XYZ1"),
        alert(
            4, plate=None, subject="CAM-003", message="CAM-003 is silent: 100 %", severity="info"
        ),
        alert(5, plate="35K9", severity="warning"),
        alert(2, "acknowledged", actor="ayse"),
        alert(3, "resolved", actor="ayse"),
        alert(5, "withdrawn", reason="read anew"),
    )
    return asked


def numbers(asked: AlertQueries, search: AlertSearch) -> list[int]:
    by_id = {alert_id(n): n for n in range(10)}
    found = [by_id[row["alert_id"]] for row in asked.alerts(search)]
    assert asked.count(search) == len(found)
    return found


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (AlertSearch(), [5, 4, 3, 2, 1]),
        (AlertSearch(states=("open",)), [4, 1]),
        (AlertSearch(states=("acknowledged", "resolved")), [3, 2]),
        (AlertSearch(severities=("warning",)), [5, 1]),
        (AlertSearch(rule="Night"), [1]),
        (AlertSearch(plate="34 abc-123"), [1]),
        (AlertSearch(plate="34AB*"), [2, 1]),
        (AlertSearch(plate="3?K9"), [5]),
        (AlertSearch(camera="CAM-002"), [2]),
        (AlertSearch(site="south"), [3]),
        (AlertSearch(event_id=event_id(3)), [3]),
        (AlertSearch(since=AT_NOON + timedelta(seconds=4)), [5, 4]),
        (AlertSearch(until=AT_NOON + timedelta(seconds=2)), [2, 1]),
        (AlertSearch(q="SILENT"), [4]),
        (AlertSearch(q="o6xyz"), [3]),
        (AlertSearch(q="100 %"), [4]),
        (AlertSearch(q="1_0"), []),
        (AlertSearch(q="100%"), []),
        (AlertSearch(q="'; DROP TABLE alerts; --"), []),
        (AlertSearch(q="a\0b"), []),
        (AlertSearch(states=("open",), severities=("warning",), camera="CAM-001"), [1]),
    ],
)
def test_alerts_that_meet_every_condition_the_latest_first(
    five: AlertQueries, search: AlertSearch, found: list[int]
):
    assert numbers(five, search) == found


def test_pages_of_alerts(five: AlertQueries):
    pages = [five.alerts(limit=2, offset=at) for at in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({row["alert_id"] for page in pages for row in page}) == 5


def test_alerts_are_counted_by_state_and_the_open_ones_by_severity(five: AlertQueries):
    assert five.counts() == {
        "states": {"open": 2, "acknowledged": 1, "resolved": 1, "withdrawn": 1},
        "open": {"critical": 0, "warning": 1, "info": 1},
    }


def test_a_row_can_be_told_as_json(five: AlertQueries):
    told = dumps(five.alert(alert_id(5)))
    assert b'"raised_at":"2025-06-15T15:06:45Z"' in told
    assert b'"reason":"read anew"' in told


def test_one_alert_is_what_the_fold_of_its_events_is(alerts: AlertView, asked: AlertQueries):
    events = [alert(1), alert(1, "updated", count=4, was=["ABC0007"]), alert(1, "escalated")]
    write(alerts, ALERTS.name, *events)
    folded: Alert | None = None
    for event in events:
        folded, _ = fold(folded, event)
    assert asked.standing(alert_id(1)) == folded


@pytest.mark.parametrize("unknown", ["", "no id", "a\0b", alert_id(77)])
def test_what_is_not_there_is_none(asked: AlertQueries, unknown: str):
    assert asked.alert(unknown) is None
    assert asked.standing(unknown) is None
    assert asked.notifications(unknown) == []
    assert asked.rule(unknown) is None
    assert asked.entry(unknown, "ABC") is None


def test_what_became_of_telling_an_alert_is_with_it(alerts: AlertView, asked: AlertQueries):
    write(alerts, ALERTS.name, alert(1))
    write(
        alerts,
        NOTIFICATIONS.name,
        attempt(1, of=1, outcome="failed", detail="no route"),
        attempt(1, of=1, attempt=2, at=NOON + 9 * SECOND),
        attempt(3, of=2),
    )
    found = asked.alert(alert_id(1))
    assert found is not None
    assert [row["outcome"] for row in found["notifications"]] == ["failed", "sent"]
    assert [row["notification_id"] for row in asked.latest_notifications(limit=1)] == ["n-1"]


def test_a_rule_with_its_versions(alerts: AlertView, asked: AlertQueries):
    write(
        alerts,
        RULES.name,
        rule("Night", "info"),
        rule("Night", "critical", actor="bora"),
        rule("Gone"),
        rule("Gone", definition=None),
    )
    (night,) = asked.rules()
    assert (night["name"], night["severity"], night["versions"]) == ("Night", "critical", 2)
    assert night["definition"]["name"] == "Night"
    assert len(night["version"]) == 12
    found = asked.rule("Night")
    assert found is not None
    assert [version["actor"] for version in found["history"]] == ["bora", "ayse"]
    assert [row["name"] for row in asked.rules(removed=True)] == ["Gone", "Night"]
    gone = asked.rule("Gone")
    assert gone is not None
    assert gone["removed"]


def test_a_version_that_is_to_come_is_not_in_force_yet(alerts: AlertView, asked: AlertQueries):
    later = 4_000_000_000_000_000  # 2096
    write(
        alerts,
        RULES.name,
        rule("Night", "info"),
        rule("Night", "critical", effective_from=later),
        rule("Soon", effective_from=later),
    )
    (night,) = asked.rules()
    assert night["severity"] == "info"
    soon = asked.rule("Soon")
    assert soon is not None
    assert (soon["version"], len(soon["history"])) == (None, 1)


def test_the_watchlist_by_page_list_kind_and_text(alerts: AlertView, asked: AlertQueries):
    write(
        alerts,
        WATCHLIST.name,
        entry(1),
        entry(2, owner="Gate 100%"),
        entry(3, "staff", kind="allow", tags=["Night shift"]),
        entry(4, "staff", kind="allow", plate="34AB*", match="wildcard", reason="fleet"),
    )
    assert asked.watchlist(limit=1, offset=1).rows[0]["plate"] == "ABC0003"
    assert asked.watchlist(limit=1).total == 4
    assert asked.watchlist(watchlist="staff").total == 2
    assert asked.watchlist(kind="deny").total == 2
    for text, plates in {
        "abc-00": ["ABC0001", "ABC0002", "ABC0003"],
        "100%": ["ABC0002"],
        "night": ["ABC0003"],
        "FLEET": ["34AB*"],
        "nothing of it": [],
        "a\0b": [],
    }.items():
        found = sorted(row["plate"] for row in asked.watchlist(q=text).rows)
        assert found == sorted(plates), text
    one = asked.entry("staff", "34AB*")
    assert one is not None
    assert one["match"] == "wildcard"
    assert [(row["watchlist"], row["entries"], row["kinds"]) for row in asked.lists()] == [
        ("staff", 2, {"allow": 2}),
        ("stolen", 2, {"deny": 2}),
    ]


def test_what_changed_since_a_cursor_each_alert_once_as_it_is(
    alerts: AlertView, asked: AlertQueries
):
    write(alerts, ALERTS.name, alert(1), alert(2), alert(3))
    cursor = asked.latest_change()
    write(alerts, ALERTS.name, alert(1, "updated", count=5), alert_id(2), start=3)
    changes = asked.changes_since(cursor)
    assert changes.complete
    assert [(row["alert_id"], row.get("erased"), row.get("count")) for row in changes.rows] == [
        (alert_id(1), None, 5),
        (alert_id(2), True, None),
    ]
    assert asked.changes_since(changes.cursor).rows == []
    first = asked.changes_since(cursor, limit=1)
    assert [row["alert_id"] for row in first.rows] == [alert_id(1)]
    assert [row["alert_id"] for row in asked.changes_since(first.cursor).rows] == [alert_id(2)]
    assert not asked.changes_since(changes.cursor + 1000).complete


def test_a_database_without_the_view_is_told_as_such(url: str):
    asked = AlertQueries(url)
    with pytest.raises(ViewMissing):
        asked.counts()
    asked.close()
