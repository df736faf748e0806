"""Reads that other programs send: taken once, durable, and made into sightings like any other."""

import base64
import io
import json
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image

from api.arriving import strict_json
from api.errors import BadInput
from api.intake import Around, Intake
from edge.foreign.given import Known
from eventlog.log import Append, LogFull, LogUnavailable
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from images.store import FolderStore
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from projections.view import SightingsView
from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import RAW, partition_of
from tests.api.conftest import served

SECOND = 1_000_000
NOW = 1_795_256_140 * SECOND  # 2026-11-21T10:15:40Z, a moment after the examples
DOCS = Path(__file__).parents[2] / "docs" / "ingest.md"
STAY = 320 * SECOND
KNOWN = Known(
    "gates",
    {
        "site": "DC1",
        "host": "edge-1",
        "zone": "entrance",
        "lane": "1",
        "latitude": 10.5,
        "longitude": 106.7,
        "timezone": "Asia/Ho_Chi_Minh",
    },
)
NOTHING = Around()


class Place:
    """A log whose clock is the test's, an intake on it, and the rules that read it."""

    def __init__(self, folder: Path, around: Around = NOTHING, partitions: int = 2) -> None:
        self.now = NOW
        self.log = SqliteLog(folder / "log", partitions, clock=lambda: self.now)
        self.codec = Codec(SqliteRegistry(folder / "log"))
        self.codec.register()
        self.pictures = FolderStore(folder / "images")
        self.intake = self.begin(around)

    def begin(self, around: Around = NOTHING) -> Intake:
        return Intake(
            lambda: (self.log, self.codec),
            self.pictures,
            lambda: self.now,
            stay_us=STAY,
            around=around,
        )

    def records(self, name: str = "PlateRead") -> list[Any]:
        """Records of raw by partition and order."""
        found: list[Any] = []
        for partition in range(self.log.partitions(RAW.name)):
            for entry in self.log.read(RAW.name, partition, 0, 10_000):
                kind, record = self.codec.decode(entry.value or b"")
                found += [record] if kind == name else []
        return found

    def sightings(self) -> list[Any]:
        """What the rules make of the log: every event, in order."""
        told: list[Any] = []
        for partition in range(self.log.partitions(RAW.name)):
            fold = Deduplication(partition, DedupSettings(), grammar())
            for entry in self.log.read(RAW.name, partition, 0, 10_000):
                kind, record = self.codec.decode(entry.value or b"")
                for out in fold.fold(kind, record, entry.offset, entry.appended_at):
                    told += [out.record] if out.name in ("PlateEvent", "ReadRejected") else []
        return told

    def pass_by(self, seconds: int) -> None:
        """Time goes on, as the API and the ticker say it."""
        for _ in range(0, seconds, 5):
            self.now += 5 * SECOND
            self.intake.beat()
            for partition in range(self.log.partitions(RAW.name)):
                tick = self.codec.encode(RAW.name, "Tick", {"at": self.now})
                self.log.append(RAW.name, partition, [Append(None, tick)])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.intake.close()


@pytest.fixture(scope="module")
def view(postgres_url: str) -> Iterator[SightingQueries]:
    with closing(SightingsView(postgres_url, "3c2f8f0e-0000-4000-8000-00000000a10c")):
        pass
    with closing(SightingQueries(postgres_url)) as found:
        yield found


@pytest.fixture
def client(place: Place, view: SightingQueries) -> Iterator[httpx.Client]:
    with (
        served(view, place.pictures, intake=place.intake) as address,
        httpx.Client(base_url=address, timeout=20) as made,
    ):
        yield made


def read(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "read_id": f"gate-{number}",
        "camera_id": "GATE-1",
        "captured_at": "2026-11-21T10:15:30.250Z",
        "text": "34A-368.37",
        "confidence": 0.94,
        **changed,
    }


