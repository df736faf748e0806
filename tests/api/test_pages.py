"""The pages as people's browsers get them, without and within a real browser."""

import html
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from api.view import card, duration, percent
from images.store import FolderStore
from projections.queries import SightingQueries
from projections.schema import migrate
from tests.api.conftest import served
from tests.api.world import (
    BARE,
    EVIL,
    HTML,
    NO_PICTURES,
    RETRACTED,
    REVISED,
    SHOWN,
    World,
)
from tests.projections.sightings import event_id, sighting


def test_a_browser_gets_the_page_where_a_program_gets_json(
    client: httpx.Client, browser_like: httpx.Client
):
    page = browser_like.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["vary"] == "accept"
    assert client.get("/").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?q=*",
        f"/sightings/{event_id(EVIL)}",
        f"/plates/{HTML}",
        f"/?q={HTML}",
        "/?camera=<b>",
    ],
)
def test_html_in_plates_cameras_and_questions_is_escaped(browser_like: httpx.Client, path: str):
    page = browser_like.get(path)
    assert page.status_code == 200
    assert HTML not in page.text
    assert '<b>"' not in page.text
    if "plates" not in path:  # that page shows what is left when signs are dropped
        assert "&lt;" in page.text


def test_no_page_holds_inline_script_or_style_or_names_another_host(browser_like: httpx.Client):
    for path in ("/", f"/sightings/{event_id(SHOWN)}", "/plates/ABC0003", "/docs", "/nothing"):
        page = browser_like.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert page.count("<script") == page.count("<script src=") >= 2
        elsewhere = page.replace("http://www.w3.org", "").replace("http://127.0.0.1:8000", "")
        assert "http://" not in elsewhere
        assert "https://" not in elsewhere


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/sightings/3", 422, "is no UUID"),
        (f"/sightings/{event_id(4711)}", 404, "never existed"),
        ("/nothing", 404, "there is nothing at /nothing"),
        ("/?page=0", 422, "below the minimum of 1"),
        ("/?page=9999", 422, "beyond the maximum"),
        (f"/?q={'A' * 65}", 422, "longer than 64"),
        ("/?camera=%00", 422, "NUL"),
        ("/plates/%00", 422, "NUL"),
        ("/static/../app.py", 404, "nothing at /app.py"),
        ("/static/nothing.css", 404, "no file"),
    ],
)
def test_what_cannot_be_shown_is_told_on_a_page(
    browser_like: httpx.Client, path: str, status: int, words: str
):
    page = browser_like.get(path)
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert words in html.unescape(page.text)


@pytest.mark.parametrize(
    ("path", "there", "not_there"),
    [
        ("/?q=abc-0007", [7], [8]),
        ("/?q=ABC001", [10, 19], [20]),
        ("/?q=*0042", [42], [41]),
        ("/?q=---", [], [1, 42]),
        ("/?camera=CAM-002", [REVISED], [RETRACTED, 1]),
        ("/?camera=CAM-002&retracted=1", [REVISED, RETRACTED], [1]),
        ("/?page=2", [0], [SHOWN]),
    ],
)
def test_the_address_says_which_sightings_are_shown(
    browser_like: httpx.Client, path: str, there: list[int], not_there: list[int]
):
    page = browser_like.get(path).text
    for number in there:
        assert f'id="s-{event_id(number)}"' in page
    for number in not_there:
        assert f'id="s-{event_id(number)}"' not in page


def test_static_files_may_be_kept_because_their_address_changes(browser_like: httpx.Client):
    page = browser_like.get("/").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert "?" in address
    assert "immutable" in browser_like.get(address).headers["cache-control"]


def test_a_stay_is_told_in_the_unit_people_would_use():
    told = {0.04: "0.0 s", 3.7: "3.7 s", 125: "2 min 5 s", 4320: "1 h 12 min"}
    assert {s: duration(timedelta(seconds=s)) for s in told} == told


def test_only_certainty_is_called_a_hundred_per_cent():
    assert [percent(share) for share in (0.999, 1.0, 0.29, -1, 2)] == [99, 100, 29, 0, 100]


def test_times_are_those_of_the_camera_and_of_utc_where_its_zone_is_unknown(
    queries: SightingQueries, world: World
):
    row = queries.by_id(event_id(0))
    assert row
    assert card(row).seen.exact == "15 Jun 2025, 11:06:40"
    assert card({**row, "timezone": "Mars/Base"}).seen.exact == "15 Jun 2025, 15:06:40"
    assert card({**row, "timezone": "../../etc/passwd"}).seen.zone == "UTC"


