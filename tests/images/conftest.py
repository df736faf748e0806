"""A bucket of the test's own on a real MinIO, and patience with it."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from images.address import S3Address
from images.cache import PictureCache
from images.s3 import Bucket, S3Store

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
RETENTION_DAYS = 90


def eventually(check: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, "it did not become so"
        time.sleep(0.05)


def made(address: S3Address) -> Bucket:
    """A bucket, made."""
    bucket = Bucket(address)
    bucket.ensure(RETENTION_DAYS)
    return bucket


def names_in(bucket: Bucket) -> list[str]:
    """What is in a bucket."""
    client = bucket._client
    found = client.list_objects(bucket.address.bucket, recursive=True)
    return sorted(str(item.object_name) for item in found)


@pytest.fixture
def bucket(minio: str) -> Iterator[Bucket]:
    """A bucket of this test's own, whose links lead to the server itself."""
    address = S3Address.parse(minio)
    found = made(
        replace(
            address,
            bucket=f"alpr-test-{secrets.token_hex(6)}",
            public=("https://" if address.secure else "http://") + address.endpoint,
        )
    )
    yield found
    for name in names_in(found):
        found.delete(name)
    found._client.remove_bucket(found.address.bucket)


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    return PictureCache(tmp_path / "pictures")


@pytest.fixture
def store(bucket: Bucket, cache: PictureCache) -> S3Store:
    return S3Store(bucket, cache)
