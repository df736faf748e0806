"""Fixtures for every test: a real PostgreSQL, with a fresh database for each module."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from projections.embedded import EmbeddedPostgres
from tests.servers import Kafka, Minio, NotInstalled, OpenSearch, Postgres, Registry, Server

S = TypeVar("S", bound=Server)


def pytest_configure() -> None:
    """Processes that tests start hear Ctrl-C, also where the tests themselves run in the background
    of a shell, which has its children ignore it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server: ALPR_TEST_DATABASE_URL (its user may create databases), or the wheel's."""
    given = os.environ.get("ALPR_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder) as server:
        yield server.url


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of this module's own."""
    name = f"alpr_test_{secrets.token_hex(6)}"
    _administer(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
    _administer(
        postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    )


def _administer(url: str, statement: sql.Composed) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


def _server(kind: type[Server], variable: str, factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL that ``variable`` gives, or of a server started here, whose tests else skip."""
    given = os.environ.get(variable)
    if given:
        yield given
        return
    server = started(kind, factory)
    yield server.url  # type: ignore[attr-defined]
    server.stop()


def started(kind: type[S], factory: pytest.TempPathFactory, **options: Any) -> S:
    """A running server of the test's own; skips where it is not installed, fails in CI."""
    try:
        kind.check()
    except NotInstalled as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    server = kind(factory.mktemp(kind.name), **options)
    server.start()
    return server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ALPR_LOG_URL of a broker: ALPR_TEST_KAFKA, or one started here."""
    yield from _server(Kafka, "ALPR_TEST_KAFKA", tmp_path_factory)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a schema registry: ALPR_TEST_REGISTRY, or one started here."""
    yield from _server(Registry, "ALPR_TEST_REGISTRY", tmp_path_factory)


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of OpenSearch: ALPR_TEST_OPENSEARCH, or one started here."""
    yield from _server(OpenSearch, "ALPR_TEST_OPENSEARCH", tmp_path_factory)


@pytest.fixture
def search(opensearch: str) -> str:
    """URL of OpenSearch without any view."""
    from projections.search_index import delete, generations
    from projections.search_server import SearchServer

    with closing(SearchServer(opensearch)) as server:
        for generation in generations(server):
            delete(server, generation.name)
    return opensearch


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ALPR_IMAGES_URL of MinIO: ALPR_TEST_MINIO, or one started here."""
    yield from _server(Minio, "ALPR_TEST_MINIO", tmp_path_factory)


@pytest.fixture(scope="session")
def postgres15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of Debian's PostgreSQL over TCP, started here."""
    yield from _server(Postgres, "ALPR_TEST_POSTGRES15", tmp_path_factory)


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts a server of one test's own, to kill: ``own_server(Kafka)``."""
    running: list[Server] = []

    def start(kind: type[S], **options: Any) -> S:
        server = started(kind, tmp_path_factory, **options)
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
