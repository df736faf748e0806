"""Whose cameras' data may be told to the one for whom a view is asked.

The API sets it when it lets somebody in; whatever asks a view for somebody adds it to its
conditions, so that no endpoint has to remember it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_granted: ContextVar[frozenset[str] | None] = ContextVar("granted", default=None)


def granted() -> frozenset[str] | None:
    """The only cameras that the one who asks may see; None for all."""
    return _granted.get()


def grant(cameras: frozenset[str] | None) -> None:
    """For the rest of this context, only these cameras are told of."""
    _granted.set(cameras)


@contextmanager
def granting(cameras: frozenset[str] | None) -> Iterator[None]:
    """Within it, only these cameras are told of."""
    before = _granted.set(cameras)
    try:
        yield
    finally:
        _granted.reset(before)


def among(column: str = "camera_id") -> tuple[list[str], list[list[str]]]:
    """SQL conditions on a column of cameras, and their values; none where all may be seen."""
    cameras = granted()
    if cameras is None:
        return [], []
    return [f"{column} = ANY(%s)"], [sorted(cameras)]
