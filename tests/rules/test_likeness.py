"""How alike two texts are: a distance that knows what OCR confuses."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz.distance import Indel

from rules.nearby import Nearby
from rules.similarity import (
    CONFUSABLE,
    cost,
    fold,
    similarity,
    similarity_of_folded,
    single_difference,
)

PLATES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", max_size=10)
CLOSE = st.text("0OQ1I8B5SAX", min_size=1, max_size=8)
PAIRS = st.one_of(st.tuples(PLATES, PLATES), st.tuples(CLOSE, CLOSE))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("ABC1234", "ABC1234", 1.0),
        ("ABC1230", "ABC123O", 1 - 0.3 / 7),  # a confusion
        ("ABC1234", "ABC1235", 1 - 2 / 7),  # another substitution
        ("ABC1234", "ABC123", 1 - 1 / 7),  # a deletion
        ("ABC1234", "XABC1234", 1 - 1 / 8),  # an insertion
        ("ABC1234", "BAC1234", 1 - 2 / 7),  # a deletion and an insertion
        ("0OQD", "DQO0", 1 - 1.2 / 4),
        ("AAAA", "XXXX", 1 - 8 / 4),
        ("", "", 1.0),
        ("A", "", 0.0),
    ],
)
def test_the_costs_are_the_designs(one, other, expected):
    assert similarity(one, other) == pytest.approx(expected)


def test_consecutive_fleet_plates_are_below_the_threshold_and_a_confusion_is_above():
    assert similarity("MAB1234", "MAB1235") < 0.85
    assert similarity("MAB1234", "MAB123A") >= 0.85
    assert similarity("MAB12340", "MAB1234") >= 0.85  # a character that got lost
    assert similarity("AB12", "A812") >= 0.85


def test_what_is_confused_is_confused_both_ways():
    assert all(a in CONFUSABLE[b] for a, others in CONFUSABLE.items() for b in others)
    for pair in ("0O", "0Q", "0D", "1I", "1L", "8B", "5S", "2Z", "6G"):
        assert pair[0] in CONFUSABLE[pair[1]]


@given(PAIRS)
def test_the_distance_is_symmetric_and_nothing_only_between_equals(pair):
    one, other = pair
    assert cost(one, other) == cost(other, one)
    assert (cost(one, other) == 0) == (one == other)
    assert similarity(one, other) <= 1.0


@given(CLOSE, CLOSE, CLOSE)
def test_no_way_round_is_shorter(one, between, other):
    assert cost(one, other) <= cost(one, between) + cost(between, other)


@given(PAIRS, st.sampled_from([0.6, 0.7, 0.85, 0.95]))
@example(("MAB123", "MAB1230"), 0.85)
def test_the_quick_way_says_the_same_wherever_it_matters(pair, least):
    one, other = pair
    plain = similarity(one, other)
    quick = similarity_of_folded(one, fold(one), other, fold(other), least)
    assert quick == (plain if plain >= least else 0.0)


@given(CLOSE, st.integers(0, 7), st.sampled_from("0OQ1I8B5SAX"), st.sampled_from([0.7, 0.85]))
def test_the_quick_way_says_the_same_of_neighbours(text, place, character, least):
    for other in (
        text[:place] + character + text[place:],
        text[:place] + character + text[place + 1 :],
    ):
        plain = similarity(text, other)
        quick = similarity_of_folded(text, fold(text), other, fold(other), least)
        assert quick == (plain if plain >= least else 0.0)


@given(PLATES)
def test_folding_twice_is_folding_once(text):
    assert fold(fold(text)) == fold(text)
    assert len(fold(text)) == len(text)


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [("AX1", "AX1", None), ("AX1", "AX2", 2), ("AX1", "BX2", None), ("AX1", "AX", None)],
)
def test_a_single_difference_has_a_place(one, other, place):
    assert single_difference(one, other) == place


NEARBY = st.lists(st.text("AB8C1", max_size=6), max_size=12)


@given(NEARBY, NEARBY, st.text("AB8C1", max_size=6))
def test_the_texts_found_nearby_are_those_within_two_insertions_or_deletions(first, then, asked):
    nearby = Nearby()
    for key, text in enumerate(first):
        nearby.put(str(key), text)
    kept = dict(enumerate(first))
    for key, text in enumerate(then):
        if key in kept and len(text) % 2:
            nearby.drop(str(key))
            del kept[key]
        else:
            nearby.put(str(key), text)
            kept[key] = text
    for distance, found in ((2, nearby.near(asked)), (3, nearby.within(asked, 3))):
        expected = [str(k) for k, text in kept.items() if Indel.distance(text, asked) <= distance]
        assert sorted(found) == sorted(expected)
