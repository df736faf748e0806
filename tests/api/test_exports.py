"""Sightings to take away: whole, in order, harmless in a spreadsheet, and never all in memory."""

import csv
import hashlib
import io
import json
import os
import resource
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from api.exports import PAGE, csv_of, guarded, json_of, lines_of, pages, zipped
from projections.evidence import Evidence
from projections.queries import After, Row, Search, SightingQueries
from tests.api.conftest import served
from tests.api.world import BARE, EVIL, HTML, PLAIN, REVISED, SHOWN, World
from tests.projections.sightings import event_id


@pytest.fixture(scope="module")
def client(queries: SightingQueries, world: World) -> Iterator[httpx.Client]:
    people = Evidence(world.url)
    with (
        served(queries, world.pictures, people=people) as address,
        httpx.Client(base_url=address, timeout=20) as made,
    ):
        yield made
    people.close()


def searched(client: httpx.Client, **asked: Any) -> list[str]:
    found = client.get("/events/search", params={"limit": 1000, **asked}).json()["events"]
    return [row["event_id"] for row in found]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"plate": "ABC00*"},
        {"camera": "CAM-002"},
        {"status": "revised"},
        {"include_retracted": "true"},
        {"min_confidence": "0.95"},
        {"region": "VN", "start_time": "2025-06-15T15:06:40Z", "end_time": "2025-06-15T15:07:00Z"},
    ],
)
def test_every_form_has_what_the_search_has_in_its_order(client: httpx.Client, asked: Any):
    expected = searched(client, **asked)
    table = client.get("/export/sightings.csv", params=asked)
    assert [row["event_id"] for row in csv.DictReader(io.StringIO(table.text))] == expected
    told = client.get("/export/sightings.json", params=asked).json()
    assert [row["event_id"] for row in told["events"]] == expected
    assert told["count"] == len(expected)
    lines = client.get("/export/sightings.ndjson", params=asked).text.splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == expected


