"""A sighting against many rules and 100,000 watched plates, beside a plain loop over the rules.

    python -m benchmarks.rules [--counts 10,100,1000,10000] [--watched 100000] [--events 5000]

One JSON line a figure. Of the rules 45 % name a plate, 45 % a camera with two things more, 5 % are
regular expressions, 5 % general: thresholds, zones, hours, any, not, lists. One sighting in eight
has another text beside its plate, as in the design's mix. Of the watched plates
90 % are exact, 5 % wildcards, 5 % fuzzy. ``new`` are sightings each of a plate that was never seen
before, the worst case: RE2 remembers what it made of a text; ``again`` are the same once more, as
each further revision of a sighting is. The loop asks ``holds`` of each rule with the matches of the
watchlists given to it, for the first few of the same sightings, and must find the same rules.
Figures are processor time, which other work on the machine spoils less.
"""

import argparse
import random
import string
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from statistics import median, quantiles
from typing import Any, cast

from benchmarks.dedup import spin, tell
from rules.alerts.holds import holds
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Not,
    PlateIs,
    Rule,
    Watched,
    When,
)
from rules.alerts.rulebook import Rulebook
from schemas.records import PlateEvent, WatchlistEntry

NOON = 1_750_000_000_000_000
SECOND = 1_000_000
CAMERAS = [f"CAM-{number:03d}" for number in range(200)]
ZONES = ["north", "south", "gate", "yard", "ramp", "dock"]
COLORS = ["red", "white", "black", "grey", "blue"]
TYPES = ["car", "truck", "van", "bus"]
LETTERS = string.ascii_uppercase


