"""Email, over a real mail server."""

from pathlib import Path
from typing import Any

import pytest

from notify.channel import Outcome
from notify.channels import open_channels
from tests.eventlog.certificates import Authority
from tests.notify.channel_world import (
    JPEG,
    PAGE,
    MailServer,
    alert,
    delivery,
    free_port,
)

PASSWORD = "hunter22-of-the-mail"
TO = {"to": "guard@example.com"}


def environ(port: int, **how: str) -> dict[str, str]:
    given = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(port),
        "SMTP_FROM": "ALPR <alpr@example.com>",
        "SMTP_SECURITY": "none",
    }
    return given | how


def send(port: int, options: dict[str, Any] = TO, /, env: Any = (), **how: Any) -> Outcome:
    return open_channels(environ(port, **dict(env)))["email"].send(delivery(options, **how))


def test_a_message_holds_text_html_and_the_picture_between_its_lines():
    with MailServer() as server:
        outcome = send(server.port)
    assert (outcome.result, outcome.detail) == ("sent", "127.0.0.1 took it")
    [envelope] = server.taken
    assert (envelope.sender, envelope.to) == ("alpr@example.com", ["guard@example.com"])
    mail = envelope.mail
    assert mail["subject"] == "Alert: 34ABC123 – Stolen vehicles"
    assert mail["from"] == "ALPR <alpr@example.com>"
    assert mail["to"] == "guard@example.com"
    assert mail["x-alpr-notification"] == "n-1"
    assert mail["auto-submitted"] == "auto-generated"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert f"Alert:   {PAGE}" in text.get_content()
    assert 'src="cid:plate.jpg"' in html.get_content()
    [picture] = [part for part in mail.walk() if part.get_content_maintype() == "image"]
    assert picture["content-id"] == "<plate.jpg>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content_type() == "image/jpeg"
    assert picture.get_content() == JPEG


@pytest.mark.parametrize(
    ("options", "how"), [({**TO, "picture": False}, {}), (TO, {"picture": None})]
)
def test_without_a_picture_there_is_only_the_link(options: dict[str, Any], how: dict[str, Any]):
    with MailServer() as server:
        assert send(server.port, options, **how).result == "sent"
    mail = server.taken[0].mail
    assert mail.get_content_type() == "multipart/alternative"
    html = mail.get_body(("html",))
    assert html is not None
    assert "<img" not in html.get_content()
    assert "https://alpr.example/pictures/abcdef" in html.get_content()


def test_line_ends_in_what_was_read_make_no_header():
    evil = 'A\r\nBcc: evil@example.com\r\n\r\n<script>alert("1")</script>'
    options = {"to": "guard@example.com", "subject": "{plate}\r\nX-Own: 1 {rule}", "body": "{zone}"}
    with MailServer() as server:
        told = alert(plate=evil, rule=evil, zone=evil, message=evil, camera_id=evil)
        assert send(server.port, options, alert=told).result == "sent"
        assert send(server.port, {"to": ["guard@example.com"]}, alert=told).result == "sent"
    for envelope in server.taken:
        assert envelope.to == ["guard@example.com"]
        assert envelope.mail["bcc"] is None
        assert envelope.mail["x-own"] is None
        assert "Bcc: evil@example.com" in envelope.mail["subject"]
        html = envelope.mail.get_body(("html",))
        assert html is not None
        assert "<script" not in html.get_content()


def test_each_recipient_has_a_message_of_their_own():
    with MailServer() as server:
        options = {"to": "a@example.com", "recipients": ["b@example.com", "a@example.com"]}
        assert send(server.port, options).result == "sent"
        assert open_channels({})["email"].target(options) == "a@example.com, b@example.com"
    assert [envelope.to for envelope in server.taken] == [["a@example.com"], ["b@example.com"]]


def test_a_repeated_message_has_the_same_id_and_another_another():
    with MailServer() as server:
        for how in ({}, {"attempt": 2}, {"notification_id": "n-2"}):
            assert send(server.port, **how).result == "sent"
    first, second, other = (envelope.mail["message-id"] for envelope in server.taken)
    assert first == second != other
    assert first.endswith("@example.com>")


