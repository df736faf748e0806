"""A view's schema, the one that is rebuilt beside it, and the swap of their names."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import connection as Connection

from projections.database import connect, scalar, speaking
from projections.errors import ViewError, ViewUnavailable
from projections.schema import lock_migrations

_LOCK_TIMEOUT_MS = 2_000
_LOCK_ATTEMPTS = 10

Hours = Mapping[datetime, tuple[int, int]]
"""By hour (UTC) the number of rows, and the sum of their hashes, which needs no order."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The names: of the live schema, of the next, of the one that the last swap replaced.

    ``lock``: PostgreSQL's advisory lock of who rebuilds. Methods raise ViewUnavailable.
    """

    live: str
    next: str
    old: str
    lock: int

    @contextmanager
    def alone(self, url: str) -> Iterator[None]:
        """Be the only rebuild of this view. Raises ViewError.

        Of one that was killed the server lets go a moment later, which is waited for.
        """
        with closing(connect(url, self.next)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("SET lock_timeout = %s", (_LOCK_TIMEOUT_MS,))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (self.lock,))
            except LockNotAvailable:
                raise ViewError(
                    "another replay of this view is under way: wait for it, or stop it"
                ) from None
            yield

    def drop_next(self, url: str) -> None:
        """Remove what a rebuild has left."""
        with closing(connect(url, self.next)) as connection, connection:
            _drop(connection, self.next)

    def drop_old(self, url: str) -> bool:
        """Remove the view that the last swap replaced; False where there was none."""
        with speaking(url), closing(connect(url, self.old)) as connection, connection:
            there = scalar(connection, f"SELECT to_regnamespace('{self.old}')") is not None
            _drop(connection, self.old)
        return there

    def swap(
        self,
        url: str,
        catch_up: Callable[[Connection], None],
        carry: Callable[[Connection], None],
    ) -> None:
        """Rename the next schema to the live one and that to the old one, in one transaction.

        ``catch_up`` brings the next one to where the live one stands, whose writer waits by then;
        ``carry`` takes over, where there is a live one, what only it knows. Readers never wait.
        """
        with closing(connect(url, self.next)) as connection:
            connection.autocommit = True
            connection.cursor().execute("ANALYZE")
            _drop(connection, self.old)
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                with closing(connect(url, self.live)) as connection, connection:
                    self._swap_once(connection, catch_up, carry)
                return
            except LockNotAvailable:
                time.sleep(0.1 * (attempt + 1))
        raise ViewUnavailable("the live view is being written without a pause: try again")

    def _swap_once(
        self,
        connection: Connection,
        catch_up: Callable[[Connection], None],
        carry: Callable[[Connection], None],
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            lock_migrations(cursor)
            there = scalar(connection, "SELECT to_regclass('view_positions')") is not None
            if there:
                # Holds up writers, who touch their position first, and no reader.
                cursor.execute("LOCK TABLE view_positions IN EXCLUSIVE MODE")
            catch_up(connection)
            if there:
                carry(connection)
                cursor.execute(_rename(self.live, self.old))
            else:
                cursor.execute(
                    sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(self.live))
                )
            cursor.execute(_rename(self.next, self.live))


def differing(before: Hours, after: Hours) -> Iterator[tuple[datetime, int, int]]:
    """The hours that are not the same, with the numbers of rows before and after."""
    for hour in sorted(before.keys() | after.keys()):
        if before.get(hour) != after.get(hour):
            yield hour, before.get(hour, (0, 0))[0], after.get(hour, (0, 0))[0]


def _rename(schema: str, name: str) -> sql.Composed:
    return sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(
        sql.Identifier(schema), sql.Identifier(name)
    )


def _drop(connection: Connection, schema: str) -> None:
    connection.cursor().execute(
        sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
    )
