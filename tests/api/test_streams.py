"""The stream of sightings: only what was asked for, and on from where it was after a restart."""

import httpx
import pytest

from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.test_live import following
from tests.api.world import World
from tests.projections.sightings import event_id, sighting

ASKED = ["camera=CAM-009", "camera=CAM-8&camera=CAM-009", "site=south", "plate=zz?06*", "plate=ZZ*"]


@pytest.mark.parametrize("number", range(len(ASKED)))
def test_a_listener_hears_only_what_it_asked_for(client: httpx.Client, world: World, number: int):
    other, mine = 640 + number, 650 + number
    with following(client, f"/events/stream?{ASKED[number]}") as stream:
        world.write([sighting(other)])
        world.write([sighting(mine, text=f"ZZ106{mine}", camera_id="CAM-009", site="south")])
        _, kind, told = stream.next()
        assert (kind, told["event_id"]) == ("sighting", event_id(mine))
        world.write([("erase", event_id(mine))])
        assert stream.next()[1] == "erased"


def test_a_listener_may_hear_only_what_has_ended(client: httpx.Client, world: World):
    with following(client, "/events/stream?status=ended") as stream:
        world.write([sighting(610)])
        world.write([sighting(610, revision=1, status="ended")])
        assert stream.next()[2]["status"] == "ended"


def test_listeners_who_ask_for_different_things_each_hear_theirs(
    client: httpx.Client, address: str, world: World
):
    with (
        httpx.Client(base_url=address, timeout=10) as other,
        following(client, "/events/stream?camera=CAM-021") as one,
        following(other, "/events/stream?camera=CAM-022") as two,
    ):
        world.write([sighting(621, camera_id="CAM-021"), sighting(622, camera_id="CAM-022")])
        assert one.next()[2]["event_id"] == event_id(621)
        assert two.next()[2]["event_id"] == event_id(622)


def test_after_a_restart_of_the_api_a_stream_goes_on_where_it_was(
    queries: SightingQueries, world: World
):
    with (
        served(queries, world.pictures) as address,
        httpx.Client(base_url=address, timeout=10) as client,
        following(client, "/events/stream") as stream,
    ):
        world.write([sighting(630)])
        last, _, _ = stream.next()
    world.write([sighting(631)])
    with (
        served(queries, world.pictures) as address,
        httpx.Client(base_url=address, timeout=10) as client,
    ):
        for path in ("/events/stream", "/live"):
            with following(client, path, **{"Last-Event-ID": str(last)}) as stream:
                number, kind, told = stream.next()
                assert number > last
                assert kind in ("sighting", "card")
                assert told["event_id"] == event_id(631)


@pytest.mark.parametrize("asked", ["status=open", "plate=%00"])
def test_what_cannot_be_asked_for_is_refused(client: httpx.Client, asked: str):
    assert client.get(f"/events/stream?{asked}").status_code == 422