def jpeg(width: int = 60, height: int = 20, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, kind)
    return out.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def examples() -> list[tuple[str, Any]]:
    """The JSON of the documentation, with the address that its chapter is about."""
    found: list[tuple[str, Any]] = []
    for chapter in DOCS.read_text().split("\n## ")[1:]:
        title = chapter.splitlines()[0]
        name = {"Reads": "reads", "Frigate": "frigate", "Plate Recognizer": "plate-recognizer",
                "Rekor Scout, OpenALPR": "rekor", "fast-alpr": "fast-alpr"}[title]  # fmt: skip
        for number, block in enumerate(re.findall(r"```json\n(.*?)```", chapter, re.S)):
            found.append((f"{name} {number}", json.loads(block)))
    return found


# --- taken


def test_a_read_is_on_the_log_when_it_is_answered(client: httpx.Client, place: Place):
    answer = client.post("/ingest/reads", json=read(box={"x": 6, "y": 8, "width": 12, "height": 4}))
    assert answer.status_code == 202
    told = answer.json()
    assert (told["accepted"], told["repeated"], told["refused"]) == (1, 0, 0)
    (made,) = place.records()
    assert made["read_id"] == told["reads"][0]["read_id"]
    assert made["captured_at"] == 1_795_256_130_250_000
    assert made["char_confidences"] == [940] * 10
    assert made["box"] == {"x": 6, "y": 8, "width": 12, "height": 4}
    assert made["node"]["host"] == "ingest"


def test_it_lies_in_its_cameras_partition_and_what_is_known_of_the_camera_is_added(tmp_path: Path):
    place = Place(tmp_path, Around(known={"GATE-1": KNOWN}.get), partitions=4)
    place.intake.take([read(), read(2, camera_id="OTHER", node={"zone": "exit"})], "reads")
    first = next(one for one in place.records() if one["camera_id"] == "GATE-1")
    assert first["camera_group"] == "gates"
    assert first["node"] == {**KNOWN.node, "host": "ingest"}
    partition = partition_of(b"gates", 4)
    keys = [entry.key for entry in place.log.read(RAW.name, partition, 0, 10)]
    assert b"gates" in keys
    other = next(one for one in place.records() if one["camera_id"] == "OTHER")
    assert (other["node"]["zone"], other["node"]["site"]) == ("exit", "default")
    place.intake.close()


def test_several_are_taken_one_by_one_and_each_is_told(client: httpx.Client, place: Place):
    batch = [read(1), read(1), read(2, confidence=1.7), read(3, colour="red"), "nothing", read(4)]
    answer = client.post("/ingest/reads", json={"reads": batch})
    assert answer.status_code == 202
    told = answer.json()
    outcomes = [one["outcome"] for one in told["reads"]]
    assert outcomes == ["accepted", "repeated", "refused", "refused", "refused", "accepted"]
    assert told["reads"][2]["problems"] == [{"field": "confidence", "message": "is more than 1.0"}]
    assert told["reads"][3]["problems"][0]["field"] == "colour"
    assert len(place.records()) == 2


