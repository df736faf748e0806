"""What stands between signs and is none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training import emblems, plates
from training.hand import Hand

seeds = st.integers(0, 2**32)


def drawn(seed: int, size: tuple[float, float] = (30, 60)) -> np.ndarray:
    canvas = np.full((120, 100, 3), 255, np.uint8)
    emblems.draw(canvas, (50, 60), size, np.random.default_rng(seed))
    return canvas


@given(seeds)
@settings(max_examples=120, deadline=None)
def test_an_emblem_is_of_its_seed_and_stays_about_in_its_place(seed: int) -> None:
    canvas = drawn(seed)
    assert np.array_equal(canvas, drawn(seed))
    rows, columns = np.nonzero((canvas < 250).any(axis=2))
    assert len(rows) > 10
    assert 30 <= columns.min() <= columns.max() <= 70
    assert 20 <= rows.min() <= rows.max() <= 100


def test_emblems_differ() -> None:
    assert len({drawn(seed).tobytes() for seed in range(50)}) == 50


def test_a_hand_puts_another_emblem_where_a_plate_has_its_seal() -> None:
    plate = plates.make("de", "HH NL 2047")

    def picture(seed: int) -> np.ndarray:
        hand = Hand(soft=0.01)
        return plates.picture(plate, 256, hand=hand, rng=np.random.default_rng(seed)).astype(int)

    apart = np.abs(picture(1) - picture(2)).max(axis=2) > 20
    assert apart.any()
    columns = np.flatnonzero(apart.any(axis=0))
    assert np.ptp(columns) < 30  # all else is the same
