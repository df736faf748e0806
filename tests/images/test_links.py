"""Signed links to pictures: good for one picture and a while, and for nobody who guesses."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from images.links import Expired, Forged, SignedLinks, secret_of
from images.store import ImageError

LINKS = SignedLinks(b"s" * 32)
PATH = "images/2026-06-15/CAM-001/t-1-plate.jpg"


@given(st.text(min_size=1, max_size=300), st.integers(1, 2**39))
def test_a_token_says_its_path_until_its_end(path: str, end: int):
    token = LINKS.token(path, end)
    assert LINKS.path_of(token, end - 1) == path
    with pytest.raises(Expired):
        LINKS.path_of(token, end)


def test_a_token_stands_in_a_url_as_it_is():
    token = LINKS.token(PATH, 1_800_000_000)
    assert token.replace("-", "").replace("_", "").isalnum()
    assert len(token) < 100


@given(st.integers(0, 87), st.integers(1, 63))
def test_a_token_that_was_changed_at_any_place_is_forged(at: int, by: int):
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = LINKS.token(PATH, 1_800_000_000)
    at %= len(token)
    other = alphabet[(alphabet.index(token[at]) + by) % 64]
    try:
        # The last sign of base64 has bits that mean nothing: another text of the same bytes.
        assert LINKS.path_of(token[:at] + other + token[at + 1 :], 0) == PATH
        assert at == len(token) - 1
    except Forged:
        pass


@given(st.text(max_size=3000))
@example("")
@example("A" * 22)
@example("A" * 28)
@example("é" * 30)
@example("=" * 30)
@example("A" * 5000)
def test_a_token_that_is_none_is_forged(text: str):
    with pytest.raises(Forged):
        LINKS.path_of(text, 0)


def test_a_token_of_another_secret_is_forged():
    with pytest.raises(Forged):
        SignedLinks(b"t" * 32).path_of(LINKS.token(PATH, 1_800_000_000), 0)
    with pytest.raises(ValueError, match="at least 32 bytes"):
        SignedLinks(b"short")


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path):
    file = tmp_path / "made" / "link-secret"
    secret = secret_of(file)
    assert len(secret) == 32
    assert secret_of(file) == secret
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["link-secret"]


def test_who_make_it_at_once_go_on_with_the_same(tmp_path: Path):
    file, found, gate = tmp_path / "link-secret", [], threading.Barrier(8)

    def make() -> None:
        gate.wait()
        found.append(secret_of(file))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert os.listdir(tmp_path) == ["link-secret"]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder's place where a file stands."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "link-secret"


def test_a_secret_that_cannot_be_kept_or_used_is_told(closed: Path, tmp_path: Path):
    with pytest.raises(ImageError, match="cannot be"):
        secret_of(closed)
    short = tmp_path / "short"
    short.write_bytes(b"x")
    with pytest.raises(ImageError, match="holds no secret of 32 bytes: remove it"):
        secret_of(short)
