"""The pages of alerts, rules, watchlists and backtests, without and within a real browser."""

import html
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from alpr.backtest import BacktestResult
from alpr.two_sides import Found, RuleResult
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from schemas.records import AlertEvent
from schemas.topics import ALERTS, RULES, WATCHLIST
from tests.api.conftest import served
from tests.api.test_pages import Tab
from tests.api.watched import Watched, idle
from tests.api.world import HTML, NO_PICTURES, SHOWN, World
from tests.projections import alerts as made
from tests.projections.sightings import NOON, event_id

MINUTE, DAY_US = 60_000_000, 86_400_000_000
EVIL, SILENT, GONE, LONG = 70, 71, 72, 73
RULE = "rules:\n  - name: made here\n    conditions:\n      watchlist: stolen\n"
PAGES = ("/alerts", "/rules", "/rules/new", "/rules/backtest", "/watchlists", "/watchlists/stolen")
ACCEPT = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def alert(number: int, kind: str = "raised", **said: Any) -> AlertEvent:
    """An alert without pictures, so that the browser misses none."""
    return made.alert(number, kind, **{"images": NO_PICTURES, **said})


def BACKTEST(rules: Any, since: int, progress: Any) -> dict[str, Any]:
    """What alpr.backtest tells, without a log to read."""
    for done in (1, 2, 3):
        progress(done / 4, f"{done} of 4 records")
        time.sleep(0.1)
    found = Found(
        alert_id=made.alert_id(1),
        at=NOON,
        plate=HTML,
        subject=HTML,
        camera_id=HTML,
        message=HTML,
        near_change=True,
    )
    rule = RuleResult(
        rule=HTML,
        enabled=True,
        raised=5,
        withdrawn=1,
        recorded=4,
        same=3,
        new=1,
        gone=0,
        same_marked=0,
        new_marked=1,
        gone_marked=0,
        by_time=((NOON - NOON % DAY_US, 5),),
        plates=((HTML, 5),),
        news=(found,),
        lost=(),
        in_force_since=None,
        needs=None,
    )
    result = BacktestResult(
        whole=True,
        since=NOON - 5 * DAY_US,
        until=NOON + DAY_US,
        start=NOON - 6 * DAY_US,
        step=DAY_US,
        records=4,
        unreadable=0,
        poison=0,
        took_s=0.3,
        in_force=rules is None,
        rules=(rule,),
    )
    return result.plain()


@pytest.fixture(scope="module", autouse=True)
def some(watched: Watched, queries: SightingQueries) -> None:
    row = queries.by_id(event_id(SHOWN))
    assert row
    pictures = {
        "plate_url": row["plate_image_url"],
        "vehicle_url": "",
        "frame_url": row["frame_image_url"],
    }
    now = time.time_ns() // 1000
    watched.say("RuleVersion", made.rule(), made.rule(f"Evil {HTML[:60]}"))
    watched.say(
        "AlertEvent",
        *[
            alert(n, at=now - n * MINUTE, images=pictures if n == SHOWN else NO_PICTURES)
            for n in range(1, 60)
        ],
        alert(EVIL, at=now, message=HTML, plate=HTML, subject=HTML, camera_id=HTML, rule=HTML),
        alert(SILENT, at=now, plate=None, subject="CAM-004", event_ids=[], watched=None),
        alert(GONE, at=now),
        alert(GONE, "withdrawn", at=now, revision=1, reason=f"no match {HTML}"),
        alert(EVIL, "commented", at=now, comment=HTML, actor=HTML),
    )
    watched.say("NotificationAttempt", made.attempt(1, EVIL, detail=HTML, target=HTML))
    watched.say(
        "WatchlistEntry",
        *[made.entry(n) for n in range(130)],
        made.entry(200, plate="EVIL", reason=HTML, owner=HTML, tags=[HTML], actor=HTML),
        made.entry(201, HTML),
    )


@pytest.fixture(scope="module")
def reads(watch_address: str) -> Iterator[httpx.Client]:
    """A client that asks for pages."""
    with httpx.Client(base_url=watch_address, timeout=10, headers=ACCEPT) as made_:
        yield made_


