"""Who may ask the API: keys, the sessions they open, and the link that makes the first one.

All of it is in a schema of its own, so that no rebuild of a view swaps or drops it. Times are the
database's, one clock for every process. Of secrets only SHA-256 hashes are kept: each is 256
random bits, which no dictionary holds, so nothing slower than a plain hash is needed.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from projections.database import alive, connect, speaking
from projections.errors import ViewMismatch, ViewUnavailable

SCHEMA = "alpr_access"
SESSION_LIFE = timedelta(hours=12)  # a long shift
LINK_LIFE = timedelta(hours=24)
FIRST_KEY_LIFE = timedelta(days=365)
_LINKS_KEPT = 8  # of processes that start again and again; the oldest go first
_TIMEOUT_MS = 5_000
_USE_NOTED = "5 minutes"  # how exact last_used_at is, to spare a write for each request
_LOCK = 0x6B657973  # 'keys': one at a time changes the schema, or makes the first admin's key

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
)

_KEY = re.compile(r"alpr_([a-z2-7]{8})_([a-z2-7]{52})")
_LINK = re.compile(r"first_[a-z2-7]{52}")
_SESSION = re.compile(r"[a-z2-7]{52}")
_COLUMNS = (
    "key_id, name, role, created_at, keys.expires_at, last_used_at, revoked_at, "
    "CASE WHEN revoked_at IS NOT NULL THEN 'revoked' "
    "WHEN keys.expires_at <= now() THEN 'expired' ELSE 'active' END"
)
_ACTIVE = "revoked_at IS NULL AND (keys.expires_at IS NULL OR keys.expires_at > now())"


class Role(Enum):
    """What somebody may do: viewer, operator, investigator, admin, each also what those before it.

    Beside them ``ingest``, for programs: to send reads, and nothing else; from operator on
    everybody may do that, too.
    """

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    INVESTIGATOR = "investigator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role is enough where ``needed`` is asked for."""
        order = list(Role)
        if needed is Role.INGEST:
            return self is not Role.VIEWER
        return self is not Role.INGEST and order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. ``state`` is active, expired or revoked."""

    key_id: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: str


class AccessKeys:
    """The keys of one database; its schema is made when it is first asked.

    Any number of threads may share it; they take turns on one connection, since the API asks
    seldom. Every method raises ViewUnavailable, and ViewMismatch for a newer program's schema.
    """

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self._url = url
        self.schema = schema
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._migrated = False

    def create(self, name: str, role: Role, life: timedelta | None) -> tuple[Key, str]:
        """A new key and its text, which nobody can show again. ``life`` None never expires."""
        with self._transaction() as cursor:
            return self._create(cursor, name, role, life)

    def all(self) -> list[Key]:
        """Every key ever made, the oldest first."""
        with self._transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, key_id")
            return [_key(row) for row in cursor.fetchall()]

    def revoke(self, key_id: str) -> Key | None:
        """End a key and its sessions for ever; None if there is none with this id."""
        with self._transaction() as cursor:
            cursor.execute(
                "UPDATE keys SET revoked_at = coalesce(revoked_at, now()) WHERE key_id = %s "
                f"RETURNING {_COLUMNS}",
                (key_id,),
            )
            row = cursor.fetchone()
            cursor.execute("DELETE FROM sessions WHERE key_id = %s", (key_id,))
            return _key(row) if row else None

    def by_key(self, text: str) -> Key | None:
        """The active key that this is the text of. Notes that it is used."""
        written = _KEY.fullmatch(text)
        if written is None:
            return None
        with self._transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS}, hash FROM keys WHERE key_id = %s AND {_ACTIVE}", (written[1],)
            )
            row = cursor.fetchone()
            # Compared whole, in a time that tells nothing of where they differ.
            if row is None or not hmac.compare_digest(bytes(row[-1]), _hash(text)):
                return None
            _note_use(cursor, written[1])
            return _key(row[:-1])

    def by_session(self, token: str) -> Key | None:
        """The active key whose session this is; found by its hash, so timing tells nothing."""
        if not _SESSION.fullmatch(token):
            return None
        with self._transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM sessions JOIN keys USING (key_id) "
                f"WHERE sessions.hash = %s AND sessions.expires_at > now() AND {_ACTIVE}",
                (_hash(token),),
            )
            row = cursor.fetchone()
            if row is None:
                return None
            found = _key(row)
            _note_use(cursor, found.key_id)
            return found

    def open_session(self, key_id: str) -> str:
        """A token that stands for the key for SESSION_LIFE, less where the key ends before."""
        token = _secret()
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM sessions WHERE expires_at <= now()")
            cursor.execute(
                "INSERT INTO sessions SELECT %s, key_id, least(now() + %s, expires_at) "
                "FROM keys WHERE key_id = %s",
                (_hash(token), SESSION_LIFE, key_id),
            )
        return token

    def end_session(self, token: str) -> None:
        """Forget a session."""
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM sessions WHERE hash = %s", (_hash(token),))

    def first_link(self) -> str | None:
        """A token that makes the first admin's key, once; None if there ever was such a key.

        Each process that starts may take one; the first that is used makes all others void.
        """
        token = f"first_{_secret()}"
        with self._transaction() as cursor:
            _one_at_a_time(cursor)
            if _has_had_an_admin(cursor):
                return None
            cursor.execute(
                "DELETE FROM links WHERE expires_at <= now() OR hash NOT IN "
                "(SELECT hash FROM links ORDER BY expires_at DESC LIMIT %s)",
                (_LINKS_KEPT - 1,),
            )
            cursor.execute("INSERT INTO links VALUES (%s, now() + %s)", (_hash(token), LINK_LIFE))
        return token

    def redeem(self, token: str) -> tuple[Key, str] | None:
        """The first admin's key and its text for a token of ``first_link``; None if it is void."""
        if not is_link(token):
            return None
        with self._transaction() as cursor:
            _one_at_a_time(cursor)
            cursor.execute(
                "SELECT FROM links WHERE hash = %s AND expires_at > now()", (_hash(token),)
            )
            if cursor.fetchone() is None or _has_had_an_admin(cursor):
                return None
            return self._create(cursor, "first administrator", Role.ADMIN, FIRST_KEY_LIFE)

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _create(
        self, cursor: Cursor, name: str, role: Role, life: timedelta | None
    ) -> tuple[Key, str]:
        key_id = _letters(5)
        text = f"alpr_{key_id}_{_secret()}"
        if role is Role.ADMIN:
            _one_at_a_time(cursor)
            cursor.execute("DELETE FROM links")
        cursor.execute(
            "INSERT INTO keys (key_id, hash, name, role, expires_at) "
            f"VALUES (%s, %s, %s, %s, now() + %s::interval) RETURNING {_COLUMNS}",
            (key_id, _hash(text), name, role.value, life),
        )
        return _key(cursor.fetchone()), text

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
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

    def _connected(self) -> Connection:
        if not alive(self._connection):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._migrated = False
            self._connection = connect(self._url, self.schema, _TIMEOUT_MS)
        assert self._connection is not None
        return self._connection


def is_link(text: str) -> bool:
    """Whether a text has the form of a token of ``first_link``."""
    return bool(_LINK.fullmatch(text))


def _migrate(cursor: Cursor, schema: str) -> None:
    """Bring the schema to this program's version."""
    _one_at_a_time(cursor)
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


def _one_at_a_time(cursor: Cursor) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _has_had_an_admin(cursor: Cursor) -> bool:
    cursor.execute("SELECT EXISTS (SELECT FROM keys WHERE role = 'admin')")
    return cursor.fetchone() == (True,)


def _note_use(cursor: Cursor, key_id: str) -> None:
    cursor.execute(
        "UPDATE keys SET last_used_at = now() WHERE key_id = %s AND "
        f"(last_used_at IS NULL OR last_used_at < now() - interval '{_USE_NOTED}')",
        (key_id,),
    )


def _key(row: Any) -> Key:
    key_id, name, role, *rest = row
    return Key(key_id, name, Role(role), *rest)


def _secret() -> str:
    """256 random bits in 52 letters and digits, which a double click selects whole."""
    return _letters(32)


def _letters(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
