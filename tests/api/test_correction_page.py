"""A misread corrected on its page, as a person does it: seen at once, and taken back."""

import re

from playwright.sync_api import Browser, expect

from tests.api.world import SHOWN
from tests.projections.sightings import event_id


def test_a_misread_is_corrected_on_its_page_and_taken_back(chromium: Browser, watch_address: str):
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{watch_address}/sightings/{event_id(SHOWN)}")
    expect(page.get_by_role("heading", name="Why it was read so")).to_be_visible()
    page.get_by_role("textbox", name="The plate").fill("abc-0o59")
    page.get_by_label("Why, if there is more to say").fill("an O")
    page.keyboard.press("Enter")
    expect(page.get_by_text("A person corrected the text")).to_be_visible()
    expect(page.locator("h1")).to_contain_text("ABC0O59")
    expect(page.locator(".notice")).to_contain_text("ABC0059")
    expect(page.locator(".said-by")).to_contain_text("an O")

    page.goto(f"{watch_address}/corrections")
    expect(page.get_by_role("link", name="ABC0059")).to_be_visible()
    page.goto(f"{watch_address}/corrections/report")
    expect(page.get_by_label("Example 1 of 0 for O")).to_be_visible()

    page.goto(f"{watch_address}/sightings/{event_id(SHOWN)}")
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".said-by li.undone")).to_be_visible()
    expect(page.locator("h1")).to_contain_text("ABC0059")
    assert problems == []


def test_what_cannot_be_is_told_on_the_page_and_nothing_is_lost(
    chromium: Browser, watch_address: str
):
    page = chromium.new_page()
    page.goto(f"{watch_address}/sightings/{event_id(1)}")
    page.get_by_label("Part of another sighting").check()
    page.get_by_label("The id or address").fill(f"{watch_address}/sightings/{event_id(1)}")
    page.get_by_role("button", name="Correct it").click()
    expect(page.get_by_role("alert").filter(has_text=re.compile("itself"))).to_be_visible()
    expect(page.get_by_label("The id or address")).to_have_value(re.compile("sightings"))
