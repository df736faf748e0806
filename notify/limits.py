"""How often a target is told and when it is left alone, for all workers of all processes alike."""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from notify.channel import OptionsError, Outcome
from notify.store import Session
from rules.alerts.duration import microseconds

_log = logging.getLogger(__name__)

SECOND = 1_000_000
BREAKS_AFTER = 5
"""Failures in a row after which a target is left alone."""
TOLD_AFTER = 3
"""Failures in a row that are a trouble worth a line; each is on alpr.notifications anyway."""
LEFT_ALONE = 30 * SECOND
QUIET = 600 * SECOND
"""How long losses to one target are only counted after a line told of one."""
LONGEST_PAUSE = 3600 * SECOND
"""The most that a Retry-After holds up a target."""
OWN_OPTIONS = ("rate", "group")
"""Options of an action that are the queue's; all others are the channel's."""

_PEOPLE = "30/m"  # what somebody can read; programs want each alert, and at once
_WINDOW = 60 * SECOND
_RATE = re.compile(r"([1-9]\d{0,5})/([smhd]|sec|min|hour|day)")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many in a period (microseconds), all at once if they were saved up."""

    most: int
    period: int

    @property
    def interval(self) -> int:
        """Microseconds from one to the next if they come evenly."""
        return self.period // self.most

    @property
    def tolerance(self) -> int:
        """How far ahead of even pace the last that is allowed may come."""
        return self.interval * (self.most - 1)


def rate_of(text: str) -> Rate | None:
    """The rate of ``30/m`` (also s, h, d); None for ``none``. Raises OptionsError."""
    if text == "none":
        return None
    found = _RATE.fullmatch(text)
    if found is None:
        raise OptionsError(
            f"rate: {text[:40]!r} is no rate: write a number and a unit, such as 30/m, or none"
        )
    return Rate(int(found[1]), microseconds(f"1{found[2][0]}"))


def pace(type: str, options: Mapping[str, Any]) -> tuple[str, int]:
    """What the options ``rate`` and ``group`` of an action say, or the defaults of its type.

    The rate as text for ``rate_of``, and how long (microseconds) alerts are held to be told
    together. Raises OptionsError.
    """
    programs = type == "webhook"
    rate = options.get("rate", "none" if programs else _PEOPLE)
    rate = "none" if rate in (False, None) else str(rate)
    rate_of(rate)
    group = options.get("group", 0 if programs else "60s")
    if group in (False, None, 0):
        return rate, 0
    try:
        return rate, microseconds(group if isinstance(group, str) else f"{group}s")
    except ValueError as error:
        raise OptionsError(f"group: {error}, or false") from None


class Lanes:
    """The lanes to the targets, over one connection that the workers of a process share.

    ``clock`` gives microseconds UTC. Raises ViewUnavailable.
    """

    def __init__(self, session: Session, clock: Callable[[], int]) -> None:
        self._session = session
        self._clock = clock
        self._turn = threading.Lock()
        self._lost: dict[str, tuple[int, int]] = {}

    def claim(self, lane: str, rate: Rate | None) -> bool:
        """Whether one may be sent now; where the target had failed, this is its probe."""
        now = self._clock()
        interval, tolerance = (rate.interval, rate.tolerance) if rate else (0, 0)
        with self._turn, self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE lanes SET paced = greatest(paced, %(now)s) + %(interval)s, "
                "limited_until = CASE WHEN %(interval)s = 0 THEN limited_until ELSE "
                "greatest(paced, %(now)s) + %(interval)s - %(tolerance)s END, "
                "open_until = CASE WHEN failures >= %(breaks)s THEN %(now)s + %(alone)s "
                "ELSE open_until END "
                "WHERE lane = %(lane)s AND greatest(open_until, limited_until) <= %(now)s "
                "AND (%(interval)s = 0 OR paced - %(tolerance)s <= %(now)s)",
                {
                    "lane": lane,
                    "now": now,
                    "interval": interval,
                    "tolerance": tolerance,
                    "breaks": BREAKS_AFTER,
                    "alone": LEFT_ALONE,
                },
            )
            return cursor.rowcount == 1

    def told(self, lane: str, outcome: Outcome) -> None:
        """Take in what a target answered. One line when its trouble begins, one when it ends."""
        failed = outcome.result == "failed"
        now = self._clock()
        pause = min(int((outcome.retry_after or 0) * SECOND), LONGEST_PAUSE)
        with self._turn, self._session.transaction() as cursor:
            cursor.execute(
                "WITH before AS (SELECT lane, failures FROM lanes WHERE lane = %(lane)s FOR UPDATE)"
                " UPDATE lanes SET failures = CASE WHEN %(failed)s THEN before.failures + 1 "
                "ELSE 0 END, open_until = CASE WHEN NOT %(failed)s THEN 0 "
                "WHEN before.failures + 1 >= %(breaks)s THEN %(now)s + %(alone)s "
                "ELSE open_until END, limited_until = greatest(limited_until, %(pause)s) "
                "FROM before WHERE lanes.lane = before.lane "
                "AND (%(failed)s OR before.failures > 0 OR %(pause)s > 0) "
                "RETURNING before.failures",
                {
                    "lane": lane,
                    "failed": failed,
                    "now": now,
                    "breaks": BREAKS_AFTER,
                    "alone": LEFT_ALONE,
                    "pause": now + pause if pause else 0,
                },
            )
            row = cursor.fetchone()
        before = row[0] if row else 0
        if failed and before + 1 == TOLD_AFTER:
            _log.warning("%s fails and is tried again: %s", lane, outcome.detail)
        elif not failed and before >= TOLD_AFTER:
            _log.warning("%s answers again after %d failures", lane, before)

    def lost(self, lane: str, outcome: str, detail: str, count: int) -> None:
        """So many alerts will not be delivered; one line now and then for each target."""
        now = self._clock()
        with self._turn:
            told, untold = self._lost.get(lane, (now - QUIET, 0))
            telling = now - told >= QUIET
            self._lost[lane] = (now, 0) if telling else (told, untold + count)
        if telling:
            text = "%s: %s, %d kept in alpr.dlq: %s"
            _log.error(text, lane, outcome, untold + count, detail)
