"""People who log in by name and password: their roles, cameras and hashes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import cursor as Cursor

from projections.access_store import AccessStore, void_links
from projections.role import Role

ONCE_LIFE = timedelta(days=7)
"""How long a one-time password may wait for its first login."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_USE_NOTED = "5 minutes"
_COLUMNS = (
    "name, role, cameras, clear, created_at, last_used_at, disabled_at, password_until, generation"
)
_ACTIVE = "disabled_at IS NULL AND (password_until IS NULL OR password_until > now())"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password. ``cameras`` None are all.

    ``password_until``: the end of a one-time password, which they have to change; None where the
    password is their own. ``generation`` grows when tokens and sessions made before are to end.
    """

    name: str
    role: Role
    cameras: frozenset[str] | None
    clear: bool
    created_at: datetime
    last_used_at: datetime | None
    disabled_at: datetime | None
    password_until: datetime | None
    generation: int

    @property
    def actor(self) -> str:
        """How records of the log name them; no key's id has a colon."""
        return f"user:{self.name}"

    @property
    def must_change(self) -> bool:
        """Whether all they may do is to set a password of their own."""
        return self.password_until is not None


class Users:
    """The users of one database. Every method raises ViewUnavailable and ViewMismatch."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store

    def add(
        self,
        name: str,
        role: Role,
        hashed: str,
        *,
        cameras: Iterable[str] | None = None,
        clear: bool | None = None,
        once: bool = False,
    ) -> User | None:
        """A new user; None where the name is taken. ``clear`` None: as the role has it.

        With ``once`` the password is good for ONCE_LIFE and has to be changed at once.
        """
        with self._store.transaction() as cursor:
            if role is Role.ADMIN:
                void_links(cursor)
            cursor.execute(
                "INSERT INTO users (name, hash, role, cameras, clear, password_until) "
                "VALUES (%s, %s, %s, %s, %s, now() + %s::interval) "
                f"ON CONFLICT DO NOTHING RETURNING {_COLUMNS}",
                (
                    name,
                    hashed,
                    role.value,
                    listed(cameras),
                    role.sees_plates if clear is None else clear,
                    ONCE_LIFE if once else None,
                ),
            )
            return _one(cursor)

    def all(self) -> list[User]:
        """Every user by name, the disabled ones too."""
        with self._store.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM users ORDER BY name")
            return [_user(row) for row in cursor.fetchall()]

    def get(self, name: str) -> User | None:
        """One user, disabled or not."""
        with self._store.transaction() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM users WHERE name = %s", (name,))
            return _one(cursor)

    def active(self, name: str, generation: int) -> User | None:
        """A user who may get in, if nothing has ended the tokens of that generation."""
        with self._store.transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM users WHERE name = %s AND generation = %s AND {_ACTIVE}",
                (name, generation),
            )
            return _one(cursor)

    def credentials(self, name: str) -> tuple[User, str] | None:
        """A user who may get in and the hash of the password."""
        with self._store.transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS}, hash FROM users WHERE name = %s AND {_ACTIVE}", (name,)
            )
            row = cursor.fetchone()
            return (_user(row[:-1]), row[-1]) if row else None

    def change(
        self,
        name: str,
        role: Role,
        cameras: Iterable[str] | None,
        clear: bool,
    ) -> User | None:
        """What they may from now on, in sessions that are open too; None for an unknown name."""
        with self._store.transaction() as cursor:
            if role is Role.ADMIN:
                void_links(cursor)
            cursor.execute(
                "UPDATE users SET role = %s, cameras = %s, clear = %s WHERE name = %s "
                f"RETURNING {_COLUMNS}",
                (role.value, listed(cameras), clear, name),
            )
            return _one(cursor)

    def set_password(self, name: str, hashed: str, *, once: bool = False) -> User | None:
        """Another password, which ends every session and token made by the one before."""
        with self._store.transaction() as cursor:
            cursor.execute(
                "UPDATE users SET hash = %s, password_until = now() + %s::interval, "
                f"generation = generation + 1 WHERE name = %s RETURNING {_COLUMNS}",
                (hashed, ONCE_LIFE if once else None, name),
            )
            user = _one(cursor)
            cursor.execute("DELETE FROM sessions WHERE user_name = %s", (name,))
            return user

    def rehash(self, name: str, before: str, after: str) -> None:
        """The same password hashed in today's way, unless it was changed in between."""
        with self._store.transaction() as cursor:
            cursor.execute(
                "UPDATE users SET hash = %s WHERE name = %s AND hash = %s", (after, name, before)
            )

    def disable(self, name: str) -> User | None:
        """Keep somebody out, and end their sessions and tokens; None for an unknown name."""
        with self._store.transaction() as cursor:
            cursor.execute(
                "UPDATE users SET disabled_at = coalesce(disabled_at, now()), "
                f"generation = generation + 1 WHERE name = %s RETURNING {_COLUMNS}",
                (name,),
            )
            user = _one(cursor)
            cursor.execute("DELETE FROM sessions WHERE user_name = %s", (name,))
            return user

    def enable(self, name: str) -> User | None:
        """Let somebody in again, with the password as it was."""
        with self._store.transaction() as cursor:
            cursor.execute(
                f"UPDATE users SET disabled_at = NULL WHERE name = %s RETURNING {_COLUMNS}", (name,)
            )
            return _one(cursor)


def user_of_session(cursor: Cursor, name: str) -> User | None:
    """The user of a session who may still get in. Notes that they are there."""
    cursor.execute(f"SELECT {_COLUMNS} FROM users WHERE name = %s AND {_ACTIVE}", (name,))
    user = _one(cursor)
    if user is not None:
        cursor.execute(
            "UPDATE users SET last_used_at = now() WHERE name = %s AND "
            f"(last_used_at IS NULL OR last_used_at < now() - interval '{_USE_NOTED}')",
            (name,),
        )
    return user


def name_of(text: str) -> str | None:
    """A user's name as it is kept, in small letters; None for what cannot be one."""
    name = text.strip().lower()
    return name if _NAME.fullmatch(name) else None


def listed(cameras: Iterable[str] | None) -> list[str] | None:
    """A grant as it is kept."""
    return None if cameras is None else sorted(set(cameras))


def granted(cameras: list[str] | None) -> frozenset[str] | None:
    """A grant as it is used."""
    return None if cameras is None else frozenset(cameras)


def _one(cursor: Cursor) -> User | None:
    row = cursor.fetchone()
    return _user(row) if row else None


def _user(row: Any) -> User:
    name, role, cameras, *rest = row
    return User(name, Role(role), granted(cameras), *rest)