@pytest.fixture(params=["desktop light", "phone dark"])
def tab(chromium: Browser, watch_address: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    size, scheme = request.param.split()
    width, height = (1280, 900) if size == "desktop" else (390, 844)
    context = chromium.new_context(
        base_url=watch_address,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        locale="en-GB",
    )
    yield Tab(context.new_page(), width * 10)
    context.close()


# --- without a browser


def test_one_address_is_a_page_for_people_and_json_for_programs(
    watch: httpx.Client, reads: httpx.Client
):
    for path in ("/alerts", f"/alerts/{made.alert_id(1)}", "/rules", "/rules/Wanted", *PAGES[4:]):
        assert reads.get(path).headers["content-type"].startswith("text/html"), path
        assert watch.get(path).headers["content-type"] == "application/json", path


def test_nothing_that_people_or_cameras_wrote_is_taken_for_html(reads: httpx.Client):
    quoted = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    for path in (
        *("/alerts", f"/alerts/{made.alert_id(EVIL)}", f"/alerts/{made.alert_id(GONE)}"),
        *(f"/alerts?state=all&rule={quoted}&plate={quoted}&camera={quoted}", "/rules"),
        *(f"/rules/Evil {quoted}", "/watchlists", "/watchlists/stolen?q=EVIL"),
        *(f"/watchlists/{quoted}?q={quoted}", f"/rules/backtest?rule={quoted}"),
    ):
        page = reads.get(path)
        assert page.status_code == 200, path
        assert HTML not in page.text, path


def test_no_page_holds_inline_script_or_style_or_names_another_host(reads: httpx.Client):
    for path in (*PAGES, f"/alerts/{made.alert_id(1)}"):
        page = reads.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert page.count("<script") == page.count("<script src=") == 3
        elsewhere = page.replace("http://www.w3.org", "").replace("https://example.com/hook", "")
        assert "http://" not in elsewhere
        assert "https://" not in elsewhere


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"/alerts/{event_id(9999)}", 404, "there is no alert"),
        ("/alerts/x", 422, "is no UUID"),
        ("/rules/never", 404, "there is no rule"),
        ("/rules/backtest/never", 404, "its result was dropped"),
        ("/alerts?page=0", 422, "below the minimum"),
        ("/watchlists/none", 200, "Nothing is on this list"),
    ],
)
def test_what_cannot_be_shown_is_told_on_a_page(
    reads: httpx.Client, path: str, status: int, words: str
):
    page = reads.get(path)
    assert page.status_code == status
    assert words in html.unescape(page.text)


def test_who_may_only_read_gets_no_buttons(
    queries: SightingQueries, world: World, watched: Watched, keys: AccessKeys
):
    _, reader = keys.create("reader", Role.VIEWER, None)
    headers = {**ACCEPT, "x-api-key": reader}
    with served(queries, world.pictures, keys=keys, watching=watched.watching) as address:

        def page(path: str) -> str:
            return httpx.get(f"{address}{path}", headers=headers).text

        assert 'class="alerts readonly"' in page("/alerts")
        assert "data-alert" not in page(f"/alerts/{made.alert_id(1)}")
        assert "data-switch" not in page("/rules")
        assert "data-check" not in page("/rules/Wanted")
        assert "data-off" not in page("/watchlists/stolen")
        assert httpx.get(f"{address}/rules/new", headers=headers).status_code == 403


# --- within one


def test_no_page_is_wider_than_its_screen_and_none_complains(tab: Tab, tmp_path: Path):
    for path in (*PAGES, *(f"/alerts/{made.alert_id(n)}" for n in (EVIL, SILENT, GONE, SHOWN))):
        tab.page.goto(path)
        wide = tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path
    assert tab.complaints == []


