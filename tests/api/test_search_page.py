"""Search as people do it: half a plate in the box, filters in the address, page by page."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, expect

from api.search_view import pieces
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.looking import eyes
from tests.api.watched import Watched
from tests.api.world import PLAIN, REVISED, SHOWN, World
from tests.projections.sightings import NOON, event_id

PAGE = {"accept": "text/html,application/xhtml+xml"}
START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOON)


@pytest.fixture(scope="module")
def address(queries: SightingQueries, world: World, watched: Watched) -> Iterator[str]:
    with served(queries, world.pictures, watching=watched.watching) as found:
        yield found


@pytest.fixture(scope="module")
def ask(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as made:
        yield made


@pytest.mark.parametrize(
    ("typed", "how", "plates"),
    [
        ("abc-0007", "plate", ["ABC0007"]),
        ("ABC005", "beginning", [f"ABC005{n}" for n in range(9, -1, -1)]),
        ("A8C0059", "near1", ["ABC0059"]),
        ("AXC0X59", "near2", ["ABC0059"]),
        ("*0042", "pattern", ["ABC0042"]),
        ("BC0042", "near1", ["ABC0042"]),
        ("0042", "within", ["ABC0042"]),
        ("QQ99999", "words", []),
    ],
)
def test_a_plate_is_found_however_well_it_is_remembered_and_how_is_told(
    ask: httpx.Client, typed: str, how: str, plates: list[str]
):
    told = ask.get("/search", params={"q": typed}).json()
    assert told["how"] == how
    assert [event["plate_normalized_text"] for event in told["events"]] == plates
    assert told["found"] == len(plates)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"camera": "CAM-002"}, {REVISED}),
        ({"q": "ABC", "camera": "CAM-002"}, {REVISED}),
        ({"q": "ABC0007", "looks": "plate", "region": "US-FL"}, set()),
        ({"q": "ABC0007", "region": "VN"}, {7}),
        ({"start_time": "2025-06-15T15:07:39", "camera": "CAM-001"}, {SHOWN}),
        ({"within": "1h"}, set()),
        ({"q": "A8C0059", "looks": "plate"}, set()),
        ({"q": "A8C0059", "looks": "alike"}, {SHOWN}),
    ],
)
def test_every_filter_stands_in_the_address(
    ask: httpx.Client, asked: dict[str, str], found: set[int]
):
    told = ask.get("/search", params=asked).json()
    assert {event["event_id"] for event in told["events"]} == {event_id(n) for n in found}


def test_pages_go_on_by_cursor_without_a_gap_or_a_double(ask: httpx.Client):
    first = ask.get("/search?q=ABC00").json()
    assert first["how"] == "beginning"
    assert (len(first["events"]), first["found"]) == (40, PLAIN)
    second = ask.get("/search", params={"q": "ABC00", "cursor": first["next_cursor"]}).json()
    ids = [event["event_id"] for event in (*first["events"], *second["events"])]
    assert len(set(ids)) == len(ids) == PLAIN
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (f"q={'A' * 65}", "longer than 64"),
        ("looks=strange", "use one of plate"),
        ("within=2h", "use one of 1h"),
        ("color=red", "no parameter 'color'"),
        ("cursor=x", "cursor='x' is none"),
        ("q=%00", "NUL"),
    ],
)
def test_what_cannot_be_asked_is_told(ask: httpx.Client, query: str, words: str):
    answer = ask.get(f"/search?{query}")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("text", "typed", "how", "marked"),
    [
        ("34A36837", "34A3683", "beginning", "34A3683"),
        ("34A36837", "34A36831", "near1", "34A3683"),
        ("34A36837", "*A?68*", "pattern", "A68"),
        ("34A36837", "*37", "pattern", "37"),
        ("34A36837", "34a36837", "plate", ""),
        ("34A36837", "683", "within", "683"),
        ("BBB", "*?", "pattern", ""),
    ],
)
def test_the_characters_that_met_what_was_typed_are_marked(
    text: str, typed: str, how: str, marked: str
):
    found = pieces(text, typed, how)
    assert "".join(part for part, _ in found) == text
    assert "".join(part for part, met in found if met) == marked


@pytest.mark.parametrize(("size", "scheme"), [("wide", "dark"), ("phone", "light")])
def test_one_finds_a_car_by_half_its_plate_and_puts_it_on_a_list(
    chromium: Browser, address: str, size: str, scheme: str
):
    with eyes(chromium, size, scheme, base_url=address) as seen:
        page = seen.page
        seen.see("/alerts")
        page.keyboard.press("/")
        page.keyboard.type("a8c0059")
        page.keyboard.press("Enter")
        expect(page.locator("h2").first).to_contain_text("one character off A8C0059")
        expect(page.locator("mark")).to_have_text(["A", "C0059"])
        assert seen.problems() == []
        page.get_by_text("Alert me on ABC0059").click()
        page.get_by_label("List", exact=True).fill(f"found {size}")
        page.get_by_role("button", name="Save").click()
        expect(page.locator('tr[data-plate="ABC0059"]')).to_be_visible()
        page.go_back()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/sightings/{event_id(SHOWN)}")


def test_who_finds_nothing_is_told_what_was_tried_and_what_else_there_is(ask: httpx.Client):
    page = ask.get("/search?q=ZZ99999&camera=CAM-002", headers=PAGE).text
    assert "No sighting of ZZ99999" in page
    assert 'href="/search?q=ZZ99999">Look without the filters' in page
    page = ask.get("/search?q=ABC0007&looks=near1&region=XX", headers=PAGE).text
    assert "Look for what is like it" in page
