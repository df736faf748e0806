"""Fixtures for every test: a real PostgreSQL, with a fresh database for each module."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from projections.embedded import EmbeddedPostgres


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
