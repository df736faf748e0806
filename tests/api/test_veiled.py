"""Who may not see plates sees none: not on any page, in any answer, header or picture's address."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from api.audit import Privacy
from api.roles import NEEDED
from api.subscriptions import Subscribing
from projections.access import AccessKeys, Role
from projections.analytics_rollups import RollupAnalytics
from projections.audit_queries import AuditQueries
from projections.naming import Naming
from projections.plate_index import PlateIndex
from projections.queries import SightingQueries
from projections.rollups import Rollups
from projections.schema import migrate_beside
from projections.subscriptions import Subscriptions
from projections.wanted import Wanted
from rules.alerts.watch_entry import entry
from schemas.topics import ALERTS, WATCHLIST
from tests.api.audited import NAMES, Trail
from tests.api.conftest import served
from tests.api.watched import Watched, whole
from tests.api.world import MINUTE, SHOWN, World
from tests.projections import alerts as made
from tests.projections.sightings import NOON, event_id, sighting

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HOUR = timedelta(hours=1)
PLATE = "ABC0005"
NAME = NAMES.of(PLATE)
LISTED = "XYZ987"
# Every plate of the world, however it is written, and pictures, which show them.
CLEAR = re.compile(r"(?i)A[\W_]*[B8][\W_]*C(?:[\W_]*\d){4}|X[\W_]*Y[\W_]*Z[\W_]*9[\W_]*8[\W_]*7")
PICTURE = re.compile(r"/images/|images/2025|folder:/|plate\.jpg|frame\.jpg")
# The address that is asked for names what is looked for; these hold a plate that was typed.
WAYS = {
    "event_id": event_id(SHOWN),
    "plate_text": NAME,
    "text": NAME,
    "plate": NAMES.of(LISTED),
    "camera_id": "CAM-001",
    "alert_id": made.alert_id(5),
    "watchlist": "walked",
    "name": "Wanted",
    "number": "1",
    "place": "alpr.reads.raw/0/0",
    "path": "2025-06-15/59-frame.jpg",
    "correction_id": event_id(1),
    "subscription_id": event_id(1),
}


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trail]:
    kept = Trail(tmp_path_factory.mktemp("trail"))
    yield kept
    kept.log.close()


@pytest.fixture(scope="module", autouse=True)
def said(world: World, watched: Watched) -> None:
    """Alerts, entries and corrections about the plates; all of them have pseudonyms."""
    migrate_beside(world.url)
    watched.say("AlertEvent", *[made.alert(n) for n in range(1, 10)])
    watched.say(
        "AlertEvent",
        made.alert(
            5, "commented", at=NOON + MINUTE, actor="anna", comment=f"saw ABC-00 05, {LISTED}"
        ),
    )
    watched.say("NotificationAttempt", made.attempt(5, 1, detail=f"{PLATE} refused"))
    watched.say(
        "WatchlistEntry",
        entry("stolen", LISTED, actor="anna", at=1, reason=f"with {PLATE}", tags=[PLATE]),
        entry("walked", LISTED, actor="anna", at=1, reason=f"with {PLATE}"),
        entry("stolen", "ABC00*", match="wildcard", actor="anna", at=1),
    )
    with closing(PlateIndex(world.url)) as index:
        while index.step():
            pass
    with closing(Naming(world.url, NAMES)) as naming:
        while naming.step():
            pass
    with closing(Rollups(world.url)) as rollups:
        while rollups.step():
            pass


@pytest.fixture(scope="module")
def privacy(world: World, trail: Trail) -> Iterator[Privacy]:
    queries = AuditQueries(world.url)
    yield trail.privacy(pseudonyms=True, queries=queries)
    queries.close()


@pytest.fixture(scope="module")
def veiled(
    queries: SightingQueries, world: World, watched: Watched, keys: AccessKeys, privacy: Privacy
) -> Iterator[httpx.Client]:
    """A client that may do all there is, and may not see plates."""
    _, text = keys.create("hidden", Role.ADMIN, HOUR, clear=False)
    options: dict[str, Any] = {
        **whole(world.url),
        "watching": watched.watching,
        "forgettings": None,
    }
    subscriptions = Subscriptions(world.url)
    subscriptions.create("parking", "https://a.example/", Wanted(plate=PLATE), "local")
    options["subscribing"] = Subscribing(subscriptions, str, str)
    with (
        closing(subscriptions),
        closing(RollupAnalytics(world.url)) as options["counts"],
        served(queries, world.pictures, **{**options, "keys": keys, "privacy": privacy}) as address,
        httpx.Client(
            base_url=address, timeout=20, headers={"authorization": f"Bearer {text}"}
        ) as client,
    ):
        yield client


def shows(answer: httpx.Response) -> str:
    """What an answer tells of a plate: '' for nothing."""
    heads = " ".join(f"{name}: {value}" for name, value in answer.headers.items())
    text = f"{heads}\n{answer.content.decode(errors='replace')}"
    found = CLEAR.search(text) or PICTURE.search(text)
    return text[max(found.start() - 80, 0) : found.end() + 80] if found else ""


def test_the_net_catches_what_it_is_for(world: World):
    assert CLEAR.search("abc-0005")
    assert CLEAR.search("ABC 0059")
    assert CLEAR.search("XYZ-987")
    assert not CLEAR.search(NAME)


STREAMS = ("/live", "/stream")
# They say what there is here, with the same examples for everybody; a dead letter's desk is of the
# command line and not here.
SPOKEN = {"GET /docs", "GET /openapi.json", "GET /metrics", "POST /dead-letters/redrive"}


@pytest.mark.parametrize("accept", ["application/json", PAGE["accept"]])
@pytest.mark.parametrize("route", sorted(set(NEEDED) - SPOKEN))
def test_no_route_shows_a_plate(veiled: httpx.Client, route: str, accept: str):
    method, path = route.split()
    address = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: WAYS.get(found[1], "none"), path)
    if path.endswith(STREAMS):
        with veiled.stream("GET", address, params={"since": "1"}) as stream:
            assert stream.status_code == 200
            told = b""
            for part in stream.iter_raw():
                told += part
                if told.count(b"data:") > 20 or b"still here" in told:
                    break
        text = told.decode()
        assert "data:" in text
        assert not CLEAR.search(text)
        assert not PICTURE.search(text)
        return
    if method in ("DELETE", "PUT") and "watchlists" not in path:
        return  # they answer with what was typed, and would change what other cases look at
    answer = veiled.request(method, address, headers={"accept": accept})
    assert answer.status_code != 500
    assert not shows(answer), route


@pytest.mark.parametrize(
    "path",
    [
        f"/events/plate/{NAME}",
        f"/events/search?plate={NAME}",
        f"/events/plate/{NAME.upper()}",
        f"/plates/{NAME}/journey",
    ],
)
def test_a_plate_is_found_by_its_pseudonym(veiled: httpx.Client, path: str):
    told = veiled.get(path).text
    assert event_id(5) in told


@pytest.mark.parametrize(
    "path",
    [
        f"/search?q={NAME}",
        "/search",
        "/export/sightings.csv",
        "/export/sightings.json",
        f"/export/sightings.ndjson?plate={NAME}",
        "/analytics/top?start_time=2025-06-15&end_time=2025-06-17&limit=100",
        "/subscriptions",
        f"/plates/{NAME}",
        f"/sightings/{event_id(5)}",
        f"/plates/{NAME}/companions",
        "/alerts",
    ],
)
def test_a_route_that_tells_of_plates_tells_their_pseudonyms(veiled: httpx.Client, path: str):
    answer = veiled.get(path)
    assert answer.status_code == 200, answer.text
    assert NAMES.of(PLATE) in answer.text or re.search(r"~[a-z2-7]{12}", answer.text)
    assert not shows(answer)


def test_a_subscription_in_clear_is_made_by_who_sees_plates_alone(veiled: httpx.Client):
    new = {"url": "https://b.example/", "cameras": ["CAM-001"]}
    for told, status in (
        (new, 201),
        ({**new, "clear": True}, 403),
        ({**new, "plate": "ABC*"}, 403),
        ({**new, "plate": NAME}, 422),
    ):
        answer = veiled.post("/subscriptions", json=told)
        assert answer.status_code == status, answer.text
    (made,) = [
        one
        for one in veiled.get("/subscriptions").json()["subscriptions"]
        if one["url"] == new["url"]
    ]
    assert made["clear"] is False


def test_an_alert_is_found_by_the_pseudonym_of_its_plate(veiled: httpx.Client):
    found = veiled.get("/alerts", params={"plate": NAME}).json()["alerts"]
    assert [one["alert_id"] for one in found] == [made.alert_id(5)]


def test_a_pseudonymous_sighting_keeps_what_is_no_plate(veiled: httpx.Client):
    row = veiled.get(f"/events/{event_id(5)}").json()
    assert row["plate_text"] == row["plate_normalized_text"] == NAME
    assert row["camera_id"] == "CAM-001"
    assert row["plate_image_url"] == row["frame_image_url"] == ""
    assert row["evidence"]["reads"] == row["evidence"]["positions"] == row["alternatives"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/events/search?plate=ABC*",
        "/events/search?plate=ABC000%3F",
        "/alerts?plate=ABC*",
        "/?q=ABC*",
    ],
)
def test_a_pattern_is_refused_as_it_lets_a_plate_be_guessed(veiled: httpx.Client, path: str):
    answer = veiled.get(path, headers=PAGE if path.startswith("/?") else {})
    assert answer.status_code == 403
    assert "guessed" in answer.text


def test_the_beginning_of_a_plate_finds_nothing_on_the_wall(veiled: httpx.Client):
    assert "card" in veiled.get(f"/?q={NAME}", headers=PAGE).text
    assert event_id(5) not in veiled.get("/?q=ABC000", headers=PAGE).text


def test_a_list_is_not_searched_by_parts_of_plates(veiled: httpx.Client):
    assert veiled.get("/watchlists/stolen?q=XYZ").json()["total"] == 0
    assert veiled.get(f"/watchlists/stolen?q={LISTED}").json()["total"] == 1


def test_pictures_are_refused_with_a_sentence(veiled: httpx.Client, world: World):
    answer = veiled.get("/images/2025-06-15/59-frame.jpg")
    assert answer.status_code == 403
    assert "pseudonyms" in answer.json()["detail"]


def test_what_is_done_about_an_alert_goes_to_the_log_with_its_plate(
    veiled: httpx.Client, watched: Watched
):
    done = veiled.post(f"/alerts/{made.alert_id(6)}/acknowledge")
    assert done.status_code == 200
    assert not shows(done)
    assert watched.records(ALERTS.name)[-1]["plate"] == "ABC0006"
    watched.settle()


def test_a_plate_goes_on_and_off_a_list_by_its_pseudonym(veiled: httpx.Client, watched: Watched):
    put = veiled.put(f"/watchlists/kept/{NAME}", json={"reason": "seen too often"})
    assert put.status_code == 200, put.text
    assert put.json()["plate"] == NAME
    assert watched.records(WATCHLIST.name)[-1]["plate"] == PLATE
    watched.settle()
    off = veiled.delete(f"/watchlists/kept/{NAME}")
    assert off.status_code == 200, off.text
    assert off.json()["plate"] == NAME
    last = watched.records(WATCHLIST.name)[-1]
    assert (last["plate"], last["removed"]) == (PLATE, True)
    unknown = veiled.put(f"/watchlists/kept/{NAMES.of('NOBODY1')}", json={})
    assert unknown.status_code == 404


def test_what_is_typed_goes_on_a_list_and_is_read_back_as_a_pseudonym(
    veiled: httpx.Client, watched: Watched
):
    assert veiled.put("/watchlists/typed/34-A 123.45", json={}).json()["plate"] == NAMES.of(
        "34A12345"
    )
    watched.settle()
    (row,) = veiled.get("/watchlists/typed").json()["entries"]
    assert row["plate"] == NAMES.of("34A12345")
    assert veiled.delete(f"/watchlists/typed/{row['plate']}").status_code == 200


@pytest.mark.parametrize(
    ("plate", "body"), [("ABC*", {}), ("ABC000%3F", {}), ("ABC0004", {"match": "fuzzy"})]
)
def test_what_means_more_than_a_whole_plate_goes_on_no_list(
    veiled: httpx.Client, watched: Watched, plate: str, body: dict[str, str]
):
    before = len(watched.records(WATCHLIST.name))
    file = f"plate,match\n{unquote(plate)},{body.get('match', '')}\n"
    for answer in (
        veiled.put(f"/watchlists/guesses/{plate}", json=body),
        veiled.post("/watchlists/guesses/import", content=file),
        veiled.post("/watchlists/guesses/import?dry_run=true", content=file),
    ):
        assert answer.status_code == 403
        assert "guessed" in answer.json()["detail"]
    assert len(watched.records(WATCHLIST.name)) == before


def test_the_report_tells_no_letters_of_what_was_corrected(veiled: httpx.Client, watched: Watched):
    address = f"/sightings/{event_id(11)}/corrections"
    said = veiled.post(address, json={"kind": "text", "text": "ABC0099"}).json()["written"]
    watched.settle()
    told = veiled.get("/corrections/report").json()
    assert told["corrected"] >= 1
    assert told["confusions"] == []
    assert veiled.delete(f"{address}/{said['correction_id']}").status_code == 200


def test_listeners_of_one_feed_are_each_told_what_they_may_see(
    queries: SightingQueries, world: World, keys: AccessKeys, privacy: Privacy
):
    _, hidden = keys.create("hidden", Role.VIEWER, HOUR, clear=False)
    _, seeing = keys.create("seeing", Role.VIEWER, HOUR, clear=True)
    told: dict[str, str] = {}
    with (
        served(queries, world.pictures, keys=keys, privacy=privacy) as address,
        httpx.Client(base_url=address, timeout=10) as client,
    ):
        streams = {
            name: client.stream("GET", "/events/stream", headers={"authorization": f"Bearer {key}"})
            for name, key in (("hidden", hidden), ("seeing", seeing))
        }
        with streams["hidden"] as first, streams["seeing"] as second:
            parts = {"hidden": first.iter_raw(), "seeing": second.iter_raw()}
            for one in parts.values():
                next(one)
            world.write([sighting(777, at=NOON + 30 * MINUTE, text="ABC7777")])
            for name, one in parts.items():
                while "data:" not in told.get(name, ""):
                    told[name] = told.get(name, "") + next(one).decode()
    assert "ABC7777" in told["seeing"]
    assert "ABC7777" not in told["hidden"]
    assert NAMES.of("ABC7777") in told["hidden"]


def test_what_was_shown_by_pseudonym_is_in_the_audit_too(veiled: httpx.Client, trail: Trail):
    trail.news()
    veiled.get(f"/events/plate/{NAME}")
    entry = trail.one()
    assert (entry["subject"], entry["found"]) == (f"plate:{NAME}", [NAME])
