"""`alpr api` as a process: where it listens, and whom it answers there."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from projections.access import AccessKeys, Role
from tests.api.world import World

LINK = re.compile(r"http://\S+/login#token=(first_[a-z2-7]{52})\b")


class Api:
    """A process and what it has printed."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        assert process.stderr
        self._reader = threading.Thread(target=self.lines.extend, args=(process.stderr,))
        self._reader.start()

    def link(self) -> str:
        """The first administrator's, once it is printed."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if found := LINK.search("".join(self.lines)):
                return found[1]
            time.sleep(0.05)
        raise AssertionError("no link was printed: " + "".join(self.lines))

    def end(self) -> str:
        """Everything it printed."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self._reader.join(5)
        return "".join(self.lines)


@contextmanager
def alpr_api(url: str, home: Path, *flags: str, **settings: str) -> Iterator[Api]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    environ = kept | {"ALPR_HOME": str(home), "ALPR_DATABASE_URL": url, **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "alpr", "api", "--port", str(port), *flags],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    api = Api(process, port)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.TransportError:
                assert process.poll() is None, "".join(api.lines)
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.1)
        yield api
    finally:
        process.kill()
        process.wait()


def machines_address() -> str:
    """An address of this machine that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; RFC 5737
        except OSError:
            pytest.skip("this machine has no address beyond loopback")
        return probe.getsockname()[0]


def test_by_itself_it_listens_on_loopback_alone_and_asks_for_no_key(world: World, tmp_path: Path):
    with alpr_api(world.url, tmp_path) as api:
        assert httpx.get(f"http://127.0.0.1:{api.port}/stats").status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{machines_address()}:{api.port}/stats")
        assert "token" not in api.end()


@pytest.mark.parametrize("how", ["setting", "flag"])
def test_beyond_loopback_everybody_is_asked_for_a_key(world: World, tmp_path: Path, how: str):
    flags, settings = ((), {"ALPR_API_HOST": "0.0.0.0"})
    if how == "flag":
        flags, settings = (("--host", "0.0.0.0"), {})
    keys = AccessKeys(world.url)
    _, key = keys.create("program", Role.VIEWER, timedelta(hours=1))
    keys.close()
    with alpr_api(world.url, tmp_path, *flags, **settings) as api:
        for host in (machines_address(), "127.0.0.1"):
            asked = f"http://{host}:{api.port}/events/plate/SECRETPLATE"
            assert httpx.get(asked).status_code == 401
            assert httpx.get(asked, headers={"x-api-key": key}).status_code == 200
        printed = api.end()
    assert "SECRETPLATE" not in printed
    assert key not in printed


def test_the_first_link_is_printed_until_it_made_an_administrator_and_then_never_again(
    world: World, tmp_path: Path
):
    required = {"ALPR_API_AUTH": "required"}
    with alpr_api(world.url, tmp_path, **required) as one:
        first = one.link()
        one.end()
    with alpr_api(world.url, tmp_path, **required) as two:
        assert two.link() != first
        address = f"http://127.0.0.1:{two.port}"
        assert httpx.get(f"{address}/stats").status_code == 401
        with httpx.Client(base_url=address) as client:
            assert client.post("/login", data={"key": first}).status_code == 200
            assert client.get("/stats").status_code == 200
        assert two.end().count("#token=") == 1
    with alpr_api(world.url, tmp_path, **required) as three:
        assert httpx.get(f"http://127.0.0.1:{three.port}/stats").status_code == 401
        time.sleep(1)
        assert "token" not in three.end()


def test_while_the_database_is_away_nobody_gets_in(tmp_path: Path):
    away = "postgresql://someone:secret@127.0.0.1:1/alpr"
    with alpr_api(away, tmp_path, ALPR_API_AUTH="required") as api:
        address = f"http://127.0.0.1:{api.port}"
        assert httpx.get(f"{address}/stats").status_code == 401
        key = "alpr_" + "a" * 8 + "_" + "a" * 52
        assert httpx.get(f"{address}/stats", headers={"x-api-key": key}).status_code == 503
        printed = api.end()
    assert "nobody gets in" in printed
    assert "secret" not in printed


def test_a_proxy_is_believed_only_when_it_is_named(world: World, tmp_path: Path):
    wrong = ["alpr_" + letter * 8 + "_" + letter * 52 for letter in "abcdefghijklmnopqrstuvw"]
    with alpr_api(world.url, tmp_path, "--proxy", "127.0.0.1", ALPR_API_AUTH="required") as api:
        for n, key in enumerate(wrong):
            forwarded = {"x-api-key": key, "x-forwarded-for": f"198.51.100.{n}"}
            answer = httpx.get(f"http://127.0.0.1:{api.port}/stats", headers=forwarded)
            assert answer.status_code == 401, "each address has its own attempts"
        assert "from 198.51.100.3" in api.end()
