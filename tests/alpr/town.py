"""Cameras of a town for tests: reads of chosen plates at chosen moments, and their heartbeats."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from eventlog.log import Append, Log
from schemas.codec import Codec
from schemas.topics import RAW, partition_of
from tests.rules.world import NODE, heartbeat, read

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Town:
    """Appends to alpr.reads.raw what the edges of some cameras would; ``now`` is when it began."""

    def __init__(self, log: Log, codec: Codec, cameras: Mapping[str, Mapping[str, Any]]) -> None:
        self._log = log
        self._codec = codec
        self._cameras = {name: {**NODE, **node} for name, node in cameras.items()}
        self._quiet: set[str] = set()
        self._stop = threading.Event()
        self._beats: threading.Thread | None = None
        self.now = time.time_ns() // 1000

    def passes(self, camera: str, text: str, at: int, reads: int = 3, **changes: Any) -> None:
        """A car drives by a camera at ``at`` (microseconds from ``now``, mostly below 0)."""
        records = []
        for n in range(reads):
            captured = self.now + at + n * 100_000
            track = f"{camera}-{text}-{at}"
            made = read(
                0, text, camera_id=camera, captured_at=captured, confidence=0.99,
                frame_number=captured // 100_000 % 1_000_000, track_id=track,
                node=self._cameras[camera], **changes,
            )  # fmt: skip
            records.append(self._append(camera, "PlateRead", made))
        self._log.append(RAW.name, self._partition(camera), records)

    def live(self) -> None:
        """Let every camera tell once a second that it lives, until ``close``."""
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def silence(self, camera: str) -> None:
        """From now on one is heard no more."""
        self._quiet.add(camera)

    def close(self) -> None:
        """Silence all."""
        self._stop.set()
        if self._beats is not None:
            self._beats.join()

    def _beat(self) -> None:
        while not self._stop.wait(1):
            for camera in self._cameras.keys() - self._quiet:
                beat = heartbeat(0, camera_id=camera, captured_at=time.time_ns() // 1000)
                record = self._append(camera, "CameraHeartbeat", beat)
                self._log.append(RAW.name, self._partition(camera), [record])

    def _append(self, camera: str, name: str, record: Mapping[str, Any]) -> Append:
        return Append(camera.encode(), self._codec.encode(RAW.name, name, record))

    def _partition(self, camera: str) -> int:
        return partition_of(camera.encode(), self._log.partitions(RAW.name))
