"""Connections to PostgreSQL, with its errors in this room's words."""

import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.errors import (
    InvalidSchemaName,
    QueryCanceled,
    ReadOnlySqlTransaction,
    UndefinedTable,
)
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import parse_dsn

from eventlog.address import check_database, masked
from projections.errors import (
    AccessRefused,
    QueryTimeout,
    ViewError,
    ViewMissing,
    ViewUnavailable,
)

# What a server says who lets nobody in, or is not whom it should be; such an error has no code.
_REFUSAL = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|certificate|"
    r"(role|database) \".*\" does not exist|permission denied"
)
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")


def connect(url: str, schema: str, statement_timeout_ms: int = 0) -> Connection:
    """A connection that sees ``schema`` alone and speaks UTC; 0 ms is no limit.

    Raises ViewUnavailable, or AccessRefused where waiting would not help; both name the server and
    never a password.
    """
    if not _NAME.fullmatch(schema):
        raise ValueError(f"{schema!r} cannot be a schema: use lower case letters, digits and _")
    place = masked(url)
    _readable(url, place)
    try:
        return psycopg2.connect(
            url,
            connect_timeout=5,
            application_name="alpr",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
            options=f"-c search_path={schema} -c timezone=UTC -c client_encoding=UTF8"
            f" -c statement_timeout={statement_timeout_ms}",
        )
    except psycopg2.OperationalError as error:
        said = " ".join(str(error).split())
        if _REFUSAL.search(said):
            raise AccessRefused(
                f"{place} does not let us in: {said}; mend ALPR_DATABASE_URL, or the user's rights"
            ) from error
        raise ViewUnavailable(f"no connection to {place}: {said}") from error


def alive(connection: Connection | None) -> bool:
    """Whether a connection is there that the server has not closed, as a restart does.

    Between two statements a server sends nothing but its farewell.
    """
    if connection is None or connection.closed:
        return False
    try:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        return not waiting.poll(0)
    except psycopg2.Error:
        return False


def scalar(connection: Connection, statement: str) -> Any:
    """The first value of the first row, None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row[0] if row else None


def _readable(url: str, place: str) -> None:
    """AccessRefused for what libpq misreads: it would repeat a password as a host or port."""
    try:
        if "://" in url.partition("=")[0]:
            check_database(url)
        parse_dsn(url)
    except ValueError as error:
        raise AccessRefused(f"{place} cannot be a database: {error}; mend ALPR_DATABASE_URL") from (
            None
        )
    except psycopg2.ProgrammingError:
        raise AccessRefused(
            f"{place} cannot be read by PostgreSQL's client: mend the signs and the options of "
            "ALPR_DATABASE_URL"
        ) from None


def missing(url: str) -> ViewMissing:
    """The error for a database without views."""
    return ViewMissing(f"{masked(url)} holds no views yet: the project flow makes them")


@contextmanager
def speaking(url: str) -> Iterator[None]:
    """Turns the driver's errors into ViewUnavailable and QueryTimeout."""
    try:
        yield
    except QueryCanceled as error:
        raise QueryTimeout("the query took too long: narrow it by plate, camera or time") from error
    except (UndefinedTable, InvalidSchemaName) as error:
        raise missing(url) from error
    except ReadOnlySqlTransaction as error:  # a standby, until it is promoted or we are led back
        raise ViewUnavailable(f"{masked(url)} takes no writes now: {error}") from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise ViewUnavailable(f"{masked(url)} broke off: {error}") from error
    except psycopg2.Error as error:
        raise ViewError(f"{masked(url)} answered: {error}") from error