def test_a_line_that_is_broken_does_not_hold_up_the_others(client: httpx.Client, place: Place):
    lines = "\n".join([json.dumps(read(1)), "{broken", "", json.dumps(read(2))])
    answer = client.post(
        "/ingest/reads", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    assert [one["outcome"] for one in answer.json()["reads"]] == ["accepted", "refused", "accepted"]
    assert len(place.records()) == 2


def test_where_nothing_can_be_taken_the_answer_is_a_refusal(client: httpx.Client, place: Place):
    answer = client.post("/ingest/reads", json=read(camera_id="../etc"))
    assert answer.status_code == 422
    assert "camera_id" in answer.json()["detail"]
    assert place.records() == []


def test_the_same_read_sent_again_is_one_also_after_a_restart(place: Place):
    place.intake.take([read()], "reads")
    assert place.intake.take([read()], "reads")[0].outcome == "repeated"
    place.intake = place.begin()  # which knows nothing of what was before
    assert place.intake.take([read()], "reads")[0].outcome == "accepted"
    told = place.sightings()
    assert [one["reason"] for one in told if "detail" in one] == ["duplicate"]
    assert sum(one.get("status") is not None for one in told) == 1


def test_an_id_that_is_a_uuid_stays_and_any_other_gives_the_same_one_each_time(place: Place):
    given = "0b1f3a11-4c0e-4a55-9d43-0a3a0a7a0b5c"
    first, second, third = place.intake.take(
        [read(read_id=given), read(read_id="7"), read(read_id="7", camera_id="GATE-2")], "reads"
    )
    assert first.read_id == given
    assert UUID(second.read_id or "").version == 5
    assert second.read_id != third.read_id
    assert place.begin().take([read(read_id="7")], "reads")[0].read_id == second.read_id


def test_without_an_id_what_was_read_where_and_when_is_one(place: Place):
    nameless = {name: value for name, value in read().items() if name != "read_id"}
    outcomes = place.intake.take([nameless, nameless, {**nameless, "text": "51F12345"}], "reads")
    assert [one.outcome for one in outcomes] == ["accepted", "repeated", "accepted"]


def test_reads_of_one_request_lie_in_order_of_capture(place: Place):
    times = ["2026-11-21T10:15:33Z", "2026-11-21T10:15:31Z", "2026-11-21T10:15:32Z"]
    place.intake.take([read(n, captured_at=at) for n, at in enumerate(times)], "reads")
    captured = [one["captured_at"] for one in place.records()]
    assert captured == sorted(captured)


def test_requests_that_wait_together_are_appended_together(place: Place):
    begun, gate, calls = threading.Event(), threading.Event(), []
    send = place.log.send

    def slow(topic: str, partition: int, records: Any) -> None:
        calls.append(len(records))
        begun.set()
        assert gate.wait(5)
        send(topic, partition, records)

    place.log.send = slow  # type: ignore[method-assign]
    first = place.intake.threads.submit(place.intake.take, [read(0)], "reads")
    assert begun.wait(5)
    more = [place.intake.threads.submit(place.intake.take, [read(n)], "reads") for n in (1, 2, 3)]
    while len(place.intake._waiting) < 3:
        pass
    gate.set()
    assert all(one.result(5)[0].outcome == "accepted" for one in [first, *more])
    assert calls == [1, 3]


# --- what comes of it


def test_reads_become_a_sighting_that_ends_by_the_heartbeats_alone(place: Place):
    for number in range(3):
        place.now = NOW + number * SECOND
        at = place.now - SECOND // 2
        place.intake.take([read(number, captured_at=at, track_id="car-17")], "reads")
    events = place.sightings()
    assert [one["status"] for one in events] == ["tentative", "confirmed"]
    assert events[-1]["plate"]["normalized_text"] == "34A36837"
    place.pass_by(300)
    assert place.sightings()[-1]["status"] != "ended"
    place.pass_by(60)
    last = place.sightings()[-1]
    assert (last["status"], last["reason"], last["reads"]) == ("ended", "window", 3)
    place.pass_by(600)
    beats = len(place.records("CameraHeartbeat"))
    place.pass_by(60)
    assert len(place.records("CameraHeartbeat")) == beats, "nobody speaks for a camera for ever"


def test_a_read_as_late_as_those_before_still_counts_though_heartbeats_went_on(place: Place):
    late = 40 * SECOND
    for number in range(30):
        place.now += 5 * SECOND
        at = place.now - late
        place.intake.take([read(number, captured_at=at, text=f"51F{number:05d}")], "reads")
        place.intake.beat()
    assert [one for one in place.sightings() if "detail" in one] == []


def test_after_a_restart_sightings_that_are_open_end_nevertheless(place: Place):
    place.intake.take([read()], "reads")
    at = place.records()[0]["captured_at"]
    place.intake = place.begin(Around(open=lambda: [("GATE-1", None, at)]))
    place.intake.resume()
    place.pass_by(400)
    assert place.sightings()[-1]["status"] in ("ended", "retracted")


def test_a_camera_that_is_said_to_live_goes_on_having_heartbeats(
    client: httpx.Client, place: Place
):
    client.post("/ingest/reads", json=read())
    for _ in range(30):
        place.pass_by(60)
        assert client.post("/ingest/reads", json={"alive": ["GATE-1"]}).status_code == 202
    beats = len(place.records("CameraHeartbeat"))
    place.pass_by(60)
    assert len(place.records("CameraHeartbeat")) > beats


def test_texts_without_boxes_are_neither_overlays_nor_lettering(place: Place):
    for number in range(60):
        place.now += 2 * SECOND
        batch = [
            read(3 * number, captured_at=place.now, text=f"51F{number:05d}"),
            read(3 * number + 1, captured_at=place.now + 1, text="TAXIBLUE", confidence=0.99),
        ]
        place.intake.take(batch, "reads")
    reasons = {one.get("reason") for one in place.sightings()} - {None}
    assert not reasons & {"overlay", "lettering"}


def test_a_sender_of_some_cameras_reaches_no_other_by_ids_or_groups(place: Place):
    mine, theirs = frozenset({"GATE-1"}), "0b2e6a86-6f5a-4a53-9d3c-3a3a0f4d8b11"
    (taken,) = place.intake.take([read(read_id=theirs)], "reads", mine)
    assert taken.outcome == "accepted"
    assert taken.read_id != theirs
    assert place.intake.take([read(read_id=theirs)], "reads", mine)[0].outcome == "repeated"
    (other,) = place.intake.take([read(camera_id="GATE-2", read_id=theirs)], "reads")
    assert (other.outcome, other.read_id) == ("accepted", theirs)
    refused = place.intake.take(
        [read(2, camera_id="GATE-2"), read(3, camera_group="their gate")], "reads", mine
    )
    assert [one.problems[0][0] for one in refused] == ["camera_id", "camera_group"]


# --- pictures


def test_pictures_are_decoded_and_kept_as_jpegs_of_our_own(client: httpx.Client, place: Place):
    secret = jpeg() + b"GPS: somebody's home"
    pictures = {"plate": b64(secret), "frame": f"data:image/png;base64,{b64(jpeg(kind='PNG'))}"}
    assert client.post("/ingest/reads", json=read(pictures=pictures)).status_code == 202
    images = place.records()[0]["images"]
    kept = place.pictures.get(images["plate_url"])
    assert kept.startswith(b"\xff\xd8")
    assert b"GPS" not in kept
    assert Image.open(io.BytesIO(place.pictures.get(images["frame_url"]))).size == (60, 20)
    assert images["vehicle_url"] == ""


def test_a_request_decodes_so_many_pixels_and_no_more(client: httpx.Client, place: Place):
    large = io.BytesIO()
    Image.new("RGB", (5_000, 5_000)).save(large, "PNG")  # 73 kB
    reads = [read(n, pictures={"frame": b64(large.getvalue())}) for n in range(12)]
    answer = client.post("/ingest/reads", json={"reads": reads})
    outcomes = [one["outcome"] for one in answer.json()["reads"]]
    assert outcomes == ["accepted"] * 10 + ["refused"] * 2
    assert "send fewer at once" in answer.text


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        ("http://169.254.169.254/latest/meta-data", "not fetched"),
        ("file:///etc/passwd", "not fetched"),
        ("%%%", "base64"),
        (b64(b"GIF89a" + b"\0" * 50), "no JPEG"),
        (b64(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "no JPEG"),
        (b64(jpeg()[:300]), "no JPEG"),
        ("data:image/jpeg,hello", "without base64"),
    ],
)
def test_what_is_no_picture_is_refused(client: httpx.Client, picture: str, told: str):
    answer = client.post("/ingest/reads", json=read(pictures={"plate": picture}))
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_a_small_file_of_a_huge_picture_is_refused_before_it_is_decoded(client: httpx.Client):
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    assert len(out.getvalue()) < 200_000
    answer = client.post("/ingest/reads", json=read(pictures={"frame": b64(out.getvalue())}))
    assert "more than 25,000,000 pixels" in answer.json()["detail"]


