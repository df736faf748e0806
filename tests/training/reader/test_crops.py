"""What the reader learns from: straightened plates with what they say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.reader import SIZE, straightened
from training import glyphs
from training.faces import faces
from training.reader.feed import COUNTRIES, crop

seeds = st.integers(0, 2**40)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_a_crop_is_that_of_its_seed_and_says_letters_and_digits(seed: int) -> None:
    made, again = crop(seed), crop(seed)
    assert np.array_equal(made.image, again.image)
    assert (made.lines, made.country) == (again.lines, again.country)
    assert made.image.shape == (SIZE[1], SIZE[0], 3)
    assert 1 <= len(made.lines) <= 2
    assert all((line.isalnum() and line.isupper()) or line.isdigit() for line in made.lines)
    assert 0 <= made.country < len(COUNTRIES)


def test_texts_are_of_every_sign_and_not_only_of_grammars() -> None:
    made = [crop(seed) for seed in range(300)]
    signs = {sign for one in made for line in one.lines for sign in line}
    assert len(signs) == 36
    assert 0.08 < np.mean([len(one.lines) == 2 for one in made]) < 0.5
    assert len({one.country for one in made}) > 20


def test_a_plate_is_straightened_with_a_margin_whatever_its_shape() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    quad = np.array(((100, 80), (200, 80), (200, 105), (100, 105)), np.float32)
    image[80:105, 100:200] = 255
    white = straightened(image, quad)[..., 0] > 127
    rows, columns = white.mean(1) > 0.5, white.mean(0) > 0.5
    assert 0.85 < rows.mean() < 0.95
    assert 0.94 < columns.mean() < 1.0


def test_every_face_draws_every_sign_within_its_cell() -> None:
    assert faces()[0] is glyphs
    for face in faces():
        for sign in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789":
            canvas = np.full((80, 100, 3), 255, np.uint8)
            face.draw(canvas, sign, origin=(20, 10), scale=(2, 2), pen=4, colour=(0, 0, 0))
            rows, columns = np.nonzero(canvas[..., 0] < 128)
            assert len(rows) > 40, (face, sign)
            assert rows.min() >= 5
            assert rows.max() <= 64  # the tail of a Q
            assert 0 < face.width(sign) <= 32
            assert columns.max() - columns.min() <= 2 * face.width(sign) + 6
