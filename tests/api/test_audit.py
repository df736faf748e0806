"""Each search for and view of a plate is on alpr.audit before anybody sees it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.audit import Writer, tidy
from api.audited import CLEAR, DEEDS, SILENT, deed_of, searched, subjects_of
from api.errors import Unavailable
from api.roles import NEEDED
from eventlog.log import LogUnavailable
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from schemas.codec import Codec
from schemas.records import AuditEntry
from schemas.topics import AUDIT
from tests.api.audited import NAMES, Trail
from tests.api.conftest import served
from tests.api.watched import Watched
from tests.api.world import SHOWN, World
from tests.projections.sightings import event_id

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PLATE = "ABC0005"
NAME = NAMES.of(PLATE)


def BACKTEST(*_: Any) -> dict[str, Any]:
    return {
        "rules": [
            {
                "plates": {"ABC0001": 2},
                "news": [{"plate": "ABC0002"}, {"plate": None}],
                "lost": [{"plate": "ABC0003"}],
            }
        ]
    }


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trail]:
    made = Trail(tmp_path_factory.mktemp("trail"))
    yield made
    made.log.close()


@pytest.fixture
def ask(
    trail: Trail, queries: SightingQueries, world: World, watched: Watched
) -> Iterator[httpx.Client]:
    """A program's client of an API that writes its audit."""
    trail.news()
    options = {"watching": watched.watching, "privacy": trail.privacy()}
    with (
        served(queries, world.pictures, **options) as address,
        httpx.Client(base_url=address, timeout=10) as client,
    ):
        yield client


def test_every_route_says_what_the_audit_tells_of_it():
    assert {route for route in NEEDED if route not in DEEDS and route not in SILENT} == set()
    assert not DEEDS.keys() & SILENT


def test_what_is_declared_exists():
    declared = DEEDS.keys() | SILENT | CLEAR
    assert {route for route in declared if route not in NEEDED} == set()


def test_a_route_that_declares_nothing_is_told_of_all_the_same():
    found = deed_of("GET /new/{thing}")
    assert found is not None
    assert found.action == "view"


def test_a_search_for_a_plate_says_who_what_and_when(ask: httpx.Client, trail: Trail):
    answer = ask.get(f"/events/plate/{PLATE.lower()}")
    assert answer.json()["count"] == 1
    entry = trail.one()
    assert entry["actor"] == "local"
    assert (entry["action"], entry["subject"]) == ("search", f"plate:{NAME}")
    assert entry["found"] == [NAME]
    assert entry["reason"] == ""
    assert entry["at"] > 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("path", "action", "subject"),
    [
        (f"/events/search?plate={PLATE}", "search", f"plate:{NAME}"),
        ("/events/search?plate=ABC*5", "search", f"pattern:{NAMES.of_pattern('ABC*5')}"),
        ("/events/search?camera=CAM-001&limit=1", "search", "camera=CAM-001"),
        ("/events/search", "search", "all"),
        ("/events/recent", "list", "recent"),
        ("/events/camera/CAM-001", "list", "camera:CAM-001"),
        (f"/events/{event_id(SHOWN)}", "view", f"sighting:{event_id(SHOWN)}"),
        (f"/sightings/{event_id(SHOWN)}", "view", f"sighting:{event_id(SHOWN)}"),
        (f"/plates/{PLATE}", "view", f"plate:{NAME}"),
        ("/alerts", "list", "alerts"),
        ("/watchlists/stolen", "list", "watchlist:stolen"),
    ],
)
def test_each_way_to_look_is_told(
    ask: httpx.Client, trail: Trail, path: str, action: str, subject: str
):
    assert ask.get(path).status_code == 200
    entry = trail.one()
    assert (entry["action"], entry["subject"]) == (action, subject)


def test_a_plate_is_never_in_clear(ask: httpx.Client, trail: Trail):
    for path in (f"/events/search?plate={PLATE}", "/events/recent?limit=100", f"/?q={PLATE}"):
        ask.get(path, headers=PAGE)
    told = str(trail.news())
    assert "ABC" not in told.upper().replace(NAME.upper(), "")


def test_what_was_shown_is_found_by_its_pseudonym(ask: httpx.Client, trail: Trail):
    rows = ask.get("/events/search?camera=CAM-001&limit=20").json()["events"]
    assert trail.one()["found"] == sorted(NAMES.of(r["plate_normalized_text"]) for r in rows)


def test_a_search_that_finds_nothing_is_told_too(ask: httpx.Client, trail: Trail):
    ask.get("/events/plate/NEVERSEEN")
    entry = trail.one()
    assert (entry["subject"], entry["found"]) == (f"plate:{NAMES.of('NEVERSEEN')}", [])


def test_what_was_refused_is_not_told(ask: httpx.Client, trail: Trail):
    assert ask.get("/events/search?limit=5000").status_code == 422
    assert ask.get("/stats").status_code == 200
    assert trail.news() == []


