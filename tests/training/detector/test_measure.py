"""What the measures say of answers that are known to be right, wrong or half right."""

import numpy as np
import pytest

from edge.detect import Detection
from training.detector import road
from training.detector.measure import Judged, find


class Says:
    """A detector that gives, picture by picture, the answers written down for it."""

    name = "written"

    def __init__(
        self, answers: list[list[tuple[tuple[float, float, float, float], float]]]
    ) -> None:
        self._answers = iter(answers)

    def still(self, image, region) -> list[Detection]:
        return self.detect(image)

    def detect(self, image, looks=None) -> list[Detection]:
        return [
            Detection(road.quads(np.array([box]))[0], score) for box, score in next(self._answers)
        ]


def judged(*boxes: tuple[float, float, float, float], doubtful=()) -> Judged:
    """Boxes as x, y, width, height."""

    def upright(some) -> np.ndarray:
        return np.array([[x, y, x + w, y + h] for x, y, w, h in some], float).reshape(-1, 4)

    return Judged(np.zeros((100, 200, 3), np.uint8), upright(boxes), doubtful=upright(doubtful))


ONE, OTHER, NOWHERE = (10.0, 10.0, 50.0, 12.0), (100.0, 40.0, 50.0, 12.0), (10.0, 70.0, 50.0, 12.0)


@pytest.mark.parametrize(
    ("pictures", "answers", "recall", "false", "precision"),
    [
        pytest.param([judged(ONE)], [[(ONE, 0.9)]], 1, 0, 1, id="found"),
        pytest.param([judged(ONE)], [[]], 0, 0, 0, id="missed"),
        pytest.param([judged()], [[(ONE, 0.9)]], 0, 1, 0, id="nothing there"),
        pytest.param([judged(ONE)], [[(ONE, 0.9), (ONE, 0.8)]], 1, 1, 1, id="found twice"),
        pytest.param([judged(ONE, OTHER)], [[(ONE, 0.9)]], 0.5, 0, 0.5, id="one of two"),
        pytest.param([judged(ONE)], [[(NOWHERE, 0.9), (ONE, 0.5)]], 1, 1, 0.5, id="surer of none"),
        pytest.param(
            [judged(ONE)], [[(ONE, 0.9), (NOWHERE, 0.5)]], 1, 1, 1, id="less sure of none"
        ),
        pytest.param([judged(doubtful=[ONE])], [[(ONE, 0.9)]], 0, 0, 0, id="doubtful, found"),
        pytest.param([judged(ONE, doubtful=[OTHER])], [[(ONE, 0.9)]], 1, 0, 1, id="and not"),
        pytest.param(
            [judged(ONE)], [[((10.0, 10.0, 50.0, 25.0), 0.9)]], 0, 1, 0, id="twice as high is wrong"
        ),
    ],
)
def test_what_is_found_is_counted(pictures, answers, recall, false, precision):
    got = find(Says(answers), pictures)
    assert (got.recall, got.false) == (recall, false)
    assert got.precision == pytest.approx(precision)


def test_pictures_and_plates_are_counted_over_all():
    got = find(Says([[(ONE, 0.9)], [(NOWHERE, 0.6)]]), [judged(ONE), judged(OTHER, ONE)])
    assert (got.pictures, got.plates) == (2, 3)
    assert got.recall == pytest.approx(1 / 3)
    assert got.false == 0.5


def test_a_box_of_the_letters_alone_meets_the_plate_and_is_not_its_box():
    letters = (15.0, 14.0, 40.0, 5.0)
    got = find(Says([[(letters, 0.9)]]), [judged(ONE)])
    assert (got.recall, got.met, got.false) == (0, 1, 1)


def test_corners_are_off_by_their_distance_in_plates_heights():
    true = road.quads(np.array([ONE]))
    picture = Judged(np.zeros((100, 200, 3), np.uint8), np.array([[10.0, 10, 60, 22]]), true)
    moved = (ONE[0], ONE[1] + 3.0, ONE[2], ONE[3])
    assert find(Says([[(moved, 0.9)]]), [picture]).off == pytest.approx(0.25)
    assert np.isnan(find(Says([[(ONE, 0.9)]]), [judged(ONE)]).off)
