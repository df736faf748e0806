"""What follows the sightings' view misses no change, and knows when it cannot know them all."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from projections.errors import ViewError, ViewMissing, ViewUnavailable
from projections.following import Following
from projections.keeping import Keeper
from projections.plate_index import PlateIndex
from projections.view import SightingsView
from tests.projections.sightings import LOG, event_id, sighting


@pytest.fixture
def following(url: str, view: SightingsView) -> Iterator[Following]:
    made = Following(url, "test")
    yield made
    made.close()


def turns(following: Following, limit: int = 2_000) -> list[set[str] | None]:
    """What every turn until nothing is left has changed; None for one over the whole view."""
    found: list[set[str] | None] = []
    while True:
        with following.turn(limit) as turn:
            if turn is None:
                return found
            found.append(None if turn.whole else set(turn.changed))


def test_the_first_turn_is_over_the_whole_view_and_the_next_over_what_changed(view, following):
    view.apply(0, 0, [sighting(1)], 1)
    assert turns(following) == [None]
    assert turns(following) == []
    view.apply(0, 1, [sighting(2), sighting(1, 1)], 2)
    view.apply(0, 2, [sighting(2, 2), ("erase", event_id(1))], 3)
    assert turns(following) == [{event_id(1), event_id(2)}]


def test_many_changes_are_taken_in_turns_that_lose_none(view, following):
    turns(following)
    for batch in range(7):
        view.apply(0, batch, [sighting(batch * 10 + n) for n in range(10)], batch + 1)
    seen = turns(following, limit=8)
    assert len(seen) == 9
    assert set().union(*seen) == {event_id(n) for n in range(70)}


def test_what_fails_in_a_turn_is_offered_again(view, following):
    turns(following)
    view.apply(0, 0, [sighting(1)], 1)
    with pytest.raises(ZeroDivisionError), following.turn():
        raise ZeroDivisionError
    assert turns(following) == [{event_id(1)}]


def test_who_was_away_for_too_long_goes_over_the_whole_view(view, following):
    turns(following)
    for batch in range(12):
        view.apply(0, batch, [sighting(batch * 1000 + n) for n in range(1000)], batch + 1)
    assert turns(following) == [None]


def test_a_view_that_was_rebuilt_is_gone_over_whole(view, following, url):
    view.apply(0, 0, [sighting(1)], 1)
    turns(following)
    with closing(SightingsView(url, LOG, "alpr_next")) as rebuilt:
        rebuilt.apply(0, 0, [sighting(1), sighting(2)], 1)
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(
            "ALTER SCHEMA alpr RENAME TO alpr_old; ALTER SCHEMA alpr_next RENAME TO alpr"
        )
    assert turns(following) == [None]


def test_a_view_that_is_not_there_yet_is_said(url):
    with closing(Following(url, "test")) as following, pytest.raises(ViewMissing):
        turns(following)


class Recorded:
    """A chore that fails at first, then works a number of times, then rests."""

    name = "recorded"

    def __init__(self, failures: int, rounds: int) -> None:
        self.failures = failures
        self.rounds = rounds
        self.rested = threading.Event()
        self.closed = False

    def step(self) -> bool:
        if self.failures:
            self.failures -= 1
            raise ViewUnavailable("away")
        self.rounds -= 1
        if self.rounds <= 0:
            self.rested.set()
        return self.rounds > 0

    def close(self) -> None:
        self.closed = True


def test_chores_wait_out_outages_and_end_when_told(url):
    stop, revived = threading.Event(), []
    chore = Recorded(failures=2, rounds=3)
    keeper = threading.Thread(
        target=Keeper(url, [chore], stop, lambda: revived.append(True)).run, daemon=True
    )
    keeper.start()
    assert chore.rested.wait(10)
    stop.set()
    keeper.join(10)
    assert not keeper.is_alive()
    assert chore.closed
    assert len(revived) == 2


def test_a_defect_of_one_chore_ends_all(url):
    class Broken(Recorded):
        def step(self) -> bool:
            raise ZeroDivisionError

    other = Recorded(0, 1)
    with pytest.raises(ZeroDivisionError):
        Keeper(url, [Broken(0, 0), other], threading.Event()).run()
    assert other.closed


def test_what_is_kept_and_was_dropped_is_not_waited_for_but_made_by_the_next_start(
    view: SightingsView, url: str
):
    view.apply(0, 0, [sighting(1)], 1)
    failures: list[BaseException] = []

    def keep() -> None:
        try:
            Keeper(url, [PlateIndex(url)], stop).run()
        except ViewError as error:
            failures.append(error)

    def kept() -> int:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('alpr_derived.plates')")
            if cursor.fetchall() == [(None,)]:
                return 0
            cursor.execute("SELECT count(*) FROM alpr_derived.plates")
            return cursor.fetchall()[0][0]

    for _ in range(2):
        stop = threading.Event()
        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        until = time.monotonic() + 10
        while not failures and not kept() and time.monotonic() < until:
            time.sleep(0.05)
        assert kept() == 1
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute("DROP SCHEMA alpr_derived CASCADE")
        keeper.join(10)
        assert not keeper.is_alive()
        assert "was dropped meanwhile" in str(failures.pop())
