"""Holds the sightings that came out against the truth of a generated city and counts the errors.

What counts
- A read is *fair* if its text is its car's, or one confusable character off; its confidence is
  at least 0.70; and neither its camera's clock nor its lateness lets the rules refuse it.
- A *stay* is what ought to be one sighting: the fair reads of one plate before one gate (a
  camera, or cameras that share one), no two successive ones further apart than the window and
  no end of their source between them. A stay is *fair*, and is a car below, with two such reads.
- A sighting belongs to the stay that most of its evidence was read from; retracted ones are none.

The errors, all of fair stays
- *missed*: no sighting belongs to it, and none at its gate overlaps it with its very text.
- *misread*: sightings belong to it, but none at its gate overlaps it with its very text.
- *doubled*: every sighting after the first that belongs to it.
- *merged*: every sighting whose evidence holds fair reads of more than one car.
- *ghosts*: every sighting of no car at all, as of a sign.
O and 0, and I and 1, are different characters here.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.ocr_noise import LOOKALIKES
from benchmarks.plates import normalised
from benchmarks.stream import Item, visit_of
from benchmarks.traffic import SECOND, Visit
from schemas.records import CameraHeartbeat, PlateEvent, PlateRead, SourceEnded

GOAL = {"missed": 20, "doubled": 5, "merged": 5}  # at most, per 10,000 cars (issue: "How well")


class Stay(NamedTuple):
    """What ought to be one sighting; times are its first and last fair read's, by the camera."""

    gate: str
    plate: str
    first: int
    last: int
    reads: int


class Case(NamedTuple):
    """An error to look at: which stay or text, and the event_ids concerned."""

    error: str
    gate: str
    text: str
    at: int
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """The counts; ``cars`` are the fair stays, ``cases`` every error in order of time."""

    cars: int
    sightings: int
    missed: int
    misread: int
    doubled: int
    merged: int
    ghosts: int
    cases: list[Case] = field(repr=False)

    def per_10_000(self) -> dict[str, float]:
        """Each error per 10,000 cars."""
        return {
            name: round(getattr(self, name) * 10_000 / max(1, self.cars), 1)
            for name in ("missed", "misread", "doubled", "merged", "ghosts")
        }

    def beyond(self) -> dict[str, float]:
        """The errors beyond their goal per 10,000 cars; empty is good."""
        rates = self.per_10_000()
        return {name: rates[name] for name, most in GOAL.items() if rates[name] > most}

    def row(self) -> dict[str, Any]:
        """All that fits in one JSON line."""
        return {
            "cars": self.cars,
            "sightings": self.sightings,
            **{e: getattr(self, e) for e in ("missed", "misread", "doubled", "merged", "ghosts")},
            "per_10_000": self.per_10_000(),
            "beyond": self.beyond(),
        }


def last_revisions(events: Iterable[PlateEvent]) -> list[PlateEvent]:
    """The sightings that stand: the highest revision of each event_id, retracted ones left out."""
    latest: dict[str, PlateEvent] = {}
    for event in events:
        known = latest.get(event["event_id"])
        if known is None or known["revision"] <= event["revision"]:
            latest[event["event_id"]] = event
    return [event for event in latest.values() if event["status"] != "retracted"]


def explain(case: Case, events: Iterable[PlateEvent]) -> str:
    """A case with the reads its sightings were made from, a line each, for people."""
    lines = [f"{case.error} {case.text} at {case.gate}, {case.at}"]
    for event in last_revisions(e for e in events if e["event_id"] in case.events):
        lines.append(f"  {event['status']} {event['plate']['normalized_text']} {event['event_id']}")
        lines += [
            f"    {(read['captured_at'] - case.at) / SECOND:+.1f} s {read['track_id']} "
            f"{read['text']!r} {read['confidence']:.2f} {read['char_confidences']}"
            for read in event["evidence"]["reads"]
        ]
    return "\n".join(lines)


def fair_text(text: str, plate: str) -> bool:
    """Whether a read is its plate's text or one confusable character off."""
    text = normalised(text)
    if text == plate:
        return True
    if len(text) != len(plate):
        return False
    off = [(a, b) for a, b in zip(text, plate, strict=True) if a != b]
    return len(off) == 1 and off[0][0] in LOOKALIKES.get(off[0][1], "")


