"""Searches find what is meant, by the plate as it is shown, whatever the index has taken up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from random import Random

import pytest

from projections import queries as queries_module
from projections.filters import After, Search
from projections.grant import grant
from projections.plate_index import PlateIndex
from projections.view import SightingsView
from rules.lookup import lookup
from tests.projections.sightings import NOON, event_id, sighting
from tests.projections.test_plate_index import ask, correct

PLATES = ("ABC123", "ABC124", "ACB123", "AB0123", "ABO123", "XYZ999", "8BC123", "A8C123", "ABC12")


@pytest.fixture
def index(view: SightingsView, url: str) -> Iterator[PlateIndex]:
    made = PlateIndex(url)
    yield made
    made.close()


def run(index: PlateIndex) -> None:
    while index.step():
        pass


def texts(rows: list[dict]) -> list[str]:
    return sorted({row["plate_shown"] for row in rows})


def ids(rows: list[dict]) -> set[str]:
    return {row["event_id"] for row in rows}


QUESTIONS = (
    Search(plate="abc 123"),
    Search(plate="AB?123"),
    Search(plate="AB*"),
    Search(plate="*123"),
    Search(plate="*C1*"),
    Search(plate="*"),
    Search(plate="AB0123", confusable=True),
    Search(plate="?BO1*", confusable=True),
    Search(near="ABC123"),
    Search(near="ABC123", edits=2),
    Search(near="ABO123", confusable=True),
    Search(plate="A*", near="ABC123"),
    Search(near="", edits=2),
)


@pytest.mark.parametrize("case", product(("never", "behind", "now"), QUESTIONS))
def test_the_plates_that_are_meant_are_found_however_far_the_index_is(
    view, queries, index, url, case
):
    when, asked = case
    view.apply(0, 0, [sighting(n, text=text) for n, text in enumerate(PLATES[:5])], 1)
    if when != "never":
        run(index)
    view.apply(0, 1, [sighting(n + 5, text=text) for n, text in enumerate(PLATES[5:])], 2)
    correct(url, 5, "ABC123")  # XYZ999
    if when == "now":
        run(index)
    shown = [*PLATES[:5], "ABC123", *PLATES[6:]]
    wanted = lookup(asked.plate, asked.near, asked.edits, asked.confusable)
    assert wanted is not None
    expected = {event_id(n) for n, text in enumerate(shown) if wanted.means(text)}
    assert ids(queries.search(asked)) == expected


def test_a_pattern_that_means_very_many_plates_is_answered_too(view, queries, index, url):
    events = [sighting(n, text=f"A{n:05d}") for n in range(2_500)]
    for batch in range(5):
        view.apply(0, batch, events[batch * 500 : batch * 500 + 500], batch + 1)
    run(index)
    correct(url, 7, "B00007")
    found = queries.search(Search(plate="A*"), limit=1000)
    assert [row["plate_shown"] for row in found[:2]] == ["A02499", "A02498"]
    last = queries.search(Search(plate="?00007", confusable=True), limit=1000)
    assert texts(last) == ["B00007"]


def test_what_a_person_said_is_what_is_found_and_shown(view, queries, index, url):
    view.apply(0, 0, [sighting(1, text="READ1"), sighting(2, text="READ2")], 1)
    correct(url, 1, "TRUE1")
    correct(url, 2, None, hidden=True)
    run(index)
    (row,) = queries.by_plate("true-1")
    assert (row["plate_normalized_text"], row["plate_shown"]) == ("READ1", "TRUE1")
    assert row["corrected"]["text"] == "TRUE1"
    assert queries.by_plate("READ1") == []
    assert queries.by_plate("READ2") == []
    assert ids(queries.recent(10)) == {event_id(1)}
    assert ids(queries.recent(10, retracted=True)) == {event_id(1), event_id(2)}
    hidden = queries.by_id(event_id(2))
    assert hidden is not None
    assert hidden["corrected"]["hidden"]


def moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


FACETS = (
    Search(camera=["CAM-1", "CAM-3"]),
    Search(site="south"),
    Search(zone="exit", direction="in"),
    Search(status="tentative"),
    Search(status="retracted"),
    Search(region="US-FL"),
    Search(type="car", colour="red"),
    Search(make="VW", model="Golf"),
    Search(min_confidence=0.8),
    Search(max_confidence=0.35),
    Search(min_confidence=0.3, max_confidence=0.9),
    Search(site="south", max_confidence=0.6),
    Search(camera="CAM-2", zone="gate"),
    Search(zone="gate", start=moment(NOON + 40_000_000), end=moment(NOON + 200_000_000)),
)


@pytest.mark.parametrize("walked", [0, 50, 100, queries_module._WALKED])
def test_every_filter_does_what_it_says_on_one_page_and_on_many(view, queries, walked, monkeypatch):
    """Pages are also found by a walk back in time, where it goes far enough to fill them."""
    monkeypatch.setattr(queries_module, "_WALKED", walked)
    chance = Random(7)
    events = []
    for n in range(300):
        event = sighting(
            n,
            camera_id=f"CAM-{n % 5}",
            site=chance.choice(["north", "south"]),
            zone=chance.choice(["gate", "exit"]),
            status=chance.choice(["ended", "tentative", "retracted"]),
            direction=chance.choice(["in", "out", None]),
            region=chance.choice(["US-FL", "VN", None]),
            confidence=chance.random(),
        )
        event["vehicle"] = {
            "type": chance.choice(["car", "bus", None]),
            "make": chance.choice(["VW", None]),
            "model": chance.choice(["Golf", None]),
            "color": chance.choice(["red", "blue", None]),
        }
        events.append(event)
    view.apply(0, 0, events, 1)
    for asked in FACETS:
        found = ids(queries.search(asked, limit=1000))
        assert found == {e["event_id"] for e in events if holds(asked, e)}, asked
        order = [row["event_id"] for row in queries.search(asked, limit=1000)]
        assert paged(queries, asked) == order
        assert [row["event_id"] for row in queries.search(asked, 3, 2)] == order[2:5]


def paged(queries, asked: Search) -> list[str]:
    """The ids of all pages, each asked for behind the last sighting of the one before."""
    found: list[str] = []
    after = None
    while page := queries.search(asked, 5, after=after):
        found += [row["event_id"] for row in page]
        after = After(page[-1]["captured_at"], page[-1]["event_id"])
    return found


def holds(asked: Search, event: dict) -> bool:
    plate, node, vehicle = event["plate"], event["node"], event["vehicle"]
    pairs = (
        (asked.site, node["site"]),
        (asked.zone, node["zone"]),
        (asked.status, event["status"]),
        (asked.direction, event["extras"]["direction"]),
        (asked.region, plate["region"]),
        (asked.type, vehicle["type"]),
        (asked.colour, vehicle["color"]),
        (asked.make, vehicle["make"]),
        (asked.model, vehicle["model"]),
    )
    low, high = asked.min_confidence or 0, asked.max_confidence or 1
    return (
        all(wanted is None or wanted == has for wanted, has in pairs)
        and (asked.camera is None or event["camera_id"] in asked.camera)
        and (asked.start is None or moment(event["captured_at"]) >= asked.start)
        and (asked.end is None or moment(event["captured_at"]) <= asked.end)
        and low <= plate["confidence"] <= high
        and (event["status"] != "retracted" or asked.status == "retracted")
    )


def test_pages_behind_a_sighting_show_each_once_also_of_one_moment(view, queries):
    events = [sighting(n, at=NOON + n // 4 * 1_000) for n in range(40)]
    view.apply(0, 0, events, 1)
    seen = paged(queries, Search())
    assert seen == [row["event_id"] for row in queries.search(Search(), 100)]
    assert len(seen) == 40


def test_a_grant_of_cameras_holds_for_everything_that_is_asked(view, queries, url):
    events = [sighting(n, text="SAME", camera_id=f"C{n % 2}") for n in range(10)]
    start = queries.latest_change()
    view.apply(0, 0, events, 1)
    mine = {event_id(n) for n in range(1, 10, 2)}
    grant(frozenset({"C1"}))
    try:
        assert ids(queries.recent(100)) == mine
        assert ids(queries.by_plate("SAME")) == mine
        assert ids(queries.search(Search(plate="S*"))) == mine
        assert queries.by_camera("C0") == []
        assert queries.by_id(event_id(0)) is None
        assert queries.by_id(event_id(1)) is not None
        assert [row["camera_id"] for row in queries.cameras()] == ["C1"]
        assert queries.stats()["total_events"] == 5
        changes = queries.changes_since(start)
        assert ids(changes.rows) == mine
        assert changes.cursor == queries.latest_change()
    finally:
        grant(None)


def test_the_index_of_rare_values_serves_their_searches(view, queries, url):
    events = [sighting(n, site=f"S{n % 400}") for n in range(4_000)]
    for batch in range(4):
        view.apply(0, batch, events[batch * 1000 : batch * 1000 + 1000], batch + 1)
    ask(url, "ANALYZE alpr.plate_events")
    from projections.filters import conditions

    asked = conditions(Search(site="S7"))
    plan = ask(
        url,
        "SET search_path = alpr; EXPLAIN SELECT * FROM plate_events AS event "
        f"{asked.where()}ORDER BY captured_at DESC LIMIT 100",
        asked.values,
    )
    assert "idx_facets" in str(plan)