# --- pressure


def test_a_full_log_and_one_that_is_away_are_told_apart(client: httpx.Client, place: Place):
    def refuse(error: Exception) -> Any:
        def send(*_: Any) -> None:
            raise error

        return send

    send = place.log.send
    for error, status in ((LogFull("full"), 507), (LogUnavailable("away at kafka:9092"), 503)):
        place.log.send = refuse(error)  # type: ignore[method-assign]
        answer = client.post("/ingest/reads", json=read())
        assert answer.status_code == status
        assert int(answer.headers["retry-after"]) > 0
        assert "kafka" not in answer.text
    place.log.send = send  # type: ignore[method-assign]
    assert client.post("/ingest/reads", json=read()).json()["accepted"] == 1


def test_more_than_is_taken_at_once_is_to_come_again(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.intake.Pressure.hold", _no_room)
    answer = client.post("/ingest/reads", json=read())
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


def test_reads_are_not_counted_for_the_rate_of_requests(
    place: Place, view: SightingQueries, postgres_url: str
):
    with closing(AccessKeys(postgres_url)) as keys:
        _, key = keys.create("gate", Role.INGEST, timedelta(hours=1))
        with (
            served(view, place.pictures, intake=place.intake, keys=keys, rate=0.1) as address,
            httpx.Client(base_url=address, headers={"x-api-key": key}, timeout=20) as client,
        ):
            answers = [client.post("/ingest/reads", json=read(number)) for number in range(6)]
            assert [answer.status_code for answer in answers] == [202] * 6
            assert "ratelimit-limit" not in answers[0].headers
            told = [client.get("/stats").status_code for _ in range(3)]
            assert told == [403, 429, 429], "anything else is"


def test_a_body_beyond_the_bound_is_refused_at_once(client: httpx.Client):
    def endless() -> Iterator[bytes]:
        for _ in range(400):
            yield b" " * 65_536

    assert client.post("/ingest/reads", content=endless()).status_code == 413
    assert client.post("/ingest/reads", content=b" " * 17_000_000).status_code == 413


def test_who_goes_before_the_end_of_a_body_is_no_error_of_the_server(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
):
    head = b"POST /ingest/reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as sender:
        sender.sendall(head)
        time.sleep(0.2)
    counted = 'http_requests_total{method="POST",route="/ingest/reads",status="400"} 1.0'
    until = time.monotonic() + 10
    while counted not in client.get("/metrics").text:
        assert time.monotonic() < until, caplog.text
        time.sleep(0.05)
    assert "Exception" not in caplog.text


def test_an_api_without_a_log_takes_nothing(view: SightingQueries, tmp_path: Path):
    with served(view, FolderStore(tmp_path)) as address:
        assert httpx.post(f"{address}/ingest/reads", json=read()).status_code == 503


def _no_room(_: Any) -> Any:
    from contextlib import nullcontext

    return nullcontext(lambda size: False)


# --- what other programs send


@pytest.mark.parametrize(("name", "payload"), examples(), ids=[name for name, _ in examples()])
def test_every_example_of_the_documentation_is_taken(
    client: httpx.Client, place: Place, name: str, payload: Any
):
    answer = client.post(f"/ingest/{name.split(maxsplit=1)[0]}", json=payload)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == (0 if name in ("reads 1", "rekor 2") else 1)


def said(place: Place) -> dict[str, Any]:
    (made,) = place.records()
    return made


def by_name(name: str) -> Any:
    return dict(examples())[name]


def test_frigates_recognition_is_a_read_and_the_event_that_repeats_it_is_none(
    client: httpx.Client, place: Place
):
    assert client.post("/ingest/frigate", json=by_name("frigate 0")).json()["accepted"] == 1
    assert client.post("/ingest/frigate", json=by_name("frigate 1")).json()["repeated"] == 1
    made = said(place)
    assert made["camera_id"] == "driveway_cam"
    assert (made["text"], made["confidence"]) == ("DAVC4178", 0.94)
    assert made["box"] == {"x": 917, "y": 487, "width": 112, "height": 42}
    assert made["captured_at"] == 1_795_256_130_748_393
    assert "1795256129.475377-mxklsc" in made["track_id"]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "description", "id": "1.2-a", "description": "A red car"},
        {"type": "face", "id": "1.2-a", "name": "John", "score": 0.9},
        {"type": "new", "before": {}, "after": {"id": "1.2-a", "camera": "x", "label": "person"}},
        {"type": "lpr", "id": "1.2-a", "plate": None, "camera": "x", "timestamp": 1.0},
    ],
)
def test_frigates_other_messages_are_taken_and_come_to_nothing(
    client: httpx.Client, place: Place, message: Any
):
    answer = client.post("/ingest/frigate", json=message)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)


