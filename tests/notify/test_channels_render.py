"""What people read of an alert, and what their own templates may name."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channel import OptionsError
from notify.render import FIELDS, check_template, fill, message, moment, show
from tests.notify.channel_world import AT, PAGE, PICTURE_URL, alert, delivery

EVIL = '<img src=x onerror="alert(1)">\r\nBcc: evil@example.com {plate} {{ 7*7 }} \u202e'


def test_an_alert_says_what_where_when_and_how_sure():
    told = message(delivery({}, rule_description="Cars that the police look for"), "cid:plate.jpg")
    assert told.subject == "Alert: 34ABC123 – Stolen vehicles"
    for form in (told.text, told.html):
        for word in (
            *("34ABC123", "CAM-001", "Headquarters · North gate", "97 %", "critical"),
            *("Mon 15 Jun 2026, 22:00:00 (Europe/Istanbul)", "A plate of the list Stolen was seen"),
            *("Stolen vehicles", "Cars that the police look for", PAGE, PICTURE_URL),
        ):
            assert word in form
    assert 'src="cid:plate.jpg"' in told.html


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        ("raised", "Alert: "),
        ("updated", "Alert updated: "),
        ("withdrawn", "Alert withdrawn: "),
        ("escalated", "Not acknowledged: "),
        ("test", "Test: "),
    ],
)
def test_each_kind_has_its_heading(kind: str, heading: str):
    assert message(delivery({}, kind=kind)).subject.startswith(heading)


def test_a_withdrawn_alert_says_why_and_a_changed_plate_what_it_was():
    told = message(delivery({}, kind="withdrawn", alert=alert(reason="read anew", was=["34A8C1"])))
    for form in (told.text, told.html):
        assert "read anew" in form
        assert "34A8C1" in form


def test_a_fuzzy_match_shows_what_was_read_and_what_the_list_says():
    hit = {
        "watchlist": "Stolen",
        "plate": "34ABC128",
        "kind": "deny",
        "match": "fuzzy",
        "confidence": 0.92,
        "owner": "Police",
        "reason": "stolen in June",
        "tags": [],
    }
    told = message(delivery({}, alert=alert(watched=hit, text="34A8C123")))
    watched = "Stolen: 34ABC128 (deny, fuzzy match, 92 %) – stolen in June; owner Police"
    assert watched in told.text
    assert "read as 34A8C123" in told.text


def test_a_plate_that_is_only_perhaps_the_one_on_the_list_is_told_so():
    hit = {
        "watchlist": "Stolen",
        "plate": "34ABC128",
        "kind": "deny",
        "match": "exact",
        "confidence": 0.31,
        "owner": "",
        "reason": "",
        "tags": [],
    }
    told = message(delivery({}, alert=alert(watched=hit)))
    assert "Stolen: 34ABC128 (deny, exact match, 31 %)" in told.text


def test_a_group_names_some_and_counts_the_rest():
    others = tuple(alert(plate=f"06XY{n:03}", at=AT + n * 60_000_000) for n in range(14))
    told = message(delivery({}, others=others, more=37))
    assert told.subject == "Alert: 34ABC123 – Stolen vehicles (and 51 more)"
    assert "22:09:00  06XY009  CAM-001" in told.text
    assert "06XY010" not in told.text
    for form in (told.text, told.html):
        assert "and 41 more" in form


def test_an_alert_about_no_plate_speaks_of_its_subject():
    told = message(
        delivery({}, alert=alert(plate=None, subject="CAM-007", message="CAM-007 is silent"))
    )
    assert told.subject.startswith("Alert: CAM-007")
    assert "About       CAM-007" in told.text
    assert "Confidence" not in told.text


def test_a_time_is_told_in_the_cameras_zone_and_a_zone_that_there_is_not_is_utc():
    assert moment(AT, "America/New_York") == "Mon 15 Jun 2026, 15:00:00 (America/New_York)"
    for unknown in ("", "Mars/Olympus", "../../etc/passwd", "\0"):
        assert moment(AT, unknown) == "Mon 15 Jun 2026, 19:00:00 (UTC)"
    assert moment(2**62, "UTC") == "at an unknown time"


def test_peoples_own_subject_and_body_are_filled_by_name():
    own = {"subject": "{severity}: {plate}", "body": "Go to {zone}.\n{{{camera}}} {link}"}
    told = message(delivery(own))
    assert told.subject == "critical: 34ABC123"
    assert f"Go to North gate.\n{{CAM-001}} {PAGE}" in told.text
    assert "Go to North gate." in told.html


def test_every_field_of_the_docs_can_be_filled():
    wanted = "|".join(f"{{{name}}}" for name in FIELDS)
    assert "{" not in message(delivery({"body": wanted})).text


@pytest.mark.parametrize(
    "template",
    [
        *("{plat}", "{}", "{0}", "{plate.__class__}", "{plate!r}", "{plate:>99999999}"),
        *("{plate[0]}", "{__class__}", "{", "}", "{{plate}"),
    ],
)
def test_nothing_but_plain_names_is_understood(template: str):
    with pytest.raises(OptionsError, match=re.escape("{plate}, {camera}, {time}")):
        check_template("subject", template)


@given(st.text(), st.text())
def test_what_a_field_holds_is_never_looked_at_again(before: str, value: str):
    plain = before.replace("{", "{{").replace("}", "}}")
    assert fill("body", plain + "{plate}", {"plate": value}) == before + value


def test_jinja_of_people_is_text():
    told = message(delivery({"body": "{{{{ 7*7 }}}} {{% raw %}}"}))
    assert "{{ 7*7 }} {% raw %}" in told.text
    assert "49" not in told.html


@pytest.mark.parametrize(
    "name", ["plate", "rule", "message", "zone", "camera_id", "reason", "text"]
)
@pytest.mark.parametrize("options", [{}, {"subject": "{plate} {rule}", "body": "{message} {zone}"}])
def test_html_and_line_ends_in_what_was_read_stay_text(name: str, options: dict[str, Any]):
    told = message(delivery(options, alert=alert(**{name: EVIL})))
    assert "\n" not in told.subject
    assert "\r" not in told.subject
    assert "<img src=x" not in told.html
    assert "Bcc: evil" not in [line[:9] for line in told.text.splitlines()]
    assert "\u202e" not in told.text + told.html + told.subject
    assert "49" not in told.html.replace("#475569", "")


def test_a_subject_is_never_endless():
    assert len(message(delivery({}, alert=alert(rule="r" * 5000))).subject) == 200


@given(st.text(), st.text(), st.text(), st.floats(0, 1), st.integers(-(2**63), 2**63 - 1))
def test_whatever_an_alert_holds_it_can_be_told(
    plate: str, rule: str, zone: str, confidence: float, at: int
):
    told = alert(plate=plate, rule=rule, timezone=zone, confidence=confidence, at=at)
    made = message(delivery({}, alert=told))
    assert made.text
    assert show(delivery({}, alert=told)).rule in made.text
