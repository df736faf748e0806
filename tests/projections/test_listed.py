"""A search by watchlist finds what the rules would match, as the entries stand."""

from collections.abc import Iterator
from random import Random

import pytest

from projections.filters import Search
from projections.listed import Listed
from projections.plate_index import PlateIndex
from rules.alerts.watch import Watchlists
from schemas.records import WatchlistEntry
from schemas.topics import WATCHLIST
from tests.projections import alerts as written
from tests.projections.alerts import write
from tests.projections.sightings import NOON, event_id, sighting


def entry(plate: str, **said: object) -> WatchlistEntry:
    return written.entry(plate=plate, **{"tags": [], **said})


class Keep:
    """The chores of the plates and the lists, run until nothing is left."""

    def __init__(self, url: str) -> None:
        self.chores = (PlateIndex(url), Listed(url))

    def run(self) -> None:
        while sum(chore.step() for chore in self.chores):
            pass


@pytest.fixture
def keep(view, alerts, url: str) -> Iterator[Keep]:
    made = Keep(url)
    yield made
    for chore in made.chores:
        chore.close()


def ids(rows: list[dict]) -> set[str]:
    return {row["event_id"] for row in rows}


def test_exact_wildcard_and_fuzzy_entries_find_their_plates(view, alerts, queries, keep):
    texts = ["ABC1230", "ABC123O", "ABC123", "XYZ9", "34A36837"]
    view.apply(0, 0, [sighting(n, text=text) for n, text in enumerate(texts)], 1)
    keep.run()
    write(
        alerts,
        WATCHLIST.name,
        entry("ABC1230", watchlist="stolen", match="fuzzy", tags=["car"]),
        entry("XYZ*", watchlist="stolen", match="wildcard"),
        entry("34A36837", watchlist="staff", match="exact", kind="allow"),
    )
    keep.run()
    assert ids(queries.search(Search(watchlist="stolen"))) == {event_id(n) for n in range(4)}
    assert ids(queries.search(Search(tag="car"))) == {event_id(n) for n in range(3)}
    assert ids(queries.search(Search(kind="allow"))) == {event_id(4)}
    assert queries.search(Search(watchlist="staff", kind="deny")) == []
    view.apply(0, 1, [sighting(9, text="XYZ77"), sighting(10, text="A8C1230")], 2)
    keep.run()
    assert event_id(9) in ids(queries.search(Search(watchlist="stolen")))
    assert event_id(10) in ids(queries.search(Search(watchlist="stolen", plate="A8*")))
    gone = entry("XYZ*", watchlist="stolen", match="wildcard", removed=True)
    write(alerts, WATCHLIST.name, gone, start=3)
    assert event_id(3) not in ids(queries.search(Search(watchlist="stolen")))


def test_an_entry_is_asked_for_the_time_that_it_is_valid(view, alerts, queries, keep):
    view.apply(0, 0, [sighting(n, text="SAME", at=NOON + n) for n in range(4)], 1)
    valid = entry("SAME", watchlist="week", valid_from=NOON + 1, valid_to=NOON + 3)
    write(alerts, WATCHLIST.name, valid)
    keep.run()
    assert ids(queries.search(Search(watchlist="week"))) == {event_id(1), event_id(2)}


@pytest.mark.parametrize("entries_first", [True, False])
def test_what_is_listed_is_what_the_rules_match(view, alerts, queries, keep, entries_first):
    chance = Random(11)
    plates = ["".join(chance.choices("AB80O1", k=chance.randint(4, 9))) for _ in range(300)]
    entries = []
    for number in range(60):
        plate, match = chance.choice(plates), ("exact", "wildcard", "fuzzy")[number % 3]
        if match == "wildcard":
            plate = plate[:2] + "*" + plate[-1:]
        entries.append(entry(plate, watchlist=f"list {number}", match=match))
    rules = Watchlists()
    for said in entries:
        rules.put(said, 0)
    if not entries_first:
        view.apply(0, 0, [sighting(n, text=text) for n, text in enumerate(plates)], 1)
        keep.run()
    write(alerts, WATCHLIST.name, *entries)
    keep.run()
    if entries_first:
        view.apply(0, 0, [sighting(n, text=text) for n, text in enumerate(plates)], 1)
        keep.run()
    for number in range(60):
        name = f"list {number}"
        expected = {
            event_id(n)
            for n, text in enumerate(plates)
            if any(hit["watchlist"] == name for hit in rules.look(text, [], NOON, NOON))
        }
        assert ids(queries.search(Search(watchlist=name), 1000)) == expected
