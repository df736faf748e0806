"""One plate: its page, its journey, and who travels with it."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.test_pages import Tab
from tests.api.watched import Watched
from tests.api.ways import MATE, PLACES, PLAIN, ROUTED, TWIN, write
from tests.api.world import HTML, NO_PICTURES, World
from tests.projections import alerts as made
from tests.projections.sightings import NOON, sighting

PAGES = (f"/plates/{ROUTED}", f"/plates/{ROUTED}/journey", f"/plates/{ROUTED}/companions")
ACCEPT = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module", autouse=True)
def _travelled(world: World) -> None:
    write(world)


@pytest.fixture(scope="module")
def locked(queries: SightingQueries, world: World, keys: AccessKeys) -> Iterator[str]:
    """Where an API that asks for keys listens."""
    with served(queries, world.pictures, keys=keys) as found:
        yield found


def get(client: httpx.Client, path: str, **asked):
    answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_journey_is_told_in_the_order_of_time_with_what_lies_between(client: httpx.Client):
    told = get(client, f"/plates/{ROUTED}/journey", limit=6)
    assert [stop["camera_id"] for stop in told["stops"]] == [camera for camera, *_ in PLACES]
    assert [stop["trip"] for stop in told["stops"]] == [0] * 6
    hop = told["stops"][4]["hop"]
    assert hop["seconds"] == pytest.approx(945)
    assert hop["km"] == pytest.approx(6.7, abs=0.1)
    assert hop["kmh"] == pytest.approx(25.5, abs=0.5)
    assert not hop["impossible"]
    (trip,) = told["trips"]
    assert (trip["stops"], trip["cameras"], trip["continued"]) == (6, 6, False)
    assert trip["pause_s"] == pytest.approx(23.2 * 3600, abs=400)


def test_a_pause_ends_a_trip_and_how_long_a_pause_is_can_be_said(client: httpx.Client):
    path = f"/plates/{ROUTED}/journey"
    assert len(get(client, path)["trips"]) == 5
    assert len(get(client, path, pause_hours=48)["trips"]) == 1
    assert len(get(client, path, pause_hours=0.1)["trips"]) > 5


def test_a_cursor_leads_through_all_that_was_seen(client: httpx.Client):
    path = f"/plates/{ROUTED}/journey"
    whole = [stop["event_id"] for stop in get(client, path)["stops"]]
    paged: list[str] = []
    cursor = None
    while True:
        told = get(client, path, limit=7, **({"cursor": cursor} if cursor else {}))
        paged = [stop["event_id"] for stop in told["stops"]] + paged
        cursor = told["cursor"]
        if cursor is None:
            break
        assert told["stops"][0]["hop"] is not None
    assert paged == whole
    assert len(whole) == 30


def test_plates_that_read_alike_are_told_as_what_they_are(client: httpx.Client, world: World):
    world.write([sighting(9_000, text="WAY123A", at=NOON, camera_id="GATE", images=NO_PICTURES)])
    path = f"/plates/{ROUTED}/journey"
    assert "WAY123A" not in {stop["plate"] for stop in get(client, path)["stops"]}
    told = get(client, path, near="true")
    assert told["plates"] == [ROUTED, "WAY123A"]
    assert {stop["plate"] for stop in told["stops"]} == {ROUTED, "WAY123A"}


def test_two_vehicles_with_one_plate_are_told_by_a_hop_nobody_drives(client: httpx.Client):
    told = get(client, f"/plates/{TWIN}/journey")
    assert told["stops"][1]["hop"]["impossible"]
    assert told["trips"][0]["impossible"] == 1


def test_who_travels_with_it_is_told_apart_from_who_happens_to_be_there(client: httpx.Client):
    told = get(client, f"/plates/{ROUTED}/companions")
    assert [one["plate"] for one in told["companions"]] == [MATE]
    (mate,) = told["companions"]
    assert (mate["occasions"], mate["days"], mate["seen"]) == (10, 5, 10)
    assert mate["behind_s"] == 20.0
    assert mate["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert mate["unlikely"] > 1
    assert told["looked_at"]["passes"] == 30
    assert get(client, f"/plates/{ROUTED}/companions", window_s=10)["companions"] == []
    assert get(client, f"/plates/{ROUTED}/companions", min_times=11)["companions"] == []


@pytest.mark.parametrize("how", ["way1234", "WAY-12 34", " way.1234"])
def test_a_plate_is_found_however_it_is_written(client: httpx.Client, how: str):
    assert get(client, f"/plates/{how}/journey")["plate"] == ROUTED


def test_of_a_plate_that_was_never_seen_there_is_nothing(client: httpx.Client):
    told = get(client, "/plates/NEVER1/journey")
    assert (told["count"], told["stops"], told["trips"], told["cursor"]) == (0, [], [], None)
    assert get(client, "/plates/NEVER1/companions")["count"] == 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("cursor=yesterday", "cursor='yesterday' is none"),
        ("cursor=12.no-uuid", "is none"),
        ("cursor=999999999999999999.6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b", "is none"),
        ("pause_hours=0", "pause_hours"),
        ("pause_hours=nan", "pause_hours"),
        ("start_time=2026&end_time=2025-01-01", "is no time"),
        ("start_time=2026-01-01&end_time=2025-01-01", "exchange them"),
        ("from=2025-01-01", "there is no parameter 'from'"),
        ("limit=1001", "at most 1000"),
    ],
)
def test_what_cannot_be_asked_is_told(client: httpx.Client, asked: str, words: str):
    answer = client.get(f"/plates/{ROUTED}/journey?{asked}")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/plates/%00/journey", "/plates/%00/companions"])
def test_a_nul_is_in_no_plate(client: httpx.Client, path: str):
    assert client.get(path).status_code == 422


def test_only_an_investigator_learns_where_somebody_goes_and_with_whom(
    locked: str, keys: AccessKeys
):
    for role, status in (
        (Role.VIEWER, 403),
        (Role.OPERATOR, 403),
        (Role.INVESTIGATOR, 200),
        (Role.ADMIN, 200),
    ):
        secret = keys.create(f"plates {role}", role, None)[1]
        headers = {"authorization": f"Bearer {secret}", **ACCEPT}
        with httpx.Client(base_url=locked, headers=headers) as asking:
            assert [asking.get(path).status_code for path in PAGES[1:]] == [status] * 2
            page = asking.get(PAGES[0])
            assert page.status_code == 200
            assert "30 sightings on 6 cameras" in page.text
            for words in ("Latest journey", 'id="companions"', "/journey"):
                assert (words in page.text) is (status == 200)


def test_the_page_shows_the_lists_it_is_on_and_its_alerts(watched: Watched, watch: httpx.Client):
    watched.say("WatchlistEntry", made.entry(plate="WAY1*", match="wildcard", kind="deny"))
    watched.say("WatchlistEntry", made.entry(2, "near", plate="WAY123A", match="fuzzy"))
    watched.say("WatchlistEntry", made.entry(3, "others", plate="OTHER99", match="fuzzy"))
    watched.say("AlertEvent", made.alert(1, "raised", plate=ROUTED, text=ROUTED))
    page = watch.get(f"/plates/{ROUTED}", headers=ACCEPT).text
    assert "deny: stolen" in page
    assert "others" not in page.split("On lists")[1].split("Put it on a list")[0]
    assert f"/alerts/{made.alert_id(1)}" in page


@pytest.mark.parametrize(
    "path", [f"/plates/{HTML}{part}" for part in ("", "/journey", "/companions")]
)
def test_html_in_a_plate_is_escaped(browser_like: httpx.Client, path: str):
    page = browser_like.get(path)
    assert page.status_code == 200
    assert HTML not in page.text


def test_no_page_of_a_plate_holds_inline_script_or_style(browser_like: httpx.Client):
    for path in PAGES:
        page = browser_like.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert page.count("<script") == page.count("<script src=")


def test_the_map_numbers_the_stops_and_says_in_words_what_it_shows(browser_like: httpx.Client):
    page = browser_like.get(f"/plates/{ROUTED}").text
    assert 'aria-label="Map of 6 stops at 6 cameras, numbered as in the list below"' in page
    assert page.count('class="hop"') == 2 * 4  # for a desk and a phone; two cameras are one place
    assert "HARBOUR-IN +1" in page
    assert "AIRPORT: 6" in page


def test_cameras_without_a_place_are_shown_in_a_line(browser_like: httpx.Client):
    page = browser_like.get(f"/plates/{PLAIN}").text
    assert '<ol class="metro"' in page
    assert '<svg class="map' not in page


@pytest.fixture(params=["desktop light", "phone dark"])
def tab(chromium: Browser, watch_address: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    size, scheme = request.param.split()
    width, height = (1280, 900) if size == "desktop" else (390, 844)
    context = chromium.new_context(
        base_url=watch_address, viewport={"width": width, "height": height}, color_scheme=scheme
    )
    yield Tab(context.new_page(), width)
    context.close()


def test_pages_of_a_plate_work_in_a_browser(tab: Tab):
    page = tab.page
    for path in (*PAGES, f"/plates/{PLAIN}", f"/plates/{TWIN}", "/plates/NEVER1"):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= tab.number, path
    page.goto(PAGES[0])
    expect(page.locator("#companions .plate")).to_have_text(MATE)
    shown = page.locator("svg.map:visible")
    expect(shown).to_have_count(1)
    page.get_by_text("All its journeys").click()
    expect(page.locator("section.panel")).to_have_count(5)
    assert tab.complaints == []
