"""Slack: the blocks that are posted, and what each answer means."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channel import Outcome
from notify.channels import open_channels
from notify.channels.slack import payload
from tests.notify.channel_world import (
    AT,
    PAGE,
    PICTURE_URL,
    Receiver,
    alert,
    delivery,
    free_port,
    receiver,
)

PATH = "/services/T0001/B0001/abcdefghijkl"


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def send(server: Receiver, options: Any = (), **how: Any) -> Outcome:
    channel = open_channels({"SLACK_WEBHOOK_URL": server.url + PATH})["slack"]
    return channel.send(delivery(dict(options), **how))


def test_a_message_has_header_fields_picture_and_button(server: Receiver):
    outcome = send(server, {"channel": "#gate"}, rule_description="Cars that are looked for")
    assert (outcome.result, outcome.detail) == ("sent", "127.0.0.1 answered 200")
    [request] = server.requests
    assert request.path == PATH
    told = request.json
    assert told["channel"] == "#gate"
    assert told["text"] == "Alert: 34ABC123 – Stolen vehicles"
    header, message, fields, image, context, actions = told["blocks"]
    assert header["text"]["text"] == "Alert: 34ABC123"
    assert message["text"]["text"] == "A plate of the list Stolen was seen"
    assert [field["text"] for field in fields["fields"]] == [
        "*Plate*\n34ABC123",
        "*Time*\nMon 15 Jun 2026, 22:00:00 (Europe/Istanbul)",
        "*Camera*\nCAM-001",
        "*Place*\nHeadquarters · North gate",
        "*Confidence*\n97 %",
        "*Rule*\nStolen vehicles (critical)",
    ]
    assert (image["type"], image["image_url"]) == ("image", PICTURE_URL)
    assert context["elements"][0]["text"] == "Cars that are looked for"
    assert actions["elements"][0]["url"] == PAGE


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://alpr.example/p/x", "https://localhost/p", "https://10.0.0.5/p"),
        *("https://alpr.local/p", "https://nvr/p", "https://alpr.example/" + "x" * 3000),
    ],
)
def test_a_picture_that_slack_could_not_fetch_is_left_out(server: Receiver, url: str):
    send(server, picture_url=url)
    assert "image" not in [block["type"] for block in server.requests[0].json["blocks"]]


def test_what_slack_refuses_with_the_picture_is_sent_without(server: Receiver):
    server.answers = [(400, {}, b"invalid_blocks")]
    assert send(server).result == "sent"
    first, second = ([b["type"] for b in r.json["blocks"]] for r in server.requests)
    assert "image" in first
    assert "image" not in second


def test_nothing_of_an_alert_is_a_link_or_a_mention(server: Receiver):
    evil = "<!channel> <https://evil.example|here> & <@U1>"
    told = alert(plate=evil, message=evil, rule=evil, zone=evil, camera_id=evil, reason=evil)
    send(server, {"body": "<!here> {plate}"}, alert=told, rule_description=evil)
    send(server, alert=told, others=(told,))
    texts = [text for request in server.requests for text in markup(request.json)]
    assert any(text.startswith("<!here> &lt;!channel&gt;") for text in texts)
    for text in texts:
        assert "<" not in text.removeprefix("<!here>")
        assert "&lt;!channel&gt;" in text or "&" not in text


def test_a_group_names_some_and_counts_the_rest(server: Receiver):
    send(server, others=(alert(plate="06XY001", at=AT + 1_000_000),), more=37)
    told = server.requests[0].json
    assert told["text"].endswith("(and 38 more)")
    assert "06XY001 · CAM-001 · 22:00:01\nand 37 more" in markup(told)


def test_another_webhook_is_named_by_its_variable(server: Receiver):
    channel = open_channels({"SLACK_NIGHT": server.url + "/night"})["slack"]
    assert channel.send(delivery({"url_env": "SLACK_NIGHT"})).result == "sent"
    assert server.requests[0].path == "/night"
    assert channel.target({"url_env": "SLACK_NIGHT"}) == "SLACK_NIGHT"
    assert channel.target({"channel": "#a", "url_env": "SLACK_NIGHT"}) == "#a"
    unset = channel.send(delivery({}))
    assert (unset.result, unset.detail[:28]) == ("refused", "SLACK_WEBHOOK_URL is not set")


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ((404, {}, b"no_service"), "refused"),
        ((403, {}, b"invalid_token"), "refused"),
        ((429, {"retry-after": "12"}, b"rate_limited"), "failed"),
        ((500, {}, b"rollup_error"), "failed"),
    ],
)
def test_what_each_answer_means(server: Receiver, answer: Any, result: str):
    server.answers = [answer]
    outcome = send(server)
    assert outcome.result == result
    assert outcome.detail == f"127.0.0.1 answered {answer[0]}: {answer[2].decode()}"
    assert outcome.retry_after == (12.0 if answer[0] == 429 else None)


def test_slack_away_failed():
    with_nobody = {"SLACK_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}{PATH}"}
    outcome = open_channels(with_nobody)["slack"].send(delivery({}))
    assert outcome.result == "failed"
    assert "abcdefghijkl" not in outcome.detail


@given(st.text("<>&a", max_size=6000), st.text("&", max_size=200), st.integers(0, 20))
def test_whatever_an_alert_holds_stays_within_slacks_bounds(text: str, plate: str, many: int):
    told = alert(message=text, plate=plate, rule=text, zone=text, reason=text, camera_id=text)
    made = payload(delivery({}, alert=told, others=(told,) * many), PICTURE_URL)
    assert len(made["blocks"]) <= 50
    for block in made["blocks"]:
        assert len(block.get("fields", [])) <= 10
    for shown in markup(made):
        assert 0 < len(shown) <= 3000
        for piece in shown.split("&")[1:]:
            assert piece.startswith(("amp;", "lt;", "gt;"))
    assert len(made["blocks"][0]["text"]["text"]) <= 150


def markup(told: dict[str, Any]) -> list[str]:
    """Every text in which Slack looks for its own markup."""
    found = [told["text"]]
    for block in told["blocks"]:
        parts = [block.get("text", {}), *block.get("fields", []), *block.get("elements", [])]
        found += [part["text"] for part in parts if part.get("type") == "mrkdwn"]
    return found
