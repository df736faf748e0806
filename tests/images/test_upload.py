"""Uploads: everything arrives, whatever dies in between, and nobody waits for them."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.address import S3Address
from images.cache import PictureCache
from images.s3 import Bucket, S3Store
from images.store import NO_TAGS, StoreAway
from images.upload import Uploads, wait_s
from tests.images.conftest import JPEG, eventually, made, names_in
from tests.servers import Minio, free_port

ROOT = Path(__file__).parents[2]
TAGS = {"camera_id": "CAM-1", "plate_text": "34A231"}


def names(count: int, day: str = "2026-11-21") -> list[str]:
    return [f"{day}/CAM-1/t-{number:04}-plate.jpg" for number in range(count)]


def uploads(bucket: Bucket, cache: PictureCache, **options: Any) -> Uploads:
    return Uploads(bucket, cache, chance=Random(1), **options)


def test_pictures_arrive_with_their_tags_and_stay_here_for_a_while(
    bucket: Bucket, store: S3Store, cache: PictureCache
):
    with uploads(bucket, cache) as running:
        for name in names(50):
            store.put(name, JPEG, TAGS)
        eventually(lambda: running.counts().waiting == 0)
    assert names_in(bucket) == names(50)
    assert running.counts().uploaded == 50
    assert running.counts().failed == 0
    kept = bucket._client.get_object_tags(bucket.address.bucket, names(1)[0])
    assert kept == TAGS
    assert cache.read(names(1)[0]) == JPEG


def test_what_an_earlier_process_left_is_sent(bucket: Bucket, store: S3Store, cache: PictureCache):
    for name in names(20):
        store.put(name, JPEG)
    with uploads(bucket, cache):
        eventually(lambda: names_in(bucket) == names(20))


def test_keeping_a_picture_does_not_wait_for_a_server_that_is_away(cache: PictureCache):
    address = S3Address.parse(f"s3+http://a:b@127.0.0.1:{free_port()}/pictures")
    store = S3Store(Bucket(address), cache)
    with uploads(Bucket(address), cache) as running:
        began = time.monotonic()
        for name in names(100):
            assert store.get(store.put(name, JPEG)) == JPEG
        assert time.monotonic() - began < 5  # 0.1 s on an idle machine
        eventually(lambda: running.counts().failed > 0)
        assert running.counts().waiting == 100


def test_minio_is_killed_and_comes_back_and_everything_arrives(
    own_server: Callable[..., Any], cache: PictureCache, caplog: pytest.LogCaptureFixture
):
    server = own_server(Minio)
    bucket = made(S3Address.parse(server.url))
    store = S3Store(bucket, cache)
    with uploads(bucket, cache) as running:
        for number, name in enumerate(names(300)):
            store.put(name, JPEG, TAGS)
            if number == 100:
                server.kill()
        eventually(lambda: running.counts().failed > 0)
        server.start()
        eventually(lambda: running.counts().waiting == 0, 60)
    assert names_in(bucket) == names(300)
    said = [record for record in caplog.records if record.name == "images.upload"]
    assert "cannot be reached" in said[0].getMessage()
    assert "again" in said[-1].getMessage()
    assert len(said) <= 4  # by outage, not by picture


WORKER = """
import sys
from pathlib import Path
from random import Random
from images.address import S3Address
from images.cache import PictureCache
from images.s3 import Bucket, S3Store
from images.upload import Uploads

bucket, cache = Bucket(S3Address.parse(sys.argv[1])), PictureCache(Path(sys.argv[2]))
store = S3Store(bucket, cache)
with Uploads(bucket, cache, chance=Random(1)):
    for number in range(int(sys.argv[3]), 1_000_000):
        print(store.put(f"2026-11-21/{number:06}.jpg", b"%06d" % number * 5000), flush=True)
