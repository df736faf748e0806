"""Who is told of sightings by webhook, what waits for them, and how far the changes are followed.

In a schema of its own, so that no rebuild of a view swaps or drops it; times are the database's. A
change waits as the sighting's id: what is sent is the sighting as it then is.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from projections.database import alive, connect, speaking
from projections.errors import ViewMismatch
from projections.queries import Changes
from projections.wanted import Wanted

SCHEMA = "alpr_streams"
MOST_WAITING = 200_000
"""Sightings that may wait for one subscriber; beyond, it is paused."""
_LOCK = 0x73747265  # 'stre'
_MIGRATIONS = (
    """
    CREATE TABLE subscriptions (
        subscription_id uuid PRIMARY KEY,
        name text NOT NULL,
        url text NOT NULL,
        ended boolean NOT NULL,
        cameras text[] NOT NULL,
        sites text[] NOT NULL,
        plate text NOT NULL,
        actor text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        paused_at timestamptz,
        why text NOT NULL DEFAULT '',
        failing_since timestamptz,
        failures integer NOT NULL DEFAULT 0,
        due timestamptz NOT NULL DEFAULT now(),
        last_sent_at timestamptz,
        last_error text NOT NULL DEFAULT '',
        sent bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE waiting (
        subscription_id uuid NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
        event_id uuid NOT NULL,
        change bigint NOT NULL,
        told jsonb,  -- of a gap; null for a sighting
        PRIMARY KEY (subscription_id, event_id)
    );
    CREATE INDEX idx_waiting ON waiting (subscription_id, change);
    CREATE TABLE follower (
        singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
        cursor bigint,
        newest timestamptz,        -- of what was followed, by last_seen
        silent_until timestamptz   -- what another view says up to then was told before
    );
    INSERT INTO follower DEFAULT VALUES;
    """,
    """
    ALTER TABLE subscriptions ADD COLUMN clear boolean NOT NULL DEFAULT false;
    """,
)
_COLUMNS = (
    "subscription_id, name, url, ended, cameras, sites, plate, actor, created_at, paused_at, why, "
    "failing_since, failures, last_sent_at, last_error, sent, clear"
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told of what, and how that goes. ``waiting`` counts what is still to be sent.

    Where pseudonyms are on, ``clear`` says whether it is told plates as they are all the same.
    """

    subscription_id: str
    name: str
    url: str
    wanted: Wanted
    actor: str
    created_at: datetime
    paused_at: datetime | None
    why: str
    failing_since: datetime | None
    failures: int
    last_sent_at: datetime | None
    last_error: str
    sent: int
    clear: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that waits: of a sighting, or ``told`` says what is not known."""

    event_id: str
    change: int
    told: dict[str, Any] | None


class Subscriptions:
    """One connection to the schema, which is made when it is first asked; threads take turns.

    Every method raises ViewUnavailable, and ViewMismatch for a newer program's schema.
    """

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self._url = url
        self._schema = schema
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._migrated = False

    def create(
        self, name: str, url: str, wanted: Wanted, actor: str, *, clear: bool = False
    ) -> Subscription:
        """A new subscription, which is told of what changes from now on."""
        key = str(uuid4())
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO subscriptions (subscription_id, name, url, ended, cameras, sites, "
                "plate, actor, clear) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (key, name, url, wanted.ended, *_lists(wanted), wanted.plate, actor, clear),
            )
            return _found(cursor, key)[0]

    def all(self) -> list[Subscription]:
        """Every subscription, the oldest first."""
        with self.transaction() as cursor:
            return _found(cursor)

    def remove(self, key: str) -> bool:
        """End one, and what waits for it; False where there is none."""
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM subscriptions WHERE subscription_id = %s::uuid", (key,))
            return cursor.rowcount > 0

    def pause(self, key: str, why: str) -> bool:
        """Tell it nothing from now on, and keep nothing for it; False where there is none."""
        with self.transaction() as cursor:
            return pause(cursor, key, why)

    def resume(self, key: str) -> bool:
        """Tell it of what changes from now on, and first that something is missing."""
        with self.transaction() as cursor:
            cursor.execute(
                "SELECT paused_at FROM subscriptions WHERE subscription_id = %s::uuid FOR UPDATE",
                (key,),
            )
            row = cursor.fetchone()
            if row is None:
                return False
            if row[0] is not None:
                cursor.execute("SELECT coalesce(cursor, 0) FROM follower")
                ((change,),) = cursor.fetchall()
                _gap(cursor, key, change, row[0], "it was paused")
                cursor.execute(
                    "UPDATE subscriptions SET paused_at = NULL, why = '', failing_since = NULL, "
                    "failures = 0, due = now() WHERE subscription_id = %s::uuid",
                    (key,),
                )
            return True

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction on the schema."""
        with self._turn:
            try:
                with speaking(self._url):
                    connection = self._connected()
                    if not self._migrated:  # by itself: what follows may hold its locks for long
                        with connection, connection.cursor() as cursor:
                            _migrate(cursor, self._schema)
                        self._migrated = True
                    with connection, connection.cursor() as cursor:
                        yield cursor
            except BaseException:
                self._migrated = False  # another database may be behind the address next time
                raise

    def _connected(self) -> Connection:
        if not alive(self._connection):
            if self._connection is not None:
                self._connection.close()
            self._connection, self._migrated = None, False
            self._connection = connect(self._url, self._schema)
        assert self._connection is not None
        return self._connection


def follower(cursor: Cursor) -> tuple[int | None, datetime | None, datetime | None] | None:
    """Where the changes are followed: cursor, newest, silent until; None where another does so."""
    cursor.execute("SELECT cursor, newest, silent_until FROM follower FOR UPDATE SKIP LOCKED")
    return cursor.fetchone()


def enqueue(
    cursor: Cursor,
    at: tuple[int | None, datetime | None, datetime | None],
    found: Changes,
    now: datetime,
) -> int:
    """Let what changed wait for those who want it, and move the follower; how much waits newly.

    A sighting that waits already waits on with its newest change, so that it is told once.
    """
    position, newest, silent = at
    subscribed = [one for one in _found(cursor) if one.paused_at is None]
    rows: list[tuple[Any, ...]] = []
    if position is None:
        pass  # nobody was told of anything yet
    elif not found.complete:
        for one in subscribed:
            why = "more changed than is remembered, or the view was made anew"
            _gap(cursor, one.subscription_id, found.cursor, newest or one.created_at, why)
        if found.cursor < position:
            silent = newest or now
    else:
        for row in found.rows:
            seen = row.get("last_seen")
            if seen is not None:
                if silent is not None and seen <= silent:
                    continue
                newest = seen if newest is None else max(newest, seen)
            rows += [
                (one.subscription_id, str(row["event_id"]), row["change"])
                for one in subscribed
                if one.wanted.takes(row)
            ]
    if rows:
        execute_values(
            cursor,
            "INSERT INTO waiting (subscription_id, event_id, change) VALUES %s "
            "ON CONFLICT (subscription_id, event_id) DO UPDATE SET change = excluded.change",
            rows,
            template="(%s::uuid, %s::uuid, %s)",
        )
        for one in subscribed:
            if one.waiting + len(rows) > MOST_WAITING:
                pause(cursor, one.subscription_id, f"more than {MOST_WAITING:,} sightings wait")
    cursor.execute(
        "UPDATE follower SET cursor = %s, newest = %s, silent_until = %s",
        (found.cursor, newest, silent),
    )
    return len(rows)


def due(cursor: Cursor, most: int) -> tuple[Subscription, list[Waiting]] | None:
    """A subscription whose time has come, held until the transaction ends, and what is next for it.

    None where nothing is due that no other holds.
    """
    cursor.execute(
        "SELECT subscription_id FROM subscriptions AS one WHERE paused_at IS NULL "
        "AND due <= now() AND EXISTS (SELECT 1 FROM waiting WHERE waiting.subscription_id = "
        "one.subscription_id) ORDER BY due LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"
    )
    row = cursor.fetchone()
    if row is None:
        return None
    cursor.execute(
        "SELECT event_id, change, told FROM waiting WHERE subscription_id = %s "
        "ORDER BY change, event_id LIMIT %s",
        (row[0], most),
    )
    waiting = [Waiting(str(event), change, told) for event, change, told in cursor.fetchall()]
    return _found(cursor, str(row[0]))[0], waiting


def sent(cursor: Cursor, key: str, told: Sequence[Waiting]) -> None:
    """What was sent waits no more, but what changed again meanwhile."""
    execute_values(
        cursor,
        "DELETE FROM waiting USING (VALUES %s) AS told (event_id, change) WHERE "
        f"subscription_id = '{UUID(key)}' AND waiting.event_id = told.event_id::uuid "
        "AND waiting.change = told.change",
        [(one.event_id, one.change) for one in told],
    )
    cursor.execute(
        "UPDATE subscriptions SET failures = 0, failing_since = NULL, last_sent_at = now(), "
        "last_error = '', due = now(), sent = sent + %s WHERE subscription_id = %s::uuid",
        (len(told), key),
    )


def failed(cursor: Cursor, key: str, detail: str, pause_s: float, days: float) -> bool:
    """It is tried again after a pause; True where it has failed for so many days and is paused."""
    cursor.execute(
        "UPDATE subscriptions SET failures = failures + 1, last_error = %s, "
        "failing_since = coalesce(failing_since, now()), due = now() + %s * interval '1 second' "
        "WHERE subscription_id = %s::uuid "
        "RETURNING failing_since < now() - %s * interval '1 day'",
        (detail, pause_s, key, days),
    )
    row = cursor.fetchone()
    return row is not None and row[0] and pause(cursor, key, f"it failed for {days:g} days")


def pause(cursor: Cursor, key: str, why: str) -> bool:
    """Tell a subscription nothing from now on; False where there is none."""
    cursor.execute(
        "UPDATE subscriptions SET paused_at = coalesce(paused_at, now()), why = %s "
        "WHERE subscription_id = %s::uuid",
        (why, key),
    )
    found = cursor.rowcount > 0
    cursor.execute("DELETE FROM waiting WHERE subscription_id = %s::uuid", (key,))
    return found


def _gap(cursor: Cursor, key: str, change: int, since: datetime, why: str) -> None:
    told = orjson.dumps({"since": since, "why": why}, option=orjson.OPT_UTC_Z).decode()
    cursor.execute(
        "INSERT INTO waiting VALUES (%s::uuid, %s, %s, %s) ON CONFLICT DO NOTHING",
        (key, str(uuid5(UUID(key), f"gap {change}")), change, told),
    )


def _found(cursor: Cursor, key: str | None = None) -> list[Subscription]:
    cursor.execute(
        f"SELECT {_COLUMNS}, (SELECT count(*) FROM waiting WHERE waiting.subscription_id = "
        "one.subscription_id) FROM subscriptions AS one "
        "WHERE %(key)s IS NULL OR subscription_id = %(key)s::uuid "
        "ORDER BY created_at, subscription_id",
        {"key": key},
    )
    return [
        Subscription(
            str(row[0]),
            row[1],
            row[2],
            Wanted(frozenset(row[4]), frozenset(row[5]), row[6], row[3]),
            *row[7:],
        )
        for row in cursor.fetchall()
    ]


def _lists(wanted: Wanted) -> tuple[list[str], list[str]]:
    return sorted(wanted.cameras), sorted(wanted.sites)


def _migrate(cursor: Cursor, schema: str) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    cursor.execute("CREATE TABLE IF NOT EXISTS versions (version integer PRIMARY KEY)")
    cursor.execute("SELECT coalesce(max(version), 0) FROM versions")
    ((present,),) = cursor.fetchall()
    if present > len(_MIGRATIONS):
        raise ViewMismatch(
            f"the subscriptions in schema {schema} have version {present}, this program knows "
            f"{len(_MIGRATIONS)}: run the newer program"
        )
    for number, step in enumerate(_MIGRATIONS[present:], present + 1):
        cursor.execute(step)
        cursor.execute("INSERT INTO versions VALUES (%s)", (number,))
