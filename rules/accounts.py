"""Whether every read of the raw log is accounted for: in a sighting, rejected or a dead letter."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.records import DeadLetter, PlateEvent, PlateRead, ReadRejected
from schemas.topics import RAW


class RawRead(NamedTuple):
    """A PlateRead of the raw log and its place; None where its bytes are no record at all."""

    partition: int
    offset: int
    read: PlateRead | None


@dataclass(frozen=True, slots=True)
class Account:
    """``in_sightings`` + ``rejected`` + ``dead`` = ``reads``, once no sighting is open.

    A read is named by its read_id, an unreadable record by ``partition/offset``.
    """

    records: int
    """reads on the raw log, repeated ones and unreadable records among them"""
    reads: int
    """distinct ones"""
    in_sightings: int
    rejected: int
    dead: int
    open: int
    """sightings that are not over: what they counted since their last event is not told yet"""
    difference: Mapping[str, int]
    """by camera or its group, what is accounted for less what was read, where that is not 0"""
    missing: tuple[str, ...]
    """reads that nothing shows, of cameras where too few are hidden: some or all are missing"""
    doubled: tuple[str, ...]
    """reads that are accounted for more than once, or were never on the raw log"""

    @property
    def closed(self) -> bool:
        """Whether each read is accounted for exactly once, as far as counts and ids tell."""
        return not (self.open or self.difference or self.missing or self.doubled)


def account(
    raw: Iterable[RawRead],
    detected: Iterable[PlateEvent],
    rejected: Iterable[ReadRejected],
    dead: Iterable[DeadLetter],
) -> Account:
    """Settle four topics; what a crash made them say again may be given again, in any order.

    A sighting counts with ``reads`` of its highest revision; one that was ``merged_into``
    another counts nothing, since the other's count holds its reads. A rejection counts with its
    ``reads``, once for each place; of dead letters those of the raw log count, once for each
    place. Where a read_id lies on the raw log repeatedly, it is one read: refusals of its other
    records count nothing, nor does a dead letter of it if it was sent again and counted then.
    """
    at: dict[tuple[int, int], str] = {}
    gate_of: dict[str, str] = {}
    records: Counter[str] = Counter()
    for partition, offset, read in raw:
        name = f"{partition}/{offset}" if read is None else read["read_id"]
        if (partition, offset) not in at:
            at[partition, offset] = name
            records[name] += 1
            gate_of.setdefault(name, f"partition {partition}" if read is None else _gate(read))

    balance: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    """by gate, reads that are counted without being named"""
    shown: Counter[str] = Counter()
    sightings = _latest(detected)
    for event in sightings:
        gate, evidence = _gate(event), event["evidence"]["reads"]
        balance[gate] += event["reads"]
        hidden[gate] += event["reads"] - len(evidence)
        shown.update(kept["read_id"] for kept in evidence)
    in_sightings = sum(balance.values())

    refused: Counter[str] = Counter()
    joined = 0
    for place, rejection in {(x["partition"], x["offset"]): x for x in rejected}.items():
        gate, others = _gate(rejection["read"]), rejection["reads"] - 1
        name = at.get(place, rejection["read"]["read_id"])
        refused[name] += 1
        gate_of.setdefault(name, gate)
        balance[gate] += others
        hidden[gate] += others
        joined += others
    letters = {(x["partition"], x["offset"]) for x in dead if x["topic"] == RAW.name}
    buried = Counter(at[place] for place in letters if place in at)

    only = {"rejected": 0, "dead": 0}
    unnamed: dict[str, list[str]] = {}
    doubled: set[str] = {name for name, times in shown.items() if times > 1}
    for name, gate in gate_of.items():
        counted = records[name] - refused[name] - buried[name]
        balance[gate] -= records[name] > 0
        if counted <= 0:
            only["rejected" if refused[name] else "dead"] += 1
            balance[gate] += 1
        elif not shown[name]:
            unnamed.setdefault(gate, []).append(name)
        if counted < 0 or counted > 1 or (counted == 0 and shown[name]):
            doubled.add(name)
    doubled |= shown.keys() - gate_of.keys()
    missing = [
        name for gate, names in unnamed.items() if len(names) > hidden[gate] for name in names
    ]
    return Account(
        records=len(at),
        reads=len(records),
        in_sightings=in_sightings,
        rejected=joined + only["rejected"],
        dead=only["dead"],
        open=sum(event["status"] not in ("ended", "retracted") for event in sightings),
        difference={gate: more for gate, more in sorted(balance.items()) if more},
        missing=tuple(sorted(missing)),
        doubled=tuple(sorted(doubled)),
    )


def _latest(events: Iterable[PlateEvent]) -> list[PlateEvent]:
    """The highest revision of each sighting that was not merged into another."""
    latest: dict[str, PlateEvent] = {}
    for event in events:
        known = latest.get(event["event_id"])
        if known is None or known["revision"] <= event["revision"]:
            latest[event["event_id"]] = event
    return [event for event in latest.values() if event["merged_into"] is None]


def _gate(record: Any) -> str:
    return record["camera_group"] or record["camera_id"]