def test_plate_recognizers_two_forms_say_the_same(client: httpx.Client, place: Place):
    for number in (0, 1):
        client.post("/ingest/plate-recognizer", json=by_name(f"plate-recognizer {number}"))
    first, second = place.records()
    for name in ("text", "region", "vehicle", "track_id"):
        same = first[name] == second[name]
        assert same or name == "track_id"
    assert first["text"] == "NHK552"
    assert first["region"] == "GB"
    assert first["vehicle"] == {"type": "sedan", "make": "Riley", "model": "RMF", "color": "black"}
    assert first["alternatives"] == [{"text": "NHK55Z", "confidence": 0.71}]
    assert first["box"] == {"x": 146, "y": 481, "width": 130, "height": 95}


def test_plate_recognizers_form_brings_its_picture(client: httpx.Client, place: Place):
    answer = client.post(
        "/ingest/plate-recognizer",
        data={"json": json.dumps(by_name("plate-recognizer 0"))},
        files={"upload": ("a.jpg", jpeg(), "image/jpeg")},
    )
    assert answer.json()["accepted"] == 1
    assert place.pictures.get(said(place)["images"]["frame_url"]).startswith(b"\xff\xd8")


def test_rekors_group_and_the_frame_that_it_names_are_one_read(client: httpx.Client, place: Place):
    assert client.post("/ingest/rekor", json=by_name("rekor 0")).json()["accepted"] == 1
    assert client.post("/ingest/rekor", json=by_name("rekor 1")).json()["repeated"] == 1
    made = said(place)
    assert (made["camera_id"], made["text"], made["region"]) == ("1234", "D2651BF", "US-MO")
    assert made["confidence"] == pytest.approx(0.9294)
    assert made["box"] == {"x": 3247, "y": 188, "width": 220, "height": 119}
    assert made["alternatives"] == [{"text": "02651BF", "confidence": pytest.approx(0.812)}]


