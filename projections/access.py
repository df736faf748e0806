"""Who may ask the API: keys, users, the sessions they open, and the link that makes the first one.

Times are the database's, one clock for every process. Of keys, sessions and links only SHA-256
hashes are kept: each is 256 random bits, which no dictionary holds, so nothing slower than a plain
hash is needed. Passwords are of people: those are Argon2id's.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import cursor as Cursor

from projections.access_store import (
    SCHEMA,
    AccessStore,
    has_had_an_admin,
    one_at_a_time,
    void_links,
)
from projections.role import Role
from projections.users import User, Users, granted, listed, user_of_session

__all__ = ["FIRST_KEY_LIFE", "LINK_LIFE", "SCHEMA", "SESSION_LIFE", "AccessKeys", "Key", "Role"]

SESSION_LIFE = timedelta(hours=12)  # a long shift
LINK_LIFE = timedelta(hours=24)
FIRST_KEY_LIFE = timedelta(days=365)
_LINKS_KEPT = 8  # of processes that start again and again; the oldest go first
_USE_NOTED = "5 minutes"  # how exact last_used_at is, to spare a write for each request

_KEY = re.compile(r"alpr_([a-z2-7]{8})_([a-z2-7]{52})")
_LINK = re.compile(r"first_[a-z2-7]{52}")
_SESSION = re.compile(r"[a-z2-7]{52}")
_COLUMNS = (
    "key_id, name, role, cameras, clear, created_at, expires_at, last_used_at, revoked_at, "
    "CASE WHEN revoked_at IS NOT NULL THEN 'revoked' "
    "WHEN expires_at <= now() THEN 'expired' ELSE 'active' END"
)
_ACTIVE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret. ``cameras`` None are all; ``state`` active, expired or revoked."""

    key_id: str
    name: str
    role: Role
    cameras: frozenset[str] | None
    clear: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: str

    @property
    def actor(self) -> str:
        """How records of the log name who uses it."""
        return self.key_id


