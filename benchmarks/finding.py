"""Searches over a year of generated sightings in PostgreSQL, beside the bare SQL of the same page.

    python -m benchmarks.search --sightings 1000000 [--questions 300] [--url URL]

For each kind of question so many different ones are asked, each once by SightingQueries and once
as SQL with its answer known: the plates that are meant, no corrections, no grant. A line a kind:
milliseconds at the median and the 99th percentile of both, and their ratio at the latter.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any
from uuid import UUID

from psycopg2.extensions import cursor as Cursor

from benchmarks.many_sightings import fill
from projections.database import connect
from projections.filters import After, Search
from projections.plate_index import PlateIndex
from projections.queries import SightingQueries
from projections.schema import LIVE, migrate
from rules.lookup import lookup
from rules.neighbourhood import wanted_keys
from rules.similarity import CONFUSABLE, fold
from rules.wildcard import like

_PAGE = "ORDER BY captured_at DESC, event_id LIMIT 100"
_STANDS = "status <> 'retracted'"
_LONG_MS = 20_000.0
_NOBODY = UUID(int=0)
_SIGNS = "ABCDEFGHKLMNPRSTUVWXYZ0123456789"


@dataclass(frozen=True, slots=True)
class Question:
    """A search, and the conditions of the SQL that answers it bare, with their values."""

    search: Search
    bare: str
    values: Sequence[Any]
    after: After | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is in the view: plates as often as they are seen, times from the first to the last."""

    plates: Sequence[str]
    cameras: Sequence[str]
    first: datetime
    last: datetime

    def at(self, chance: random.Random) -> datetime:
        """A moment between."""
        return self.first + (self.last - self.first) * chance.random()


def measure(url: str, sightings: int, questions: int) -> Iterator[dict[str, Any]]:
    """Fill an empty database, make the index, ask; what took how long."""
    migrate(url)
    with closing(connect(url, LIVE)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM plate_events)")
        filled = cursor.fetchall()[0][0]
    if not filled:
        yield _timed("search.fill", lambda: fill(url, sightings))
    with closing(PlateIndex(url)) as index:
        yield _timed("search.index", lambda: _run(index))
    yield from _sizes(url)
    chance = random.Random(1)
    with (
        closing(SightingQueries(url, connections=1, timeout_ms=60_000)) as queries,
        closing(connect(url, LIVE)) as connection,
    ):
        connection.autocommit = True
        with connection.cursor() as cursor:
            known = _known(cursor)
            for name, ask in KINDS.items():
                asked = [ask(known, chance, cursor) for _ in range(questions)]
                yield _beside(name, asked, queries, cursor)


def _beside(
    name: str, asked: Sequence[Question], queries: SightingQueries, cursor: Cursor
) -> dict[str, Any]:
    bare: list[float] = []
    ours: list[float] = []
    rows = 0
    for number, question in enumerate(asked):
        if number % 2 == 0:  # who asks first reads from disk, if that is where the rows are
            bare += _plain(question, bare, cursor)
        started = time.perf_counter()
        rows += len(queries.search(question.search, 100, after=question.after))
        ours.append((time.perf_counter() - started) * 1000)
        if number % 2:
            bare += _plain(question, bare, cursor)
    last, last_bare = quantiles(ours, n=100)[-1], quantiles(bare, n=100)[-1]
    return {
        "benchmark": f"search.{name}",
        "p50": round(median(ours), 2),
        "p99": round(last, 2),
        "bare_p50": round(median(bare), 2),
        "bare_p99": round(last_bare, 2),
        "unit": "ms",
        "ratio": round(last / last_bare, 2),
        "rows": round(rows / len(asked), 1),
    }


def _plain(question: Question, before: Sequence[float], cursor: Cursor) -> list[float]:
    """Milliseconds of the bare SQL; nothing where it has taken long enough already."""
    if sum(before) > _LONG_MS and len(before) > 1:
        return []
    started = time.perf_counter()
    cursor.execute(
        f"SELECT * FROM plate_events WHERE {question.bare} AND {_STANDS} {_PAGE}", question.values
    )
    cursor.fetchall()
    return [(time.perf_counter() - started) * 1000]


def _plate(known: Known, chance: random.Random, _: Cursor) -> Question:
    plate = chance.choice(known.plates)
    return Question(Search(plate=plate), "plate_normalized_text = %s", [plate])


def _near(edits: int, confusable: bool = False) -> Callable[..., Question]:
    def ask(known: Known, chance: random.Random, cursor: Cursor) -> Question:
        text = chance.choice(known.plates)
        for _ in range(edits):
            text = _misread(text, chance)
        search = Search(near=text, edits=edits, confusable=confusable)
        return _of_plates(search, cursor)

    return ask


def _confused(known: Known, chance: random.Random, cursor: Cursor) -> Question:
    text = "".join(chance.choice([c, *CONFUSABLE.get(c, "")]) for c in chance.choice(known.plates))
    return _of_plates(Search(plate=text, confusable=True), cursor)


