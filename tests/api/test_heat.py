"""When which camera sees how much."""

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from projections.analytics_rollups import RollupAnalytics
from projections.queries import SightingQueries
from projections.rollups import Rollups
from tests.api.conftest import served
from tests.api.world import HTML, NO_PICTURES, World
from tests.projections.sightings import NOON, sighting

SPAN = {"start_time": "2025-06-15", "end_time": "2025-06-16"}
HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def asking(world: World, queries: SightingQueries) -> Iterator[httpx.Client]:
    far = sighting(8_000, camera_id="KATHMANDU", at=NOON + HOUR, images=NO_PICTURES)
    far["node"] = far["node"] | {"timezone": "Asia/Kathmandu"}
    world.write([far])
    with closing(Rollups(world.url)) as rollups:
        while rollups.step():
            pass
    with (
        closing(RollupAnalytics(world.url)) as counts,
        served(queries, world.pictures, counts=counts) as address,
        httpx.Client(base_url=address, timeout=10) as made,
    ):
        yield made


def test_hours_are_those_of_each_cameras_clock(asking: httpx.Client):
    told = asking.get("/cameras/heat", params=SPAN).json()
    cameras = {one["camera_id"]: one for one in told["cameras"]}
    assert told["cameras"][0]["camera_id"] == "CAM-001"  # the busiest
    # NOON is 15:06:40 UTC: 11:06 in New York, an hour later 21:51 in Kathmandu.
    assert cameras["CAM-001"]["hours"] == [60 if hour == 11 else 0 for hour in range(24)]
    assert cameras["KATHMANDU"]["timezone"] == "Asia/Kathmandu"
    assert cameras["KATHMANDU"]["hours"][21] == 1
    assert all(sum(one["hours"]) == one["sightings"] for one in told["cameras"])
    assert told["behind"] == {"changes": 0, "hours": 0}


def test_a_camera_or_a_site_can_be_asked_for(asking: httpx.Client):
    told = asking.get("/cameras/heat", params={**SPAN, "camera": "CAM-002"}).json()
    assert [one["camera_id"] for one in told["cameras"]] == ["CAM-002"]
    assert asking.get("/cameras/heat", params={**SPAN, "site": "none"}).json()["count"] == 0


def test_more_than_a_month_is_refused(asking: httpx.Client):
    answer = asking.get("/cameras/heat", params={**SPAN, "end_time": "2025-08-01"})
    assert answer.status_code == 422
    assert "at most 31" in answer.json()["detail"]


def test_its_page_is_a_table_that_escapes_names(asking: httpx.Client):
    accept = {"accept": "text/html"}
    page = asking.get("/cameras/heat", params=SPAN, headers=accept).text
    assert page.count('<th scope="col"') == 26
    assert '<td class="h4">60</td>' in page
    assert HTML not in page
    assert "Nothing counted" in asking.get("/cameras/heat", headers=accept).text
