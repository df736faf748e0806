"""The login page in a real browser: by the first link, by a key, and out again."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from api.guard import Trust
from projections.access import AccessKeys, Role
from projections.passwords import Passwords
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.world import NO_PICTURES, SHOWN, World
from tests.projections.sightings import event_id, sighting

TRUST = Trust(fresh=0.05, stream=0.2)


@pytest.fixture(scope="module")
def locked(queries: SightingQueries, world: World, keys: AccessKeys) -> Iterator[str]:
    with served(queries, world.pictures, keys=keys, trust=TRUST) as address:
        yield address


@pytest.fixture(params=["desktop light", "phone dark"])
def context(chromium: Browser, locked: str, request: pytest.FixtureRequest):
    size, scheme = request.param.split()
    made = chromium.new_context(
        base_url=locked,
        viewport={"width": 1280 if size == "desktop" else 390, "height": 844},
        color_scheme=scheme,
    )
    yield made
    made.close()


def complaints_of(page: Page) -> list[str]:
    found: list[str] = []
    page.on("console", lambda m: found.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def log_in(page: Page, key: str) -> None:
    page.get_by_label("Password or key").fill(key)
    page.get_by_role("button", name="Log in").click()


def not_wider_than_its_screen(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_with_a_key_one_comes_to_the_page_that_was_asked_for_and_out_again(
    context: BrowserContext, keys: AccessKeys, world: World, tmp_path: Path
):
    _, key = keys.create("gatehouse", Role.VIEWER, timedelta(hours=1))
    page = context.new_page()
    complaints = complaints_of(page)
    page.goto(f"/sightings/{event_id(SHOWN)}")
    expect(page.locator("h1")).to_have_text("Log in")
    expect(page.get_by_label("Name")).to_be_focused()
    assert not_wider_than_its_screen(page)
    page.screenshot(path=tmp_path / "login.png")
    log_in(page, key)
    expect(page.locator("h1")).to_contain_text("ABC0059")
    assert page.locator(".best img").evaluate("picture => picture.naturalWidth") > 0
    assert key not in page.content()
    assert page.evaluate("document.cookie") == "", "no script can read the session"
    page.goto("/")
    expect(page.locator("#live")).to_have_text("Live")
    world.write([sighting(800, text="BEHIND1", images=NO_PICTURES)])
    expect(page.locator(f"#s-{event_id(800)}")).to_contain_text("BEHIND1")
    assert not_wider_than_its_screen(page)
    page.screenshot(path=tmp_path / "live.png")
    assert complaints == []
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("h1")).to_have_text("Log in")
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/login$"))


def test_a_wrong_key_is_told_where_it_was_given(context: BrowserContext, tmp_path: Path):
    page = context.new_page()
    page.goto("/plates/ABC0001")
    log_in(page, "alpr_wrong")
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    assert page.locator("[name=next]").input_value() == "/plates/ABC0001"
    page.screenshot(path=tmp_path / "wrong.png")


def test_the_first_link_makes_an_administrator_and_leaves_no_trace_in_the_address(
    chromium: Browser, queries: SightingQueries, world: World, postgres_url: str, tmp_path: Path
):
    fresh = AccessKeys(postgres_url, "alpr_access_first")
    link = fresh.first_link()
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with served(queries, world.pictures, keys=fresh) as address:
        page.goto(f"{address}/login#token={link}")
        expect(page.get_by_label("One-time link")).to_have_value(str(link))
        assert page.url == f"{address}/login"
        assert fresh.all() == [], "looking at the page does not use the link up"
        page.screenshot(path=tmp_path / "link.png")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_have_text("You are the administrator")
        key = page.locator("#made").inner_text()
        assert not_wider_than_its_screen(page)
        page.screenshot(path=tmp_path / "welcome.png")
        page.get_by_role("link", name="I have kept it").click()
        expect(page.locator("#live")).to_have_text("Live")
        page.goto(f"{address}/login")
        assert key not in page.content()
        assert not any(str(link) in url.partition("#")[0] for url in asked)
        found = fresh.by_key(key)
        page.close()
    assert found
    assert found.role is Role.ADMIN
    fresh.close()


def test_the_live_page_of_a_revoked_key_goes_to_the_login_page(
    chromium: Browser, locked: str, keys: AccessKeys
):
    made, key = keys.create("leaver", Role.VIEWER, timedelta(hours=1))
    page = chromium.new_page()
    page.goto(f"{locked}/?camera=CAM-001")
    log_in(page, key)
    expect(page.locator("#live")).to_have_text("Live")
    keys.revoke(made.key_id)
    expect(page).to_have_url(re.compile(r"/login\?next="), timeout=15_000)
    page.close()


def test_a_table_that_goes_on_beyond_a_phone_shows_a_shadow_there(
    chromium: Browser, locked: str, keys: AccessKeys, tmp_path: Path
):
    _, key = keys.create("phone", Role.VIEWER, timedelta(hours=1))
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{locked}/plates/ABC0059")
    log_in(page, key)
    table = page.locator(".scroll")
    assert table.evaluate("t => t.scrollWidth > t.clientWidth")
    table.screenshot(path=tmp_path / "table.png")
    page.goto(f"{locked}/sightings/{event_id(SHOWN)}")
    page.locator(".in.scroll").screenshot(path=tmp_path / "reads.png")
    page.close()


def test_a_user_is_named_as_one_and_comes_to_the_own_password(
    context: BrowserContext, keys: AccessKeys
):
    name, cheap = f"user{time.time_ns()}", Passwords(passes=1, kib=64)
    assert keys.users.add(name, Role.VIEWER, cheap.hash("four words with spaces"))
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    log_in(page, "four words with spaces")
    out = page.get_by_role("button", name="Log out")
    expect(out).to_have_attribute("title", f"Logged in as {name} (viewer)")
    page.locator("#more summary").click()
    page.get_by_role("link", name="Your password").click()
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
