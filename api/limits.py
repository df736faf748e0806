"""How much one key, user or address may ask: a token bucket for each."""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from api.errors import TooMany

_BURST_S = 10.0  # so many seconds' worth may come at once: a page with its pictures, and some more
_REMEMBERED = 8192  # who was forgotten begins with a full bucket, which others cannot empty


class Limits:
    """``rate`` requests a second for each who asks, ten seconds' worth at once; 0 is no limit."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_S)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> dict[str, str]:
        """Count a request; the headers that tell what is left. Raises TooMany with them."""
        if not self._rate:
            return {}
        now = self._clock()
        left, at = self._buckets.pop(who, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        enough = left >= 1.0
        if enough:
            left -= 1.0
        self._buckets[who] = (left, now)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        told = {
            "ratelimit-limit": str(int(self._burst)),
            "ratelimit-remaining": str(int(left)),
            "ratelimit-reset": str(ceil((self._burst - left) / self._rate)),
        }
        if not enough:
            wait = str(max(1, ceil((1.0 - left) / self._rate)))
            raise TooMany(
                f"more than {self._rate:g} requests a second came from you: ask again in "
                f"{wait} s, ask for more at once, or let an administrator raise ALPR_API_RATE",
                {**told, "retry-after": wait},
            )
        return told