def test_rekors_group_alone_tells_vehicle_direction_and_place(client: httpx.Client, place: Place):
    client.post("/ingest/rekor", json=by_name("rekor 1"))
    made = said(place)
    assert made["captured_at"] == 1_795_256_133_479_000
    assert made["direction"] == "approaching"
    assert made["vehicle"]["color"] == "white"
    assert made["node"]["latitude"] == 37.635986


def test_fast_alprs_confidences_are_those_of_the_text(client: httpx.Client, place: Place):
    client.post("/ingest/fast-alpr", json=by_name("fast-alpr 0"))
    made = said(place)
    assert made["char_confidences"] == [990, 970, 980, 990, 950, 990, 960]
    assert made["box"] == {"x": 604, "y": 388, "width": 142, "height": 41}


# --- broken and hostile

BIG = "A" * 10_000_000
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "cut off": b'{"camera_id": "GATE-1", "te',
    "deep lists": b"[" * 5_000 + b"]" * 5_000,
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "deep beside": b'{"reads": ' + b"[" * 100 + b"]" * 100 + b"}",
    "not a number": json.dumps(read(confidence=float("nan"))).encode(),
    "infinite": json.dumps(read(confidence=float("inf"))).encode(),
    "huge number": json.dumps(read()).replace("0.94", "1e999").encode(),
    "huge whole number": json.dumps(read(captured_at=10**40)).encode(),
    "half a surrogate pair": b'{"camera_id":"GATE-1","text":"\\ud800","confidence":1}',
    "no UTF-8": b'{"camera_id":"GATE-1","text":"\xff\xfe"}',
    "UTF-16": json.dumps(read()).encode("utf-16"),
    "NUL in a text": json.dumps(read(text="34A\0368")).encode(),
    "NUL in a name": json.dumps(read(**{"camera\0": 1})).encode(),
    "control characters": json.dumps(read(read_id="a\x1b[2Jb")).encode(),
    "right to left": json.dumps(read(text="34A\u202e8637")).encode(),
    "twice the same name": b'{"camera_id":"A","camera_id":"B","captured_at":1,"text":"A1"}',
    "ten megabytes": json.dumps(read(text=BIG)).encode(),
    "ten megabytes of a name": json.dumps({BIG: 1}).encode(),
    "ten megabytes of an id": json.dumps(read(read_id=BIG)).encode(),
    "a million nothings": b"[" + b"0," * 1_000_000 + b"0]",
    "five million lists": b'{"reads": [' + b"[]," * 5_000_000 + b"[]]}",
    "too many reads": json.dumps({"reads": [{}] * 1_001}).encode(),
    "a list": b"[]",
    "a text": b'"34A36837"',
    "null": b"null",
    "reads as a text": b'{"reads": "all"}',
    "text as a number": json.dumps(read(text=3436837)).encode(),
    "confidence as a text": json.dumps(read(confidence="0.9")).encode(),
    "confidence as a truth": json.dumps(read(confidence=True)).encode(),
    "a negative box": json.dumps(read(box={"x": -1, "y": 0, "width": 1, "height": 1})).encode(),
    "a huge box": json.dumps(read(box={"x": 2**40, "y": 0, "width": 1, "height": 1})).encode(),
    "a time of nowhere": json.dumps(read(captured_at="0000-00-00T99:99:99")).encode(),
    "a time long ago": json.dumps(read(captured_at="1970-01-01T00:00:00Z")).encode(),
    "a time to come": json.dumps(read(captured_at="2030-01-01T00:00:00Z")).encode(),
    "a time beyond the calendar": json.dumps(read(captured_at=-(10**18))).encode(),
    "an empty text": json.dumps(read(text="   ")).encode(),
    "characters that do not match": json.dumps(read(char_confidences=[0.5])).encode(),
    "a path as a camera": json.dumps(read(camera_id="../../etc/passwd")).encode(),
    "a camera of markup": json.dumps(read(camera_id="<script>")).encode(),
    "a zone of nowhere": json.dumps(read(node={"timezone": "../../etc/passwd"})).encode(),
}  # fmt: skip


