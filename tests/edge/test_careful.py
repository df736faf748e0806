"""Of a still picture that shows the quick detector no plate for sure, the slow one is asked too."""

import numpy as np

from edge.careful import CarefulDetector
from edge.detect import Detection, Look
from tests.edge.conftest import draw_plate, street


def at(x: float, y: float, score: float) -> Detection:
    quad = np.array(((x, y), (x + 120, y), (x + 120, y + 30), (x, y + 30)), np.float32)
    return Detection(quad, score)


class Quick:
    name = "quick-1"

    def __init__(self, *found: Detection) -> None:
        self._found = list(found)

    def still(self, image, region):
        return self._found

    def detect(self, image, looks=None):
        return self._found


def picture() -> np.ndarray:
    image = street()
    draw_plate(image, "34A-368.37", 300, 200)
    return image


def whole(image: np.ndarray) -> tuple[int, int, int, int]:
    return (0, 0, image.shape[1], image.shape[0])


def test_a_sure_plate_needs_no_second_look() -> None:
    image, sure = picture(), at(10, 10, 0.9)
    assert CarefulDetector(Quick(sure)).still(image, whole(image)) == [sure]


def test_without_a_sure_one_the_plate_is_found_by_its_text() -> None:
    image, doubtful = picture(), at(500, 10, 0.6)
    found = CarefulDetector(Quick(doubtful)).still(image, whole(image))
    assert found[-1] is doubtful
    assert any(one.lines for one in found[:-1])
    (by_text,) = CarefulDetector(Quick()).still(image, whole(image))
    again = CarefulDetector(Quick(Detection(by_text.quad, 0.6))).still(image, whole(image))
    assert len(again) == 1, "the same plate is told once"
    assert again[0].lines


def test_a_video_is_left_to_the_quick_one() -> None:
    image = picture()
    assert CarefulDetector(Quick()).detect(image, [Look(whole(image))]) == []
    assert CarefulDetector(Quick()).name == "quick-1+text-first"
