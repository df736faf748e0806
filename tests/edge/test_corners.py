"""The project's own detector with the weights that it ships."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.corners import CornerDetector, _distinct
from edge.detect import Detection, Look, PlateDetector, packaged
from edge.geometry import Quad
from edge.models import ModelError
from edge.pipeline import plain
from edge.recognise import TextRecogniser
from training import plates
from training.scenes import samples

RED_CAR = (40, 40, 150)


@pytest.fixture(scope="module")
def corners() -> CornerDetector:
    return CornerDetector(threads=1)


def car(plate: plates.Plate, wide: int = 130, turn: float = 0.0) -> tuple[np.ndarray, Quad]:
    """A car's rear in a street, its plate ``wide`` pixels, turned by degrees; and its corners."""
    image = np.full((360, 640, 3), 120, np.uint8)
    image[:140] = (190, 170, 150)
    cv2.rectangle(image, (170, 90), (470, 330), RED_CAR, -1)
    cv2.rectangle(image, (210, 100), (430, 170), (60, 50, 45), -1)
    cv2.circle(image, (200, 200), 18, (60, 60, 220), -1)
    cv2.circle(image, (440, 200), 18, (60, 60, 220), -1)
    cv2.rectangle(image, (180, 300), (460, 330), (35, 35, 35), -1)
    drawn = plates.picture(plate, wide)
    high = drawn.shape[0]
    middle = np.array((320, 250), np.float32)
    flat = np.array(((0, 0), (wide, 0), (wide, high), (0, high)), np.float32)
    rotate = cv2.getRotationMatrix2D((wide / 2, high / 2), turn, 1.0)
    rotate[:, 2] += middle - (wide / 2, high / 2)
    mask = cv2.warpAffine(np.full((high, wide), 255, np.uint8), rotate, (640, 360))
    laid = cv2.warpAffine(drawn, rotate, (640, 360))
    image = np.where(mask[..., None] > 127, laid, image)
    return cv2.GaussianBlur(image, (0, 0), 0.6), cv2.transform(flat[None], rotate)[0]


def off(found: Quad, true: Quad) -> float:
    """How far the worst corner is from the truth, in the plate's heights."""
    height = np.linalg.norm(true[3] - true[0])
    return float(np.linalg.norm(found - true, axis=1).max() / height)


@pytest.mark.parametrize("turn", [0.0, 6.0, -6.0])
@pytest.mark.parametrize(
    "plate",
    [
        plates.make("de", "HH NL 2047"),
        plates.make("us-ca", "8ABC123"),
        plates.make("vn-two-line", "34A", "368.37"),
    ],
    ids=lambda plate: plate.layout.name,
)
def test_a_plates_corners_are_found_whatever_its_country_and_tilt(
    corners: CornerDetector, plate: plates.Plate, turn: float
) -> None:
    image, true = car(plate, turn=turn)
    (found,) = corners.detect(image)
    assert found.score > 0.8
    assert off(found.quad, true) < 0.2
    assert found.lines == ()


def test_the_same_picture_gives_the_same_plates(corners: CornerDetector) -> None:
    image, _ = car(plates.make("fr", "AB-123-CD"))
    one, again = corners.detect(image), corners.detect(image)
    assert [(a.score, a.quad.tolist()) for a in one] == [(a.score, a.quad.tolist()) for a in again]


def test_only_what_is_within_the_looks_is_found_and_once(corners: CornerDetector) -> None:
    image, true = car(plates.make("de", "HH NL 2047"))
    assert corners.detect(image, []) == []
    assert corners.detect(image, [Look((0, 0, 640, 180))]) == []
    looks = [Look((150, 80, 500, 340)), Look((0, 0, 640, 360)), Look((200, 150, 480, 340), 1.5)]
    (found,) = corners.detect(image, looks)
    assert off(found.quad, true) < 0.2


def test_two_plates_are_two(corners: CornerDetector) -> None:
    left, _ = car(plates.make("de", "HH NL 2047"))
    right, _ = car(plates.make("us-ca", "8ABC123"))
    found = corners.detect(np.hstack((left, right)))
    assert len(found) == 2
    assert found[0].box[2] < found[1].box[0]


@pytest.mark.parametrize("shape", [(1, 1), (9, 700), (700, 9), (32, 32), (2000, 300)])
def test_a_picture_of_any_shape_is_looked_at(corners: CornerDetector, shape) -> None:
    assert corners.detect(np.full((*shape, 3), 114, np.uint8)) == []


