"""How far a view has read a partition, moved by compare-and-set."""

from typing import NamedTuple

from psycopg2.extensions import cursor as Cursor

from projections.errors import PositionConflict
from projections.schema import other_log

_MOVE = (
    "INSERT INTO view_positions AS at (topic, partition, next_offset, log_uuid) "
    "SELECT %(topic)s, %(partition)s, %(next)s, log_uuid FROM view_state "
    "WHERE log_uuid = %(log)s AND (%(expected)s = 0 OR EXISTS (SELECT FROM view_positions "
    "WHERE topic = %(topic)s AND partition = %(partition)s)) "
    "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset "
    "WHERE at.next_offset = %(expected)s AND at.log_uuid = excluded.log_uuid"
)
_OWNER = "SELECT log_uuid FROM view_state"
_AT = "SELECT next_offset FROM view_positions WHERE topic = %(topic)s AND partition = %(partition)s"


class Reader(NamedTuple):
    """Whose positions: the schema, which the connection works in, and the log it was made from.

    ``command`` is what rebuilds it.
    """

    schema: str
    log_uuid: str
    command: str = "alpr replay"

    def move(
        self, cursor: Cursor, topic: str, partition: int, expected: int, next_offset: int
    ) -> None:
        """Move a position from ``expected`` (0: never read) to ``next_offset``.

        Raises PositionConflict when it is not ``expected``, ViewMismatch for another log's view.
        """
        if next_offset < expected:
            raise ValueError(f"the position cannot go back from {expected} to {next_offset}")
        values = {
            "topic": topic,
            "partition": partition,
            "expected": expected,
            "next": next_offset,
            "log": self.log_uuid,
        }
        cursor.execute(_MOVE, values)
        if cursor.rowcount == 1:
            return
        cursor.execute(_OWNER)
        ((owner,),) = cursor.fetchall()
        if owner != self.log_uuid:
            raise other_log(self.schema, str(owner), self.log_uuid, self.command)
        cursor.execute(_AT, values)
        stands = cursor.fetchone()
        raise PositionConflict(
            f"{topic}, partition {partition}: the view stands at {stands[0] if stands else 0}, "
            f"this writer expected {expected}. Another writer moved it or the database was "
            "restored: run one writer a partition, and start again from the view's positions"
        )
