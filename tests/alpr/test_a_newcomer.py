"""A newcomer with `alpr demo` and no documentation: from a half-remembered plate to forgetting it.

Each step leaves a picture in ALPR_TEST_SCREENSHOTS, where that is set.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from rules.text import normalise
from tests.alpr.test_alerts_arrive import free_port, wait
from tests.api.conftest import CHROMIUM, FLAGS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240  # cars leave more than a minute after they came, on a machine that is busy
LEAST = 4  # sightings before the newcomer begins


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """Where the page of a demonstration is; it goes on meanwhile."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
    environ |= {"ALPR_HOME": str(tmp_path), "ALPR_API_PORT": str(free_port())}
    said = (tmp_path / "said.txt").open("wb")
    running = subprocess.Popen(
        [sys.executable, "-m", "alpr", "demo"], env=environ, cwd=ROOT, stdout=said, stderr=said
    )
    try:
        address = f"http://127.0.0.1:{environ['ALPR_API_PORT']}"
        wait(lambda: answers(address), 180)
        yield address
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)
        said.close()


@pytest.fixture
def page() -> Iterator[Page]:
    if not CHROMIUM.exists():
        told = f"no {CHROMIUM}: install Debian's chromium to try the pages in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        made = browser.new_page(viewport={"width": 1280, "height": 900})
        made.set_default_timeout(30_000)
        yield made
        browser.close()


def test_a_car_is_found_followed_listed_told_corrected_exported_and_forgotten(
    demo: str, page: Page, tmp_path: Path
):
    truth = json.loads((tmp_path / "demo/drive-by.truth.json").read_text())
    cars = {normalise(car["plate"]) for car in truth["plates"]}
    seen = wait(lambda: sure(demo, cars), PATIENCE_S)
    wanted, misread = seen[0], seen[1]
    plate = wanted["plate_normalized_text"]

    # Half remembered: a character in the middle is another, and the end is forgotten.
    page.goto(demo)
    expect(page.locator(".card").first).to_be_visible()
    picture(page, "1-live")
    half = plate[:3] + ("X" if plate[3] != "X" else "Y") + plate[4:]
    page.get_by_role("searchbox").fill(half)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search**")
    expect(page.locator("main")).to_contain_text(plate)
    picture(page, "2-search")

    # Its journey, from its page.
    page.get_by_role("link", name=f"Everything about {plate}").click()
    expect(page.get_by_role("heading", name=plate)).to_be_visible()
    picture(page, "3-plate")
    page.get_by_role("link", name="All its journeys").click()
    expect(page.locator("main")).to_contain_text("GATE-1")
    picture(page, "4-journey")

    # On a list, and the alert when it is seen again.
    page.goto(f"{demo}/plates/{plate}")
    page.get_by_text("Put it on a list").click()
    form = page.locator("form.entry")
    form.get_by_label("List").fill("neighbours")
    form.get_by_label("What it means").select_option("deny")
    form.get_by_label("Reason").fill("parks in my place")
    form.get_by_role("button", name="Save").click()
    wait(lambda: httpx.get(f"{demo}/watchlists/neighbours").status_code == 200)
    page.get_by_role("link", name="Alerts", exact=True).first.click()
    told = page.locator("#alerts li").filter(has_text=plate)
    expect(told.first).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(told.first).to_contain_text("neighbours")
    picture(page, "5-alert")

    # A misread, corrected; what was read stays to be seen.
    page.goto(f"{demo}/sightings/{misread['event_id']}")
    page.get_by_role("textbox", name="The plate").fill("HELLO1")
    page.get_by_label("Why, if there is more to say").fill("I was there")
    picture(page, "6-correcting")
    page.get_by_role("button", name="Correct it").click()
    expect(page.get_by_role("heading", name="HELLO1")).to_be_visible()
    expect(page.locator("main")).to_contain_text(misread["plate_normalized_text"])
    picture(page, "7-corrected")
    page.goto(f"{demo}/search?q=HELLO1")
    expect(page.locator("main")).to_contain_text("HELLO1")

    # The evidence, to give to somebody.
    page.goto(f"{demo}/sightings/{wanted['event_id']}")
    with page.expect_download() as given:
        page.get_by_role("link", name="Save the evidence").click()
    with zipfile.ZipFile(io.BytesIO(Path(given.value.path()).read_bytes())) as evidence:
        names = evidence.namelist()
        manifest = json.loads(evidence.read(next(n for n in names if "manifest" in n)))
    assert any(name.endswith(".jpg") for name in names)
    assert manifest

    # Forgotten, for ever.
    page.goto(f"{demo}/plates/{plate}")
    page.get_by_role("link", name="Forget this plate").click()
    page.get_by_role("textbox", name="The plate once more").fill(plate)
    page.get_by_label("Why").fill("moved away")
    picture(page, "8-forget")
    page.get_by_role("button", name="Forget it for ever").click()
    expect(page.locator("main")).to_contain_text("Nothing of the plate is left", timeout=60_000)
    picture(page, "9-forgotten")
    wait(lambda: not httpx.get(f"{demo}/events/plate/{plate}").json()["events"])
    page.goto(f"{demo}/search?q={plate}&looks=exact")
    expect(page.locator(".plate").filter(has_text=plate)).to_have_count(0)
    assert plate not in httpx.get(f"{demo}/alerts?state=all").text
    assert httpx.get(f"{demo}/watchlists/neighbours").json().get("count", 0) == 0


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.HTTPError:
        return False


def sure(address: str, cars: set[str]) -> list[dict[str, Any]]:
    """The sightings of cars at the gate that are sure, the earliest first, once there are some."""
    events = httpx.get(f"{address}/events/recent?limit=50").json()["events"]
    found = [
        event
        for event in events
        if event["camera_id"] == "GATE-1"
        and event["plate_confidence"] > 0.9
        and event["status"] in ("confirmed", "revised", "ended")
        and event["plate_normalized_text"] in cars
    ]
    return found[::-1] if len(found) >= LEAST else []


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("ALPR_TEST_SCREENSHOTS")
    if folder:
        time.sleep(0.5)  # what is moving comes to rest
        page.screenshot(path=Path(folder) / f"newcomer-{name}.png")
