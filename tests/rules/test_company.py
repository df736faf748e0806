"""How unlikely it is that two plates only happen to be together."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.company import MOST_UNLIKELY, company, unlikelihood


def test_the_rarer_plate_is_the_less_likely_by_chance():
    rare = company(5, 20, 200, seen=6, of=1_000_000)
    common = company(5, 20, 200, seen=6_000, of=1_000_000)
    assert rare.unlikely > common.unlikely
    assert rare.share == common.share == 0.25
    assert common.expected == pytest.approx(1.2)


def test_a_lonely_road_says_more_than_a_crowded_one():
    lonely = company(4, 10, 10, seen=8, of=10_000)
    crowded = company(4, 10, 3_000, seen=8, of=10_000)
    assert lonely.unlikely > crowded.unlikely


def test_a_plate_that_is_everywhere_is_no_surprise():
    assert company(10, 10, 500, seen=1_000, of=10_000).unlikely < 0.1


def test_nothing_is_measured_of_nothing():
    assert company(0, 0, 0, 0, 0).unlikely == 0.0
    assert company(0, 0, 0, 0, 0).share == 0.0
    assert unlikelihood(3, 0.0) == MOST_UNLIKELY


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_it_is_the_tail_of_poissons_distribution(times: int):
    for expected in (0.1, 1.0, 4.0):
        term, fewer = exp(-expected), 0.0
        for k in range(times):
            fewer += term
            term *= expected / (k + 1)
        assert 10 ** -unlikelihood(times, expected) == pytest.approx(1 - fewer, rel=1e-6)


@given(st.integers(0, 500), st.floats(1e-9, 300))
def test_more_is_never_likelier_than_less(times: int, expected: float):
    less, more = unlikelihood(times, expected), unlikelihood(times + 1, expected)
    assert 0.0 <= less <= more + 1e-9
    assert more <= MOST_UNLIKELY
