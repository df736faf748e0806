"""How sure the reader may say it is."""

import os

import numpy as np
import pytest

if not os.environ.get("CI"):
    pytest.importorskip("torch", reason="the extra `training` is not installed")

from training.reader.calibrate import Told, error, likeliest, rights


@pytest.mark.parametrize(
    ("read", "true", "right"),
    [
        ("AB123", "AB123", [True] * 5),
        ("A8123", "AB123", [True, False, True, True, True]),
        ("AB23", "AB123", [True] * 4),
        ("XAB123", "AB123", [False, *[True] * 5]),
        ("", "AB123", []),
    ],
)
def test_signs_are_right_where_they_stand(read: str, true: str, right: list[bool]) -> None:
    assert rights(read, true) == right


def test_the_error_is_how_far_certainty_is_from_being_right() -> None:
    sure = np.full(1000, 0.9)
    assert error(sure, np.arange(1000) < 900) == pytest.approx(0.0)
    assert error(sure, np.arange(1000) < 700) == pytest.approx(0.2)
    both = np.concatenate((sure, np.full(1000, 0.5)))
    assert error(both, np.arange(2000) % 2 == 0) == pytest.approx(0.2)
    assert error(np.zeros(0), np.zeros(0, bool)) == 0


@pytest.mark.parametrize("warmth", [0.5, 1.0, 2.5])
def test_a_network_that_is_too_sure_or_not_sure_enough_is_set_right(warmth: float) -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(0, 2, (20_000, 37))
    likely = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    right = rng.random(len(true)) < likely.max(axis=1)
    told = Told(true * warmth, right)
    assert likeliest(told) == pytest.approx(warmth, rel=0.1)
    assert error(told.sure(likeliest(told)), right) < 0.02