def test_the_live_wall_is_told_when_it_is_opened(ask: httpx.Client, trail: Trail):
    assert ask.get("/", headers=PAGE).status_code == 200
    assert trail.one()["action"] == "watch"
    with ask.stream("GET", "/live") as stream:
        next(stream.iter_raw())
        assert [(e["action"], e["subject"]) for e in trail.news()] == [("watch", "live")]


def test_a_program_that_asks_what_there_is_is_shown_no_plate(ask: httpx.Client, trail: Trail):
    assert ask.get("/").status_code == 200
    assert trail.news() == []


def test_a_picture_is_told_when_it_is_opened_by_itself(ask: httpx.Client, trail: Trail):
    row = ask.get(f"/events/{event_id(SHOWN)}").json()
    trail.news()
    path = "/images/" + row["frame_image_url"].removeprefix("images/").replace(" ", "%20")
    of_a_page = {"sec-fetch-dest": "image", "sec-fetch-site": "same-origin"}
    assert ask.get(path, headers=of_a_page).status_code == 200
    assert trail.news() == []
    # Who brings a key is a program, whatever it says of itself.
    for more in ({}, {**of_a_page, "x-api-key": "k"}, {**of_a_page, "authorization": "Bearer k"}):
        assert ask.get(path, headers=more).status_code == 200
        entry = trail.one()
        assert entry["action"] == "view"
        assert entry["subject"].startswith("picture:")


@pytest.mark.parametrize(
    ("plate", "subject"),
    [(PLATE, f"plate:{NAME}"), ("ABC*", f"pattern:{NAMES.of_pattern('ABC*')}")],
)
def test_a_stream_in_which_a_plate_is_looked_for_is_told_as_a_search(
    ask: httpx.Client, trail: Trail, plate: str, subject: str
):
    with ask.stream("GET", "/events/stream", params={"plate": plate, "q": "OTHER1"}) as stream:
        next(stream.iter_raw())
        assert [(e["action"], e["subject"]) for e in trail.news()] == [("search", subject)]


def test_what_is_looked_for_is_told_whatever_else_stands_beside_it(ask: httpx.Client, trail: Trail):
    found = ask.get("/search", params={"q": PLATE, "plate": "OTHER1"}).json()
    assert {one["plate_shown"] for one in found["events"]} == {PLATE}
    assert trail.one()["subject"] == f"plate:{NAME}"


def test_the_plates_that_a_backtest_names_are_told(ask: httpx.Client, trail: Trail):
    number = ask.post("/rules/backtest", json={"since": "7d"}).json()["id"]
    until = time.monotonic() + 10
    while ask.get(f"/rules/backtest/{number}").json()["state"] == "running":
        assert time.monotonic() < until
    trail.news()
    ask.get(f"/rules/backtest/{number}")
    entry = trail.one()
    assert (entry["action"], entry["subject"]) == ("view", f"backtest:{number}")
    assert entry["found"] == sorted(map(NAMES.of, ("ABC0001", "ABC0002", "ABC0003")))


def test_a_reason_is_kept_where_it_is_given(ask: httpx.Client, trail: Trail):
    ask.get("/events/recent", headers={"x-reason": b"case 17"})
    ask.get("/events/recent", headers={"x-reason": "Überfall".encode()})
    ask.get("/events/recent?reason=case+18")
    ask.get("/events/search?reason=case+19")
    ask.get("/events/recent", headers={"cookie": "alpr_reason=case%2020"})
    told = [entry["reason"] for entry in trail.news()]
    assert told == ["case 17", "Überfall", "case 18", "case 19", "case 20"]


def test_who_asks_is_named_by_their_key(
    trail: Trail, queries: SightingQueries, world: World, keys: AccessKeys
):
    key, text = keys.create("reader", Role.VIEWER, timedelta(hours=1))
    trail.news()
    with served(queries, world.pictures, keys=keys, privacy=trail.privacy()) as address:
        path = f"{address}/events/plate/{PLATE}"
        assert httpx.get(path).status_code == 401
        assert httpx.get(path, headers={"authorization": f"Bearer {text}"}).status_code == 200
    assert trail.one()["actor"] == key.key_id


def test_without_a_reason_nothing_is_shown_where_reasons_are_required(
    trail: Trail, queries: SightingQueries, world: World
):
    trail.news()
    privacy = trail.privacy(reasons=True)
    with (
        served(queries, world.pictures, privacy=privacy) as address,
        httpx.Client(base_url=address) as client,
    ):
        refused = client.get("/events/recent")
        assert refused.status_code == 428
        assert refused.json()["error"] == "reason_needed"
        assert "X-Reason" in refused.json()["detail"]
        page = client.get(f"/plates/{PLATE}", headers=PAGE)
        assert page.status_code == 303
        assert page.headers["location"] == f"/reason?next=%2Fplates%2F{PLATE}"
        assert client.get("/stats").status_code == 200
        assert trail.news() == []
        assert client.get("/events/recent", headers={"x-reason": "case 17"}).status_code == 200
        assert trail.one()["reason"] == "case 17"


