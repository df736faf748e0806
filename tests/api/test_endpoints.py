"""What programs get: every endpoint of the seeds, its limits, and how failures are told."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api import models
from api.shared import Shared
from projections.errors import ViewUnavailable
from projections.queries import Row, SightingQueries
from tests.api.conftest import served
from tests.api.world import (
    BARE,
    EVIL,
    HTML,
    PLAIN,
    RETRACTED,
    REVISED,
    SHOWN,
    SQL,
    World,
)
from tests.projections.sightings import NOON, event_id

STANDING = PLAIN + 3
START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOON)


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "detail"}
    return body["detail"]


def test_the_root_names_the_service_its_version_and_every_endpoint(client: httpx.Client):
    told = client.get("/").json()
    assert told["name"] == "ALPR Query API"
    assert re.fullmatch(r"\d+(\.\d+)*", told["version"])
    assert {"/health", "/stats", "/events/recent", "/events/search"} <= set(told["endpoints"])
    assert all(told["endpoints"].values())


def test_health_tells_that_the_database_answers(client: httpx.Client):
    told = client.get("/health").json()
    assert (told["status"], told["database_connected"]) == ("healthy", True)


def test_stats_have_the_fields_of_the_seeds_and_leave_retracted_ones_out(client: httpx.Client):
    told = client.get("/stats").json()
    assert set(told) == set(models.StatsResponse.model_fields)
    assert told["is_connected"] is True
    assert told["total_events"] == STANDING
    assert told["earliest_event"] == "2025-06-15T15:06:40Z"


def test_recent_events_come_newest_first_ten_of_them_unless_told_otherwise(client: httpx.Client):
    told = client.get("/events/recent").json()
    assert told["count"] == len(told["events"]) == 10
    arrived = [event["created_at"] for event in told["events"]]
    assert arrived == sorted(arrived, reverse=True)


def test_an_event_has_every_field_of_the_documented_model(client: httpx.Client):
    listed = client.get("/events/recent?limit=1").json()["events"][0]
    assert set(listed) == set(models.EventResponse.model_fields)
    models.EventResponse.model_validate(listed)
    one = client.get(f"/events/{event_id(SHOWN)}").json()
    models.EventWithEvidence.model_validate(one)
    assert one["evidence"]["reads"][0]["text"] == f"ABC{SHOWN:04d}"


def test_a_plate_is_found_however_it_is_written(client: httpx.Client):
    for written in ("ABC0007", "abc-0007", "abc 00 07"):
        told = client.get(f"/events/plate/{written}").json()
        assert [event["event_id"] for event in told["events"]] == [event_id(7)]
        assert (told["plate"], told["limit"], told["offset"]) == (written, 100, 0)


def test_a_camera_is_asked_between_two_times_both_included(client: httpx.Client):
    start, end = START + timedelta(seconds=10), START + timedelta(seconds=14)
    asked = {"start_time": start.isoformat(), "end_time": end.isoformat()}
    told = client.get("/events/camera/CAM-001", params=asked).json()
    assert told["count"] == 5
    assert told["start_time"] == "2025-06-15T15:06:50Z"


@pytest.mark.parametrize(
    "written",
    [
        "2025-06-15T15:06:50Z",
        "2025-06-15T15:06:50",
        "2025-06-15T17:06:50%2B02:00",
        "2025-06-15T17:06:50+02:00",  # the + reaches the server as a space
        "2025-06-15T11:06:50-04:00",
    ],
)
def test_one_moment_may_be_written_in_many_ways(client: httpx.Client, written: str):
    told = client.get(f"/events/camera/CAM-001?start_time={written}&limit=1").json()
    assert told["start_time"] == "2025-06-15T15:06:50Z"


def test_a_camera_with_a_slash_in_its_name_is_found(client: httpx.Client):
    told = client.get("/events/camera/gate%2F1%20%26%20co").json()
    assert [event["event_id"] for event in told["events"]] == [event_id(BARE)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"plate": "ABC001*"}, 10),
        ({"plate": "abc-00?9"}, 6),
        ({"plate": "ABC0007"}, 1),
        ({"camera": "CAM-002"}, 1),
        ({"camera": "CAM-002", "include_retracted": "true"}, 2),
        ({"status": "retracted"}, 1),
        ({"region": "VN"}, PLAIN // 2),
        ({"site": SQL}, 1),
        ({"min_confidence": "0.95"}, 0),
        ({"start_time": "2025-06-15T15:07:39Z", "camera": "CAM-001"}, 1),
        ({"plate": "", "camera": ""}, STANDING),
        ({"limit": "7", "offset": "60"}, 3),
    ],
)
def test_search_finds_what_meets_every_filter(
    client: httpx.Client, asked: dict[str, str], found: int
):
    told = client.get("/events/search", params=asked).json()
    assert told["count"] == len(told["events"]) == found


def test_a_retracted_sighting_is_shown_only_when_asked_for(client: httpx.Client):
    for path in ("/events/recent", "/events/camera/CAM-002", f"/events/plate/ABC0{RETRACTED}"):
        ids = {e["event_id"] for e in client.get(path, params={"limit": 1000}).json()["events"]}
        assert event_id(RETRACTED) not in ids
        asked = {"limit": 1000, "include_retracted": True}
        ids = {e["event_id"] for e in client.get(path, params=asked).json()["events"]}
        assert event_id(RETRACTED) in ids
    assert client.get(f"/events/{event_id(RETRACTED)}").json()["status"] == "retracted"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/events/recent?limit=1001", ["limit='1001'", "maximum of 1000", "ask for at most 1000"]),
        ("/events/recent?limit=0", ["limit='0'", "minimum of 1"]),
        ("/events/plate/A?limit=ten", ["limit='ten'", "whole number"]),
        ("/events/plate/A?offset=-1", ["offset='-1'", "minimum of 0"]),
        ("/events/plate/A?include_retracted=perhaps", ["'perhaps'", "neither true nor false"]),
        ("/events/plate/A%00B", ["plate_text", "NUL"]),
        (f"/events/plate/{'A' * 65}", ["plate_text", "longer than 64"]),
        ("/events/search?camera=%00", ["camera", "NUL"]),
        ("/events/search?plte=34A*", ["'plte'", "use one of camera", "plate"]),
        ("/events/search?status=gone", ["'gone'", "'ended'"]),
        ("/events/search?min_confidence=2", ["maximum of 1"]),
        ("/events/search?min_confidence=nan", ["min_confidence='nan'"]),
        ("/events/search?min_confidence=x", ["min_confidence='x'", "not a number"]),
        ("/events/camera/C?start_time=yesterday", ["start_time='yesterday'", "ISO 8601"]),
        ("/events/camera/C?end_time=2025-13-01T00:00:00Z", ["end_time=", "ISO 8601"]),
        ("/events/camera/C?end_time=0001-01-01T00:00:00%2B10:00", ["end_time=", "years 1 to 9999"]),
        ("/events/camera/C?start_time=2025-01-02&end_time=2025-01-01", ["is after", "exchange"]),
        ("/events/not-an-id", ["event_id='not-an-id'", "UUID"]),
        ("/events/stream?since=yesterday", ["'yesterday'", "id of the last event"]),
        ("/live?since=-1", ["'-1'"]),
    ],
)
def test_bad_input_is_told_with_name_cause_and_cure(
    client: httpx.Client, path: str, words: list[str]
):
    detail = problem(client.get(path), 422)
    assert all(word in detail for word in words), detail


def test_what_is_not_there_is_told_in_the_same_shape(client: httpx.Client):
    assert "never existed" in problem(client.get(f"/events/{event_id(4711)}"), 404)
    assert "/nothing" in problem(client.get("/nothing"), 404)
    assert "use GET" in problem(client.post("/stats"), 405)
    assert client.get("/events/plate/NONE").json()["count"] == 0


def test_html_and_sql_are_only_text(client: httpx.Client):
    one = client.get(f"/events/{event_id(EVIL)}").json()
    assert (one["plate_text"], one["camera_id"], one["site_id"]) == (HTML, HTML, SQL)
    for path in ("/events/plate/", "/events/camera/", "/events/search?plate=", "/events/"):
        client.get(path + SQL.replace(" ", "%20"))
    assert client.get("/stats").json()["total_events"] == STANDING


def test_every_answer_is_bound_to_this_server_and_not_to_be_framed(client: httpx.Client):
    for path in ("/", "/events/recent", "/nothing", "/static/app.css"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_requests_are_counted_by_route_and_never_by_id(client: httpx.Client):
    client.get(f"/events/{event_id(1)}")
    client.get("/events/plate/SECRET")
    client.get("/random/address")
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    counted = 'http_requests_total{method="GET",route="/events/{event_id}",status="200"}'
    assert counted in told.text
    assert 'http_request_duration_seconds_bucket{le="0.01",method="GET"' in told.text
    assert 'route="unmatched",status="404"' in told.text
    assert "SECRET" not in told.text
    assert "/random" not in told.text


def test_openapi_documents_models_examples_and_the_shape_of_failures(client: httpx.Client):
    told = client.get("/openapi.json").json()
    assert told["info"]["title"] == "ALPR Query API"
    models_named = set(told["components"]["schemas"])
    assert {"EventResponse", "StatsResponse", "Problem"} <= models_named
    assert "HTTPValidationError" not in models_named
    search = told["paths"]["/events/search"]["get"]
    limit = next(p for p in search["parameters"] if p["name"] == "limit")
    assert limit["schema"]["maximum"] == 1000
    assert told["components"]["schemas"]["EventResponse"]["example"]["plate_normalized_text"]


def test_only_origins_that_were_named_may_read_from_other_pages(
    queries: SightingQueries, world: World
):
    with served(queries, world.pictures, cors_origins=["https://gate.example"]) as address:
        named = httpx.get(f"{address}/stats", headers={"origin": "https://gate.example"})
        other = httpx.get(f"{address}/stats", headers={"origin": "https://elsewhere.example"})
    assert named.headers["access-control-allow-origin"] == "https://gate.example"
    assert "access-control-allow-origin" not in other.headers


def test_without_a_database_health_is_503_and_no_answer_names_the_server(world: World):
    away = SightingQueries("postgresql://someone:secret@127.0.0.1:1/alpr")
    with served(away, world.pictures) as address, httpx.Client(base_url=address) as client:
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["database_connected"] is False
        assert "secret" not in health.text
        for path in ("/stats", "/events/recent", "/events/stream", "/live"):
            answer = client.get(path)
            assert "cannot be reached" in problem(answer, 503)
            assert "127.0.0.1" not in answer.text
        page = client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "Away for the moment" in page.text


def test_a_bug_is_told_without_its_details(world: World, caplog: pytest.LogCaptureFixture):
    class Broken(SightingQueries):
        def stats(self) -> Row:
            raise ZeroDivisionError("a secret")

    with served(Broken(world.url), world.pictures) as address:
        answer = httpx.get(f"{address}/stats")
    assert "server's log" in problem(answer, 500)
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


def test_statistics_are_read_once_for_all_who_ask_within_a_second():
    now, read = [0.0], []

    def count() -> int:
        read.append(now[0])
        if now[0] == 5.0:
            raise ViewUnavailable("away")
        return len(read)

    shared = Shared(count, seconds=1.0, clock=lambda: now[0])
    assert [shared(), shared()] == [1, 1]
    now[0] = 1.0
    assert shared() == 2
    now[0] = 5.0
    for _ in range(2):
        with pytest.raises(ViewUnavailable):
            shared()
    now[0] = 6.0
    assert shared() == 4
    assert read == [0.0, 1.0, 5.0, 6.0]


def test_pictures_come_as_jpeg_to_be_kept_and_nothing_outside_the_store_does(
    client: httpx.Client, world: World
):
    one = client.get(f"/events/{event_id(SHOWN)}").json()
    picture = client.get("/" + one["plate_image_url"])
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/jpeg"
    assert "max-age" in picture.headers["cache-control"]
    assert picture.content.startswith(b"\xff\xd8")
    for path in ("nothing.jpg", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "..%2fx", "a%00b", ""):
        assert "no picture" in problem(client.get(f"/images/{path}"), 404)


def test_a_revised_sighting_says_what_was_published_before(client: httpx.Client):
    assert client.get(f"/events/{event_id(REVISED)}").json()["was"] == ["A8C"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_who_calls_the_server_by_its_name_is_answered(client: httpx.Client, host: str):
    assert client.get("/stats", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.x:80", ""]
)
@pytest.mark.parametrize("path", ["/stats", "/", "/live", "/images/a.jpg", "/nothing"])
def test_a_page_of_elsewhere_that_leads_its_name_here_gets_nothing(
    client: httpx.Client, host: str, path: str
):
    answer = client.get(path, headers={"host": host, "accept": "text/html"})
    assert "proxy before it has to send" in problem(answer, 421)
    assert "access-control-allow-origin" not in answer.headers
