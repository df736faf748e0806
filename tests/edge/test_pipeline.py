"""One camera's chain on drawn streets: which reads come out, and at what cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras import Camera
from edge.capture import Frame
from edge.detect import Detection, Look, TextPlateDetector
from edge.geometry import Region
from edge.pipeline import CameraPipeline, PipelineSettings, plain
from edge.reading import Reading
from edge.recognise import Crops, TextRecogniser
from edge.throttle import ReadingSettings
from images.store import NO_TAGS, FolderStore, ImageError
from schemas.codec import parsed, schema_text
from schemas.records import PlateRead
from tests.edge.conftest import draw_plate, drive_by, street

CAMERA = Camera("CAM-1", "none", group="gate", country=("VN",), direction="approaching")
START_US = 1_763_712_000_000_000  # 2025-11-21 08:00 UTC


class Counted:
    """A detector and a recogniser that count how often they are asked."""

    def __init__(self, detector: TextPlateDetector, recogniser: TextRecogniser) -> None:
        self.name = "counted"
        self._detector, self._recogniser = detector, recogniser
        self.looks: list[Look] = []
        self.readings = 0

    def still(self, image: np.ndarray, region: Region) -> list[Detection]:
        return self._detector.still(image, region)

    def detect(self, image: np.ndarray, looks: Sequence[Look] | None = None) -> list[Detection]:
        self.looks += looks or []
        return self._detector.detect(image, looks)

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> Crops:
        return self._recogniser.crops(image, detection, margin)

    def recognise(self, plates: Sequence[Crops]) -> list[Reading]:
        self.readings += len(plates)
        return self._recogniser.recognise(plates)


@pytest.fixture
def models(detector: TextPlateDetector, recogniser: TextRecogniser) -> Counted:
    return Counted(detector, recogniser)


def play(
    pictures: Sequence[np.ndarray], models: Counted, images=None, settings=None, fps: float = 25.0
) -> list[PlateRead]:
    chain = CameraPipeline(
        CAMERA, models, models, images, "0a1b2c3d", host="edge-1", settings=settings
    )
    reads = []
    for number, picture in enumerate(pictures):
        at_us = START_US + round(number * 1_000_000 / fps)
        reads += chain.process(Frame("CAM-1", "0a1b2c3d", number, at_us, picture))
    return reads


def test_a_car_that_drives_by_is_read_under_one_track(models: Counted, tmp_path: Path) -> None:
    reads = play(drive_by("34A-231.26", 40), models, FolderStore(tmp_path))
    texts = Counter(plain(read["text"]) for read in reads)
    assert texts.most_common(1)[0][0] == "34A23126"
    assert texts["34A23126"] >= 3
    assert len({read["track_id"] for read in reads}) == 1
    assert models.readings <= 15
    last = reads[-1]
    assert last["direction"] == "right"
    assert last["camera_group"] == "gate"
    assert last["region"] == "VN"
    assert last["node"]["host"] == "edge-1"
    assert last["track_id"] == "t-0a1b2c3d-1"
    assert last["captured_at"] == START_US + 40_000 * last["frame_number"]
    assert len(last["char_confidences"]) == len(last["text"])
    assert (last["frame_width"], last["frame_height"]) == (640, 360)
    assert last["reader"] == "counted counted"


def test_every_field_of_the_record_is_there(models: Counted) -> None:
    read = play(drive_by("34A-231.26", 3), models)[0]
    fields = {field["name"] for field in parsed(schema_text("PlateRead"))["fields"]}
    assert set(read) == fields


def test_the_evidence_shows_exactly_the_frame_that_was_read(
    models: Counted, tmp_path: Path
) -> None:
    store = FolderStore(tmp_path)
    pictures = drive_by("34A-231.26", 12)
    for read in play(pictures, models, store):
        urls = read["images"]
        assert urls["frame_url"].startswith("images/2025-11-21/CAM-1/t-0a1b2c3d-1-")
        shown = {
            name: cv2.imdecode(np.frombuffer(store.get(url), np.uint8), cv2.IMREAD_COLOR)
            for name, url in urls.items()
        }
        frame = pictures[read["frame_number"]]
        assert np.abs(shown["frame_url"].astype(int) - frame).mean() < 3
        plate, around = shown["plate_url"], shown["vehicle_url"]
        assert plate.shape[0] < around.shape[0] <= frame.shape[0]
        assert plate.shape[1] < around.shape[1] < frame.shape[1]


def test_the_same_frames_give_the_same_reads(models: Counted) -> None:
    pictures = drive_by("34A-231.26", 12)
    assert play(pictures, models) == play(pictures, models)


def test_reads_have_ids_of_their_own(models: Counted) -> None:
    reads = play(drive_by("34A-231.26", 20), models)
    assert len({read["read_id"] for read in reads}) == len(reads)


def test_a_parked_car_costs_next_to_nothing_and_is_read_again_each_minute(
    models: Counted,
) -> None:
    pictures = drive_by("34A-231.26", 1, stops=True) * 130
    reads = play(pictures, models, fps=1.0)
    assert models.readings <= 8
    assert {plain(read["text"]) for read in reads} == {"34A23126"}
    assert len({read["track_id"] for read in reads}) == 1
    seconds = [(read["captured_at"] - START_US) // 1_000_000 for read in reads]
    assert max(seconds) >= 60
    later = models.looks[5:]
    area = sum((r - a) * (b - t) * look.scale**2 for look in later for a, t, r, b in [look.region])
    assert area / 125 < 0.1 * 640 * 360


def test_an_empty_street_is_looked_at_once(models: Counted) -> None:
    noise = np.random.default_rng(1)
    pictures = [
        np.clip(street() + noise.normal(0, 2, (360, 640, 3)), 0, 255).astype(np.uint8)
        for _ in range(40)
    ]
    assert play(pictures, models) == []
    assert len(models.looks) == 1


def test_painted_letters_words_and_banners_are_not_read_as_plates(models: Counted) -> None:
    pictures = []
    for number in range(12):
        image = street()
        draw_plate(image, "34R-013.57", 120 + 6 * number, 150, painted=True)
        draw_plate(image, "VINAMILK", 200 + 6 * number, 280)
        cv2.rectangle(image, (0, 0), (640, 24), (0, 0, 0), -1)
        text = f"2025-11-21 08:00:{number:02d} LANE 4 - 14B02819T"
        cv2.putText(image, text, (4, 18), cv2.FONT_HERSHEY_DUPLEX, 0.65, (255, 255, 255), 1)
        pictures.append(image)
    assert play(pictures, models) == []


def test_two_cars_in_one_frame_are_two_tracks(models: Counted) -> None:
    pictures = []
    for number in range(10):
        image = street()
        draw_plate(image, "34A-231.26", 30 + 6 * number, 130)
        draw_plate(image, "51F-970.22", 350 - 6 * number, 260)
        pictures.append(image)
    reads = play(pictures, models)
    tracks = {(plain(read["text"]), read["track_id"]) for read in reads}
    assert {text for text, _ in tracks} == {"34A23126", "51F97022"}
    assert len(tracks) == 2


def test_frames_can_be_skipped_and_reading_can_be_left_out(models: Counted) -> None:
    pictures = drive_by("34A-231.26", 12)
    reads = play(pictures, models, settings=PipelineSettings(skip_frames=2))
    assert reads
    assert all(read["frame_number"] % 3 == 0 for read in reads)
    models.readings = 0
    assert play(pictures, models, settings=PipelineSettings(no_ocr=True)) == []
    assert models.readings == 0


def test_nothing_is_read_outside_the_region_of_interest(models: Counted) -> None:
    chain = CameraPipeline(Camera("CAM-1", "none", roi=(0, 0, 640, 150)), models, models, None, "s")
    pictures = drive_by("34A-231.26", 8)
    assert not [
        read
        for number, picture in enumerate(pictures)
        for read in chain.process(Frame("CAM-1", "s", number, 40_000 * number, picture))
    ]


def test_a_read_whose_pictures_cannot_be_kept_comes_without_them(models: Counted) -> None:
    class Full(FolderStore):
        def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> str:
            raise ImageError(f"picture {name} cannot be written: No space left on device")

    reads = play(drive_by("34A-231.26", 3), models, Full(Path("unused")))
    assert reads
    assert reads[0]["images"] == {"plate_url": "", "vehicle_url": "", "frame_url": ""}


def comes_nearer(frames: int) -> list[np.ndarray]:
    """A plate whose signs are too narrow to be trusted yet, a little larger every frame."""
    pictures = []
    for number in range(frames):
        image = street()
        draw_plate(image, "34A-231.26", 200, 200, height=18 + number // 3)
        pictures.append(image)
    return pictures


def chained(models: Counted) -> CameraPipeline:
    reading = ReadingSettings(narrow=40.0, sure=0.5, rim=0.0)
    return CameraPipeline(
        CAMERA, models, models, None, "0a1b2c3d", settings=PipelineSettings(reading=reading)
    )


def fed(chain: CameraPipeline, pictures: Sequence[np.ndarray], first: int = 0) -> list[PlateRead]:
    return [
        read
        for number, picture in enumerate(pictures, first)
        for read in chain.process(
            Frame("CAM-1", "0a1b2c3d", number, START_US + number * 40_000, picture)
        )
    ]


def test_what_was_held_back_of_a_plate_is_told_when_the_source_ends(models: Counted) -> None:
    chain = chained(models)
    assert fed(chain, comes_nearer(12)) == []
    (read,) = chain.finish()
    assert plain(read["text"]) == "34A23126"
    assert read["captured_at"] == START_US + 40_000 * read["frame_number"]
    assert chain.finish() == []


def test_and_when_it_is_waited_for_no_longer(models: Counted) -> None:
    chain = chained(models)
    pictures = comes_nearer(12)
    assert fed(chain, pictures) == []
    assert fed(chain, [street()] * 30, len(pictures)) == []
    (read,) = fed(chain, [street()] * 30, len(pictures) + 30)
    assert plain(read["text"]) == "34A23126"
    assert read["frame_number"] < 12
    assert chain.finish() == []
