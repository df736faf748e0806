"""The pseudonyms of the plates in the index, so that a plate is found by its own."""

from contextlib import closing

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from projections.database import alive, connect, speaking
from projections.schema import DERIVED
from rules.pseudonym import Pseudonyms

_TURN = 5_000  # plates of one transaction: some 50 ms
_NAME = (
    "UPDATE plates SET pseudonym = named.pseudonym "
    "FROM (VALUES %s) AS named (text, pseudonym) WHERE plates.text = named.text"
)


class Naming:
    """Fills in what is missing; a chore of ``alpr keep``. With another key all are made anew."""

    name = "pseudonyms"

    def __init__(self, url: str, names: Pseudonyms, schema: str = DERIVED) -> None:
        self._url = url
        self._names = names
        self._schema = schema
        self._connection: Connection | None = None
        self._checked = False

    def step(self) -> bool:
        """Name some plates; whether there were any without a pseudonym."""
        with speaking(self._url):
            connection = self._session()
            with connection, connection.cursor() as cursor:
                if not self._checked:
                    cursor.execute(
                        "SELECT text, pseudonym FROM plates WHERE pseudonym IS NOT NULL LIMIT 1"
                    )
                    if any(self._names.of(text) != name for text, name in cursor.fetchall()):
                        cursor.execute("UPDATE plates SET pseudonym = NULL")
                    self._checked = True
                cursor.execute("SELECT text FROM plates WHERE pseudonym IS NULL LIMIT %s", (_TURN,))
                found = [(text, self._names.of(text)) for (text,) in cursor.fetchall()]
                if found:
                    execute_values(cursor, _NAME, found, page_size=_TURN)
                return bool(found)

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None

    def _session(self) -> Connection:
        if self._connection is None or not alive(self._connection):
            self.close()
            self._checked = False
            self._connection = connect(self._url, self._schema)
        return self._connection
