"""Real plates get their texts where PP-OCR agrees with itself over frames."""

from collections import Counter
from itertools import islice

import numpy as np

from training.detector.road import RoadFrame
from training.reader.feed import COUNTRIES, Seen, crops
from training.reader.road import Read, labelled, others

QUAD = np.array(((100, 50), (180, 50), (180, 68), (100, 68)), np.float32)
FRAMES = [RoadFrame(np.full((120, 300, 3), n, np.uint8), np.zeros((0, 4))) for n in range(100)]


def read(frame: int, text: str, sure: bool = True) -> Read:
    return Read(frame, QUAD, text, sure)


def texts(*reads: Read) -> list[str]:
    return ["".join(one.lines) for one in labelled(FRAMES, reads)]


def test_a_text_that_two_frames_are_sure_of_is_believed_once_is_not():
    assert texts(read(3, "B12ABC"), read(5, "B12ABC"), read(9, "CJ01XYZ")) == ["B12ABC"] * 2


def test_what_was_read_nearly_so_nearby_is_that_car():
    sure = read(3, "B12ABC"), read(5, "B12ABC")
    assert texts(*sure, read(7, "B1ZABC", sure=False)) == ["B12ABC"] * 3
    assert texts(*sure, read(7, "B", sure=False)) == ["B12ABC"] * 2
    assert texts(*sure, read(70, "B1ZABC", sure=False)) == ["B12ABC"] * 2


def test_what_may_be_either_of_two_cars_is_neither():
    sure = [read(n, text) for n in (3, 5) for text in ("B12ABC", "B12ABD")]
    assert texts(*sure) == []


def test_no_car_that_is_held_out_is_learned_from_however_badly_it_was_read():
    plates = labelled(FRAMES, [read(n, text) for n in (3, 5) for text in ("B12ABC", "CJ01XYZ")])
    left = others(plates, [read(0, "BI2A8C", sure=False), read(1, "B", sure=False)])
    assert {one.lines for one in left} == {("CJ01XYZ",)}


def test_a_real_plate_keeps_some_of_what_is_around_it():
    (one, _) = labelled(FRAMES, [read(3, "B12ABC"), read(5, "B12ABC")])
    assert one.image.shape[:2] == (39, 176)
    assert (one.image == 3).all()
    assert one.quad.tolist() == [[48, 11], [128, 11], [128, 29], [48, 29]]
    assert COUNTRIES[one.country] == "RO"


def test_real_plates_are_a_share_of_the_examples_each_text_as_often():
    def seen(text: str) -> Seen:
        return Seen(np.full((39, 176, 3), 128, np.uint8), QUAD - (52, 39), (text,), 0)

    real = [*[seen("OFTEN00") for _ in range(9)], seen("SELDOM0")]
    found = Counter(one.lines[0] for one in islice(crops(3, real, 0.4), 600))
    assert 150 < found["OFTEN00"] + found["SELDOM0"] < 330
    assert 0.6 < found["OFTEN00"] / found["SELDOM0"] < 1.6
