"""What a list shows in a minute is one entry, and no plate of it goes untold."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Unavailable
from api.joined import Joined


class Kept:
    """What was written, or is refused while ``away``."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.away = False

    async def write(self, entry: Any) -> None:
        if self.away:
            raise Unavailable("away")
        self.entries.append(entry)

    def found(self) -> list[list[str]]:
        return [one["found"] for one in self.entries]


def entry(*found: str, actor: str = "anna") -> Any:
    said = {"action": "list", "subject": "recent", "reason": ""}
    return {"audit_id": "1", "at": 1, "actor": actor, **said, "found": list(found)}


def test_the_first_is_written_at_once_and_what_is_new_when_the_time_is_over():
    async def asked() -> list[list[str]]:
        kept = Kept()
        joined = Joined(kept.write, 0.05)
        await joined.tell(entry("a"))
        for _ in range(10):
            await joined.tell(entry("a", "b"))
        await joined.tell(entry("c"))
        assert kept.found() == [["a"]]
        await asyncio.sleep(0.2)
        assert kept.found() == [["a"], ["b", "c"]]
        await joined.tell(entry("a"))
        return kept.found()

    assert asyncio.run(asked()) == [["a"], ["b", "c"], ["a"]]


def test_each_actor_is_told_of():
    async def asked() -> list[str]:
        kept = Kept()
        joined = Joined(kept.write)
        await joined.tell(entry("a"))
        await joined.tell(entry("a", actor="bert"))
        return [one["actor"] for one in kept.entries]

    assert asyncio.run(asked()) == ["anna", "bert"]


def test_while_the_log_is_away_a_list_is_shown_no_more_and_nothing_is_lost():
    async def asked() -> list[list[str]]:
        kept = Kept()
        joined = Joined(kept.write, 0.05)
        await joined.tell(entry("a"))
        await joined.tell(entry("b"))
        kept.away = True
        await asyncio.sleep(0.12)
        with pytest.raises(Unavailable):
            await joined.tell(entry("c"))
        kept.away = False
        await joined.tell(entry("a"))
        return kept.found()

    told = asyncio.run(asked())
    assert told[0] == ["a"]
    assert sorted({name for found in told for name in found}) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sets(st.integers(0, 2500)))))
def test_every_plate_is_told_in_entries_of_a_thousand_at_most(lists: list[tuple[str, set[int]]]):
    async def asked() -> Kept:
        kept = Kept()
        joined = Joined(kept.write)
        for actor, plates in lists:
            for start in range(0, max(len(plates), 1), 1000):
                shown = sorted(map(str, plates))[start : start + 1000]
                await joined.tell(entry(*shown, actor=actor))
        await joined.end()
        return kept

    kept = asyncio.run(asked())
    for actor in "xy":
        shown = {str(one) for who, plates in lists if who == actor for one in plates}
        told = [one["found"] for one in kept.entries if one["actor"] == actor]
        assert {name for found in told for name in found} == shown
        assert all(len(found) <= 1000 for found in told)
