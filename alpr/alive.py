"""``python -m alpr.alive URL`` or ``… ticks``: a container's health check; exit code 0 is health.

A URL has to answer with 200. ``ticks``: the log's newest record is of the last half minute.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from urllib.request import urlopen

PATIENCE_S = 5.0
STALE_S = 30.0
LAST = 50  # offsets to look back over: on Kafka some of them hold no record


def main(arguments: Sequence[str]) -> int:
    """0 where it lives; raises or gives 1 where it does not."""
    (what,) = arguments
    if what != "ticks":
        with urlopen(what, timeout=PATIENCE_S) as answer:  # raises for 400 and above
            return 0 if answer.status == 200 else 1
    from alpr.settings import load
    from alpr.wiring import open_log
    from schemas.topics import RAW

    with closing(open_log(load(os.environ))) as log:
        entries = log.read(
            RAW.name, 0, max(log.lowest(RAW.name, 0), log.end(RAW.name, 0) - LAST), LAST
        )
    return 0 if entries and time.time() - entries[-1].appended_at / 1e6 < STALE_S else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
