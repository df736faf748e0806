"""The way of a plate: hops, trips, and what nobody drives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.journey import FARTHER, FASTER, PAUSE, Stop, hop, trips

SECOND, HOUR = 1_000_000, 3_600_000_000
BERLIN, POTSDAM = (52.52, 13.405), (52.39, 13.065)  # 27 km apart


def stop(at: int, camera: str = "A", place: tuple[float, float] | None = None, stay: int = 0, **o):
    latitude, longitude = place or (None, None)
    return Stop(
        event_id=f"{camera}{at}",
        camera_id=camera,
        gate=o.get("gate", camera),
        captured_at=at,
        first_seen=at,
        last_seen=at + stay,
        latitude=latitude,
        longitude=longitude,
    )


def test_a_hop_is_timed_from_leaving_one_camera_to_coming_to_the_next():
    between = hop(stop(0, "A", BERLIN, stay=600 * SECOND), stop(600 * SECOND + HOUR, "B", POTSDAM))
    assert between.elapsed == HOUR
    assert between.km == pytest.approx(27.2, abs=0.1)
    assert between.kmh == pytest.approx(27.2, abs=0.1)
    assert not between.impossible


def test_without_a_place_there_is_no_distance_and_nothing_is_impossible():
    between = hop(stop(0, "A", BERLIN), stop(SECOND, "B"))
    assert (between.km, between.kmh, between.impossible) == (None, None, False)


@pytest.mark.parametrize(
    ("seconds", "camera", "gate", "impossible"),
    [
        (300, "B", "B", True),  # 27 km in 5 minutes
        (600, "B", "B", False),  # 163 km/h
        (0, "B", "B", True),  # at both at once
        (-5, "B", "B", True),
        (300, "B", "A", False),  # cameras of one gate
    ],
)
def test_what_nobody_drives_is_marked_as_the_alert_for_it_would_be(
    seconds: int, camera: str, gate: str, impossible: bool
):
    before = stop(0, "A", BERLIN, stay=10 * SECOND)
    after = stop((10 + seconds) * SECOND, camera, POTSDAM, gate=gate)
    assert hop(before, after).impossible is impossible


def test_two_cameras_close_by_are_never_too_far():
    near = (BERLIN[0] + 0.008, BERLIN[1])  # 0.9 km
    between = hop(stop(0, "A", BERLIN), stop(SECOND, "B", near))
    assert between.km is not None
    assert between.km < FARTHER
    assert between.kmh is not None
    assert between.kmh > FASTER
    assert not between.impossible


def test_a_long_pause_parts_two_trips_and_a_long_stay_does_not():
    parked = stop(HOUR, "B", stay=9 * HOUR)
    made = trips([stop(0), parked, stop(11 * HOUR, "C"), stop(15 * HOUR + 1, "A")])
    assert [len(trip.stops) for trip in made] == [3, 1]
    assert [trip.pause for trip in made] == [None, PAUSE + 1]
    assert made[0].cameras == 3
    assert made[0].elapsed == 11 * HOUR


def test_what_came_before_tells_how_long_the_first_pause_was():
    assert trips([stop(HOUR)], before=stop(0))[0].pause == HOUR
    assert trips([], before=stop(0)) == []


def test_a_trip_sums_the_distances_that_are_known():
    made = trips([stop(0, "A", BERLIN), stop(HOUR, "B"), stop(2 * HOUR, "C", POTSDAM)])
    assert made[0].km is None
    made = trips([stop(0, "A", BERLIN), stop(HOUR, "B", POTSDAM), stop(2 * HOUR, "C")])
    assert made[0].km == pytest.approx(27.2, abs=0.1)


@given(st.lists(st.tuples(st.integers(0, 200 * HOUR), st.integers(0, 3 * HOUR))), st.integers(0))
def test_trips_hold_every_stop_once_and_in_order(given_: list[tuple[int, int]], pause: int):
    stops = [stop(at, stay=stay) for at, stay in sorted(given_)]
    made = trips(stops, pause)
    assert [one for trip in made for one in trip.stops] == stops
    assert all(len(trip.hops) == len(trip.stops) - 1 for trip in made)
    assert all(between.elapsed <= pause for trip in made for between in trip.hops)
    assert all(trip.pause is not None and trip.pause > pause for trip in made[1:])
