"""Analytics over HTTP and their page, from roll-ups in PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser

from projections.analytics_rollups import RollupAnalytics
from projections.queries import SightingQueries
from projections.rollups import Rollups
from tests.api.conftest import served
from tests.api.world import World
from tests.projections.sightings import NOON

WHEN = datetime.fromtimestamp(NOON / 1e6, UTC)
SPAN = {"start_time": "2025-06-15", "end_time": "2025-06-17"}
PATHS = ("counts", "groups", "week", "plates", "top", "dwell", "latency", "quality")


@pytest.fixture(scope="module")
def analytics(world: World) -> Iterator[RollupAnalytics]:
    with closing(Rollups(world.url)) as rollups:
        while rollups.step():
            pass
    with closing(RollupAnalytics(world.url)) as made:
        yield made


@pytest.fixture(scope="module")
def at(queries: SightingQueries, world: World, analytics: RollupAnalytics) -> Iterator[str]:
    with served(queries, world.pictures, counts=analytics) as found:
        yield found


@pytest.fixture(scope="module")
def ask(at: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{at}/analytics", timeout=10) as made:
        yield made


def test_sightings_over_time_leave_out_what_was_retracted(ask):
    told = ask.get("/counts", params=SPAN | {"by": "camera", "limit": 1}).json()
    assert told["total"] == 63
    assert (told["start"], told["end"]) == ("2025-06-15T00:00:00Z", "2025-06-17T00:00:00Z")
    assert [point["sightings"] for point in told["points"]] == [60, 0]
    assert told["points"][0] == {
        "time": "2025-06-15T00:00:00Z",
        "name": "CAM-001",
        "sightings": 60,
    }
    assert sum(point["sightings"] for point in told["other"]) == 3
    assert told["behind"] == {"changes": 0, "hours": 0}


def test_days_begin_where_the_time_zone_says(ask):
    told = ask.get("/counts", params=SPAN | {"timezone": "Asia/Kathmandu"}).json()
    assert told["points"][0]["time"] == "2025-06-14T18:15:00Z"
    hours = ask.get("/counts", params=SPAN | {"interval": "hour", "camera": "CAM-001"}).json()
    assert len(hours["points"]) == 48
    assert sum(point["sightings"] for point in hours["points"]) == hours["total"] == 60
    week = ask.get("/week", params=SPAN | {"timezone": "America/New_York"}).json()["hours"]
    assert len(week) == 168
    there = [one for one in week if one["sightings"]]
    local = WHEN.astimezone().astimezone(UTC) - timedelta(hours=4)
    assert {(one["weekday"], one["hour"]) for one in there} == {(local.isoweekday(), local.hour)}


def test_countries_are_told_with_their_shares(ask):
    told = ask.get("/groups", params=SPAN | {"camera": "CAM-001"}).json()
    assert told["groups"] == [
        {"name": "US-FL", "sightings": 30, "share": 0.5},
        {"name": "VN", "sightings": 30, "share": 0.5},
    ]


def test_plates_are_new_once(ask):
    days = ask.get("/plates", params=SPAN).json()["days"]
    assert [day["new"] for day in days] == [63, 0]
    assert days[0] == {"day": "2025-06-15", "plates": 63, "new": 63, "returning": 0}


def test_the_most_frequent_plates_come_first(ask):
    plates = ask.get("/top", params=SPAN | {"limit": 3}).json()["plates"]
    assert [one["sightings"] for one in plates] == [1, 1, 1]


def test_stays_latency_and_quality_are_told_by_camera(ask):
    dwell = ask.get("/dwell", params=SPAN).json()
    assert dwell["all"]["sightings"] == 63
    assert len(dwell["all"]["counts"]) == len(dwell["edges"]) + 1
    latency = ask.get("/latency", params=SPAN | {"camera": "CAM-001"}).json()
    assert [one["camera_id"] for one in latency["cameras"]] == ["CAM-001"]
    assert 224 <= latency["all"]["p50"] <= 256  # all have 250
    quality = ask.get("/quality", params=SPAN).json()
    by_camera = {one["camera_id"]: one for one in quality["cameras"]}
    assert by_camera["CAM-002"]["revised"] == 1
    assert by_camera["CAM-002"]["retracted_share"] == 0.5
    assert quality["all"]["sightings"] == 63


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"range": "7d", "start_time": "2025-06-15"}, "both given"),
        ({"start_time": "2020-01-01", "end_time": "2025-01-01"}, "at most 400"),
        ({"start_time": "2025-01-01", "end_time": "2025-06-01", "interval": "hour"}, "interval"),
        ({"start_time": "2025-06-15", "end_time": "2025-06-15"}, "not before the end"),
        ({"start_time": "0001-01-01", "end_time": "0001-01-02"}, "1970"),
        ({"cameras": "CAM-001"}, "no parameter"),
        ({"camera": "a\0b"}, "NUL"),
        ({"limit": 0}, "limit"),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_cure(ask, params, words):
    answer = ask.get("/counts", params=params)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_a_time_without_sightings_is_no_failure(ask, path):
    answer = ask.get(f"/{path}", params={"start_time": "1999-01-01", "end_time": "1999-01-02"})
    assert answer.status_code == 200


@pytest.mark.parametrize("zone", [None, "Asia/Kathmandu", "Pacific/Apia"])
@pytest.mark.parametrize("range_", ["today", "7d", "30d"])
def test_ranges_are_local_days_up_to_now(ask, range_, zone):
    given = {"range": range_} | ({"timezone": zone} if zone else {})
    told = ask.get("/plates", params=given).json()
    assert len(told["days"]) == {"today": 1, "7d": 7, "30d": 30}[range_]


def test_an_api_without_roll_ups_serves_none(client):
    assert client.get("/analytics/counts").status_code == 404


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_every_board_within_the_width(chromium: Browser, at, width, scheme):
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    failures: list[str] = []
    page.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    page.goto(f"{at}/analytics?start_time=2025-06-14&end_time=2025-06-18&by=camera")
    assert page.locator("h1").inner_text() == "Analytics"
    assert page.locator("section.panel").count() == 9
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_text("As a table").first.click()
    assert page.locator("table").first.is_visible()
    assert not failures
    page.close()


def test_the_page_keeps_its_filters_in_the_address(chromium: Browser, at):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{at}/analytics?start_time=2025-06-14&end_time=2025-06-18")
    page.get_by_label("Camera").first.select_option("CAM-001")
    page.get_by_label("Told apart by").select_option("region")
    page.get_by_role("button", name="Show").click()
    assert "camera=CAM-001" in page.url
    assert "by=region" in page.url
    assert page.locator(".legend").first.inner_text().split() == ["US-FL", "30", "VN", "30"]
    page.get_by_role("link", name="Today").click()
    assert page.get_by_text("Nothing was seen in this time").is_visible()
    assert "camera=CAM-001" in page.url
    page.close()


def test_programs_get_json_at_the_pages_address(at):
    assert httpx.get(f"{at}/analytics", params=SPAN).json()["groups"][0]["name"] == "CAM-001"
