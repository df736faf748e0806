"""Hours, days and holidays by the wall clock of a place."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.alerts.calendar import local_day, within
from rules.alerts.rule import When

ISTANBUL, NEW_YORK = "Europe/Istanbul", "America/New_York"
NIGHT = When(22 * 60, 6 * 60, days=(0, 1, 2, 3, 4))
"""From Monday's evening to Saturday's morning."""


def at(text: str, timezone: str = "UTC", fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold)
    return int(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("when", "moment", "expected"),
    [
        # 2026-03-02 is a Monday.
        (When(8 * 60, 18 * 60), "2026-03-02T07:59:59", False),
        (When(8 * 60, 18 * 60), "2026-03-02T08:00:00", True),
        (When(8 * 60, 18 * 60), "2026-03-02T17:59:59", True),
        (When(8 * 60, 18 * 60), "2026-03-02T18:00:00", False),
        (When(), "2026-03-02T00:00:00", True),
        (When(), "2026-03-02T23:59:59", True),
        (When(days=(5, 6)), "2026-03-02T12:00:00", False),
        (When(days=(5, 6)), "2026-03-01T12:00:00", True),
        # A night belongs to the day on which it began.
        (NIGHT, "2026-03-02T22:00:00", True),
        (NIGHT, "2026-03-02T03:00:00", False),
        (NIGHT, "2026-03-07T05:59:59", True),
        (NIGHT, "2026-03-07T06:00:00", False),
        (NIGHT, "2026-03-07T22:00:00", False),
        (NIGHT, "2026-03-03T12:00:00", False),
        # An end at the start is the start on the next day.
        (When(600, 600, days=(0,)), "2026-03-03T09:59:00", True),
        (When(600, 600, days=(0,)), "2026-03-03T10:00:00", False),
    ],
)
def test_a_window_holds_from_its_start_until_before_its_end(
    when: When, moment: str, expected: bool
) -> None:
    assert within(when, at(moment), "UTC") is expected
    assert within(when, at(moment, ISTANBUL), ISTANBUL) is expected


def test_the_rules_own_time_zone_comes_before_the_cameras() -> None:
    when = When(8 * 60, 9 * 60, timezone=ISTANBUL)
    assert within(when, at("2026-03-02T08:30", ISTANBUL), NEW_YORK)
    assert not within(when, at("2026-03-02T08:30", NEW_YORK), NEW_YORK)


@pytest.mark.parametrize("timezone", ["", "Nowhere/Else", "../etc/passwd", "Europe", "\0"])
def test_a_time_zone_that_nobody_knows_counts_as_utc(timezone: str) -> None:
    assert within(When(8 * 60, 9 * 60), at("2026-03-02T08:30"), timezone)


def test_an_hour_that_clocks_repeat_is_within_twice() -> None:
    # New York, 2026-11-01: 02:00 EDT is 01:00 EST again.
    when = When(60, 120)
    first, second = (at("2026-11-01T01:30", NEW_YORK, fold) for fold in (0, 1))
    assert second - first == 3_600_000_000
    assert within(when, first, NEW_YORK)
    assert within(when, second, NEW_YORK)


def test_a_window_in_an_hour_that_clocks_leave_out_never_comes_on_that_day() -> None:
    # New York, 2026-03-08: 02:00 EST is 03:00 EDT.
    when = When(120, 180)
    begin = at("2026-03-08T00:00", NEW_YORK)
    assert not any(within(when, begin + hour * 3_600_000_000, NEW_YORK) for hour in range(23))
    assert within(when, at("2026-03-09T02:30", NEW_YORK), NEW_YORK)


@pytest.mark.parametrize(
    ("when", "moment", "expected"),
    [
        (When(holidays="only", country="TR"), "2026-04-23T12:00", True),
        (When(holidays="only", country="TR"), "2026-04-24T12:00", False),
        (When(holidays="except", country="TR"), "2026-04-23T12:00", False),
        (When(holidays="except", country="TR"), "2026-04-24T12:00", True),
        (When(holidays="only", country="US-CA"), "2026-03-31T12:00", True),  # César Chávez Day
        (When(holidays="only", country="US-NY"), "2026-03-31T12:00", False),
        (When(holidays="only", dates=("2026-12-24",)), "2026-12-24T12:00", True),
        (When(holidays="only", dates=("2026-12-24",), country="TR"), "2026-04-23T12:00", True),
        # The night of a holiday goes on after midnight.
        (When(1320, 360, holidays="only", country="TR"), "2026-04-24T05:00", True),
        (When(1320, 360, holidays="only", country="TR"), "2026-04-23T05:00", False),
    ],
)
def test_holidays_are_those_of_a_country_and_of_a_list(
    when: When, moment: str, expected: bool
) -> None:
    assert within(when, at(moment), "") is expected


def test_a_local_day_begins_at_the_places_midnight() -> None:
    before, after = at("2026-03-02T20:59"), at("2026-03-02T21:00")
    assert local_day(before, ISTANBUL) + 1 == local_day(after, ISTANBUL)
    assert local_day(before, "") == local_day(after, "")
    assert local_day(at("2026-03-02T12:00"), "") == datetime(2026, 3, 2).toordinal()


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.sampled_from(["", ISTANBUL, NEW_YORK, "Pacific/Apia"]),
)
def test_a_window_and_the_rest_of_the_day_hold_one_after_the_other(
    moment: int, start: int, end: int, timezone: str
) -> None:
    if start != end % 1440:
        inside = within(When(start, end), moment, timezone)
        assert inside != within(When(end % 1440, start), moment, timezone)
