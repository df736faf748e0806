"""Whatever order partitions are heard in, the same alerts stand: those of the plain meaning."""

from dataclasses import dataclass, field
from math import asin, cos, radians, sin, sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rules.alerts.rule import (
    Among,
    Convoy,
    Count,
    Dwell,
    PlateIs,
    Sequence,
    Travel,
    Unseen,
)
from tests.rules.alerts.plain_meaning import Seen, alerts
from tests.rules.alerts.sightings import MINUTE, Engine, at, book, progress, rule, sighting

PARTITIONS = 2
PLATES = ("A1", "A2", "A3", "B1")
PLACES = {"c0": (41.0, 29.0), "c1": (41.1, 29.0), "c2": (41.0, 29.3), "c3": None}
LAST = 3_000
"""Seconds in which all happens: less than the grace that late sightings have."""


def _gates(*numbers: int):
    return tuple(Among("camera_id", (f"c{n}",)) for n in numbers)


PATTERNS = {
    "single": rule("r", PlateIs("A", "prefix"), cooldown=5 * MINUTE),
    "single without cooldown": rule("r", PlateIs("A", "prefix")),
    "count": rule("r", PlateIs("A", "prefix"), Count(2, within=10 * MINUTE)),
    "count in a zone": rule("r", None, Count(3, by="zone", within=10 * MINUTE)),
    "plates in a zone": rule("r", None, Count(3, by="zone", within=10 * MINUTE, distinct=True)),
    "plates of all": rule("r", None, Count(2, by="", within=5 * MINUTE, distinct=True)),
    "count on a day": rule("r", PlateIs("A", "prefix"), Count(3)),
    "plates on a day": rule("r", None, Count(2, by="camera_id", distinct=True)),
    "dwell": rule("r", PlateIs("A", "prefix"), Dwell(*_gates(0, 1), longer=10 * MINUTE)),
    "first": rule("r", PlateIs("A", "prefix"), Unseen()),
    "return": rule("r", PlateIs("A", "prefix"), Unseen(longer=10 * MINUTE)),
    "sequence": rule("r", None, Sequence(_gates(0, 1), 10 * MINUTE)),
    "three steps": rule("r", None, Sequence(_gates(0, 1, 2), 30 * MINUTE)),
    "clone": rule("r", PlateIs("A", "prefix"), Travel(faster=100, farther=1)),
    "convoy": rule("r", None, Convoy(plates=2, cameras=2, apart=100_000_000, within=30 * MINUTE)),
    "three together": rule("r", None, Convoy(3, 2, apart=200_000_000, within=40 * MINUTE)),
}


@dataclass
class Life:
    """What is said of one sighting, in order, and when each was said."""

    event_id: str
    seconds: int
    camera: str
    plates: list[str]
    stay: int
    said_at: list[int]
    retracted: bool = False
    into: str | None = None
    records: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    @property
    def partition(self) -> int:
        """Of its camera."""
        return int(self.camera[1]) % PARTITIONS

    def write(self) -> None:
        """Make the records."""
        place = PLACES[self.camera] or (None, None)
        for number, said_at in enumerate(self.said_at):
            last = number == len(self.said_at) - 1
            plate = self.plates[min(number, len(self.plates) - 1)]
            status = ("retracted" if self.retracted else "ended") if last else "confirmed"
            record = sighting(
                self.event_id,
                self.seconds,
                plate,
                revision=said_at * 100 + number,
                partition=self.partition,
                camera_id=self.camera,
                zone=f"z{int(self.camera[1]) // 2}",
                latitude=place[0],
                longitude=place[1],
                status=status,
                last_seen=at(self.seconds + (self.stay if last else 0)),
                merged_into=self.into if last else None,
            )
            self.records.append((said_at, record))


