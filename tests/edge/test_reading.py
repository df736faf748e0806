"""From lines of text to plates, from crops to readings, and when a track is read again."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.detect import Look, TextPlateDetector
from edge.geometry import rotated_quad
from edge.lines import plates_of
from edge.recognise import Crops, TextRecogniser, split_lines
from edge.shots import quality_of, rim_of
from edge.text import TextLine
from edge.throttle import Pace, ReadingSettings, TrackReadings
from tests.edge.conftest import draw_plate, street

RULES = ReadingSettings()


def line(x: float, y: float, width: float, height: float = 20.0, angle: float = 0.0) -> TextLine:
    return TextLine(rotated_quad((x + width / 2, y + height / 2), (width, height), angle), 0.9)


@pytest.mark.parametrize(
    ("lines", "plates"),
    [
        pytest.param([line(50, 50, 100)], [1], id="one line is a plate"),
        pytest.param([line(50, 50, 40), line(96, 52, 60)], [1], id="a split line is joined"),
        pytest.param([line(50, 50, 60), line(220, 50, 60)], [1, 1], id="far apart stay two"),
        pytest.param([line(50, 50, 60), line(48, 73, 64)], [2], id="two lines are stacked"),
        pytest.param([line(50, 50, 110), line(50, 73, 110)], [1, 1], id="long lines are not"),
        pytest.param([line(50, 50, 100), line(80, 40, 30, 8)], [1], id="small print is left out"),
        pytest.param([line(10, 2, 400)], [], id="a banner is no plate"),
        pytest.param(
            [line(10 + 105 * n, 2, 100) for n in range(4)], [], id="nor are its parts, joined"
        ),
        pytest.param([line(50, 50, 100, angle=60)], [], id="steep text is no plate"),
        pytest.param([line(50, 50, 18)], [], id="a single sign is no plate"),
    ],
)
def test_lines_become_plates(lines: list[TextLine], plates: list[int]) -> None:
    assert [len(plate.lines) for plate in plates_of(lines)] == plates


def read(image: np.ndarray, detector: TextPlateDetector, recogniser: TextRecogniser):
    found = detector.detect(image)
    crops = [recogniser.crops(image, one, 0.05) for one in found]
    return found, recogniser.recognise(crops)


def test_a_drawn_plate_is_found_and_read_with_a_confidence_for_each_character(
    detector: TextPlateDetector, recogniser: TextRecogniser
) -> None:
    image = street()
    draw_plate(image, "34A-231.26", 200, 200)
    (found,), (reading,) = read(image, detector, recogniser)
    assert reading.text == "34A-231.26"
    assert len(reading.char_confidences) == len(reading.text)
    assert all(800 < value <= 1000 for value in reading.char_confidences)
    assert 0.9 < reading.confidence <= 1
    left, top, right, bottom = found.box
    assert left == pytest.approx(200, abs=15)
    assert bottom == pytest.approx(244, abs=15)
    assert right - left > bottom - top


def test_a_two_line_plate_is_read_as_two_lines(
    detector: TextPlateDetector, recogniser: TextRecogniser
) -> None:
    image = street()
    cv2.rectangle(image, (250, 150), (405, 245), (235, 235, 235), -1)
    cv2.putText(image, "59-X1", (262, 190), cv2.FONT_HERSHEY_DUPLEX, 1.2, (20, 20, 20), 2)
    cv2.putText(image, "234.56", (262, 234), cv2.FONT_HERSHEY_DUPLEX, 1.2, (20, 20, 20), 2)
    _, (reading,) = read(image, detector, recogniser)
    assert reading.text == "59-X1\n234.56"
    assert len(reading.char_confidences) == len(reading.text)
    assert reading.char_confidences[5] == 1000


def test_a_two_line_plate_given_as_one_picture_is_cut_between_its_lines() -> None:
    plate = np.full((100, 150, 3), 235, np.uint8)
    for text, y in (("59-X1", 42), ("23456", 90)):
        cv2.putText(plate, text, (10, y), cv2.FONT_HERSHEY_DUPLEX, 1.2, (20, 20, 20), 2)
    upper, lower = split_lines(plate)
    assert 42 <= upper.shape[0] <= 62
    assert upper.shape[0] + lower.shape[0] == 100
    assert len(split_lines(plate[:50])) == 1


def test_a_doubtful_place_has_alternatives(recogniser: TextRecogniser) -> None:
    image = street()
    draw_plate(image, "8B0O1I5S", 200, 200, height=24)
    blurred = cv2.GaussianBlur(image[196:230, 196:400], (0, 0), 2.2)
    (reading,) = recogniser.recognise([Crops(lines=(blurred,))])
    assert reading.alternatives
    assert reading.confidence < 0.99
    assert all(text != reading.text and 0 <= value <= 1 for text, value in reading.alternatives)


def test_an_empty_crop_reads_as_nothing_and_a_batch_keeps_its_order(
    recogniser: TextRecogniser,
) -> None:
    crops = []
    for text in ("ABC123", "", "34A-231.26"):
        image = street()
        if text:
            draw_plate(image, text, 200, 200)
        crops.append(Crops(lines=(image[196:250, 196 : 460 if text else 300],)))
    texts = [reading.text for reading in recogniser.recognise(crops)]
    assert texts[0].startswith("ABC123")
    assert texts[1] == ""
    assert texts[2].startswith("34A-231.26")


def test_nothing_is_found_outside_the_looks(detector: TextPlateDetector) -> None:
    image = street()
    draw_plate(image, "34A-231.26", 200, 200)
    assert detector.detect(image, [Look((0, 0, 640, 150))]) == []
    assert detector.detect(image, []) == []
    cut = detector.detect(image, [Look((0, 150, 300, 300))])
    assert cut == [], "a plate cut by a look's edge is left to another look"


def test_overlapping_looks_find_a_plate_once(detector: TextPlateDetector) -> None:
    image = street()
    draw_plate(image, "34A-231.26", 200, 200)
    looks = [Look((150, 150, 600, 300)), Look((100, 100, 640, 360), 0.8)]
    assert len(detector.detect(image, looks)) == 1


def test_painted_letters_have_no_rim_and_a_plate_has(detector: TextPlateDetector) -> None:
    plate, paint = street(), street()
    draw_plate(plate, "34R-013.57", 200, 200)
    draw_plate(paint, "34R-013.57", 200, 200, painted=True)
    rims = [rim_of(image, detector.detect(image)[0].quad) for image in (plate, paint)]
    assert rims[0] > 0.5
    assert rims[1] < RULES.rim


def test_quality_falls_with_blur_and_with_size() -> None:
    image = street()
    draw_plate(image, "34A-231.26", 200, 200)
    crop = image[200:244, 200:420]
    blurred = cv2.GaussianBlur(crop, (0, 0), 3)
    small = cv2.resize(crop, None, fx=0.3, fy=0.3)
    assert 0 < quality_of(blurred) < quality_of(crop) <= 1
    assert quality_of(small) < quality_of(crop)


BOX = np.array([100.0, 100.0, 200.0, 130.0])


def after(*texts: str, confidence: float = 0.95) -> TrackReadings:
    known = TrackReadings()
    for text in texts:
        known.add(text, confidence, 0.5, BOX, height=30, at_us=1, settings=RULES)
    return known


@pytest.mark.parametrize(
    ("known", "quality", "moved", "due", "pace"),
    [
        pytest.param(after(), 0.1, 0, True, Pace.RUN, id="new"),
        pytest.param(after("A1"), 0.5, 0, True, Pace.RUN, id="read once"),
        pytest.param(after(*["A1"] * 3), 0.5, 0, False, Pace.REST, id="standing, tried enough"),
        pytest.param(after(*["A1"] * 3), 0.7, 0, True, Pace.REST, id="a better crop"),
        pytest.param(after(*["A1"] * 3), 0.5, 20, True, Pace.RUN, id="moved on"),
        pytest.param(after(*["A1"] * 4), 0.9, 20, False, Pace.STROLL, id="settled, moving"),
        pytest.param(after(*["A1"] * 4), 0.9, 0, False, Pace.REST, id="settled, standing"),
        pytest.param(after("", "", ""), 0.5, 20, False, Pace.REST, id="no plate"),
        pytest.param(after(*["A1"] * 4, confidence=0.5), 0.5, 20, True, Pace.RUN, id="never sure"),
    ],
)
def test_a_track_is_read_again_only_where_it_may_tell_more(
    known: TrackReadings, quality: float, moved: float, due: bool, pace: Pace
) -> None:
    box = BOX + moved
    assert known.due(quality, box, 30, 1_000_000, RULES) is due
    assert known.pace(box, RULES) is pace


def test_a_parked_car_is_read_once_a_minute() -> None:
    known = after(*["A1"] * 4)
    assert not known.due(0.5, BOX, 30, 59_000_000, RULES)
    assert known.due(0.5, BOX, 30, 60_000_001, RULES)


def test_a_settled_track_is_read_again_when_it_has_grown_and_may_be_unsettled_then() -> None:
    known, larger = after(*["BHR835"] * 4), BOX * 1.5
    assert not known.due(0.5, BOX * 1.2, 36, 2, RULES)
    assert known.due(0.5, larger, 45, 2, RULES)
    known.add("8HR835", 0.99, 0.9, larger, height=45, at_us=2, settings=RULES)
    assert known.due(0.9, larger, 45, 3, RULES)


def test_texts_of_a_far_plate_settle_nothing_and_its_moving_tells_nothing() -> None:
    known = TrackReadings()
    for _ in range(9):
        known.add("BHR835", 0.99, 0.5, BOX, height=15, at_us=1, settings=RULES)
    assert not known.due(0.5, BOX + 20, 15, 2, RULES)
    assert known.due(0.5, BOX + 20, 30, 2, RULES)


def test_a_plate_grows_until_it_has_not_for_a_while() -> None:
    known = TrackReadings()
    assert known.grows(BOX, 0, RULES)
    assert known.grows(BOX * 1.2, 1_900_000, RULES)
    assert not known.grows(BOX * 1.2, 3_900_000, RULES)


def test_the_models_come_with_the_package() -> None:
    from edge.detect import packaged

    assert all(
        Path(packaged(name)).exists()
        for name in ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")
    )
