"""The writer of the sightings' view in OpenSearch: documents first, then their position."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

from opensearchpy.exceptions import NotFoundError

from projections.errors import PositionConflict, ViewUnavailable
from projections.search_bulk import Sleep, write
from projections.search_index import (
    Generation,
    Position,
    PositionMoved,
    check_alias,
    check_owner,
    create,
    generations,
    live_generation,
    position,
    positions,
    put_template,
    refresh,
    store,
)
from projections.search_retention import boundary, expire
from projections.search_server import SearchServer
from projections.view import DAY, Change, Refused
from schemas.records import Progress
from schemas.topics import DETECTED

TRUSTED_S = 0.2
"""How long a position is believed to say what it said; a rebuild waits longer than that."""


class SearchView:
    """Writes the sightings of one log to the live index; for one thread.

    Makes the template, and an index if there is none. Raises ViewMismatch (another log's view,
    another version, no OpenSearch), AccessRefused and ViewUnavailable, here and in every method.
    """

    def __init__(
        self,
        url: str,
        log_uuid: str,
        sleep: Sleep = time.sleep,
        *,
        retain_days: int | None = None,
    ) -> None:
        self._retain_days = retain_days
        self._since: int | None = None
        self._server = SearchServer(url)
        self._log_uuid = log_uuid
        self._sleep = sleep
        self._known: dict[int, tuple[Position, float]] = {}  # and since when
        # Moves that were asked for and not answered: they may have been made.
        self._unsure: dict[int, tuple[int, int]] = {}
        self._server.check()
        put_template(self._server)
        self._index = self._live().name

    def positions(self) -> dict[int, int]:
        """The next offset of each partition that was ever read; one that is missing is at 0."""
        self._known.clear()
        self._index = self._live().name
        found = positions(self._server, self._index)
        return {partition: at.next_offset for partition, at in found.items()}

    def apply(
        self,
        partition: int,
        expected: int,
        changes: Sequence[Change],
        next_offset: int,
        on_refused: Callable[[list[Refused]], None] = lambda _: None,
    ) -> list[Refused]:
        """Write changes, then move the position from ``expected`` to ``next_offset``.

        Of an event the highest revision stays, an erased one never comes back; so repeats and
        the borders of batches do not matter, nor does an end between the two. Returns what no
        document can hold: all else is written. ``on_refused`` is told of them before the
        position moves. After ViewUnavailable the same call may be made again.
        Raises PositionConflict when the position is not ``expected`` (0: never read).
        """
        if next_offset < expected:
            raise ValueError(f"the position cannot go back from {expected} to {next_offset}")
        refused: list[Refused] = []
        while True:
            at = self._position(partition)
            unsure = self._unsure.pop(partition, None) == (expected, next_offset)
            if unsure and at.next_offset == next_offset:
                return refused  # the move that got no answer was made, after its documents
            if at.next_offset != expected:
                self._known.pop(partition)
                raise PositionConflict(
                    f"{DETECTED.name}, partition {partition}: {at.index} stands at "
                    f"{at.next_offset}, this writer expected {expected}. Another writer moved it "
                    "or the index was restored: run one writer a partition, and start again from "
                    "the view's positions"
                )
            try:
                if at.also is not None:
                    # First, and visible: who has seen it in the one sees it in the other.
                    write(self._server, at.also, changes, self._sleep, self._since)
                    with suppress(NotFoundError):  # removed meanwhile: the position tells
                        refresh(self._server, at.also)
                told = write(self._server, at.index, changes, self._sleep, self._since)
                if told and told != refused:
                    on_refused(told)
                refused = told
                self._unsure[partition] = (expected, next_offset)
                watermark = _watermark(changes, at.watermark)
                moved = replace(at, next_offset=next_offset, watermark=watermark)
                asked = time.monotonic()
                self._known[partition] = (store(self._server, moved), asked)
            except PositionMoved:
                self._unsure.pop(partition)  # answered: it was not made
                self._known.pop(partition)
                continue
            except ViewUnavailable:
                self._known.pop(partition)
                raise
            self._unsure.pop(partition)
            return refused

    def watermark(self) -> int | None:
        """The latest event time (microseconds) that a Progress has told, of any partition."""
        found = positions(self._server, self._index).values()
        return max((at.watermark for at in found if at.watermark is not None), default=None)

    def retain(self, now: int) -> None:
        """Delete what the policy no longer keeps at a time (microseconds UTC), by whole days.

        The index remembers it: nothing older comes back, and a rebuild leaves it out too.
        """
        if self._retain_days is not None:
            before = now - self._retain_days * DAY
            self._since = expire(self._server, self._index, before - before % DAY, self._sleep)

    def close(self) -> None:
        """Release the connections."""
        self._server.close()

    def _position(self, partition: int) -> Position:
        """Where a partition stands in the generation that is now written to."""
        at, known = self._known.get(partition, (None, 0.0))
        now = time.monotonic()
        if at is None or now - known > TRUSTED_S:
            at = position(self._server, self._index, partition)
            if at.place is None or at.moved_to is not None:
                # A generation that took this one's place, or an index that is gone.
                self._index = self._live().name
                at = position(self._server, self._index, partition)
            self._known[partition] = (at, now)
        return at

    def _live(self) -> Generation:
        check_alias(self._server)
        live = live_generation(self._server)
        if live is None:
            last = max((g.number for g in generations(self._server)), default=0)
            create(self._server, last + 1, self._log_uuid, live=True)
            live = live_generation(self._server)
        if live is None:  # deleted as soon as it was made
            raise ViewUnavailable(f"{self._server.place}: the view is being removed")
        check_owner(self._server, live, self._log_uuid)
        self._since = boundary(self._server, live.name)
        return live


def _watermark(changes: Sequence[Change], before: int | None) -> int | None:
    """The latest event time that a Progress names, in microseconds."""
    marks = [
        cast("Progress", change)["watermark"]
        for change in changes
        if not isinstance(change, tuple) and "watermark" in change
    ]
    return max(marks if before is None else [*marks, before], default=None)