def histories(chance: Random) -> list[Life]:
    """Lives of a few plates at a few cameras, some revised, retracted or merged."""
    lives: list[Life] = []
    for number in range(chance.randint(0, 14)):
        seconds = chance.randint(0, LAST // 50) * 50
        revisions = chance.randint(1, 3)
        lives.append(
            Life(
                f"e{number:02}",
                seconds,
                chance.choice(sorted(PLACES)),
                [chance.choice(PLATES) for _ in range(chance.randint(1, revisions))],
                chance.choice((0, 60)),
                sorted(seconds + chance.randint(0, 20) * 20 + n for n in range(revisions)),
            )
        )
    for life in lives:
        if len(life.said_at) > 1 and chance.random() < 0.25:
            life.retracted = True
            heirs = [
                one.event_id
                for one in lives
                if one.partition == life.partition and one.said_at[-1] > life.said_at[-1]
            ]
            life.into = chance.choice([None, *heirs])
    for life in lives:
        life.write()
    return lives


def in_the_end(lives: list[Life], asked) -> list[Seen]:
    """The sightings that count for a rule in the end."""
    by_id = {life.event_id: life for life in lives}

    def counts(life: Life, last: int) -> bool:
        plate = life.plates[min(last, len(life.plates) - 1)]
        if isinstance(asked.pattern, Sequence | Dwell) and int(life.camera[1]) >= len(asked.steps):
            return False
        return not isinstance(asked.where, PlateIs) or plate.startswith(asked.where.pattern)

    def names(life: Life) -> list[tuple[int, str]]:
        own = [(life.seconds, life.event_id)]
        for other in by_id.values():
            # Its plate when it was merged is the one said before.
            if other.into == life.event_id and counts(other, len(other.said_at) - 2):
                own += names(other)
        return own

    seen: list[Seen] = []
    for life in lives:
        last = len(life.said_at) - 1
        if life.retracted or not counts(life, last):
            continue
        seen.append(
            Seen(
                at(life.seconds),
                life.event_id,
                min(names(life))[1],
                life.plates[-1] if last >= len(life.plates) - 1 else life.plates[last],
                life.camera,
                f"z{int(life.camera[1]) // 2}",
                at(life.seconds + life.stay),
                PLACES[life.camera],
                _km,
            )
        )
    return seen


def _km(one, other) -> float:
    (a, b), (c, d) = one, other
    north, south = radians(a), radians(c)
    half = sin((south - north) / 2) ** 2
    half += cos(north) * cos(south) * sin(radians(d - b) / 2) ** 2
    return 2 * 6371.0088 * asin(sqrt(half))


def orders(lives: list[Life], chance: Random) -> list[Any]:
    """An order in which they are heard: each partition's own, with restarts and repeats."""
    queues: list[list[dict[str, Any]]] = []
    for partition in range(PARTITIONS):
        records = [r for life in lives if life.partition == partition for r in life.records]
        # Time passes between records; what is said late is late.
        ticks = [(s, progress(s - 30, partition)) for s in range(200, LAST, 400)]
        records = sorted([*records, *ticks], key=lambda one: (one[0], "watermark" in one[1]))
        queues.append([record for _, record in records])
    order: list[Any] = []
    while any(queues):
        partition = chance.choice([p for p in range(PARTITIONS) if queues[p]])
        count = chance.randint(1, 6)
        order += queues[partition][:count]
        del queues[partition][:count]
        what = chance.random()
        if what < 0.1:
            order.append("restart")
        elif what < 0.2:
            # Dedup says again what it said last.
            said = [r for r in order if r != "restart" and r["partition"] == partition]
            order += said[-chance.randint(1, 4) :]
    return order


def hear(asked, order) -> Engine:
    """Both stages over records in an order, and then time until all is decided."""
    engine = Engine(book(asked), PARTITIONS)
    for number, step in enumerate(order):
        if step == "restart":
            engine.restart()
        else:
            engine.see(step, at(number))
    for partition in range(PARTITIONS):
        engine.see(progress(LAST + 500, partition))
    return engine


@pytest.mark.parametrize("name", PATTERNS)
def test_any_order_of_partitions_ends_with_the_alerts_of_the_plain_meaning(name):
    asked = PATTERNS[name]

    @settings(max_examples=200, deadline=None, phases=[Phase.explicit, Phase.generate])
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        chance = Random(seed)
        lives = histories(chance)
        engine = hear(asked, orders(lives, chance))
        stands = {
            alert_id: (event["plate"], event["count"], event["event_id"])
            for alert_id, event in engine.standing.items()
        }
        assert stands == alerts(asked, in_the_end(lives, asked), at(LAST + 500)), seed

    check()
