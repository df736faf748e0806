"""What the sightings of one plate are to one another: stays, returns, routes, clones."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rules.alerts.identity import alert_id
from rules.alerts.patterns.base import (
    GRACE,
    HOUR,
    LONGEST,
    NEVER,
    SWEEP,
    Claim,
    Held,
    Item,
    shown,
)
from rules.alerts.patterns.history import History
from rules.alerts.signals import Evidence
from rules.earth import kilometres

ENTER, LEAVE = 0, 1
APART = 6 * HOUR
"""The longest time between two sightings that are taken for a journey too fast."""


class OfPlate:
    """A pattern by plate, whose sightings count when the watermark has reached them."""

    at_once = False
    welcome = 0
    most = NEVER
    asks_last_seen = False
    history: History | None = None

    def subject(self, item: Item) -> str:
        """Its plate."""
        return item.evidence.plate

    def due(self, held: Held, now: int) -> int:
        """Never."""
        return NEVER


class Dwelling(OfPlate):
    """Entered, and not seen to leave for longer than so long; a second entry is the same stay."""

    def __init__(self, rule: str, longer: int, in_force: Callable[[int], bool]) -> None:
        self._rule = rule
        self._longer = longer
        self._in_force = in_force

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each stay that is too long, if the rule was in force when it became so."""
        found: list[Claim] = []
        for enter, left, _ in self._stays(items):
            until = enter.captured_at + self._longer
            # A sighting of the very time of the watermark may still come.
            over = now > until if left is None else left.captured_at > until
            if over and self._in_force(max(until, enter.evidence.appended_at)):
                found.append(
                    Claim(
                        alert_id(self._rule, enter.root),
                        subject,
                        subject,
                        until,
                        1,
                        (enter.event_id,),
                        enter.captured_at,
                        until,
                        enter.evidence,
                    )
                )
        return found

    def due(self, held: Held, now: int) -> int:
        """When the stay that goes on is too long."""
        stays = [enter for enter, left, _ in self._stays(held.until(now)) if left is None]
        until = stays[-1].captured_at + self._longer + 1 if stays else NEVER
        return until if until > now else NEVER

    def expiry(self, held: Held) -> int:
        """When the first stay may be over for good."""
        return held.items[0].captured_at + GRACE + SWEEP if held.items else 0

    def settle(self, held: Held, floor: int) -> None:
        """Drop stays that are over, and those whose end was missed for a week."""
        gone = 0
        for enter, left, count in self._stays(held.items):
            end = enter.captured_at + self._longer + LONGEST if left is None else left.captured_at
            if end >= floor:
                break
            gone = count
        else:
            # What is left are departures, or the last stay is given up.
            gone = max(gone, held.before(floor))
        del held.items[:gone]

    def _stays(self, items: list[Item]) -> Iterator[tuple[Item, Item | None, int]]:
        """Each stay: who entered, who left, and how many items there are until then."""
        enter: Item | None = None
        for place, item in enumerate(items):
            if enter is not None and LEAVE in item.steps and item.captured_at > enter.captured_at:
                # One that leaves and enters at once begins the next stay.
                yield enter, item, place + (ENTER not in item.steps)
                enter = None
            if enter is None and ENTER in item.steps:
                enter = item
        if enter is not None:
            yield enter, None, len(items)


