"""Plates: what stands on them and how they are drawn."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import plates

layouts = st.sampled_from(sorted(plates.LAYOUTS))
seeds = st.integers(0, 2**32)


@given(layouts, seeds)
def test_a_plate_by_chance_fits_its_own_layout(name, seed):
    plate = plates.chance(name, random.Random(seed))
    assert plate.layout.matches(plate.lines)
    assert 3 <= len(plate.normalized) <= 10
    assert plate.normalized.isalnum()


@given(layouts, seeds)
def test_the_same_seed_gives_the_same_plate(name, seed):
    assert plates.chance(name, random.Random(seed)) == plates.chance(name, random.Random(seed))


@pytest.mark.parametrize(
    ("name", "lines", "normalized"),
    [
        ("vn", ("51F-123.45",), "51F12345"),
        ("vn-two-line", ("34A", "368.37"), "34A36837"),
        ("de", ("HH NL 2047",), "HHNL2047"),
        ("fr", ("AB-123-CD",), "AB123CD"),
        ("it", ("AB 123CD",), "AB123CD"),
        ("gb", ("AB12 CDE",), "AB12CDE"),
        ("br", ("ABC1D23",), "ABC1D23"),
        ("us-ca", ("8ABC123",), "8ABC123"),
        ("us-tx", ("ABC-1234",), "ABC1234"),
    ],
)
def test_a_plate_made_by_hand_is_normalised_to_letters_and_digits(name, lines, normalized):
    assert plates.make(name, *lines).normalized == normalized


@pytest.mark.parametrize(
    ("name", "lines"), [("vn", ("ABC",)), ("vn-two-line", ("34A-368.37",)), ("fr", ("AB-12O-CD",))]
)
def test_a_text_that_no_such_plate_could_bear_is_refused(name, lines):
    with pytest.raises(ValueError, match="does not fit the layout"):
        plates.make(name, *lines)


def test_an_unknown_layout_is_refused_with_the_known_ones_named():
    with pytest.raises(ValueError, match="vn-two-line"):
        plates.chance("atlantis", random.Random(1))


def test_a_fleets_next_plate_counts_on_by_one():
    assert plates.successor(plates.make("de", "HH NL 2047")).normalized == "HHNL2048"
    assert plates.successor(plates.make("vn-two-line", "34A", "368.99")).lines == ("34A", "369.00")


@pytest.mark.parametrize("name", sorted(plates.LAYOUTS))
def test_a_picture_has_the_layouts_shape_and_keeps_its_ink_within_the_rim(name):
    plate = plates.chance(name, random.Random(4))
    picture = plates.picture(plate, 520)
    width, height = plate.layout.size
    assert picture.dtype == np.uint8
    assert picture.shape == (round(520 * height / width), 520, 3)
    # between rim and text nothing but ground or a band: no character runs off the plate
    margin = round(520 * 5 / width)
    columns = picture[picture.shape[0] // 3 : -picture.shape[0] // 3, margin : margin + 2]
    assert np.ptp(columns.astype(int), axis=0).max() < 40


def test_different_texts_give_different_pictures_and_equal_ones_the_same():
    one, two = plates.make("fr", "AB-123-CD"), plates.make("fr", "AB-123-CE")
    assert np.array_equal(plates.picture(one), plates.picture(one))
    assert not np.array_equal(plates.picture(one), plates.picture(two))
