"""Posting to addresses of rules: where they may lead, and what is made of the answer."""

import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify import net
from notify.net import Post, Unreachable, Unusable, check, is_public
from tests.eventlog.certificates import Authority
from tests.notify.channel_world import Receiver, free_port, receiver

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
        *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1"),
        *("198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd12:3456::1"),
        *("ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe"),
        *("::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2002:c0a8:101::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1"),
    ],
)
def test_addresses_of_private_networks_are_none_of_the_open_internet(address: str):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_others_are(address: str):
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_when_it_is_wrapped_in_ipv6(address: Any):
    assert is_public(ip_address(f"::ffff:{address}")) == is_public(address)
    sixtofour = ip_address(int(ip_address("2002::")) | int(address) << 80)
    assert not is_public(sixtofour) or is_public(address)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://example.com/x", "neither http nor https"),
        ("file:///etc/passwd", "neither http nor https"),
        ("//example.com/x", "neither http nor https"),
        ("https:///x", "names no host"),
        ("https://user:hunter22@example.com/", "user or password"),
        ("https://example.com@10.0.0.1/", "user or password"),
        ("https://example.com\\@10.0.0.1/", "user or password"),
        ("https://example.com\\.evil/", "written"),
        ("https://exa mple.com/", "space"),
        ("https://example.com/\r\nX: y", "space"),
        ("https://example.com:99999/", "cannot be read"),
        ("https://example.com:0/", "names no host"),
        ("https://[::1/", "cannot be read"),
        ("https://%31%32%37.0.0.1/", "names no host"),
        ("https://münchen.example/", "beyond ASCII"),
    ],
)
def test_a_url_that_could_be_read_otherwise_than_it_is_meant_is_refused(url: str, told: str):
    with pytest.raises(Unusable) as error:
        check(url)
    assert told in str(error.value) or "ASCII" in str(error.value)
    assert "hunter22" not in str(error.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "017700000001",
    ],
)
def test_however_loopback_is_written_nothing_is_sent_there(server: Receiver, host: str):
    with pytest.raises((Unusable, Unreachable)) as error:
        Post()(f"http://{host}:{server.port}/", b"{}", {})
    if isinstance(error.value, Unusable):
        assert "ALPR_NOTIFY_ALLOW" in str(error.value)
    assert server.requests == []


def test_networks_that_are_allowed_are_posted_to(server: Receiver):
    answer = Post(LOOPBACK)(f"{server.url}/a?b=c", b'{"x":1}', {"X-Own": "1"})
    assert (answer.status, answer.text) == (200, "ok")
    [request] = server.requests
    assert (request.path, request.body) == ("/a?b=c", b'{"x":1}')
    assert request.headers["x-own"] == "1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_what_the_operator_set_may_lead_anywhere(server: Receiver):
    assert Post()(server.url, b"", {}, trusted=True).status == 200


def test_a_name_is_looked_up_once_and_the_connection_goes_to_the_checked_address(server: Receiver):
    asked: list[str] = []

    def rebinding(host: str, port: int, **_: Any) -> list[Any]:
        """A name server that gives a harmless address first, and then another."""
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.99"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    post = Post((ip_network("127.0.0.1/32"),), resolve=rebinding)
    assert post(f"http://hook.example:{server.port}/", b"", {}).status == 200
    assert asked == ["hook.example"]
    assert server.requests[0].headers["host"] == f"hook.example:{server.port}"
    with pytest.raises(Unusable, match=r"127\.0\.0\.99"):
        post(f"http://hook.example:{server.port}/", b"", {})


def test_one_private_address_among_those_of_a_name_is_enough_to_refuse_it(server: Receiver):
    def mixed(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("8.8.8.8", port)), (2, 1, 6, "", ("10.0.0.1", port))]

    with pytest.raises(Unusable, match=r"10\.0\.0\.1"):
        Post(resolve=mixed)("http://hook.example/", b"", {})


def test_the_next_address_of_a_name_is_tried_where_one_does_not_answer(server: Receiver):
    def two(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.77", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    assert Post(LOOPBACK, resolve=two)(f"http://a.example:{server.port}/", b"", {}).status == 200


def test_proxies_of_the_environment_are_not_asked(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, server.url)
    with pytest.raises(Unusable):
        Post()("http://127.0.0.1:9/", b"", {})
    assert server.requests == []


def test_a_redirect_is_not_followed(server: Receiver):
    server.answers = [(302, {"location": "http://10.0.0.1/x?token=s3cret"}, b"")]
    answer = Post(LOOPBACK)(server.url, b"", {})
    assert (answer.status, answer.leads_to) == (302, "10.0.0.1")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("999999", 3600.0),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ],
)
def test_a_pause_that_is_asked_for_is_told(server: Receiver, text: str, seconds: float | None):
    server.answers = [(429, {"retry-after": text}, b"")]
    assert Post(LOOPBACK)(server.url, b"", {}).retry_after == seconds


def test_of_a_long_answer_only_the_beginning_is_read(server: Receiver):
    server.answers = [(500, {}, b"x" * 5_000_000)]
    assert len(Post(LOOPBACK)(server.url, b"", {}).text) == net.KEPT


def test_who_drips_an_answer_is_left_in_time():
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        there, _ = listener.accept()
        with there:
            while not ended.wait(0.05):
                try:
                    there.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(Unreachable):
            Post(LOOPBACK, limit_s=0.5)(f"http://127.0.0.1:{listener.getsockname()[1]}", b"", {})
        assert time.monotonic() - began < 2
    finally:
        ended.set()
        thread.join(5)
        listener.close()


def test_who_never_answers_and_who_is_not_there_are_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unreachable, match="did not answer in time"):
            Post(LOOPBACK, limit_s=0.3)(url, b"", {})
    with pytest.raises(Unreachable, match="cannot be reached"):
        Post(LOOPBACK)(f"http://127.0.0.1:{free_port()}/", b"", {})
    with pytest.raises(Unreachable, match="its name is not found"):
        Post()("http://nobody.invalid/", b"", {})


def test_tls_is_checked_against_the_name_in_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    authority = Authority(tmp_path / "ca")

    def here(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    with receiver(authority.server()) as server:
        url = f"https://localhost:{server.port}/"
        with pytest.raises(Unreachable, match="not trusted"):
            Post(LOOPBACK)(url, b"", {})
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert Post(LOOPBACK)(url, b"{}", {}).status == 200
        with pytest.raises(Unreachable, match="not trusted"):
            Post(LOOPBACK, resolve=here)(f"https://other.example:{server.port}/", b"", {})
        with pytest.raises(Unreachable, match=r"broke|reached"):
            Post(LOOPBACK)(f"http://localhost:{server.port}/", b"", {})
