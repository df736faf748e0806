"""Counts kept for analytics are those that counting every sighting anew would give."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.people_view import announce
from projections.rollups import Rollups
from projections.view import DAY, SightingsView
from rules.spread import MEASURES
from tests.projections.sightings import LOG, NOON, event_id, sighting

TABLES = ("counted_quarters", "counted_hours", "plate_days", "plate_totals", "plate_marks")
MINUTE = 60_000_000


@pytest.fixture
def rollups(url: str, view: SightingsView) -> Iterator[Rollups]:
    made = Rollups(url, clock=lambda: 0.0)
    yield made
    made.close()


def caught_up(rollups: Rollups) -> None:
    while rollups.step():
        pass


def kept(url: str) -> dict[str, list[tuple]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        found: dict[str, list[tuple]] = {}
        for table in TABLES:
            cursor.execute(f"SELECT * FROM alpr_derived.{table} AS kept ORDER BY kept::text")
            found[table] = cursor.fetchall()
        return found


def ask(url: str, statement: str, *values: Any) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def anew(url: str) -> dict[str, list[tuple]]:
    """What counting everything from nothing gives."""
    ask(url, "DELETE FROM alpr_derived.cursors")
    for table in (*TABLES, "stale_hours"):
        ask(url, f"TRUNCATE alpr_derived.{table}")
    with closing(Rollups(url, clock=lambda: 0.0)) as other:
        caught_up(other)
    return kept(url)


def corrected(url: str, number: int, text: str | None, hidden: bool) -> None:
    """What a person says of a sighting, as projections/people_view.py writes it."""
    ask(url, "DELETE FROM alpr_people.corrected WHERE event_id = %s", event_id(number))
    if text or hidden:
        ask(
            url,
            "INSERT INTO alpr_people.corrected VALUES (%s, %s, %s, NULL, %s, 'me', now(), '')",
            *(event_id(number), text, hidden, event_id(number)),
        )
    with (
        closing(psycopg2.connect(url, options="-c search_path=alpr_people")) as connection,
        connection,
    ):
        announce(connection.cursor(), [event_id(number)])


def test_sightings_are_counted_by_quarter_hour_and_plate(view, rollups, url):
    view.apply(
        0,
        0,
        [
            sighting(1, at=NOON, text="AAA111", region="DE"),
            sighting(2, at=NOON + 5 * MINUTE, text="AAA111", region="DE"),
            sighting(3, at=NOON + 20 * MINUTE, text="BBB222", region=None),
            sighting(4, at=NOON + 21 * MINUTE, text="CCC333", status="retracted"),
            sighting(5, at=NOON + DAY, text="AAA111", region="DE", was=["AAA1111"]),
        ],
        5,
    )
    caught_up(rollups)
    found = kept(url)
    noon = datetime.fromtimestamp(NOON / 1e6, UTC)
    quarter = noon - timedelta(minutes=noon.minute % 15, seconds=noon.second)
    first = [row for row in found["counted_quarters"] if row[0] == quarter]
    assert first == [(quarter, "CAM-001", "north", "car", "DE", 2)]
    assert sum(row[-1] for row in found["counted_quarters"]) == 4
    assert found["plate_totals"] == [("AAA111", 3), ("BBB222", 1)]
    days = {(row[0], row[1]): row[2:] for row in found["plate_days"]}
    last = noon + timedelta(minutes=5)
    assert days["AAA111", noon.date()] == (2, noon, last, None)
    later = noon + timedelta(days=1)
    assert days["AAA111", later.date()] == (1, later, later, last)
    held = [row[3:11] for row in found["counted_hours"]]
    assert [sum(column) for column in zip(*held, strict=True)] == [5, 4, 4, 1, 0, 0, 1, 0]
    for place, name in enumerate(("dwell", "confidence", "latency", "reads")):
        assert all(len(row[11 + place]) == MEASURES[name].bins for row in found["counted_hours"])
        assert sum(sum(row[11 + place]) for row in found["counted_hours"]) == 4


def test_what_is_erased_or_no_longer_kept_is_no_longer_counted(view, rollups, url):
    view.apply(0, 0, [sighting(n, at=NOON + n * DAY, text=f"P{n % 2}") for n in range(6)], 6)
    caught_up(rollups)
    view.forget([event_id(0)])
    view.expire(NOON + 3 * DAY)
    caught_up(rollups)
    found = kept(url)
    assert sum(row[-1] for row in found["counted_quarters"]) == 3
    assert found["plate_totals"] == [("P0", 1), ("P1", 2)]
    assert [row[5] is None for row in sorted(found["plate_days"], key=lambda row: row[1])] == [
        *(True, True, False)
    ]
    assert found == anew(url)


def test_the_newest_day_rests_while_others_are_counted(view, url):
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    with closing(Rollups(url, clock=clock)) as rollups:
        view.apply(0, 0, [sighting(1, at=NOON), sighting(2, at=NOON + DAY)], 2)
        caught_up(rollups)
        view.apply(0, 2, [sighting(3, at=NOON), sighting(4, at=NOON + DAY)], 4)
        caught_up(rollups)
        assert sum(row[-1] for row in kept(url)["counted_quarters"]) == 3
        assert len(ask(url, "SELECT * FROM alpr_derived.stale_hours")) == 1
        now[0] += 100
        caught_up(rollups)
        assert sum(row[-1] for row in kept(url)["counted_quarters"]) == 4


change = st.tuples(
    st.sampled_from(["say", "say", "say", "erase", "correct", "hide", "undo", "expire", "keep"]),
    st.integers(0, 11),
    st.sampled_from(["AAA111", "BBB222", "CCC333"]),
    st.sampled_from(["confirmed", "ended", "retracted"]),
    st.sampled_from(["C1", "C2"]),
)


@given(st.lists(change, max_size=25))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_changes_in_whatever_order_the_counts_are_those_of_a_recount(
    postgres_url, changes
):
    url = postgres_url
    for schema in ("alpr", "alpr_people", "alpr_derived"):
        ask(url, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    with (
        closing(SightingsView(url, LOG)) as view,
        closing(Rollups(url, clock=lambda: 0.0)) as kept_up,
    ):
        for offset, (what, number, text, status, camera) in enumerate(changes):
            at = NOON + (number // 3) * DAY + (number % 3) * 40 * MINUTE
            if what == "say":
                said = sighting(number, offset, text=text, status=status, camera_id=camera, at=at)
                view.apply(0, offset, [said], offset + 1)
            else:
                view.apply(0, offset, [], offset + 1)
            if what == "erase":
                view.forget([event_id(number)])
            elif what == "correct":
                corrected(url, number, text, hidden=False)
            elif what == "hide":
                corrected(url, number, None, hidden=True)
            elif what == "undo":
                corrected(url, number, None, hidden=False)
            elif what == "expire":
                view.expire(NOON + (number % 3) * DAY)
            elif what == "keep":
                caught_up(kept_up)
        caught_up(kept_up)
        assert kept(url) == anew(url)
