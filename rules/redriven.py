"""Reads that were sent again when their camera had gone on: a time and sightings of their own."""

from collections.abc import Iterator
from typing import Any

from rules.group import Camera, Group
from rules.sighting import SECOND

QUIET_US = 60 * SECOND
"""So long after the last read of a gate was sent again, its redriven sightings end: much longer
than `alpr dlq redrive` takes from one chunk to the next, and soon for whoever waits for them."""
REMEMBERED = 10_000
"""Ids of reads sent again that are known at one gate, so that two runs at once count one."""


class Redriven:
    """By gate (camera group or camera) the reads that were sent again late, until it is quiet.

    A gate has its time like a camera: that of the read that came last, also where it goes back.
    """

    def __init__(self) -> None:
        self.gates: dict[str, Camera] = {}

    def gate(self, key: str, home: Group | None) -> Camera:
        """What is known of a gate's redriven reads; at first only the signs known at ``home``."""
        gate = self.gates.get(key)
        if gate is None:
            gate = self.gates[key] = _gate(key, 0, 0, {})
            if home is not None:
                gate.home.static = list(home.static)
        return gate

    def counted(self, key: str, read_id: str) -> bool:
        """Whether a read of a gate is known to be counted, here or in an open sighting."""
        gate = self.gates.get(key)
        return gate is not None and read_id in gate.recent

    def remember(self, gate: Camera, read_id: str) -> None:
        """Note a read that was counted."""
        gate.recent[read_id] = gate.high
        if len(gate.recent) > REMEMBERED:
            del gate.recent[next(iter(gate.recent))]

    def at(self, key: str) -> list[Group]:
        """The group of a gate, if there is one."""
        return [self.gates[key].home] if key in self.gates else []

    def groups(self) -> list[Group]:
        """Those of all gates."""
        return [gate.home for gate in self.gates.values()]

    def quiet(self, now: int) -> list[Group]:
        """The groups for which nothing has come lately, as of a record's ``appended_at``; they are
        let go of.
        """
        over = [k for k, gate in self.gates.items() if gate.appended_at < now - QUIET_US]
        return [self.gates.pop(key).home for key in over]

    def state(self, kept: dict[str, bytes]) -> dict[str, Any]:
        """Plain values for ``resume``; ``kept`` has the sightings' states."""
        return {
            key: (gate.high, gate.appended_at, dict(gate.recent), gate.home.state(kept))
            for key, gate in self.gates.items()
        }

    def resume(self, state: dict[str, Any]) -> Iterator[tuple[Group, dict[str, Any]]]:
        """Take up what ``state`` said; each group and what it is to take up."""
        for key, (high, appended_at, recent, saved) in state.items():
            gate = self.gates[key] = _gate(key, high, appended_at, dict(recent))
            yield gate.home, saved


def _gate(key: str, high: int, appended_at: int, recent: dict[str, int]) -> Camera:
    home = Group()
    gate = Camera(key, home, high, appended_at, recent=recent)
    home.cameras.append(gate)
    return gate