class Returning(OfPlate):
    """Not seen for longer than so long before; or, without a time, never before.

    It knows what counted for the rule since it is in force. For so long as a plate is not known,
    nobody can tell when it was seen last: only ``never before`` is told of it.
    """

    welcome = NEVER
    asks_last_seen = True

    def __init__(self, rule: str, longer: int | None, history: History) -> None:
        self._rule = rule
        self._longer = longer
        self._known = history
        self.history: History | None = history

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each return."""
        found: list[Claim] = []
        last = self._known.get(subject)
        for item in items:
            at = item.captured_at
            if last is None:
                new = self._longer is None
            else:
                new = self._longer is not None and at - last > self._longer
            last = max(last or 0, item.evidence.last_seen, at)
            if new:
                found.append(
                    Claim(
                        alert_id(self._rule, item.root),
                        subject,
                        subject,
                        at,
                        1,
                        (item.event_id,),
                        at,
                        at,
                        item.evidence,
                    )
                )
        return found

    def expiry(self, held: Held) -> int:
        """When the first is history."""
        return held.items[0].captured_at + GRACE + SWEEP if held.items else 0

    def settle(self, held: Held, floor: int) -> None:
        """Make history of what is over."""
        gone = 0
        for item in held.items:
            last = max(item.captured_at, item.evidence.last_seen)
            if item.captured_at >= floor or not (item.over or last + LONGEST < floor):
                break
            self._known.put(item.evidence.plate, last)
            gone += 1
        del held.items[:gone]


class _Chain(NamedTuple):
    """Steps done, the last one first."""

    item: Item
    before: "_Chain | None"
    first: Item


class Route(OfPlate):
    """One step after the other, all within a time.

    A sighting of the last step completes the route that began last. Routes that began with the
    same sighting are one alert: the first completes it, further ones are counted.
    """

    def __init__(self, rule: str, steps: int, within: int) -> None:
        self._rule = rule
        self._steps = steps
        self._within = within

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each beginning of a route that was completed."""
        found: dict[str, Claim] = {}
        done: list[_Chain | None] = [None] * self._steps
        fresh: list[tuple[int, _Chain]] = []
        time = 0
        for item in items:
            if item.captured_at > time:
                # Only what was strictly before goes on.
                for step, chain in fresh:
                    known = done[step]
                    if known is None or _began(chain) > _began(known):
                        done[step] = chain
                fresh, time = [], item.captured_at
            for step in item.steps:
                before = done[step - 1] if step else None
                if step and before is None:
                    continue
                chain = _Chain(item, before, before.first if before is not None else item)
                if item.captured_at - chain.first.captured_at > self._within:
                    continue
                fresh.append((step, chain))
                if step == self._steps - 1:
                    self._completed(subject, chain, found)
        return list(found.values())

    def _completed(self, subject: str, chain: _Chain, found: dict[str, Claim]) -> None:
        name = alert_id(self._rule, subject, chain.first.root)
        at = chain.item.captured_at
        known = found.get(name)
        if known is not None:
            found[name] = known._replace(number=known.number + 1, last_at=at)
            return
        route: list[Item] = []
        link: _Chain | None = chain
        while link is not None:
            route.insert(0, link.item)
            link = link.before
        found[name] = Claim(
            name,
            subject,
            subject,
            at,
            1,
            shown(route),
            route[0].captured_at,
            at,
            chain.item.evidence,
            until=at,
        )

    def expiry(self, held: Held) -> int:
        """When no route can begin with the first."""
        return held.items[0].captured_at + self._within + GRACE + SWEEP if held.items else 0

    def settle(self, held: Held, floor: int) -> None:
        """Drop what no route to come can begin with."""
        held.settled = floor
        del held.items[: held.before(floor - self._within)]


class Clone(OfPlate):
    """Sooner at another place than anybody drives: two vehicles carry the plate.

    Each sighting is held against the one before it that has coordinates. That is enough: if both
    legs of a way are driven slowly enough, so is the whole, as its straight line is no longer.
    """

    asks_last_seen = True

    def __init__(self, rule: str, faster: float, farther: float) -> None:
        self._rule = rule
        self._faster = faster
        self._farther = farther

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each sighting that came too soon after the one before."""
        found: list[Claim] = []
        last: Item | None = None
        for item in items:
            evidence = item.evidence
            if evidence.latitude is None or evidence.longitude is None:
                continue
            before, last = last, item
            if before is None or not self._too_soon(before.evidence, evidence):
                continue
            at, other = item.captured_at, before.evidence
            found.append(
                Claim(
                    alert_id(self._rule, item.root),
                    subject,
                    subject,
                    at,
                    1,
                    (before.event_id, item.event_id),
                    before.captured_at,
                    at,
                    evidence,
                    until=at,
                    others=(f"{_km(other, evidence):.0f} km from {other.camera_id}",),
                )
            )
        return found

    def expiry(self, held: Held) -> int:
        """When the first is too long ago."""
        return held.items[0].captured_at + APART + GRACE + SWEEP if held.items else 0

    def settle(self, held: Held, floor: int) -> None:
        """Drop what is too long ago."""
        held.settled = floor
        gone = 0
        for item in held.items:
            if max(item.captured_at, item.evidence.last_seen) + APART >= floor:
                break
            gone += 1
        del held.items[:gone]

    def _too_soon(self, before: Evidence, after: Evidence) -> bool:
        elapsed = after.captured_at - max(before.last_seen, before.captured_at)
        if before.gate == after.gate or elapsed > APART:
            return False
        km = _km(before, after)
        return km > self._farther and km * HOUR > self._faster * max(elapsed, 0)


def _began(chain: _Chain) -> tuple[int, str]:
    return chain.first.captured_at, chain.first.event_id


def _km(one: Evidence, other: Evidence) -> float:
    """Between two places with coordinates; 0 where one has none."""
    if (
        one.latitude is None
        or one.longitude is None
        or other.latitude is None
        or other.longitude is None
    ):
        return 0.0
    return kilometres(one.latitude, one.longitude, other.latitude, other.longitude)
