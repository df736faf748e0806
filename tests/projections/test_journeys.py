"""What is asked of one plate: its passes, its cameras, and who was near."""

from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import copy_context
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from projections.grant import grant
from projections.journeys import Journeys, Span
from projections.queries import SightingQueries
from projections.shown import PEOPLE
from projections.view import SightingsView
from schemas.records import PlateEvent
from tests.projections.sightings import NOON, event_id, sighting

SECOND, DAY = 1_000_000, 86_400_000_000
START = datetime.fromtimestamp(NOON / 1e6, UTC)


@pytest.fixture
def journeys(queries: SightingQueries) -> Journeys:
    return Journeys(queries)


@pytest.fixture
def write(view: SightingsView) -> Callable[..., None]:
    def writing(*events: PlateEvent) -> None:
        assert view.apply(0, 0, list(events), len(events)) == []

    return writing


@pytest.fixture
def said(url: str) -> Iterator[Callable[..., None]]:
    """Corrects a sighting, as the view of what people said holds it."""

    def saying(number: int, text: str | None, *, hidden: bool = False) -> None:
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute(
                f"INSERT INTO {PEOPLE}.corrected VALUES (%s, %s, %s, null, %s, 'anna', now(), '')",
                (event_id(number), text, hidden, event_id(number)),
            )

    yield saying
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(f"TRUNCATE {PEOPLE}.corrected")


def at(number: int, seconds: float, camera: str = "A", text: str = "ME1", **how) -> PlateEvent:
    when = NOON + round(seconds * SECOND)
    return sighting(number, at=when, text=text, camera_id=camera, **how)


def numbers(rows) -> list[int]:
    known = {event_id(number): number for number in range(50)}
    return [known[str(row["event_id"])] for row in rows]


def granted(cameras: set[str], asked: Callable):
    def ask():
        grant(frozenset(cameras))
        return asked()

    return copy_context().run(ask)


def test_passes_come_latest_first_and_go_on_after_the_last_that_is_known(journeys, write):
    write(*(at(number, number // 2) for number in range(7)))
    whole = numbers(journeys.passes(["ME1"]))
    assert sorted(whole) == list(range(7))
    paged: list[int] = []
    before = None
    while rows := journeys.passes(["ME1"], before=before, limit=2):
        paged += numbers(rows)
        before = (rows[-1]["captured_at"], str(rows[-1]["event_id"]))
    assert paged == whole


def test_a_span_holds_both_its_ends(journeys, write):
    write(*(at(number, number) for number in range(5)))
    span = Span(START + timedelta(seconds=1), START + timedelta(seconds=3))
    assert numbers(journeys.passes(["ME1"], span)) == [3, 2, 1]
    assert journeys.cameras(["ME1"], span)[0]["sightings"] == 3


def test_what_a_person_said_a_plate_was_is_what_it_is(journeys, write, said):
    write(at(0, 0), at(1, 1, text="MEI"), at(2, 2), at(3, 3), at(4, 4, status="retracted"))
    said(1, "ME1")
    said(2, "YOU")
    said(3, None, hidden=True)
    rows = journeys.passes(["ME1"])
    assert numbers(rows) == [1, 0]
    assert (rows[0]["plate"], rows[0]["plate_normalized_text"]) == ("ME1", "MEI")
    assert [row["corrected_by"] for row in rows] == ["anna", None]
    assert numbers(journeys.passes(["YOU"])) == [2]
    assert numbers(journeys.passes(["ME1", "YOU"])) == [2, 1, 0]


def test_cameras_that_saw_it_most_come_first(journeys, write):
    write(at(0, 0), at(1, 1, "B"), at(2, 2, "B", last_seen=NOON + 9 * SECOND))
    rows = journeys.cameras(["ME1"])
    assert [(row["camera_id"], row["sightings"]) for row in rows] == [("B", 2), ("A", 1)]
    assert rows[0]["last_seen"] == START + timedelta(seconds=9)


def test_nobody_is_told_of_cameras_that_are_not_theirs(journeys, write):
    write(
        *(at(n, n * 100, camera) for n, camera in enumerate("AABB")),
        *(at(10 + n, n * 100 + 5, camera, "MATE") for n, camera in enumerate("AABB")),
    )
    rows = granted({"A"}, lambda: journeys.passes(["ME1"]))
    assert {row["camera_id"] for row in rows} == {"A"}
    assert [row["camera_id"] for row in granted({"A"}, lambda: journeys.cameras(["ME1"]))] == ["A"]
    met = granted({"A"}, lambda: journeys.companions(["ME1"], 60, 1))
    assert [(row["cameras"], row["seen"]) for row in met.rows] == [(["A"], 2)]
    assert (met.passes, met.total) == (2, 4)
    assert granted(set(), lambda: journeys.companions(["ME1"], 60, 1)).passes == 0
    assert set(granted({"B"}, journeys.zones)) == {"B"}


def test_companions_were_near_at_the_same_cameras_again_and_again(journeys, write):
    passes = [at(n, n * 1000, camera) for n, camera in enumerate("ABC")]
    write(
        *passes,
        *(at(10 + n, n * 1000 + 20, camera, "MATE") for n, camera in enumerate("ABC")),
        *(at(20 + n, n * 1000 - 30, camera, "AHEAD") for n, camera in enumerate("AB")),
        at(30, 40, "B", "ELSEWHERE"),  # at its time, not at its camera
        at(31, 1000 + 61, "B", "LATE"),
        at(32, 2000, "C", "ONCE"),
    )
    met = journeys.companions(["ME1"], 60, 2)
    assert [(row["text"], row["occasions"]) for row in met.rows] == [("MATE", 3), ("AHEAD", 2)]
    mate, ahead = met.rows
    assert (mate["behind_s"], ahead["behind_s"]) == (20.0, -30.0)
    assert (mate["together"], mate["days"], mate["seen"]) == (3, 1, 3)
    assert mate["cameras"] == ["A", "B", "C"]
    assert (met.passes, met.chances, met.crowd, met.cut) == (3, 3, 6, 0)
    assert met.total == 11


def test_often_at_one_camera_on_one_day_is_one_occasion(journeys, write):
    write(
        *(at(n, n * 600) for n in range(5)),
        *(at(10 + n, n * 600 + 5, text="QUEUE") for n in range(5)),
        at(20, DAY / SECOND),
        at(21, DAY / SECOND + 5, text="QUEUE"),
    )
    (row,) = journeys.companions(["ME1"], 60, 2).rows
    assert (row["occasions"], row["together"], row["days"]) == (2, 6, 2)
    assert journeys.companions(["ME1"], 60, 3).rows == []


def test_who_was_corrected_is_near_as_what_it_was(journeys, write, said):
    write(
        *(at(n, n * 1000, camera) for n, camera in enumerate("AB")),
        at(10, 5, "A", "MATE"),
        at(11, 1005, "B", "MAT3"),
        at(12, 1006, "B", "GHOST"),
        at(13, 6, "A", "GHOST"),
    )
    said(11, "MATE")
    said(12, None, hidden=True)
    (row,) = journeys.companions(["ME1"], 60, 2).rows
    assert (row["text"], row["seen"]) == ("MATE", 2)


@pytest.mark.parametrize("plates", [[], [""], ["NO1"], ["\0"], ["\ud800"], ["'; DROP TABLE x; --"]])
def test_of_what_was_never_seen_there_is_nothing(journeys, plates):
    assert journeys.passes(plates) == []
    assert journeys.cameras(plates) == []
    met = journeys.companions(plates, 60, 1)
    assert (met.rows, met.passes, met.chances) == ([], 0, 0)
