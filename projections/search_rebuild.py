"""Builds the view in OpenSearch anew beside the live one, compares the two, and swaps them.

The protocol with the live view's writer, which is never held up (docs/search.md says it in words):
the live position names the new generation as ``also`` (from then on the writer gives its
documents to both), what came before is replayed, the alias is moved, and the live position says
``moved_to``. Each step is one compare-and-set, and may be made again after an end at any moment.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from opensearchpy.exceptions import NotFoundError

from eventlog.log import Entry, Log, OffsetGone
from eventlog.span import span, stretch
from projections.compare import Difference, differences
from projections.errors import PositionConflict, ViewMismatch
from projections.rebuild import Rebuilt, Replayed
from projections.search_bulk import Sleep, write
from projections.search_contents import documents, mark, point_in_time, whole_hours
from projections.search_documents import VERSION
from projections.search_index import (
    Generation,
    IndexGone,
    Position,
    PositionMoved,
    change,
    check_alias,
    count,
    create,
    delete,
    generations,
    live_generation,
    position,
    positions,
    put_template,
    refresh,
    show,
    store,
)
from projections.search_retention import boundary, expire
from projections.search_server import SearchServer
from projections.search_takeover import carry_erased, first_offsets, take_over
from projections.search_view import TRUSTED_S
from projections.view import Change, change_of
from schemas.codec import Codec, DecodeError
from schemas.topics import DETECTED

_BATCH = 2_000  # records read at once
_NEAR = 5_000  # records behind at which the live view's writer is asked to write twice
_IN_FLIGHT = 5_000  # records a writer may have written beyond its position: ten of its batches


def rebuild_search(
    url: str,
    log: Log,
    codec: Codec,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    *,
    start: int | None = None,
    swap: bool = True,
    sleep: Sleep = time.sleep,
) -> Rebuilt:
    """Replay the log into a new index, compare it with the live one, move the alias.

    May be killed and called again: it goes on where it was. The live view is read and written
    meanwhile, and neither its readers nor its writer wait. The old index stays (a previous one
    goes) until ``drop_old_search``. With ``start`` (microseconds) what was captured before is
    taken over from the live index as it is, and only what is newer is replayed. With ``swap``
    False nothing changes but the new index. Raises ViewUnavailable, AccessRefused, ViewMismatch
    where there is nothing to take over, PositionConflict where another replay is under way.
    """
    server = SearchServer(url)
    try:
        server.check()
        check_alias(server)
        put_template(server)
        _hand_over(server)
        replay = _Replay(server, log, codec, on_progress, start=start, sleep=sleep)
        replay.begin()
        _catch_up(replay, server, log)
        told = _compare(replay, server, log)
        if swap:
            _swap(replay, server, log, sleep)
        return Rebuilt(count(server, replay.index), replay.refused, told)
    finally:
        server.close()


def drop_old_search(url: str, sleep: Sleep = time.sleep) -> bool:
    """Remove the index that the last swap replaced, and any older one; False if there was none."""
    server = SearchServer(url)
    try:
        _hand_over(server)
        sleep(2 * TRUSTED_S)  # now its writers know, and none makes it anew by writing to it
        return _drop_before(server, live_generation(server))
    finally:
        server.close()


class _Replay:
    """The new generation and how far it is."""

    def __init__(
        self,
        server: SearchServer,
        log: Log,
        codec: Codec,
        on_progress: Callable[[Replayed], None],
        *,
        start: int | None,
        sleep: Sleep,
    ) -> None:
        self._server, self._log, self._codec = server, log, codec
        self._on_progress, self._start, self._sleep = on_progress, start, sleep
        self._at: dict[int, Position] = {}
        self._since: int | None = None
        self.index = ""
        self.refused = 0

    def begin(self) -> None:
        """Go on with what was begun for this log, or begin; take over what is erased for ever."""
        known = generations(self._server)
        live = next((g for g in reversed(known) if g.live), None)
        for begun in reversed(known):
            if live is not None and begun.number <= live.number:
                break
            if not self._resume(begun):
                self._remove(begun.name)
                continue
            break
        if not self.index:
            self._make(known)
        if live is not None:
            carry_erased(self._server, live.name, self.index)

    def _resume(self, begun: Generation) -> bool:
        if (begun.log, begun.version, begun.start) != (self._log.uuid, VERSION, self._start):
            return False
        at = positions(self._server, begun.name)
        if self._start is not None and len(at) < self._log.partitions(DETECTED.name):
            return False  # killed while it took over
        if any(one.also or one.moved_to for one in at.values()):
            return False  # it was a live one once
        self.index, self._at = begun.name, at
        return True

    def to(self, target: Mapping[int, int]) -> None:
        """Replay each partition up to its offset in ``target``, and not a record further."""
        while not self._reach(target):
            self._remove(self.index)
            self._make(generations(self._server))
            self.refused = 0

    def positions(self) -> dict[int, int]:
        """The next offset of each partition of the new generation."""
        return {partition: at.next_offset for partition, at in self._at.items()}

    def _reach(self, target: Mapping[int, int]) -> bool:
        """False where what is here already cannot become what the log says."""
        if any(at.next_offset > target.get(p, 0) for p, at in self._at.items()):
            return False  # left from a live view that stood further on
        for partition, end in target.items():
            at = self._at.get(partition) or Position(self.index, partition)
            while at.next_offset < end:
                try:
                    at = self._step(at, end)
                except OffsetGone as gone:
                    if at.next_offset > 0:
                        return False  # erasures of what is here may have been compacted away
                    at = self._store(replace(at, next_offset=min(gone.lowest, end)))
                self._at[partition] = at
                done = sum(self.positions().values())
                self._on_progress(Replayed(done, sum(target.values()), self.refused))
        return True

    def _step(self, at: Position, end: int) -> Position:
        entries = stretch(self._log, DETECTED.name, at.partition, at.next_offset, end, _BATCH)
        changes = self._changes(entries)
        self.refused += len(entries) - len(changes)  # live, the index flow puts them on alpr.dlq
        # Offsets have gaps: where no record is left below the end, that is how far we are.
        following = entries[-1].offset + 1 if entries else end
        told = write(self._server, self.index, changes, self._sleep, self._since)
        self.refused += len(told)
        return self._store(replace(at, next_offset=following))

    def _changes(self, entries: Iterable[Entry]) -> list[Change]:
        """What the records that can be read say."""
        found: list[Change] = []
        for entry in entries:
            with suppress(DecodeError):
                found.append(change_of(entry, self._codec))
        return found

    def _store(self, at: Position) -> Position:
        try:
            return store(self._server, at)
        except IndexGone:
            raise PositionConflict(
                f"{self.index} was removed during the rebuild: start it again"
            ) from None
        except PositionMoved:
            raise PositionConflict(
                f"{self.index} is written by another rebuild: let that one end"
            ) from None

    def beyond(self) -> None:
        """Write what the live view's writer may have begun beyond its position, and stay there.

        Readers may have seen it in the live index before it comes to this one.
        """
        stands = self.positions()
        for partition in range(self._log.partitions(DETECTED.name)):
            following = self._changes(_beyond(self._log, partition, stands.get(partition, 0)))
            write(self._server, self.index, following, self._sleep, self._since)

    def carry_retention(self, live: str) -> None:
        """What the live view has dropped for its age is to go here as well."""
        since = boundary(self._server, live)
        if since is not None and since != self._since:
            self._since = expire(self._server, self.index, since, self._sleep)

    def _make(self, known: list[Generation]) -> None:
        number = max((g.number for g in known), default=0) + 1
        uuid, start = self._log.uuid, self._start
        followed = _followed(self._server, self._log)
        if start is not None and followed is None:
            raise ViewMismatch(
                "there is no view of this log and this version to take older sightings over from: "
                "rebuild without --from"
            )
        self.index = create(self._server, number, uuid, live=False, start=start)
        self._at = {}
        if start is not None and followed is not None:
            live, stands = followed
            take_over(self._server, live.name, self.index, start, self._sleep)
            for partition, offset in first_offsets(self._log, stands, start).items():
                self._at[partition] = self._store(Position(self.index, partition, offset))

    def _remove(self, name: str) -> None:
        """Take a generation away from the live view's writer, then delete it."""
        live = live_generation(self._server)
        if live is not None:
            for partition, at in positions(self._server, live.name).items():
                if at.also == name:
                    change(self._server, live.name, partition, _alone)
        delete(self._server, name)


