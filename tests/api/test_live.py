"""Live changes: nothing missed, nothing unbounded, one question to the database for all."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from api.live import HEARTBEAT, EventStream, LiveFeed, Pace, event
from projections.errors import ViewUnavailable
from projections.queries import Changes, Row, SightingQueries
from tests.api.conftest import served
from tests.api.world import World
from tests.projections.sightings import event_id, sighting

QUICK = Pace(poll=0.002, heartbeat=0.05, page=3, queue=4)


class Ledger:
    """Changes in memory as the view numbers them: each event as it is now, and once."""

    def __init__(self) -> None:
        self.latest: dict[int, int] = {}
        self.count = 0
        self.forgotten = 0
        self.asked = 0
        self.away = False

    def change(self, *events: int) -> None:
        for number in events:
            self.count += 1
            self.latest[number] = self.count

    def latest_change(self) -> int:
        return self.count

    def changes_since(self, cursor: int, limit: int = 100) -> Changes:
        self.asked += 1
        if self.away:
            raise ViewUnavailable("away")
        found = sorted((change, number) for number, change in self.latest.items())
        rows: list[Row] = [
            {"event_id": number, "change": change} for change, number in found if change > cursor
        ][:limit]
        return Changes(rows, rows[-1]["change"] if rows else cursor, cursor >= self.forgotten)


def plain(row: Row) -> bytes:
    return event("sighting", b"%d" % row["event_id"])


def parse(stream: bytes) -> list[tuple[str, str, str]]:
    """(id, event, data) of each event; comments and retry left out."""
    found: list[tuple[str, str, str]] = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] not in ":")
        if "event" in fields:
            found.append((fields["id"], fields["event"], fields["data"]))
    return found


async def hear(feed: LiveFeed, since: int | None, seconds: float) -> bytes:
    """What a listener is told in so many seconds, or until it is let go."""
    heard = b""
    listener = feed.listen(since, plain)
    try:
        async with asyncio.timeout(seconds):
            async for part in listener:
                heard += part
    except TimeoutError:
        pass
    finally:
        await listener.aclose()
    return heard


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=8),
    st.lists(st.integers(0, 3), max_size=8),
)
def test_a_listener_that_comes_and_goes_ends_up_knowing_every_event_as_it_is(
    batches: list[list[int]], leaves: list[int]
):
    async def scenario() -> None:
        ledger = Ledger()
        feed = LiveFeed(ledger, QUICK)
        known: dict[int, int] = {}
        cursor = 0
        for number, batch in enumerate(batches):
            ledger.change(*batch)
            stay = 0.0 if number in leaves else 0.03
            for told, _, data in parse(await hear(feed, cursor, stay)):
                assert int(told) > cursor
                cursor = int(told)
                known[int(data)] = cursor
        for told, _, data in parse(await hear(feed, cursor, 0.08)):
            known[int(data)] = int(told)
        assert known == ledger.latest
        assert feed.listeners == 0

    asyncio.run(scenario())


def test_many_listeners_cost_one_question_at_a_time():
    async def scenario() -> None:
        ledger = Ledger()
        feed = LiveFeed(ledger, Pace(poll=0.02))
        listening = [asyncio.create_task(hear(feed, None, 0.3)) for _ in range(50)]
        await asyncio.sleep(0.1)
        assert feed.listeners == 50
        ledger.change(7)
        heard = await asyncio.gather(*listening)
        assert all([data for _, _, data in parse(told)] == ["7"] for told in heard)
        assert ledger.asked <= 16
        asked = ledger.asked
        await asyncio.sleep(0.1)
        assert ledger.asked <= asked + 1, "nobody listens, so nothing is asked"

    asyncio.run(scenario())


def test_a_listener_that_does_not_keep_up_is_let_go_and_the_others_go_on():
    async def scenario() -> None:
        ledger = Ledger()
        feed = LiveFeed(ledger, QUICK)
        slow = feed.listen(None, plain)
        await anext(slow)
        quick = asyncio.create_task(hear(feed, None, 0.4))
        await asyncio.sleep(0.02)
        for number in range(60):
            ledger.change(number)
            await asyncio.sleep(0.003)
        told = await quick
        assert len(parse(told)) == 60
        assert [part async for part in slow] == []

    asyncio.run(scenario())


def test_a_cursor_that_is_too_old_or_of_another_view_is_told_to_begin_anew():
    async def scenario() -> None:
        ledger = Ledger()
        ledger.change(*range(20))
        ledger.forgotten = 10
        for since in (3, 999):
            told = parse(await hear(LiveFeed(ledger, QUICK), since, 0.05))
            assert told == [("20", "reset", "{}")]

    asyncio.run(scenario())


def test_a_quiet_stream_sends_a_heartbeat():
    heard = asyncio.run(hear(LiveFeed(Ledger(), QUICK), None, 0.13))
    assert heard.count(HEARTBEAT) == 2


def test_when_the_view_cannot_be_read_all_are_let_go_and_may_come_back():
    async def scenario() -> None:
        ledger = Ledger()
        feed = LiveFeed(ledger, QUICK)
        listening = asyncio.create_task(hear(feed, None, 5))
        await asyncio.sleep(0.02)
        ledger.away = True
        await asyncio.wait_for(listening, 1)
        ledger.change(1)
        ledger.away = False
        assert parse(await hear(feed, 0, 0.05)) == [("1", "sighting", "1")]

    asyncio.run(scenario())


def test_a_closed_feed_lets_everyone_go_at_once_and_takes_nobody():
    async def scenario() -> None:
        feed = LiveFeed(Ledger(), QUICK)
        listening = asyncio.create_task(hear(feed, None, 5))
        await asyncio.sleep(0.02)
        feed.close()
        await asyncio.wait_for(listening, 0.5)
        assert parse(await asyncio.wait_for(hear(feed, 0, 5), 0.5)) == []

    asyncio.run(scenario())


def test_a_listener_whose_connection_takes_nothing_is_let_go():
    async def scenario() -> None:
        feed = LiveFeed(Ledger(), QUICK)
        events = feed.listen(None, plain)
        answer = EventStream(await anext(events), events, stall=0.05)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.sleep(60)

        async def receive() -> Message:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        await asyncio.wait_for(answer({"type": "http"}, receive, send), 1)
        assert feed.listeners == 0

    asyncio.run(scenario())


class Stream:
    """An open stream of a server."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def next(self) -> tuple[int, str, Any]:
        """The next event: id, kind, data."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line and "event" in fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])
            if ": " in line[1:]:
                name, value = line.split(": ", 1)
                fields[name] = value
        raise AssertionError("the stream ended")


@contextmanager
def following(client: httpx.Client, path: str, **headers: str) -> Iterator[Stream]:
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        yield Stream(lines)


def test_a_new_sighting_and_its_revision_reach_a_program(client: httpx.Client, world: World):
    with following(client, "/events/stream") as stream:
        world.write([sighting(500)])
        first, kind, told = stream.next()
        assert (kind, told["event_id"], told["status"]) == (
            "sighting",
            event_id(500),
            "confirmed",
        )
        world.write([sighting(500, revision=1, status="revised")])
        second, _, told = stream.next()
        assert (told["status"], told["revision"]) == ("revised", 1)
        assert second > first


def test_a_stream_resumes_after_the_last_event_it_had(client: httpx.Client, world: World):
    with following(client, "/events/stream") as stream:
        world.write([sighting(510)])
        last, _, _ = stream.next()
    world.write([sighting(511), sighting(512)])
    for how in ({"Last-Event-ID": str(last)}, {}):
        path = "/events/stream" if how else f"/events/stream?since={last}"
        with following(client, path, **how) as stream:
            told = {stream.next()[2]["event_id"] for _ in range(2)}
            assert told == {event_id(511), event_id(512)}
            world.write([sighting(513, revision=int(bool(how)))])
            assert stream.next()[2]["event_id"] == event_id(513)


def test_an_erased_sighting_is_told_by_its_id_alone(client: httpx.Client, world: World):
    world.write([sighting(520)])
    with following(client, "/events/stream") as stream:
        world.write([("erase", event_id(520))])
        _, kind, told = stream.next()
        if kind == "sighting":  # a poll under way when one begins to listen may still tell it
            _, kind, told = stream.next()
        assert kind == "erased"
        assert told["event_id"] == event_id(520)
        assert "plate_text" not in told


def test_the_page_is_sent_whole_cards_with_everything_escaped(client: httpx.Client, world: World):
    with following(client, "/live") as stream:
        world.write([sighting(530, text="<b>x", camera_id='"><script>')])
        _, kind, told = stream.next()
        assert kind == "card"
        assert told["camera_id"] == '"><script>'
        assert "&lt;b&gt;x" in told["html"]
        assert "<script>" not in told["html"]
        assert "<b>x" not in told["html"]


def test_the_server_ends_promptly_though_streams_are_open(queries: SightingQueries, world: World):
    with httpx.Client(timeout=10) as client:
        with served(queries, world.pictures) as address:
            stream = client.send(client.build_request("GET", f"{address}/live"), stream=True)
            assert stream.status_code == 200
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
        stream.close()
