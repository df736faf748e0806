"""Searches find the same sightings in PostgreSQL and with OpenSearch before it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest

from projections import veil
from projections.filters import After, Search
from projections.finding import PlainFinder
from projections.grant import grant
from projections.listed import Listed
from projections.plate_index import PlateIndex
from projections.queries import SightingQueries
from projections.search_index import ALIAS
from projections.search_queries import SearchFinder
from projections.search_server import SearchServer
from projections.search_view import SearchView
from projections.veil import Shown, Veiled
from rules.pseudonym import Pseudonyms, is_pseudonym
from schemas.topics import WATCHLIST
from tests.projections import alerts as written
from tests.projections.sightings import LOG, NOON, event_id, sighting
from tests.projections.test_plate_index import correct

SIGHTINGS = 600
SIGNS = "ABO0D18QG6"
Finders = tuple[PlainFinder, SearchFinder]


@pytest.fixture(scope="session", params=["given"])
def postgres_server(request: pytest.FixtureRequest, postgres_server: str) -> str:
    return postgres_server


@pytest.fixture
def finders(view, alerts, queries: SightingQueries, url: str, search: str) -> Iterator[Finders]:
    """Both, over the same generated sightings, some of them corrected, some plates on lists."""
    chance = Random(3)
    events = [_event(chance, n) for n in range(SIGHTINGS)]
    view.apply(0, 0, events, SIGHTINGS)
    lists = [
        written.entry(plate="AB*", watchlist="patterns", match="wildcard", tags=["red"]),
        written.entry(plate="ABO018", watchlist="near", match="fuzzy", kind="allow"),
    ]
    written.write(alerts, WATCHLIST.name, *lists)
    for number in range(0, SIGHTINGS, 23):
        correct(url, number, _plate(chance) if number % 2 else None, hidden=number % 46 == 0)
    chores = PlateIndex(url), Listed(url)
    while sum(chore.step() for chore in chores):
        pass
    for chore in chores:
        chore.close()
    with closing(SearchView(search, LOG)) as documents:
        documents.apply(0, 0, events, SIGHTINGS)
    with closing(SearchServer(search)) as server:
        server.ask("POST", f"/{ALIAS}/_refresh")
        yield PlainFinder(queries), SearchFinder(server, queries)


def _plate(chance: Random) -> str:
    return "".join(chance.choices(SIGNS, k=chance.choice([0, 1, 2, 5, 6, 6, 6, 7, 8])))


def _event(chance: Random, number: int) -> Any:
    event = sighting(
        number,
        text=_plate(chance),
        at=NOON + chance.randrange(0, 3_600_000_000, 250),
        camera_id=f"CAM-{chance.randrange(6)}",
        site=chance.choice(["north", "south"]),
        zone=chance.choice(["gate", "exit"]),
        status=chance.choice(["ended", "ended", "tentative", "retracted"]),
        direction=chance.choice(["in", None]),
        region=chance.choice(["US-FL", "VN", None]),
        confidence=round(chance.random(), 2),
        was=[_plate(chance)],
    )
    event["vehicle"] = {
        "type": chance.choice(["car", "bus", None]),
        "make": chance.choice(["VW", None]),
        "model": None,
        "color": chance.choice(["red", "blue", None]),
    }
    return event


def _search(chance: Random) -> Search:
    """A random question, most of its conditions left out."""

    def perhaps(share: float, value: Any) -> Any:
        return value if chance.random() < share else None

    pattern = list(_plate(chance) + "A")
    for _ in range(chance.randrange(4)):
        pattern[chance.randrange(len(pattern))] = chance.choice("**?")
    start = datetime.fromtimestamp(NOON / 1e6, UTC) + timedelta(seconds=chance.randrange(3600))
    return Search(
        plate=perhaps(0.5, "".join(pattern)),
        near=perhaps(0.4, _plate(chance)),
        edits=chance.choice([1, 2]),
        confusable=chance.random() < 0.3,
        camera=perhaps(0.2, [f"CAM-{chance.randrange(7)}", "CAM-1"]),
        site=perhaps(0.1, "south"),
        zone=perhaps(0.1, "exit"),
        status=perhaps(0.1, chance.choice(["ended", "retracted", "tentative"])),
        min_confidence=perhaps(0.1, 0.25),
        max_confidence=perhaps(0.1, 0.6),
        start=perhaps(0.2, start),
        end=perhaps(0.2, start + timedelta(minutes=20)),
        direction=perhaps(0.1, "in"),
        region=perhaps(0.1, "VN"),
        type=perhaps(0.1, "car"),
        colour=perhaps(0.1, "red"),
        make=perhaps(0.1, "VW"),
        watchlist=perhaps(0.1, chance.choice(["patterns", "near", "none"])),
        tag=perhaps(0.05, "red"),
        kind=perhaps(0.05, "allow"),
    )


def test_both_find_the_same_in_the_same_order(finders: Finders):
    plain, indexed = finders
    chance = Random(5)
    found = 0
    for _ in range(400):
        asked, retracted = _search(chance), chance.random() < 0.2
        expected = plain.search(asked, 1000, retracted=retracted)
        assert indexed.search(asked, 1000, retracted=retracted) == expected, asked
        found += len(expected)
    assert found > 5_000


def test_it_is_opensearch_that_answers(finders: Finders, caplog: pytest.LogCaptureFixture):
    _, indexed = finders
    indexed.search(Search(near="ABO018"))
    indexed.full_text("ab north")
    assert not caplog.records


def test_both_find_the_same_words(finders: Finders):
    plain, indexed = finders
    chance = Random(6)
    for _ in range(100):
        words = [_plate(chance) or "red", *chance.sample(["north", "exit", "vw", "cam-3", "b"], 1)]
        text = " ".join(words[: chance.choice([1, 2])])
        assert indexed.full_text(text, 1000) == plain.full_text(text, 1000), text


def test_pages_and_grants_are_the_same(finders: Finders):
    plain, indexed = finders
    asked = Search(plate="*A*")
    whole = plain.search(asked, 1000)
    assert indexed.search(asked, 10, 15) == whole[15:25]
    seen: list[str] = []
    after = None
    while page := indexed.search(asked, 9, after=after):
        seen += [row["event_id"] for row in page]
        after = After(page[-1]["captured_at"], page[-1]["event_id"])
    assert seen == [row["event_id"] for row in whole]
    grant(frozenset({"CAM-2"}))
    try:
        mine = indexed.search(asked, 1000)
        assert mine == plain.search(asked, 1000)
        assert {row["camera_id"] for row in mine} == {"CAM-2"}
    finally:
        grant(None)


def test_without_opensearch_postgresql_answers_and_says_so_once(
    queries: SightingQueries, view, caplog: pytest.LogCaptureFixture
):
    view.apply(0, 0, [sighting(1, text="ABC123")], 1)
    with closing(SearchServer("http://127.0.0.1:9")) as nowhere:
        finder = SearchFinder(nowhere, queries)
        for _ in range(3):
            assert [row["event_id"] for row in finder.search(Search(plate="AB*"))] == [event_id(1)]
    assert len(caplog.records) == 1
    assert "PostgreSQL answers searches alone" in caplog.text


NAMES = Pseudonyms(b"k" * 32)


def _asked(ask: Callable[[], Any], *, hidden: bool) -> tuple[Any, list[str]]:
    """What somebody is told who sees pseudonyms or not, and which plates the audit is told of."""

    def asking() -> tuple[Any, list[str]]:
        shown = Shown()
        veil.note(shown)
        veil.cover(NAMES.of if hidden else None)
        return ask(), shown.take()

    return copy_context().run(asking)


def test_who_may_not_see_plates_is_told_pseudonyms_by_both(finders: Finders):
    _, indexed = finders
    asked = Search(camera=["CAM-1", "CAM-2"])
    seen, _ = _asked(lambda: indexed.search(asked, 200), hidden=False)
    by_both = [_asked(partial(one.search, asked, 200), hidden=True)[0] for one in finders]
    assert by_both[0] == by_both[1]
    assert len(by_both[1]) == len(seen) > 100
    for row, clear in zip(by_both[1], seen, strict=True):
        assert row["event_id"] == clear["event_id"]
        if clear["plate_shown"]:
            assert is_pseudonym(row["plate_shown"])
            assert row["plate_shown"] == NAMES.of(clear["plate_shown"])
        assert row["alternatives"] == []
    whole = next(row["plate_shown"] for row in seen if row["plate_shown"])
    found, _ = _asked(lambda: indexed.search(Search(plate=whole), 9), hidden=True)
    assert {row["plate_shown"] for row in found} == {NAMES.of(whole)}
    for guess in (Search(plate="AB*"), Search(near=whole)):
        with pytest.raises(Veiled):
            _asked(lambda guess=guess: indexed.search(guess), hidden=True)
    with pytest.raises(Veiled):
        _asked(lambda: indexed.full_text("AB"), hidden=True)


def test_the_audit_is_told_of_what_was_shown_and_of_nothing_else(finders: Finders):
    _, indexed = finders
    plate = indexed.search(Search(plate="A?????"), 1)[0]["plate_shown"]
    for asked in (Search(near=plate), Search(plate="A*"), Search(camera="CAM-1")):
        rows, noted = _asked(partial(indexed.search, asked, 3), hidden=False)
        assert rows
        names = ("plate_text", "plate_shown", "plate_normalized_text")
        assert set(noted) <= {row[name] for row in rows for name in names}
        assert {row["plate_shown"] for row in rows if row["plate_shown"]} <= set(noted)
