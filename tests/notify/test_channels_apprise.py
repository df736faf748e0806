"""Any service of Apprise, by a URL that stands in the environment."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from notify.channel import Outcome
from notify.channels import open_channels
from tests.notify.channel_world import JPEG, PAGE, Receiver, delivery, free_port, receiver

OPTIONS = {"url_env": "APPRISE_GUARDS"}


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def send(url: str, options: Any = OPTIONS, **how: Any) -> Outcome:
    return open_channels({"APPRISE_GUARDS": url})["apprise"].send(delivery(options, **how))


def test_a_service_that_takes_json_has_text_and_picture(server: Receiver):
    outcome = send(f"json://127.0.0.1:{server.port}/hook")
    assert (outcome.result, outcome.detail) == ("sent", "json (APPRISE_GUARDS) was told")
    told = server.requests[0].json
    assert told["title"] == "Alert: 34ABC123 – Stolen vehicles"
    assert PAGE in told["message"]
    [picture] = told["attachments"]
    assert base64.b64decode(picture["base64"]) == JPEG
    assert picture["mimetype"] == "image/jpeg"


def test_ntfy_is_told_as_it_wants(server: Receiver):
    outcome = send(f"ntfy://127.0.0.1:{server.port}/gate", {**OPTIONS, "picture": False})
    assert outcome.result == "sent"
    told = server.requests[0].json
    assert told["topic"] == "gate"
    assert "34ABC123" in told["title"]


def test_subject_and_body_may_be_ones_own(server: Receiver):
    own = {**OPTIONS, "subject": "{severity}", "body": "<b>{plate}</b>", "picture": False}
    assert send(f"json://127.0.0.1:{server.port}/", own).result == "sent"
    told = server.requests[0].json
    assert told["title"] == "critical"
    assert "<b>34ABC123</b>" in told["message"]
    assert told["attachments"] == []


@pytest.mark.parametrize(
    ("status", "result"),
    [(400, "refused"), (401, "failed"), (404, "refused"), (429, "failed"), (500, "failed")],
)
def test_what_each_answer_means(server: Receiver, status: int, result: str):
    server.answers = [(status, {}, b"")] * 2
    outcome = send(f"json://127.0.0.1:{server.port}/", {**OPTIONS, "picture": False})
    assert outcome.result == result, outcome.detail
    assert "json (APPRISE_GUARDS) was not told" in outcome.detail
    assert len(server.requests) == 1


def test_a_service_that_is_away_failed():
    outcome = send(f"json://127.0.0.1:{free_port()}/")
    assert outcome.result == "failed"


def test_the_queue_tries_again_and_not_apprise(server: Receiver):
    server.answers = [(500, {}, b"")] * 4
    send(f"json://127.0.0.1:{server.port}/?retry=3&wait=0", {**OPTIONS, "picture": False})
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("dbus://", "gnome://", "windows://", "macosx://", "syslog://", "DBUS://", "kde://"),
        *("nothing://at/all", "https://example.com/config", "file:///etc/passwd", "no url"),
        *("json://", "tgram://wrong"),
    ],
)
def test_what_reaches_nobody_is_refused(url: str):
    outcome = send(url)
    assert outcome.result == "refused", outcome.detail
    assert "APPRISE_GUARDS" in outcome.detail


def test_an_unset_variable_is_named():
    outcome = open_channels({})["apprise"].send(delivery(OPTIONS))
    assert outcome.result == "refused"
    assert "APPRISE_GUARDS is not set" in outcome.detail


def test_the_target_names_service_and_variable():
    url = "tgram://123456789:abcdefg_hijklmnop/12315544/"
    assert open_channels({"APPRISE_GUARDS": url})["apprise"].target(OPTIONS) == (
        "tgram (APPRISE_GUARDS)"
    )
    assert open_channels({})["apprise"].target(OPTIONS) == "APPRISE_GUARDS"
