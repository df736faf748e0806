"""Following the sightings' view by its change numbers, for what is derived from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from projections.database import alive, connect, speaking
from projections.schema import DERIVED, LIVE

TURN = 2_000
"""Changes of one turn: few enough that a transaction is short."""

_AT = "SELECT view, changes FROM cursors WHERE chore = %s FOR UPDATE"
_MOVE = (
    "INSERT INTO cursors (chore, view, changes) VALUES (%s, %s, %s) "
    "ON CONFLICT (chore) DO UPDATE SET view = excluded.view, changes = excluded.changes"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a follower, within a transaction of its own.

    ``changed`` are the sightings that changed, each once; one without a row was erased. Where
    ``whole`` is True it is not known what changed (nothing was read yet, the cursor is too old,
    the view was rebuilt): derive all anew. ``cursor`` works in the schema of what is derived.
    """

    cursor: Cursor
    changed: list[str]
    whole: bool


class Following:
    """One follower's way through the changes; for one thread, one process a follower.

    Sightings are read as ``Following.view`` + ``.plate_events``. Raises ViewUnavailable, as
    ViewMissing where there is no view yet.
    """

    def __init__(self, url: str, chore: str, schema: str = DERIVED, view: str = LIVE) -> None:
        self._url = url
        self._chore = chore
        self._schema = schema
        self._connection: Connection | None = None
        self.view = view

    @contextmanager
    def turn(self, limit: int = TURN) -> Iterator[Turn | None]:
        """The next turn; its cursor is stored with what is written in it. None: nothing changed.

        Of ``limit`` changes at most, or of the whole view.
        """
        with self.transaction() as cursor:
            cursor.execute(
                f"SELECT '{self.view}.plate_events'::regclass::oid, changes, coalesce(("
                "SELECT last_change - cardinality(event_ids) "
                f"FROM {self.view}.view_changes ORDER BY last_change LIMIT 1), changes) "
                f"FROM {self.view}.view_state"
            )
            view, latest, oldest = cursor.fetchall()[0]
            cursor.execute(_AT, (self._chore,))
            at = cursor.fetchone()
            if at is None or at[0] != view or not oldest <= at[1] <= latest:
                yield Turn(cursor, [], True)
                cursor.execute(_MOVE, (self._chore, view, latest))
            elif at[1] == latest:
                yield None
            else:
                until = min(at[1] + limit, latest)
                yield Turn(cursor, self._between(cursor, at[1], until), False)
                cursor.execute(_MOVE, (self._chore, view, until))

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction beside the turns, for what was put off in them."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            yield cursor

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _between(self, cursor: Cursor, after: int, until: int) -> list[str]:
        cursor.execute(
            "SELECT DISTINCT event_id FROM ("
            "SELECT last_change - cardinality(event_ids) AS before, event_ids "
            # OFFSET 0: computed once a batch and not, with the whole array read, for each event
            f"FROM {self.view}.view_changes WHERE last_change > %(after)s OFFSET 0) AS batch, "
            "unnest(event_ids) WITH ORDINALITY AS named (event_id, place) "
            "WHERE before + place > %(after)s AND before + place <= %(until)s",
            {"after": after, "until": until},
        )
        return [event_id for (event_id,) in cursor.fetchall()]

    def _session(self) -> Connection:
        if self._connection is None or not alive(self._connection):
            self.close()
            self._connection = connect(self._url, self._schema)
        return self._connection
