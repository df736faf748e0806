"""The life of an alert: what the engine finds, what people do, and a log that repeats itself."""

from dataclasses import replace
from functools import reduce
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.alerts.life import SEEN, Alert, fold
from schemas.records import AlertEvent

ALERT = "b0c1d7a2-0000-5000-8000-000000000001"
NOON = 1_750_000_000_000_000


def event(kind: str, at: int = 0, revision: int = 0, **said: Any) -> AlertEvent:
    whole: dict[str, Any] = {
        "alert_id": ALERT,
        "kind": kind,
        "at": NOON + at,
        "rule": "Night visit",
        "rule_version": "0123456789ab",
        "event_id": "e1",
        "revision": revision,
        "subject": "34ABC123",
        "plate": "34ABC123",
        "camera_id": "CAM-001",
        "severity": "warning",
        "message": "34ABC123 at the gate",
        "actor": None,
        "comment": None,
        "count": 1,
        "event_ids": ["e1"],
        "first_at": NOON,
        "last_at": NOON,
        "text": None,
        "confidence": 0.9,
        "site": "north",
        "zone": "gate",
        "timezone": "Europe/Istanbul",
        "images": {"plate_url": "folder:/1.jpg", "vehicle_url": "", "frame_url": ""},
        "watched": None,
        "was": [],
        "reason": None,
        "near_change": False,
    }
    return cast("AlertEvent", whole | said)


def life(*events: AlertEvent) -> Alert:
    alert = reduce(lambda alert, one: fold(alert, one)[0], events, cast("Alert | None", None))
    assert alert is not None
    return alert


def news(*events: AlertEvent) -> list[bool]:
    alert, told = None, []
    for one in events:
        alert, new = fold(alert, one)
        told.append(new)
    return told


RAISED = event("raised")
WITHDRAWN = event("withdrawn", 5, revision=2, reason="read anew as 34ABC128")


def test_a_raised_alert_is_open_and_says_what_its_event_says():
    alert = life(RAISED)
    assert alert.state == "open"
    assert (alert.plate, alert.camera_id, alert.raised_at) == ("34ABC123", "CAM-001", NOON)


def test_an_update_changes_what_it_says_and_not_when_it_was_raised():
    alert = life(RAISED, event("updated", 9, 1, count=3, plate="34ABC128", was=["34ABC123"]))
    assert (alert.count, alert.plate, alert.was) == (3, "34ABC128", ("34ABC123",))
    assert (alert.state, alert.raised_at, alert.revision) == ("open", NOON, 1)


def test_an_update_that_changes_nothing_is_no_news():
    assert news(RAISED, event("updated", 7)) == [True, False]


def test_a_withdrawn_alert_says_why():
    alert = life(RAISED, WITHDRAWN)
    assert (alert.state, alert.reason) == ("withdrawn", "read anew as 34ABC128")
    assert alert.withdrawn_at == NOON + 5


def test_a_later_revision_raises_a_withdrawn_alert_anew():
    log = (RAISED, WITHDRAWN, event("raised", 6, 3))
    assert news(*log) == [True, True, True]
    alert = life(*log)
    assert (alert.state, alert.reason, alert.raised_at) == ("open", None, NOON)


def test_the_same_revision_raises_it_again_without_news():
    """What a crash repeats ends where it ended; should it end so, the alert stands."""
    assert news(RAISED, WITHDRAWN, RAISED) == [True, True, False]
    assert life(RAISED, WITHDRAWN, RAISED).state == "open"
    assert news(RAISED, WITHDRAWN, RAISED, WITHDRAWN) == [True, True, False, False]
    assert life(RAISED, WITHDRAWN, RAISED, WITHDRAWN).state == "withdrawn"


def test_an_old_word_that_somebody_sent_again_changes_nothing():
    """`alpr dlq redrive` appends it behind later ones, for whom it had not reached."""
    for later in (event("updated", 9, 1, count=2), WITHDRAWN):
        alert = life(RAISED, later)
        assert fold(alert, RAISED, redriven=True) == (alert, False)


def test_a_word_that_was_never_there_counts_when_it_is_sent_again():
    assert fold(None, RAISED, redriven=True) == (life(RAISED), True)
    assert fold(life(RAISED), WITHDRAWN, redriven=True) == (life(RAISED, WITHDRAWN), True)


def test_raising_what_stands_is_no_news():
    assert news(RAISED, RAISED, event("raised", 0, 1, count=2)) == [True, False, False]


