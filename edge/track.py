"""ByteTrack: plates followed over frames (Zhang et al. 2022, arXiv:2110.06864)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import lap
import numpy as np
from filterpy.kalman import KalmanFilter

from edge.detect import Detection
from edge.geometry import Region, iou

Direction = Literal["approaching", "receding", "left", "right"]

_SECOND_MATCH = 0.5  # highest cost of the second association, as in the paper
_NEW_MATCH = 0.7  # of a track seen once, as in the authors' code
_NEAREST, _FARTHEST = 0.45, 0.8  # cost of a box that does not overlap: beside, at the gate
_REACH = 1.5  # widths that a plate may jump between two looks without overlapping
_SIDEWAYS = 2.5  # across over along, from which a plate of equal size passes by
_GROWTH = 1.3  # of a plate's width, from which it comes nearer
_FRAME_US = 1_000_000 / 30  # the paper's parameters count frames of 30 a second


class TrackState(Enum):
    """NEW: seen once. TRACKED: seen again. LOST: not seen now. REMOVED: given up."""

    NEW = "new"
    TRACKED = "tracked"
    LOST = "lost"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class TrackingSettings:
    """ByteTrack's parameters, as in config/tracking.yaml.

    ``track_thresh`` parts high scores from low ones, ``track_buffer`` is how many frames (of
    30 a second) a lost track is kept, ``match_thresh`` the highest cost of the first
    association (1 - IoU), ``min_box_area`` the smallest box in square pixels.
    """

    track_thresh: float = 0.5
    track_buffer: int = 30
    match_thresh: float = 0.8
    min_box_area: float = 100.0
    low_thresh: float = 0.1


class Track:
    """One plate followed. ``detection`` is what was seen of it in the last update, or None."""

    def __init__(self, track_id: str, detection: Detection, at_us: int, state: TrackState) -> None:
        self.track_id = track_id
        self.state = state
        self.detection: Detection | None = detection
        self.seen_us = at_us
        self.looked_us = at_us
        self.frames = 1
        self._at_us = at_us
        self._first = self._latest = _measured(detection.box)
        self._filter = _filter(self._first)

    @property
    def box(self) -> np.ndarray:
        """Where it is, or is thought to be: left, top, right, bottom in pixels."""
        cx, cy, aspect, height = self._filter.x[:4, 0]
        half = aspect * height / 2
        return np.array([cx - half, cy - height / 2, cx + half, cy + height / 2])

    def expected(self, at_us: int) -> np.ndarray:
        """Where it is thought to be at ``at_us``: left, top, right, bottom in pixels."""
        frames = max(0.0, (at_us - self._at_us) / _FRAME_US)
        return self.box + np.tile(self._filter.x[4:6, 0] * frames, 2)

    @property
    def direction(self) -> Direction | None:
        """How it has moved over its life, None while that cannot be told."""
        (x0, y0, a0, h0), (x1, y1, a1, h1) = self._first, self._latest
        growth = a1 * h1 / max(a0 * h0, 1.0)  # widths: heights depend on how closely was looked
        across, along = x1 - x0, y1 - y0
        if max(abs(across), abs(along)) < 0.5 * max(h0, h1):
            return None
        if abs(across) > _SIDEWAYS * abs(along) and 1 / _GROWTH < growth < _GROWTH:
            return "right" if across > 0 else "left"
        return "approaching" if along > 0 or growth > _GROWTH else "receding"

    def predict(self, at_us: int) -> None:
        """Move on to ``at_us``, microseconds."""
        frames = max(0.0, (at_us - self._at_us) / _FRAME_US)
        self._at_us = at_us
        kalman = self._filter
        kalman.F[range(4), range(4, 8)] = frames
        if self.state is TrackState.LOST:
            kalman.x[7] = 0.0  # a lost track keeps its size, as in the authors' code
        _scale_noise(kalman, max(frames, 1.0))
        kalman.predict()
        kalman.x[3] = max(float(kalman.x[3, 0]), 1.0)

    def matched(self, detection: Detection, at_us: int) -> None:
        """It was seen again."""
        self._latest = _measured(detection.box)
        height = self._latest[3]
        self._filter.R = np.diag([height / 20, height / 20, 0.1, height / 20]) ** 2
        self._filter.update(self._latest.reshape(4, 1))
        self.detection, self.seen_us, self.looked_us = detection, at_us, at_us
        self.state = TrackState.TRACKED
        self.frames += 1

    def missed(self, at_us: int) -> None:
        """Its place was looked at and it was not there."""
        self.detection, self.looked_us = None, at_us
        self.state = TrackState.REMOVED if self.state is TrackState.NEW else TrackState.LOST


class ByteTracker:
    """Follows the plates of one session. Ids are ``t-SESSION-N`` and never repeat in it."""

    def __init__(self, session: str, settings: TrackingSettings | None = None) -> None:
        self._session = session
        self._settings = settings or TrackingSettings()
        self._made = 0
        self._started = False
        self.tracks: list[Track] = []

    def update(
        self, detections: Sequence[Detection], at_us: int, looked: Sequence[Region] | None = None
    ) -> list[Track]:
        """Bind what one frame shows to tracks; the tracks that live, and those removed now.

        ``looked`` are the regions that were looked at, None for all: a track elsewhere is
        neither seen nor missed. ``at_us`` must not go back.
        """
        settings = self._settings
        fair = [
            found
            for found in detections
            if float(np.prod(found.box[2:] - found.box[:2])) >= settings.min_box_area
        ]
        high = [found for found in fair if found.score >= settings.track_thresh]
        low = [
            found for found in fair if settings.low_thresh <= found.score < settings.track_thresh
        ]
        for track in self.tracks:
            track.predict(at_us)
            track.detection = None
        known = [track for track in self.tracks if track.state is not TrackState.NEW]
        new = [track for track in self.tracks if track.state is TrackState.NEW]
        known, high = self._bind(known, high, at_us, settings.match_thresh)
        visible = [track for track in known if track.state is TrackState.TRACKED]
        lost = [track for track in known if track.state is TrackState.LOST]
        visible, _ = self._bind(visible, low, at_us, _SECOND_MATCH)
        new, high = self._bind(new, high, at_us, _NEW_MATCH)
        buffer_us = settings.track_buffer * _FRAME_US
        for track in visible + lost + new:
            if looked is None or _inside(track.box, looked):
                track.missed(at_us)
            elif _touched(track.box, looked):
                track.looked_us = at_us
            if track.state is TrackState.LOST and at_us - track.seen_us > buffer_us:
                track.state = TrackState.REMOVED
        born = [self._born(found, at_us) for found in high]
        result = self.tracks + born
        self.tracks = [track for track in result if track.state is not TrackState.REMOVED]
        self._started = True
        return result

    def _born(self, detection: Detection, at_us: int) -> Track:
        self._made += 1
        state = TrackState.NEW if self._started else TrackState.TRACKED
        return Track(f"t-{self._session}-{self._made}", detection, at_us, state)

    @staticmethod
    def _bind(
        tracks: list[Track], detections: list[Detection], at_us: int, limit: float
    ) -> tuple[list[Track], list[Detection]]:
        """Match by least total cost; what is left of both."""
        if not tracks or not detections:
            return tracks, detections
        costs = _costs(
            np.array([track.box for track in tracks]),
            np.array([found.box for found in detections]),
        )
        _, rows, _ = lap.lapjv(costs, extend_cost=True, cost_limit=limit)
        for index, track in enumerate(tracks):
            if rows[index] >= 0:
                track.matched(detections[rows[index]], at_us)
        taken = set(rows.tolist())
        return (
            [track for index, track in enumerate(tracks) if rows[index] < 0],
            [found for index, found in enumerate(detections) if index not in taken],
        )


def _costs(tracks: np.ndarray, found: np.ndarray) -> np.ndarray:
    """1 - IoU, or the distance of the centres where small fast plates do not overlap."""
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (tracks, found)]
    sizes = [boxes[:, 2:] - boxes[:, :2] for boxes in (tracks, found)]
    apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
    reach = _REACH * np.maximum(sizes[0][:, None, 0], sizes[1][None, :, 0])
    ratio = sizes[0][:, None, 1] / np.maximum(sizes[1][None, :, 1], 1e-6)
    near = _NEAREST + (_FARTHEST - _NEAREST) * apart / np.maximum(reach, 1e-6)
    alike = (apart < reach) & (ratio > 0.6) & (ratio < 1.7)
    return np.minimum(1 - iou(tracks, found), np.where(alike, near, 1.0))


def _inside(box: np.ndarray, regions: Sequence[Region]) -> bool:
    """Whether one region shows all of a box: a look that cuts it proves nothing."""
    left, top, right, bottom = box
    return any(a <= left and b <= top and c >= right and d >= bottom for a, b, c, d in regions)


def _touched(box: np.ndarray, regions: Sequence[Region]) -> bool:
    """Whether a region shows the middle of a box."""
    x, y = (box[:2] + box[2:]) / 2
    return any(left <= x < right and top <= y < bottom for left, top, right, bottom in regions)


def _measured(box: np.ndarray) -> np.ndarray:
    """Centre x, centre y, width over height, height."""
    width, height = box[2:] - box[:2]
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width / height, height])


def _filter(measured: np.ndarray) -> KalmanFilter:
    """A constant-velocity filter on (x, y, aspect, height), with the authors' uncertainties."""
    kalman = KalmanFilter(dim_x=8, dim_z=4)
    kalman.x[:4, 0] = measured
    kalman.F = np.eye(8)
    kalman.H = np.eye(4, 8)
    height = measured[3]
    place, speed = height / 10, height / 8
    kalman.P = np.diag([place, place, 1e-2, place, speed, speed, 1e-5, speed]) ** 2
    return kalman


def _scale_noise(kalman: KalmanFilter, frames: float) -> None:
    height = max(float(kalman.x[3, 0]), 1.0)
    place, speed = height / 20, height / 80
    kalman.Q = np.diag([place, place, 1e-2, place, speed, speed, 1e-5, speed]) ** 2 * frames
