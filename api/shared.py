"""One answer for all who ask at about the same time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from projections.errors import ViewError
from projections.grant import granted

T = TypeVar("T")

_KEPT = 64  # answers, each for who may see the same cameras


class Shared(Generic[T]):
    """Reads at most once in ``seconds``, in one thread, while the others wait for its answer.

    The statistics count every sighting, and each live page asks for them when one changes. Who may
    see other cameras gets another answer. That the view cannot be read is an answer too, so that
    those who wait do not try one by one.
    """

    def __init__(
        self,
        read: Callable[[], T],
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._answers: OrderedDict[frozenset[str] | None, _Answer[T]] = OrderedDict()

    def __call__(self) -> T:
        """The answer, at most ``seconds`` old. Raises ViewError."""
        cameras = granted()
        with self._lock:
            answer = self._answers.setdefault(cameras, _Answer())
            self._answers.move_to_end(cameras)
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        with answer.lock:
            if answer.until is None or self._clock() >= answer.until:
                began = self._clock()
                try:
                    answer.told = self._read()
                except ViewError as error:
                    answer.told = error
                # Sightings of some cameras are counted one by one: what took a second is not
                # asked for again within ten.
                now = self._clock()
                answer.until = now + max(self._seconds, 10 * (now - began))
            told = answer.told
        if isinstance(told, ViewError):
            raise told
        return told


class _Answer(Generic[T]):
    """What was read, and until when it is good."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.until: float | None = None
        self.told: T | ViewError
