"""A view written from several topics: each batch's rows and position in one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import register_default_jsonb

from eventlog.log import Entry
from projections.database import alive, connect, speaking
from projections.position import Reader
from projections.view import Refused
from schemas.codec import Codec, DecodeError
from schemas.topics import TOPICS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a value can do wrong: data exception, integrity, one row twice, a limit (a key too long).
_REFUSALS = ("21", "22", "23", "54")
_MISFITS = (ValueError, OverflowError, TypeError, KeyError)


class Change(NamedTuple):
    """A record of one of the topics, and where it lies; None is a tombstone."""

    entry: Entry
    record: Any


Write = Callable[[Cursor, Sequence[Change]], bool]
"""Writes records of one topic, in their order; whether anything is another than before."""


def held_change(entry: Entry, codec: Codec, *erasable: str) -> Change:
    """What a record does to a view. Raises DecodeError; only what these topics hold can go."""
    if entry.value is None:
        if entry.topic not in erasable:
            raise DecodeError("unreadable", "a record without a value")
        return Change(entry, None)
    name, record = codec.decode(entry.value)
    if name not in TOPICS[entry.topic].records:
        raise DecodeError("schema", f"a {name} does not belong on {entry.topic}")
    return Change(entry, record)


class TopicView:
    """Writes a schema that is there, by the writers of its topics; for one thread.

    ``channel`` is what to NOTIFY on, with the change's number and the topic. Every method raises
    ViewMismatch for another log's view, and ViewUnavailable; after the latter the next call
    connects anew.
    """

    def __init__(
        self,
        url: str,
        reader: Reader,
        writers: Mapping[str, Write],
        channel: str,
    ) -> None:
        self._url = url
        self._reader = reader
        self._writers = writers
        self._channel = channel
        self._connection: Connection | None = None

    def positions(self, topic: str) -> dict[int, int]:
        """The next offset of each partition that was ever read; one that is missing is at 0."""
        with self.writing() as cursor:
            cursor.execute(
                "SELECT partition, next_offset FROM view_positions WHERE topic = %s", (topic,)
            )
            return dict(cursor.fetchall())

    def apply(  # noqa: PLR0917 (a place is four of them)
        self,
        topic: str,
        partition: int,
        expected: int,
        changes: Sequence[Change],
        next_offset: int,
        on_refused: Callable[[list[Refused]], None] = lambda _: None,
    ) -> list[Refused]:
        """Write changes and move the position from ``expected`` to ``next_offset``, or neither.

        The borders of batches do not matter. Returns what no row can hold: all else is written.
        ``on_refused`` is told of them before the position moves, so that they can be kept first.
        Raises PositionConflict when the position is not ``expected`` (0: never read).
        """
        with self.writing() as cursor:
            self._reader.move(cursor, topic, partition, expected, next_offset)
            refused: list[Refused] = []
            if _write(cursor, self._writers[topic], list(enumerate(changes)), refused):
                cursor.execute("UPDATE view_state SET changes = changes + 1 RETURNING changes")
                told = f"{scalar(cursor)} {topic}"
                cursor.execute("SELECT pg_notify(%s, %s)", (self._channel, told))
            if refused:
                on_refused(refused)
            return refused

    @contextmanager
    def writing(self) -> Iterator[Cursor]:
        """A transaction."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            yield cursor

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Connection:
        if self._connection is None or not alive(self._connection):
            self.close()
            self._connection = connect(self._url, self._reader.schema)
            register_default_jsonb(self._connection, loads=orjson.loads)
        return self._connection


def _write(
    cursor: Cursor, write: Write, changes: list[tuple[int, Change]], refused: list[Refused]
) -> bool:
    """Write changes in order, in halves where some cannot be; whether anything is another now."""
    if not changes:
        return False
    cursor.execute("SAVEPOINT changes")
    try:
        changed = write(cursor, [change for _, change in changes])
    except (psycopg2.Error, *_MISFITS) as error:
        if isinstance(error, psycopg2.Error) and (error.pgcode or "")[:2] not in _REFUSALS:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT changes")
        if len(changes) == 1:
            refused.append(Refused(changes[0][0], f"{type(error).__name__}: {error}".strip()))
            return False
        half = len(changes) // 2
        before = _write(cursor, write, changes[:half], refused)
        return _write(cursor, write, changes[half:], refused) or before
    cursor.execute("RELEASE SAVEPOINT changes")
    return changed


def put(
    cursor: Cursor, table: str, rows: Sequence[Mapping[str, Any]], conflict: str = "DO NOTHING"
) -> bool:
    """Insert rows by the columns' names, as one JSON text: fast, and every value is bound."""
    if not rows:
        return False
    cursor.execute(
        f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json) "
        f"ON CONFLICT {conflict}",
        (orjson.dumps(rows).decode(),),
    )
    return cursor.rowcount > 0


def time_of(microseconds: int | None) -> datetime | None:
    """As a row holds it. Raises OverflowError outside of the years 1 to 9999."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def scalar(cursor: Cursor) -> Any:
    """The only value of the only row."""
    ((value,),) = cursor.fetchall()
    return value


def check_texts(record: Mapping[str, Any]) -> None:
    """ValueError or TypeError for a text that no row can hold.

    Asked before rows are made: what a later record of the batch says instead would hide it.
    """
    if b"\\u0000" in orjson.dumps(record) and _nul(record):
        raise ValueError("a text holds a NUL")


def _nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_nul, held))