class AccessKeys:
    """The keys and ``users`` of one database; its schema is made when it is first asked.

    Any number of threads may share it. Every method raises ViewUnavailable, and ViewMismatch for
    a newer program's schema.
    """

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self._store = AccessStore(url, schema)
        self.schema = schema
        self.users = Users(self._store)

    def create(
        self,
        name: str,
        role: Role,
        life: timedelta | None,
        *,
        cameras: Iterable[str] | None = None,
        clear: bool | None = None,
    ) -> tuple[Key, str]:
        """A new key and its text, which nobody can show again. ``life`` None never expires.

        ``clear`` None: as the role has it, whether plates that others see as pseudonyms are seen.
        """
        with self._store.transaction() as cursor:
            return _create(cursor, name, role, life, cameras, clear)

    def all(self) -> list[Key]:
        """Every key ever made, the oldest first."""
        with self._store.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, key_id")
            return [_key(row) for row in cursor.fetchall()]

    def revoke(self, key_id: str) -> Key | None:
        """End a key and its sessions for ever; None if there is none with this id."""
        with self._store.transaction() as cursor:
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
        with self._store.transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS}, hash FROM keys WHERE key_id = %s AND {_ACTIVE}", (written[1],)
            )
            row = cursor.fetchone()
            # Compared whole, in a time that tells nothing of where they differ.
            if row is None or not hmac.compare_digest(bytes(row[-1]), _hash(text)):
                return None
            _note_use(cursor, written[1])
            return _key(row[:-1])

    def by_session(self, token: str) -> Key | User | None:
        """The active key or user whose session this is; found by its hash, so timing tells nothing.

        A user with a one-time password is one, too.
        """
        if not _SESSION.fullmatch(token):
            return None
        with self._store.transaction() as cursor:
            cursor.execute(
                "SELECT key_id, user_name FROM sessions WHERE hash = %s AND expires_at > now()",
                (_hash(token),),
            )
            key_id, user = cursor.fetchone() or (None, None)
            if user is not None:
                return user_of_session(cursor, user)
            cursor.execute(
                f"SELECT {_COLUMNS} FROM keys WHERE key_id = %s AND {_ACTIVE}", (key_id,)
            )
            row = cursor.fetchone()
            if row is None:
                return None
            key = _key(row)
            _note_use(cursor, key.key_id)
            return key

    def open_session(self, key_id: str) -> str:
        """A token that stands for the key for SESSION_LIFE, less where the key ends before."""
        return self._open(
            "INSERT INTO sessions (hash, key_id, expires_at) "
            "SELECT %s, key_id, least(now() + %s, expires_at) FROM keys WHERE key_id = %s",
            key_id,
        )

    def open_user_session(self, name: str) -> str:
        """A token that stands for a user for SESSION_LIFE."""
        return self._open(
            "INSERT INTO sessions (hash, user_name, expires_at) "
            "SELECT %s, name, now() + %s FROM users WHERE name = %s",
            name,
        )

    def end_session(self, token: str) -> None:
        """Forget a session."""
        with self._store.transaction() as cursor:
            cursor.execute("DELETE FROM sessions WHERE hash = %s", (_hash(token),))

    def first_link(self) -> str | None:
        """A token that makes the first admin's key, once; None if there ever was such a key.

        Each process that starts may take one; the first that is used makes all others void.
        """
        token = f"first_{_secret()}"
        with self._store.transaction() as cursor:
            one_at_a_time(cursor)
            if has_had_an_admin(cursor):
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
        with self._store.transaction() as cursor:
            one_at_a_time(cursor)
            cursor.execute(
                "SELECT FROM links WHERE hash = %s AND expires_at > now()", (_hash(token),)
            )
            if cursor.fetchone() is None or has_had_an_admin(cursor):
                return None
            return _create(cursor, "first administrator", Role.ADMIN, FIRST_KEY_LIFE)

    def close(self) -> None:
        """Close the connection."""
        self._store.close()

    def _open(self, statement: str, holder: str) -> str:
        token = _secret()
        with self._store.transaction() as cursor:
            cursor.execute("DELETE FROM sessions WHERE expires_at <= now()")
            cursor.execute(statement, (_hash(token), SESSION_LIFE, holder))
        return token


def is_link(text: str) -> bool:
    """Whether a text has the form of a token of ``first_link``."""
    return bool(_LINK.fullmatch(text))


def _create(  # noqa: PLR0917 (the columns)
    cursor: Cursor,
    name: str,
    role: Role,
    life: timedelta | None,
    cameras: Iterable[str] | None = None,
    clear: bool | None = None,
) -> tuple[Key, str]:
    key_id = _letters(5)
    text = f"alpr_{key_id}_{_secret()}"
    if role is Role.ADMIN:
        void_links(cursor)
    seen = role.sees_plates if clear is None else clear
    cursor.execute(
        "INSERT INTO keys (key_id, hash, name, role, expires_at, cameras, clear) "
        f"VALUES (%s, %s, %s, %s, now() + %s::interval, %s, %s) RETURNING {_COLUMNS}",
        (key_id, _hash(text), name, role.value, life, listed(cameras), seen),
    )
    return _key(cursor.fetchone()), text


def _note_use(cursor: Cursor, key_id: str) -> None:
    cursor.execute(
        "UPDATE keys SET last_used_at = now() WHERE key_id = %s AND "
        f"(last_used_at IS NULL OR last_used_at < now() - interval '{_USE_NOTED}')",
        (key_id,),
    )


def _key(row: Any) -> Key:
    key_id, name, role, cameras, *rest = row
    return Key(key_id, name, Role(role), granted(cameras), *rest)


def _secret() -> str:
    """256 random bits in 52 letters and digits, which a double click selects whole."""
    return _letters(32)


def _letters(size: int) -> str:
    return base64.b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
