"""A stretch of a log read to its end, for commands; flows read on and on by themselves."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

from eventlog.log import Entry, Log, OffsetGone

BATCH = 500
PATIENCE_S = 3.0
"""How long records below the end may be on their way before they are taken for a gap there."""
PAUSE_S = 0.01


def stretch(  # noqa: PLR0917 (a place is four of them)
    log: Log,
    topic: str,
    partition: int,
    offset: int,
    end: int,
    limit: int,
    *,
    patience_s: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Entry]:
    """The next records from ``offset`` on and before ``end``; none only where there are none.

    A read may give nothing while there is more: it is asked again, until nothing has come for
    ``patience_s`` seconds and the log itself answers. Raises OffsetGone, LogUnavailable.
    """
    waited = 0.0
    while offset < end:
        if batch := log.read(topic, partition, offset, limit):
            return [entry for entry in batch if entry.offset < end]
        if log.reached(topic, partition, offset) >= end:
            break
        if waited >= patience_s:
            log.end(topic, partition)
            break
        sleep(PAUSE_S)
        waited += PAUSE_S
    return []


def span(
    log: Log,
    topic: str,
    partition: int,
    start: int,
    end: int,
    *,
    patience_s: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Entry]:
    """The records from offset ``start``, or the lowest that is left, up to before ``end``.

    Waits as ``stretch`` does. Raises LogUnavailable.
    """
    offset = max(start, log.lowest(topic, partition))
    while True:
        try:
            batch = stretch(
                log, topic, partition, offset, end, BATCH, patience_s=patience_s, sleep=sleep
            )
        except OffsetGone as gone:
            offset = gone.lowest
            continue
        if not batch:
            return
        yield from batch
        offset = batch[-1].offset + 1


def first_since(log: Log, topic: str, partition: int, at: int, low: int = 0) -> int:
    """Offset of the first record with ``appended_at`` of at least ``at``; the end if there is none.

    ``low`` is what the log said (``since``). Mostly it lies there; where it does not, it is found
    by halves, and where copies have brought older times in between, it may be one of several.
    """
    low, high = max(low, log.lowest(topic, partition)), log.end(topic, partition)
    first = low
    for entry in islice(span(log, topic, partition, first, high), BATCH):
        if entry.appended_at >= at:
            return low
        low = entry.offset + 1
    while low < high:
        middle = (low + high) // 2
        entry = next(span(log, topic, partition, middle, high), None)
        if entry is None or entry.appended_at >= at:
            high = middle
        else:
            low = entry.offset + 1
    return low
