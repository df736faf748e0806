"""Pictures that lie in a bucket, asked of the API: links, bytes, and a bucket that is away."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from images.address import S3Address
from images.cache import PictureCache
from images.s3 import Bucket, S3Store
from images.upload import Uploads
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.world import SHOWN, World
from tests.images.conftest import eventually, made
from tests.projections.sightings import event_id
from tests.servers import Minio

SHOWN_FRAME = f"2025-06-15/{SHOWN}-frame.jpg"


@pytest.fixture(scope="module")
def address(minio: str) -> S3Address:  # type: ignore[override]
    return replace(S3Address.parse(minio), bucket=f"alpr-test-{secrets.token_hex(6)}")


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's pictures, moved from their folder into the queue, as docs/pictures.md says."""
    made = tmp_path_factory.mktemp("cache")
    shutil.copytree(world.pictures._folder, made / "waiting")
    return made


@pytest.fixture(scope="module")
def moved(address: S3Address, folder: Path) -> Bucket:
    """The bucket after the move."""
    bucket, cache = made(address), PictureCache(folder)
    with Uploads(bucket, cache, chance=Random(1)):
        eventually(lambda: not any(cache.waiting()))
    return bucket


@pytest.fixture
def elsewhere(tmp_path: Path) -> PictureCache:
    """The cache of a machine that has seen no picture."""
    return PictureCache(tmp_path / "none")


@pytest.fixture
def ask(queries: SightingQueries) -> Callable[..., httpx.Response]:
    """Asks an API that has the given store for a picture, without following where it leads."""

    def get(store: S3Store, path: str, **options: Any) -> httpx.Response:
        with served(queries, store) as api:
            return httpx.get(f"{api}/images/{path}", **options)

    return get


def public(address: S3Address) -> S3Address:
    return replace(address, public=f"{'https' if address.secure else 'http'}://{address.endpoint}")


def test_where_browsers_do_not_reach_the_bucket_the_api_passes_pictures_on(
    moved: Bucket, elsewhere: PictureCache, world: World, ask: Callable[..., httpx.Response]
):
    answer = ask(S3Store(moved, elsewhere), SHOWN_FRAME)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == world.pictures.get(f"images/{SHOWN_FRAME}")


def test_where_they_do_they_are_led_to_it_for_a_few_minutes(
    moved: Bucket, elsewhere: PictureCache, world: World, ask: Callable[..., httpx.Response]
):
    bucket = Bucket(public(moved.address))
    answer = ask(S3Store(bucket, elsewhere), SHOWN_FRAME)
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "private, max-age=240"  # the link is good for 300 s
    assert answer.headers["location"].startswith(bucket.address.public + "/")
    assert bucket.address.secret not in answer.headers["location"]
    assert f"img-src 'self' {bucket.address.public}" in answer.headers["content-security-policy"]
    there = httpx.get(answer.headers["location"])
    assert there.headers["content-type"] == "image/jpeg"
    assert there.content == world.pictures.get(f"images/{SHOWN_FRAME}")


def test_a_picture_that_is_not_uploaded_yet_comes_from_this_machine(
    moved: Bucket, elsewhere: PictureCache, ask: Callable[..., httpx.Response]
):
    store = S3Store(Bucket(public(moved.address)), elsewhere)
    store.put("2025-06-15/new.jpg", b"\xff\xd8 new \xff\xd9")
    answer = ask(store, "2025-06-15/new.jpg")
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8 new \xff\xd9")


@pytest.mark.parametrize(
    "path", ["nothing.jpg", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "..%2fx", "a%00b", ""]
)
@pytest.mark.parametrize("linked", [False, True])
def test_there_is_no_picture_outside_the_bucket(
    moved: Bucket,
    elsewhere: PictureCache,
    ask: Callable[..., httpx.Response],
    path: str,
    linked: bool,
):
    bucket = Bucket(public(moved.address)) if linked else moved
    answer = ask(S3Store(bucket, elsewhere), path, follow_redirects=True)
    assert answer.status_code == 404
    if not linked:
        assert "there is no picture" in answer.json()["detail"]


def test_while_the_bucket_is_away_pictures_are_503_and_pages_come_without_them(
    own_server: Callable[..., Any], queries: SightingQueries, elsewhere: PictureCache
):
    server = own_server(Minio)
    bucket = made(S3Address.parse(server.url))
    server.kill()
    with served(queries, S3Store(bucket, elsewhere)) as api:
        answer = httpx.get(f"{api}/images/{SHOWN_FRAME}")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the pictures cannot be reached: try again in a moment"
        page = httpx.get(f"{api}/sightings/{event_id(SHOWN)}", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "The picture of the frame cannot be reached at the moment." in page.text
        html = httpx.get(f"{api}/images/{SHOWN_FRAME}", headers={"accept": "text/html"})
        assert "Away for the moment" in html.text
        server.start()
        eventually(lambda: httpx.get(f"{api}/images/{SHOWN_FRAME}").status_code == 404)


def test_a_page_shows_pictures_that_come_straight_from_the_bucket(
    chromium: Browser, queries: SightingQueries, moved: Bucket, elsewhere: PictureCache
):
    refused: list[str] = []
    with served(queries, S3Store(Bucket(public(moved.address)), elsewhere)) as api:
        page = chromium.new_page()
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"{api}/sightings/{event_id(SHOWN)}")
        page.wait_for_function(
            "[...document.images].length > 0 && [...document.images].every(i => i.complete)"
        )
        widths = page.evaluate("[...document.images].map(i => i.naturalWidth)")
        page.close()
    assert widths
    assert all(widths), refused