class Tab:
    """A page of the browser that keeps what its console complains about."""

    def __init__(self, page: Page, number: int) -> None:
        self.page = page
        self.number = number  # from which this tab's test may make sightings
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture(params=["desktop light", "phone dark"])
def tab(chromium: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    size, scheme = request.param.split()
    width, height = (1280, 900) if size == "desktop" else (390, 844)
    context = chromium.new_context(
        base_url=address,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        locale="en-GB",
    )
    yield Tab(context.new_page(), width * 10)
    context.close()


def test_one_clicks_from_the_wall_to_a_sighting_to_its_plate(tab: Tab, tmp_path: Path):
    page = tab.page
    page.goto("/?q=ABC0059")
    expect(page.locator("#live")).to_have_text("Live")
    page.screenshot(path=tmp_path / "live.png")
    page.locator(f"#s-{event_id(SHOWN)} a").click()
    expect(page).to_have_url(f"{page.url.split('/sightings')[0]}/sightings/{event_id(SHOWN)}")
    expect(page.locator("h1")).to_contain_text("ABC0059")
    assert page.locator(".frame image").bounding_box()
    assert page.locator(".best img").evaluate("picture => picture.naturalWidth") > 0
    mark = page.locator(".frame .mark")
    assert [mark.get_attribute(name) for name in ("x", "y", "width")] == ["240", "270", "160"]
    assert page.locator(".by-place > li").count() == len("ABC0059")
    page.screenshot(path=tmp_path / "sighting.png", full_page=True)
    page.get_by_text("Every sighting of this plate").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.screenshot(path=tmp_path / "plate.png")
    assert tab.complaints == []
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("live", "plate"))


def test_no_page_is_wider_than_its_screen(tab: Tab):
    for path in ("/", f"/sightings/{event_id(EVIL)}", f"/plates/{'W' * 64}", "/docs", "/nothing"):
        tab.page.goto(path)
        wide = tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path


def test_a_new_sighting_appears_and_changes_in_its_place(
    tab: Tab, world: World, queries: SightingQueries
):
    page, number = tab.page, tab.number
    page.goto("/")
    expect(page.locator("#live")).to_have_text("Live")
    seen = sighting(number, status="tentative", text=f"NEW{number}", images=NO_PICTURES)
    world.write([seen])
    made = page.locator(f"#s-{event_id(number)}")
    expect(made).to_contain_text("tentative")
    expect(made).to_contain_text(f"NEW{number}")
    assert page.locator("#wall li").first.get_attribute("id") == f"s-{event_id(number)}"
    total = str(queries.stats()["total_events"])
    expect(page.locator('[data-stat="total_events"]')).to_have_text(total)
    changed = {"status": "revised", "text": f"NOW{number}", "images": NO_PICTURES}
    world.write([sighting(number, revision=1, **changed)])
    expect(made).to_contain_text(f"NOW{number}")
    world.write([sighting(number, revision=2, status="retracted")])
    expect(made).to_have_count(0)
    assert tab.complaints == []


def test_html_in_a_live_sighting_stays_text(tab: Tab, world: World):
    number = tab.number + 1
    tab.page.goto("/")
    expect(tab.page.locator("#live")).to_have_text("Live")
    world.write([sighting(number, text="<img src=x onerror=document.title=1>")])
    made = tab.page.locator(f"#s-{event_id(number)}")
    expect(made).to_contain_text("<img src=x")
    assert made.locator("img[src=x]").count() == 0
    assert tab.page.title() != "1"


def test_a_sighting_without_pictures_says_so(tab: Tab):
    tab.page.goto("/?camera=gate/1 %26 co")
    expect(tab.page.locator(f"#s-{event_id(BARE)} .none")).to_have_text("No picture")
    tab.page.goto(f"/sightings/{event_id(BARE)}")
    expect(tab.page.locator(".frame .none")).to_contain_text("No picture")


def test_a_picture_that_is_gone_leaves_a_word(tab: Tab):
    tab.page.goto("/?camera=CAM-002&retracted=1")
    gone = tab.page.locator(f"#s-{event_id(RETRACTED)} .none")
    expect(gone).to_have_text("Picture no longer kept")


def test_everything_on_the_wall_is_reached_by_the_keyboard(tab: Tab):
    tab.page.goto("/?q=ABC0059")
    wanted = {"q", "", f"/sightings/{event_id(SHOWN)}"}
    reached: set[str] = set()
    for _ in range(16):
        tab.page.keyboard.press("Tab")
        reached.add(
            tab.page.evaluate(
                "document.activeElement.id || document.activeElement.getAttribute('href') || ''"
            )
        )
    assert wanted <= reached
    assert tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != ""


def test_the_reference_asks_the_api_and_shows_its_answer(tab: Tab):
    tab.page.goto("/docs")
    form = tab.page.locator('form[data-path="/events/plate/{plate_text}"]')
    form.locator('[name="plate_text"]').fill("ABC0007")
    form.get_by_role("button").click()
    shown = form.locator("xpath=..").locator("output pre")
    expect(shown).to_contain_text("200 OK")
    expect(shown).to_contain_text(event_id(7))
    assert tab.complaints == []


def test_a_lost_connection_is_told_and_mended(
    chromium: Browser, queries: SightingQueries, world: World
):
    page = chromium.new_page()
    with served(queries, world.pictures) as address:
        page.goto(address)
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#live")).to_have_text("Connection lost")
    expect(page.locator("#lost")).to_be_visible()
    page.close()


def test_a_first_time_user_is_told_what_to_do(chromium: Browser, postgres_url: str, tmp_path: Path):
    assert migrate(postgres_url, schema="empty")
    empty = SightingQueries(postgres_url, schema="empty")

    with served(empty, FolderStore(tmp_path)) as address:
        page = chromium.new_page()
        page.goto(address)
        expect(page.locator("#empty")).to_contain_text("Waiting for the first sighting")
        expect(page.locator("#empty")).to_contain_text("make demo")
        page.close()
    empty.close()
