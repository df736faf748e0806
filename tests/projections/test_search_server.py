"""Who may: TLS and passwords before OpenSearch, and what is said where they are wrong."""

import http.client
import ssl
import subprocess
import threading
from base64 import b64encode
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from projections.errors import AccessRefused, ViewMismatch, ViewUnavailable
from projections.search_contents import search_contents
from projections.search_server import SearchServer
from projections.search_view import SearchView
from tests.projections.sightings import LOG, sighting

ACCOUNT = b64encode("alpr:pä:ss@wörd".encode()).decode()


class Proxy(BaseHTTPRequestHandler):
    """A server with TLS and basic authentication before a real OpenSearch."""

    behind = ""
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("authorization") != f"Basic {ACCOUNT}":
            self._answer(401, b"Unauthorized", "text/plain")
            return
        with closing(http.client.HTTPConnection(urlsplit(self.behind).netloc)) as connection:
            kind = {"content-type": self.headers.get("content-type") or "application/json"}
            connection.request(self.command, self.path, body, kind)
            answer = connection.getresponse()
            self._answer(answer.status, answer.read(), answer.headers["content-type"])

    do_GET = do_PUT = do_POST = do_DELETE = _pass

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing to say."""


@pytest.fixture
def secured(search, tmp_path):
    """Port of the proxy and the file of its CA."""
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    Proxy.behind = search
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, certificate
        server.shutdown()


def test_the_view_is_written_over_tls_with_a_password(secured):
    port, ca = secured
    url = f"https://alpr:p%C3%A4%3Ass%40w%C3%B6rd@127.0.0.1:{port}?ca={ca}"
    with closing(SearchView(url, LOG)) as view:
        view.apply(0, 0, [sighting(1)], 1)
    assert len(list(search_contents(url))) == 1


def test_a_wrong_password_is_told_and_not_shown(secured):
    port, ca = secured
    with pytest.raises(AccessRefused, match="user and password of ALPR_SEARCH_URL") as error:
        SearchView(f"https://alpr:guessed@127.0.0.1:{port}?ca={ca}", LOG)
    assert "guessed" not in str(error.value)


def test_a_certificate_of_an_unknown_ca_is_told_with_its_cure(secured):
    port, _ = secured
    with pytest.raises(AccessRefused, match=r"not trusted .*\?ca=FILE"):
        SearchView(f"https://alpr:x@127.0.0.1:{port}", LOG)


def test_tls_to_a_server_without_it_is_told(search):
    port = urlsplit(search).port
    with pytest.raises((AccessRefused, ViewUnavailable), match=r"TLS|SSL"):
        SearchView(f"https://127.0.0.1:{port}", LOG)


def test_a_ca_that_is_no_file_is_told():
    with pytest.raises(AccessRefused, match="ca=/nowhere"):
        SearchServer("https://127.0.0.1:1?ca=/nowhere")


def test_nobody_there_is_worth_waiting_for():
    with pytest.raises(ViewUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        SearchView("http://127.0.0.1:1", LOG)


def test_another_program_at_the_address_is_told():
    class Other(Proxy):
        def _pass(self) -> None:
            self._answer(200, b"<html>hello</html>", "text/html")

        do_GET = _pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ViewMismatch, match="is ALPR_SEARCH_URL right"):
            SearchView(f"http://127.0.0.1:{server.server_port}", LOG)
        server.shutdown()
