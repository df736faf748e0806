"""Hours and days by the clock of a place."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.local_time import days, hours, midnight, quarters_down, quarters_up, week

HOUR = timedelta(hours=1)


def lengths(marks: list[datetime]) -> list[float]:
    return [(end - start) / HOUR for start, end in pairwise(marks)]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Europe/London", "2025-03-30", 23),
        ("Europe/London", "2025-10-26", 25),
        ("Asia/Kolkata", "2025-03-30", 24),
        ("Australia/Lord_Howe", "2025-04-06", 24.5),
        ("America/Santiago", "2025-09-07", 23),  # midnight itself is skipped
        ("Africa/Cairo", "2025-10-31", 24),
    ],
)
def test_a_day_is_as_long_as_the_clock_makes_it(zone, day, expected):
    place = ZoneInfo(zone)
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=place)
    found = days(noon, noon + timedelta(minutes=1), place)
    assert lengths(found) == [expected]
    assert found[0].astimezone(place).date() == noon.date()


def test_a_day_that_a_place_skipped_is_none():
    place = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
    found = days(
        datetime(2011, 12, 29, 12, tzinfo=place), datetime(2012, 1, 1, tzinfo=place), place
    )
    assert [mark.astimezone(place).day for mark in found[:-1]] == [29, 31]


def test_an_hour_that_is_there_twice_is_two_hours():
    place = ZoneInfo("Europe/London")
    start = datetime(2025, 10, 25, 23, tzinfo=UTC)
    found = hours(start, start + 4 * HOUR, place)
    assert [mark.astimezone(place).hour for mark in found] == [0, 1, 1, 2, 3]
    assert set(lengths(found)) == {1}


def test_hours_begin_where_the_local_clock_shows_a_full_one():
    place = ZoneInfo("Asia/Kathmandu")
    found = hours(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 1, tzinfo=UTC), place)
    assert [mark.astimezone(place).strftime("%H:%M") for mark in found] == [
        "05:00",
        "06:00",
        "07:00",
    ]


@given(
    st.datetimes(datetime(1975, 1, 1), datetime(2035, 1, 1)),
    st.timedeltas(timedelta(minutes=1), timedelta(days=40)),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns"]
    ),
)
def test_buckets_hold_the_whole_time_without_a_gap_and_touch_it(start, length, zone):
    place = ZoneInfo(zone)
    first = start.replace(tzinfo=UTC)
    last = first + length
    for found in (hours(first, last, place), days(first, last, place)):
        assert found == sorted(set(found))
        assert found[0] <= first < found[1]
        assert found[-2] < last <= found[-1]
        assert all(mark == quarters_down(mark) == quarters_up(mark) for mark in found)


def test_the_hours_of_a_week_say_how_often_each_was():
    place = ZoneInfo("Europe/London")
    begin = midnight(datetime(2025, 10, 20).date(), place)
    marks = hours(begin, begin + timedelta(days=7, hours=1), place)
    table = week(marks, [1] * (len(marks) - 1), place)
    assert table[6][1] == (2, 2)
    assert sum(often for row in table for _, often in row) == 7 * 24 + 1
