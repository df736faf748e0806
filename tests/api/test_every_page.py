"""Every page, as `alpr api` serves it, in a browser: wide and on a phone, light and dark.

Each is kept as a picture (ALPR_TEST_SCREENSHOTS) and asked by axe for what the Web Content
Accessibility Guidelines 2.2 demand at levels A and AA; no page may complain on its console, miss
what it asks for, or be wider than its screen.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from api.roles import NEEDED
from projections.access import AccessKeys, Role
from projections.rollups import Rollups
from schemas.topics import RAW
from tests.api.looking import SCHEMES, SIZES, Eyes, eyes, kept_at, named
from tests.api.test_alert_pages import alert
from tests.api.test_dead_letters import a_read, bury
from tests.api.test_process import alpr_api
from tests.api.watched import Watched
from tests.api.world import SHOWN, World
from tests.projections import alerts as made
from tests.projections.sightings import event_id

MINUTE = 60_000_000
SPAN = "start_time=2025-06-15&end_time=2025-06-16"  # the day of the world

# Each size and each colour once: axe takes a second a page.
ASKED_BY_AXE = ("wide-light", "phone-dark")

# What a browser is shown, by its route; with the status that is meant to come.
PAGES: dict[str, list[tuple[str, int]]] = {
    "/": [("/", 200), ("/nothing/here", 404)],
    "/search": [
        ("/search", 200),
        ("/search?q=A8C0059", 200),
        ("/search?q=ABC00&camera=CAM-001&looks=near2", 200),
        ("/search?q=ZZ99999&camera=CAM-001", 200),
    ],
    "/sightings/{event_id}": [
        (f"/sightings/{event_id(SHOWN)}", 200),
        (f"/sightings/{event_id(4711)}", 404),
    ],
    "/plates/{text:path}": [("/plates/ABC0059", 200), ("/plates/NEVER1", 200)],
    "/plates/{text:path}/journey": [("/plates/ABC0059/journey", 200)],
    "/plates/{text:path}/companions": [("/plates/ABC0059/companions", 200)],
    "/plates/{text:path}/forget": [("/plates/ABC0059/forget", 200)],
    "/alerts": [("/alerts", 200), ("/alerts?state=resolved", 200)],
    "/alerts/{alert_id}": [(f"/alerts/{made.alert_id(n)}", 200) for n in (1, 2)],
    "/watchlists": [("/watchlists", 200)],
    "/watchlists/{watchlist}": [("/watchlists/stolen", 200), ("/watchlists/empty", 200)],
    "/rules": [("/rules", 200)],
    "/rules/new": [("/rules/new", 200)],
    "/rules/{name:path}": [("/rules/Wanted", 200), ("/rules/never", 404)],
    "/rules/backtest": [("/rules/backtest", 200)],
    "/cameras": [("/cameras", 200)],
    "/cameras/{camera_id:path}": [("/cameras/CAM-001", 200)],
    "/cameras/heat": [("/cameras/heat", 200), (f"/cameras/heat?{SPAN}", 200)],
    "/analytics": [("/analytics", 200), (f"/analytics?{SPAN}", 200)],
    "/corrections": [("/corrections", 200)],
    "/corrections/report": [("/corrections/report", 200)],
    "/audit": [("/audit", 200)],
    "/people": [("/people", 200)],
    "/dead-letters": [("/dead-letters", 200), ("/dead-letters?reason=none", 200)],
    "/dead-letters/{place:path}": [(f"/dead-letters/{RAW.name}/0/{n}", 200) for n in (0, 1)],
    "/system": [("/system", 200)],
    "/docs": [("/docs", 200)],
    "/login": [("/login", 200)],
    "/password": [("/password", 200)],
    "/reason": [("/reason", 200)],
}

# What only programs and scripts are answered, or what is a file.
PROGRAMS = {
    *("/health", "/metrics", "/openapi.json", "/stats", "/static/{name}", "/live"),
    *("/pictures/{token}", "/images/{path:path}", "/search/fulltext", "/rules/schema"),
    *("/events/recent", "/events/search", "/events/stream", "/events/{event_id}"),
    *("/events/plate/{plate_text:path}", "/events/camera/{camera_id:path}"),
    *("/export/sightings.csv", "/export/sightings.json", "/export/sightings.ndjson"),
    *("/sightings/{event_id}/evidence.zip", "/sightings/{event_id}/corrections"),
    *("/subscriptions", "/audit.csv", "/alerts/stream"),
    *(f"/analytics/{name}" for name in ("counts", "groups", "week", "plates", "top", "dwell")),
    *("/analytics/latency", "/analytics/quality", "/watchlists/{watchlist}.csv"),
    "/rules/backtest/{number}",  # a piece of the page it is asked from
    "/forgetting/{number}",  # a page, looked at below: its address is told by the form
}


def test_every_route_is_a_page_that_is_looked_at_or_for_programs():
    routes = {name.removeprefix("GET ") for name in NEEDED if name.startswith("GET ")}
    assert routes == set(PAGES) | PROGRAMS
    assert not set(PAGES) & PROGRAMS


@pytest.fixture(scope="module")
def pages(
    world: World,
    queries: object,
    keys: AccessKeys,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str]]:
    """Where `alpr api` listens on a world with alerts, rules, lists and dead letters, and a key."""
    home = tmp_path_factory.mktemp("home")
    watched = Watched(postgres_url, home / "log")
    now = time.time_ns() // 1000
    watched.say("RuleVersion", made.rule(), made.rule("High confidence"))
    watched.say("AlertEvent", *[alert(n, at=now - n * MINUTE) for n in range(1, 6)])
    watched.say("NotificationAttempt", made.attempt(1, 1))
    watched.say("WatchlistEntry", *[made.entry(n) for n in range(12)])
    good = a_read(watched)
    bury(watched, good.replace(b"\x0eKAX1234", b"\x7eKAX1234"), good, detail="PlateRead: length")
    _, key = keys.create("looks at everything", Role.ADMIN, timedelta(hours=1))
    settings = {
        "ALPR_LOG_PARTITIONS": "1",
        "ALPR_API_AUTH": "required",
        "ALPR_API_RATE": "0",
        "ALPR_IMAGES_URL": f"file://{world.folder}",
    }
    with alpr_api(postgres_url, home, **settings) as api:
        address = f"http://127.0.0.1:{api.port}"
        with httpx.Client(base_url=address, headers={"x-api-key": key}, timeout=20) as client:
            for n, said in ((39, {"kind": "text", "text": "ABCO039"}), (2, {"kind": "no plate"})):
                told = client.post(f"/sightings/{event_id(n)}/corrections", json=said)
                assert told.status_code == 200, told.text
        with closing(Rollups(postgres_url)) as rollups:
            while rollups.step():
                pass
        yield address, key
    watched.close()


@pytest.fixture(scope="module")
def seen_by(
    chromium: Browser, pages: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Eyes]]:
    """A window of each size and colour."""
    address, key = pages
    opened = [
        eyes(chromium, size, scheme, base_url=address, extra_http_headers={"x-api-key": key})
        for size in SIZES
        for scheme in SCHEMES
    ]
    yield [one.__enter__() for one in opened]
    for one in opened:
        one.__exit__(None, None, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_at(tmp_path_factory.getbasetemp() / "screenshots")


@pytest.mark.parametrize(
    ("address", "status"), [case for cases in PAGES.values() for case in cases]
)
def test_a_page_is_whole_and_for_everybody(
    seen_by: list[Eyes], folder: Path, address: str, status: int
):
    wrong: list[str] = []
    for seen in seen_by:
        seen.see(address, status)
        seen.keep(folder / f"{named(address)}-{seen.name}.png")
        problems = seen.problems(axe=seen.name in ASKED_BY_AXE)
        wrong += [f"{seen.name}: {problem}" for problem in problems]
    assert wrong == []


def test_the_page_of_a_plate_that_is_forgotten_is_too(seen_by: list[Eyes], folder: Path):
    wrong: list[str] = []
    for seen, plate in zip(seen_by, ("ABC0041", "ABC0042", "ABC0043", "ABC0044"), strict=True):
        seen.see(f"/plates/{plate}/forget")
        seen.page.get_by_label("The plate once more").fill(plate)
        seen.page.get_by_role("button", name="Forget it for ever").click()
        expect(seen.page.get_by_role("heading", name="Forgotten")).to_be_visible(timeout=20_000)
        seen.keep(folder / f"forgetting-{seen.name}.png")
        wrong += [f"{seen.name}: {told}" for told in seen.problems(axe=seen.name in ASKED_BY_AXE)]
    assert wrong == []
