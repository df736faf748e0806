"""Pictures to train a detector: true corners, plates that are there, and much that is none."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import scenes
from training.degrade import spoil
from training.scenes import NARROWEST, contact_sheet, sample, samples

seeds = st.integers(0, 2**62)
SIZE = (640, 384)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_the_same_seed_gives_the_same_picture(seed):
    one, other = sample(seed), sample(seed)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.corners, other.corners)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_plates_are_whole_wide_enough_and_read_from_left_to_right(seed):
    made = sample(seed)
    assert made.image.shape == (SIZE[1], SIZE[0], 3)
    assert made.image.dtype == np.uint8
    for corners in made.corners:
        assert (corners >= 0).all()
        assert (corners < SIZE).all()
        width, height = np.linalg.norm(corners[1] - corners[0]), corners[3] - corners[0]
        assert width >= NARROWEST
        assert height[1] > 0  # the right way up
        assert cv2.isContourConvex(corners.reshape(-1, 1, 2).astype(np.int32))
        assert 0.7 < width / np.linalg.norm(height) < 7


def test_a_plate_lies_where_it_is_told(monkeypatch):
    """Straightened by its corners it is the plate that was drawn, where nothing spoils it."""
    drawn: list[np.ndarray] = []
    picture = scenes.plates.picture

    def remembered(plate, width):
        drawn.append(picture(plate, width))
        return drawn[-1]

    monkeypatch.setattr(scenes.plates, "picture", remembered)
    checked = 0
    for seed in range(120):
        drawn.clear()
        made = sample(seed, harm=0)
        if len(drawn) != 1 or len(made.corners) != 1:
            continue
        corners = made.corners[0]
        if np.linalg.norm(corners[1] - corners[0]) < 60:
            continue
        flat = np.array(((0, 0), (120, 0), (120, 40), (0, 40)), np.float32)
        straight = cv2.warpPerspective(
            made.image, cv2.getPerspectiveTransform(corners, flat), (120, 40)
        )
        original = cv2.resize(drawn[0], (120, 40), interpolation=cv2.INTER_AREA)
        a, b = (cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).ravel() for one in (straight, original))
        if a.std() < 8 or b.std() < 8:
            continue
        checked += np.corrcoef(a, b)[0, 1] > 0.6
    assert checked >= 8


def test_there_are_pictures_without_plates_and_with_many():
    plates = [len(sample(seed).corners) for seed in range(150)]
    assert 0.1 < plates.count(0) / len(plates) < 0.6
    assert max(plates) >= 2


def test_given_backgrounds_are_used():
    red = np.zeros((720, 1280, 3), np.uint8)
    red[..., 2] = 255
    made = [sample(seed, backgrounds=[red], harm=0).image for seed in range(30)]
    assert any((image[..., 2].mean() > 150) and (image[..., 0].mean() < 60) for image in made)


def test_samples_of_two_seeds_differ():
    one, other = (next(samples(seed)) for seed in (1, 2))
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("harm", [0.0, 0.5, 1.0])
@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_what_spoils_a_picture_leaves_its_form(harm, seed):
    clean = np.full((48, 96, 3), 128, np.uint8)
    made = spoil(clean, np.random.default_rng(seed), harm)
    assert made.shape == clean.shape
    assert made.dtype == np.uint8
    if harm == 0:
        assert np.abs(made.astype(int) - 128).max() <= 1


def test_a_sheet_shows_every_sample():
    made = [sample(seed) for seed in range(5)]
    assert contact_sheet(made, columns=2).shape == (3 * SIZE[1] // 2, SIZE[0], 3)
