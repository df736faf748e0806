"""Hours, days and holidays by the wall clock of a place."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import cast
from zoneinfo import ZoneInfo

import holidays

from rules.alerts.rule import When

_UTC = ZoneInfo("UTC")
_LAST = 253_370_764_800
"""Seconds of 9999-01-01: what lies beyond counts as that, as datetime ends with its year."""


def within(when: When, at: int, timezone: str) -> bool:
    """Whether ``at`` (microseconds UTC) lies within, by the wall clock of ``when`` or the camera.

    ``timezone`` is the camera's; one that is empty or unknown counts as UTC. Where clocks are
    put back an hour happens twice and both are within; where they are put forward a skipped hour
    never happens.
    """
    local = _local(at, when.timezone or timezone)
    minute = local.hour * 60 + local.minute
    day = local.date()
    if when.end > when.start:
        return when.start <= minute < when.end and _is_day(when, day)
    if minute >= when.start and _is_day(when, day):
        return True
    return minute < when.end and day > date.min and _is_day(when, day - timedelta(days=1))


def local_day(at: int, timezone: str) -> int:
    """The day of ``at`` by the place's calendar: days since 0000-12-31, as ``date.toordinal``."""
    return _local(at, timezone).toordinal()


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None if there is none."""
    try:
        return ZoneInfo(name)
    # A name may also be that of a folder, or lead out of the folder.
    except (KeyError, ValueError, OSError):
        return None


@lru_cache(maxsize=512)
def holidays_of(country: str, year: int) -> frozenset[date]:
    """Public holidays of ``TR`` or ``US-CA`` in a year, by the package ``holidays``.

    Raises NotImplementedError for a country or subdivision it does not know.
    """
    code, _, subdivision = country.partition("-")
    found = holidays.country_holidays(code, subdiv=subdivision or None, years=year, expand=False)
    return frozenset(cast("dict[date, str]", found))


def _local(at: int, timezone: str) -> datetime:
    seconds = min(max(at // 1_000_000, 0), _LAST)
    return datetime.fromtimestamp(seconds, (timezone and zone(timezone)) or _UTC)


def _is_day(when: When, day: date) -> bool:
    if day.weekday() not in when.days:
        return False
    if when.holidays == "any":
        return True
    holiday = day.isoformat() in when.dates or (
        when.country != "" and day in holidays_of(when.country, day.year)
    )
    return holiday == (when.holidays == "only")
