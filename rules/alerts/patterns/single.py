"""Rules about one sighting: at once, with a cooldown for each plate."""

from rules.alerts.identity import alert_id
from rules.alerts.patterns.base import GRACE, LONGEST, NEVER, SWEEP, Claim, Held, Item, shown
from rules.alerts.patterns.history import History


class Single:
    """In order of capture, the first sighting of a plate is told and takes along those that follow
    within the cooldown; the next one after that is told again.
    """

    at_once = True
    welcome = NEVER
    most = NEVER
    asks_last_seen = False
    history: History | None = None

    def __init__(self, rule: str, cooldown: int) -> None:
        self._rule = rule
        self._cooldown = cooldown

    def subject(self, item: Item) -> str:
        """Its plate."""
        return item.evidence.plate

    def claims(self, subject: str, items: list[Item], held: Held, now: int) -> list[Claim]:
        """One for each first sighting, with the count of those it takes along."""
        found: list[Claim] = []
        for group in self._groups(items):
            first = group[0]
            found.append(
                Claim(
                    alert_id(self._rule, first.root),
                    subject,
                    subject,
                    first.captured_at,
                    len(group),
                    shown(group),
                    first.captured_at,
                    group[-1].captured_at,
                    first.evidence,
                )
            )
        return found

    def due(self, held: Held, now: int) -> int:
        """Never."""
        return NEVER

    def expiry(self, held: Held) -> int:
        """When the first group is over for good."""
        return held.items[0].captured_at + self._cooldown + GRACE + SWEEP if held.items else 0

    def settle(self, held: Held, floor: int) -> None:
        """Drop groups from the front: those after them are grouped as before."""
        gone = 0
        for group in self._groups(held.items):
            if group[0].captured_at + self._cooldown >= floor or not all(
                item.over or item.evidence.last_seen + LONGEST < floor for item in group
            ):
                break
            gone += len(group)
        del held.items[:gone]

    def _groups(self, items: list[Item]) -> list[list[Item]]:
        groups: list[list[Item]] = []
        for item in items:
            if groups and item.captured_at < groups[-1][0].captured_at + self._cooldown:
                groups[-1].append(item)
            else:
                groups.append([item])
        return groups
