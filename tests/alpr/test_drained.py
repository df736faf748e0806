"""When `alpr up --once` is through, and where it says that its pages are."""

from contextlib import closing
from pathlib import Path

import pytest

from alpr.drain import Drain
from alpr.settings import load
from alpr.up import Up
from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.search_view import SearchView
from projections.view import SightingsView
from schemas.codec import Codec
from schemas.topics import DETECTED
from tests.projections.sightings import sighting


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("0.0.0.0", "http://localhost:8000/"),
        ("::", "http://localhost:8000/"),
        ("192.0.2.7", "http://192.0.2.7:8000/"),
    ],
)
def test_the_address_of_the_pages_can_be_opened(host: str, address: str):
    assert Up(load({"ALPR_API_HOST": host}, None), lambda *_: None).address == address


@pytest.mark.slow
def test_all_is_shown_when_both_views_have_it(tmp_path: Path, postgres_url: str, search: str):
    codec = Codec(SqliteRegistry(tmp_path))
    codec.register()
    log = SqliteLog(tmp_path, 1)
    events = [sighting(number) for number in range(3)]
    values = [codec.encode(DETECTED.name, "PlateEvent", event) for event in events]
    log.append(DETECTED.name, 0, [Append(b"k", value) for value in values])
    with (
        closing(Drain(log, codec, [0])) as drain,
        closing(SightingsView(postgres_url, log.uuid)) as view,
    ):
        assert not drain.shown(postgres_url, "")
        view.apply(0, 0, events, 3)
        assert drain.shown(postgres_url, "")
        assert not drain.shown(postgres_url, search)  # nobody made an index yet
        with closing(SearchView(search, log.uuid)) as index:
            index.apply(0, 0, events[:2], 2)
            assert not drain.shown(postgres_url, search)
            index.apply(0, 2, events[2:], 3)
        assert drain.shown(postgres_url, search)
