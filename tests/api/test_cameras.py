"""Cameras: as an edge set them, how they are heard, what they saw last; drawn on their pages."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from alpr.camera_versions import tell_cameras
from api.cameras import Cameras
from api.heartbeats import Heartbeats
from edge.cameras import Camera
from eventlog.log import Append
from eventlog.sqlite import wall_clock
from projections.camera_queries import CameraQueries
from schemas.topics import CAMERAS, RAW
from tests.api.conftest import served
from tests.api.watched import Watched
from tests.api.world import World
from tests.projections.sightings import NOON

GATE = Camera(
    "CAM-001", "rtsp://me:secret@192.0.2.1/s?password=too", name="Gate", roi=(100, 60, 600, 340)
)
YARD = Camera("CAM-YARD", "yard.mp4", enabled=False)


def tell(watched: Watched, *cameras: Camera, at: int = NOON) -> list[str]:
    told = tell_cameras(watched.log, watched.codec, cameras, "edge-1", "cli:ayse", at)
    watched.settle()
    return [one["camera_id"] for one in told]


def beat(watched: Watched, camera: str, state: str = "live") -> None:
    record = {
        "camera_id": camera,
        "camera_group": None,
        "session": "s1",
        "captured_at": wall_clock(),
        "state": state,
        "frames_seen": 200,
        "frames_dropped": 10,
        "fps": 9.5,
        "clock_offset_us": 0,
    }
    value = watched.codec.encode(RAW.name, "CameraHeartbeat", record)
    watched.log.append(RAW.name, 0, [Append(camera.encode(), value)])


@pytest.fixture(scope="module")
def place(world: World, queries, watched: Watched) -> Iterator[str]:
    tell(watched, GATE, YARD)
    beat(watched, "CAM-001")
    heartbeats = Heartbeats(lambda: (watched.log, watched.codec), wall_clock)
    with closing(CameraQueries(world.url)) as asked:
        cameras = Cameras(asked, heartbeats, now=lambda: NOON / 1e6)
        with served(queries, world.pictures, placed=cameras) as found:
            yield found


def camera(place: str, name: str) -> dict:
    return httpx.get(f"{place}/cameras/{name}").raise_for_status().json()


def test_a_camera_with_its_settings_health_and_newest_picture(place):
    found = camera(place, "CAM-001")
    assert found["settings"]["source"] == "rtsp://192.0.2.1/s"
    assert found["health"]["state"] == "live"
    assert (found["health"]["fps"], found["health"]["frames_dropped"]) == (9.5, 10)
    assert found["sightings"] == sum(found["hours"]) == 60
    assert found["frame_image_url"]


def test_no_secret_reaches_the_log(place, watched: Watched):
    assert b"secret" not in b"".join(
        e.value or b"" for e in watched.log.read(CAMERAS.name, 0, 0, 99)
    )


def test_cameras_that_no_edge_set_are_there_by_their_sightings(place):
    told = httpx.get(f"{place}/cameras").json()
    names = {one["camera_id"] for one in told["cameras"]}
    assert {"CAM-001", "CAM-002", "CAM-YARD", "gate/1 & co"} <= names
    assert camera(place, "gate%2F1%20%26%20co")["settings"] is None
    assert httpx.get(f"{place}/cameras/none").status_code == 404


def test_a_version_is_written_where_something_changed_and_for_the_end(place, watched: Watched):
    assert tell(watched, GATE, YARD) == []
    moved = Camera("CAM-001", GATE.source, name="Gate 2", roi=GATE.roi)
    assert tell(watched, moved, YARD, at=NOON + 1) == ["CAM-001"]
    assert tell(watched, moved, at=NOON + 2) == ["CAM-YARD"]
    assert tell(watched, moved, at=NOON + 3) == []
    assert [one["settings"]["name"] for one in camera(place, "CAM-001")["versions"]] == [
        *("Gate 2", "Gate"),
    ]
    assert camera(place, "CAM-YARD")["versions"][0]["settings"] is None
    assert "CAM-YARD" not in httpx.get(f"{place}/cameras").text
    assert tell(watched, GATE, YARD, at=NOON + 4) == ["CAM-001", "CAM-YARD"]


def test_a_camera_that_says_nothing_for_half_a_minute_is_silent(watched: Watched):
    beat(watched, "CAM-9")
    later = Heartbeats(lambda: (watched.log, watched.codec), lambda: wall_clock() + 31_000_000)
    told = later.latest()
    assert told is not None
    assert told["CAM-9"].state == "silent"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_show_it_with_the_part_that_is_read(
    chromium: Browser, place: str, width: int, tmp_path: Path
):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{place}/cameras")
    page.get_by_role("link", name="Camera CAM-001, live").click()
    expect(page.locator("rect.roi")).to_be_visible()
    expect(page.get_by_text("rtsp://192.0.2.1/s").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert problems == []