def test_who_had_it_is_left_out_when_it_is_tried_again():
    options = {"to": ["a@example.com", "busy@example.com"]}
    with MailServer() as server:
        server.refuse = {"busy@example.com": "451 greylisted"}
        channel = open_channels(environ(server.port))["email"]
        outcome = channel.send(delivery(options))
        assert outcome.result == "failed"
        assert "busy@example.com: 451 greylisted" in outcome.detail
        server.refuse = {}
        assert channel.send(delivery(options, attempt=2)).result == "sent"
    assert [envelope.to[0] for envelope in server.taken] == ["a@example.com", "busy@example.com"]


def test_a_recipient_that_there_is_not_is_refused():
    with MailServer() as server:
        server.refuse = {"gone@example.com": "550 no such user"}
        alone = send(server.port, {"to": "gone@example.com"})
        assert alone.result == "refused"
        assert "gone@example.com: 550 no such user" in alone.detail
        beside = send(server.port, {"to": ["gone@example.com", "a@example.com"]})
    assert beside.result == "sent"
    assert "but refused gone@example.com: 550 no such user" in beside.detail
    assert [envelope.to for envelope in server.taken] == [["a@example.com"]]


@pytest.mark.parametrize(
    ("answer", "result"), [("452 no room", "failed"), ("554 looks like spam", "refused")]
)
def test_what_the_server_says_of_the_message(answer: str, result: str):
    with MailServer() as server:
        server.data_answer = answer
        outcome = send(server.port)
    assert outcome.result == result
    assert answer in outcome.detail


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_with_tls_and_a_password(tmp_path: Path, security: str, monkeypatch: pytest.MonkeyPatch):
    authority = Authority(tmp_path / "ca")
    env = {"SMTP_SECURITY": security, "SMTP_USERNAME": "alpr", "SMTP_PASSWORD": PASSWORD}
    with MailServer(PASSWORD, authority.server(), tls=security == "tls") as server:
        untrusted = send(server.port, env=env)
        assert untrusted.result == "failed"
        assert "its certificate is not trusted" in untrusted.detail
        assert "SSL_CERT_FILE" in untrusted.detail
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert send(server.port, env=env).result == "sent"
        assert server.taken[0].tls
        wrong = send(server.port, env={**env, "SMTP_PASSWORD": "another-one"})
    # The operator mends it, and what waits goes out then.
    assert wrong.result == "failed"
    assert "correct SMTP_USERNAME and SMTP_PASSWORD" in wrong.detail
    assert "another-one" not in wrong.detail


def test_a_server_without_tls_is_given_no_password():
    env = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "alpr", "SMTP_PASSWORD": PASSWORD}
    with MailServer() as server:
        outcome = send(server.port, env=env)
    assert outcome.result == "failed"
    assert "STARTTLS" in outcome.detail
    assert server.taken == []


def test_a_server_that_is_away_failed():
    outcome = send(free_port())
    assert outcome.result == "failed"
    assert outcome.detail.startswith("127.0.0.1: ")
    assert "refused" in outcome.detail


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"SMTP_HOST": ""}, "SMTP_HOST is not set"),
        ({"SMTP_FROM": ""}, "SMTP_FROM is not set"),
        ({"SMTP_FROM": "nobody"}, "SMTP_FROM cannot be used"),
        ({"SMTP_SECURITY": "ssl3"}, "SMTP_SECURITY is none of none, starttls, tls"),
        ({"SMTP_PORT": "smtp"}, "SMTP_PORT is no number"),
    ],
)
def test_an_account_that_cannot_be_used_is_told_by_its_variable(env: dict[str, str], told: str):
    outcome = send(25, env=env)
    assert outcome.result == "refused"
    assert told in outcome.detail


def test_the_user_is_the_sender_where_no_other_is_named():
    with MailServer() as server:
        env = {"SMTP_FROM": "", "SMTP_USERNAME": "gate@example.com"}
        assert send(server.port, env=env).result == "sent"
    assert server.taken[0].sender == "gate@example.com"
