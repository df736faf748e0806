"""Heartbeats for cameras whose reads are sent in: their time goes on when nothing drives by."""

from collections import deque
from dataclasses import dataclass, field

from edge.foreign.given import SECOND
from schemas.records import CameraHeartbeat

BEAT_US = 5 * SECOND
MARGIN_US = 30 * SECOND
"""How much later than usual a read may come and still count."""
LEAST_US = 600 * SECOND
"""A camera is taken to live for so long after its last word."""
_REMEMBERED = 3
"""Beats with reads whose lag counts: enough for senders that send in batches."""


@dataclass(slots=True)
class _Camera:
    group: str | None
    session: str
    newest: int
    heard: int
    lag: int
    lags: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class Alive:
    """What has been heard of cameras, and what may be said of their time. Times: microseconds UTC.

    An edge says of its own cameras that all up to now is appended. Here nobody can know: reads
    come as late as their sender is slow. So a camera's time is now, less the longest that its
    latest reads took, less MARGIN_US; dedup allows its lateness beyond that. ``stay_us`` is how
    long a sighting stays open after its last read: a camera is spoken of at least until then.
    """

    def __init__(self, stay_us: int) -> None:
        self._stay = stay_us
        self._cameras: dict[str, _Camera] = {}

    def heard(
        self, camera_id: str, group: str | None, session: str, captured_at: int, now: int
    ) -> None:
        """A read of a camera has been appended."""
        lag = max(0, now - captured_at)
        camera = self._cameras.get(camera_id)
        if camera is None:
            self._cameras[camera_id] = _Camera(group, session, captured_at, now, lag)
            return
        camera.group, camera.session, camera.heard = group, session, now
        camera.newest = max(camera.newest, captured_at)
        camera.lag = max(camera.lag, lag)

    def lives(self, camera_id: str, now: int) -> bool:
        """Its sender says that a camera lives; False where no read of it is known yet."""
        camera = self._cameras.get(camera_id)
        if camera is not None:
            camera.heard = now
        return camera is not None

    def beats(self, now: int) -> list[CameraHeartbeat]:
        """What is to be appended now; called every BEAT_US. Cameras that are over are forgotten."""
        told: list[CameraHeartbeat] = []
        for camera_id, camera in list(self._cameras.items()):
            if camera.lag >= 0:
                camera.lags.append(camera.lag)
                camera.lag = -1
            at = now - max(camera.lags) - MARGIN_US
            if at > camera.newest + self._stay and now > camera.heard + LEAST_US:
                del self._cameras[camera_id]
                continue
            told.append(
                {
                    "camera_id": camera_id,
                    "camera_group": camera.group,
                    "session": camera.session,
                    "captured_at": max(at, camera.newest),
                    "state": "live",
                    "frames_seen": 0,
                    "frames_dropped": 0,
                    "fps": 0.0,
                    "clock_offset_us": 0,
                }
            )
        return told
