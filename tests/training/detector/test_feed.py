"""What the detector learns from: parts of pictures with their plates where they are told."""

from pathlib import Path

import numpy as np
import pytest

from training import scenes
from training.detector import road
from training.detector.feed import SIZE, Example, Feed
from training.detector.road import RoadData, RoadFrame

ROAD = Path(__file__).parents[4] / "shared/data/road"


def frame(seed: int = 5) -> RoadFrame:
    """A made scene as if somebody had driven through it: its plates' upright boxes."""
    made = scenes.sample(seed, size=(1280, 720))
    low, high = made.corners.min(1), made.corners.max(1)
    return RoadFrame(made.image, np.concatenate((low, high - low), 1))


FRAMES = [frame(seed) for seed in (8, 9, 10, 12)]


def some(count: int, seed: int = 1, **given) -> list[Example]:
    feed = Feed(seed, kept=8, **given)
    return [feed.example() for _ in range(count)]


def test_the_same_seed_gives_the_same_examples_and_another_others() -> None:
    one, again, other = (some(12, seed, frames=FRAMES) for seed in (1, 1, 2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, again, strict=True))
    assert all(np.array_equal(a.corners, b.corners) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_every_plate_of_an_example_is_in_it_and_wide_enough() -> None:
    plates = 0
    for example in some(60, frames=FRAMES):
        assert example.image.shape == (SIZE[1], SIZE[0], 3)
        assert example.image.dtype == np.uint8
        assert len(example.corners) == len(example.exact)
        plates += len(example.corners)
        for quad in example.corners:
            low, high = quad.min(0), quad.max(0)
            common = np.minimum(high, SIZE) - np.maximum(low, 0)
            assert common.prod() >= 0.89 * (high - low).prod()
            assert quad[1, 0] > quad[0, 0], "from left to right, mirrored or not"
            assert quad[3, 1] > quad[0, 1], "from the top"
    assert plates > 20


def test_a_part_shows_its_plate_where_its_corners_say() -> None:
    """A white plate on black stays the only white, at any scale and anywhere."""
    image = np.zeros((720, 1280, 3), np.uint8)
    image[300:340, 500:680] = 255
    known = RoadFrame(image, np.array([[500, 300, 180, 40]], np.float32))
    rng = np.random.default_rng(3)
    from training.detector import feed

    corners, exact = road.quads(known.boxes), np.zeros(1, bool)
    nothing = np.zeros((0, 4, 2), np.float32)
    checked = 0
    for _ in range(60):
        part = feed._part(feed._Known(image, corners, exact, nothing), rng)
        if not len(part.corners):
            continue
        low, high = part.corners[0].min(0), part.corners[0].max(0)
        if (low < 2).any() or (high > np.array(SIZE) - 2).any():
            continue
        within = part.image[:, :, 0].astype(int)
        within = within[int(low[1]) - 1 : int(high[1]) + 2, int(low[0]) - 1 : int(high[0]) + 2]
        rows, columns = np.nonzero(within > 127)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        true = np.array((low[0] % 1 + 1, low[1] % 1 + 1, *(high - np.floor(low) + 1)))
        assert np.abs(np.array(box) - true).max() <= 1.0
        checked += 1
    assert checked > 20


@pytest.mark.parametrize(
    ("right", "told", "doubtful"),
    [(384.0, 1, 0), (390.0, 1, 0), (402.0, 0, 1), (450.0, 0, 0)],
    ids=["whole", "nearly", "a fifth is cut", "half is cut"],
)
def test_a_cut_plate_is_doubtful_and_one_of_which_much_is_gone_is_none(right, told, doubtful):
    from training.detector import feed

    quad = road.quads(np.array([[right - 100, 100, 100, 24]]))
    known = feed._Known(np.zeros((288, 384, 3), np.uint8), quad, np.ones(1, bool), quad[:0])
    taken = feed._sorted(known.image, quad, known.exact, known.doubtful)
    assert (len(taken.corners), len(taken.doubtful)) == (told, doubtful)


@pytest.mark.parametrize(("light", "told", "doubtful"), [(200, 1, 0), (52, 0, 1), (43, 0, 0)])
def test_a_plate_that_nobody_could_see_is_none(light: int, told: int, doubtful: int):
    from training.detector import feed

    image = np.full((288, 384, 3), 40, np.uint8)
    image[100:124, 100:200:2] = light
    quad = road.quads(np.array([[100, 100, 100, 24]]))
    example = feed._seen(feed._Known(image, quad, np.ones(1, bool), quad[:0]))
    assert (len(example.corners), len(example.doubtful)) == (told, doubtful)


def test_plates_are_exchanged_for_those_of_other_countries_and_stay_where_they_are() -> None:
    image = np.full((720, 1280, 3), 90, np.uint8)
    image[300:340, 500:680:3] = 230
    long = RoadFrame(image, np.array([[500, 300, 180, 40]]))
    examples = some(200, frames=[long], real=1.0)
    exact = np.concatenate([example.exact for example in examples])
    assert 0.2 < exact.mean() < 0.8, "some are drawn, of which the corners are known, some not"
    shapes = [
        np.ptp(q, axis=0) for e in examples for q, x in zip(e.corners, e.exact, strict=True) if x
    ]
    ratios = [width / height for width, height in shapes]
    assert min(ratios) < 2.6, "two-line and American ones"
    assert max(ratios) > 3.2, "European ones"


def test_frames_without_their_plates_keep_all_the_rest() -> None:
    one = FRAMES[0]
    x, y, w, h = one.boxes[0].astype(int)
    (cleaned,) = road.without_plates([one])
    changed = np.nonzero((cleaned != one.image).any(2))
    assert len(changed[0]) > 0.3 * w * h
    for box in one.boxes[1:]:  # only about the plates
        assert box is not None
    near = np.zeros(one.image.shape[:2], bool)
    for x, y, w, h in one.boxes.astype(int):
        near[max(0, y - h) : y + 2 * h, max(0, x - w) : x + 2 * w] = True
    assert near[changed].all()


def test_a_folder_that_cannot_be_used_is_told_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(RoadData, match="name a folder of frames"):
        road.load(tmp_path)
    (tmp_path / "a.txt").write_text("a.jpg\t1\t2\n")
    with pytest.raises(RoadData, match=r"no picture a\.jpg"):
        road.load(tmp_path)
    import cv2

    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(RoadData, match="line 1: file, x, y, width, height"):
        road.load(tmp_path)


def test_frames_for_measuring_are_not_learned_from(tmp_path: Path) -> None:
    import cv2

    for number in range(road.HELD_OUT):
        cv2.imwrite(str(tmp_path / f"{number:03}.jpg"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f"{number:03}.txt").write_text("x\t1\t1\t4\t2\n")
    with pytest.raises(RoadData, match="are for measuring; give more"):
        road.to_learn_from(tmp_path)
    cv2.imwrite(str(tmp_path / "z.jpg"), np.full((8, 8, 3), 9, np.uint8))
    (tmp_path / "z.txt").write_text("z.jpg\t1\t1\t4\t2\n")
    (only,) = road.to_learn_from(tmp_path)
    assert only.image.mean() == 9


@pytest.mark.skipif(not ROAD.is_dir(), reason="the shared test data is not here")
def test_the_road_frames_are_all_there() -> None:
    frames = road.load(ROAD)
    assert len(frames) == 427
    assert sum(len(one.boxes) for one in frames) == 521
