"""The audit as it is looked at: a page, JSON and CSV of what the API itself wrote."""

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from api.audit import Privacy, Writer
from eventlog.sqlite import wall_clock
from projections.access import AccessKeys, Role
from projections.audit_queries import AuditQueries
from projections.naming import Naming
from projections.plate_index import PlateIndex
from projections.queries import SightingQueries
from projections.schema import migrate_beside
from tests.api.audited import NAMES
from tests.api.conftest import served
from tests.api.looking import SCHEMES, SIZES, eyes, kept_at
from tests.api.watched import Watched
from tests.api.world import SHOWN, World
from tests.projections.sightings import event_id

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HOUR = timedelta(hours=1)
PLATE, OTHER = "ABC0005", "ABC0007"
NAME = NAMES.of(PLATE)
REASON = '=HYPERLINK("http://evil.example") case 17'


@pytest.fixture(scope="module")
def investigator(keys: AccessKeys) -> tuple[str, str]:
    """The id and the text of a key that may look at the audit."""
    key, text = keys.create("looks into it", Role.INVESTIGATOR, HOUR)
    return key.key_id, text


@pytest.fixture(scope="module")
def place(
    queries: SightingQueries,
    world: World,
    watched: Watched,
    keys: AccessKeys,
    investigator: tuple[str, str],
) -> Iterator[str]:
    """Where an API listens whose audit goes to the log and from there into the view; an
    investigator has looked at some plates.
    """
    migrate_beside(world.url)
    for made in (PlateIndex(world.url), Naming(world.url, NAMES)):
        with closing(made) as chore:
            while chore.step():
                pass
    writer = Writer(lambda: (watched.log, watched.codec))
    with closing(AuditQueries(world.url)) as asked:
        privacy = Privacy(NAMES, writer, wall_clock, pseudonyms=True, queries=asked)
        options = {"keys": keys, "watching": watched.watching, "privacy": privacy}
        with served(queries, world.pictures, **options) as address:
            headers = {"authorization": f"Bearer {investigator[1]}"}
            with httpx.Client(base_url=address, timeout=10, headers=headers) as client:
                for path, why in (
                    (f"/events/plate/{PLATE}", REASON),
                    (f"/plates/{OTHER}", "case 18"),
                    (f"/sightings/{event_id(SHOWN)}", ""),
                    ("/events/search?plate=ABC*", ""),
                    ("/events/recent?limit=40", "Überfall am Hafen, 03:14 Uhr " * 5),
                ):
                    answer = client.get(path, headers={b"x-reason": why.strip().encode()})
                    assert answer.status_code == 200
            watched.settle()
            yield address


@pytest.fixture
def ask(place: str, investigator: tuple[str, str]) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {investigator[1]}"}
    with httpx.Client(base_url=place, timeout=10, headers=headers) as client:
        yield client


def test_who_searched_for_a_plate_and_who_was_shown_it_are_found_by_it(
    ask: httpx.Client, investigator: tuple[str, str]
):
    told = ask.get("/audit", params={"plate": "abc-00 05"}).json()
    entries = {(one["action"], one["subject"]): one for one in told["entries"]}
    searched = entries["search", f"plate:{NAME}"]
    assert searched["actor"] == investigator[0]
    assert searched["reason"] == REASON
    assert searched["found"] == [NAME]
    assert ("list", "recent") not in entries or NAME in entries["list", "recent"]["found"]
    assert ("view", f"plate:{NAMES.of(OTHER)}") not in entries
    assert told["plates"][NAME] == PLATE
    by_name = ask.get("/audit", params={"plate": NAME}).json()["entries"]
    assert [one["subject"] for one in by_name if one["action"] != "audit"][-1] == f"plate:{NAME}"


def test_looking_at_the_audit_is_in_it(ask: httpx.Client, watched: Watched):
    ask.get("/audit", params={"action": "search", "reason": "a check"})
    watched.settle()
    newest = ask.get("/audit", params={"action": "audit"}).json()["entries"]
    assert "a check" in [one["reason"] for one in newest]


@pytest.mark.parametrize(
    ("search", "actions"),
    [
        ({"action": "search"}, {"search"}),
        ({"actor": "nobody"}, set()),
        ({"since": "1h", "action": "view"}, {"view"}),
        ({"until": "2020-01-01T00:00:00Z"}, set()),
    ],
)
def test_entries_are_found_by_who_what_and_when(
    ask: httpx.Client, search: dict[str, str], actions: set[str]
):
    told = ask.get("/audit", params=search).json()
    assert {one["action"] for one in told["entries"]} == actions
    assert told["count"] == len(told["entries"])


