"""Files and cameras to the log: order, heartbeats, ends, and a log that is full for a while."""

import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import cast

import pytest

from alpr.recognition import open_detector, open_recogniser
from edge.append import RawWriter, SparingStore
from edge.cameras import Camera
from edge.capture import Truncated
from edge.detect import TextPlateDetector
from edge.live import wall_us
from edge.recognise import TextRecogniser
from edge.run import read_file, run_cameras
from eventlog.log import Append, Log, LogFull
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from images.store import FolderStore, ImageError
from schemas.codec import Codec
from schemas.topics import RAW, partition_of
from tests.edge.conftest import Film, drive_by

VIDEO = Path(__file__).parents[3] / "shared/data/video/toll-booth.mp4"


def records_of(log: SqliteLog, codec: Codec, key: str) -> list[tuple[str, dict]]:
    partition = partition_of(key.encode(), log.partitions(RAW.name))
    entries = log.read(RAW.name, partition, log.lowest(RAW.name, partition), 10_000)
    return [codec.decode(entry.value) for entry in entries if entry.key == key.encode()]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log")


@pytest.fixture
def models(
    detector: TextPlateDetector, recogniser: TextRecogniser
) -> tuple[TextPlateDetector, TextRecogniser]:
    return detector, recogniser


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    codec = Codec(SqliteRegistry(tmp_path / "log"))
    codec.register()
    return codec


def test_a_file_gives_its_reads_heartbeats_and_one_end_in_order_of_capture(
    film: Film, detector: TextPlateDetector, recogniser: TextRecogniser
) -> None:
    path = film(drive_by("34A-231.26", 150), "film.mp4")
    camera = Camera("CAM-1", str(path))
    records = list(read_file(path, camera, detector, recogniser, None, start_us=7))
    names = [name for name, _ in records]
    assert names[-1] == "SourceEnded"
    assert names.count("SourceEnded") == 1
    assert names.count("CameraHeartbeat") == 1
    assert "PlateRead" in names
    times = [record["captured_at"] for _, record in records]
    assert times == sorted(times)
    assert times[-1] == 7 + 149 * 40_000
    assert records[-1][1]["reason"] == "end of file"
    assert records == list(read_file(path, camera, detector, recogniser, None, start_us=7))


