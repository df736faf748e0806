"""A real server on a real database, one of each for a module."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from api.app import create_app
from api.live import Pace
from api.routes import Parts
from api.serve import Server
from images.store import ImageStore
from projections.access import AccessKeys
from projections.queries import SightingQueries
from tests.api.watched import Watched
from tests.api.world import World

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


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


@pytest.fixture(scope="module")
def watched(
    world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """A log of alerts, rules and watchlists, with the world's database as their view."""
    engine = getattr(request.module, "BACKTEST", None)
    made = Watched(world.url, tmp_path_factory.mktemp("log"), engine)
    yield made
    made.close()


@pytest.fixture(scope="module")
def watch_address(queries: SightingQueries, world: World, watched: Watched) -> Iterator[str]:
    """Where an API with alerts, rules and watchlists listens; it asks for no key."""
    with served(queries, world.pictures, watching=watched.watching) as found:
        yield found


@pytest.fixture(scope="module")
def watch(watch_address: str) -> Iterator[httpx.Client]:
    """A program's client of it."""
    with httpx.Client(base_url=watch_address, timeout=20) as made:
        yield made


@pytest.fixture(scope="module")
def keys(postgres_url: str) -> Iterator[AccessKeys]:
    """The keys of the module's database."""
    made = AccessKeys(postgres_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        told = f"no {CHROMIUM}: install Debian's chromium to try the pages in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(queries: SightingQueries, pictures: ImageStore, **options: Any) -> Iterator[str]:
    """An API in a thread, on a port that the system chooses.

    ``options`` are create_app's, and its parts.
    """
    named = {field.name for field in fields(Parts)}
    parts = Parts(**{name: one for name, one in options.items() if name in named})
    rest = {name: one for name, one in options.items() if name not in named}
    app = create_app(queries, pictures, parts, pace=Pace(poll=0.05), **rest)
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
