"""What asks a view: few connections, shared by threads, read only; rows as dictionaries."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import orjson
from psycopg2.extensions import connection as Connection
from psycopg2.extras import register_default_jsonb

from projections.database import alive, connect, missing, speaking
from projections.errors import ViewMissing, ViewUnavailable
from projections.schema import DERIVED
from projections.veil import lifted, told

Row = dict[str, Any]


class Asking:
    """Reads one schema of a database; any number of threads may share it.

    What leaves it is as the one who asks may see it: projections/veil.py.

    Every method raises ViewUnavailable, as ViewMissing where the schema has no table ``made``,
    and QueryTimeout after ``timeout_ms``. At most ``connections`` are open; who finds none free
    waits for one, no longer than the timeout.
    """

    SETUP: ClassVar[str] = ""
    """SQL that each connection begins with."""

    def __init__(self, url: str, schema: str, made: str, connections: int, timeout_ms: int) -> None:
        self._url = url
        self._schema = schema
        self._made = made
        self._timeout_ms = timeout_ms
        # None is a connection yet to be made. Last in, first out: few stay busy, the rest idle.
        self._pool: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(connections):
            self._pool.put(None)

    def answers(self) -> bool:
        """Whether the database can be asked now."""
        try:
            self._all("SELECT 1")
        except ViewMissing:
            return True
        except ViewUnavailable:
            return False
        return True

    def named(self, pseudonym: str) -> list[str]:
        """The plates of the index that a pseudonym stands for, as they are: to look them up by."""
        with lifted():
            rows = self._all(
                f"SELECT text FROM {DERIVED}.plates WHERE pseudonym = %s ORDER BY text", [pseudonym]
            )
        return [row["text"] for row in rows]

    def close(self) -> None:
        """Close the connections that are free."""
        while not self._pool.empty():
            connection = self._pool.get_nowait()
            if connection is not None:
                connection.close()

    def ask(self, statement: str, values: Any = None) -> list[Row]:
        """The rows of another module's statement, whose values are bound."""
        return self._all(statement, values)

    def _all(self, statement: str, values: Any = None) -> list[Row]:
        with (
            speaking(self._url),
            self._session() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return told(rows)

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        try:
            connection = self._pool.get(timeout=self._timeout_ms / 1000)
        except queue.Empty:
            raise ViewUnavailable(
                "every connection to the database is busy: try again, or allow more connections"
            ) from None
        try:
            if connection is None or not alive(connection):
                if connection is not None:
                    connection.close()
                connection = None
                connection = connect(self._url, self._schema, self._timeout_ms)
                connection.set_session(readonly=True, autocommit=True)
                with connection.cursor() as cursor:
                    if self.SETUP:
                        cursor.execute(self.SETUP)
                    # Asked so, since a server logs every query that names a table it lacks.
                    cursor.execute("SELECT to_regclass(%s)", (self._made,))
                    made = cursor.fetchall()[0][0]
                if made is None:
                    connection.close()
                    raise missing(self._url)
                register_default_jsonb(connection, loads=orjson.loads)
            yield connection
        finally:
            self._pool.put(connection)


def storable(value: Any) -> bool:
    """Whether a row can hold the value; text with a NUL or half a surrogate pair is in none."""
    if not isinstance(value, str):
        return True
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
