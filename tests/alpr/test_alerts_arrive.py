"""A car drives by and is on a list: `alpr up` tells a mail server, a webhook, a chat."""

import email
import email.policy
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import yaml
from aiosmtpd.controller import Controller

from training.driveby import Truth, render

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECRET, TOKEN = "signed with this", "let me in"
LIST = "wanted"


class Mailbox:
    """A real SMTP server that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[email.message.EmailMessage] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.messages.append(message)
        return "250 kept"

    def close(self) -> None:
        self._controller.stop()


class Receiver:
    """An HTTP server that keeps requests: path, headers, body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                kept.append((self.path, headers, body))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def to(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for at, headers, body in list(self.requests) if at == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    path = tmp_path_factory.mktemp("clip") / "drive-by.mp4"
    return path, render(path, seconds=12)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with closing(Mailbox()) as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as found:
        yield found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def wait(what: Any, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def test_a_listed_car_is_told_by_mail_with_its_picture_by_signed_webhook_and_in_the_chat(
    tmp_path: Path, clip: tuple[Path, Truth], mailbox: Mailbox, receiver: Receiver
):
    video, truth = clip
    wanted = truth.plates[-1].plate
    port = free_port()
    rules = tmp_path / "alert_rules.yaml"
    rules.write_text(
        yaml.safe_dump(
            {
                "rules": [
                    {
                        "name": "Wanted",
                        "description": "Somebody asks for this car",
                        "severity": "critical",
                        "conditions": {"watchlist": LIST},
                        "actions": [
                            {
                                "type": "email",
                                "to": "guard@example.com",
                                "subject": "Seen: {plate}",
                            },
                            {"type": "webhook", "url": f"{receiver.url}/hook"},
                            {"type": "slack", "channel": "#gate"},
                        ],
                    }
                ]
            }
        )
    )
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(
        yaml.safe_dump({"cameras": [{"id": "GATE-1", "source": str(video), "zone": "Entrance"}]})
    )
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")} | {
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_CAMERAS": str(cameras),
        "ALPR_ALERT_RULES": str(rules),
        "ALPR_API_PORT": str(port),
        "ALPR_NOTIFY_ALLOW": "127.0.0.1",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "alpr@example.com",
        "SLACK_WEBHOOK_URL": f"{receiver.url}/slack",
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_TOKEN": TOKEN,
    }
    command = [sys.executable, "-m", "alpr"]
    subprocess.run(
        [*command, "watchlist", "add", wanted, "--list", LIST, "--reason", "stolen"],
        env=environ, cwd=ROOT, check=True,
    )  # fmt: skip
    with ExitStack() as stack:
        out = stack.enter_context((tmp_path / "up.txt").open("wb"))
        up = subprocess.Popen([*command, "up"], env=environ, cwd=ROOT, stdout=out, stderr=out)
        stack.callback(up.wait)
        stack.callback(up.send_signal, signal.SIGINT)

        message = wait(lambda: mailbox.messages and mailbox.messages[0])
        assert message["subject"] == f"Seen: {wanted}"
        assert message["to"] == "guard@example.com"
        plain = message.get_body(("plain",))
        html = message.get_body(("html",))
        assert wanted in plain.get_content()
        assert wanted in html.get_content()
        pictures = [
            part.get_payload(decode=True)
            for part in message.walk()
            if part.get_content_maintype() == "image"
        ]
        decoded = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert min(decoded.shape[:2]) > 8

        headers, body = wait(lambda: receiver.to("/hook"))[0]
        signed = f"{headers['x-alpr-timestamp']}.".encode() + body
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert headers["x-alpr-signature"] == f"v1={expected}"
        assert abs(time.time() - float(headers["x-alpr-timestamp"])) < 120
        assert headers["authorization"] == f"Bearer {TOKEN}"
        told = json.loads(body)
        assert headers["idempotency-key"]
        assert told["kind"] == "raised"
        assert told["alert"]["plate"] == wanted
        assert told["alert"]["watched"]["reason"] == "stolen"

        _, chat = wait(lambda: receiver.to("/slack"))[0]
        posted = json.loads(chat)
        assert posted["channel"] == "#gate"
        assert wanted in posted["text"]
        assert posted["blocks"]

        api = f"http://127.0.0.1:{port}"
        alert = wait(lambda: httpx.get(f"{api}/alerts").json()["alerts"])[0]
        assert alert["plate"] == wanted
        httpx.post(f"{api}/alerts/{alert['alert_id']}/acknowledge", json={}).raise_for_status()
        wait(
            lambda: httpx.get(f"{api}/alerts/{alert['alert_id']}").json()["state"] == "acknowledged"
        )
        time.sleep(2)
    said = (tmp_path / "up.txt").read_text()
    assert SECRET not in said
    assert TOKEN not in said
    # Once each, and only of the car that is on the list.
    assert [m["subject"] for m in mailbox.messages] == [f"Seen: {wanted}"]
    assert len(receiver.to("/hook")) == 1
    assert len(receiver.to("/slack")) == 1