def test_while_the_audit_cannot_be_written_nothing_is_shown(
    trail: Trail, queries: SightingQueries, world: World
):
    def away() -> tuple[SqliteLog, Codec]:
        raise LogUnavailable("the log did not answer")

    privacy = trail.privacy()
    object.__setattr__(privacy, "writer", Writer(away))
    with (
        served(queries, world.pictures, privacy=privacy) as address,
        httpx.Client(base_url=address, timeout=10) as client,
    ):
        for path in (f"/events/plate/{PLATE}", "/events/recent", "/live", "/events/stream"):
            refused = client.get(path)
            assert refused.status_code == 503, path
            assert "written down" in refused.json()["detail"]
            assert "ABC" not in refused.text
        page = client.get(f"/plates/{PLATE}", headers=PAGE)
        assert page.status_code == 503
        assert "ABC" not in page.text
        assert client.get("/stats").status_code == 200


def entry(number: int) -> AuditEntry:
    return {
        "audit_id": str(number),
        "at": number,
        "actor": f"actor {number % 5}",
        "action": "search",
        "subject": "all",
        "reason": "",
        "found": [],
    }


def test_many_share_one_append_and_each_is_kept(tmp_path: Path):
    with closing(SqliteLog(tmp_path, 2)) as log:
        codec = Codec(SqliteRegistry(tmp_path))
        codec.register()
        appended: list[int] = []
        append = log.append

        def counting(topic, partition, records):  # type: ignore[no-untyped-def]
            appended.append(len(records))
            return append(topic, partition, records)

        log.append = counting  # type: ignore[method-assign]

        async def all_at_once() -> None:
            writer = Writer(lambda: (log, codec))
            await asyncio.gather(*(writer.write(entry(n)) for n in range(500)))

        asyncio.run(all_at_once())
        assert sum(appended) == 500
        assert len(appended) <= 12
        kept = [
            codec.decode(one.value or b"")[1]["audit_id"]
            for partition in range(2)
            for one in log.read(AUDIT.name, partition, 0, 1000)
        ]
        assert sorted(kept, key=int) == [str(n) for n in range(500)]


def test_who_comes_while_too_many_wait_is_told_to_come_again(tmp_path: Path):
    async def all_at_once() -> list[object]:
        def away() -> tuple[SqliteLog, Codec]:
            raise LogUnavailable("the log did not answer")

        writer = Writer(away)
        return await asyncio.gather(
            *(writer.write(entry(n)) for n in range(3000)), return_exceptions=True
        )

    assert all(isinstance(one, Unavailable) for one in asyncio.run(all_at_once()))


def test_a_near_search_is_told_as_one():
    assert searched({"plate": PLATE, "edits": "1"}, NAMES) == f"near:{NAME}"
    assert searched({"plate": NAME}, NAMES) == f"plate:{NAME}"
    assert searched({"owner": PLATE}, NAMES) == f"owner={NAMES.of_words(PLATE)}"
    assert f"near:{NAME}" in subjects_of(PLATE, NAMES)


def test_a_reason_is_one_short_line():
    assert tidy(" case\r\n17\x00 ") == "case 17"
    assert len(tidy("x" * 1000)) == 200


def test_a_list_that_is_asked_for_again_and_again_is_told_once_and_then_what_is_new(
    trail: Trail, queries: SightingQueries, world: World
):
    trail.news()
    privacy = trail.privacy()
    with (
        served(queries, world.pictures, privacy=privacy) as address,
        httpx.Client(base_url=address, timeout=10) as client,
    ):
        first = client.get("/events/recent?limit=5").json()["events"]
        assert len(trail.one()["found"]) == len({one["plate_text"] for one in first})
        for _ in range(20):
            client.get("/events/recent?limit=5")
        more = client.get("/events/recent?limit=8").json()["events"]
        assert trail.news() == [], "what is new waits for the end of the minute"
        client.get("/events/recent", headers={"x-reason": "case 17"})
        assert trail.one()["reason"] == "case 17"
    entry = trail.one()  # when the server ended
    told = {NAMES.of(one["plate_text"]) for one in more}
    assert set(entry["found"]) == told - {NAMES.of(one["plate_text"]) for one in first}


def test_a_plate_that_is_looked_for_in_a_list_is_told_as_a_search(ask: httpx.Client, trail: Trail):
    for _ in range(2):
        ask.get(f"/alerts?plate={PLATE}")
    assert [(one["action"], one["subject"]) for one in trail.news()] == [
        ("search", f"plate:{NAME}")
    ] * 2
    ask.get(f"/events/search?near={PLATE}")
    assert trail.one()["subject"] == f"near:{NAME}"
