"""Webhooks: what is posted, how it is signed, and what each answer means."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from notify.channel import OptionsError
from notify.channels import open_channels
from tests.notify.channel_world import (
    PAGE,
    PICTURE_URL,
    Receiver,
    alert,
    delivery,
    free_port,
    receiver,
)

LOOPBACK = (ip_network("127.0.0.0/8"),)
DOCS = Path(__file__).parents[2] / "docs" / "channels.md"


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def send(environ: dict[str, str], options: dict[str, Any], allow: Any = LOOPBACK, **how: Any):
    return open_channels(environ, allow)["webhook"].send(delivery(options, **how))


def test_the_whole_alert_is_posted_as_json(server: Receiver):
    other = alert(alert_id="other", first_at=None)
    outcome = send(
        {}, {"url": f"{server.url}/hook?a=1"}, others=(other,), more=3, rule_description="D"
    )
    assert (outcome.result, outcome.detail) == ("sent", f"{server.url}/hook answered 200")
    [request] = server.requests
    assert request.path == "/hook?a=1"
    assert request.headers["content-type"] == "application/json"
    told = request.json
    times = dict.fromkeys(("at", "first_at", "last_at"), "2026-06-15T19:00:00.123456Z")
    assert told == {
        "id": "n-1",
        "kind": "raised",
        "alert": {**alert(), **times},
        "rule": {"name": "Stolen vehicles", "version": "0123456789ab", "description": "D"},
        "others": [{**other, **times, "first_at": None}],
        "more": 3,
        "links": {"page": PAGE, "picture": PICTURE_URL},
    }


def test_a_repeated_try_is_known_by_its_key(server: Receiver):
    for attempt in (1, 2):
        send({}, {"url": server.url}, attempt=attempt)
    assert [r.headers["idempotency-key"] for r in server.requests] == ["n-1", "n-1"]


def test_the_example_of_the_docs_verifies_what_is_sent(server: Receiver):
    code = re.search(r"```python\n(.*?def verify.*?)```", DOCS.read_text(), re.DOTALL)
    assert code is not None
    found: dict[str, Any] = {}
    exec(code[1], found)
    send({"WEBHOOK_SECRET": "s3cret-of-ours"}, {"url": server.url})
    [request] = server.requests
    stamp = int(request.headers["x-alpr-timestamp"])
    good = (request.headers, request.body)
    assert found["verify"]("s3cret-of-ours", *good, stamp + 10)
    assert not found["verify"]("another", *good, stamp)
    assert not found["verify"]("s3cret-of-ours", request.headers, request.body + b" ", stamp)
    assert not found["verify"]("s3cret-of-ours", *good, stamp + 3600)
    later = {**request.headers, "x-alpr-timestamp": str(stamp + 1)}
    assert not found["verify"]("s3cret-of-ours", later, request.body, stamp)
    assert not found["verify"]("s3cret-of-ours", {}, request.body, stamp)


def test_without_a_secret_nothing_is_signed(server: Receiver):
    send({}, {"url": server.url})
    assert "x-alpr-signature" not in server.requests[0].headers
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("environ", "options", "header", "value"),
    [
        ({"WEBHOOK_TOKEN": "t0ken"}, {}, "authorization", "Bearer t0ken"),
        ({"WEBHOOK_B": "t0ken"}, {"token_env": "WEBHOOK_B"}, "authorization", "Bearer t0ken"),
        ({"WEBHOOK_TOKEN": "t0ken"}, {"token_header": "X-API-Key"}, "x-api-key", "t0ken"),
        ({}, {"headers": {"X-Site": "HQ"}}, "x-site", "HQ"),
        ({}, {"headers": {"X-Site": "${HOME}"}}, "x-site", "${HOME}"),
    ],
)
def test_tokens_come_from_variables_and_further_headers_from_the_rule(
    server: Receiver, environ: dict[str, str], options: dict[str, Any], header: str, value: str
):
    assert send(environ, {"url": server.url, **options}).result == "sent"
    assert server.requests[0].headers[header] == value


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((200, "sent"), (201, "sent"), (204, "sent"), (302, "refused"), (400, "refused")),
        *((401, "refused"), (404, "refused"), (408, "failed"), (410, "refused"), (425, "failed")),
        *((429, "failed"), (500, "failed"), (503, "failed")),
    ],
)
def test_what_each_answer_means(server: Receiver, status: int, result: str):
    server.answers = [(status, {"retry-after": "30"}, b"no\r\nroom \x1b[31m here" + b"." * 500)]
    outcome = send({}, {"url": f"{server.url}/x"})
    assert outcome.result == result
    assert f"{server.url}/x answered {status}" in outcome.detail
    if result != "sent" and status != 302:
        assert ": no room [31m here..." in outcome.detail
        assert len(outcome.detail) < 300
    assert outcome.retry_after == (30.0 if result == "failed" else None)


def test_a_redirect_is_refused_with_the_host_it_leads_to(server: Receiver):
    server.answers = [(301, {"location": "https://new.example/hook?key=abc"}, b"")]
    outcome = send({}, {"url": server.url})
    assert outcome.result == "refused"
    assert "a redirect to new.example, which is not followed" in outcome.detail
    assert "abc" not in outcome.detail


def test_who_is_not_there_failed_and_may_come_back():
    outcome = send({}, {"url": f"http://127.0.0.1:{free_port()}/"})
    assert outcome.result == "failed"
    assert "cannot be reached" in outcome.detail


def test_a_rule_leads_into_the_private_network_only_where_that_is_allowed(server: Receiver):
    outcome = send({}, {"url": server.url}, allow=())
    assert outcome.result == "refused"
    assert "127.0.0.1" in outcome.detail
    assert "ALPR_NOTIFY_ALLOW" in outcome.detail
    assert server.requests == []


def test_a_url_of_the_environment_may_lead_there_and_is_not_shown(server: Receiver):
    options = {"url_env": "WEBHOOK_GATE"}
    environ = {"WEBHOOK_GATE": f"{server.url}/a-long-secret-path"}
    outcome = send(environ, options, allow=())
    assert (outcome.result, outcome.detail) == ("sent", "WEBHOOK_GATE answered 200")
    assert open_channels(environ)["webhook"].target(options) == "WEBHOOK_GATE"


@pytest.mark.parametrize("option", ["url_env", "secret_env", "token_env"])
def test_a_variable_that_is_named_must_be_set(server: Receiver, option: str):
    options = {"url": server.url} if option != "url_env" else {}
    outcome = send({}, {**options, option: "WEBHOOK_NONE"})
    assert outcome.result == "refused"
    assert "WEBHOOK_NONE is not set" in outcome.detail
    assert server.requests == []


def test_a_token_that_no_header_takes_is_named_and_not_shown(server: Receiver):
    for token in ("t0ken\r\nX-Evil: 1", "tökén1"):
        outcome = send({"WEBHOOK_TOKEN": token}, {"url": server.url})
        assert outcome.result == "refused"
        assert outcome.detail == "WEBHOOK_TOKEN holds signs that no header takes: correct it"
    assert server.requests == []


def test_a_target_has_no_query():
    channel = open_channels({})["webhook"]
    assert channel.target({"url": "https://a.example:8443/x?key=1#y"}) == "https://a.example:8443/x"
    with pytest.raises(OptionsError, match="url: the URL is neither http nor https"):
        channel.target({"url": "ftp://a.example"})