def test_a_still_picture_is_looked_at_640_pixels_wide_and_a_small_one_enlarged() -> None:
    looked: list[tuple[int, int]] = []

    class Watched(CornerDetector):
        def _look(self, image, look):
            left, top, right, bottom = look.region
            looked.append((round((right - left) * look.scale), round((bottom - top) * look.scale)))
            return super()._look(image, look)

    watched = Watched(1)
    for width, height in ((1280, 720), (400, 300), (100, 100), (900, 1600)):
        watched.detect(np.zeros((height, width, 3), np.uint8))
    assert looked[:3] == [(640, 360), (640, 480), (200, 200)]
    assert looked[3][0] * looked[3][1] <= 640 * 640 + 640


@pytest.mark.parametrize("scale", [0.5, 1.0])
@pytest.mark.parametrize("side", range(4), ids=("left", "top", "right", "bottom"))
def test_a_plate_that_a_looks_edge_cuts_is_left_to_another_look(
    corners: CornerDetector, side: int, scale: float
) -> None:
    image, true = car(plates.make("de", "HH NL 2047"), wide=160)
    low, high = true.min(0), true.max(0)
    whole = [40, 20, 600, 350]
    for part in (0.3, 0.5) if side % 2 == 0 else (0.3, 0.5, 0.7, 0.85):
        region = list(whole)
        at = low[side % 2] + (high - low)[side % 2] * (part if side >= 2 else 1 - part)
        region[side] = round(float(at))
        found = corners.detect(image, [Look(tuple(region), scale)])  # type: ignore[arg-type]
        assert all(one.score < 0.4 for one in found), "nothing that begins a track"
    (found,) = corners.detect(image, [Look(tuple(whole), scale)])  # type: ignore[arg-type]
    assert found.score > 0.5


def test_what_is_no_box_at_all_is_left_out() -> None:
    """Of weights that have gone wrong: not a number, flat, without end."""
    good = np.array(((10, 10), (60, 12), (60, 24), (10, 22)), np.float32)
    point, flat = np.full((4, 2), 5, np.float32), good * (1, 0)
    found = _distinct(np.stack((point, flat, good)).astype(np.float32), np.array([4.0, 3.0, 2.0]))
    assert len(found) == 1
    assert np.allclose(found[0].quad, good)


def test_a_box_within_another_is_the_same_plate() -> None:
    plate = np.array(((10, 10), (110, 10), (110, 40), (10, 40)), np.float32)
    inner = np.array(((30, 15), (80, 15), (80, 35), (30, 35)), np.float32)
    beside = plate + np.array((120, 0), np.float32)
    found = _distinct(
        np.stack((plate, inner, beside)).astype(np.float32), np.array([2.0, 1.0, 0.5])
    )
    assert [one.quad[0].tolist() for one in found] == [[10, 10], [130, 10]]


def test_an_empty_street_has_no_plates(corners: CornerDetector) -> None:
    quiet = [made for _, made in zip(range(60), samples(77), strict=False) if not len(made.corners)]
    quiet = [made for made in quiet if not len(made.doubtful)]
    sure = [one for made in quiet for one in corners.detect(made.image) if one.score >= 0.5]
    assert len(quiet) >= 5
    assert len(sure) <= 0.2 * len(quiet)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.onnx", None, "there is no such file"),
        ("text.onnx", b"no network at all", "is no ONNX model that can be loaded"),
        ("empty.onnx", b"", "is no ONNX model that can be loaded"),
    ],
)
def test_a_file_that_is_no_model_is_refused_with_the_cure(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=told) as raised:
        CornerDetector(1, path)
    assert name in str(raised.value)
    assert "training.detector.export" in str(raised.value)


def test_a_model_of_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match="something else than plate-corners"):
        CornerDetector(1, packaged("PP-OCRv6_det_small.onnx"))


def texts(detector: PlateDetector, recogniser: TextRecogniser, image: np.ndarray) -> Sequence[str]:
    found: list[Detection] = detector.detect(image)
    crops = [recogniser.crops(image, one, 0.05) for one in found]
    return [reading.text for reading in recogniser.recognise(crops)]


@pytest.mark.parametrize(
    ("plate", "text"),
    [
        (plates.make("us-fl", "AB1 2CD"), "AB12CD"),
        (plates.make("fr", "AB-123-CD"), "AB123CD"),
        (plates.make("vn-two-line", "34A", "368.37"), "34A36837"),
    ],
    ids=lambda value: value.layout.name if isinstance(value, plates.Plate) else None,
)
def test_of_a_plate_its_number_is_read_and_not_its_small_print(
    corners: CornerDetector, recogniser: TextRecogniser, plate: plates.Plate, text: str
) -> None:
    image, _ = car(plate, wide=180)
    (read,) = texts(corners, recogniser, image)
    assert plain(read) == text
    assert ("\n" in read) == (len(plate.lines) == 2)
