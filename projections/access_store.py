"""Where keys, users and sessions are kept: a schema of its own, which no rebuild swaps or drops."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from projections.database import alive, connect, speaking
from projections.errors import ViewMismatch, ViewUnavailable

SCHEMA = "alpr_access"
_TIMEOUT_MS = 5_000
_LOCK = 0x6B657973  # 'keys': one at a time changes the schema, or makes the first administrator

_MIGRATIONS = (
    """
    CREATE TABLE keys (
        key_id text PRIMARY KEY,
        hash bytea NOT NULL,
        name text NOT NULL,
        role text NOT NULL CHECK (role IN ('read', 'operate', 'admin')),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        last_used_at timestamptz,
        revoked_at timestamptz
    );
    CREATE TABLE sessions (
        hash bytea PRIMARY KEY,
        key_id text NOT NULL REFERENCES keys,
        expires_at timestamptz NOT NULL
    );
    CREATE TABLE links (
        hash bytea PRIMARY KEY,
        expires_at timestamptz NOT NULL
    );
    """,
    """
    ALTER TABLE keys DROP CONSTRAINT keys_role_check;
    UPDATE keys SET role = CASE role
        WHEN 'read' THEN 'viewer' WHEN 'operate' THEN 'operator' ELSE role END;
    """,
    """
    CREATE TABLE users (
        name text PRIMARY KEY,
        hash text NOT NULL,          -- Argon2id, with its parameters
        role text NOT NULL,
        cameras text[],              -- null: all
        clear boolean NOT NULL,
        password_until timestamptz,  -- of a one-time password; null: it is their own
        generation integer NOT NULL DEFAULT 0,  -- grows with what ends the tokens issued before
        created_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz,
        disabled_at timestamptz
    );
    ALTER TABLE keys ADD COLUMN cameras text[], ADD COLUMN clear boolean NOT NULL DEFAULT false;
    UPDATE keys SET clear = true WHERE role = 'admin';
    ALTER TABLE sessions ALTER COLUMN key_id DROP NOT NULL,
        ADD COLUMN user_name text REFERENCES users,
        ADD CHECK (num_nonnulls(key_id, user_name) = 1);
    """,
)


class AccessStore:
    """One connection to the schema, which is made when it is first asked.

    Any number of threads may share it; they take turns, since the API asks seldom.
    """

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self._url = url
        self.schema = schema
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._migrated = False

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction. Raises ViewUnavailable, and ViewMismatch for a newer program's schema."""
        if not self._turn.acquire(timeout=_TIMEOUT_MS / 1000):
            raise ViewUnavailable("the database takes too long over the keys: try again")
        try:
            with speaking(self._url):
                connection = self._connected()
                with connection, connection.cursor() as cursor:
                    if not self._migrated:
                        _migrate(cursor, self.schema)
                    yield cursor
                self._migrated = True
        except BaseException:
            self._migrated = False  # another database may be behind the address next time
            raise
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connected(self) -> Connection:
        if not alive(self._connection):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._migrated = False
            self._connection = connect(self._url, self.schema, _TIMEOUT_MS)
        assert self._connection is not None
        return self._connection


def one_at_a_time(cursor: Cursor) -> None:
    """Wait until no other transaction changes the schema or makes an administrator."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def has_had_an_admin(cursor: Cursor) -> bool:
    """Whether anybody was ever made an administrator."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM keys WHERE role = 'admin') "
        "OR EXISTS (SELECT FROM users WHERE role = 'admin')"
    )
    return cursor.fetchone() == (True,)


def void_links(cursor: Cursor) -> None:
    """There is an administrator now: the links that would make the first one are void."""
    one_at_a_time(cursor)
    cursor.execute("DELETE FROM links")


def _migrate(cursor: Cursor, schema: str) -> None:
    """Bring the schema to this program's version."""
    one_at_a_time(cursor)
    cursor.execute("SELECT to_regclass(%s)", (f"{schema}.versions",))
    if cursor.fetchone() == (None,):
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        cursor.execute("CREATE TABLE versions (version integer PRIMARY KEY)")
    cursor.execute("SELECT coalesce(max(version), 0) FROM versions")
    row = cursor.fetchone()
    present = row[0] if row else 0
    if present > len(_MIGRATIONS):
        raise ViewMismatch(
            f"the keys in schema {schema} have version {present}, this program knows "
            f"{len(_MIGRATIONS)}: run the newer program"
        )
    for number, step in enumerate(_MIGRATIONS[present:], present + 1):
        cursor.execute(step)
        cursor.execute("INSERT INTO versions VALUES (%s)", (number,))
