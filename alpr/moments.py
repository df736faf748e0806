"""Times as a person gives them to a command."""

import re
from datetime import UTC, datetime

from alpr.errors import ConfigError

SECOND_US = 1_000_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(flag: str, text: str, now_us: int) -> int:
    """Microseconds UTC of ``2h`` (before ``now_us``; s, m, h, d) or of an ISO 8601 time.

    Without a zone it is UTC, without a time midnight. Raises ConfigError.
    """
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if ago:
        return now_us - int(ago[1]) * _UNITS[ago[2]] * SECOND_US
    try:
        at = datetime.fromisoformat(text.strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{flag} {text!r} is no time: give one such as 2025-01-15T12:00:00Z, or 2h for two "
            "hours ago (s, m, h, d)"
        ) from None
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def shown(at_us: int) -> str:
    """A time to read, in UTC to the millisecond; one beyond the year 9999 as its number."""
    try:
        at = datetime.fromtimestamp(at_us // SECOND_US, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_us} µs"
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_us % SECOND_US // 1000:03d}Z"
