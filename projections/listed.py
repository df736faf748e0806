"""Which plates the entries of watchlists mean, as the rules match them: a chore of its own."""

from collections.abc import Iterator

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from projections.alert_schema import ALERTS_LIVE
from projections.following import Following
from projections.schema import DERIVED
from rules.alerts.watch import LIKE
from rules.neighbourhood import MOST_EDITS, kept_keys, wanted_keys
from rules.similarity import fold, similarity
from rules.wildcard import follows, like, wanted_grams

_ENTRIES, _PLATES = 200, 500  # of one turn: about a second
_MATCHED = "INSERT INTO listed VALUES %s ON CONFLICT DO NOTHING"

Entry = tuple[str, str, str]
"""Watchlist, plate, match."""


class Listed:
    """Matches entries with the plates of the index, and new plates with the entries.

    ``exact``, ``wildcard`` and ``fuzzy`` mean what they mean for alerts (rules/alerts/watch.py). A
    fuzzy plate of 20 characters and more, which may lack three, is found with up to two edits.
    """

    name = "listed"

    def __init__(self, url: str, schema: str = DERIVED, alerts: str = ALERTS_LIVE) -> None:
        self._following = Following(url, self.name, schema)
        self._alerts = alerts
        self._seen: int | None = None

    def step(self) -> bool:
        """Match some of what is new on either side."""
        with self._following.transaction() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (f"{self._alerts}.watchlist",))
            ((there,),) = cursor.fetchall()
            entries = there is not None and self._take_entries(cursor)
            return self._take_plates(cursor) or entries

    def close(self) -> None:
        """Release the connection."""
        self._following.close()

    def _take_entries(self, cursor: Cursor) -> bool:
        cursor.execute(f"SELECT changes FROM {self._alerts}.view_state")
        ((changes,),) = cursor.fetchall()
        if changes == self._seen:
            return False
        same = (
            "known.watchlist = said.watchlist AND known.entry = said.plate "
            "AND known.match = said.match"
        )
        cursor.execute(
            f"WITH gone AS (DELETE FROM listed_entries AS known WHERE NOT EXISTS "
            f"(SELECT FROM {self._alerts}.watchlist AS said WHERE {same}) RETURNING *) "
            "DELETE FROM listed USING gone "
            "WHERE (listed.watchlist, listed.entry) = (gone.watchlist, gone.entry)"
        )
        cursor.execute(
            f"SELECT watchlist, plate, match FROM {self._alerts}.watchlist AS said "
            f"WHERE NOT EXISTS (SELECT FROM listed_entries AS known WHERE {same}) LIMIT %s",
            (_ENTRIES,),
        )
        entries: list[Entry] = cursor.fetchall()
        for entry in entries:
            _write(cursor, ((*entry[:2], text) for text in _meant(cursor, entry)))
        if entries:
            execute_values(
                cursor,
                "INSERT INTO listed_entries VALUES %s",
                [(*e, kept_keys(fold(e[1])) if e[2] == "fuzzy" else None) for e in entries],
            )
        else:
            self._seen = changes
        return bool(entries)

    @staticmethod
    def _take_plates(cursor: Cursor) -> bool:
        cursor.execute(
            "DELETE FROM fresh_plates WHERE text IN (SELECT text FROM fresh_plates LIMIT %s) "
            "RETURNING text",
            (_PLATES,),
        )
        texts = [text for (text,) in cursor.fetchall()]
        if not texts:
            return False
        cursor.execute("SELECT watchlist, entry FROM listed_entries WHERE match = 'wildcard'")
        patterns = cursor.fetchall()
        cursor.execute(
            "INSERT INTO listed SELECT watchlist, entry, entry FROM listed_entries "
            "WHERE match = 'exact' AND entry = ANY(%s) ON CONFLICT DO NOTHING",
            (texts,),
        )
        for text in texts:
            cursor.execute(
                "SELECT watchlist, entry FROM listed_entries WHERE keys && %s",
                (wanted_keys(fold(text), MOST_EDITS),),
            )
            near = [found for found in cursor.fetchall() if similarity(found[1], text) >= LIKE]
            near += [found for found in patterns if follows(found[1], text)]
            _write(cursor, ((*found, text) for found in near))
        return True


def _meant(cursor: Cursor, entry: Entry) -> list[str]:
    """The plates of the index that an entry means."""
    _, plate, match = entry
    if match == "exact":
        cursor.execute("SELECT text FROM plates WHERE text = %s", (plate,))
    elif match == "wildcard":
        grams = wanted_grams(fold(plate))
        cursor.execute(
            "SELECT text FROM plates WHERE text LIKE %s AND grams @> %s", (like(plate), grams)
        )
    else:
        keys = wanted_keys(fold(plate), MOST_EDITS)
        cursor.execute("SELECT text FROM plates WHERE keys && %s", (keys,))
    found = [text for (text,) in cursor.fetchall()]
    return found if match != "fuzzy" else [t for t in found if similarity(plate, t) >= LIKE]


def _write(cursor: Cursor, rows: Iterator[tuple[str, str, str]]) -> None:
    if found := list(rows):
        execute_values(cursor, _MATCHED, found, page_size=500)
