"""Starting and ending the server as a process."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.app import create_app
from api.serve import ServeError, serve
from projections.queries import SightingQueries
from tests.api.world import World

PROGRAM = """
import sys
from pathlib import Path
from api.app import create_app
from api.serve import serve
from images.store import FolderStore
from projections.queries import SightingQueries
serve(create_app(SightingQueries(sys.argv[1]), FolderStore(Path("nowhere"))), port=int(sys.argv[2]))
print("put away")
"""


@contextmanager
def running(url: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM, url, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            until = time.monotonic() + 20
            while True:
                try:
                    client.get("/health")
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < until, "the server did not start"
                    time.sleep(0.05)
            yield process, client
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly_with_streams_open(world: World, stop: signal.Signals):
    with running(world.url) as (process, client), client.stream("GET", "/live") as stream:
        lines = stream.iter_lines()
        next(lines)
        begun = time.monotonic()
        process.send_signal(stop)
        assert list(lines) == [""], "the stream ends as a whole answer"
        assert process.communicate(timeout=5)[0] == b"put away\n"
        assert process.returncode == 0
        assert time.monotonic() - begun < 3


def test_a_port_in_use_is_named_with_the_cure(queries: SightingQueries, world: World):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} .* in use.*give another"):
            serve(create_app(queries, world.pictures), port=port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_nothing_beyond_this_machine_is_listened_on(
    queries: SightingQueries, world: World, host: str
):
    with pytest.raises(ServeError, match="asks for no key: give 127"):
        serve(create_app(queries, world.pictures), host=host)


def test_a_host_or_port_that_does_not_exist_is_named(queries: SightingQueries, world: World):
    app = create_app(queries, world.pictures)
    with pytest.raises(ServeError, match="'gate' is no address"):
        serve(app, host="gate")
    with pytest.raises(ServeError, match="port 70000 does not exist"):
        serve(app, port=70000)