def _alone(at: Position) -> Position:
    return replace(at, also=None)


def _followed(server: SearchServer, log: Log) -> tuple[Generation, dict[int, int]] | None:
    """The live generation and where it stands, if it shows this log as this program would."""
    live = live_generation(server)
    if live is None or (live.log, live.version) != (log.uuid, VERSION):
        return None
    at = {p: one.next_offset for p, one in positions(server, live.name).items()}
    # A view ahead of its log: the log was restored from an older copy, the view is worthless.
    if any(offset > log.end(DETECTED.name, p) for p, offset in at.items()):
        return None
    return live, at


def _target(server: SearchServer, log: Log) -> dict[int, int]:
    """Where the live view stands, or the end of the log where there is no live view of it."""
    followed = _followed(server, log)
    if followed is not None:
        return followed[1]
    return {p: log.end(DETECTED.name, p) for p in range(log.partitions(DETECTED.name))}


def _catch_up(replay: _Replay, server: SearchServer, log: Log) -> None:
    """Replay until few records are left, without what the live view has dropped for its age."""
    followed = _followed(server, log)
    if followed is not None:
        replay.carry_retention(followed[0].name)
    while True:
        target = _target(server, log)
        behind = sum(target.values()) - sum(replay.positions().values())
        replay.to(target)
        if behind <= _NEAR:
            return