"""


def test_a_process_killed_in_the_middle_loses_no_picture_that_it_had_kept(
    bucket: Bucket, cache: PictureCache, tmp_path: Path
):
    url = f"{bucket.address.key}:{bucket.address.secret}@{bucket.address.endpoint}"
    scheme = "s3+https" if bucket.address.secure else "s3+http"
    url = f"{scheme}://{url}/{bucket.address.bucket}?region={bucket.address.region}"
    kept: list[str] = []
    chance = Random(7)
    for _ in range(3):
        folder = str(tmp_path / "pictures")
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, url, folder, str(len(kept))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        started = len(kept)
        said = [process.stdout.readline() for _ in range(chance.randint(60, 200))]
        process.send_signal(signal.SIGKILL)
        # What it said between our last line and its death counts, too.
        said += [line for line in process.stdout if "\n" in line]
        kept += [line.strip().removeprefix("images/") for line in said]
        process.wait()
        assert len(kept) > started
    with uploads(bucket, cache) as running:
        eventually(lambda: running.counts().waiting == 0, 60)
    there = names_in(bucket)
    assert set(kept) <= set(there)
    assert len(there) - len(set(kept)) <= 3  # kept, and killed before it was said
    for name in chance.sample(there, 40):
        number = int(name.removesuffix(".jpg").rpartition("/")[2])
        assert bucket.get(name) == b"%06d" % number * 5000


def test_two_processes_may_send_from_one_folder(
    bucket: Bucket, store: S3Store, cache: PictureCache, caplog: pytest.LogCaptureFixture
):
    for name in names(100):
        store.put(name, JPEG, TAGS)
    with uploads(bucket, cache) as one, uploads(bucket, cache) as other:
        eventually(lambda: not any(cache.waiting()))
    assert names_in(bucket) == names(100)
    assert one.counts().failed + other.counts().failed == 0
    assert not caplog.records


def test_a_wrong_key_is_told_once_and_pictures_wait(
    bucket: Bucket, cache: PictureCache, caplog: pytest.LogCaptureFixture
):
    wrong = Bucket(replace(bucket.address, secret="wrong"))
    store = S3Store(wrong, cache)
    for name in names(5):
        store.put(name, JPEG)
    with uploads(wrong, cache) as running:
        eventually(lambda: running.counts().failed >= 3)
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "correct SECRET in ALPR_IMAGES_URL" in error.getMessage()
    assert running.counts().waiting == 5
    assert "5 pictures are not in S3 yet" in caplog.records[-1].getMessage()


class Recorded:
    """A bucket that notes when it was asked, and does what it is told to."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self.asked: list[tuple[float, str]] = []
        self.deleted: list[str] = []

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> None:
        self.asked.append((time.monotonic(), name))
        self._put(name)

    def delete(self, name: str) -> None:
        self.deleted.append(name)


def away(name: str) -> None:
    raise StoreAway("the bucket is away")


@given(st.integers(0, 10_000), st.integers())
def test_waits_double_from_one_failure_to_the_next_up_to_a_minute(before: int, seed: int):
    full = min(60.0, 0.5 * 2.0 ** min(before, 1000))
    assert full / 2 <= wait_s(before, Random(seed)) <= full


def test_a_server_that_is_away_is_asked_ever_more_rarely(cache: PictureCache):
    bucket = Recorded(away)
    for name in names(100):
        cache.add(name, JPEG)
    with uploads(bucket, cache):  # type: ignore[arg-type]
        time.sleep(2.0)
    # At most four at 0 s, and after waits of 0.25, 0.5, 1 s at least.
    assert len(bucket.asked) <= 16


def test_one_picture_that_cannot_be_sent_does_not_hold_up_the_others(cache: PictureCache):
    def refuses(name: str) -> None:
        if "0000" in name:
            raise StoreAway("InvalidTag")

    bucket = Recorded(refuses)
    for name in names(30):
        cache.add(name, JPEG)
    with uploads(bucket, cache) as running:  # type: ignore[arg-type]
        eventually(lambda: running.counts().waiting == 1)
    assert list(cache.waiting()) == names(1)


def test_a_picture_deleted_while_it_is_on_its_way_does_not_come_back(cache: PictureCache):
    on_its_way, deleted = threading.Event(), threading.Event()

    def slow(name: str) -> None:
        on_its_way.set()
        deleted.wait(10)

    bucket = Recorded(slow)
    cache.add("a.jpg", JPEG)
    with uploads(bucket, cache):  # type: ignore[arg-type]
        assert on_its_way.wait(10)
        cache.remove("a.jpg")
        deleted.set()
        eventually(lambda: bucket.deleted == ["a.jpg"])


def test_the_end_waits_for_what_is_waiting_but_not_longer_than_told(
    cache: PictureCache, caplog: pytest.LogCaptureFixture
):
    bucket = Recorded(lambda name: time.sleep(0.02))
    for name in names(20):
        cache.add(name, JPEG)
    with uploads(bucket, cache):  # type: ignore[arg-type]
        pass
    assert not any(cache.waiting())
    for name in names(20):
        cache.add(name, JPEG)
    slow = Recorded(lambda name: time.sleep(0.4))
    running = uploads(slow, cache).__enter__()  # type: ignore[arg-type]
    began = time.monotonic()
    left = running.close(1.0)
    assert time.monotonic() - began < 3
    assert 0 < left < 20
    assert f"{left} pictures are not in S3 yet" in caplog.text


def test_an_empty_picture_that_a_loss_of_power_left_is_dropped(
    cache: PictureCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    cache.add("a.jpg", b"")
    bucket = Recorded(lambda name: None)
    with uploads(bucket, cache):  # type: ignore[arg-type]
        eventually(lambda: not any(cache.waiting()))
    assert not bucket.asked
    assert "a.jpg was empty" in caplog.text


def test_what_was_sent_leaves_this_machine_after_its_days(cache: PictureCache, tmp_path: Path):
    cache.add("a.jpg", JPEG)
    cache.sent("a.jpg")
    bucket = Recorded(lambda name: None)
    for days, there in ((29, True), (31, False)):
        with uploads(bucket, cache, now=lambda days=days: time.time() + days * 86_400):  # type: ignore[arg-type]
            eventually(lambda there=there: (cache.read("a.jpg") is not None) is there)
            time.sleep(0.2)
        assert (cache.read("a.jpg") is not None) is there
