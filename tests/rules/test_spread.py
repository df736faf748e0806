"""Histograms with fixed edges, and how far off the quantiles told of them may be."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.spread import CONFIDENCE, DWELL, LATENCY, MEASURES, READS, Measure, added


def counted(measure: Measure, values: list[float]) -> list[int]:
    counts = [0] * measure.bins
    for value in values:
        counts[sum(edge <= value for edge in measure.edges)] += 1
    return counts


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
def test_edges_rise_and_bins_above_eight_are_at_most_a_quarter_wide(measure):
    assert list(measure.edges) == sorted(set(measure.edges))
    for start, end in zip(measure.edges, measure.edges[1:], strict=False):
        assert end - start <= max(1, start / 4)


def test_a_quantile_of_nothing_is_none():
    assert DWELL.quantile([0] * DWELL.bins, 500) is None


def test_what_is_beyond_the_last_edge_is_told_as_that_edge():
    assert DWELL.quantile(counted(DWELL, [200_000]), 500) == 86_400
    assert READS.quantile(counted(READS, [5_000]), 500) == 1024


def test_a_clock_ahead_counts_as_no_latency():
    assert LATENCY.quantile(counted(LATENCY, [-500]), 990) == 1


def test_full_confidence_is_in_the_last_bin():
    assert counted(CONFIDENCE, [1.0])[-1] == 1


@given(
    st.lists(st.integers(0, 86_399), min_size=1, max_size=200),
    st.sampled_from([100, 500, 900, 990]),
)
def test_a_quantile_is_within_the_bin_of_the_value_with_that_rank(values, permille):
    exact = sorted(values)[math.ceil(len(values) * permille / 1000) - 1]
    told = DWELL.quantile(counted(DWELL, values), permille)
    assert told is not None
    assert abs(told - exact) <= max(1, exact / 4)


@given(st.lists(st.lists(st.integers(0, 4000), max_size=30), max_size=5))
def test_histograms_of_parts_add_up_to_that_of_the_whole(parts):
    whole = counted(READS, [value for part in parts for value in part])
    assert added([counted(READS, part) for part in parts], READS.bins) == whole
