"""A real server on a real database, one of each for a module."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from api.app import create_app
from api.live import Pace
from api.serve import Server
from images.store import ImageStore
from projections.queries import SightingQueries
from tests.api.world import World


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(postgres_url, tmp_path_factory.mktemp("images"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def queries(world: World) -> Iterator[SightingQueries]:
    made = SightingQueries(world.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(world: World, queries: SightingQueries) -> Iterator[str]:
    """Where the API of the world listens."""
    with served(queries, world.pictures) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    """A program's client."""
    with httpx.Client(base_url=address, timeout=10) as made:
        yield made


@pytest.fixture(scope="module")
def browser_like(address: str) -> Iterator[httpx.Client]:
    """A client that asks for pages."""
    accept = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    with httpx.Client(base_url=address, timeout=10, headers=accept) as made:
        yield made


@contextmanager
def served(
    queries: SightingQueries, pictures: ImageStore, cors_origins: Sequence[str] = ()
) -> Iterator[str]:
    """An API in a thread, on a port that the system chooses."""
    pace = Pace(poll=0.05)
    app = create_app(queries, pictures, cors_origins=cors_origins, pace=pace)
    server = Server(app)
    server.config.port = 0
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive(), "the server did not end"
