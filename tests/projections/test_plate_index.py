"""The index of plates holds what the sightings have, and nothing that they do not."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from projections.plate_index import SWEEP_S, PlateIndex
from projections.view import SightingsView
from rules.neighbourhood import kept_keys
from rules.similarity import fold
from tests.projections.sightings import NOON, event_id, sighting


class Clock:
    """Seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(view: SightingsView, url: str, clock: Clock) -> Iterator[PlateIndex]:
    made = PlateIndex(url, clock=clock)
    yield made
    made.close()


def run(index: PlateIndex) -> None:
    while index.step():
        pass


def ask(url: str, statement: str, values: object = None) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def plates(url: str) -> set[str]:
    return {text for (text,) in ask(url, "SELECT text FROM alpr_derived.plates")}


def correct(url: str, number: int, text: str | None, hidden: bool = False) -> None:
    """As the view of corrections writes it."""
    ask(
        url,
        "INSERT INTO alpr_people.corrected VALUES (%s, %s, %s, NULL, %s, 'eve', now(), '') "
        "ON CONFLICT (event_id) DO UPDATE SET text = excluded.text, hidden = excluded.hidden; "
        "UPDATE alpr_people.view_state SET changes = changes + 1",
        (event_id(number), text, hidden, event_id(number + 10_000)),
    )


def test_every_plate_is_there_once_with_its_keys(view, index, url):
    view.apply(0, 0, [sighting(n, text=f"OOT{n % 3}") for n in range(9)], 1)
    run(index)
    assert plates(url) == {"OOT0", "OOT1", "OOT2"}
    folded, keys = ask(url, "SELECT folded, keys FROM alpr_derived.plates WHERE text = 'OOT0'")[0]
    assert folded == fold("OOT0")
    assert keys == kept_keys(folded)


def test_it_follows_what_comes_later_and_drops_what_the_vote_turned_down(view, index, url):
    run(index)
    view.apply(0, 0, [sighting(1, text="OLD1"), sighting(2, text="BOTH2")], 1)
    run(index)
    assert plates(url) == {"OLD1", "BOTH2"}
    later = [
        sighting(1, 5, text="NEW1", was=["OLD1", "BOTH2"]),
        sighting(3, text="THIRD", status="retracted"),
    ]
    view.apply(0, 1, later, 2)
    run(index)
    assert plates(url) == {"NEW1", "BOTH2", "THIRD"}


def test_what_was_erased_is_gone_with_the_next_sweep(view, index, url, clock):
    view.apply(0, 0, [sighting(1, text="STAYS"), sighting(2, text="GOES")], 1)
    run(index)
    view.apply(0, 1, [("erase", event_id(2))], 2)
    clock.now += SWEEP_S
    run(index)
    assert plates(url) == {"STAYS"}


def test_what_retention_dropped_is_gone_too(view, index, url, clock):
    view.apply(0, 0, [sighting(1, text="OLD"), sighting(2, text="NEW", at=NOON + 86400000000)], 1)
    run(index)
    view.expire(NOON + 86400000000)
    clock.now += SWEEP_S
    run(index)
    assert plates(url) == {"NEW"}


def test_plates_that_people_named_are_there_while_they_stand(view, index, url, clock):
    view.apply(0, 0, [sighting(1, text="READ")], 1)
    run(index)
    correct(url, 1, "TRUE")
    run(index)
    assert plates(url) == {"READ", "TRUE"}
    correct(url, 1, None)
    clock.now += SWEEP_S
    run(index)
    assert plates(url) == {"READ"}


def test_a_plate_can_be_forgotten_at_once(view, index, url):
    view.apply(0, 0, [sighting(1, text="SECRET"), sighting(2, text="OTHER")], 1)
    run(index)
    index.forget(["SECRET"])
    assert plates(url) == {"OTHER"}


def test_a_gap_in_what_is_known_is_made_good(view, index, url):
    view.apply(0, 0, [sighting(1, text="FIRST")], 1)
    run(index)
    for batch in range(12):
        events = [sighting(batch * 1000 + n + 2, text=f"P{batch}X{n}") for n in range(1000)]
        view.apply(0, batch + 1, events, batch + 2)
    run(index)
    assert len(plates(url)) == 12_001


def test_text_of_any_kind_is_indexed(view, index, url):
    odd = ["'; DROP TABLE plates; --", "\\N", "tab\tnew\nline\\", "ÄÖÜ漢字", "{1,2}", ""]
    view.apply(0, 0, [sighting(n, text=text) for n, text in enumerate(odd)], 1)
    run(index)
    assert plates(url) == set(odd)
    more = [sighting(n + 50, text=text + "!") for n, text in enumerate(odd)]
    view.apply(0, 1, more, 2)
    run(index)
    assert plates(url) == {*odd, *(text + "!" for text in odd)}


def test_words_of_the_full_text_are_known(view, index, url):
    view.apply(0, 0, [sighting(1, camera_id="GATE-1", zone="exit", direction="in")], 1)
    run(index)
    words = set(ask(url, "SELECT field, value FROM alpr_derived.vocabulary"))
    assert {("camera_id", "GATE-1"), ("zone", "exit"), ("direction", "in")} <= words


def test_a_word_that_no_index_can_hold_holds_no_other_up(view, index, url):
    endless = sighting(0)
    endless["node"]["lane"] = "".join(str(number) for number in range(20_000))
    view.apply(0, 0, [endless, sighting(1)], 2)
    run(index)
    assert plates(url) == {"ABC0000", "ABC0001"}


def test_a_plate_is_written_with_its_pseudonym(view, url):
    view.apply(0, 0, [sighting(1, text="FIRST")], 1)
    index = PlateIndex(url, named=lambda text: f"~{text.lower()}")
    run(index)
    view.apply(0, 1, [sighting(2, text="SECOND")], 2)
    run(index)
    index.close()
    named = ask(url, "SELECT text, pseudonym FROM alpr_derived.plates ORDER BY text")
    assert named == [("FIRST", "~first"), ("SECOND", "~second")]
