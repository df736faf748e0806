"""Who finds sightings for the API: PostgreSQL, or OpenSearch before it; and the words of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from projections.asking import Row, storable
from projections.filters import FACETS, After, Conditions, Search, facet
from projections.plate_index import CHORE, WORDS
from projections.plate_lookup import PlateLookup
from projections.queries import SightingQueries
from projections.schema import DERIVED
from projections.veil import lifted, refuse_guessing
from rules.lookup import lookup
from rules.text import normalise

MOST_WORDS = 8
FUZZY_FROM = 4
"""Characters from which on a word may have a typing error: of three, every third plate is near."""


class Finder(Protocol):
    """Finds sightings as people are shown them.

    Both methods give what one answers to, latest capture first, those behind ``after``; they
    raise ViewUnavailable, QueryTimeout, Veiled and rules.lookup.QuestionError.
    """

    def search(
        self,
        search: Search,
        limit: int = 100,
        offset: int = 0,
        *,
        retracted: bool = False,
        after: After | None = None,
    ) -> list[Row]:
        """Sightings that meet every condition."""
        ...

    def full_text(
        self, text: str, limit: int = 100, offset: int = 0, *, after: After | None = None
    ) -> list[Row]:
        """Sightings that stand and have every word of a text somewhere."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """What one word may stand for.

    ``plates`` are those that begin with it or, from FUZZY_FROM characters on, are one edit away;
    None where they are too many to name: those that begin with ``plate``. ``plate`` is the word as
    a plate, '' where it can be none: another reading of the sighting may be it, too. ``values``
    are the column's that begin with the word or have it behind a sign.
    """

    plate: str
    plates: tuple[str, ...] | None
    values: Mapping[str, tuple[str, ...]]


class PlainFinder:
    """Finds in PostgreSQL."""

    def __init__(self, queries: SightingQueries) -> None:
        self._queries = queries
        self._words = Words(queries)
        self.search = queries.search

    def full_text(
        self, text: str, limit: int = 100, offset: int = 0, *, after: After | None = None
    ) -> list[Row]:
        """Sightings that stand and have every word of a text somewhere."""
        wanted = self._words.all_of(self._words.of(text))
        if wanted is None:
            return []
        return self._queries.standing(wanted, limit, offset, after=after)


class Words:
    """What words mean, by the index of plates and the vocabulary that ``alpr keep`` keeps."""

    def __init__(self, queries: SightingQueries, derived: str = DERIVED) -> None:
        self._queries = queries
        self._plates: PlateLookup = queries.plates
        self._derived = derived

    def of(self, text: str) -> list[Word]:
        """The words of a text, MOST_WORDS at most."""
        refuse_guessing("*")  # a word finds plates by their beginning
        words = [word for word in text.split() if storable(word)][:MOST_WORDS]
        if not words:
            return []
        known = self._vocabulary()
        return [self._word(word, known) for word in words]

    def all_of(self, words: Sequence[Word]) -> Conditions | None:
        """That every word stands for something of the sighting; None where one can for nothing."""
        wanted = Conditions()
        for word in words:
            arms = self._arms(word)
            if not arms.texts:
                return None
            wanted.add(f"({' OR '.join(arms.texts)})", *arms.values)
        return wanted if words else None

    def _arms(self, word: Word) -> Conditions:
        """Conditions of which one has to hold."""
        found = Conditions()
        if word.plates is None:
            named = self._plates.beginning(word.plate)
            found.add(named.condition, *named.values)
        elif word.plates:
            named = self._plates.of(word.plates)
            found.add(f"({named.condition})", *named.values)
        if word.plate:
            found.add("event.was @> jsonb_build_array(%s::text)", word.plate)
            found.add(
                "event.alternatives @> jsonb_build_array(jsonb_build_object('text', %s::text))",
                word.plate,
            )
        facets = [facet(c, value) for c, values in word.values.items() for value in values]
        if named := [one for one in facets if one is not None]:
            found.add(f"{FACETS} && %s", named)
        for column in ("camera_id", "lane"):
            if column in word.values:
                found.add(f"event.{column} = ANY(%s)", list(word.values[column]))
        return found

    def _word(self, text: str, known: Mapping[str, list[str]]) -> Word:
        plate = normalise(text)
        plates: set[str] | None = set()
        if plate:
            begun = self._plates.texts(_asked(plate=f"{plate}*"))
            near = self._plates.texts(_asked(near=plate)) if len(plate) >= FUZZY_FROM else []
            plates = None if begun is None else {*begun, *(near or [])}
        word = text.casefold()
        values = {
            column: tuple(value for value in of_column if _begins(word, value.casefold()))
            for column, of_column in known.items()
        }
        return Word(
            plate,
            None if plates is None else tuple(sorted(plates)),
            {column: found for column, found in values.items() if found},
        )

    def _vocabulary(self) -> dict[str, list[str]]:
        """The values of each column, those of the latest changes among them."""
        columns = ", ".join(f"('{column}', {column})" for column in WORDS)
        with lifted():
            rows = self._queries.ask(
                f"SELECT field, value FROM {self._derived}.vocabulary UNION "
                "SELECT named.field, named.value FROM plate_events, "
                f"LATERAL (VALUES {columns}) AS named (field, value) "
                "WHERE event_id = ANY(ARRAY(SELECT unnest(event_ids) FROM view_changes "
                "WHERE last_change > coalesce((SELECT changes "
                f"FROM {self._derived}.cursors WHERE chore = '{CHORE}'), 0))) "
                "AND named.value <> ''"
            )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["field"], []).append(row["value"])
        return found


def _begins(word: str, value: str) -> bool:
    """Whether a value, or a part of it behind a sign or a space, begins with a word."""
    place = value.find(word)
    while place > 0 and value[place - 1].isalnum():
        place = value.find(word, place + 1)
    return place >= 0


def _asked(**how: Any) -> Any:
    return lookup(**how)
