"""Who asks: the one place that the rest of the API learns it from."""

from contextvars import ContextVar
from dataclasses import dataclass

from projections.access import Role
from projections.grant import grant


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who was let in, and what of the data is theirs to see.

    ``actor`` is how records of the log name them, ``name`` how pages do. ``cameras`` are the
    only ones whose sightings, alerts and pictures they see, None for all. ``clear`` says whether
    plates are shown to them as they are; else as pseudonyms. ``known`` is False where nobody was
    asked who they are.
    """

    actor: str
    name: str
    role: Role
    cameras: frozenset[str] | None = None
    clear: bool = True
    known: bool = True

    @property
    def user(self) -> str | None:
        """The name of a user with a password; None for keys and tokens of others."""
        return self.actor.removeprefix("user:") if self.actor.startswith("user:") else None

    def may(self, needed: Role) -> bool:
        """Whether the role is enough."""
        return self.role.covers(needed)

    def sees(self, camera_id: str) -> bool:
        """Whether what this camera saw may be shown."""
        return self.cameras is None or camera_id in self.cameras


LOCAL = Visitor("local", "", Role.ADMIN, known=False)
"""Who asks on loopback, where no key is asked for."""

_visitor: ContextVar[Visitor] = ContextVar("visitor", default=LOCAL)


def visitor() -> Visitor:
    """Who asks in this context (a request and what runs in threads for it)."""
    return _visitor.get()


def enter(who: Visitor) -> None:
    """Let the rest of this request know who asks, and the views what may be told to them."""
    _visitor.set(who)
    grant(who.cameras)
