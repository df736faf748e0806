"""A registry behind Confluent's API: who writes, who looks up, and what holds while it is away."""

import base64
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventlog.confluent import ConfluentRegistry
from eventlog.registry import SchemaConflict
from schemas.codec import Codec, DecodeError, NotRegistered, RegistryUnavailable
from schemas.publish import register, versions
from schemas.topics import RAW, TOPICS, subject
from tests.eventlog.certificates import Authority
from tests.servers import Registry

A = {"name": "a", "type": "int"}
B = {"name": "b", "type": ["null", "string"], "default": None}
C = {"name": "c", "type": "string"}


def record(*fields: Any) -> str:
    return json.dumps({"type": "record", "name": "R", "namespace": "t", "fields": fields})


@pytest.fixture
def name() -> str:
    """A subject of the test's own."""
    return f"t{secrets.token_hex(6)}/alpr.reads raw"


@pytest.fixture
def ours(registry: str, tmp_path: Path) -> Iterator[ConfluentRegistry]:
    found = ConfluentRegistry(registry, tmp_path, patience_s=0)
    yield found
    found.close()


def test_a_schema_keeps_its_id_and_is_held_to_full_transitive(
    ours: ConfluentRegistry, name: str
) -> None:
    first = ours.register(name, record(A))
    second = ours.register(name, record(A, B))
    assert first != second
    assert ours.register(name, record(A)) == first
    assert ours.compatibility(name) == "FULL_TRANSITIVE"
    assert json.loads(ours.schema(second)) == json.loads(record(A, B))
    assert name in ours.subjects()


def test_a_change_that_cannot_be_read_is_refused(ours: ConfluentRegistry, name: str) -> None:
    ours.register(name, record(A))
    with pytest.raises(SchemaConflict, match=r"alpr\.reads raw.*default"):
        ours.register(name, record(A, C))


def test_looking_up_finds_what_was_registered_and_registers_nothing(
    registry: str, ours: ConfluentRegistry, name: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyError):
        ours.find(name, record(A))
    first = ours.register(name, record(A))
    fresh = ConfluentRegistry(registry, tmp_path / "other", patience_s=0)
    assert fresh.find(name, record(A)) == first
    with pytest.raises(KeyError):
        fresh.find(name, record(A, B))


@pytest.mark.parametrize("number", [2_000_000_000, 2**31 - 1, 2**31, 2**32 - 1])
def test_an_id_that_nobody_gave_is_a_key_error(ours: ConfluentRegistry, number: int) -> None:
    with pytest.raises(KeyError):
        ours.schema(number)


def test_deploying_registers_every_published_version_as_often_as_it_is_done(
    ours: ConfluentRegistry,
) -> None:
    register(ours)
    register(ours)
    for topic in TOPICS.values():
        for kind in topic.records:
            for text in versions(kind).values():
                assert ours.find(subject(topic.name, kind), text) > 0


