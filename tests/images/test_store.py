"""What every store keeps to: the folder and the bucket behind its cache."""

import threading
from pathlib import Path

import pytest

from images.s3 import S3Store
from images.store import FolderStore, ImageError, ImageStore, NoPicture, name_of
from tests.images.conftest import JPEG

NAME = "2026-11-21/CAM-001/t-1a2b-7-120-plate.jpg"
STRANGE = ["2026-11-21/ä 京 &?#%.jpg", "a/" + "x" * 250 + ".jpg", "a b/c+d=e.jpg"]
NOWHERE = [
    *("", "/", "/etc/passwd", "..", "../x.jpg", "a/../../x.jpg", "a\\..\\x.jpg", "a\0.jpg"),
    *("a\nb.jpg", "\ud800.jpg", "x" * 256 + ".jpg", "a/" * 600 + "x.jpg"),
]


@pytest.fixture(params=["folder", "bucket"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "pictures")
    return request.getfixturevalue("store")


def test_a_picture_is_found_at_the_address_that_keeping_it_gave(stores: ImageStore):
    url = stores.put(NAME, JPEG, {"camera_id": "CAM-001"})
    assert url == f"images/{NAME}"  # whatever the store: it is in the log for ever
    assert stores.get(url) == JPEG


def test_a_picture_that_is_kept_again_is_replaced(stores: ImageStore):
    stores.put(NAME, JPEG)
    stores.put(NAME, JPEG * 2)
    assert stores.get(f"images/{NAME}") == JPEG * 2


@pytest.mark.parametrize("name", STRANGE)
def test_a_name_may_hold_any_printable_sign(stores: ImageStore, name: str):
    assert stores.get(stores.put(name, JPEG)) == JPEG


def test_one_that_was_never_kept_is_no_picture(stores: ImageStore):
    with pytest.raises(NoPicture, match="nothing"):
        stores.get("images/nothing.jpg")


def test_what_is_a_folder_or_below_a_picture_is_no_picture(stores: ImageStore):
    url = stores.put(NAME, JPEG)
    for wrong in (url.rpartition("/")[0], url + "/more.jpg"):
        with pytest.raises(NoPicture):
            stores.get(wrong)


def test_a_picture_that_was_deleted_is_gone_and_may_be_deleted_again(stores: ImageStore):
    url = stores.put(NAME, JPEG)
    stores.delete(url)
    stores.delete(url)
    with pytest.raises(NoPicture):
        stores.get(url)


@pytest.mark.parametrize("name", NOWHERE)
def test_an_address_leads_nowhere_but_into_the_store(stores: ImageStore, name: str):
    for ask in (stores.get, stores.link, stores.delete):
        with pytest.raises(NoPicture, match="not the address of a picture"):
            ask("images/" + name)
    with pytest.raises(ImageError):
        stores.put(name, JPEG)


def test_an_address_begins_with_images():
    for url in ("", NAME, f"s3://bucket/{NAME}", f"/images/{NAME}", f"file:///images/{NAME}"):
        with pytest.raises(NoPicture):
            name_of(url)


def test_who_reads_while_it_is_written_sees_all_of_it_or_nothing(stores: ImageStore):
    url = stores.put(NAME, b"0" * 100_000)
    wrong: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if len(set(seen := stores.get(url))) != 1 or len(seen) != 100_000:
                wrong.append(seen)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(200):
        stores.put(NAME, str(number % 10).encode() * 100_000)
    done.set()
    reader.join()
    assert not wrong


def test_a_bucket_leads_browsers_to_itself_and_a_folder_nowhere(store: S3Store, tmp_path: Path):
    assert FolderStore(tmp_path).link(f"images/{NAME}") is None
    assert FolderStore(tmp_path).origin == ""
    link = store.link(f"images/{NAME}")
    assert link is not None
    assert link.startswith(store.origin + "/")
