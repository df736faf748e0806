"""Waiting pictures to S3, in the background, however long it takes."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from random import Random

from images.cache import PictureCache
from images.s3 import Bucket
from images.store import ImageError, StoreAway

logger = logging.getLogger(__name__)

LOOK_S = 0.5  # seconds between two looks into an empty queue
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0  # after the first failure in a row, and at most
CLEAN_S = 3600.0
AHEAD = 1000  # names held in memory; the queue is the folder
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class UploadCounts:
    """Pictures sent and tries that failed since the start; pictures that wait now."""

    uploaded: int
    failed: int
    waiting: int


def wait_s(before: int, chance: Random) -> float:
    """Seconds to wait after a failure with so many before it in a row: half of it is chance."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(before, 30)) * chance.uniform(0.5, 1.0)


class Uploads:
    """Threads that send what waits in a cache, also what an earlier process left there.

    What fails is tried again for ever; all wait after a failure, twice as long with each in a
    row, half of it chance. Used as a context manager.
    """

    def __init__(
        self,
        bucket: Bucket,
        cache: PictureCache,
        *,
        chance: Random,
        keep_days: int = 30,
        threads: int = 4,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` gives seconds, ``now`` seconds UTC."""
        self._bucket = bucket
        self._cache = cache
        self._chance = chance
        self._keep_s = keep_days * DAY_S
        self._clock, self._now = clock, now
        self._changed = threading.Condition()
        self._ready: deque[str] = deque()
        self._busy: set[str] = set()
        self._look_at = self._clean_at = self._resume_at = clock()
        self._in_a_row = 0
        self._uploaded = self._failed = 0
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=f"upload {number}", daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> "Uploads":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def counts(self) -> UploadCounts:
        """Looks through the folder: what waits is the truth, also after a crash."""
        return UploadCounts(self._uploaded, self._failed, sum(1 for _ in self._cache.waiting()))

    def close(self, timeout_s: float = 5.0) -> int:
        """Wait for what is waiting, not longer than told nor for a server that is away; the rest.

        What is left is sent after the next start.
        """
        deadline = self._clock() + timeout_s
        with self._changed:
            self._look_at = self._clock()
            self._changed.notify_all()
            while self._clock() < deadline and not self._in_a_row and self._left():
                self._changed.wait(0.1)
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))
        left = self.counts().waiting
        if left:
            logger.warning(
                "%d pictures are not in S3 yet; they are sent after the next start", left
            )
        return left

    def _left(self) -> bool:
        return bool(self._busy) or any(True for _ in self._cache.waiting())

    def _run(self) -> None:
        while (name := self._take()) is not None:
            began = self._clock()
            try:
                sent = self._send(name)
            except (ImageError, OSError) as error:
                self._after_failure(name, began, error)
            else:
                self._after_success(name, sent)

    def _take(self) -> str | None:
        """The next picture's name; waits for one. None when stopped."""
        with self._changed:
            while not self._stopped:
                now = self._clock()
                if now >= self._resume_at:
                    if not self._ready and now >= self._look_at:
                        self._look(now)
                    if self._ready:
                        name = self._ready.popleft()
                        self._busy.add(name)
                        return name
                self._changed.wait(max(0.01, max(self._resume_at, self._look_at) - now))
        return None

    def _look(self, now: float) -> None:
        self._look_at = now + LOOK_S
        try:
            self._cache.make_room()
            if now >= self._clean_at:
                self._clean_at = now + CLEAN_S
                self._cache.clean(self._now() - self._keep_s)
        except OSError as error:
            logger.warning("old pictures cannot be cleaned up: %s", error)
        names = (name for name in self._cache.waiting() if name not in self._busy)
        self._ready.extend(islice(names, AHEAD))
        self._changed.notify_all()

    def _send(self, name: str) -> bool:
        """Send a picture; False where there was none to be sent. Raises ImageError, OSError."""
        found = self._cache.to_send(name)
        if found is None:
            return False  # deleted, or sent by another process
        jpeg, tags = found
        if not jpeg:  # cut off by a loss of power
            self._cache.remove(name)
            logger.warning("picture %s was empty and is dropped", name)
            return False
        self._bucket.put(name, jpeg, tags)
        if not self._cache.sent(name):
            self._bucket.delete(name)  # it was deleted while it was on its way
        return True

    def _after_success(self, name: str, sent: bool) -> None:
        with self._changed:
            self._busy.discard(name)
            if sent:
                self._uploaded += 1
                if self._in_a_row:
                    logger.warning("pictures reach S3 again")
                self._in_a_row = 0
            self._changed.notify_all()

    def _after_failure(self, name: str, began: float, error: Exception) -> None:
        with self._changed:
            self._busy.discard(name)
            self._failed += 1
            # Several are on their way at once: those that began before the wait count once.
            if began >= self._resume_at:
                if not self._in_a_row:
                    away = "pictures wait here" if isinstance(error, StoreAway) else name
                    logger.error("%s: %s", away, error)
                self._resume_at = self._clock() + wait_s(self._in_a_row, self._chance)
                self._in_a_row += 1
            self._changed.notify_all()
