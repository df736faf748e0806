"""Brings a database to this program's version of the views and checks whose views they are."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from projections.database import connect, scalar, speaking
from projections.errors import ViewMismatch
from projections.shown import PEOPLE
from projections.timescale import Policies, arrange, partition

LIVE = "alpr"
DERIVED = "alpr_derived"
"""The schema of what followers derive from the sightings; it can be dropped at any time."""
_BESIDE = {PEOPLE: "people_migrations", DERIVED: "derived_migrations"}
"""Schemas that are joined with every sightings' view, and so made with it; by their steps."""
_OLDEST_SERVER = 150000
_LOCK = 0x616C7072  # 'alpr': one program at a time migrates a database


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the database's form."""

    version: int
    name: str
    text: str


@cache
def migrations(folder: str = "migrations") -> tuple[Migration, ...]:
    """The steps of a folder of this room in order; the last one's version is this program's."""
    found: list[Migration] = []
    for file in (files("projections") / folder).iterdir():
        named = re.fullmatch(r"(\d{3})_(\w+)\.sql", file.name)
        if named:
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(named[1]), named[2], text))
    return tuple(sorted(found, key=lambda step: step.version))


def migrate(
    url: str,
    schema: str = LIVE,
    log_uuid: str | None = None,
    policies: Policies = Policies(),  # noqa: B008 (frozen)
) -> int:
    """Create or bring up to date the views in ``schema``; the version they now have.

    What is joined with them, corrections and what is derived, is made too. With ``log_uuid`` the
    views are claimed for that log, or checked to be its. May be called by many processes at once.
    Raises ViewMismatch for a server that is too old, a database of a newer version or of another
    log; ViewUnavailable.
    """
    steps = migrations()
    with _migrating(url, schema) as cursor:
        if advance(cursor, schema, steps) == 0:
            partition(cursor, schema, policies)
        if schema == LIVE:
            arrange(cursor, schema, policies)
        if log_uuid is not None:
            claim(cursor, schema, log_uuid)
        _advance_beside(cursor)
    return steps[-1].version


def migrate_own(
    url: str, schema: str, steps: Sequence[Migration], command: str, log_uuid: str | None = None
) -> int:
    """Create a view that has a schema of its own, or bring it up to date; the version it now has.

    With ``log_uuid`` it is claimed for that log, or checked to be its; ``command`` rebuilds it.
    Raises as ``migrate`` does.
    """
    with _migrating(url, schema) as cursor:
        advance(cursor, schema, steps, command)
        if log_uuid is not None:
            claim(cursor, schema, log_uuid, command)
    return steps[-1].version


def migrate_beside(url: str) -> None:
    """Make what is joined with a sightings' view, or bring it up to date, and not the view.

    Raises as ``migrate`` does.
    """
    with _migrating(url, DERIVED) as cursor:
        _advance_beside(cursor)


@contextmanager
def _migrating(url: str, schema: str) -> Iterator[Cursor]:
    """One transaction, while no other process changes the form of a view."""
    with (
        speaking(url),
        closing(connect(url, schema)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        lock_migrations(cursor)
        yield cursor


def beside_is_there(url: str) -> bool:
    """Whether ``migrate_beside`` has made all that it makes. Raises ViewUnavailable."""
    with speaking(url), closing(connect(url, DERIVED)) as connection:
        for schema in _BESIDE:
            if scalar(connection, f"SELECT to_regclass('{schema}.schema_versions')") is None:
                return False
    return True


def _advance_beside(cursor: Cursor) -> None:
    for schema, folder in _BESIDE.items():
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
        advance(cursor, schema, migrations(folder))


def lock_migrations(cursor: Cursor) -> None:
    """Be the only one that changes the form of the views, until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def claim(cursor: Cursor, schema: str, log_uuid: str, command: str = "alpr replay") -> None:
    """Make the views those of a log, or raise ViewMismatch where they are another's."""
    cursor.execute("SELECT log_uuid FROM view_state")
    row = cursor.fetchone()
    owner = row[0] if row else None
    if owner is None:
        cursor.execute("UPDATE view_state SET log_uuid = %s", (log_uuid,))
    elif owner != log_uuid:
        raise other_log(schema, owner, log_uuid, command)


def other_log(schema: str, owner: str, log_uuid: str, command: str = "alpr replay") -> ViewMismatch:
    """The error for views that were made from another log."""
    return ViewMismatch(
        f"the views in schema {schema} were made from log {owner}, this is log {log_uuid}: "
        f"point to the right log or database, or rebuild the views with `{command}`"
    )


def advance(
    cursor: Cursor, schema: str, steps: Sequence[Migration], command: str = "alpr replay"
) -> int:
    """Make the steps that a schema lacks, and the schema; the version that it had, 0 if none.

    ``command`` is what rebuilds it. Raises ViewMismatch for a server that is too old, and for a
    schema of a newer version.
    """
    connection = cursor.connection
    if connection.server_version < _OLDEST_SERVER:
        raise ViewMismatch(
            f"the server is PostgreSQL {connection.info.parameter_status('server_version')}; "
            "the views need 15 or newer"
        )
    cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions (version integer PRIMARY KEY, name text)"
    )
    cursor.execute("SELECT coalesce(max(version), 0) FROM schema_versions")
    row = cursor.fetchone()
    present = row[0] if row else 0
    newest = steps[-1].version
    if present > newest:
        raise ViewMismatch(
            f"the views in schema {schema} have version {present}, this program knows {newest}: "
            f"run the newer program, or rebuild the views for this one with `{command}`"
        )
    for step in steps:
        if step.version > present:
            cursor.execute(step.text)
            cursor.execute("INSERT INTO schema_versions VALUES (%s, %s)", (step.version, step.name))
    return present


def version_of(connection: Connection) -> int | None:
    """The version of the views the connection sees, None where there are none."""
    if scalar(connection, "SELECT to_regclass('schema_versions')") is None:
        return None
    return scalar(connection, "SELECT max(version) FROM schema_versions")
