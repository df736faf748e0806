"""Where every page leads: the pages there are here, for the one who looks."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from api.visitor import visitor
from projections.access import Role

Rank = Literal["thumb", "bar", "more"]


@dataclass(frozen=True, slots=True)
class Place:
    """A page that others lead to. On a phone only those of the rank ``thumb`` are at hand.

    ``key`` is what is pressed after g to go there.
    """

    path: str
    words: str
    rank: Rank
    key: str = ""


PLACES = (
    Place("/", "Live", "thumb", "l"),
    Place("/search", "Search", "thumb", "s"),
    Place("/alerts", "Alerts", "thumb", "a"),
    Place("/watchlists", "Watchlists", "thumb", "w"),
    Place("/rules", "Rules", "bar", "r"),
    Place("/cameras", "Cameras", "bar", "c"),
    Place("/analytics", "Analytics", "bar", "n"),
    Place("/corrections", "Corrections", "more"),
    Place("/audit", "Audit", "more"),
    Place("/people", "People", "more"),
    Place("/dead-letters", "Dead letters", "more"),
    Place("/system", "System", "more"),
    Place("/docs", "API", "more"),
)


class Navigation:
    """The places of PLACES that are served here, and what each asks of a visitor.

    ``needed`` is roles.NEEDED, ``asks`` whether visitors are asked who they are: then one who was
    not yet (nothing is at the address they gave) is led where everybody may go. Nothing is known
    to be served until ``serves`` is told.
    """

    def __init__(self, needed: Mapping[str, Role | None], *, asks: bool) -> None:
        self._needed = needed
        self._asks = asks
        self._places: tuple[Place, ...] = ()

    def serves(self, paths: Collection[str | None]) -> None:
        """Take the paths that the application answers."""
        self._places = tuple(place for place in PLACES if place.path in paths)

    def __call__(self, *ranks: Rank) -> Iterable[Place]:
        """The places of these ranks that the one who asks may see."""
        who = visitor()
        has = Role.VIEWER if self._asks and not who.known else who.role
        for place in self._places:
            role = self._needed.get(f"GET {place.path}")
            if place.rank in ranks and (role is None or has.covers(role)):
                yield place
