"""Searches by OpenSearch: it names the sightings, PostgreSQL shows them as they are.

What OpenSearch finds is a superset, page by page; each sighting is then read from PostgreSQL under
every condition of the search, so that corrections, grants and what was said last hold as they do
without OpenSearch, and both find the same. While OpenSearch is away PostgreSQL, which has it all,
answers alone.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from opensearchpy.exceptions import TransportError

from projections.asking import Row
from projections.errors import AccessRefused, ViewMismatch, ViewUnavailable
from projections.filters import COLUMNS, After, Conditions, Search
from projections.finding import PlainFinder, Word, Words
from projections.queries import SightingQueries
from projections.search_index import ALIAS
from projections.search_server import SearchServer
from projections.shown import PEOPLE
from projections.veil import lifted, told
from rules.lookup import Lookup
from rules.wildcard import is_pattern

_log = logging.getLogger(__name__)

DEEPEST = 2_000
"""Sightings that are skipped by walking over them; PostgreSQL skips more at once."""
_MOST_TERMS = 10_000  # of one query: of the 65,536 that index.max_terms_count allows
_PAGE = 1_000
_REST_S = 10.0  # OpenSearch is not asked again for so long after it did not answer
_TELL_S = 60.0  # how often that is said
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_LAST = datetime(2262, 1, 1, tzinfo=UTC)  # of nanoseconds in 64 bits

Query = dict[str, Any]


class _Plainly(Exception):
    """PostgreSQL is to answer this one alone."""


class _Question(NamedTuple):
    """What OpenSearch is asked, and by what PostgreSQL then shows it."""

    filters: list[Query]
    wanted: Conditions
    asked: Lookup | None = None
    retracted: bool = False


class SearchFinder:
    """Finds in the live view of OpenSearch; see projections.finding.Finder.

    ``clock`` gives seconds that only grow.
    """

    def __init__(
        self,
        server: SearchServer,
        queries: SightingQueries,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._queries = queries
        self._plain = PlainFinder(queries)
        self._words = Words(queries)
        self._clock = clock
        self._told = -_TELL_S
        self._rested = 0.0

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
        try:
            self._rest()
            wanted, asked = self._queries.wanted(search)
            if wanted.impossible:
                return []
            shown = retracted or search.status == "retracted"
            filters = [*_filters(search), *self._plates(search, asked)]
            question = _Question(filters, wanted, asked, shown)
            return self._walk(question, (limit, offset), after)
        except _Plainly:
            pass
        except (ViewUnavailable, ViewMismatch, AccessRefused, TransportError) as error:
            self._away(error)
        return self._plain.search(search, limit, offset, retracted=retracted, after=after)

    def full_text(
        self, text: str, limit: int = 100, offset: int = 0, *, after: After | None = None
    ) -> list[Row]:
        """Sightings that stand and have every word of a text somewhere."""
        try:
            self._rest()
            words = self._words.of(text)
            wanted = self._words.all_of(words)
            if wanted is None:
                return []
            question = _Question([self._word(word) for word in words], wanted)
            return self._walk(question, (limit, offset), after)
        except _Plainly:
            pass
        except (ViewUnavailable, ViewMismatch, AccessRefused, TransportError) as error:
            self._away(error)
        return self._plain.full_text(text, limit, offset, after=after)

    def _rest(self) -> None:
        if self._clock() < self._rested:
            raise _Plainly

    def _away(self, error: Exception) -> None:
        self._rested = self._clock() + _REST_S
        if self._clock() - self._told >= _TELL_S:
            self._told = self._clock()
            _log.warning("PostgreSQL answers searches alone: %s", " ".join(str(error).split()))

    def _plates(self, search: Search, asked: Lookup | None) -> Iterator[Query]:
        """That the plate is one of those that are meant, or that a person said so."""
        texts = self._queries.listed(search)
        if texts is not None:
            yield self._named(texts)
        if asked is None:
            if search.plate is not None:  # a pseudonym
                raise _Plainly
            return
        if asked.near is not None:
            if len(asked.near) <= asked.edits:
                raise _Plainly  # any short plate is near, and Lucene compares none with nothing
            yield self._or_said(_near(asked), asked)
        if asked.pattern is not None and asked.pattern != "*":
            yield self._or_said(_pattern(asked), asked)

    def _or_said(self, query: Query, asked: Lookup) -> Query:
        with lifted():  # to be compared, and told to nobody
            said = self._queries.ask(
                f"SELECT event_id, text FROM {PEOPLE}.corrected WHERE text IS NOT NULL LIMIT %s",
                (_MOST_TERMS * 10 + 1,),
            )
        ids = [str(row["event_id"]) for row in said if asked.means(row["text"])]
        if len(said) > _MOST_TERMS * 10 or len(ids) > _MOST_TERMS:
            raise _Plainly
        return _any([query, {"terms": {"event_id": ids}}]) if ids else query

    def _named(self, texts: Sequence[str]) -> Query:
        """That the plate is one of these."""
        said = self._queries.ask(
            f"SELECT event_id FROM {PEOPLE}.corrected WHERE text = ANY(%s)", (list(texts),)
        )
        ids = [str(row["event_id"]) for row in said]
        if max(len(texts), len(ids)) > _MOST_TERMS:
            raise _Plainly
        return _any(
            [{"terms": {"plate_normalized_text": list(texts)}}, {"terms": {"event_id": ids}}]
        )

    def _word(self, word: Word) -> Query:
        arms: list[Query] = []
        if word.plates is None:
            raise _Plainly  # the beginning of very many plates: the latest are found at once
        if word.plates:
            arms.append(self._named(word.plates))
        if word.plate:
            arms += [{"term": {"was": word.plate}}, {"term": {"alternatives.text": word.plate}}]
        arms += [{"terms": {column: list(of)}} for column, of in word.values.items()]
        return _any(arms)

    def _walk(self, question: _Question, page: tuple[int, int], after: After | None) -> list[Row]:
        """A page of what OpenSearch finds and PostgreSQL shows."""
        limit, offset = page
        if offset > DEEPEST or (after is not None and not _EPOCH <= after.captured_at < _LAST):
            raise _Plainly
        body: Query = {
            "query": {"bool": {"filter": question.filters}},
            "sort": [{"captured_at.exact": "desc"}, {"event_id": "asc"}],
            "_source": False,
            "docvalue_fields": ["event_id"],
            "track_total_hits": False,
        }
        if not question.retracted:
            body["query"]["bool"]["must_not"] = [{"term": {"status": "retracted"}}]
        if after is not None:
            nanoseconds = (after.captured_at - _EPOCH) // _US * 1000
            body["search_after"] = [nanoseconds, str(after.event_id)]
        found: list[Row] = []
        while len(found) < offset + limit:
            # A few more, since some may turn out to be hidden or corrected.
            body["size"] = min(_PAGE, offset + limit - len(found) + 10)
            hits = self._server.ask("POST", f"/{ALIAS}/_search", body)["hits"]["hits"]
            ids = [hit["fields"]["event_id"][0] for hit in hits]
            with lifted():  # some are looked at and not among the page's
                found += self._queries.shown(
                    ids, question.wanted, question.asked, retracted=question.retracted
                )
            if len(hits) < body["size"]:
                break
            body["search_after"] = hits[-1]["sort"]
        return told(found[offset : offset + limit])


def _filters(search: Search) -> Iterator[Query]:
    """All that a search asks but the plate and lists; times a millisecond wider."""
    cameras = [search.camera] if isinstance(search.camera, str) else search.camera
    if cameras is not None:
        yield {"terms": {"camera_id": list(cameras)}}
    for name, column in COLUMNS.items():
        if (value := getattr(search, name)) is not None:
            yield {"term": {column: value}}
    sure = {"gte": search.min_confidence, "lte": search.max_confidence}
    if bounds := {key: value for key, value in sure.items() if value is not None}:
        yield {"range": {"plate_confidence": bounds}}
    times = {"gte": search.start, "lte": search.end}
    wide = {"gte": -timedelta(milliseconds=1), "lte": timedelta(milliseconds=1)}
    try:
        limits = {key: (at + wide[key]).isoformat() for key, at in times.items() if at is not None}
    except OverflowError:
        raise _Plainly from None
    if limits:
        yield {"range": {"captured_at": limits}}


def _pattern(asked: Lookup) -> Query:
    field = "plate_folded" if asked.confusable else "plate_normalized_text"
    pattern = asked.pattern or ""
    if is_pattern(pattern):
        return {"wildcard": {f"{field}.wildcard": {"value": pattern}}}
    return {"term": {field: pattern}}


def _near(asked: Lookup) -> Query:
    """Lucene's automaton of optimal string alignment; of all that it finds none is left out."""
    field = "plate_folded" if asked.confusable else "plate_normalized_text"
    how = {
        "value": asked.near,
        "fuzziness": asked.edits,
        "transpositions": True,
        "rewrite": "constant_score",
    }
    return {"fuzzy": {field: how}}


def _any(queries: list[Query]) -> Query:
    return {"bool": {"should": queries, "minimum_should_match": 1}}
