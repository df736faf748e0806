"""The API by https: with the certificate that is given, renewed under way, or a cause why not."""

import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.app import create_app
from api.guard import COOKIE
from api.serve import Certificate, ServeError, Server
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from tests.api.world import World


def made(folder: Path, *, passphrase: bytes | None = None) -> Certificate:
    """A certificate that speaks for itself, of 127.0.0.1 for a day, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    chain, private = folder / "cert.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption(),
        )
    )
    return Certificate(chain, private)


def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.chain)


Serving = Callable[[Certificate], AbstractContextManager[int]]


@pytest.fixture
def serving(queries: SightingQueries, world: World, keys: AccessKeys) -> Serving:
    """Serves by a certificate; the port."""
    app = create_app(queries, world.pictures, keys=keys)
    return lambda certificate: _serving(Server(app, certificate=certificate))


@contextmanager
def _serving(server: Server) -> Iterator[int]:
    server.config.port = 0
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def serial(port: int) -> int:
    """Which certificate a server shows to who connects now."""
    return x509.load_pem_x509_certificate(
        ssl.get_server_certificate(("127.0.0.1", port), timeout=30).encode()
    ).serial_number


def test_who_trusts_the_certificate_is_answered_and_told_to_come_by_https_alone(
    serving: Serving, keys: AccessKeys, tmp_path: Path
):
    certificate = made(tmp_path)
    _, key = keys.create("gate", Role.VIEWER, timedelta(hours=1))
    with serving(certificate) as port:
        address = f"https://127.0.0.1:{port}"
        with httpx.Client(verify=trusting(certificate), base_url=address, timeout=30) as client:
            answer = client.get("/stats", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
            cookie = client.post("/login", data={"key": key}, headers={"origin": address})
            assert COOKIE in cookie.headers["set-cookie"]
            assert "; secure" in cookie.headers["set-cookie"].lower()
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            httpx.get(f"{address}/health", timeout=30)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)


def test_a_certificate_that_is_written_anew_is_taken_up_and_a_broken_one_is_not(
    serving: Serving,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr("api.serve._TICKS", 1)
    certificate = made(tmp_path / "used")
    after = made(tmp_path / "after")
    with serving(certificate) as port:
        first = serial(port)
        # Renewed as a program does it, one file after the other: between them they do not match.
        _replace(after.chain, certificate.chain)
        within(lambda: "is kept" in caplog.text)
        assert serial(port) == first
        _replace(after.key, certificate.key)
        within(lambda: serial(port) != first)
        with httpx.Client(verify=trusting(after), timeout=30) as client:
            assert client.get(f"https://127.0.0.1:{port}/health").status_code == 200


def _replace(source: Path, target: Path) -> None:
    beside = target.with_suffix(".new")
    shutil.copy(source, beside)
    os.replace(beside, target)


def within(true: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.05)


@pytest.mark.parametrize("broken", ["other key", "passphrase", "no chain", "no key", "rubbish"])
def test_a_pair_that_cannot_be_used_is_named_with_the_cure(tmp_path: Path, broken: str):
    given = made(tmp_path / "pair", passphrase=b"secret" if broken == "passphrase" else None)
    if broken == "other key":
        given = Certificate(given.chain, made(tmp_path / "other").key)
    elif broken == "rubbish":
        given.chain.write_text("no certificate")
    elif broken in ("no chain", "no key"):
        (given.chain if broken == "no chain" else given.key).unlink()
    with pytest.raises(ServeError, match=r"ALPR_TLS_CERT and ALPR_TLS_KEY name PEM files") as told:
        given.load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    assert str(given.chain) in str(told.value)
    assert str(given.key) in str(told.value)


def test_alpr_api_does_not_start_with_half_a_pair_or_a_bad_one(tmp_path: Path, postgres_url: str):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    environ = {
        **kept,
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_DATABASE_URL": postgres_url,
        "ALPR_TLS_CERT": str(made(tmp_path).chain),
    }

    def told(code: int, **settings: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "alpr", "api", "--port", "0"],
            env=environ | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stderr

    assert "ALPR_TLS_KEY is not" in told(2)
    assert "name PEM files that belong together" in told(1, ALPR_TLS_KEY=str(tmp_path / "no.pem"))
