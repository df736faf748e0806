"""The drive-by: its truth is what its frames show, and a seed says it all."""

import cv2
import numpy as np
import pytest

from training import driveby, plates


@pytest.fixture(scope="module")
def planned() -> driveby.Scene:
    return driveby.scene(1)


def test_the_same_seed_gives_the_same_truth_and_the_same_pixels(planned):
    assert driveby.scene(1).truth() == planned.truth()
    small = [driveby.scene(1, size=(320, 180)).draw((50, 300)) for _ in range(2)]
    for one, two in zip(*small, strict=True):
        assert np.array_equal(one, two)


def test_a_frame_does_not_depend_on_the_frames_drawn_before():
    small = driveby.scene(3, size=(320, 180), seconds=3)
    alone = next(small.draw((37,)))
    assert np.array_equal(list(small.draw())[37], alone)


def test_another_seed_brings_other_plates(planned):
    mine = {seen.plate for seen in planned.truth().plates}
    assert not mine & {seen.plate for seen in driveby.scene(2).truth().plates}


@pytest.mark.parametrize("seed", range(1, 13))
def test_every_vehicle_is_legible_for_long_enough_and_large_enough(seed):
    truth = driveby.scene(seed).truth()
    assert len(truth.plates) == 9
    assert len({seen.plate for seen in truth.plates}) == 9
    for seen in truth.plates:
        assert seen.last_us - seen.first_us >= 700_000, seen
        assert seen.width_px >= 80, seen
        assert 0 <= seen.first_frame <= seen.best_frame <= seen.last_frame < truth.frames


def test_the_cast_has_a_two_line_plate_a_stop_and_two_consecutive_fleet_plates(planned):
    seen = planned.truth().plates
    assert [len(s.lines) for s in seen].count(2) == 1
    stopped = [s for s in seen if s.parked]
    assert len(stopped) == 1
    assert stopped[0].last_us - stopped[0].first_us > 5_000_000
    vans = [s for s in seen if s.vehicle == "van"]
    first = plates.make("de", *vans[0].lines)
    assert plates.successor(first).normalized == vans[1].plate
    assert vans[1].first_us - vans[0].last_us < 300_000_000


def test_what_is_no_plate_is_listed(planned):
    assert {"KX51 OVR", "CAM-03 GATE2", "TYRES 24H", "TRANS 24H"} <= set(
        planned.truth().other_texts
    )


def test_each_plate_is_to_be_seen_where_and_when_the_truth_says(planned):
    """The patch inside the computed corners looks like the plate, at both ends of its stay."""
    cast = _passages_with_truth(planned)
    wanted = sorted({n for _, seen in cast for n in (seen.first_frame, seen.last_frame)})
    frames = dict(zip(wanted, planned.draw(wanted), strict=True))
    for passage, seen in cast:
        flat = plates.picture(passage.plate, 240)
        h, w = flat.shape[:2]
        square = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
        drawn = cv2.GaussianBlur(cv2.cvtColor(flat, cv2.COLOR_BGR2GRAY), (0, 0), 2.0)
        for number in (seen.first_frame, seen.last_frame):
            corners = planned.corners(passage, number)
            assert corners is not None
            turn = cv2.getPerspectiveTransform(corners.astype(np.float32), square)
            patch = cv2.warpPerspective(frames[number], turn, (w, h))
            patch = cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY)
            likeness = cv2.matchTemplate(patch, drawn, cv2.TM_CCOEFF_NORMED)[0, 0]
            assert likeness > 0.7, (seen.plate, number, likeness)
        best = planned.corners(passage, seen.best_frame)
        assert best is not None
        assert seen.width_px == pytest.approx(np.linalg.norm(best[1] - best[0]), abs=1.0)


def test_just_outside_its_stay_a_plate_is_too_small_or_out_of_the_picture(planned):
    for passage, seen in _passages_with_truth(planned):
        assert planned.corners(passage, seen.last_frame + 1) is None
        before = planned.corners(passage, seen.first_frame - 1)
        assert before is not None
        layout = passage.plate.layout
        height = (before[3, 1] - before[0, 1]) * layout.character / layout.size[1]
        assert height < driveby.LEGIBLE_PX


def test_truth_comes_back_from_json_as_it_was(planned, tmp_path):
    path = tmp_path / "clip.truth.json"
    planned.truth().save(path)
    assert driveby.Truth.load(path) == planned.truth()


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"plates": []}', b'{"plates": [{"a": 1}]}']
)
def test_a_truth_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "clip.truth.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(driveby.DriveByError, match=r"clip\.truth\.json"):
        driveby.Truth.load(path)


def test_a_rendered_file_is_read_back_whole_with_its_truth_beside_it(tmp_path):
    told: list[tuple[int, int]] = []
    path = tmp_path / "clip.mp4"
    truth = driveby.render(
        path, seed=5, size=(640, 360), seconds=2, progress=lambda n, total: told.append((n, total))
    )
    assert told == [(n, 40) for n in range(1, 41)]
    assert driveby.Truth.load(tmp_path / "clip.truth.json") == truth
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 20
    count = 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        count += 1
        assert frame.shape == (360, 640, 3)
    assert count == truth.frames == 40


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(driveby.DriveByError, match="nowhere"):
        driveby.render(tmp_path / "nowhere" / "clip.mp4")


def _passages_with_truth(planned):
    by_plate = {seen.plate: seen for seen in planned.truth().plates}
    return [(passage, by_plate[passage.plate.normalized]) for passage in planned.passages]
