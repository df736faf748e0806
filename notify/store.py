"""The queue's schema in PostgreSQL, connections to it, and where reading the alerts begins."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from importlib.resources import files

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from eventlog.log import Log
from eventlog.span import first_since
from projections.database import alive, connect, speaking
from projections.errors import ViewMismatch
from schemas.topics import ALERTS

SCHEMA = "alpr_notify"
KNOWN = 1_200_000_000
"""Microseconds of alpr.alerts before a queue's beginning that it knows: twice what the alerts' flow
goes back without its store, and an alert is told at most after it was raised."""
_LOCK = 0x6E6F7469  # 'noti': one at a time changes the schema, or stores where reading begins


class Session:
    """One connection to the queue, made when needed and anew when it broke; for one thread.

    Methods raise ViewUnavailable and the other errors of ``projections.errors``.
    """

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self.url = url
        self.schema = schema
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction that is committed with the block, or undone where it fails."""
        with speaking(self.url):
            connection = self.connected()
            with connection, connection.cursor() as cursor:
                yield cursor

    def connected(self) -> Connection:
        """The living connection."""
        if not alive(self._connection):
            self.close()
            self._connection = connect(self.url, self.schema)
            with self._connection, self._connection.cursor() as cursor:
                # A row in work is free again when its worker's machine has gone, or hangs.
                cursor.execute(
                    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; "
                    "SET tcp_keepalives_count = 3; "
                    "SET idle_in_transaction_session_timeout = '10min'"
                )
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        """End the connection; what was not committed is undone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def migrate(url: str, schema: str = SCHEMA) -> None:
    """Make the tables, or bring them to this program's version.

    Raises ViewMismatch where a newer program made them; ViewUnavailable.
    """
    with closing(Session(url, schema)) as session, session.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        cursor.execute("CREATE TABLE IF NOT EXISTS versions (version integer PRIMARY KEY)")
        cursor.execute("SELECT coalesce(max(version), 0) FROM versions")
        ((present,),) = cursor.fetchall()
        steps = _steps()
        if present > len(steps):
            raise ViewMismatch(
                f"the queue in schema {schema} has version {present}, this program knows "
                f"{len(steps)}: run the newer program"
            )
        for number, step in enumerate(steps[present:], present + 1):
            cursor.execute(step)
            cursor.execute("INSERT INTO versions VALUES (%s)", (number,))


@cache
def _steps() -> tuple[str, ...]:
    found = [
        file
        for file in (files("notify") / "migrations").iterdir()
        if re.fullmatch(r"\d{3}_\w+\.sql", file.name)
    ]
    return tuple(
        file.read_text(encoding="utf-8") for file in sorted(found, key=lambda file: file.name)
    )


def begin(url: str, log: Log, schema: str = SCHEMA, *, now: int | None = None) -> dict[int, int]:
    """Where reading alpr.alerts goes on, by partition: where it was, else a little before the end.

    Of what was there before this call nothing is told; of what is appended after it all is,
    whoever reads it and when. The last of what was there is read nevertheless: should the alerts'
    flow have lost its store as well, it raises the latest alerts again, and they are known then.
    A position beyond the log's end, as after a log was put back to an older copy, becomes the end.
    Raises ViewMismatch for another log's queue. ``now`` is the wall's time, microseconds UTC.
    """
    migrate(url, schema)
    ends = {p: log.end(ALERTS.name, p) for p in range(log.partitions(ALERTS.name))}
    since = (time.time_ns() // 1000 if now is None else now) - KNOWN
    near = log.since(ALERTS.name, since)
    starts = {
        p: min(end, first_since(log, ALERTS.name, p, since, near.get(p, 0)))
        for p, end in ends.items()
    }
    with closing(Session(url, schema)) as session, session.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for partition, end in ends.items():
            cursor.execute(
                "INSERT INTO positions AS at (topic, partition, next_offset, log_uuid, told_from) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (topic, partition) DO UPDATE "
                "SET next_offset = excluded.told_from, told_from = excluded.told_from "
                "WHERE at.log_uuid = excluded.log_uuid AND at.next_offset > excluded.told_from",
                (ALERTS.name, partition, starts[partition], log.uuid, end),
            )
        cursor.execute("SELECT partition, next_offset, log_uuid FROM positions")
        rows = cursor.fetchall()
        for _, _, owner in rows:
            if owner != log.uuid:
                raise ViewMismatch(
                    f"the queue in schema {schema} is of log {owner}, this is log {log.uuid}: point"
                    f" to the right log or database, or give the queue up by `DROP SCHEMA {schema} "
                    "CASCADE`; a new one begins at the end of this log"
                )
        return {partition: offset for partition, offset, _ in rows}


def told(url: str, ends: Mapping[int, int], schema: str = SCHEMA) -> bool:
    """Whether alpr.alerts was read up to ``ends`` and all that was due of it has been tried."""
    with closing(Session(url, schema)) as session, session.transaction() as cursor:
        cursor.execute("SELECT partition, next_offset FROM positions")
        at = dict(cursor.fetchall())
        cursor.execute(
            "SELECT 1 FROM deliveries WHERE state = 'waiting' AND attempts = 0 AND due <= "
            "extract(epoch FROM clock_timestamp()) * 1000000 LIMIT 1"
        )
        return cursor.fetchone() is None and all(at.get(p, 0) >= end for p, end in ends.items())
