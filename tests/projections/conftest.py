"""Each test gets empty views in its module's database, on each PostgreSQL that there is."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.alert_queries import AlertQueries
from projections.alert_view import AlertView
from projections.queries import SightingQueries
from projections.view import SightingsView
from schemas.codec import Codec
from tests.projections.sightings import LOG

PEOPLE = ("alpr_people", "alpr_people_next", "alpr_people_old")
ALERTS = ("alpr_alerts", "alpr_alerts_next", "alpr_alerts_old")


@pytest.fixture(scope="session", params=["given", "debian"])
def postgres_server(request: pytest.FixtureRequest, postgres_server: str) -> str:
    """ALPR_TEST_DATABASE_URL or the wheel's 18, as for every test, and then Debian's 15."""
    return postgres_server if request.param == "given" else request.getfixturevalue("postgres15")


@pytest.fixture
def codec(tmp_path: Path) -> Iterator[Codec]:
    with closing(SqliteRegistry(tmp_path / "log")) as registry:
        codec = Codec(registry)
        codec.register()
        yield codec


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log", partitions=2)) as log:
        yield log


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database without any views."""
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        for schema in ("alpr", "alpr_next", "alpr_old", "alpr_derived", *PEOPLE, *ALERTS):
            connection.cursor().execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    return postgres_url


@pytest.fixture
def view(url: str) -> Iterator[SightingsView]:
    made = SightingsView(url, LOG)
    yield made
    made.close()


@pytest.fixture
def queries(view: SightingsView, url: str) -> Iterator[SightingQueries]:
    made = SightingQueries(url)
    yield made
    made.close()


@pytest.fixture
def alerts(url: str) -> Iterator[AlertView]:
    made = AlertView(url, LOG)
    yield made
    made.close()


@pytest.fixture
def asked(alerts: AlertView, url: str) -> Iterator[AlertQueries]:
    made = AlertQueries(url)
    yield made
    made.close()
