"""The plate reader that is shipped, and who reads by the settings."""

import random

import numpy as np
import pytest

from alpr.errors import ConfigError
from alpr.recognition import open_recogniser
from edge.detect import Detection
from edge.pipeline import plain
from edge.reader import PlateReader
from edge.recognise import Crops, TextRecogniser
from edge.voting import VotingRecogniser
from training import plates


def shown(plate: plates.Plate, wide: int = 240) -> tuple[np.ndarray, Detection]:
    """A plate before a grey wall, and where it is."""
    drawn = plates.picture(plate, wide)
    high = drawn.shape[0]
    image = np.full((high + 80, wide + 80, 3), 90, np.uint8)
    image[40 : 40 + high, 40 : 40 + wide] = drawn
    quad = np.array(((40, 40), (40 + wide, 40), (40 + wide, 40 + high), (40, 40 + high)))
    return image, Detection(quad.astype(np.float32), 1.0)


@pytest.fixture(scope="module")
def reader() -> PlateReader:
    return PlateReader(1)


@pytest.mark.parametrize("layout", ["de", "fr", "ro", "us-ca", "us-tx", "br", "vn-two-line", "gb"])
def test_clean_plates_of_many_countries_are_read(reader: PlateReader, layout: str) -> None:
    chance = random.Random(7)
    right = 0
    for _ in range(10):
        plate = plates.chance(layout, chance)
        image, detection = shown(plate)
        (reading,) = reader.recognise([reader.crops(image, detection, 0.1)])
        right += plain(reading.text) == plate.normalized
    assert right >= 8


def test_two_lines_are_told_as_two(reader: PlateReader) -> None:
    image, detection = shown(plates.make("vn-two-line", "34A", "368.37"), 160)
    (reading,) = reader.recognise([reader.crops(image, detection, 0.1)])
    assert reading.text == "34A\n36837"
    assert reading.char_confidences[3] == 1000


def test_a_plate_that_is_not_shown_is_not_read(reader: PlateReader) -> None:
    (reading,) = reader.recognise([Crops()])
    assert reading.text == ""


def test_the_country_is_told(reader: PlateReader) -> None:
    image, detection = shown(plates.make("de", "HH NL 2047"))
    whole = reader.crops(image, detection, 0.1).whole
    assert whole is not None
    ((country, sure),) = reader.countries([whole])
    assert country == "DE"
    assert 0.5 < sure <= 1


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [("text", TextRecogniser), ("plates", PlateReader), ("voting", VotingRecogniser)],
)
def test_the_setting_says_who_reads(chosen: str, kind: type) -> None:
    recogniser = open_recogniser(chosen, 1)
    assert type(recogniser) is kind
    image, detection = shown(plates.make("de", "HH NL 2047"))
    (reading,) = recogniser.recognise([recogniser.crops(image, detection, 0.1)])
    assert plain(reading.text) == "HHNL2047"


def test_a_model_that_is_not_there_is_refused_with_its_cure(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.onnx: there is no such file; give one"):
        open_recogniser(str(tmp_path / "gone.onnx"), 1)
