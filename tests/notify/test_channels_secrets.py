"""No secret of the environment is in what channels say, whatever goes wrong."""

import logging
import traceback
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channel import OptionsError
from notify.channels import open_channels
from notify.channels.environment import Environment
from tests.notify.channel_world import MailServer, Receiver, delivery, free_port, receiver

# Markers that the forms of all these services take, and that are looked for everywhere.
MARK = "5ec12e7ab1e5"
ALLOW = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def environ(port: int, mail: int) -> dict[str, str]:
    here = f"127.0.0.1:{port}"
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "alpr@example.com",
        "SMTP_USERNAME": "alpr",
        "SMTP_PASSWORD": f"smtp {MARK}",
        "SLACK_WEBHOOK_URL": f"http://{here}/services/T01/B01/{MARK}",
        "WEBHOOK_SECRET": f"hook-{MARK}",
        "WEBHOOK_TOKEN": f"tok-{MARK}",
        "WEBHOOK_URL": f"http://{here}/{MARK}?key={MARK}",
        "TWILIO_ACCOUNT_SID": f"AC{MARK}",
        "TWILIO_AUTH_TOKEN": f"{MARK}{MARK}",
        "TWILIO_FROM": "+15005550006",
        "TWILIO_API_URL": f"http://{here}",
        "APPRISE_A": f"json://user:{MARK}@{here}/{MARK}?-token={MARK}",
        "APPRISE_B": f"tgram://123456789:{MARK}_hijklmnop{MARK}/12315544/",
        "APPRISE_C": f"nothing://{MARK}",
        "APPRISE_D": f"discord://{MARK}/{MARK}",
        "NOTIFY_A": MARK,
        "DATABASE_URL": f"postgresql://a:{MARK}@b/c",
    }


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("email", {"to": ["a@example.com", "b@example.com"]}),
    ("slack", {}),
    ("slack", {"url_env": "SLACK_NONE"}),
    ("webhook", {"url": "HERE"}),
    ("webhook", {"url": "HERE", "token_header": "X-Key", "token_env": "NOTIFY_A"}),
    ("webhook", {"url_env": "WEBHOOK_URL"}),
    ("webhook", {"url_env": "WEBHOOK_TOKEN"}),
    ("webhook", {"url_env": "DATABASE_URL"}),
    ("sms", {"to": "+905321234567"}),
    ("apprise", {"url_env": "APPRISE_A"}),
    ("apprise", {"url_env": "APPRISE_C"}),
]


def echo(status: int, env: dict[str, str], turn: int) -> tuple[int, dict[str, str], bytes]:
    """An answer that repeats all it could have been sent, in the ways that servers write it.

    Each time it begins with another, for of a long answer only the beginning is shown.
    """
    said: list[str] = []
    for name, value in env.items():
        if name == "DATABASE_URL":  # which is never sent, so no server could repeat it
            continue
        said += [value, quote(value, safe=""), b64encode(value.encode()).decode()]
    account = f"{env['TWILIO_ACCOUNT_SID']}:{env['TWILIO_AUTH_TOKEN']}"
    said += [b64encode(account.encode()).decode(), MARK.upper()]
    said = said[turn % len(said) :] + said[: turn % len(said)]
    return status, {"location": f"http://{MARK}/"}, " ".join(said).encode()


@pytest.mark.parametrize("debug", [False, True])
def test_every_failure_is_told_without_secrets(
    server: Receiver, caplog: pytest.LogCaptureFixture, debug: bool, tmp_path: Path
):
    caplog.set_level(logging.DEBUG if debug else logging.INFO)
    for name in ("apprise", "urllib3", "httpcore", "notify", "smtplib"):
        caplog.set_level(logging.DEBUG if debug else logging.INFO, name)
    told: list[str] = []
    with MailServer("the right one") as mail:
        for port in (server.port, free_port()):
            for smtp in (mail.port, free_port()):
                env = environ(port, smtp)
                channels = open_channels(env, ALLOW)
                told += [repr(channels), *(repr(vars(c)) for c in channels.values())]
                for status in (400, 401, 302, 429, 500):
                    if smtp != mail.port and status != 400:
                        continue
                    for type, options in CALLS:
                        server.answers = [echo(status, env, len(told))] * 3
                        here = {**options, "url": f"http://127.0.0.1:{port}/"}
                        given = here if options.get("url") else options
                        outcome = channels[type].send(delivery(given))
                        assert outcome.result != "sent", (type, options, outcome)
                        told.append(outcome.detail)
                        try:
                            told.append(channels[type].target(given))
                        except OptionsError:
                            told.append(traceback.format_exc())
    told += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    if debug:
        told += [str(record.args) for record in caplog.records]
    found = [text for text in told if MARK in text.lower() or b64(MARK) in text]
    assert found == []
    assert len(told) > 100


def test_what_other_threads_log_of_apprise_is_left_alone(caplog: pytest.LogCaptureFixture):
    open_channels({"APPRISE_C": "nothing://x"})["apprise"].send(delivery({"url_env": "APPRISE_C"}))
    logging.getLogger("apprise").warning("of another program")
    assert "of another program" in caplog.text


@given(st.text(min_size=4, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_is_hidden_in_any_text(secret: str, before: str, after: str):
    value = secret.strip()
    hidden = Environment({"WEBHOOK_TOKEN": secret}).hide(f"{before}{value}{after}")
    if len(value) >= 4:
        assert value not in hidden.replace("***", "\0")
        quoted = Environment({"WEBHOOK_TOKEN": secret}).hide(quote(value, safe=""))
        assert quoted == "***"


def test_what_is_no_secret_is_shown():
    environment = Environment(environ(80, 25))
    plain = "127.0.0.1 alpr@example.com +15005550006 services T01 none"
    assert environment.hide(plain) == plain
    assert MARK not in repr(environment)


def b64(text: str) -> str:
    return b64encode(text.encode()).decode().rstrip("=")
