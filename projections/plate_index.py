"""The index of plates: a row for each distinct text, with what it is found by."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from io import StringIO
from itertools import islice

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from projections.following import Following
from projections.schema import DERIVED, LIVE
from projections.shown import PEOPLE
from rules.neighbourhood import kept_keys
from rules.similarity import fold
from rules.wildcard import kept_grams

WORDS = (
    *("camera_id", "site_id", "zone", "lane", "direction", "plate_region"),
    *("vehicle_type", "vehicle_make", "vehicle_model", "vehicle_color"),
)
"""Columns whose values are words of the full text; of each there are few."""
CHORE = "plates"
CORRECTED = "plates corrected"
"""The names of its cursors: of the sightings, and of what people say of them."""
LONGEST = 200
"""Characters of a word at most: one that no index can hold would hold all others up."""
SWEEP_S = 60.0
"""How often at most it is looked for plates that nothing has any more: it reads every text."""
_BATCH = 10_000  # rows of a COPY: some 4 MB
_COLUMNS = "text, folded, keys, grams, pseudonym"
_KNOWN = "SELECT text FROM plates WHERE text = ANY(%s)"
_ADD = f"INSERT INTO plates ({_COLUMNS}) VALUES %s ON CONFLICT DO NOTHING"
_FRESH = "INSERT INTO fresh_plates VALUES %s ON CONFLICT DO NOTHING"
_WORD = "INSERT INTO vocabulary VALUES %s ON CONFLICT DO NOTHING"
_HEARD = (
    f"INSERT INTO cursors VALUES ('{CORRECTED}', '{PEOPLE}.corrected'::regclass, %s) "
    "ON CONFLICT (chore) DO UPDATE SET view = excluded.view, changes = excluded.changes"
)
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PlateIndex:
    """Follows the sightings and what people say of them; a chore of ``alpr keep``.

    ``clock`` gives seconds that only grow. ``named`` gives the pseudonym of a plate, which is
    written with it: to add it later would make every index entry anew.
    """

    name = CHORE

    def __init__(
        self,
        url: str,
        schema: str = DERIVED,
        view: str = LIVE,
        clock: Callable[[], float] = time.monotonic,
        named: Callable[[str], str] | None = None,
    ) -> None:
        self._named = named
        self._following = Following(url, self.name, schema, view)
        self._clock = clock
        self._gone = (
            f"NOT EXISTS (SELECT FROM {view}.plate_events "
            "WHERE plate_normalized_text = plates.text) "
            f"AND NOT EXISTS (SELECT FROM {PEOPLE}.corrected WHERE corrected.text = plates.text)"
        )
        self._said: tuple[object, ...] | None = None
        self._stale = True  # since nobody knows what went while this process was away
        self._swept = -SWEEP_S

    def step(self) -> bool:
        """Take up what changed; look now and then for what is gone."""
        done = self._follow()
        self._look_at_corrections()
        if not done and self._stale and self._clock() - self._swept >= SWEEP_S:
            with self._following.transaction() as cursor:
                cursor.execute(
                    f"DELETE FROM plates WHERE {self._gone}; DELETE FROM listed "
                    "WHERE NOT EXISTS (SELECT FROM plates WHERE plates.text = listed.text)"
                )
            self._swept, self._stale = self._clock(), False
        return done

    def forget(self, texts: Sequence[str]) -> None:
        """Remove plates at once, whatever has them, as when they are to be forgotten."""
        with self._following.transaction() as cursor:
            cursor.execute("DELETE FROM plates WHERE text = ANY(%s)", (list(texts),))
            cursor.execute("DELETE FROM listed WHERE text = ANY(%s)", (list(texts),))

    def close(self) -> None:
        """Release the connection."""
        self._following.close()

    def _follow(self) -> bool:
        with self._following.turn() as turn:
            if turn is None:
                return False
            if turn.whole:
                self._take_all(turn.cursor)
            else:
                self._take(turn.cursor, turn.changed)
            return True

    def _take(self, cursor: Cursor, changed: list[str]) -> None:
        """Add the plates of sightings; drop those that they alone had before."""
        cursor.execute(
            f"SELECT plate_normalized_text, was, {', '.join(WORDS)} "
            f"FROM {self._following.view}.plate_events WHERE event_id = ANY(%s::uuid[])",
            (changed,),
        )
        rows = cursor.fetchall()
        if len(rows) < len(changed):  # erased: what they read nobody knows any more
            self._stale = True
        texts = {row[0] for row in rows}
        self._add(cursor, texts)
        if before := {text for row in rows for text in row[1]} - texts:
            cursor.execute(
                f"DELETE FROM plates WHERE text = ANY(%s) AND {self._gone}", (list(before),)
            )
        self._learn(cursor, [row[2:] for row in rows])

    @staticmethod
    def _learn(cursor: Cursor, rows: Iterable[Sequence[str | None]]) -> None:
        """Add the words of rows of WORDS."""
        words = {
            (field, value)
            for row in rows
            for field, value in zip(WORDS, row, strict=True)
            if value and len(value) <= LONGEST
        }
        if words:
            execute_values(cursor, _WORD, sorted(words))

    def _look_at_corrections(self) -> None:
        """Add the plates that people named; there are few beside those that were read."""
        with self._following.transaction() as cursor:
            cursor.execute(
                f"SELECT (SELECT changes FROM {PEOPLE}.view_state), retained_from "
                f"FROM {self._following.view}.view_state"
            )
            said = cursor.fetchall()[0]
            if said == self._said:
                return
            cursor.execute(
                f"SELECT DISTINCT text FROM {PEOPLE}.corrected WHERE text IS NOT NULL "
                "AND NOT EXISTS (SELECT FROM plates WHERE plates.text = corrected.text)"
            )
            self._add(cursor, [text for (text,) in cursor.fetchall()])
            cursor.execute(_HEARD, (said[0],))
        self._said, self._stale = said, True

    def _take_all(self, cursor: Cursor) -> None:
        """Add every plate that is lacking, whatever changed; as a new table where there is none."""
        view = self._following.view
        cursor.execute("SELECT NOT EXISTS (SELECT FROM plates)")
        ((empty,),) = cursor.fetchall()
        texts = f"SELECT DISTINCT plate_normalized_text FROM {view}.plate_events"
        if empty:
            self._build(cursor, texts)
        else:
            known = "EXISTS (SELECT FROM plates WHERE text = plate_normalized_text)"
            for part in _parts(cursor, f"{texts} WHERE NOT {known}"):
                self._add(cursor, part)
        # In one scan: together, too, these have few values.
        cursor.execute(f"SELECT DISTINCT {', '.join(WORDS)} FROM {view}.plate_events")
        self._learn(cursor, cursor.fetchall())
        self._stale = True

    def _add(self, cursor: Cursor, texts: Iterable[str]) -> None:
        wanted = set(texts)
        if not wanted:
            return
        cursor.execute(_KNOWN, (list(wanted),))
        wanted -= {text for (text,) in cursor.fetchall()}
        if wanted:
            fresh = sorted(wanted)
            execute_values(cursor, _ADD, [self._row(text) for text in fresh], page_size=500)
            execute_values(cursor, _FRESH, [(text,) for text in fresh], page_size=500)

    def _build(self, cursor: Cursor, texts: str) -> None:
        """Fill a new table, make its indexes, and put it in the place of the empty one.

        Ten times quicker than row by row; who searches meanwhile sees the empty one.
        """
        cursor.execute(
            "SET LOCAL maintenance_work_mem = '256MB'; "
            "CREATE TABLE building (LIKE plates INCLUDING ALL EXCLUDING INDEXES)"
        )
        for part in _parts(cursor, texts):
            rows = StringIO("".join(map(self._line, part)))
            cursor.copy_expert(f"COPY building ({_COLUMNS}) FROM STDIN", rows)
        cursor.execute(
            "ALTER TABLE building ADD CONSTRAINT building_pkey PRIMARY KEY (text); "
            "CREATE INDEX building_folded ON building (folded); "
            "CREATE INDEX building_keys ON building USING gin (keys) WITH (fastupdate = off); "
            "CREATE INDEX building_grams ON building USING gin (grams) WITH (fastupdate = off); "
            "CREATE INDEX building_pseudonym ON building (pseudonym); "
            "ANALYZE building; "
            "DROP TABLE plates; "
            "TRUNCATE listed, listed_entries; "  # to be matched with all of these
            "ALTER TABLE building RENAME TO plates; "
            "ALTER INDEX building_pkey RENAME TO plates_pkey; "
            "ALTER INDEX building_folded RENAME TO idx_plates_folded; "
            "ALTER INDEX building_keys RENAME TO idx_plates_keys; "
            "ALTER INDEX building_grams RENAME TO idx_plates_grams; "
            "ALTER INDEX building_pseudonym RENAME TO idx_plates_pseudonym"
        )

    def _row(self, text: str) -> tuple[str, str, list[int], list[int], str | None]:
        folded = fold(text)
        pseudonym = None if self._named is None else self._named(text)
        return text, folded, kept_keys(folded), kept_grams(folded), pseudonym

    def _line(self, text: str) -> str:
        """The same as a line of COPY."""
        text, folded, keys, grams, pseudonym = self._row(text)
        arrays = "\t".join("{" + ",".join(map(str, numbers)) + "}" for numbers in (keys, grams))
        name = "\\N" if pseudonym is None else pseudonym
        return f"{text.translate(_ESCAPED)}\t{folded.translate(_ESCAPED)}\t{arrays}\t{name}\n"


def _parts(cursor: Cursor, texts: str) -> Iterator[list[str]]:
    """The texts that a query gives, without holding all of them."""
    with closing(cursor.connection.cursor("texts")) as found:
        found.itersize = _BATCH
        found.execute(texts)
        rows = iter(found)
        while part := [text for (text,) in islice(rows, _BATCH)]:
            yield part
