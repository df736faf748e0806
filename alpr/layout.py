"""Dedup's recovery stores under ALPR_HOME: their names, who works on them, moving between them.

One process for each store, each for some partitions of one log: ``recovery/dedup-LOG`` is for
all of them, ``recovery/dedup-LOG-0-15`` for those sixteen.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from alpr.errors import AlprError, Busy, ConfigError
from alpr.settings import Settings

if TYPE_CHECKING:
    from dataflows.layout import Kept

SNAPSHOT_S = 1  # how far dedup goes back after a restart


@dataclass(frozen=True, slots=True)
class Store:
    """A recovery store and the partitions whose state it holds; the folder may yet be missing."""

    folder: Path
    partitions: tuple[int, ...]


class Stores:
    """The recovery stores of one log."""

    def __init__(self, settings: Settings, log_uuid: str) -> None:
        self._settings = settings
        self._all = tuple(range(settings.log_partitions))
        self._base = settings.home / "recovery" / f"dedup-{log_uuid}"
        # A change of layout is written to .new, holds from the moment that .new is renamed to
        # .next, and is then carried out, by whoever comes, by moving its stores to their places.
        self._new, self._next, self._old = (
            self._base.with_name(self._base.name + suffix) for suffix in (".new", ".next", ".old")
        )

    def open(self) -> Path:
        """The store of the settings' partitions, made if no store knows any of them.

        Finishes a change of layout that was cut short. Raises AlprError where the state is in
        stores of other partitions.
        """
        self._settle()
        own = self._named(self._settings.own_partitions)
        for store in self._present():
            if store == own:
                return own.folder
            if both := set(store.partitions) & set(own.partitions):
                raise AlprError(
                    f"the state of partition {min(both)} is in {store.folder}, a store of other "
                    f"partitions than {listed(own.partitions)}; `alpr up` runs a dedup for each "
                    f"store, `ALPR_PARTITIONS={listed(store.partitions)} alpr flow dedup` that "
                    "of this one, and the state is moved by `alpr layout`"
                )
        from dataflows.layout import make_store

        with self._lock(own.partitions):
            fresh = own.folder.with_name(own.folder.name + ".fresh")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            try:
                make_store(fresh)
            except RuntimeError as error:  # Bytewax's own
                raise AlprError(f"{own.folder} cannot be made: {error}; mend it") from error
            return fresh.rename(own.folder)

    def open_each(self) -> list[Store]:
        """The stores that hold the settings' partitions together, one for each process.

        Finishes and makes as ``open`` does. Raises AlprError where one holds others as well, or
        not all are in a store: the rest may be another machine's.
        """
        self._settle()
        own = set(self._settings.own_partitions)
        found = [store for store in self._present() if own & set(store.partitions)]
        if not found:
            return [Store(self.open(), tuple(sorted(own)))]
        if (held := {p for store in found for p in store.partitions}) != own:
            raise AlprError(
                f"the recovery stores in {self._base.parent} hold the state of partitions "
                f"{' and '.join(listed(store.partitions) for store in found)}, and those to work "
                f"on are {listed(sorted(own))}: set ALPR_PARTITIONS={listed(sorted(held))}, or "
                "move the state by `alpr layout` (`alpr layout all`: one dedup for all)"
            )
        return found

    def hold(self) -> IO[bytes]:
        """Claim the settings' partitions until the file is closed or this process is gone.

        Raises Busy where another process of this machine works on one of them, AlprError where
        a change of layout was cut short.
        """
        held = self._lock(self._settings.own_partitions)
        if self._next.exists():
            held.close()
            raise AlprError(
                f"a change of layout was cut short and waits in {self._next}; `alpr layout` "
                "finishes it and names the stores"
            )
        return held

    def change(self, layout: Sequence[Sequence[int]]) -> list[Store]:
        """Carry the state over to one store for each process of ``layout``; an empty one asks.

        No process may work on the log while state is moved (Busy). A crash at any moment leaves
        the stores as they were or the change to be finished by ``open`` or by calling this again.
        Raises ConfigError where a partition's state would be left behind.
        """
        from dataflows.layout import StoreError, write_store

        if not layout and not any(left.exists() for left in (self._new, self._next, self._old)):
            return self._present()
        after = [self._named(partitions) for partitions in layout]
        with self._lock(self._all):
            self._finish()
            before = self._present()
            if not layout or set(after) == set(before):
                return before
            self._check(before, after)
            try:
                kept = {p: at for store in before for p, at in self._kept(store).items()}
                for store in after:
                    fresh = self._new / store.folder.name
                    fresh.mkdir(parents=True)
                    own = {p: kept[p] for p in store.partitions if p in kept}
                    write_store(fresh, store.partitions, len(self._all), own)
                    if self._kept(Store(fresh, store.partitions)) != own:
                        raise StoreError(f"{fresh} does not hold what was written to it")
            except (StoreError, RuntimeError) as error:
                raise AlprError(f"nothing was changed: {error}") from error
            _sync(self._new)
            self._new.rename(self._next)
            _sync(self._base.parent, deep=False)
            self._finish()
            return after

    def _settle(self) -> None:
        """Finish a change of layout that was cut short."""
        if self._next.exists():
            with self._lock(self._all):
                self._finish()

    def _named(self, partitions: Sequence[int]) -> Store:
        """The store of some partitions."""
        own = tuple(sorted(partitions))
        if own == self._all:
            return Store(self._base, own)
        return Store(self._base.with_name(f"{self._base.name}-{listed(own)}"), own)

    def _present(self) -> list[Store]:
        """The stores that there are; raises AlprError where one partition is in two."""
        found = self._found()
        by_partition: dict[int, Store] = {}
        for store in found:
            for partition in store.partitions:
                other = by_partition.setdefault(partition, store)
                if other is not store:
                    raise AlprError(
                        f"partition {partition} is in two recovery stores, {other.folder} and "
                        f"{store.folder}; move away the one that is not in use"
                    )
        return found

    def _lock(self, partitions: Sequence[int]) -> IO[bytes]:
        self._base.parent.mkdir(parents=True, exist_ok=True)
        file = self._base.with_name(self._base.name + ".lock").open("ab")
        for partition in partitions:
            try:
                # One byte for each partition. These locks end with the process, kill -9 included.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, partition)
            except (BlockingIOError, PermissionError):  # POSIX lets it be either
                file.close()
                raise Busy(
                    f"partition {partition} of the log is being worked on by another dedup "
                    "process; stop it, or give each process partitions of its own by "
                    "ALPR_PARTITIONS"
                ) from None
        return file

    def _check(self, before: Sequence[Store], after: Sequence[Store]) -> None:
        named: set[int] = set()
        for store in after:
            if both := named & set(store.partitions):
                raise ConfigError(f"partition {min(both)} is named twice; name it once")
            named |= set(store.partitions)
        for store in before:
            if left := set(store.partitions) - named:
                raise ConfigError(
                    f"the state of partition {min(left)}, in {store.folder}, would be left behind;"
                    " name every partition"
                )

    def _finish(self) -> None:
        """Carry out a change that holds, and clear away what one that does not has left."""
        if self._next.exists():
            for fresh in sorted(self._next.iterdir()):
                own = set(self._partitions_of(fresh))
                # What shares a partition with a store that still waits is of the old layout: the
                # new ones share none.
                for store in self._found():
                    if own & set(store.partitions):
                        self._old.mkdir(exist_ok=True)
                        shutil.rmtree(self._old / store.folder.name, ignore_errors=True)
                        store.folder.rename(self._old / store.folder.name)
                fresh.rename(self._base.with_name(fresh.name))
            _sync(self._base.parent, deep=False)
            self._next.rmdir()
        for left in (self._new, self._old):
            if left.exists():
                shutil.rmtree(left)

    def _kept(self, store: Store) -> "dict[int, Kept]":
        """What a store holds, read from a copy: the original stays as it is."""
        from dataflows.layout import read_store

        copy = self._new / "copy" / store.folder.name
        shutil.copytree(store.folder, copy)
        kept = read_store(copy, store.partitions, len(self._all))
        shutil.rmtree(copy.parent)
        return kept

    def _found(self) -> list[Store]:
        there = sorted(self._base.parent.glob(f"{self._base.name}*"))
        # with a suffix: being made or moved
        folders = [f for f in there if "." not in f.name.removeprefix(self._base.name)]
        return [Store(folder, self._partitions_of(folder)) for folder in folders]

    def _partitions_of(self, folder: Path) -> tuple[int, ...]:
        text = folder.name.removeprefix(self._base.name).removeprefix("-")
        if not text:
            return self._all
        if not re.fullmatch(r"[\d,-]+", text):
            raise AlprError(f"{folder} is no recovery store by its name; move it away")
        return self._settings.changed(partitions=text).own_partitions


def listed(partitions: Sequence[int]) -> str:
    """Numbers as ALPR_PARTITIONS takes them: ``0-15``, ``0-3,6``."""
    spans: list[tuple[int, int]] = []
    for number in sorted(partitions):
        if spans and number == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], number
        else:
            spans.append((number, number))
    return ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in spans)


def _sync(folder: Path, *, deep: bool = True) -> None:
    """Onto the disk: the folder's entries and, if ``deep``, everything below."""
    paths = [folder, *(folder.rglob("*") if deep else ())]
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
