"""One answer for all who ask at about the same time."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from projections.errors import ViewError

T = TypeVar("T")


class Shared(Generic[T]):
    """Reads at most once in ``seconds``, in one thread, while the others wait for its answer.

    The statistics count every sighting, and each live page asks for them when one changes. That
    the view cannot be read is an answer too, so that those who wait do not try one by one.
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
        self._until: float | None = None
        self._answer: T | ViewError

    def __call__(self) -> T:
        """The answer, at most ``seconds`` old. Raises ViewError."""
        with self._lock:
            if self._until is None or self._clock() >= self._until:
                try:
                    self._answer = self._read()
                except ViewError as error:
                    self._answer = error
                self._until = self._clock() + self._seconds
            answer = self._answer
        if isinstance(answer, ViewError):
            raise answer
        return answer
