"""The pictures of this machine: a queue that is a folder, and a cache that gives way."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.cache import PictureCache
from images.store import ImageError
from tests.images.conftest import JPEG

NAME = "2026-11-21/CAM-1/t-1-plate.jpg"
MEGABYTE = 1024 * 1024


def test_what_waits_comes_with_its_tags_the_earliest_day_first(cache: PictureCache):
    for day in ("2026-11-22", "2026-11-20", "2026-11-21"):
        cache.add(f"{day}/CAM-1/x.jpg", JPEG, {"plate_text": day})
    waiting = list(cache.waiting())
    assert [name[:10] for name in waiting] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert cache.to_send(waiting[0]) == (JPEG, {"plate_text": "2026-11-20"})
    assert cache.to_send("nothing.jpg") is None


def test_what_was_sent_waits_no_longer_and_is_still_here(cache: PictureCache):
    cache.add(NAME, JPEG, {"camera_id": "CAM-1"})
    assert cache.sent(NAME)
    assert cache.sent(NAME)  # as another process says that sent it, too
    assert not list(cache.waiting())
    assert not cache.waits(NAME)
    assert cache.read(NAME) == JPEG


def test_what_was_deleted_on_its_way_is_told(cache: PictureCache):
    cache.add(NAME, JPEG)
    cache.remove(NAME)
    assert not cache.sent(NAME)
    assert cache.read(NAME) is None


def test_pictures_of_a_folder_moved_into_the_queue_are_sent_without_tags(
    cache: PictureCache, tmp_path: Path
):
    path = tmp_path / "pictures/waiting" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(JPEG)
    assert list(cache.waiting()) == [NAME]
    assert cache.to_send(NAME) == (JPEG, {})


def test_tags_that_were_cut_off_do_not_hold_the_picture_up(cache: PictureCache, tmp_path: Path):
    cache.add(NAME, JPEG, {"camera_id": "CAM-1"})
    (tmp_path / "pictures/tags" / NAME).write_bytes(b'{"cam')
    assert cache.to_send(NAME) == (JPEG, {})


def test_cleaning_takes_what_was_sent_long_ago_and_nothing_that_waits(
    cache: PictureCache, tmp_path: Path
):
    for name in ("old/sent.jpg", "old/waits.jpg", "new/sent.jpg"):
        cache.add(name, JPEG, {"camera_id": "CAM-1"})
        if "sent" in name:
            cache.sent(name)
    for path in tmp_path.rglob("old/*.jpg"):
        os.utime(path, (0, 0))
    (tmp_path / "pictures/waiting/old/left.part").write_bytes(b"half")
    os.utime(tmp_path / "pictures/waiting/old/left.part", (0, 0))
    assert cache.clean(time.time() - 3600) == 1
    assert cache.read("old/sent.jpg") is None
    assert cache.read("new/sent.jpg") == JPEG
    assert cache.to_send("old/waits.jpg") == (JPEG, {"camera_id": "CAM-1"})
    assert not list(tmp_path.rglob("*.part"))
    cache.clean(time.time() + 1)
    assert not (tmp_path / "pictures/kept").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount to make a small disk with")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(cache: PictureCache) -> None:
    for number in range(100):
        cache.add(f"{number:03}.jpg", b"x" * 100_000, {"camera_id": "CAM-1"})


def test_pictures_leave_the_last_of_a_disk_to_the_reads(small_disk: Path):
    cache = PictureCache(small_disk / "pictures", reserve_bytes=MEGABYTE)
    with pytest.raises(ImageError, match=r"nearly full.*make room") as raised:
        fill(cache)
    kept = len(list(cache.waiting()))
    assert f"{kept:03}.jpg" in str(raised.value)
    assert 30 <= kept <= 40  # of four megabytes, less the 20th part
    (small_disk / "log").write_bytes(b"a read")


def test_a_disk_that_is_full_to_the_brim_leaves_no_half_of_a_picture(small_disk: Path):
    cache = PictureCache(small_disk / "pictures", reserve_bytes=0)
    with pytest.raises(ImageError, match="No space left"):
        fill(cache)
    assert all(len(cache.to_send(name)[0]) == 100_000 for name in cache.waiting())  # type: ignore[index]
    assert not list(small_disk.rglob("*.part"))


def test_on_a_full_disk_what_was_sent_gives_way_the_earliest_first(small_disk: Path):
    cache = PictureCache(small_disk / "pictures", reserve_bytes=MEGABYTE)
    for number in range(20):
        cache.add(f"{number:03}.jpg", b"x" * 100_000)
        cache.sent(f"{number:03}.jpg")
    assert cache.make_room() == 0
    (small_disk / "other").write_bytes(bytes(2_050_000))
    dropped = cache.make_room()
    assert 0 < dropped < 20
    assert cache.read(f"{dropped - 1:03}.jpg") is None
    assert cache.read(f"{dropped:03}.jpg") is not None
    cache.add("new.jpg", JPEG)