def test_words_without_a_space_are_broken_and_a_picture_that_is_gone_is_told(
    tab: Tab, watched: Watched
):
    word = "W" * 100
    images = {**NO_PICTURES, "plate_url": "2025-06-15/gone.jpg"}
    watched.say("RuleVersion", made.rule(word))
    watched.say("AlertEvent", alert(LONG, rule=word, message=word, camera_id=word, images=images))
    for path in (f"/rules/{word}", f"/alerts/{made.alert_id(LONG)}"):
        tab.page.goto(path)
        wide = tab.page.evaluate(
            "[...document.querySelectorAll('html, .panel')]"
            ".filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)"
        )
        assert wide == [], path
    assert tab.page.locator(".frame .none").text_content() == "Picture no longer kept"


def test_an_alert_appears_by_itself_and_one_click_acknowledges_it(tab: Tab, watched: Watched):
    page, number = tab.page, tab.number
    page.goto("/alerts")
    expect(page.locator("#live")).to_have_text("Live")
    watched.say("AlertEvent", alert(number, at=time.time_ns() // 1000))
    row = page.locator(f"#a-{made.alert_id(number)}")
    expect(row).to_contain_text(f"ABC{number}")
    assert page.locator("#alerts > li").first.get_attribute("id") == f"a-{made.alert_id(number)}"
    row.get_by_role("button", name="Acknowledge").click()
    expect(row.locator(".badge.state")).to_have_text("acknowledged")
    expect(row.get_by_role("button", name="Acknowledge")).to_be_hidden()
    assert watched.records(ALERTS.name)[-1]["kind"] == "acknowledged"
    row.get_by_role("button", name="Comment").click()
    row.get_by_label("Comment", exact=True).fill("a patrol is there")
    page.keyboard.press("Enter")
    expect(row.get_by_label("Comment", exact=True)).to_be_hidden()
    last = watched.records(ALERTS.name)[-1]
    assert (last["kind"], last["comment"]) == ("commented", "a patrol is there")
    row.get_by_role("button", name="Resolve").click()
    expect(row.locator(".badge.state")).to_have_text("resolved")
    assert tab.complaints == []


def test_the_board_shows_only_what_its_filters_ask(tab: Tab, watched: Watched):
    page, number = tab.page, tab.number + 1
    page.goto("/alerts")
    page.get_by_label("Plate", exact=True).fill(f"abc-{number}")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#empty")).to_contain_text("Nothing matches")
    expect(page.locator("#live")).to_have_text("Live")
    now = time.time_ns() // 1000
    watched.say("AlertEvent", alert(number + 5000, at=now), alert(number, at=now))
    expect(page.locator("#alerts > li")).to_have_count(1)
    expect(page.locator("#empty")).to_be_hidden()


def test_an_alerts_page_says_why_and_what_became_of_it(tab: Tab, tmp_path: Path):
    page = tab.page
    page.goto(f"/alerts/{made.alert_id(SHOWN)}")
    expect(page.locator("h1")).to_contain_text("ABC0059")
    assert page.locator(".frame image").bounding_box()
    assert page.locator(".why").get_by_text("stolen").count() >= 1
    page.get_by_role("button", name="Comment").click()
    page.get_by_label("Comment", exact=True).fill("looked into")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".history").first).to_contain_text("looked into")
    page.screenshot(path=tmp_path / "alert.png", full_page=True)
    page.locator("table a").first.click()
    expect(page).to_have_url(f"{page.url.split('/sightings')[0]}/sightings/{event_id(SHOWN)}")
    assert tab.complaints == []


def test_a_rule_is_written_with_its_mistakes_told_at_their_lines(tab: Tab, watched: Watched):
    page = tab.page
    page.goto("/rules/new")
    text = page.get_by_label("Rules as YAML")
    text.fill(RULE.replace("conditions", "conditons"))
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".problems")).to_contain_text("did you mean conditions")
    expect(page.locator(".gutter .wrong").first).to_have_text("3")
    page.get_by_role("button", name="Line 3").click()
    assert page.evaluate("document.activeElement.selectionStart") == len(
        "rules:\n  - name: made here\n"
    )
    tab.complaints.clear()
    text.fill(RULE.replace("made here", f"made here {tab.number}"))
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#rule output")).to_contain_text("1 rule without a problem")
    page.get_by_role("button", name="Bring into force").click()
    page.wait_for_url("**/rules")
    assert watched.records(RULES.name)[-1]["name"] == f"made here {tab.number}"
    assert tab.complaints == []