class Town:
    """Plates, rules, watched plates and sightings, from one seed."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._seen: set[str] = set()
        self.known: list[str] = []
        """Plates that rules and lists name."""

    def plate(self) -> str:
        """A plate that was not drawn before: two in three as in Turkey, else as in the USA."""
        chance = self._chance
        while True:
            if chance.random() < 0.67:
                letters = chance.choice((1, 2, 3))
                digits = 5 - letters + chance.choice((0, 0, 1)) * (letters > 1)
                text = f"{chance.randrange(1, 82):02d}{self._some(LETTERS, letters)}"
                text += self._some(string.digits, digits)
            else:
                text = self._some(LETTERS, 3) + self._some(string.digits, 4)
            if text not in self._seen:
                self._seen.add(text)
                return text

    def rules(self, count: int) -> Iterator[Rule]:
        for number in range(count):
            kind = number % 20
            if kind < 9:
                self.known.append(self.plate())
                where: Condition = PlateIs(self.known[-1], "exact")
                if kind < 4:
                    where = All((where, self._simple()))
            elif kind < 18:
                camera = Among("camera_id", (self._chance.choice(CAMERAS),))
                where = All((camera, self._simple(), self._simple()))
            elif kind == 18:
                where = PlateIs(self._regex(), "regex")
            else:
                where = self._general()
            yield rule(f"rule {number}", where)

    def entries(self, count: int, matches: Sequence[str]) -> Iterator[WatchlistEntry]:
        for number in range(count):
            match = matches[number % len(matches)]
            plate = self.plate()
            self.known.append(plate)
            if match == "wildcard":
                place = self._chance.randrange(len(plate) - 1)
                plate = plate[:place] + self._chance.choice("*?") + plate[place + 1 :]
            yield {
                "watchlist": f"list {number % 20}",
                "plate": plate,
                "kind": ("deny", "allow", "notify")[number % 3],
                "match": match,
                "effective_from": 0,
                "valid_from": None,
                "valid_to": None,
                "owner": f"owner {number % 50}",
                "reason": f"reason {number % 100}",
                "tags": [f"tag {number % 10}"],
                "removed": False,
                "actor": "benchmark",
            }

    def events(self, count: int) -> list[PlateEvent]:
        """Sightings, one in fifty of a plate that a rule or list names; two a second."""
        made: list[PlateEvent] = []
        for number in range(count):
            known = self.known and number % 50 == 0
            text = self._chance.choice(self.known) if known else self.plate()
            made.append(self._event(number, text))
        return made

    def _event(self, number: int, text: str) -> PlateEvent:
        chance = self._chance
        at = NOON + number * SECOND // 2
        box = {"x": 10, "y": 20, "width": chance.randrange(60, 200), "height": 40}
        images = {"plate_url": "", "vehicle_url": "", "frame_url": ""}
        made: dict[str, Any] = {
            "event_id": f"event {number}",
            "revision": number,
            "partition": 0,
            "status": "confirmed",
            "captured_at": at,
            "first_seen": at,
            "last_seen": at + chance.randrange(60 * SECOND),
            "camera_id": chance.choice(CAMERAS),
            "camera_group": None,
            "track_id": f"track {number}",
            "plate": {
                "text": text,
                "normalized_text": text,
                "confidence": round(chance.uniform(0.5, 1.0), 4),
                "region": "TR",
            },
            "vehicle": {
                "type": chance.choice(TYPES),
                "make": None,
                "model": None,
                "color": chance.choice(COLORS),
            },
            "images": images,
            "latency_ms": chance.randrange(50, 500),
            "node": {
                "site": "town",
                "host": "edge",
                "zone": chance.choice(ZONES),
                "lane": "1",
                "latitude": None,
                "longitude": None,
                "timezone": "Europe/Istanbul",
            },
            "extras": {
                "roi": None,
                "direction": chance.choice(("in", "out", None)),
                "quality_score": round(chance.random(), 4),
                "frame_number": number,
                "box": box,
            },
            "reads": chance.randrange(1, 20),
            "tracks": 1,
            "was": [],
            "alternatives": [{"text": text[:-1] + "X", "confidence": 0.3}]
            if number % 8 == 0
            else [],
            "merged_into": None,
            "reason": None,
            "rules_version": "benchmark",
            "evidence": {"positions": [], "reads": [], "texts": 1},
        }
        return cast("PlateEvent", made)

    def _some(self, letters: str, count: int) -> str:
        return "".join(self._chance.choices(letters, k=count))

    def _regex(self) -> str:
        """One of eight kinds, as people write them."""
        text, chance = self.plate(), self._chance
        forms = (
            f"^{text[:4]}",
            f"{text[-4:]}$",
            f"^{text[:2]}[A-Z]{{1,3}}{text[-3:]}$",
            text[1:5],
            f"^[A-Z]{{3}}{text[-2:]}\\d{{2}}$",
            f"{text[:3]}.*{text[-2:]}",
            f"({text}|{self.plate()}|{self.plate()})",
            f"[{text[0]}{text[1]}]{text[2]}[0-9A-Z]{text[3:5]}+",
        )
        return chance.choice(forms)

    def _simple(self) -> Condition:
        chance = self._chance
        return chance.choice(
            (
                Compare("plate.confidence", ">=", round(chance.uniform(0.6, 0.99), 2)),
                Among("vehicle.type", (chance.choice(TYPES),)),
                Among("vehicle.color", (chance.choice(COLORS),)),
                Among("direction", (chance.choice(("in", "out")),)),
                self._hours(),
                PlateIs(self._some(LETTERS, 2), "contains"),
            )
        )

    def _hours(self) -> When:
        """One of some hundred windows: people begin on the hour, by day, night or weekend."""
        days = self._chance.choice(((0, 1, 2, 3, 4), (5, 6), (0, 1, 2, 3, 4, 5, 6)))
        start, end = self._chance.randrange(0, 24, 4), self._chance.randrange(0, 24, 4)
        holidays = self._chance.choice(("any", "any", "except"))
        return When(start * 60, end * 60, days, holidays, country="TR" if holidays != "any" else "")

    def _general(self) -> Condition:
        """Seldom true, as a rule is that says something to people."""
        chance = self._chance
        zone = Among("zone", (chance.choice(ZONES),))
        sure = Compare("plate.confidence", ">", round(chance.uniform(0.9, 0.99), 2))
        other = chance.choice(
            (
                All((Among("vehicle.type", ("truck",)), Among("direction", ("in",)))),
                AnyOf((Among("vehicle.color", ("red",)), Compare("latency_ms", ">", 480))),
                Not(AnyOf((PlateIs("34", "prefix"), Among("vehicle.type", ("car", "van"))))),
                Watched((f"list {chance.randrange(20)}",), ("deny",), 0.9),
                All((Compare("stay_seconds", ">", 50), Compare("quality_score", "<", 0.3))),
            )
        )
        speed = Compare("box.width", "<", chance.randrange(60, 90))
        return All((zone, sure, other, self._hours(), speed))


def rule(name: str, where: Condition) -> Rule:
    shape = repr(where)
    return Rule(name, "", True, "info", where, None, 0, 0.0, (), None, shape, shape, shape)


def each(events: Sequence[PlateEvent], ask: Callable[[PlateEvent], object]) -> list[float]:
    """Microseconds of processor time of each."""
    taken: list[float] = []
    for event in events:
        began = time.process_time()
        ask(event)
        taken.append((time.process_time() - began) * 1e6)
    return taken


def spread(taken: Sequence[float]) -> dict[str, float]:
    cuts = quantiles(taken, n=100)
    return {"mean_us": round(sum(taken) / len(taken), 1), "p99_us": round(cuts[98], 1)}


def curve(counts: Sequence[int], watched: int, events: int, looped: int) -> None:
    for count in counts:
        town, book = Town(), Rulebook()
        rules = list(town.rules(count))
        began = time.process_time()
        for one in rules:
            book.put(one.name, one, NOON)
        book.match(town.events(1)[0], NOON)
        loading = time.process_time() - began
        for entry in town.entries(watched, ["exact"] * 18 + ["wildcard", "fuzzy"]):
            book.watch.put(entry, NOON)
        sightings = town.events(events)
        # What is remembered of zones, hours, cameras is of no plate; RE2 starts as it is.
        for event in town.events(events):
            book.match(event, NOON)

        def ask(event: PlateEvent, book: Rulebook = book) -> object:
            return book.match(event, NOON)

        def loop(event: PlateEvent, book: Rulebook = book, rules: list[Rule] = rules) -> list[Rule]:
            text, when = event["plate"]["normalized_text"], event["captured_at"]
            hits = book.watch.look(text, event["alternatives"], NOON, when)
            return [rule for rule in rules if holds(rule.where, event, hits)]

        new, again = each(sightings, ask), each(sightings, ask)
        few = sightings[: max(5, looped // count)]
        plain = each(few, loop)
        hits = 0
        for event in few:
            expected = {rule.name for rule in loop(event)}
            assert {hit.rule.name for hit in book.match(event, NOON)} == expected
        for event in sightings:
            hits += len(book.match(event, NOON))
        tell(
            "rules.match",
            median(new),
            "us",
            rules=count,
            watched=watched,
            **spread(new),
            again_us=round(median(again), 1),
            loop_us=round(median(plain), 1),
            times_the_loop=round(median(plain) / median(new), 1),
            hits_per_event=round(hits / events, 3),
            load_s=round(loading, 3),
            spin_s=round(spin(), 4),
        )
        if count == max(counts):
            changes(book, town, sightings)


def changes(book: Rulebook, town: Town, sightings: Sequence[PlateEvent]) -> None:
    """One rule among all is put anew; then the next sighting is matched."""
    puts: list[float] = []
    first: list[float] = []
    for number, one in enumerate(town.rules(200)):
        event, at = sightings[number], NOON + number
        puts += each([event], lambda _, one=one, at=at: book.put(one.name, one, at))
        first += each([event], lambda event, at=at: book.match(event, at))
    tell(
        "rules.change", median(puts) / 1e3, "ms", p99_ms=round(quantiles(puts, n=100)[98] / 1e3, 2)
    )
    tell(
        "rules.match after a change", median(first) / 1e3, "ms", most_ms=round(max(first) / 1e3, 2)
    )
    older = each(sightings, lambda event: book.match(event, NOON))
    tell("rules.match at an older time", median(older), "us", **spread(older))


def lists(watched: int, events: int) -> None:
    kinds = {
        "exact": ["exact"],
        "mixed": ["exact"] * 18 + ["wildcard", "fuzzy"],
        "fuzzy": ["fuzzy"],
    }
    for name, matches in kinds.items():
        town, book = Town(), Rulebook()
        entries = list(town.entries(watched, matches))
        began = time.process_time()
        for entry in entries:
            book.watch.put(entry, NOON)
        loading = time.process_time() - began
        sightings = town.events(events)
        looks = each(
            sightings,
            lambda event, book=book: book.watch.look(
                event["plate"]["normalized_text"], event["alternatives"], NOON, NOON
            ),
        )
        puts = each(
            sightings[:1000],
            lambda event, book=book, entry=entries[0]: book.watch.put(
                {**entry, "plate": event["plate"]["normalized_text"]}, NOON + 1
            ),
        )
        tell(
            "rules.watchlists",
            median(looks),
            "us",
            entries=watched,
            matches=name,
            **spread(looks),
            load_s=round(loading, 2),
            memory_mb=round(memory(entries) / 1e6),
            put_us=round(median(puts), 1),
        )


def memory(entries: Sequence[WatchlistEntry]) -> int:
    """Bytes of watchlists with these entries, what they share with the records left out."""
    tracemalloc.start()
    book = Rulebook()
    for entry in entries:
        book.watch.put(entry, NOON)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", default="10,100,1000,10000")
    parser.add_argument("--watched", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--looped", type=int, default=200_000, help="rules asked by the loop")
    given = parser.parse_args(arguments)
    lists(given.watched, given.events)
    curve([int(one) for one in given.counts.split(",")], given.watched, given.events, given.looped)


if __name__ == "__main__":
    main()
