"""ByteTrack on scenes of boxes: who is who, and for how long."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect import Detection
from edge.track import ByteTracker, TrackingSettings, TrackState

FRAME_US = 33_333


def seen(x: float, y: float, score: float = 0.9, width: float = 60, height: float = 20):
    quad = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)
    return Detection(quad, score)


def play(scene, tracker=None, looked=None):
    """Feeds frames, each a list of detections; the ids each frame's detections got."""
    tracker = tracker or ByteTracker("s")
    ids = []
    for number, detections in enumerate(scene):
        tracks = tracker.update(detections, number * FRAME_US, looked)
        names = {id(track.detection): track.track_id for track in tracks if track.detection}
        ids.append([names.get(id(one)) for one in detections])
    return ids, tracker


def test_one_plate_keeps_one_id_however_it_moves() -> None:
    ids, tracker = play([[seen(10 + 9 * n, 50 + 3 * n)] for n in range(30)])
    assert {name for frame in ids for name in frame} == {"t-s-1"}
    assert tracker.tracks[0].state is TrackState.TRACKED


def test_small_fast_plates_are_followed_though_their_boxes_do_not_overlap() -> None:
    ids, _ = play([[seen(10 + 70 * n, 50)] for n in range(8)])
    assert {name for frame in ids for name in frame} == {"t-s-1"}


def test_two_plates_that_cross_keep_their_ids() -> None:
    scene = [[seen(10 + 10 * n, 50), seen(310 - 10 * n, 78)] for n in range(30)]
    ids, _ = play(scene)
    assert [frame[0] for frame in ids] == ["t-s-1"] * 30
    assert [frame[1] for frame in ids] == ["t-s-2"] * 30


@pytest.mark.parametrize(("hidden", "same"), [(5, True), (25, True), (45, False)])
def test_a_plate_hidden_for_less_than_the_buffer_keeps_its_id(hidden: int, same: bool) -> None:
    scene = [[seen(10 + 2 * n, 50)] for n in range(10)] + [[]] * hidden
    scene += [[seen(10 + 2 * n, 50)] for n in range(10 + hidden, 14 + hidden)]
    ids, _ = play(scene)
    assert (ids[0] == ids[-1]) is same


def test_a_low_score_continues_a_track_but_begins_none() -> None:
    scene = [[seen(10 + 3 * n, 50, 0.9 if n < 5 else 0.2)] for n in range(20)]
    ids, _ = play(scene)
    assert ids[-1] == ["t-s-1"]
    ids, tracker = play([[seen(10, 50, 0.2)]] * 5)
    assert ids == [[None]] * 5
    assert tracker.tracks == []


def test_a_plate_seen_once_and_then_missed_is_removed_at_once() -> None:
    _, tracker = play([[], [seen(10, 50)], []])
    assert tracker.tracks == []


def test_a_plate_that_was_not_looked_at_is_not_missed() -> None:
    tracker = ByteTracker("s")
    tracker.update([seen(10, 50)], 0)
    tracker.update([], FRAME_US, looked=[(200, 0, 600, 300)])
    assert tracker.tracks[0].state is TrackState.TRACKED
    tracker.update([], 2 * FRAME_US, looked=[(0, 0, 200, 300)])
    assert tracker.tracks[0].state is TrackState.LOST


def test_boxes_below_the_smallest_area_are_ignored() -> None:
    _, tracker = play([[seen(10, 50, width=12, height=8)]] * 3)
    assert tracker.tracks == []


@pytest.mark.parametrize(
    ("dx", "dy", "growth", "direction"),
    [
        (0, 3, 1.04, "approaching"),
        (0, -3, 0.96, "receding"),
        (4, 0, 1.0, "right"),
        (-4, 0, 1.0, "left"),
        (0, 0, 1.0, None),
    ],
)
def test_the_direction_comes_from_the_motion(dx, dy, growth, direction) -> None:
    scene = [
        [seen(300 + dx * n, 200 + dy * n, width=60 * growth**n, height=20 * growth**n)]
        for n in range(12)
    ]
    _, tracker = play(scene)
    assert tracker.tracks[0].direction == direction


boxes = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 300), st.floats(0, 1)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=20))
def test_ids_never_repeat_and_no_detection_has_two(scene) -> None:
    ids, tracker = play([[seen(*box) for box in frame] for frame in scene])
    removed: set[str] = set()
    before: set[str] = set()
    for frame in ids:
        named = [name for name in frame if name]
        assert len(named) == len(set(named))
        assert not removed & set(named)
        before |= set(named)
    living = [track.track_id for track in tracker.tracks]
    assert len(living) == len(set(living))
    assert all(track.state is not TrackState.REMOVED for track in tracker.tracks)


def test_settings_change_what_counts_as_certain() -> None:
    _, tracker = play([[seen(10, 50, 0.4)]] * 2, ByteTracker("s", TrackingSettings(0.3)))
    assert [track.track_id for track in tracker.tracks] == ["t-s-1"]
