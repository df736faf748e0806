"""An alert to send, and those who take it: an HTTP server and a mail server on loopback."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from notify.channel import Delivery, Picture
from schemas.records import AlertEvent

AT = 1_781_550_000_123_456  # 15 June 2026, 19:00:00.123456 UTC
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
PICTURE = Picture("CAM-001-plate.jpg", "image/jpeg", JPEG)
PAGE = "https://alpr.example/alerts/5f0c"
PICTURE_URL = "https://alpr.example/pictures/abcdef"


def alert(**how: Any) -> AlertEvent:
    made: AlertEvent = {
        "alert_id": "5f0c0a3e-0000-5000-8000-000000000001",
        "kind": "raised",
        "at": AT,
        "rule": "Stolen vehicles",
        "rule_version": "0123456789ab",
        "event_id": "e-1",
        "revision": 1,
        "subject": "34ABC123",
        "plate": "34ABC123",
        "camera_id": "CAM-001",
        "severity": "critical",
        "message": "A plate of the list Stolen was seen",
        "actor": None,
        "comment": None,
        "count": 1,
        "event_ids": ["e-1"],
        "first_at": AT,
        "last_at": AT,
        "text": None,
        "confidence": 0.97,
        "site": "Headquarters",
        "zone": "North gate",
        "timezone": "Europe/Istanbul",
        "images": None,
        "watched": None,
        "was": [],
        "reason": None,
        "near_change": False,
    }
    return {**made, **how}  # type: ignore[typeddict-item]


def delivery(options: Mapping[str, Any], **how: Any) -> Delivery:
    given: dict[str, Any] = {
        "notification_id": "n-1",
        "kind": "raised",
        "alert": alert(),
        "attempt": 1,
        "page_url": PAGE,
        "picture_url": PICTURE_URL,
        "picture": PICTURE,
    }
    return Delivery(options=options, **(given | how))


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """``answers`` are (status, headers, body), one after the other; then 200."""

    port: int
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def receiver(certificate: Path | None = None) -> Iterator[Receiver]:
    """An HTTP server that keeps what it is sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.requests.append(Request(self.path, headers, body))
            status, told, answer = made.answers.pop(0) if made.answers else (200, {}, b"ok")
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who asks goes away in the middle of an answer, as tests want it

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Envelope:
    sender: str
    to: list[str]
    mail: EmailMessage
    raw: bytes
    tls: bool


class MailServer:
    """``refuse`` gives the answer to a recipient; ``password`` is needed where it is not ''."""

    def __init__(self, password: str = "", certificate: Path | None = None, tls: bool = False):
        self.refuse: dict[str, str] = {}
        self.data_answer = "250 taken"
        self.taken: list[Envelope] = []
        self.port = free_port()
        self._password = password
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        how: dict[str, Any] = {}
        if password:
            how |= {"authenticator": self._authenticate, "auth_required": True}
            how |= {"auth_require_tls": certificate is not None and not tls}
        if tls:
            how |= {"ssl_context": context}
        elif context is not None:
            how |= {"tls_context": context, "require_starttls": True}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **how)

    def _authenticate(self, server: Any, session: Any, envelope: Any, how: str, data: Any) -> Any:
        given = isinstance(data, LoginPassword) and data.password == self._password.encode()
        return AuthResult(success=given, handled=False)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        if self.data_answer.startswith("250"):
            tls = server.transport.get_extra_info("ssl_object") is not None
            self.taken.append(
                Envelope(envelope.mail_from, envelope.rcpt_tos, mail, envelope.content, tls)
            )
        return self.data_answer

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._controller.stop()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
