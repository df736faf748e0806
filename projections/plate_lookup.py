"""Which plates are meant by a question: candidates by the index of plates, each compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from projections.alert_schema import ALERTS_LIVE
from projections.asking import Row
from projections.filters import Conditions
from projections.plate_index import CHORE, CORRECTED
from projections.schema import DERIVED
from projections.shown import PEOPLE, TEXT
from projections.veil import lifted
from rules.lookup import Lookup
from rules.neighbourhood import wanted_keys
from rules.similarity import FOLDED, fold
from rules.wildcard import is_pattern, like, wanted_grams

MOST = 2_000
"""Plates that sightings are looked for by: of a pattern that means more, the next hundred
sightings are found sooner by going through them in the order of time."""

LISTED_AS = (
    f"{DERIVED}.listed AS named JOIN {ALERTS_LIVE}.watchlist AS entry "
    "ON entry.watchlist = named.watchlist AND entry.plate = named.entry"
)
"""Plates with the entries of watchlists that mean them (projections/listed.py)."""

Ask = Callable[[str, Any], list[Row]]

_FOLDED_TEXT = f"translate({TEXT}, '{''.join(FOLDED)}', '{''.join(FOLDED.values())}')"


class Plates(NamedTuple):
    """A condition on ``event`` and ``said`` and its values."""

    condition: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    """How far the index is: ``whole`` if it has all but what changed after ``changes``."""

    whole: bool
    behind: bool
    changes: int


class PlateLookup:
    """Asks the index of plates; what it has not yet taken up is looked through beside it.

    So nothing is missed while ``alpr keep`` is away or behind; it only takes longer.
    """

    def __init__(self, ask: Ask, derived: str = DERIVED) -> None:
        self._ask = ask
        self._derived = derived

    def plates(self, asked: Lookup) -> Plates:
        """The condition that holds for the sightings of the plates that are meant."""
        if asked.exact is not None:
            return self.of([asked.exact])
        texts = self.texts(asked)
        return self.of(texts) if texts is not None else _by_pattern(asked)

    def of(self, texts: Sequence[str]) -> Plates:
        """The same for plates whose texts are known."""
        corrected = self._ask(
            f"SELECT event_id FROM {PEOPLE}.corrected WHERE text = ANY(%s)", (list(texts),)
        )
        one = texts[0] if len(texts) == 1 else None
        # A single value, so that the index gives its sightings in the order of time.
        read = "event.plate_normalized_text " + ("= ANY(%s)" if one is None else "= %s")
        value = list(texts) if one is None else one
        if not corrected:
            return Plates(f"{read} AND said.text IS NULL", [value])
        ids = [str(row["event_id"]) for row in corrected]
        return Plates(
            f"({read} OR event.event_id = ANY(%s::uuid[])) AND {TEXT} = ANY(%s)",
            [value, ids, list(texts)],
        )

    @staticmethod
    def beginning(text: str) -> Plates:
        """The same for plates that begin with a normal text, however many."""
        return Plates(f"{TEXT} LIKE %s", [f"{text}%"])

    def of_pseudonym(self, pseudonym: str) -> Plates:
        """The same for the plates that are told by a pseudonym."""
        rows = self._texts(
            f"SELECT text FROM {self._derived}.plates WHERE pseudonym = %s", (pseudonym,)
        )
        return self.of(rows)

    def texts(self, asked: Lookup, most: int = MOST) -> list[str] | None:
        """The plates that are meant; None where a pattern means more than ``most``."""
        kept = self._kept()
        # What is near is known by few keys, and compared here; a pattern may mean any number.
        limit = "" if asked.near is not None else f" LIMIT {most + 1}"
        if kept.whole:
            condition, values = self._indexed(asked)
            found = self._texts(
                f"SELECT text FROM {self._derived}.plates WHERE {condition}{limit}", values
            )
            if kept.behind:
                found += self._behind(kept.changes)
        else:
            found = self._all_texts(asked)
        means = sorted({text for text in found if asked.means(text)})
        return None if limit and len(means) > most else means

    def listed(self, entry: Conditions, most: int = MOST) -> list[str] | None:
        """The plates that entries of watchlists mean; None where they are more than ``most``."""
        found = self._texts(
            f"SELECT DISTINCT named.text FROM {LISTED_AS} {entry.where()}LIMIT {most + 1}",
            entry.values,
        )
        return None if len(found) > most else found

    def _indexed(self, asked: Lookup) -> tuple[str, list[Any]]:
        """Conditions on the index, necessary but perhaps not sufficient."""
        conditions: list[str] = []
        values: list[Any] = []
        if asked.near is not None:
            conditions.append("keys && %s")
            values.append(wanted_keys(fold(asked.near), asked.edits))
        if asked.pattern is not None:
            column = "folded" if asked.confusable else "text"
            if is_pattern(asked.pattern):
                conditions.append(f"{column} LIKE %s")
                values.append(like(asked.pattern))
                if grams := wanted_grams(fold(asked.pattern)):
                    conditions.append("grams @> %s")
                    values.append(grams)
            else:
                conditions.append(f"{column} = %s")
                values.append(asked.pattern)
        return " AND ".join(conditions), values

    def _kept(self) -> _Kept:
        """How far the index is, of the sightings and of the corrections."""
        row = self._ask(
            "SELECT at.view = 'plate_events'::regclass::oid AS same, at.changes, "
            "state.changes AS latest, said.changes AS said, people.changes AS heard, coalesce(("
            "SELECT last_change - cardinality(event_ids) "
            "FROM view_changes ORDER BY last_change LIMIT 1), state.changes) AS oldest "
            f"FROM view_state AS state CROSS JOIN {PEOPLE}.view_state AS said "
            f"LEFT JOIN {self._derived}.cursors AS at ON at.chore = '{CHORE}' "
            f"LEFT JOIN {self._derived}.cursors AS people ON people.chore = '{CORRECTED}'",
            (),
        )[0]
        whole = bool(row["same"]) and row["oldest"] <= row["changes"] <= row["latest"]
        behind = row["changes"] != row["latest"] or row["said"] != row["heard"]
        return _Kept(whole, behind, row["changes"] or 0)

    def _behind(self, changes: int) -> list[str]:
        """Plates of what the index may not have taken up."""
        return self._texts(
            "SELECT plate_normalized_text AS text FROM plate_events "
            "WHERE event_id = ANY(ARRAY(SELECT unnest(event_ids) FROM view_changes "
            "WHERE last_change > %s)) "
            f"UNION SELECT text FROM {PEOPLE}.corrected WHERE text IS NOT NULL",
            (changes,),
        )

    def _all_texts(self, asked: Lookup) -> list[str]:
        """Every plate that there is, without an index; of a pattern those that follow it."""
        where, values = "", []
        if asked.pattern is not None and not asked.confusable:
            where, values = " WHERE text LIKE %s", [like(asked.pattern)]
        return self._texts(
            "SELECT DISTINCT text FROM (SELECT plate_normalized_text AS text FROM plate_events "
            f"UNION ALL SELECT text FROM {PEOPLE}.corrected WHERE text IS NOT NULL) AS t{where}",
            values,
        )

    def _texts(self, statement: str, values: Any) -> list[str]:
        with lifted():  # to be compared, and told to nobody
            return [row["text"] for row in self._ask(statement, values)]


def _by_pattern(asked: Lookup) -> Plates:
    """A condition on every sighting, for a pattern that means many plates."""
    text = _FOLDED_TEXT if asked.confusable else TEXT
    return Plates(f"{text} LIKE %s", [like(asked.pattern or "")])