def _pattern(form: str) -> Callable[..., Question]:
    """``*`` and ``?`` are themselves; a digit is that sign of a plate."""

    def ask(known: Known, chance: random.Random, _: Cursor) -> Question:
        plate = chance.choice(known.plates)
        text = "".join(c if c in "*?" else plate[int(c)] for c in form)
        return Question(Search(plate=text), "plate_normalized_text LIKE %s", [like(text)])

    return ask


def _camera(known: Known, chance: random.Random, _: Cursor) -> Question:
    camera, end = chance.choice(known.cameras), known.at(chance)
    return Question(
        Search(camera=camera, end=end), "camera_id = %s AND captured_at <= %s", [camera, end]
    )


def _cameras(known: Known, chance: random.Random, _: Cursor) -> Question:
    some, start = chance.sample(list(known.cameras), 3), known.at(chance)
    return Question(
        Search(camera=some, start=start, end=start + timedelta(days=7)),
        "camera_id = ANY(%s) AND captured_at BETWEEN %s AND %s",
        [some, start, start + timedelta(days=7)],
    )


def _place(known: Known, chance: random.Random, _: Cursor) -> Question:
    site, colour, end = chance.choice(["S1", "S2", "S3"]), "white", known.at(chance)
    return Question(
        Search(site=site, type="truck", colour=colour, end=end),
        "site_id = %s AND vehicle_type = 'truck' AND vehicle_color = %s AND captured_at <= %s",
        [site, colour, end],
    )


def _rare(known: Known, chance: random.Random, _: Cursor) -> Question:
    region, end = "KH", known.at(chance)
    return Question(
        Search(region=region, type="motorcycle", min_confidence=0.9, end=end),
        "plate_region = %s AND vehicle_type = 'motorcycle' AND plate_confidence >= 0.9 "
        "AND captured_at <= %s",
        [region, end],
    )


def _deep(known: Known, chance: random.Random, _: Cursor) -> Question:
    after = After(known.at(chance), _NOBODY)
    return Question(
        Search(min_confidence=0.8),
        "plate_confidence >= 0.8 AND captured_at <= %s AND (captured_at < %s OR event_id > %s)",
        [after.captured_at, after.captured_at, str(_NOBODY)],
        after,
    )


KINDS: dict[str, Callable[[Known, random.Random, Cursor], Question]] = {
    "plate": _plate,
    "one_edit": _near(1),
    "two_edits": _near(2),
    "one_edit_confusable": _near(1, True),
    "confusable": _confused,
    "wildcard_prefix": _pattern("012*"),
    "wildcard_inside": _pattern("0?2345*"),
    "wildcard_suffix": _pattern("*4567"),
    "camera": _camera,
    "cameras_of_a_week": _cameras,
    "site_type_colour": _place,
    "region_type_confidence": _rare,
    "deep_page": _deep,
}


def _of_plates(search: Search, cursor: Cursor) -> Question:
    """A question whose plates the bare SQL is given: they are looked for beforehand."""
    asked = lookup(search.plate, search.near, search.edits, search.confusable)
    assert asked is not None
    keys = wanted_keys(fold(search.near or search.plate or ""), asked.edits)
    cursor.execute("SELECT text FROM alpr_derived.plates WHERE keys && %s", (keys,))
    texts = [text for (text,) in cursor.fetchall() if asked.means(text)]
    return Question(search, "plate_normalized_text = ANY(%s)", [texts])


def _misread(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + chance.choice(_SIGNS) + text[place + 1 :]


def _known(cursor: Cursor) -> Known:
    cursor.execute("SELECT min(captured_at), max(captured_at) FROM plate_events")
    first, last = cursor.fetchall()[0]
    cursor.execute("SELECT name FROM sighting_counts WHERE kind = 'camera' ORDER BY name")
    cameras = [name for (name,) in cursor.fetchall()]
    cursor.execute(
        "SELECT plate_normalized_text FROM plate_events TABLESAMPLE SYSTEM (1) REPEATABLE (1)"
    )
    return Known([text for (text,) in cursor.fetchall()], cameras, first, last)


def _sizes(url: str) -> Iterator[dict[str, Any]]:
    with closing(connect(url, LIVE)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT sightings, plates, pg_total_relation_size('plate_events'), "
            "pg_total_relation_size('alpr_derived.plates'), pg_relation_size('idx_facets') "
            "FROM view_state"
        )
        sightings, plates, events, index, facets = cursor.fetchall()[0]
    yield {"benchmark": "search.sightings", "value": sightings, "unit": "sightings"}
    yield {"benchmark": "search.plates", "value": plates, "unit": "plates"}
    for name, size in (("events", events), ("plate_index", index), ("facets", facets)):
        yield {"benchmark": f"search.size_{name}", "value": round(size / 1e6), "unit": "MB"}


def _timed(name: str, act: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    act()
    return {"benchmark": name, "value": round(time.perf_counter() - started, 1), "unit": "s"}


def _run(index: PlateIndex) -> None:
    while index.step():
        pass


def tell(url: str, sightings: int, questions: int) -> None:
    """Measure, and print each line as soon as it is known."""
    for line in measure(url, sightings, questions):
        print(json.dumps(line), flush=True)
