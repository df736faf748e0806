"""A file gives every frame at its own time, and says what is wrong with it."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.capture import (
    NotVisual,
    SourceMissing,
    Truncated,
    file_frames,
    file_session,
)
from tests.edge.conftest import Film, street


def numbered(count: int) -> list[np.ndarray]:
    """Frames that carry their number as a grey level."""
    return [np.full((96, 128, 3), 10 + 6 * n, np.uint8) for n in range(count)]


def test_no_frame_of_a_file_is_dropped_and_times_are_the_files_own(film: Film) -> None:
    frames = list(file_frames(film(numbered(30), "film.mp4"), "cam", "s", 1_000_000))
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.captured_at_us for frame in frames] == [1_000_000 + 40_000 * n for n in range(30)]
    levels = [int(frame.image.mean()) for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(levels)), levels


def test_reading_a_file_twice_gives_the_same(film: Film) -> None:
    path = film(numbered(10), "film.avi")
    first, second = (list(file_frames(path, "cam", "s", 0)) for _ in range(2))
    assert [frame.captured_at_us for frame in first] == [frame.captured_at_us for frame in second]
    assert all((a.image == b.image).all() for a, b in zip(first, second, strict=True))
    assert file_session(path) == file_session(path)


def test_times_grow_though_a_container_tells_none(film: Film, monkeypatch) -> None:
    class Timeless:
        def __init__(self, path: str, _: int) -> None:
            self._video = REAL(path)

        def get(self, what: int) -> float:
            return 0.0 if what == cv2.CAP_PROP_POS_MSEC else self._video.get(what)

        def __getattr__(self, name: str):
            return getattr(self._video, name)

    REAL = cv2.VideoCapture
    path = film(numbered(5), "film.avi")
    monkeypatch.setattr(cv2, "VideoCapture", Timeless)
    times = [frame.captured_at_us for frame in file_frames(path, "cam", "s", 0)]
    assert times == [0, 40_000, 80_000, 120_000, 160_000]


def test_a_truncated_file_is_read_as_far_as_it_goes_and_then_named(film: Film) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 96, 128, 3), np.uint8)
    path = film(list(noise), "film.avi")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = []
    with pytest.raises((Truncated, NotVisual), match=r"film\.avi") as caught:
        frames.extend(file_frames(path, "cam", "s", 0))
    assert caught.type is Truncated
    assert 10 <= len(frames) < 40


@pytest.mark.parametrize("name", ["missing.mp4", "missing.jpg"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceMissing, match=f"{name}.*o such file"):
        list(file_frames(tmp_path / name, "cam", "s", 0))


@pytest.mark.parametrize("name", ["notes.mp4", "notes.jpg"])
@pytest.mark.parametrize("content", [b"", b"no picture at all" * 50])
def test_a_file_that_is_neither_video_nor_picture_is_named(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotVisual, match=name):
        list(file_frames(tmp_path / name, "cam", "s", 0))


def test_a_folder_gives_its_pictures_by_name_a_second_apart(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), street())
    (tmp_path / "notes.txt").write_text("x")
    frames = list(file_frames(tmp_path, "cam", "s", 5))
    assert [frame.captured_at_us for frame in frames] == [5, 1_000_005]
    assert len(file_session(tmp_path)) == 8


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotVisual, match="holds no pictures"):
        list(file_frames(tmp_path, "cam", "s", 0))
