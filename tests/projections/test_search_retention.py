"""OpenSearch drops what is too old as PostgreSQL does, and neither differs from a rebuild by it."""

from contextlib import closing

import pytest

from dataflows.retention import LOOK_S, Retention
from projections.compare import by_hour, contents
from projections.rebuild import rebuild
from projections.search_contents import search_contents
from projections.search_rebuild import rebuild_search
from projections.search_view import SearchView
from projections.timescale import Policies
from projections.view import DAY, SightingsView
from tests.projections.sightings import NOON, event_id, progress, sighting
from tests.projections.test_search_rebuild import (  # noqa: F401 (fixtures)
    append,
    follow,
    server,
)

KEPT = 3


@pytest.fixture
def days(log, codec):
    """A sighting a day for six days; the log has come to the evening of the last."""
    append(log, codec, 0, [sighting(n, 1, at=NOON + n * DAY) for n in range(0, 6, 2)])
    append(log, codec, 1, [sighting(n, 1, at=NOON + n * DAY) for n in range(1, 6, 2)])
    append(log, codec, 1, [progress(NOON + 5 * DAY + DAY // 4)])


@pytest.fixture
def index(log, codec, days, search):
    with closing(SearchView(search, log.uuid, retain_days=KEPT)) as view:
        follow(log, codec, view)
        yield view


@pytest.fixture
def rows(log, codec, days, url):
    policies = Policies(retain_days=KEPT)
    with closing(SightingsView(url, log.uuid, policies=policies)) as view:
        follow(log, codec, view)
        yield view


def shown(url):
    return {one.event_id for one in search_contents(url)}


def events(*numbers):
    return {event_id(number) for number in numbers}


@pytest.mark.slow
def test_both_views_keep_the_same_days_by_the_time_of_the_log(index, rows, search, url):
    for view in (index, rows):
        Retention(view).look()
    assert shown(search) == events(2, 3, 4, 5)
    assert by_hour(search_contents(search)) == by_hour(contents(url))


@pytest.mark.slow
def test_what_went_does_not_come_back(log, codec, index, search):
    index.retain(NOON + 5 * DAY)
    append(log, codec, 0, [sighting(0, 5, at=NOON), sighting(2, 5, at=NOON + 2 * DAY)])
    with closing(SearchView(search, log.uuid, retain_days=KEPT)) as another:
        follow(log, codec, another)
    assert shown(search) == events(2, 3, 4, 5)
    index.retain(NOON)  # a boundary never goes back
    assert shown(search) == events(2, 3, 4, 5)


@pytest.mark.slow
def test_a_rebuild_leaves_it_out_too_and_reports_no_difference(
    log,
    codec,
    index,
    search,
):
    index.retain(NOON + 5 * DAY)
    rebuilt = rebuild_search(search, log, codec, swap=False)
    assert (rebuilt.rows, rebuilt.differences) == (4, [])
    index.retain(NOON + 6 * DAY)  # between two runs of one rebuild
    rebuilt = rebuild_search(search, log, codec)
    assert (rebuilt.rows, rebuilt.differences) == (3, [])
    append(log, codec, 0, [sighting(0, 7, at=NOON), sighting(8, 1, at=NOON + 7 * DAY)])
    follow(log, codec, index)
    assert shown(search) == events(3, 4, 5, 8)


@pytest.mark.slow
def test_what_goes_while_a_rebuild_compares_is_no_difference(
    log,
    codec,
    index,
    search,
    monkeypatch,
):
    from projections import search_rebuild

    whole_hours = search_rebuild.whole_hours

    def meanwhile(*arguments):
        index.retain(NOON + 6 * DAY)
        return whole_hours(*arguments)

    monkeypatch.setattr(search_rebuild, "whole_hours", meanwhile)
    append(log, codec, 0, [sighting(1, 1, at=NOON + DAY, text="OTHER")])
    rebuilt = rebuild_search(search, log, codec)
    assert rebuilt.differences == []
    assert shown(search) == events(3, 4, 5)


def test_the_rows_of_a_rebuild_are_those_that_live_on(rows, log, codec, url):
    Retention(rows).look()
    rebuilt = rebuild(url, log, codec)
    assert (rebuilt.rows, rebuilt.differences) == (4, [])


def test_it_is_looked_once_an_hour_and_not_before_the_log_has_told_a_time():
    class View:
        told: int | None = None
        asked: list[int] = []  # noqa: RUF012

        def watermark(self):
            return self.told

        def retain(self, now):
            self.asked.append(now)

    view, at = View(), [0.0]
    retention = Retention(view, lambda: at[0])
    retention.look()
    assert view.asked == []
    view.told = 7
    retention.look()
    assert view.asked == []
    at[0] = LOOK_S
    retention.look()
    retention.look()
    assert view.asked == [7]
