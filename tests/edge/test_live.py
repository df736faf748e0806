"""Live cameras: the newest frame, a bounded buffer, coming back after they have gone."""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest

from edge.cameras import Camera
from edge.capture import Frame, SourceMissing
from edge.live import Backoff, Capture, FrameBuffer, open_camera, wall_us
from tests.edge.conftest import Film

PICTURE = np.zeros((48, 64, 3), np.uint8)
DEBIANS_PYTHON = "/usr/bin/python3"


def frame(number: int) -> Frame:
    return Frame("cam", "s", number, number, PICTURE)


def drain(capture: Capture) -> list[Frame]:
    frames = []
    deadline = time.monotonic() + 20
    while not capture.buffer.finished and time.monotonic() < deadline:
        got = capture.buffer.get(0.05)
        frames += [] if got is None else [got]
    return frames


def test_a_full_buffer_of_a_camera_lets_the_oldest_go_and_counts_it() -> None:
    buffer = FrameBuffer(capacity=2, live=True)
    for number in range(5):
        buffer.put(frame(number), threading.Event())
    assert [buffer.get(0).number, buffer.get(0).number, buffer.get(0)] == [3, 4, None]
    assert (buffer.seen, buffer.dropped) == (5, 3)


def test_a_full_buffer_of_a_file_waits_and_drops_nothing() -> None:
    buffer = FrameBuffer(capacity=2, live=False)
    stop = threading.Event()
    writer = threading.Thread(target=lambda: [buffer.put(frame(n), stop) for n in range(20)])
    writer.start()
    numbers = [buffer.get(1).number for _ in range(20)]
    writer.join()
    assert numbers == list(range(20))
    assert buffer.dropped == 0


def test_waiting_doubles_up_to_a_limit_with_chance_in_it() -> None:
    chance, backoff = Random(1), Backoff(first=1.0, most=8.0)
    for attempt, full in enumerate([1, 2, 4, 8, 8, 8]):
        waits = [backoff.wait(attempt, chance) for _ in range(50)]
        assert full / 2 <= min(waits) < max(waits) <= full


class Flaky:
    """A camera that gives ``frames`` frames and then goes."""

    def __init__(self, frames: int) -> None:
        self.left = frames
        self.released = False

    def grab(self) -> bool:
        self.left -= 1
        time.sleep(0.002)
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, PICTURE

    def release(self) -> None:
        self.released = True


def test_a_camera_that_goes_is_connected_again_and_numbers_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    stop = threading.Event()
    videos = [Flaky(3), None, Flaky(2)]

    def opened(source: str) -> Flaky:
        if not videos:
            stop.set()
            raise SourceMissing("over")
        video = videos.pop(0)
        if video is None:
            raise SourceMissing(f"{source}: the camera does not answer")
        return video

    capture = Capture(
        Camera("cam", "rtsp://admin:s3cret@host/1"),
        "s",
        stop,
        now=wall_us,
        chance=Random(1),
        opened=opened,
        backoff=Backoff(first=0.01, most=0.02),
        capacity=100,
    )
    capture.start()
    frames = drain(capture)
    assert [one.number for one in frames] == [0, 1, 2, 3, 4]
    times = [one.captured_at_us for one in frames]
    assert times == sorted(set(times))
    assert capture.state == "ended"
    assert "rtsp://host/1" in caplog.text
    assert "s3cret" not in caplog.text


def test_frames_beyond_the_cameras_rate_are_not_decoded() -> None:
    stop = threading.Event()
    videos = [Flaky(60)]

    def opened(_: str) -> Flaky:
        if not videos:
            stop.set()
            raise SourceMissing("over")
        return videos.pop()

    capture = Capture(
        Camera("cam", "rtsp://host/1", fps=25.0),
        "s",
        stop,
        now=wall_us,
        chance=Random(1),
        opened=opened,
        backoff=Backoff(0.01, 0.01),
        capacity=100,
    )
    capture.start()
    frames = drain(capture)
    gaps = np.diff([one.captured_at_us for one in frames])
    assert 2 <= len(frames) < 60
    assert gaps.min() >= 40_000


def test_a_camera_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(SourceMissing, match="the camera does not answer") as caught:
        open_camera("rtsp://admin:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in str(caught.value)


def test_a_file_that_loops_begins_again_as_a_new_session_with_later_times(film: Film) -> None:
    path = film([np.full((96, 128, 3), 20 * n, np.uint8) for n in range(5)], "film.avi")
    stop = threading.Event()
    capture = Capture(Camera("cam", str(path), loop=True), "", stop, now=wall_us, chance=Random(1))
    capture.start()
    frames = []
    while len(frames) < 12:
        got = capture.buffer.get(5)
        assert got is not None
        frames.append(got)
    stop.set()
    capture.join(5)
    assert [one.number for one in frames] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert len({one.session for one in frames}) == 3
    assert capture.buffer.dropped == 0
    times = [one.captured_at_us for one in frames]
    assert times == sorted(set(times))


def test_a_file_that_is_not_there_ends_with_the_reason(tmp_path: Path) -> None:
    capture = Capture(
        Camera("cam", str(tmp_path / "no.mp4")),
        "",
        threading.Event(),
        now=wall_us,
        chance=Random(1),
    )
    capture.start()
    assert drain(capture) == []
    assert "no such file" in capture.reason.lower()


@pytest.fixture
def rtsp_camera() -> Iterator[str]:
    """The address of a real RTSP server of 20 frames a second."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    here = (
        Path(DEBIANS_PYTHON).exists()
        and not subprocess.run(
            [DEBIANS_PYTHON, "-c", probe], check=False, capture_output=True
        ).returncode
    )
    if not here:
        message = "no GStreamer RTSP server: apt install gir1.2-gst-rtsp-server-1.0 python3-gi"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    script = Path(__file__).parent / "rtsp_camera.py"
    with subprocess.Popen(
        [DEBIANS_PYTHON, str(script)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


def test_a_real_rtsp_camera_is_read_at_its_rate_and_waited_for_when_it_goes(
    rtsp_camera: str,
) -> None:
    stop = threading.Event()
    capture = Capture(
        Camera("cam", rtsp_camera), "s", stop, now=wall_us, chance=Random(1), capacity=2
    )
    capture.start()
    frames = []
    while len(frames) < 40:
        got = capture.buffer.get(15)
        assert got is not None, capture.state
        frames.append(got)
    stop.set()
    capture.join(15)
    assert frames[0].image.shape == (240, 320, 3)
    seconds = (frames[-1].captured_at_us - frames[0].captured_at_us) / 1e6
    assert 0.3 < seconds < 6  # a server may send what it has buffered at once


def test_a_file_played_again_is_another_session_so_that_no_id_repeats(tmp_path):
    path = tmp_path / "clip.avi"
    clip = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for shade in (0, 80, 160):
        clip.write(np.full((48, 64, 3), shade, np.uint8))
    clip.release()
    sessions = set()
    for session in ("first", "again"):
        stop = threading.Event()
        camera = Camera(id="A", source=str(path))
        capture = Capture(camera, session, stop, now=wall_us, chance=Random(1))
        capture.start()
        while not capture.buffer.finished:
            frame = capture.buffer.get(timeout=1)
            if frame is not None:
                sessions.add(frame.session)
    assert sessions == {"first", "again"}
