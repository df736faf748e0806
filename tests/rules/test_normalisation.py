"""A plate's text is capital letters and digits; its confidences stay with its characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.text import normalise, normalise_read


@pytest.mark.parametrize(
    ("as_read", "plain"),
    [
        ("", ""),
        ("abc123", "ABC123"),
        ("34A-368.37", "34A36837"),
        ("51F\n123.45", "51F12345"),
        ("  S·AB 1234 ", "SAB1234"),
        ("MÜ AB 12", "MUAB12"),
        ("mü-ab 12", "MUAB12"),
        ("Ö-ÄB 1", "OAB1"),
        ("29-Đ1 234.56", "29D123456"),
        ("đ", "D"),
        ("ŠI 123-ŽČ", "SI123ZC"),
        ("ØL 12345", "OL12345"),
        ("Łódź 1", "LODZ1"),
        ("ÆB 12", "AEB12"),
        ("ß1", "SS1"),
        ("AB–12—CD−3", "AB12CD3"),
        ("АВ1234", "1234"),  # Cyrillic letters are not their Latin lookalikes
        ("京A12345", "A12345"),
        ("ＡＢ１２", "AB12"),  # full width
        ("AB①2", "AB12"),
        ("é́", "E"),
        ("'; DROP TABLE--", "DROPTABLE"),
        ("<b>1</b>", "B1B"),
        ("\0\x1b[0mA1\ufeff", "0MA1"),
    ],
)
def test_the_text_is_in_capitals_without_anything_else(as_read, plain):
    assert normalise(as_read) == plain


@given(st.text(max_size=30))
def test_what_comes_out_is_letters_and_digits_and_stays_so(text):
    plain = normalise(text)
    assert all(c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" for c in plain)
    assert normalise(plain) == plain


@given(st.lists(st.tuples(st.characters(), st.integers(0, 1000)), max_size=20))
def test_each_character_keeps_its_confidence(pairs):
    text = "".join(character for character, _ in pairs)
    plain, confidences = normalise_read(text, [confidence for _, confidence in pairs])
    assert plain == normalise(text)
    expected = [c for character, c in pairs for _ in normalise(character)]
    assert list(confidences) == expected


@given(st.text(max_size=12), st.lists(st.integers(0, 1000), max_size=12))
def test_there_is_a_confidence_for_each_character_whatever_is_given(text, given_confidences):
    plain, confidences = normalise_read(text, given_confidences)
    assert plain == normalise(text)
    assert len(confidences) == len(plain)
    if len(given_confidences) != len(text):
        assert set(confidences) <= {min(given_confidences, default=0)}


def test_a_letter_that_becomes_two_gives_its_confidence_to_both():
    assert normalise_read("Æ1", [700, 900]) == ("AE1", (700, 700, 900))