def test_a_rule_is_switched_off_where_it_is_listed(tab: Tab, watched: Watched):
    watched.say("RuleVersion", made.rule(f"Switched {tab.number}"))
    tab.page.goto("/rules")
    row = tab.page.locator(".rule", has_text=f"Switched {tab.number}")
    row.get_by_role("button", name="Disable").click()
    expect(row.locator(".switch")).to_have_text("off")
    assert '"enabled":false' in watched.records(RULES.name)[-1]["definition"].replace(" ", "")
    assert tab.complaints == []


def test_rules_are_tried_on_history_and_the_result_is_shown(tab: Tab, tmp_path: Path):
    page = tab.page
    page.goto("/rules/backtest")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".counts tbody tr")).to_have_count(1)
    assert page.locator(".chart rect").count() == 7
    expect(page.locator("#result")).to_contain_text("near a change")
    assert page.locator("#result img").count() == 0  # HTML in a rule's name stays text
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    page.screenshot(path=tmp_path / "backtest.png", full_page=True)
    page.get_by_label("Rules as YAML").fill("rules:\n  - {}\n")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".problems")).to_contain_text("Line 2")


def test_a_plate_is_added_changed_and_taken_off(tab: Tab, watched: Watched):
    page, plate = tab.page, f"NEW{tab.number}"
    page.goto("/watchlists")
    page.get_by_label("List", exact=True).fill(f"page {tab.number}")
    page.get_by_label("Plate", exact=True).fill(plate)
    page.get_by_label("What it means").select_option("deny")
    page.get_by_label("Reason").fill("=1+1")
    page.get_by_label("Valid to, inclusive").fill("2030-01-31")
    page.get_by_role("button", name="Save").click()
    row = page.locator(f'tr[data-plate="{plate}"]')
    expect(row).to_contain_text("=1+1")
    before = watched.records(WATCHLIST.name)[-1]
    row.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Valid to, inclusive")).to_have_value("2030-01-31")
    page.get_by_label("Owner").fill("police")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("police")
    after = watched.records(WATCHLIST.name)[-1]
    assert {**after, "effective_from": 0} == {**before, "owner": "police", "effective_from": 0}
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
    assert watched.records(WATCHLIST.name)[-1]["removed"] is True
    assert tab.complaints == []


def test_a_file_is_shown_before_it_is_taken(tab: Tab, watched: Watched):
    page, name = tab.page, f"file {tab.number}"
    page.goto(f"/watchlists/{name}")
    file = page.get_by_label("File")
    file.set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"plate,kind\n?,x\n"})
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".problems")).to_contain_text("Line 2, kind")
    tab.complaints.clear()  # the browser's own line about the refusal
    content = b"plate,reason\nAA1,<b>\nAA2,\n"
    file.set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_role("button", name="Preview").click()
    expect(page.locator(".preview tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Import 2").click()
    expect(page.locator("table.entries tbody tr")).to_have_count(2)
    assert [one["plate"] for one in watched.records(WATCHLIST.name)[-2:]] == ["AA1", "AA2"]
    assert tab.complaints == []


def test_who_has_nothing_yet_is_told_what_to_do(
    chromium: Browser, queries: SightingQueries, world: World, tmp_path: Path
):
    from projections.alert_queries import AlertQueries
    from projections.alert_schema import migrate_alerts

    migrate_alerts(world.url, schema="no_alerts")
    nothing = idle(world.url)
    empty = type(nothing)(AlertQueries(world.url, "no_alerts"), nothing.voice, nothing.backtests)
    with served(queries, world.pictures, watching=empty) as address:
        page = chromium.new_page()
        for path, words in (
            ("/alerts", "alpr rules apply"),
            ("/rules", "alpr rules apply"),
            ("/rules/backtest", "No rule is in force"),
            ("/watchlists", "alpr watchlist add"),
            ("/watchlists/gate", "Add a plate below"),
        ):
            page.goto(f"{address}{path}")
            expect(page.locator(".empty")).to_contain_text(words)
        page.close()
    empty.queries.close()