def test_many_small_values_are_refused_before_they_fill_the_memory():
    body = HOSTILE["five million lists"]
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="values"):
            strict_json(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_name_that_stands_twice_among_very_many_is_found_at_once():
    names = ",".join(f'"{number}":0' for number in range(200_000))
    began = time.monotonic()
    with pytest.raises(BadInput, match="'199999' stands twice"):
        strict_json(f'{{{names},"199999":0}}'.encode())
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["reads", "frigate", "rekor", "fast-alpr", "plate-recognizer"])
def test_broken_and_hostile_payloads_are_refused_in_a_sentence_and_break_nothing(
    client: httpx.Client, place: Place, path: str
):
    for number, (name, content) in enumerate(HOSTILE.items()):
        answer = client.post(f"/ingest/{path}", content=content)
        assert 400 <= answer.status_code < 500, (name, answer.text[:300])
        told = answer.json()
        assert told["error"], name
        assert 10 < len(told["detail"]) < 600, name
        assert len(place.records()) == number, name
        assert client.post("/ingest/reads", json=read(number)).json()["accepted"] == 1, name


FORM_HEAD = b'------gate\r\nContent-Disposition: form-data; name="json"\r\n\r\n'


FORMS = [
    FORM_HEAD + b'{"data": {}}',
    FORM_HEAD + b"{}\r\n------gate",
    FORM_HEAD + b"{}\r\n" + FORM_HEAD + b"{}\r\n------gate--\r\n",
    b"------gate\r\nno header at all\r\n\r\n{}\r\n------gate--\r\n",
    b"\0" * 1000,
    FORM_HEAD + b"x" * 5_000_000 + b"\r\n------gate--\r\n",
    b"".join(FORM_HEAD.replace(b"json", b"f%d" % n) + b"1\r\n" for n in range(50)),
    FORM_HEAD.replace(b"json", b"file") + b"{}\r\n------gate--\r\n",
]


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=----gate", "multipart/form-data"])
def test_broken_forms_are_refused_in_a_sentence(client: httpx.Client, kind: str):
    for content in FORMS:
        answer = client.post(
            "/ingest/plate-recognizer", content=content, headers={"content-type": kind}
        )
        assert answer.status_code == 422, content[:80]
        assert len(answer.json()["detail"]) < 400
