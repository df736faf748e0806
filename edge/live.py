"""A thread for each camera that fills a bounded buffer, and connects again when the camera goes."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import cv2

from edge.cameras import Camera
from edge.capture import CaptureError, Frame, SourceMissing, file_frames

logger = logging.getLogger(__name__)

_OPEN_MS = 10_000  # milliseconds to wait for a camera's answer
_READ_MS = 10_000  # and for a frame


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts to connect: ``first``, doubled up to ``most``, half of it chance."""

    first: float = 0.5
    most: float = 30.0

    def wait(self, attempt: int, chance: Random) -> float:
        """How long to wait after failed attempt ``attempt``, from 0."""
        full = min(self.most, self.first * 2.0 ** min(attempt, 30))
        return full * (0.5 + 0.5 * chance.random())


class FrameBuffer:
    """Frames between a capturing and a processing thread, at most ``capacity`` of them.

    A live source replaces the oldest frame, so that processing is never late; a file waits.
    """

    def __init__(self, capacity: int, live: bool) -> None:
        self._frames: deque[Frame] = deque()
        self._capacity = capacity
        self._live = live
        self._changed = threading.Condition()
        self._closed = False
        self.seen = 0
        self.dropped = 0

    def put(self, frame: Frame, stop: threading.Event) -> None:
        """Add the newest frame; of a file, wait for room until ``stop`` is set."""
        with self._changed:
            while not self._live and len(self._frames) >= self._capacity and not stop.is_set():
                self._changed.wait(0.2)
            self.seen += 1
            self._frames.append(frame)
            while len(self._frames) > self._capacity:
                self._frames.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def get(self, timeout: float) -> Frame | None:
        """The oldest frame there is, waiting ``timeout`` seconds at most; else None."""
        with self._changed:
            if not self._frames and not self._closed:
                self._changed.wait(timeout)
            frame = self._frames.popleft() if self._frames else None
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """No more frames will come; those that are there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._frames


def is_live(source: str) -> bool:
    """Whether a source is a camera, not a file: an address or a USB number."""
    return "://" in source or source.isdigit()


def open_camera(source: str) -> Any:
    """A cv2.VideoCapture of an address or a USB camera's number; raises SourceMissing."""
    if source.isdigit():
        video = cv2.VideoCapture(int(source))
    else:
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            _OPEN_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            _READ_MS,
        ]
        video = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if not video.isOpened():
        video.release()
        raise SourceMissing(
            f"{source}: the camera does not answer; check address, network and credentials"
        )
    return video


class Capture(threading.Thread):
    """Fills ``buffer`` with the frames of one camera until ``stop`` is set or a file ends.

    ``state`` is live, reconnecting or ended, ``reason`` says why it ended, ``session`` names
    the run (a file begun again is a new one). A file is played at its own pace from ``now``.
    ``now`` gives microseconds UTC.
    """

    def __init__(
        self,
        camera: Camera,
        session: str,
        stop: threading.Event,
        *,
        now: Callable[[], int],
        chance: Random,
        opened: Callable[[str], Any] = open_camera,
        backoff: Backoff | None = None,
        capacity: int = 2,
    ) -> None:
        super().__init__(name=f"capture {camera.id}", daemon=True)
        self._camera = camera
        self._stop_event = stop
        self._now = now
        self._chance = chance
        self._opened = opened
        self._backoff = backoff or Backoff()
        self._live = is_live(camera.source)
        self.buffer = FrameBuffer(capacity if self._live else 8, self._live)
        self.session = session
        self.state = "reconnecting" if self._live else "live"
        self.reason = "stopped"

    def run(self) -> None:
        """Capture; an error becomes the ``reason``."""
        try:
            if self._live:
                self._watch()
            else:
                self._play()
        except CaptureError as error:
            self.reason = f"failed: {error}"
            logger.error("%s", error)
        except Exception as error:
            self.reason = f"failed: {type(error).__name__}"
            logger.exception("capture of %s failed", self._camera.label)
        finally:
            self.state = "ended"
            self.buffer.close()

    def _play(self) -> None:
        """A file as if it were filmed now: played again it is another session, with other ids."""
        path = Path(self._camera.source)
        began = self._now()
        start_us, last_us, least_us, turn = began, began, 0, 0
        while True:
            session = self.session if turn == 0 else f"{self.session}-{turn}"
            for frame in file_frames(path, self._camera.id, session, start_us):
                if frame.captured_at_us - last_us < least_us:
                    continue
                least_us = round(1_000_000 / self._camera.fps) if self._camera.fps else 0
                last_us = frame.captured_at_us
                self._stop_event.wait(max(0.0, (frame.captured_at_us - self._now()) / 1e6))
                if self._stop_event.is_set():
                    return
                self.buffer.put(frame, self._stop_event)
            if not self._camera.loop:
                self.reason = "end of file"
                return
            turn += 1
            start_us = last_us + 40_000

    def _watch(self) -> None:
        number = attempt = 0
        while not self._stop_event.is_set():
            try:
                video = self._opened(self._camera.source)
            except CaptureError as error:
                wait = self._backoff.wait(attempt, self._chance)
                logger.warning("%s; next attempt in %.1f s", error, wait)
                attempt += 1
                self._stop_event.wait(wait)
                continue
            try:
                first = number
                number = self._grab(video, number)
                attempt = 0 if number > first else attempt
            finally:
                video.release()
            if not self._stop_event.is_set():
                self.state = "reconnecting"
                wait = self._backoff.wait(attempt, self._chance)
                attempt += 1
                logger.warning(
                    "%s sends no more frames; next attempt in %.1f s", self._camera.label, wait
                )
                self._stop_event.wait(wait)

    def _grab(self, video: Any, number: int) -> int:
        """Frames until the camera goes; those beyond the camera's ``fps`` are not decoded."""
        least_us = 1_000_000 / self._camera.fps if self._camera.fps else 0.0
        last_us = 0
        while not self._stop_event.is_set() and video.grab():
            at_us = self._now()
            if at_us - last_us < least_us:
                continue
            read, image = video.retrieve()
            if not read:
                break
            self.state = "live"
            at_us = max(at_us, last_us + 1)  # the clock may be set back
            last_us = at_us
            self.buffer.put(
                Frame(self._camera.id, self.session, number, at_us, image), self._stop_event
            )
            number += 1
        return number


def wall_us() -> int:
    """Now, in microseconds UTC."""
    return time.time_ns() // 1000
