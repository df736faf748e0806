"""Pictures by signed links, asked of a real server that wants keys for all else."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from images.links import SignedLinks, secret_of
from projections.access import AccessKeys
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.test_process import alpr_api
from tests.api.world import SHOWN, World

PATH = f"images/2025-06-15/{SHOWN}-frame.jpg"
LINKS = SignedLinks(b"of this test, and 32 bytes long..")


@pytest.fixture(scope="module")
def address(world: World, queries: SightingQueries, keys: AccessKeys) -> Iterator[str]:
    with served(queries, world.pictures, keys=keys, links=LINKS) as found:
        yield found


def ask(address: str, path: str, seconds: float = 600, **options: object) -> httpx.Response:
    token = LINKS.token(path, time.time() + seconds)
    return httpx.get(f"{address}/pictures/{token}", **options)  # type: ignore[arg-type]


def test_whoever_has_the_link_sees_the_picture_and_nothing_else(address: str, world: World):
    answer = ask(address, PATH)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.content == world.pictures.get(PATH)
    assert httpx.get(f"{address}/{PATH}").status_code == 401
    assert httpx.get(f"{address}/events/recent").status_code == 401


def test_a_link_whose_time_is_over_is_gone(address: str):
    answer = ask(address, PATH, -1)
    assert answer.status_code == 410
    assert answer.json()["error"] == "gone"
    assert "no longer good" in answer.json()["detail"]
    page = ask(address, PATH, -1, headers={"accept": "text/html"})
    assert page.status_code == 410
    assert "no longer good" in page.text


def test_a_forged_link_leads_nowhere(address: str):
    other = SignedLinks(b"x" * 32).token(PATH, time.time() + 600)
    for token in (other, "x", "A" * 60, "%00", "..%2f..%2fetc%2fpasswd"):
        assert httpx.get(f"{address}/pictures/{token}").status_code == 404


@pytest.mark.parametrize(
    "path", ["images/../../etc/passwd", "/etc/passwd", "images//etc/passwd", "images/none.jpg"]
)
def test_even_a_signed_path_stays_among_the_pictures(address: str, path: str):
    assert ask(address, path).status_code == 404


def test_a_server_without_links_knows_none(world: World, queries: SightingQueries):
    with served(queries, world.pictures) as found:
        assert ask(found, PATH).status_code == 404


def test_links_of_the_file_and_the_public_address_are_good_in_a_process_of_its_own(
    world: World, tmp_path: Path
):
    settings = {
        "ALPR_PUBLIC_URL": "https://alpr.example",
        "ALPR_API_AUTH": "required",
        "ALPR_IMAGES_URL": world.pictures._folder.as_uri(),
    }
    with alpr_api(world.url, tmp_path, **settings) as api:
        token = SignedLinks(secret_of(tmp_path / "link-secret")).token(PATH, time.time() + 60)
        url = f"http://127.0.0.1:{api.port}/pictures/{token}"
        assert httpx.get(url, headers={"host": "alpr.example"}).content == world.pictures.get(PATH)
        assert httpx.get(url, headers={"host": "evil.example"}).status_code == 421
        assert token not in api.end()