def _compare(replay: _Replay, server: SearchServer, log: Log) -> list[Difference] | None:
    """Hours that differ when the new index stands where a point in time of the live one does."""
    followed = _followed(server, log)
    if followed is None:
        return None
    live = followed[0].name
    with point_in_time(server, live) as before:
        replay.carry_retention(live)
        # Of the same point in time: every document below these is in it.
        at = {p: one.next_offset for p, one in positions(server, live, before).items()}
        replay.to(at)
        with point_in_time(server, replay.index) as after:
            told = differences(whole_hours(server, before), whole_hours(server, after))
            # What the live view drops meanwhile is in one of the two points in time.
            since = boundary(server, live)
            if since is not None:
                told = [one for one in told if one.hour.timestamp() * 1e6 >= since]
            if not told:
                return []
            # Documents come before their position: what the next records say may be there.
            ahead = _named_from(log, at)
            return [one for one in told if _differ(server, before, after, one.hour) - ahead]


def _differ(server: SearchServer, before: str, after: str, hour: datetime) -> set[str]:
    """The sightings of an hour that two points in time do not hold alike."""
    held = [
        {(found["event_id"], mark(found)) for found in documents(server, pit, hour=hour)}
        for pit in (before, after)
    ]
    return {event_id for event_id, _ in held[0] ^ held[1]}


def _named_from(log: Log, at: Mapping[int, int]) -> set[str]:
    """The keys of the records that follow, as far as a writer may be beyond its position."""
    return {
        (entry.key or b"").decode("utf-8", "replace")
        for partition, offset in at.items()
        for entry in _beyond(log, partition, offset)
    }


def _beyond(log: Log, partition: int, offset: int) -> Iterator[Entry]:
    """What a writer that stands at an offset may have written already."""
    end = min(log.end(DETECTED.name, partition), offset + _IN_FLIGHT)
    return span(log, DETECTED.name, partition, offset, end)


def _swap(replay: _Replay, server: SearchServer, log: Log, sleep: Sleep) -> None:
    live = live_generation(server)
    if live is not None and live.name > replay.index:
        raise PositionConflict(f"{live.name} was made during the rebuild: start it again")
    followed = _followed(server, log)
    if followed is not None:
        for partition in range(log.partitions(DETECTED.name)):
            change(server, followed[0].name, partition, lambda at: replace(at, also=replay.index))
        sleep(2 * TRUSTED_S)  # now what a writer writes to the live index alone is in the log
    replay.to(_target(server, log))
    if followed is not None:
        replay.beyond()
    if live is not None:
        carry_erased(server, live.name, replay.index)
        if (live.log, live.version) == (log.uuid, VERSION):
            replay.carry_retention(live.name)
        _drop_before(server, live)
    refresh(server, replay.index)
    show(server, replay.index)
    _hand_over(server)


def _hand_over(server: SearchServer) -> None:
    """Tell the writers of older generations which one is live now, and where they go on in it."""
    live = live_generation(server)
    if live is None:
        return
    for older in generations(server):
        if older.number >= live.number:
            continue
        try:
            stand = positions(server, older.name)
        except NotFoundError:  # removed meanwhile, with all that it said
            continue
        for partition, found in stand.items():
            at = found
            while at.moved_to is None:
                if at.also == live.name:
                    change(server, live.name, partition, _at_least(at))
                try:
                    at = store(server, replace(at, moved_to=live.name))
                except PositionMoved:
                    at = position(server, older.name, partition)
                    if at.place is None:
                        break


def _at_least(old: Position) -> Callable[[Position], Position]:
    def raised(at: Position) -> Position:
        if at.next_offset >= old.next_offset:
            return at
        return replace(at, next_offset=old.next_offset, watermark=old.watermark)

    return raised


def _drop_before(server: SearchServer, live: Generation | None) -> bool:
    older = [g for g in generations(server) if live is not None and g.number < live.number]
    for generation in older:
        delete(server, generation.name)
    return bool(older)