def test_running_code_without_a_deployment_is_told_the_command(
    ours: ConfluentRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.codec.subject", lambda topic, kind: f"never-{topic}-{kind}")
    with pytest.raises(NotRegistered, match="alpr topics create"):
        Codec(ours).encode(RAW.name, "Tick", {"at": 1})


# A registry of the test's own, to be away


def test_what_was_learnt_holds_while_the_registry_is_away_after_a_restart_too(
    own_server: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server(Registry)
    register(ConfluentRegistry(server.url, tmp_path))
    value = Codec(ConfluentRegistry(server.url, tmp_path)).encode(RAW.name, "Tick", {"at": 1})
    assert Codec(ConfluentRegistry(server.url, tmp_path)).decode(value)[0] == "Tick"
    server.stop()
    again = Codec(ConfluentRegistry(server.url, tmp_path, patience_s=0.5))
    assert again.encode(RAW.name, "Tick", {"at": 1}) == value
    assert again.decode(value) == ("Tick", {"at": 1})
    assert caplog.text.count("going on with what") == 1
    # What it cannot know is no unknown id: a good record must not become a dead letter.
    with pytest.raises(RegistryUnavailable, match="does not answer") as away:
        again.decode(b"\0\0\0\x7f\x7f\0")
    assert not isinstance(away.value, DecodeError)
    assert "ALPR_REGISTRY_URL" in str(away.value)


def nowhere() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://user:geheim@127.0.0.1:{probe.getsockname()[1]}"


def test_a_registry_that_is_away_is_asked_again_ever_more_slowly(tmp_path: Path) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    with pytest.raises(RegistryUnavailable) as error:
        ConfluentRegistry(nowhere(), tmp_path, patience_s=1.5, sleep=sleep).schema(1)
    assert pauses == [0.2, 0.4, 0.8]
    assert "geheim" not in str(error.value)


def test_a_file_that_is_damaged_or_cannot_be_written_is_told_and_stops_nothing(
    registry: str, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = ConfluentRegistry(registry, tmp_path).register(name, record(A))
    (file,) = tmp_path.glob("registry-*.json")
    file.write_text("{")
    assert ConfluentRegistry(registry, tmp_path).find(name, record(A)) == first
    assert "made anew" in caplog.text
    (tmp_path / "a file").touch()
    assert ConfluentRegistry(registry, tmp_path / "a file").find(name, record(A)) == first
    assert "cannot be" in caplog.text


def test_a_url_without_its_path_is_told(registry: str, tmp_path: Path) -> None:
    wrong = ConfluentRegistry(registry.split("/apis", maxsplit=1)[0], tmp_path, patience_s=0)
    with pytest.raises(RegistryUnavailable, match="path"):
        wrong.subjects()


class Maintenance(BaseHTTPRequestHandler):
    """A proxy's page in place of the registry's answers."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Back soon</h1>")

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_page_in_place_of_the_registry_says_nothing_of_a_schema(
    registry: str, tmp_path: Path, name: str, status: int
) -> None:
    page = ThreadingHTTPServer(("127.0.0.1", 0), type("Page", (Maintenance,), {"status": status}))
    threading.Thread(target=page.serve_forever, daemon=True).start()
    try:
        away = ConfluentRegistry(f"http://127.0.0.1:{page.server_port}", tmp_path, patience_s=0)
        for asked in (lambda: away.schema(1), lambda: away.find(name, record(A)), away.subjects):
            with pytest.raises(RegistryUnavailable, match="does not answer"):
                asked()
        away.close()
    finally:
        page.shutdown()
        page.server_close()


# Behind TLS and a password, as a proxy gives it


class Guard(BaseHTTPRequestHandler):
    """Passes what has the right password on to the registry behind."""

    behind: str
    authorization = "Basic " + base64.b64encode(b"alpr:p:w@rd").decode()

    def _pass(self) -> None:
        if self.headers.get("Authorization") != self.authorization:
            self.send_response(401)
            self.end_headers()
            return
        length = int(self.headers.get("Content-Length") or 0)
        answer = httpx.request(
            self.command,
            self.behind + self.path,
            content=self.rfile.read(length),
            headers={"Content-Type": self.headers.get("Content-Type") or ""},
        )
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = _pass

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def guarded(registry: str, tmp_path: Path) -> Iterator[tuple[str, Authority]]:
    """HOST:PORT/PATH of a proxy in TLS, and who signed its certificate."""
    authority = Authority(tmp_path / "authority")
    root, path = registry.split("/apis")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("G", (Guard,), {"behind": root}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server())
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/apis{path}", authority
    server.shutdown()


def test_a_registry_behind_tls_and_a_password_is_reached(
    guarded: tuple[str, Authority], tmp_path: Path, name: str
) -> None:
    place, authority = guarded
    url = f"https://alpr:p%3Aw%40rd@{place}?ca={authority.certificate}"
    ours = ConfluentRegistry(url, tmp_path, patience_s=0)
    assert ours.register(name, record(A)) == ours.find(name, record(A))
    assert "alpr" not in ours.shown.split("/apis")[0]


@pytest.mark.parametrize("account", ["", "alpr:wrong@"])
def test_a_refused_login_is_told_with_its_cure(
    guarded: tuple[str, Authority], tmp_path: Path, account: str
) -> None:
    place, authority = guarded
    ours = ConfluentRegistry(f"https://{account}{place}?ca={authority.certificate}", tmp_path)
    with pytest.raises(RegistryUnavailable, match=r"refuses us \(401\).*USER:PASSWORD"):
        ours.schema(1)


def test_an_unknown_authority_is_told_with_its_cure(
    guarded: tuple[str, Authority], tmp_path: Path
) -> None:
    with pytest.raises(RegistryUnavailable, match=r"no TLS.*ca=FILE"):
        ConfluentRegistry(f"https://{guarded[0]}", tmp_path).schema(1)
    with pytest.raises(RegistryUnavailable, match=r"no\.pem.*PEM file"):
        ConfluentRegistry(f"https://{guarded[0]}?ca=/no.pem", tmp_path)
