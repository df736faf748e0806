"""SMS: one message that says the most, to each number once."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notify.channel import Outcome
from notify.channels import open_channels
from notify.channels.sms import cut, fitted, is_gsm, room_of, text_of, units
from tests.notify.channel_world import PAGE, Receiver, alert, delivery, free_port, receiver

TO = {"to": "+905321234567"}


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def environ(url: str, **how: str) -> dict[str, str]:
    return {
        "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
        "TWILIO_AUTH_TOKEN": "fedcba9876543210fedcba9876543210",
        "TWILIO_FROM": "+15005550006",
        "TWILIO_API_URL": url,
    } | how


def send(server: Receiver, options: Any = TO, **how: Any) -> Outcome:
    return open_channels(environ(server.url))["sms"].send(delivery(options, **how))


def forms(server: Receiver) -> list[dict[str, str]]:
    return [
        {name: value[0] for name, value in parse_qs(request.body.decode()).items()}
        for request in server.requests
    ]


def test_a_message_goes_out_as_twilio_takes_it(server: Receiver):
    outcome = send(server)
    assert (outcome.result, outcome.detail) == ("sent", "+905321234567 was told")
    [request] = server.requests
    assert request.path == "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json"
    assert request.headers["authorization"].startswith("Basic ")
    [form] = forms(server)
    assert (form["From"], form["To"]) == ("+15005550006", "+905321234567")
    assert form["Body"].startswith("34ABC123: Stolen vehicles, CAM-001")
    assert form["Body"].endswith(PAGE)
    assert len(form["Body"]) <= 160


@pytest.mark.parametrize("option", ["to", "recipients", "phone_numbers"])
def test_each_number_is_told_once(server: Receiver, option: str):
    numbers = ["+905321234567", "+15551234567", "+905321234567"]
    assert send(server, {option: numbers}).result == "sent"
    assert [form["To"] for form in forms(server)] == ["+905321234567", "+15551234567"]


def test_who_had_it_is_left_out_when_it_is_tried_again(server: Receiver):
    channel = open_channels(environ(server.url))["sms"]
    server.answers = [(201, {}, b"{}"), (503, {}, b"{}")]
    options = {"to": ["+905321234567", "+15551234567"]}
    first = channel.send(delivery(options))
    assert first.result == "failed"
    assert "+15551234567 was not told" in first.detail
    assert channel.send(delivery(options, attempt=2)).result == "sent"
    assert [form["To"] for form in forms(server)] == [
        *("+905321234567", "+15551234567", "+15551234567"),
    ]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ((400, {}, b'{"code": 21211, "message": "The To number is not valid"}'), "refused"),
        ((400, {}, b'{"code": 21610, "message": "unsubscribed"}'), "refused"),
        ((401, {}, b'{"code": 20003, "message": "Authenticate"}'), "failed"),
        ((429, {}, b'{"code": 20429, "message": "Too Many Requests"}'), "failed"),
        ((500, {}, b'{"code": 20500, "message": "Internal Server Error"}'), "failed"),
        ((404, {}, b"nothing here"), "refused"),
        ((302, {"location": "http://127.0.0.1:9/"}, b""), "refused"),
    ],
)
def test_what_each_answer_means(server: Receiver, answer: Any, result: str):
    server.answers = [answer]
    outcome = send(server)
    assert outcome.result == result, outcome.detail
    assert "+905321234567 was not told" in outcome.detail
    assert len(server.requests) == 1


def test_twilio_away_failed():
    channel = open_channels(environ(f"http://127.0.0.1:{free_port()}"))["sms"]
    assert channel.send(delivery(TO)).result == "failed"


@pytest.mark.parametrize(
    "how",
    [
        *({"TWILIO_FROM": ""}, {"TWILIO_AUTH_TOKEN": ""}, {"TWILIO_ACCOUNT_SID": "AB12"}),
        *({"TWILIO_FROM": "ALPR"}, {"TWILIO_API_URL": "ftp://x"}),
    ],
)
def test_an_account_that_cannot_be_used_is_told_by_its_variable(how: dict[str, str]):
    outcome = open_channels(environ("http://127.0.0.1:9", **how))["sms"].send(delivery(TO))
    assert outcome.result == "refused"
    assert "TWILIO_" in outcome.detail or "http" in outcome.detail
    assert "AB12" not in outcome.detail


def test_a_long_message_keeps_plate_and_link():
    text = text_of(delivery(TO, alert=alert(message="x" * 400)))
    assert len(text) == 160
    assert text.startswith("34ABC123: Stolen vehicles")
    assert text.endswith(f"x... {PAGE}")


def test_one_sign_beyond_gsm_leaves_seventy():
    text = text_of(delivery(TO, alert=alert(rule="Çalıntı araçlar")))
    assert units(text, gsm=False) <= 70
    assert text.startswith("34ABC123: Çalıntı")
    assert text.endswith(f"… {PAGE}")


def test_a_link_that_is_too_long_is_left_out_whole():
    text = text_of(delivery(TO, page_url="https://alpr.example/" + "y" * 300))
    assert text.startswith("34ABC123")
    assert "https" not in text


def test_what_the_message_stands_for_is_said():
    others = (alert(), alert())
    assert text_of(delivery(TO, others=others, more=5)).startswith("34ABC123 (+7): ")
    assert text_of(delivery(TO, kind="withdrawn")).startswith("Withdrawn: 34ABC123: ")
    assert text_of(delivery(TO, kind="escalated")).startswith("Not acknowledged: 34ABC123")


def test_peoples_own_text_is_sent_with_the_link_they_ask_for():
    own = {**TO, "body": "Go to {zone}: {plate}"}
    assert text_of(delivery(own)) == "Go to North gate: 34ABC123"
    long = {**TO, "body": "{plate} " + "z" * 300 + " {link}"}
    text = text_of(delivery(long))
    assert text.startswith("34ABC123 zzz")
    assert text.endswith(f"z... {PAGE}")
    assert len(text) == 160


SIGNS = st.text(st.sampled_from("aZ9 €[]^ğşıЖ語😀👩‍🚒"), max_size=200)


@given(SIGNS, SIGNS, st.one_of(st.just(""), st.just(PAGE), SIGNS))
@example("34ABC123", "😀" * 40, "")
@example("34ABC123", "€" * 90, PAGE)
@example("34ABC123", "a" * 200, "ğ" * 100)
def test_it_is_always_one_message_with_whole_signs(start: str, rest: str, end: str):
    text = fitted(start, rest, end)
    assert units(text, gsm=is_gsm(text)) <= room_of(text)
    assert text.encode("utf-16-le").decode("utf-16-le") == text


@given(SIGNS, st.integers(0, 200))
def test_what_is_cut_is_the_beginning_and_as_much_as_there_is_room_for(text: str, most: int):
    gsm = is_gsm(text)
    kept = cut(text, most, gsm=gsm)
    assert text.startswith(kept)
    assert units(kept, gsm=gsm) <= most
    if kept != text:
        assert units(text[: len(kept) + 1], gsm=gsm) > most
