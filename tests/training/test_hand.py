"""Hands: the same plate, made otherwise."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import plates
from training.hand import PLAIN, Hand, by_chance

PLATE = plates.make("fi", "HNL-204")
SOFT = Hand(soft=0.03)


def drawn(hand: Hand, seed: int = 1) -> np.ndarray:
    return plates.picture(PLATE, 256, hand=hand, rng=np.random.default_rng(seed))


def ink(picture: np.ndarray) -> float:
    """The share of dark pixels within the rim and beside the band."""
    return float((picture[6:-6, 30:-6, 1] < 110).mean())


def columns(picture: np.ndarray) -> np.ndarray:
    """Where the signs are, from left to right."""
    return np.flatnonzero((picture[8:-8, 30:-6, 1] < 110).any(axis=0))


def test_a_hand_that_changes_nothing_draws_the_plate_as_it_is():
    plain = drawn(PLAIN)
    almost = drawn(Hand(soft=0.001))
    assert np.abs(almost.astype(int) - plain).mean() < 1


@pytest.mark.parametrize("one", range(20))
def test_the_same_chance_gives_the_same_picture(one: int):
    hand, again = (by_chance(np.random.default_rng(one)) for _ in range(2))
    assert hand == again
    assert np.array_equal(drawn(hand, one), drawn(hand, one))


def test_strokes_get_thinner_as_the_level_rises():
    amounts = [ink(drawn(replace(SOFT, level=level))) for level in (0.25, 0.4, 0.55, 0.7)]
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[0] > 1.2 * amounts[-1]


def test_narrow_signs_and_small_gaps_make_a_short_line():
    plain = np.ptp(columns(drawn(SOFT)))
    assert np.ptp(columns(drawn(replace(SOFT, narrow=0.8)))) < 0.92 * plain
    assert np.ptp(columns(drawn(replace(SOFT, gap=0.5)))) < 0.97 * plain


def test_a_line_stands_where_there_is_room():
    narrow = replace(SOFT, narrow=0.7)
    left, middle, right = (
        columns(drawn(replace(narrow, aside=aside))).mean() for aside in (-1, 0, 1)
    )
    assert left + 3 < middle < right - 3


def test_relief_is_light_on_one_side_of_a_stroke_and_dark_on_the_other():
    flat, one, other = (
        drawn(replace(SOFT, **pressed)).astype(int)
        for pressed in ({}, {"relief": 1.0}, {"relief": 1.0, "light": np.pi})
    )
    assert (one - flat).max() > 25
    assert (one - flat).min() < -25
    assert np.corrcoef((one - flat).ravel(), (other - flat).ravel())[0, 1] < -0.5


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_the_hand_there_is_something_to_read(seed: int):
    rng = np.random.default_rng(seed)
    plate = plates.chance("pl", random.Random(seed))
    picture = plates.picture(plate, 256, hand=by_chance(rng), rng=rng)
    assert picture.shape == plates.picture(plate, 256).shape
    assert 0.04 < ink(picture) < 0.7
