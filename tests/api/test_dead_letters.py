"""Dead letters: listed, looked into, tried and sent again, by a program and in a browser."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from alpr.dlq_desk import DlqDesk
from alpr.settings import load
from dataflows.dead_letters import dead_letter
from eventlog.log import Append
from eventlog.sqlite import wall_clock
from projections.queries import SightingQueries
from schemas.topics import DLQ, RAW
from tests.api.conftest import served
from tests.api.looking import eyes
from tests.api.watched import Watched
from tests.api.world import HTML, World
from tests.rules.world import read

SPOILT, WHOLE, SENT = (f"{RAW.name}/0/{offset}" for offset in range(3))


def bury(watched: Watched, *values: bytes, reason: str = "unreadable", detail: str = HTML) -> None:
    """Append records to raw, and a dead letter of each."""
    offsets = watched.log.append(RAW.name, 0, [Append(b"gate", value) for value in values])
    entries = [watched.log.read(RAW.name, 0, offset, 1)[0] for offset in offsets]
    letters = [dead_letter(watched.codec, entry, "decode", reason, detail) for entry in entries]
    watched.log.append(DLQ.name, 0, letters)


def a_read(watched: Watched, text: str = "KAX1234") -> bytes:
    now = {"captured_at": time.time_ns() // 1000}
    return watched.codec.encode(RAW.name, "PlateRead", read(0, text, **now))


@pytest.fixture(scope="module")
def address(
    watched: Watched,
    queries: SightingQueries,
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    good = a_read(watched)
    spoilt = good.replace(b"\x0eKAX1234", b"\x7eKAX1234")
    bury(watched, spoilt, a_read(watched), detail=f"text {HTML}")
    bury(watched, a_read(watched), reason="poison")
    settings = load({"ALPR_HOME": str(tmp_path_factory.mktemp("home"))}, None)
    desk = DlqDesk(settings, wall_clock, lambda: (watched.log, watched.codec))
    with served(queries, world.pictures, watching=watched.watching, desk=desk) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20) as made:
        yield made


def redrive(client: httpx.Client, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = client.post("/dead-letters/redrive", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_letters_come_newest_first_with_how_many_of_each_kind_wait(client: httpx.Client):
    told = client.get("/dead-letters").json()
    assert [letter["place"] for letter in told["letters"]] == [SENT, WHOLE, SPOILT]
    waiting = {(kind["step"], kind["reason"]): kind["letters"] for kind in told["waiting"]}
    assert waiting == {("decode", "unreadable"): 2, ("decode", "poison"): 1}
    assert told["more"] is False
    some = client.get("/dead-letters?reason=poison&since=1h").json()
    assert [letter["place"] for letter in some["letters"]] == [SENT]
    assert len(some["waiting"]) == 2  # of all kinds, to choose from


def test_one_tells_its_content_as_far_as_it_can_be_read_and_where_that_ends(client: httpx.Client):
    told = client.get(f"/dead-letters/{SPOILT}").json()
    assert told["name"] == "PlateRead"
    assert told["failed_field"] == "text"
    assert "cannot be read" in told["refused"]
    assert any(line.startswith(">") for line in told["hex"])
    good = client.get(f"/dead-letters/{WHOLE}").json()
    assert good["record"]["text"] == "KAX1234"
    assert good["refused"] is None


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/dead-letters/alpr.reads.raw/0/4711", 404, "there is no dead letter"),
        ("/dead-letters/elsewhere/0/1", 422, "is no place"),
        ("/dead-letters?since=yesterday", 422, "is no time"),
        ("/dead-letters?limit=501", 422, "maximum of 500"),
        ("/dead-letters?colour=red", 422, "no parameter"),
    ],
)
def test_what_is_not_there_or_cannot_be_asked_is_told(
    client: httpx.Client, path: str, status: int, words: str
):
    answer = client.get(path)
    assert answer.status_code == status
    assert words in answer.json()["detail"]


def test_a_run_must_say_which_letters(client: httpx.Client):
    assert "say which" in redrive(client, 422)["detail"]
    assert "not all text" in redrive(client, 422, places=[1])["detail"]
    assert "leave the filters out" in redrive(client, 422, places=[SENT], step="x")["detail"]
    assert "no field" in redrive(client, 422, everything=True)["detail"]


def test_what_is_sent_again_is_told_and_only_sent_once(client: httpx.Client, watched: Watched):
    end = watched.log.end(RAW.name, 0)
    told = redrive(client, places=[SENT, SPOILT], dry_run=True)
    assert told["sent"] == {SENT: None}
    assert "cannot be read" in told["refused"][SPOILT]
    assert watched.log.end(RAW.name, 0) == end  # a dry run sends nothing
    told = redrive(client, reason="poison")
    assert told["sent"] == {SENT: f"{RAW.name}/0/{end}"}
    assert redrive(client, reason="poison")["sent"] == {}
    assert "sent again already" in redrive(client, places=[SENT])["refused"][SENT]
    told = client.get("/dead-letters").json()
    assert {kind["reason"] for kind in told["waiting"]} == {"unreadable"}


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("phone", "dark")])
def test_one_tries_and_sends_in_the_browser(
    chromium: Browser, address: str, watched: Watched, size: str, scheme: str
):
    bury(watched, a_read(watched, "NEW 1"), reason=size)
    place = f"{RAW.name}/0/{watched.log.end(RAW.name, 0) - 1}"
    with eyes(chromium, size, scheme, base_url=address) as seen:
        page = seen.page
        page.on("dialog", lambda dialog: dialog.accept())
        seen.see("/dead-letters")
        page.get_by_role("button", name="Try without sending").click()
        expect(page.locator(".wrong")).to_contain_text("Nothing is chosen", ignore_case=True)
        page.get_by_label(f"Choose {place}").check()
        page.get_by_role("button", name="Try without sending").click()
        expect(page.locator(".outcome li")).to_contain_text("would be sent")
        page.get_by_role("link", name=place).click()
        expect(page.locator("h1")).to_have_text(place)
        end = watched.log.end(RAW.name, 0)
        page.get_by_role("button", name="Send it again").click()
        expect(page.locator(".outcome li")).to_contain_text(f"as {RAW.name}/0/{end}")
        page.get_by_role("button", name="Send it again").click()
        expect(page.locator(".outcome li")).to_contain_text("not sent")
        assert seen.problems() == []


def test_who_has_no_dead_letter_is_told_so(
    chromium: Browser, queries: SightingQueries, world: World, tmp_path: Path
):
    settings = load({"ALPR_HOME": str(tmp_path / "home")}, None)
    with served(queries, world.pictures, desk=DlqDesk(settings, wall_clock)) as address:
        page = chromium.new_page()
        page.goto(f"{address}/dead-letters")
        expect(page.locator(".empty")).to_contain_text("Every record could be processed")
        page.close()