def test_who_acknowledges_first_has_acknowledged():
    first = event("acknowledged", 10, actor="ayse")
    second = event("acknowledged", 20, actor="bora")
    assert news(RAISED, first, second) == [True, True, False]
    alert = life(RAISED, first, second)
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", "ayse")
    assert alert.acknowledged_at == NOON + 10


def test_who_resolves_first_closes_it():
    alert = life(
        RAISED,
        event("resolved", 10, actor="ayse", comment="a neighbour"),
        event("resolved", 20, actor="bora"),
        event("acknowledged", 30, actor="bora"),
    )
    assert (alert.state, alert.resolved_by, alert.comments) == ("resolved", "ayse", 1)
    assert alert.acknowledged_by is None


@pytest.mark.parametrize("later", [WITHDRAWN, event("raised", 8, 4), event("updated", 8, count=9)])
def test_what_a_person_resolved_stays_resolved(later: AlertEvent):
    alert = life(RAISED, event("resolved", 3, actor="ayse"), later)
    assert alert.state == "resolved"
    assert alert.count == later["count"]


def test_that_it_was_withdrawn_shows_on_a_resolved_alert():
    alert = life(RAISED, event("resolved", 3, actor="ayse"), WITHDRAWN)
    assert alert.withdrawn_at == NOON + 5


def test_who_has_seen_it_has_seen_it_when_it_is_raised_anew():
    acknowledged = event("acknowledged", 2, actor="ayse")
    assert life(RAISED, acknowledged, WITHDRAWN).state == "withdrawn"
    assert life(RAISED, acknowledged, WITHDRAWN, event("raised", 6, 3)).state == "acknowledged"


def test_comments_are_counted_once_however_often_the_log_says_them():
    said = event("commented", 4, actor="ayse", comment="looks like a delivery")
    more = event("acknowledged", 6, actor="ayse", comment="it is one")
    assert life(RAISED, said, more, said, more).comments == 2


def test_a_comment_beside_a_second_acknowledgement_is_news():
    first = event("acknowledged", 10, actor="ayse")
    second = event("acknowledged", 20, actor="bora", comment="me too")
    assert news(RAISED, first, second) == [True, True, True]


def test_an_escalation_is_noted_once():
    log = (RAISED, event("escalated", 300), event("escalated", 600))
    assert news(*log) == [True, True, False]
    assert life(*log).escalated_at == NOON + 300


def test_people_change_nothing_that_the_engine_says():
    bare = event("commented", 4, actor="ayse", comment="?", event_ids=[], images=None, count=0)
    before, after = life(RAISED), life(RAISED, bare)
    assert replace(after, comments=0, seen=before.seen) == before


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("updated", "open"),
        ("withdrawn", "withdrawn"),
        ("acknowledged", "acknowledged"),
        ("resolved", "resolved"),
        ("commented", "open"),
    ],
)
def test_a_life_whose_beginning_the_log_has_dropped_begins_where_it_can(kind: str, state: str):
    alert = life(event(kind, 4, actor="ayse", comment="still here"))
    assert (alert.state, alert.plate) == (state, "34ABC123")


def test_the_memory_of_records_is_bounded():
    alert = life(RAISED, *(event("updated", n, count=n) for n in range(2, 3 * SEEN)))
    assert len(alert.seen) == SEEN


EVENTS = st.builds(
    lambda kind, at, revision, count, who: event(
        kind, at, revision, count=count, actor=who, comment=who and f"{who} {at}"
    ),
    st.sampled_from(
        ["raised", "updated", "withdrawn", "acknowledged", "resolved", "commented", "escalated"]
    ),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.sampled_from(["ayse", "bora", None]),
)


@given(st.lists(EVENTS, max_size=20), st.data())
def test_stretches_that_crashes_repeat_do_not_show_in_the_end(
    log: list[AlertEvent], data: st.DataObject
):
    """A crash repeats what followed the last snapshot, from its beginning, however far it came."""
    repeated: list[AlertEvent] = []
    at = 0
    while at < len(log):
        end = data.draw(st.integers(at + 1, len(log)))
        for _ in range(data.draw(st.integers(0, 2))):
            repeated += log[at : data.draw(st.integers(at, end))]
        repeated += log[at:end]
        at = end
    assert life(RAISED, *repeated) == life(RAISED, *log)
    assert sum(news(RAISED, *repeated)) == sum(news(RAISED, *log))


@given(st.lists(EVENTS, max_size=20))
def test_a_log_said_twice_is_news_once(log: list[AlertEvent]):
    assert not any(news(RAISED, *log, RAISED, *log)[len(log) + 1 :])
