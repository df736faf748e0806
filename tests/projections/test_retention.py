"""What is too old goes on every server, is not counted, does not come back, and differs nowhere."""

from contextlib import closing

import pytest

from projections.queries import SightingQueries
from projections.rebuild import rebuild
from projections.timescale import Policies
from projections.view import DAY, SightingsView
from tests.projections.sightings import NOON, event_id, sighting
from tests.projections.test_consistency import counted
from tests.projections.test_rebuild import append, follow


@pytest.fixture
def live(log, codec, url):
    """A sighting a day for six days, one retracted, all of one plate but the first."""
    with closing(SightingsView(url, log.uuid, policies=Policies(retain_days=3))) as view:
        days = [sighting(n, 1, at=NOON + n * DAY, text="SAME123") for n in range(1, 6)]
        append(log, codec, 0, [sighting(0, 1, at=NOON, text="FIRST11"), *days])
        append(log, codec, 1, [sighting(9, 1, at=NOON + DAY, status="retracted")])
        follow(log, codec, view)
        yield view


def shown(url):
    with closing(SightingQueries(url)) as queries:
        return {row["event_id"] for row in queries.recent(100, retracted=True)}


def test_whole_days_go_and_the_counts_with_them(live, url):
    live.retain(NOON + 6 * DAY)
    assert shown(url) == {event_id(n) for n in (3, 4, 5)}
    with closing(SightingQueries(url)) as queries:
        stats = queries.stats()
    assert (stats["total_events"], stats["unique_plates"]) == (3, 1)
    assert counted(url) == counted(url, anew=True)
    live.retain(NOON + 6 * DAY)
    assert len(shown(url)) == 3


def test_without_a_policy_everything_stays(log, codec, live, url):
    with closing(SightingsView(url, log.uuid)) as view:
        view.retain(NOON + 1000 * DAY)
    assert len(shown(url)) == 7


def test_what_went_does_not_come_back_with_a_late_revision(log, codec, live, url):
    live.retain(NOON + 6 * DAY)
    append(log, codec, 0, [sighting(0, 5, at=NOON), sighting(3, 5, at=NOON + 3 * DAY)])
    follow(log, codec, live)
    assert shown(url) == {event_id(n) for n in (3, 4, 5)}
    assert counted(url) == counted(url, anew=True)


def test_a_rebuild_leaves_it_out_too_and_reports_no_difference(log, codec, live, url):
    live.retain(NOON + 6 * DAY)
    rebuilt = rebuild(url, log, codec)
    assert (rebuilt.rows, rebuilt.differences) == (3, [])
    rebuild(url, log, codec, swap=False)
    live.retain(NOON + 7 * DAY)  # between two runs of one rebuild
    rebuilt = rebuild(url, log, codec)
    assert (rebuilt.rows, rebuilt.differences) == (2, [])
    live.retain(NOON + 7 * DAY)
    assert counted(url) == counted(url, anew=True)


def test_an_empty_view_remembers_the_boundary(url, log, codec):
    with closing(SightingsView(url, log.uuid, policies=Policies(retain_days=1))) as view:
        view.retain(NOON + 6 * DAY)
        view.apply(0, 0, [sighting(1)], 1)
    assert shown(url) == set()
