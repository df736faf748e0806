"""How two readers' words become one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.reader import SIGNS
from edge.recognise import Crops
from edge.voting import VotingRecogniser, likelihood

TEXTS = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "-", " "]


def columns(text: str, sure: float = 0.9, signs=SIGNS, others: dict | None = None) -> np.ndarray:
    """Columns that say a text, each sign after one of none; ``others`` at a place are as sure."""
    rows: list[np.ndarray] = []
    for place, sign in enumerate(text):
        blank, said = (np.full(1 + len(signs), 1e-5) for _ in range(2))
        blank[0] = 0.99
        said[1 + list(signs).index(sign)] = sure
        for other, value in (others or {}).get(place, {}).items():
            said[1 + list(signs).index(other)] = value
        rows += [blank, said]
    return np.array(rows).reshape(-1, 1 + len(signs))


class Plates:
    name = "plates-1"

    def __init__(self, *rows: np.ndarray) -> None:
        self._rows = rows

    def probabilities(self, plates):
        return [np.stack(self._rows)] * len(plates)


class Texts:
    name = "texts-1"
    signs = TEXTS

    def __init__(self, *lines: np.ndarray) -> None:
        self._lines = lines

    def probabilities(self, plates):
        return [list(self._lines)] * len(plates)


def voted(own: np.ndarray, *lines: np.ndarray):
    silent = np.zeros_like(own)
    silent[:, 0] = 1
    reader = VotingRecogniser(Plates(own, silent), Texts(*lines))
    (reading,) = reader.recognise([Crops(np.zeros((1, 1, 3), np.uint8))])
    return reading


def test_what_both_say_is_told_as_the_surer_says_it() -> None:
    reading = voted(columns("AB123", 0.7), columns("AB-123", 0.9, TEXTS))
    assert reading.text == "AB-123"
    assert reading.confidence == pytest.approx(0.9, abs=0.01)


def test_a_sure_reader_outvotes_an_unsure_one() -> None:
    own = columns("AB123", 0.95)
    reading = voted(own, columns("A8123", 0.5, TEXTS, {1: {"B": 0.45}}))
    assert reading.text == "AB123"
    assert "A8123" in dict(reading.alternatives)


def test_the_text_recogniser_is_heard_where_the_plate_reader_is_torn() -> None:
    own = columns("AB123", 0.95, others={1: {"B": 0.51, "8": 0.48}})
    own[3, 1 + SIGNS.index("B")] = 0.51
    reading = voted(own, columns("A8123", 0.95, TEXTS))
    assert reading.text == "A8123"
    assert "AB123" in dict(reading.alternatives)


def test_a_text_with_a_sign_more_than_was_told_can_be_chosen() -> None:
    """What the text recogniser took for an emblem is a sign after all, if the other says so."""
    own = columns("AB01234", 0.97)
    line = columns("ABO1234", 0.97, TEXTS)
    line[5, 1 + TEXTS.index("O")] = 0.42
    reading = voted(own, line)
    assert reading.text == "AB01234"
    own[5, 1 + SIGNS.index("0")], own[5, 1 + SIGNS.index("O")] = 0.45, 0.5
    reading = voted(own, line)
    assert reading.text == "ABO1234"
    assert len(reading.char_confidences) == 7


def test_the_winner_is_as_sure_as_who_said_it() -> None:
    own = columns("AB123", 0.95, others={1: {"8": 0.48}})
    own[3, 1 + SIGNS.index("B")] = 0.51
    reading = voted(own, columns("A8123", 0.95, TEXTS))
    assert reading.text == "A8123"
    assert reading.confidence == pytest.approx(0.95, abs=0.01)
    values = [value for _, value in reading.alternatives]
    assert values == sorted(values, reverse=True)


def test_an_alternative_is_only_as_sure_as_its_other_sign() -> None:
    own = columns("AB123", 0.95, others={1: {"8": 0.5}})
    own[3, 1 + SIGNS.index("B")] = 0.55
    line = columns("A8I23", 0.9, TEXTS, {2: {"1": 0.02}})
    reading = voted(own, line)
    assert reading.text == "A8123"
    assert reading.char_confidences[1] == pytest.approx(500, abs=10)
    assert reading.char_confidences[2] == pytest.approx(950, abs=5)


def test_a_plate_spelt_otherwise_is_no_other_plate() -> None:
    reading = voted(columns("AB123", 0.95), columns("A8-123", 0.5, TEXTS, {1: {"B": 0.45}}))
    assert reading.text == "AB123"
    assert [text for text, _ in reading.alternatives] == ["A8-123"]


def test_what_one_says_outright_is_as_sure_though_the_other_spells_it_otherwise() -> None:
    own = columns("A8123", 0.95, others={1: {"B": 0.4}})
    own[3, 1 + SIGNS.index("8")] = 0.5
    reading = voted(own, columns("AB-123", 0.98, TEXTS))
    assert reading.text == "AB-123"
    assert reading.confidence == pytest.approx(0.98, abs=0.01)


def test_accents_are_no_difference() -> None:
    signs = [*TEXTS, "Ö"]

    class Umlauts(Texts):
        pass

    Umlauts.signs = signs
    reader = VotingRecogniser(
        Plates(columns("GOAB12", 0.98)), Umlauts(columns("GÖAB12", 0.9, signs))
    )
    (reading,) = reader.recognise([Crops(np.zeros((1, 1, 3), np.uint8))])
    assert reading.text == "GOAB12"


def test_who_sees_nothing_is_not_heard() -> None:
    nothing = np.zeros((8, 1 + len(TEXTS)))
    nothing[:, 0] = 1
    assert voted(columns("AB123"), nothing).text == "AB123"
    silent = np.zeros((8, 1 + len(SIGNS)))
    silent[:, 0] = 1
    assert voted(silent, columns("AB123", 0.9, TEXTS)).text == "AB123"


def test_every_sign_of_a_reading_has_its_certainty() -> None:
    reading = voted(columns("A8123", 0.6), columns("AB123", 0.99, TEXTS))
    assert len(reading.char_confidences) == len(reading.text)
    assert 0 < reading.confidence <= 1


@given(
    st.integers(1, 5).flatmap(
        lambda steps: st.tuples(
            st.lists(
                st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
                min_size=steps,
                max_size=steps,
            ),
            st.lists(st.integers(1, 2), max_size=3),
        )
    )
)
@settings(max_examples=150, deadline=None)
def test_a_texts_likelihood_is_that_of_all_ways_to_write_it(made) -> None:
    steps, text = made
    scores = np.array(steps)
    scores /= scores.sum(axis=1, keepdims=True)
    total = 0.0
    for path in product(range(3), repeat=len(scores)):
        joined = [sign for k, sign in enumerate(path) if k == 0 or path[k - 1] != sign]
        if [sign for sign in joined if sign] == text:
            total += float(np.prod([scores[k, sign] for k, sign in enumerate(path)]))
    told = likelihood(np.maximum(scores, 1e-4), text)
    assert np.exp(told) == pytest.approx(total, abs=1e-6, rel=1e-4)


def test_of_what_was_found_by_its_text_only_the_text_recogniser_is_heard() -> None:
    reader = VotingRecogniser(Plates(columns("XX999", 0.99)), Texts(columns("AB123", 0.9, TEXTS)))
    whole, lines = Crops(np.zeros((1, 1, 3), np.uint8)), Crops()
    readings = reader.recognise([lines, whole, lines])
    assert [reading.text for reading in readings] == ["AB123", "XX999", "AB123"]
