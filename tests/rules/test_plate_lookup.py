"""Plates are found by what people remember of them: no text that is meant is ever missed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from rules.lookup import Lookup, QuestionError, lookup
from rules.neighbourhood import MOST_EDITS, distance, kept_keys, wanted_keys
from rules.similarity import CONFUSABLE, fold
from rules.wildcard import follows, kept_grams, like, normal, wanted_grams

LETTERS = "ABC01238OQ"
PLATES = st.text(LETTERS, max_size=12)
PATTERNS = st.text(LETTERS[:5] + "**??", max_size=8)


def asked(plate: str | None = None, **how: object) -> Lookup:
    """The same as ``lookup`` where something is asked."""
    found = lookup(plate, **how)  # type: ignore[arg-type]
    assert found is not None
    return found


@st.composite
def near(draw: st.DrawFn) -> tuple[str, str, int]:
    """Two texts and a number of edits that turn the one into the other."""
    text = draw(PLATES)
    edits = draw(st.integers(1, MOST_EDITS))
    other = text
    for _ in range(edits):
        place = draw(st.integers(0, len(other)))
        kind = draw(st.sampled_from(["insert", "delete", "replace", "exchange"]))
        character = draw(st.sampled_from(LETTERS))
        tail = other[place:]
        if kind == "insert":
            tail = character + tail
        elif kind == "delete":
            tail = tail[1:]
        elif kind == "replace":
            tail = character + tail[1:]
        else:
            tail = tail[1:2] + tail[:1] + tail[2:]
        other = other[:place] + tail
    return text, other, edits


@given(near())
@example(("ABC0123", "BAC0123", 1))
@example(("ABC01238", "XXABC01238", 2))
@example(("ABCDEFGH", "ABCDEFHG", 1))  # an exchange over the end of the prefix
@example(("", "AB", 2))
def test_texts_that_are_near_share_a_key(case):
    one, other, edits = case
    if OSA.distance(one, other) <= edits:
        assert set(kept_keys(one)) & set(wanted_keys(other, edits))


@given(PLATES, PLATES, st.integers(1, MOST_EDITS))
def test_the_distance_is_that_of_optimal_string_alignment(one, other, most):
    found = OSA.distance(one, other)
    assert distance(one, other, most) == (found if found <= most else None)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("ABC123", "ABC123", 0),
        ("ABC123", "ABC12", 1),
        ("ABC123", "XABC123", 1),
        ("ABC123", "ABX123", 1),
        ("ABC123", "ABC132", 1),  # neighbours exchanged
        ("ABC123", "BAC132", 2),
        ("CA", "ABC", None),  # two for Damerau, three where no part is edited twice
    ],
)
def test_an_edit_is_one_character_or_two_neighbours_exchanged(one, other, edits):
    assert distance(one, other, 2) == edits


@given(PATTERNS, PLATES)
@example("A*", "")
def test_a_text_that_follows_a_pattern_has_all_its_parts(pattern, text):
    wanted = normal(pattern)
    if follows(wanted, text):
        assert set(wanted_grams(wanted)) <= set(kept_grams(text))


@given(PATTERNS, PLATES)
def test_confusable_characters_do_not_hide_what_else_is_found(pattern, text):
    mild = asked(pattern, confusable=True)
    if asked(pattern).means(text):
        assert mild.means(text)
    swapped = "".join(CONFUSABLE.get(c, c)[0] for c in text)
    assert mild.means(text) == mild.means(swapped)


@given(near())
def test_folding_brings_texts_closer_and_never_apart(case):
    one, other, edits = case
    if distance(one, other, edits) is not None:
        assert distance(fold(one), fold(other), edits) is not None


def test_what_people_write_is_made_normal():
    assert normal(" ab-?12 ** ") == "AB?12*"
    assert like("AB?12*") == "AB_12%"
    assert asked("ab?12*").means("ABX1234")
    assert not asked("ab?12*").means("AB1234")


def test_both_questions_have_to_hold():
    both = asked("AB*", near="ABC124")
    assert both.means("ABC123")
    assert not both.means("XBC124")


def test_only_one_text_without_wildcards_is_exact():
    assert asked("ab 12").exact == "AB12"
    assert asked("AB*").exact is None
    assert asked(near="AB12").exact is None
    assert asked("AB12", confusable=True).exact is None


def test_nothing_asked_is_no_question_and_too_many_edits_are_refused():
    assert lookup() is None
    with pytest.raises(QuestionError, match="1 to 2"):
        lookup(near="ABC123", edits=3)
