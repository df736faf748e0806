"""Who may see one camera is told of no other, whatever they ask."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from api.guard import Trust
from api.roles import NEEDED
from images.links import SignedLinks
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.test_permissions import STREAMS
from tests.api.watched import Watched
from tests.api.world import NO_PICTURES, World
from tests.projections.alerts import alert, alert_id
from tests.projections.sightings import event_id, sighting

MINE, OTHER = "CAM-001", "SECRET-CAMERA"
HIDDEN, SEEN = 700, 701  # sightings
PLATES = ("HIDDEN7", "HIDD3N")
LINKS = SignedLinks(b"of this test, and 32 bytes long..")
PICTURE = f"images/2025-06-15/{OTHER}/t-1-plate.jpg"
UNNAMED = "images/2025-06-15/unnamed.jpg"
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def address(
    queries: SightingQueries, world: World, watched: Watched, keys: AccessKeys
) -> Iterator[str]:
    for path in (PICTURE, UNNAMED):
        world.pictures.put(path.removeprefix("images/"), b"jpeg")
    pictures = {"plate_url": PICTURE, "vehicle_url": UNNAMED, "frame_url": ""}
    hidden = sighting(HIDDEN, text=PLATES[0], camera_id=OTHER, site=OTHER, zone=OTHER)
    world.write(
        [{**hidden, "images": pictures}, sighting(SEEN, text="MINE701", images=NO_PICTURES)]
    )  # type: ignore[typeddict-item, list-item]
    both = [event_id(SEEN), event_id(HIDDEN)]
    watched.say(
        "AlertEvent",
        alert(HIDDEN, plate=PLATES[0], camera_id=OTHER, site=OTHER, zone=OTHER, rule="Theirs"),
        alert(SEEN, plate="MINE701"),
        # It ended before a camera of theirs, and began before another.
        alert(702, plate="MINE701", event_ids=both, message=f"{PLATES[1]} with MINE701"),
    )
    options = {"keys": keys, "links": LINKS, "watching": watched.watching}
    with served(queries, world.pictures, trust=Trust(fresh=0.0), **options) as found:
        yield found


@pytest.fixture(scope="module")
def mine(address: str, keys: AccessKeys) -> Iterator[httpx.Client]:
    """An investigator of one camera."""
    _, key = keys.create("one camera", Role.INVESTIGATOR, timedelta(hours=1), cameras=[MINE])
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client


GIVEN = {
    "event_id": event_id(HIDDEN),
    "alert_id": alert_id(HIDDEN),
    "camera_id:path": OTHER,
    "camera_id": OTHER,
    "path:path": PICTURE.removeprefix("images/"),
}
READ = sorted(name for name in NEEDED if name.startswith("GET ") and name not in STREAMS)


@pytest.mark.parametrize("accept", ["application/json", PAGE["accept"]])
@pytest.mark.parametrize("name", READ)
def test_no_answer_tells_of_another_camera(mine: httpx.Client, name: str, accept: str):
    path = name.partition(" ")[2]
    for part, value in GIVEN.items():
        path = path.replace(f"{{{part}}}", value)
    if "{" in path:  # a plate, or what else names something
        path = path[: path.index("{")] + PLATES[0]
    answer = mine.get(path, headers={"accept": accept})
    told = answer.text
    for secret in (OTHER, event_id(HIDDEN), alert_id(HIDDEN), *PLATES, "Theirs"):
        if secret not in path:  # what was asked for may be said again
            assert secret not in told, f"{name} tells {secret}"
    if {event_id(HIDDEN), alert_id(HIDDEN), OTHER} & set(path.split("/")):
        assert "MINE701" not in told or answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/events/{event_id(HIDDEN)}", 404),
        (f"/sightings/{event_id(HIDDEN)}", 404),
        (f"/alerts/{alert_id(HIDDEN)}", 404),
        (f"/alerts/{alert_id(702)}", 404),
        (f"/alerts/{alert_id(SEEN)}", 200),
        (f"/events/{event_id(SEEN)}", 200),
        (f"/{PICTURE}", 404),
        (f"/{UNNAMED}", 404),
        ("/images/2025-06-15/59-frame.jpg", 200),
    ],
)
def test_what_is_of_another_camera_is_not_there(mine: httpx.Client, path: str, status: int):
    assert mine.get(path).status_code == status


def test_lists_and_numbers_are_of_the_cameras_granted(mine: httpx.Client):
    assert mine.get("/stats").json()["active_cameras"] == 1
    for path in ("/events/recent?limit=1000", "/events/search?limit=1000"):
        found = mine.get(path).json()["events"]
        assert {one["camera_id"] for one in found} == {MINE}
    assert mine.get(f"/events/camera/{OTHER}").json()["events"] == []
    assert mine.get(f"/events/plate/{PLATES[0]}").json()["events"] == []
    assert [one["alert_id"] for one in mine.get("/alerts").json()["alerts"]] == [alert_id(SEEN)]


def test_nothing_is_done_about_an_alert_of_another_camera(mine: httpx.Client):
    for deed in ("acknowledge", "resolve", "comment"):
        answer = mine.post(f"/alerts/{alert_id(HIDDEN)}/{deed}", json={"comment": "mine"})
        assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/events/stream?since=0", "/live?since=0"])
def test_a_stream_tells_of_the_cameras_granted_alone(mine: httpx.Client, world: World, path: str):
    with mine.stream("GET", path) as answer:
        lines = answer.iter_lines()
        next(lines)
        number = 710 if "live" in path else 720
        theirs = sighting(number, text=PLATES[0], camera_id=OTHER, images=NO_PICTURES)
        own = sighting(number + 1, text="OWNCAM1", images=NO_PICTURES)
        world.write([theirs, own])
        told = ""
        for line in lines:
            told += line
            if event_id(number + 1) in line:
                break
    for secret in (OTHER, PLATES[0], event_id(number), event_id(HIDDEN)):
        assert secret not in told


def test_the_alerts_of_a_stream_are_of_the_cameras_granted(mine: httpx.Client, watched: Watched):
    with mine.stream("GET", "/alerts/stream?since=0") as answer:
        lines = answer.iter_lines()
        next(lines)
        watched.say(
            "AlertEvent",
            alert(730, plate=PLATES[0], camera_id=OTHER),
            alert(731, plate="OWNCAM1", event_ids=[]),
        )
        told = ""
        for line in lines:
            told += line
            if alert_id(731) in line:
                break
    for secret in (OTHER, *PLATES, alert_id(730), alert_id(702)):
        assert secret not in told


def test_a_link_is_made_to_a_picture_that_one_may_see_and_to_no_other(
    mine: httpx.Client, address: str
):
    made = mine.post("/links", json={"path": "images/2025-06-15/59-frame.jpg", "minutes": 10})
    assert made.status_code == 200
    assert httpx.get(f"{address}{made.json()['url']}").headers["content-type"] == "image/jpeg"
    for path in (PICTURE, UNNAMED, "images/none.jpg", "../etc/passwd"):
        assert mine.post("/links", json={"path": path}).status_code == 404
    assert mine.post("/links", json={"path": PICTURE, "minutes": 20_000}).status_code == 422


def test_a_backtest_which_reads_what_all_cameras_saw_is_not_theirs(mine: httpx.Client):
    begun = mine.post("/rules/backtest", json={"since": "7d"})
    assert begun.status_code == 403
    assert "every camera" in begun.json()["detail"]
    assert mine.get("/rules/backtest/0123").status_code == 403
