"""Forgetting a plate at the API and from its page."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from alpr.forget import Forgetting
from api.forgetting import Forgettings, Tell
from eventlog.log import LogUnavailable
from projections.queries import SightingQueries
from rules.pseudonym import Pseudonyms
from schemas.topics import ALERTS, WATCHLIST
from tests.api.conftest import served
from tests.api.watched import Watched
from tests.api.world import World
from tests.projections import alerts as made

PLATE = "ABC0003"
NAMES = Pseudonyms(b"k" * 32)


class Engine:
    """Forgets as `alpr api` does, on the log of the test; may be held up, or have no log."""

    def __init__(self, watched: Watched, world: World) -> None:
        self.go = threading.Event()
        self.go.set()
        self.away = False
        self._forget = Forgetting(
            watched.log, watched.codec, world.pictures, NAMES, clock=lambda: time.time_ns() // 1000
        ).forget

    def __call__(self, plate: str, actor: str, reason: str, tell: Tell) -> Any:
        self.go.wait(10)
        if self.away:
            raise LogUnavailable("the log is away")
        return self._forget(plate, actor, reason)


@pytest.fixture(scope="module")
def engine(watched: Watched, world: World) -> Engine:
    return Engine(watched, world)


@pytest.fixture(scope="module")
def address(
    queries: SightingQueries, world: World, watched: Watched, engine: Engine
) -> Iterator[str]:
    options = {"watching": watched.watching, "forgettings": Forgettings(engine)}
    with served(queries, world.pictures, **options) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as made:
        yield made


def over(client: httpx.Client, number: str) -> dict[str, Any]:
    until = time.monotonic() + 20
    while (told := client.get(f"/forgetting/{number}").json())["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.05)
    return told


def test_what_the_log_says_of_a_plate_goes_and_the_answer_counts_it(
    client: httpx.Client, watched: Watched
):
    watched.say("AlertEvent", made.alert(3), made.alert(4))
    watched.say("WatchlistEntry", made.entry(3), made.entry(4))
    answer = client.post("/plates/abc-0003/forget", json={"confirm": "ABC 0003", "reason": "x"})
    assert answer.status_code == 202
    told = over(client, answer.json()["id"])
    assert (told["state"], told["alerts"]) == ("done", 1)
    assert told["erased"][ALERTS.name] == told["erased"][WATCHLIST.name] == 1
    watched.settle()
    plates = [entry["plate"] for entry in client.get("/alerts?state=all").json()["alerts"]]
    assert plates == ["ABC0004"]


@pytest.mark.parametrize("confirm", ["", "ABC0004", "ABC000", "*"])
def test_no_plate_is_forgotten_that_was_not_written_once_more(client: httpx.Client, confirm: str):
    answer = client.post(f"/plates/{PLATE}/forget", json={"confirm": confirm})
    assert answer.status_code == 422
    assert "write it once more" in answer.json()["detail"]


def test_a_pseudonym_is_not_taken_for_the_plate_that_it_stands_for(client: httpx.Client):
    name = NAMES.of(PLATE)
    answer = client.post(f"/plates/{name}/forget", json={"confirm": name})
    assert answer.status_code == 422
    assert "give the plate as it is" in answer.json()["detail"]


def test_what_is_no_plate_and_what_nobody_began_is_told(client: httpx.Client):
    assert client.post("/plates/---/forget", json={"confirm": "-"}).status_code == 422
    assert client.get("/forgetting/nothing").status_code == 404


def test_one_plate_at_a_time(client: httpx.Client, engine: Engine):
    engine.go.clear()
    first = client.post(f"/plates/{PLATE}/forget", json={"confirm": PLATE})
    second = client.post("/plates/ABC0005/forget", json={"confirm": "ABC0005"})
    engine.go.set()
    assert (first.status_code, second.status_code) == (202, 409)
    assert over(client, first.json()["id"])["state"] == "done"


def test_a_log_that_is_away_is_told_and_the_next_try_goes_on(client: httpx.Client, engine: Engine):
    engine.away = True
    number = client.post(f"/plates/{PLATE}/forget", json={"confirm": PLATE}).json()["id"]
    told = over(client, number)
    engine.away = False
    assert told["state"] == "failed"
    assert "tried again" in told["told"]


def test_a_person_forgets_a_plate_from_its_page(address: str, chromium: Browser):
    page = chromium.new_page()
    page.goto(f"{address}/plates/{PLATE}")
    page.get_by_role("link", name="Forget this plate").click()
    assert "sighting" in page.inner_text("header.title")
    page.get_by_role("button", name="Forget it for ever").click()  # the browser asks for the plate
    assert "/forget" in page.url
    page.get_by_label("The plate once more").fill(PLATE.lower())
    page.get_by_label("Why").fill("the owner asked")
    page.get_by_role("button", name="Forget it for ever").click()
    page.wait_for_selector("text=Nothing of the plate is left")
    page.close()
