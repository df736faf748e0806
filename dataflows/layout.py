"""Dedup's state moved between Bytewax's recovery stores, and stores that know their partitions.

Read and written by dataflows that carry dedup's step names, so by Bytewax alone: nothing here
knows how a store looks inside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from dataflows.log_io import LogSource, part_name

FLOW, SOURCE, FOLD = "dedup", "raw", "dedup"
"""Dedup's names in its recovery store."""
ELSEWHERE = "elsewhere"
"""What a store holds instead of a position where another process works on the partition."""


class StoreError(Exception):
    """A recovery store and the partitions asked for do not belong together."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds of one partition: where dedup stood in raw, and its open sightings."""

    position: Any
    state: Any = None


class _Elsewhere(StatefulSourcePartition["tuple[str, Any]", str]):
    """A partition that another process works on: ends at once, and leaves that in the store."""

    def next_batch(self) -> list[tuple[str, Any]]:
        raise StopIteration

    def snapshot(self) -> str:
        return ELSEWHERE


class OwnedSource(FixedPartitionedSource["tuple[str, Any]", Any]):
    """A LogSource whose recovery store says of every partition whether it is served here.

    Started on a store of other partitions, which would begin at offset 0 in silence, the flow
    ends with StoreError. ``count`` is the number of the log's partitions.
    """

    def __init__(self, source: LogSource, partitions: Sequence[int], count: int) -> None:
        self._source = source
        self._own = {part_name(partition) for partition in partitions}
        self._all = [part_name(partition) for partition in range(count)]

    def list_parts(self) -> list[str]:
        """One part for each partition of the log: Bytewax wants every part that a store knows."""
        return self._all

    def build_part(
        self, step_id: str, for_part: str, resume_state: Any
    ) -> StatefulSourcePartition["tuple[str, Any]", Any]:
        """The reader of one partition, or none for another process's."""
        own = for_part in self._own
        if resume_state is not None and own == (resume_state == ELSEWHERE):
            raise StoreError(
                f"partition {int(for_part)} is {'' if own else 'not '}among this process's "
                f"(ALPR_PARTITIONS), and {'not ' if own else ''}in this recovery store: give -r "
                "the store of its own partitions, or move the state by `alpr layout`"
            )
        return self._source.build_part(step_id, for_part, resume_state) if own else _Elsewhere()


def make_store(folder: Path) -> None:
    """An empty store in an empty folder, for one process."""
    init_db_dir(folder, 1)


def read_store(folder: Path, partitions: Sequence[int], count: int) -> dict[int, Kept]:
    """What a store holds of those of its partitions that it knows.

    The run that reads it counts in the store: give a copy. Raises StoreError where the store is
    of other partitions than those.
    """
    positions: dict[str, Any] = {}
    states: dict[str, Any] = {}

    def build(part: str, state: Any) -> _Ended:
        if state is not None:
            positions[part] = state
        return _Ended(state)

    _run(folder, _Parts(count, build), states.__setitem__)
    for part, state in positions.items():
        if (state == ELSEWHERE) == (int(part) in partitions):
            raise StoreError(
                f"{folder.name} is not of the partitions that its name says (it does not fit for "
                f"partition {int(part)}): give it the name that it was made with"
            )
    return {
        int(part): Kept(state, states.get(part))
        for part, state in positions.items()
        if state != ELSEWHERE
    }


def write_store(
    folder: Path, partitions: Sequence[int], count: int, kept: Mapping[int, Kept]
) -> None:
    """A new store for a process on these partitions that goes on from ``kept``."""
    make_store(folder)

    def build(part: str, state: Any) -> _Ended:
        if int(part) not in partitions:
            return _Ended(ELSEWHERE)
        at = kept.get(int(part), Kept(None))
        return _Ended(at.position, [] if at.state is None else [(part, at.state)])

    _run(folder, _Parts(count, build), lambda key, state: None)


class _Ended(StatefulSourcePartition["tuple[str, Any]", Any]):
    """Emits what it has and ends; leaves the position that it was given."""

    def __init__(self, position: Any, items: list[tuple[str, Any]] | None = None) -> None:
        self._position = position
        self._items = items or []

    def next_batch(self) -> list[tuple[str, Any]]:
        if not self._items:
            raise StopIteration
        items, self._items = self._items, []
        return items

    def snapshot(self) -> Any:
        return self._position


class _Parts(FixedPartitionedSource["tuple[str, Any]", Any]):
    def __init__(self, count: int, build: Callable[[str, Any], _Ended]) -> None:
        self._names = [part_name(partition) for partition in range(count)]
        self._build = build

    def list_parts(self) -> list[str]:
        return self._names

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _Ended:
        return self._build(for_part, resume_state)


class _Held(StatefulBatchLogic[Any, Any, Any]):
    """Keeps the state that it resumes from or is sent, and says it at the end."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def on_batch(self, values: list[Any]) -> tuple[list[Any], bool]:
        self._state = values[-1]
        return [], False

    def on_eof(self) -> tuple[list[Any], bool]:
        return [self._state], False

    def snapshot(self) -> Any:
        return self._state


class _Told(StatelessSinkPartition["tuple[str, Any]"]):
    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        self._tell = tell

    def write_batch(self, items: list[tuple[str, Any]]) -> None:
        for key, state in items:
            self._tell(key, state)


class _Tell(DynamicSink["tuple[str, Any]"]):
    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        self._tell = tell

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Told:
        return _Told(self._tell)


def _run(folder: Path, source: _Parts, tell: Callable[[str, Any], None]) -> None:
    """Resume the store with dedup's step names and go to the source's end."""
    flow = Dataflow(FLOW)
    held = op.stateful_batch(FOLD, op.input(SOURCE, flow, source), _Held)
    op.output("told", held, _Tell(tell))
    recovery = RecoveryConfig(folder, timedelta(0))
    cli_main(flow, epoch_interval=timedelta(0), recovery_config=recovery)