class Ledger:
    """Follows the raw topic to learn which reads are fair, then audits sightings against it.

    Times are seconds and belong to the rules' settings: ``window_s`` of a sighting,
    ``lateness_s`` behind the camera's newest or the partition's watermark, ``ahead_s`` of a
    clock before its reads are refused, ``silence_s`` until a camera leaves the watermark.
    """

    def __init__(
        self,
        visits: Sequence[Visit],
        *,
        window_s: float = 300.0,
        lateness_s: float = 10.0,
        ahead_s: float = 60.0,
        silence_s: float = 30.0,
        min_confidence: float = 0.70,
    ) -> None:
        self._visits = visits
        self._window = int(window_s * SECOND)
        self._lateness = int(lateness_s * SECOND)
        self._ahead = int(ahead_s * SECOND)
        self._silence = int(silence_s * SECOND)
        self._min_confidence = min_confidence
        self._fair: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self._ends: dict[str, list[int]] = defaultdict(list)
        self._newest: dict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
        self._watermark: dict[int, int] = {}

    def follow(self, items: Iterable[Item]) -> Iterable[Item]:
        """The same records, seen on their way past."""
        for item in items:
            self.see(item.appended_at, item.partition, item.name, item.record)
            yield item

    def see(self, appended_at: int, partition: int, name: str, record: Any) -> None:
        """Take note of one record of alpr.reads.raw, in log order."""
        if name == "PlateRead":
            self._read(appended_at, partition, record)
        elif name == "Tick":
            self._tick(partition, record["at"])
        elif name in ("CameraHeartbeat", "SourceEnded"):
            self._alive(appended_at, partition, record)
            if name == "SourceEnded":
                gate = record["camera_group"] or record["camera_id"]
                self._ends[gate].append(record["captured_at"])

    def stays(self) -> list[Stay]:
        """The fair stays."""
        return [stay for stays in self._stays().values() for stay in stays if stay.reads >= 2]

    def audit(self, events: Iterable[PlateEvent]) -> Account:
        """Count the errors of sightings; every revision may be given, in any order."""
        stays = self._stays()
        sightings = last_revisions(events)
        texts: dict[tuple[str, str], list[PlateEvent]] = defaultdict(list)
        owned: dict[Stay, list[PlateEvent]] = defaultdict(list)
        cases: list[Case] = []
        for event in sightings:
            gate = event["camera_group"] or event["camera_id"]
            texts[gate, event["plate"]["normalized_text"]].append(event)
            cars, fair = self._cars(event)
            if not cars:
                cases.append(_case("ghosts", gate, event))
                continue
            if len(fair) > 1:
                cases.append(_case("merged", gate, event))
            stay = _owner(event, cars, stays, self._window)
            if stay is not None:
                owned[stay].append(event)
        fair_stays = [stay for those in stays.values() for stay in those if stay.reads >= 2]
        for stay in fair_stays:
            own = owned.get(stay, [])
            same = texts.get((stay.gate, stay.plate), ())
            right = any(e["first_seen"] <= stay.last and stay.first <= e["last_seen"] for e in same)
            ids = tuple(event["event_id"] for event in own)
            case = Case("misread" if own else "missed", stay.gate, stay.plate, stay.first, ids)
            if not right:
                cases.append(case)
            cases += [case._replace(error="doubled")] * (len(own) - 1)
        counts = Counter(case.error for case in cases)
        return Account(
            len(fair_stays),
            len(sightings),
            counts["missed"],
            counts["misread"],
            counts["doubled"],
            counts["merged"],
            counts["ghosts"],
            sorted(cases, key=lambda case: (case.at, case.error)),
        )

    def _read(self, appended_at: int, partition: int, read: PlateRead) -> None:
        index = visit_of(read["read_id"])
        captured = read["captured_at"]
        if captured > appended_at + self._ahead:
            return
        newest, _ = self._newest[partition].get(read["camera_id"], (0, 0))
        known = max(newest, self._watermark.get(partition, 0))
        self._alive(appended_at, partition, read)
        if index is None or captured < known - self._lateness:
            return
        visit = self._visits[index]
        if read["confidence"] >= self._min_confidence and fair_text(read["text"], visit.plate):
            self._fair[visit.gate, visit.plate].setdefault(read["read_id"], captured)

    def _alive(
        self, appended_at: int, partition: int, record: PlateRead | CameraHeartbeat | SourceEnded
    ) -> None:
        captured = record["captured_at"]
        if captured > appended_at + self._ahead:
            return
        cameras = self._newest[partition]
        newest, _ = cameras.get(record["camera_id"], (0, 0))
        cameras[record["camera_id"]] = (max(newest, captured), appended_at)

    def _tick(self, partition: int, at: int) -> None:
        live = [
            newest
            for newest, appended in self._newest[partition].values()
            if appended > at - self._silence
        ]
        if live:
            self._watermark[partition] = max(self._watermark.get(partition, 0), min(live))

    def _stays(self) -> dict[tuple[str, str], list[Stay]]:
        ends = {gate: sorted(moments) for gate, moments in self._ends.items()}
        found: dict[tuple[str, str], list[Stay]] = {}
        for (gate, plate), reads in self._fair.items():
            stays: list[Stay] = []
            for at in sorted(reads.values()):
                last = stays[-1] if stays else None
                if (
                    last is None
                    or at - last.last > self._window
                    or _between(ends.get(gate, ()), last.last, at)
                ):
                    stays.append(Stay(gate, plate, at, at, 1))
                else:
                    stays[-1] = last._replace(last=at, reads=last.reads + 1)
            found[gate, plate] = stays
        return found

    def _cars(self, event: PlateEvent) -> tuple[dict[tuple[str, str], list[int]], set[str]]:
        """When the evidence was read, by gate and plate; and the plates that it reads fairly."""
        cars: dict[tuple[str, str], list[int]] = defaultdict(list)
        fair: set[str] = set()
        for read in event["evidence"]["reads"]:
            index = visit_of(read["read_id"])
            if index is None:
                continue
            visit = self._visits[index]
            cars[visit.gate, visit.plate].append(read["captured_at"])
            if fair_text(read["text"], visit.plate):
                fair.add(visit.plate)
        return cars, fair


def _owner(
    event: PlateEvent,
    cars: Mapping[tuple[str, str], list[int]],
    stays: Mapping[tuple[str, str], list[Stay]],
    window: int,
) -> Stay | None:
    """The stay that most of the evidence is of; None if that car has no fair read near."""
    text = event["plate"]["normalized_text"]
    car = max(cars, key=lambda c: (len(cars[c]), c[1] == text, c))
    at = sorted(cars[car])[len(cars[car]) // 2]
    near = [(max(stay.first - at, at - stay.last, 0), stay) for stay in stays.get(car, ())]
    distance, stay = min(near, default=(0, None))
    return stay if distance <= window else None


def _between(moments: Sequence[int], after: int, before: int) -> bool:
    return bisect_right(moments, after) < bisect_left(moments, before)


def _case(error: str, gate: str, event: PlateEvent) -> Case:
    text = event["plate"]["normalized_text"]
    return Case(error, gate, text, event["first_seen"], (event["event_id"],))