def test_pages_go_on_by_their_cursor(ask: httpx.Client):
    until = {"until": ask.get("/audit").json()["entries"][0]["at"]}
    whole = ask.get("/audit", params=until).json()
    assert whole["next"] is None
    paged, cursor = [], {}
    while True:
        told = ask.get("/audit", params={"limit": 2, **until, **cursor}).json()
        paged += told["entries"]
        if told["next"] is None:
            break
        cursor = {"cursor": told["next"]}
    assert paged == whole["entries"]
    for wrong in ("x", "1.2", "1.00000000-0000"):
        refused = ask.get("/audit", params={"cursor": wrong})
        assert refused.status_code == 422
        assert "next" in refused.json()["detail"]


@pytest.mark.parametrize("search", [{"since": "yesterday"}, {"until": "x"}, {"who": "anna"}])
def test_what_cannot_be_asked_is_refused(ask: httpx.Client, search: dict[str, str]):
    for path in ("/audit", "/audit.csv"):
        assert ask.get(path, params=search).status_code == 422


def test_csv_has_every_entry_and_no_formula(ask: httpx.Client):
    answer = ask.get("/audit.csv", params={"plate": PLATE})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "audit.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    (row,) = [one for one in rows if one["action"] == "search" and one["subject"].endswith(NAME)]
    assert row["reason"] == f"'{REASON}"
    assert row["found"] == NAME
    assert row["at"].endswith("Z")
    assert PLATE not in answer.text


def test_the_page_shows_plates_beside_their_pseudonyms(ask: httpx.Client):
    page = ask.get("/audit", params={"plate": PLATE}, headers=PAGE).text
    assert NAME in page
    assert PLATE in page
    assert "case 17" in page
    assert f'href="/audit.csv?plate={PLATE}"' in page
    assert "Nothing matches" in ask.get("/audit?actor=nobody", headers=PAGE).text


def test_who_may_not_see_plates_is_shown_pseudonyms_alone(
    place: str, keys: AccessKeys, watched: Watched
):
    _, hidden = keys.create("hidden", Role.INVESTIGATOR, HOUR, clear=False)
    headers = {"authorization": f"Bearer {hidden}"}
    with httpx.Client(base_url=place, headers=headers) as client:
        told = client.get("/audit", params={"plate": NAME})
        assert told.json()["plates"] == {}
        page = client.get("/audit", params={"plate": NAME}, headers=PAGE)
    for text in (told.text, page.text):
        assert NAME in text
        assert PLATE not in text


@pytest.mark.parametrize(("camera", "told"), [("CAM-001", PLATE), ("CAM-002", None)])
def test_who_sees_some_cameras_is_shown_their_plates_in_clear_alone(
    place: str, keys: AccessKeys, camera: str, told: str | None
):
    _, text = keys.create("some cameras", Role.INVESTIGATOR, HOUR, cameras=[camera])
    headers = {"authorization": f"Bearer {text}"}
    with httpx.Client(base_url=place, headers=headers) as client:
        found = client.get("/audit", params={"plate": PLATE}).json()
    assert any(NAME in one["found"] for one in found["entries"])
    assert found["plates"].get(NAME) == told


def test_operators_are_told_nothing(place: str, keys: AccessKeys):
    _, text = keys.create("acts", Role.OPERATOR, HOUR)
    for path in ("/audit", "/audit.csv"):
        answer = httpx.get(f"{place}{path}", headers={"authorization": f"Bearer {text}"})
        assert answer.status_code == 403


def test_the_pages_are_whole_on_every_screen(
    chromium: Browser,
    place: str,
    investigator: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
):
    folder: Path = kept_at(tmp_path_factory.getbasetemp() / "screenshots")
    key = {"x-api-key": investigator[1]}
    wrong: list[str] = []
    for size in SIZES:
        for scheme in SCHEMES:
            with eyes(chromium, size, scheme, base_url=place, extra_http_headers=key) as seen:
                for name, address in (
                    ("audit-whole", "/audit"),
                    ("audit-of-a-plate", f"/audit?plate={PLATE}&since=7d"),
                    ("audit-nothing", "/audit?actor=nobody"),
                    ("reason", "/reason?next=/audit"),
                ):
                    seen.see(address)
                    seen.keep(folder / f"{name}-{seen.name}.png")
                    wrong += [f"{name} {seen.name}: {one}" for one in seen.problems()]
                seen.page.fill("#reason", "Case 2025-17, stolen car at the harbour gate")
                seen.page.click("button.main")
                seen.page.wait_for_url("**/audit")
                label = seen.page.locator("header a[href='/reason']")
                assert "Case 2025-17" in label.inner_text()
                seen.keep(folder / f"audit-with-reason-{seen.name}.png")
                wrong += [f"label {seen.name}: {one}" for one in seen.problems()]
    assert wrong == []
