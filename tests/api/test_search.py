"""The search of the API: every filter, cursors that go on, words that find."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from projections.plate_index import PlateIndex
from tests.api.world import MINUTE, World
from tests.projections.sightings import NOON, event_id, sighting


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("images")
    made = World(postgres_url, folder)
    red = sighting(
        200,
        text="34A36837",
        at=NOON + 20 * MINUTE,
        camera_id="NORTH-1",
        zone="exit",
        was=["34A36881"],
    )
    red["vehicle"] = {"type": "car", "make": "Fiat", "model": "Punto", "color": "red"}
    near = sighting(201, text="34A36831", at=NOON + 21 * MINUTE, camera_id="SOUTH-2")
    other = sighting(202, text="B4A368O7", at=NOON + 22 * MINUTE, camera_id="SOUTH-2")
    made.write([red, near, other])
    index = PlateIndex(postgres_url)
    while index.step():
        pass
    index.close()
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as made:
        yield made


def found(client: httpx.Client, address: str) -> list[str]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return [event["plate_normalized_text"] for event in answer.json()["events"]]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("plate=34a-368.37", ["34A36837"]),
        ("plate=34A?683*", ["34A36831", "34A36837"]),
        ("plate=*6837", ["34A36837"]),
        ("near=34A36837", ["34A36831", "34A36837"]),
        ("near=34A3683", ["34A36831", "34A36837"]),
        ("near=34A63837", ["34A36837"]),  # neighbours exchanged
        ("near=34A36880&edits=2", ["34A36831", "34A36837"]),
        ("plate=84A36807&confusable=true", ["B4A368O7"]),
        ("camera=NORTH-1&camera=SOUTH-2&plate=*1", ["34A36831"]),
        ("type=car&colour=red&make=Fiat&model=Punto", ["34A36837"]),
        ("zone=exit&min_confidence=0.5&max_confidence=0.95", ["34A36837"]),
        ("zone=exit&max_confidence=0.3", []),
    ],
)
def test_a_search_finds_what_it_asks_for(client: httpx.Client, asked: str, expected: list[str]):
    assert found(client, f"/events/search?{asked}") == expected


def test_cursors_lead_through_all_of_a_search(client: httpx.Client):
    whole = found(client, "/events/search?plate=ABC00*&limit=1000")
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/events/search?plate=ABC00*&limit=7&cursor={cursor}").json()
        seen += [event["plate_normalized_text"] for event in page["events"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) == 60


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("plate=ABC00*&cursor=nonsense", "next_cursor"),
        ("plate=ABC00*&cursor=é", "next_cursor"),
        ("plate=ABC00*&cursor=AAAA", "next_cursor"),
        ("plate=ABC00*&limit=7&offset=3&cursor={}", "offset"),
        ("plate=ABC01*&limit=7&cursor={}", "another search"),
        ("near=ABC&edits=3", "edits"),
        ("min_confidence=nan", "min_confidence"),
        ("kind=bad", "kind"),
        ("colr=red", "colr"),
    ],
)
def test_what_cannot_be_asked_is_told(client: httpx.Client, asked: str, told: str):
    cursor = client.get("/events/search?plate=ABC00*&limit=7").json()["next_cursor"]
    answer = client.get(f"/events/search?{asked.format(cursor)}")
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("34A3", ["34A36831", "34A36837"]),
        ("34a36837 north-1", ["34A36837"]),
        ("fiat", ["34A36837"]),
        ("34A36881", ["34A36831", "34A36837"]),  # one edit away; and what it was read as before
        ("34A37 red", []),
        ("34B36837 PUN", ["34A36837"]),
        ("south 34a36831", ["34A36831"]),
        ("2 b4a", ["B4A368O7"]),  # SOUTH-2
        ("nothinglikeit", []),
        ("%27;--", []),
    ],
)
def test_words_find_sightings_that_have_them_all(
    client: httpx.Client, words: str, expected: list[str]
):
    assert found(client, f"/search/fulltext?q={words}") == expected


def test_words_page_on_by_cursors(client: httpx.Client):
    first = client.get("/search/fulltext?q=abc00&limit=40").json()
    rest = client.get(f"/search/fulltext?q=abc00&limit=40&cursor={first['next_cursor']}").json()
    assert (first["count"], rest["count"], rest["next_cursor"]) == (40, 20, None)


def test_an_answer_shows_the_plate_and_what_was_said_of_it(client: httpx.Client):
    (event,) = client.get("/events/search?plate=34A36837").json()["events"]
    assert event["plate_shown"] == "34A36837"
    assert event["corrected"] is None
    assert event["event_id"] == event_id(200)
