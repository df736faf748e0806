"""A pseudonym says nothing of a plate but whether two are the same."""

import re
from base64 import b32decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.pseudonym import Pseudonyms, is_pseudonym, pseudonym_of
from rules.text import normalise

KEY = b"k" * 32
NAMES = Pseudonyms(KEY)
PLATES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=10)


def test_it_is_short_readable_and_keeps_its_form():
    assert re.fullmatch(r"~[a-z2-7]{12}", NAMES.of("34A36837"))
    assert NAMES.of("34A36837") == Pseudonyms(KEY).of("34A36837")


@pytest.mark.parametrize("written", ["34a-368.37", " 34A 368 37", "34A36837"])
def test_a_plate_has_one_however_it_is_written(written):
    assert NAMES.of(written) == NAMES.of("34A36837")


@given(PLATES, PLATES)
def test_two_plates_have_two(one, other):
    assert (NAMES.of(one) == NAMES.of(other)) == (one == other)


@given(PLATES)
def test_another_key_gives_others(plate):
    assert NAMES.of(plate) != Pseudonyms(b"l" * 32).of(plate)


@given(st.text())
def test_no_plate_is_one(text):
    assert not is_pseudonym(normalise(text))


@given(st.text())
def test_everything_has_one_and_it_is_its_own(text):
    name = NAMES.of(text)
    assert is_pseudonym(name)
    assert NAMES.of(name) == name


def test_it_is_recognised_as_people_type_it():
    name = NAMES.of("34A36837")
    assert pseudonym_of(f" {name.upper()} ") == name
    assert pseudonym_of("34A36837") is None
    assert pseudonym_of("~34A36837") is None


def test_patterns_and_words_have_others_than_plates():
    assert len({NAMES.of("34A"), NAMES.of_pattern("34A"), NAMES.of_words("34A")}) == 3
    assert NAMES.of_pattern("34-a*") == NAMES.of_pattern("34A*") != NAMES.of_pattern("34A?")
    assert NAMES.of_words("Red  van") == NAMES.of_words("red van")


def test_it_has_60_bits_so_that_10_million_plates_practically_never_share_one():
    letters = NAMES.of("34A36837")[1:].upper()
    bits = 5 * len(letters)
    assert b32decode(letters + "====")
    assert (10_000_000**2 / 2) / 2**bits < 1 / 20_000


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short")