def test_a_truncated_file_gives_what_is_there_its_end_and_then_the_error(
    film: Film, detector: TextPlateDetector, recogniser: TextRecogniser
) -> None:
    path = film(drive_by("34A-231.26", 30), "film.avi")
    data = path.read_bytes()
    path.write_bytes(data[: 2 * len(data) // 3])
    records = []
    with pytest.raises(Truncated, match="ends after"):
        records.extend(read_file(path, Camera("c", str(path)), detector, recogniser, None))
    assert records[0][0] == "PlateRead"
    assert records[-1][0] == "SourceEnded"
    assert records[-1][1]["reason"].startswith("failed: ")


def test_cameras_are_read_into_the_log_until_their_sources_end(
    film: Film,
    tmp_path: Path,
    log: SqliteLog,
    codec: Codec,
    models: tuple[TextPlateDetector, TextRecogniser],
) -> None:
    path = film(drive_by("34A-231.26", 20), "film.mp4")
    cameras = [
        Camera("CAM-1", str(path), group="gate"),
        Camera("CAM-2", str(tmp_path / "missing.mp4")),
        Camera("CAM-3", "rtsp://nowhere/1", enabled=False),
    ]
    run_cameras(
        cameras,
        log,
        codec,
        FolderStore(tmp_path / "images"),
        threading.Event(),
        detector=models[0],
        recogniser=models[1],
        host="edge-1",
        chance=Random(1),
    )
    records = records_of(log, codec, "gate")
    assert {name for name, _ in records} == {"PlateRead", "SourceEnded"}
    assert records[-1][1]["reason"] == "end of file"
    times = [record["captured_at"] for _, record in records]
    assert times == sorted(times)
    ((name, ended),) = records_of(log, codec, "CAM-2")
    assert name == "SourceEnded"
    assert "no such file" in ended["reason"]
    assert not records_of(log, codec, "CAM-3")


class Filling:
    """A log that is full while told so."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self.full = False

    def append(self, topic: str, partition: int, records: Sequence[Append]) -> Sequence[int]:
        if self.full:
            raise LogFull("no space left on the device")
        return self._log.append(topic, partition, records)

    def __getattr__(self, name: str):
        return getattr(self._log, name)


def read_at(film: Film, detector, recogniser) -> dict:
    path = film(drive_by("34A-231.26", 2), "film.mp4")
    records = read_file(path, Camera("CAM-1", str(path)), detector, recogniser, None)
    return next(dict(record) for name, record in records if name == "PlateRead")


def test_a_full_log_keeps_reads_back_and_one_gap_tells_what_was_dropped(
    film: Film,
    tmp_path: Path,
    log: SqliteLog,
    codec: Codec,
    models: tuple[TextPlateDetector, TextRecogniser],
) -> None:
    read = read_at(film, *models)
    filling = Filling(log)
    writer = RawWriter(Camera("CAM-1", "x"), "s", filling, codec, spare=3)
    store = SparingStore(FolderStore(tmp_path / "images"), lambda: writer.full)
    assert writer.append([("PlateRead", {**read, "captured_at": 1})])
    filling.full = True
    for at_us in range(2, 9):
        assert not writer.append([("PlateRead", {**read, "captured_at": at_us})])
    with pytest.raises(ImageError, match="reads go first"):
        store.put("x.jpg", b"")
    filling.full = False
    assert writer.append([("PlateRead", {**read, "captured_at": 9})])
    assert store.put("x.jpg", b"")
    records = records_of(log, codec, "CAM-1")
    assert [name for name, _ in records] == ["PlateRead", "Gap"] + ["PlateRead"] * 4
    gap = records[1][1]
    assert (gap["from_at"], gap["to_at"], gap["dropped"]) == (2, 5, 4)
    assert [record["captured_at"] for _, record in records[2:]] == [6, 7, 8, 9]


def test_what_a_full_log_left_at_the_end_is_appended_once_there_is_room(
    film: Film,
    log: SqliteLog,
    codec: Codec,
    models: tuple[TextPlateDetector, TextRecogniser],
) -> None:
    path = film(drive_by("34A-231.26", 5), "film.mp4")
    filling, stop = Filling(log), threading.Event()
    filling.full = True
    cameras = [Camera("CAM-1", str(path))]
    detector, recogniser = models
    edge = threading.Thread(
        target=run_cameras,
        args=(cameras, cast("Log", filling), codec, None, stop),
        kwargs={"detector": detector, "recogniser": recogniser},
    )
    edge.start()
    edge.join(timeout=5)
    assert edge.is_alive(), "it waits for room"
    filling.full = False
    edge.join(timeout=5)
    stop.set()
    names = [name for name, _ in records_of(log, codec, "CAM-1")]
    assert "PlateRead" in names
    assert names[-1] == "SourceEnded"


@pytest.mark.slow
@pytest.mark.skipif(not VIDEO.exists(), reason="the shared test data is not here")
@pytest.mark.parametrize(
    ("chosen", "reader", "last"),
    [("corners", "voting", 1), ("corners", "text", 1), ("text", "text", 2)],
)
def test_the_toll_booths_three_plates_are_read_and_its_traps_are_not(
    chosen: str, reader: str, last: int
) -> None:
    camera, detector = Camera("toll", str(VIDEO)), open_detector(chosen)
    recogniser = open_recogniser(reader)
    reads = [
        record
        for name, record in read_file(VIDEO, camera, detector, recogniser, None)
        if name == "PlateRead" and record["confidence"] >= 0.7
    ]
    texts = ["".join(sign for sign in read["text"] if sign.isalnum()) for read in reads]
    assert texts.count("34A36837") >= 3
    assert texts.count("34A23126") >= 3
    assert texts.count("89C20339") >= last, "it comes nearer until the clip ends"
    assert not [text for text in texts if "02819" in text or "01357" in text or "17174" in text]


def test_a_camera_that_is_away_is_told_of_by_heartbeats(
    log: SqliteLog, codec: Codec, models: tuple[TextPlateDetector, TextRecogniser]
) -> None:
    began = wall_us()
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    run_cameras(
        [Camera("CAM-1", "rtsp://admin:s3cret@127.0.0.1:1/x")],
        log,
        codec,
        None,
        stop,
        detector=models[0],
        recogniser=models[1],
        now=lambda: began + 20 * (wall_us() - began),  # twenty times as fast
        chance=Random(1),
    )
    records = records_of(log, codec, "CAM-1")
    assert [name for name, _ in records[-1:]] == ["SourceEnded"]
    assert records[-1][1]["reason"] == "stopped"
    beats = [record for name, record in records if name == "CameraHeartbeat"]
    assert len(beats) >= 2
    assert {beat["state"] for beat in beats} == {"reconnecting"}
    times = [record["captured_at"] for _, record in records]
    assert times == sorted(times)


def test_a_camera_whose_roi_lies_outside_its_picture_is_told_and_the_others_go_on(
    film: Film,
    log: SqliteLog,
    codec: Codec,
    models: tuple[TextPlateDetector, TextRecogniser],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = film(drive_by("34A-231.26", 5), "film.mp4")
    cameras = [
        Camera("CAM-1", str(path), roi=(700, 0, 900, 300)),
        Camera("CAM-2", str(path)),
    ]
    stop = threading.Event()
    run_cameras(cameras, log, codec, None, stop, detector=models[0], recogniser=models[1])
    assert "CAM-1" in caplog.text
    assert "roi [700, 0, 900, 300] lies outside the picture of 640 x 360 pixels" in caplog.text
    names = [name for name, _ in records_of(log, codec, "CAM-2")]
    assert "PlateRead" in names
    assert names[-1] == "SourceEnded"
