"""Durations as people write them: ``10m``, ``2h``, ``0.5s``; inside, integer microseconds."""

import re
from decimal import Decimal

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_WRITTEN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])")


def microseconds(text: str) -> int:
    """The microseconds of ``10m``. Raises ValueError for what is no duration."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no duration: write a number and s, m, h or d, like 10m")
    return int(Decimal(found[1]) * _UNITS[found[2]])


def written(duration: int) -> str:
    """The shortest text of a duration in microseconds, so that ``microseconds`` gives it back.

    >>> written(600_000_000), written(5_400_000_000), written(250_000)
    ('10m', '90m', '0.25s')
    """
    for unit, size in _UNITS.items():
        if duration and duration % size == 0:
            return f"{duration // size}{unit}"
    if duration == 0:
        return "0s"
    whole, part = divmod(duration, 1_000_000)
    return f"{whole}.{part:06}".rstrip("0") + "s"