def test_an_export_is_a_file_with_a_name_and_times_with_a_zone(client: httpx.Client):
    answer = client.get("/export/sightings.csv", params={"camera": "CAM-002"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="sightings-' in answer.headers["content-disposition"]
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["event_id"] == event_id(REVISED)
    assert datetime.fromisoformat(row["captured_at"]).utcoffset() == timedelta(0)
    assert row["captured_at"].endswith("Z")
    assert row["was"] == "A8C"
    assert row["box_width"] == "120"


def test_what_a_spreadsheet_would_run_is_made_harmless(client: httpx.Client, world: World):
    found = list(csv.DictReader(io.StringIO(client.get("/export/sightings.csv").text)))
    evil = next(row for row in found if row["event_id"] == event_id(EVIL))
    assert evil["camera_id"] == HTML
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", " =cmd|' /C calc'!A0", "\r\n=1"):
        assert guarded(text) == f"'{text}"
    rows = [{"event_id": "1", "zone": "=2+5", "longitude": -80.29, "was": ["-1"], "x": None}]
    line = b"".join(csv_of([rows])).decode().splitlines()[1]
    assert line == "1,'=2+5,-80.29,'-1,"


def test_an_unknown_parameter_or_one_that_cannot_be_read_is_refused(client: httpx.Client):
    for asked in ("?colr=red", "?min_confidence=much", "?include_retracted=perhaps",
                  "?start_time=yesterday", "?plate=a&plate=b", "?site=" + "x" * 300):  # fmt: skip
        answer = client.get(f"/export/sightings.csv{asked}")
        assert answer.status_code == 422, asked
        assert set(answer.json()) >= {"error", "detail"}


def test_nothing_found_is_an_empty_file_of_each_form(client: httpx.Client):
    asked = {"camera": "nowhere"}
    assert client.get("/export/sightings.csv", params=asked).text == "event_id\r\n"
    assert client.get("/export/sightings.json", params=asked).json() == {"events": [], "count": 0}
    assert client.get("/export/sightings.ndjson", params=asked).text == ""


# --- much of it


class Many:
    """Stands for a view of so many sightings, and makes each page when it is asked for."""

    plates = None  # nobody looks one up

    def __init__(self, count: int) -> None:
        self._count = count
        self._noon = datetime(2026, 1, 1, tzinfo=UTC)

    def stats(self) -> Row:
        return {}

    def search(
        self, search: Search, limit: int, *, retracted: bool, after: After | None
    ) -> list[Row]:
        first = 0 if after is None else after.event_id.int + 1
        return [
            {
                "event_id": UUID(int=number),
                "captured_at": self._noon - timedelta(seconds=number),
                "plate_normalized_text": f"ABC{number:07d}",
                "was": [],
                "padding": "x" * 900,
            }
            for number in range(first, min(first + limit, self._count))
        ]


def test_memory_stays_the_same_however_many_there_are(world: World):
    count = 1_000_000 if os.environ.get("ALPR_TEST_MILLION") else 100_000
    many = cast("SightingQueries", Many(count))
    with served(many, world.pictures) as address, httpx.Client(timeout=600) as client:
        lines = before = 0
        with client.stream("GET", f"{address}/export/sightings.ndjson") as answer:
            for number, part in enumerate(answer.iter_bytes()):
                lines += part.count(b"\n")
                if number == 20:
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert lines == count
    assert grown < 64 * 1024, f"{grown} KiB more for {count * 1_000 >> 20} MiB"


def test_pages_neither_double_nor_miss_at_their_borders():
    from contextvars import copy_context

    for count in (0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE):
        many = cast("SightingQueries", Many(count))
        found = [row for rows in pages(many, Search(), False, copy_context()) for row in rows]
        assert [row["event_id"].int for row in found] == list(range(count))


def test_each_form_can_be_read_whatever_the_pages_are():
    rows = [{"event_id": str(n), "was": []} for n in range(7)]
    for cut in ([], [[]], [rows], [rows[:3], rows[3:]], [rows, []], [[], rows]):
        told = json.loads(b"".join(json_of(cut)))
        expected = [row for one in cut for row in one]
        assert told == {"events": expected, "count": len(expected)}
        assert len(b"".join(lines_of(cut)).splitlines()) == len(expected)


def test_an_export_that_breaks_off_does_not_look_whole(world: World):
    class Broken(Many):
        def search(self, search: Search, limit: int, *, retracted: bool, after: Any) -> list[Row]:
            if after is not None:
                raise RuntimeError("gone in the middle")
            return super().search(search, limit, retracted=retracted, after=after)

    with (
        served(cast("SightingQueries", Broken(5000)), world.pictures) as address,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"{address}/export/sightings.csv")


# --- the evidence of one


def test_the_evidence_is_whole_and_its_manifest_says_so(client: httpx.Client, world: World):
    answer = client.get(f"/sightings/{event_id(SHOWN)}/evidence.zip")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["sighting"] == event_id(SHOWN)
    assert manifest["made_by"]["actor"] == "local"
    listed = {one["name"]: one["sha256"] for one in manifest["files"]}
    assert set(listed) == set(archive.namelist()) - {"manifest.json"}
    for name, digest in listed.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    told = json.loads(archive.read("sighting.json"))
    assert told["evidence"]["reads"]
    (picture,) = [name for name in listed if name.endswith("plate.jpg")]
    assert archive.read(picture) == world.pictures.get(told["plate_image_url"])
    assert json.loads(archive.read("corrections.json")) == []


def test_a_picture_that_is_gone_is_named(client: httpx.Client, world: World):
    row = {"plate_image_url": "images/gone.jpg", "evidence": None}
    about = {"made_at": datetime(2026, 1, 1, tzinfo=UTC)}
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped(row, [], about, world.pictures))))
    told = json.loads(archive.read("manifest.json"))
    assert told["missing"] == [{"address": "images/gone.jpg", "why": "NoPicture"}]


def test_there_is_no_evidence_of_what_is_not_there(client: httpx.Client):
    assert client.get(f"/sightings/{event_id(BARE + PLAIN)}/evidence.zip").status_code == 404
    assert client.get("/sightings/nothing/evidence.zip").status_code == 422
