"""Hours and days by the clock of a place, also where clocks are put forward or back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

QUARTER = timedelta(minutes=15)
"""Every time zone of today is whole quarters of an hour off UTC."""


def hours(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """Where the local hours that ``start`` to ``end`` touches begin, in UTC, and the end of the
    last. A clock put back shows the same hour twice: two hours; by half an hour, one of half.
    """
    marks = [_floor(start, zone)]
    while marks[-1] < end:
        marks.append(_next_hour(marks[-1], zone))
    return marks


def days(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """Where the local days that ``start`` to ``end`` touches begin, in UTC, and the end of the
    last. Most are 24 hours, those on which clocks change 23 or 25.
    """
    day = start.astimezone(zone).date()
    marks = [midnight(day, zone)]
    while marks[-1] < end:
        day += timedelta(days=1)
        mark = midnight(day, zone)
        if mark > marks[-1]:  # a place that changed the date line skipped a day
            marks.append(mark)
    return marks


def week(
    marks: Sequence[datetime], counts: Iterable[int], zone: tzinfo
) -> list[list[tuple[int, int]]]:
    """Counts of consecutive hours by day of the week (Monday first) and hour of the day.

    Each with how many such hours there were: where clocks change an hour is there twice, or not.
    """
    table = [[(0, 0)] * 24 for _ in range(7)]
    for mark, count in zip(marks, counts, strict=False):
        local = mark.astimezone(zone)
        before, often = table[local.weekday()][local.hour]
        table[local.weekday()][local.hour] = before + count, often + 1
    return table


def quarters_down(moment: datetime) -> datetime:
    """The quarter of an hour that holds a moment."""
    return moment - (moment - _EPOCH) % QUARTER


def quarters_up(moment: datetime) -> datetime:
    """The first quarter of an hour that begins at a moment or after it."""
    return -((_EPOCH - moment) // QUARTER) * QUARTER + _EPOCH


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _floor(moment: datetime, zone: tzinfo) -> datetime:
    """The beginning of the local hour that holds a moment."""
    mark = quarters_down(moment.astimezone(UTC))
    hour = _label(mark, zone)
    while _label(mark - QUARTER, zone) == hour:
        mark -= QUARTER
    return mark


def _next_hour(mark: datetime, zone: tzinfo) -> datetime:
    step = mark + QUARTER
    hour = _label(mark, zone)
    while _label(step, zone) == hour:
        step += QUARTER
    return step


def _label(moment: datetime, zone: tzinfo) -> tuple[object, ...]:
    local = moment.astimezone(zone)
    return local.date(), local.hour, local.utcoffset()


def midnight(day: date, zone: tzinfo) -> datetime:
    """The first moment of a local day: where midnight is skipped, what follows the gap."""
    found = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    # A clock put forward at midnight shows a midnight that is not there, an hour too early or late.
    while found.astimezone(zone).date() < day:
        found += QUARTER
    while (found - QUARTER).astimezone(zone).date() >= day:
        found -= QUARTER
    return found
