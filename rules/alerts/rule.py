"""An alert rule as a value: what a sighting must be, over which pattern, and who is told."""

from dataclasses import dataclass
from typing import Any, Literal

Scalar = str | int | float | bool | None
Operator = Literal["==", "!=", ">", ">=", "<", "<="]
Text = Literal["exact", "prefix", "suffix", "contains", "wildcard", "regex", "fuzzy"]
Severity = Literal["info", "warning", "critical"]

# What one sighting must be.


@dataclass(frozen=True, slots=True)
class Compare:
    """A field of the event compared with a number; ``field`` as in ``rules.alerts.fields``."""

    field: str
    operator: Literal[">", ">=", "<", "<="]
    value: float


@dataclass(frozen=True, slots=True)
class Among:
    """A field of the event is one of these values; text is compared without regard to case."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class PlateIs:
    """The plate's normalised text follows a pattern.

    ``exact``, ``prefix``, ``suffix``, ``contains``: letters and digits, folded to upper case;
    ``wildcard``: with ``*`` and ``?``; ``regex``: RE2's, found anywhere, case ignored; ``fuzzy``:
    alike as ``rules.similarity`` has it, at least ``least``.
    """

    pattern: str
    match: Text
    least: float = 0.85


@dataclass(frozen=True, slots=True)
class Watched:
    """The plate is on a watchlist: of these names and of these kinds; () is any."""

    lists: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    least: float = 0.0
    """Least confidence of the match."""


@dataclass(frozen=True, slots=True)
class When:
    """The moment of capture lies within hours of a day.

    ``start`` and ``end`` are minutes of the day, 0 to 1440; an end at or before the start is on
    the next day, which then belongs to the day it began on. ``days`` are 0 (Monday) to 6.
    ``holidays``: ``any`` day, ``only`` on holidays, ``except`` on them; they are ``dates``
    (YYYY-MM-DD) and those of ``country`` (ISO code, ``TR`` or ``US-CA``). ``timezone`` '' is the
    camera's own.
    """

    start: int = 0
    end: int = 1440
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    holidays: Literal["any", "only", "except"] = "any"
    dates: tuple[str, ...] = ()
    country: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class All:
    """Every one of these; of none: always."""

    of: tuple["Condition", ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these; of none: never."""

    of: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    of: "Condition"


Condition = Compare | Among | PlateIs | Watched | When | All | AnyOf | Not

# What sightings must be to one another. Times are microseconds of event time.


@dataclass(frozen=True, slots=True)
class Count:
    """At least so many sightings of one subject.

    ``by``: plate, camera_id, zone, site, or '' (all together). ``within`` slides; None counts the
    calendar day of the camera's time zone. ``distinct``: plates are counted, not sightings.
    """

    at_least: int
    by: str = "plate"
    within: int | None = None
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Dwell:
    """A plate that was seen to ``enter`` was not seen to ``leave`` for longer than ``longer``."""

    enter: Condition
    leave: Condition
    longer: int


@dataclass(frozen=True, slots=True)
class Unseen:
    """A plate that was not seen for ``longer`` before; None: never before."""

    longer: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """The same plate at each step in turn, all within ``within``."""

    steps: tuple[Condition, ...]
    within: int


@dataclass(frozen=True, slots=True)
class Convoy:
    """The same ``plates`` or more, at most ``apart`` one behind the other, at so many cameras."""

    plates: int
    cameras: int
    apart: int
    within: int


@dataclass(frozen=True, slots=True)
class Travel:
    """The same plate at two places with coordinates, faster than ``faster`` km/h: a clone.

    Places closer than ``farther`` km do not count.
    """

    faster: float
    farther: float = 1.0


@dataclass(frozen=True, slots=True)
class Silent:
    """A camera was not heard for ``longer``. ``where`` may speak of ``camera_id`` alone."""

    longer: int


Pattern = Count | Dwell | Unseen | Sequence | Convoy | Travel | Silent

# Who is told.


@dataclass(frozen=True, slots=True)
class Action:
    """One way to tell somebody; ``options`` are the channel's own, without secrets.

    ``on``: kinds of alert events that are told.
    """

    type: str
    options: dict[str, Any]
    on: tuple[str, ...] = ("raised", "withdrawn")


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who else is told when nobody has acknowledged ``after`` microseconds."""

    after: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule. ``cooldown``: microseconds of event time for a plate; 0 with a pattern."""

    name: str
    description: str
    enabled: bool
    severity: Severity
    where: Condition
    pattern: Pattern | None
    cooldown: int
    sure: float
    """Least confidence of a plate that is still tentative."""
    actions: tuple[Action, ...]
    escalation: Escalation | None
    definition: str
    """Canonical JSON, as it stands on alpr.rules."""
    version: str
    """Twelve hexadecimal digits of ``definition``."""
    shape: str
    """The same of what decides (where, pattern, cooldown, sure): equal while only words change."""

    @property
    def steps(self) -> tuple[Condition, ...]:
        """What a sighting may be for this rule: its steps, each together with ``where``."""
        match self.pattern:
            case Sequence(steps=steps):
                inner = steps
            case Dwell(enter=enter, leave=leave):
                inner = (enter, leave)
            case _:
                return (self.where,)
        return tuple(All((self.where, one)) for one in inner)
