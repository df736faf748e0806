"""What analytics ask of a view: few counts, of which everything else is computed alike.

Counted are sightings that stand, as people are shown them, of cameras that the one who asks may
see: projections/shown.py, projections/grant.py. Two views answer: roll-ups in PostgreSQL
(analytics_rollups.py) and aggregations of OpenSearch (analytics_search.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from projections.asking import Row

By = Literal["all", "camera", "site", "type", "region"]
"""What sightings are told apart by; ``all``: not at all."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of which sightings; None does not matter."""

    camera: str | None = None
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """What is not counted yet: changes of sightings, and hours that are being counted again."""

    changes: int
    hours: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Sightings by bucket and group: ``groups`` the largest first, then by name; ``other`` the
    buckets of all further groups. '' is the group that is not known.
    """

    groups: dict[str, list[int]]
    other: list[int]


class Analytics(Protocol):
    """Counts what a view holds; any number of threads may share it.

    ``marks`` are where buckets begin, in order, on quarters of an hour, and the end of the last.
    ``start`` and ``end`` of the others are full hours UTC, ``end`` excluded. Every method raises
    ViewUnavailable, and QueryTimeout where it takes too long.
    """

    def behind(self) -> Behind | None:
        """How much is not counted yet; None where that is not known."""
        ...

    def counts(self, marks: Sequence[datetime], scope: Scope, by: By, limit: int) -> Counts:
        """Sightings by bucket, for each of the ``limit`` largest groups."""
        ...

    def plates(self, marks: Sequence[datetime], scope: Scope) -> list[tuple[int, int]]:
        """For each bucket of a day: different plates, and those among them that were never there
        before, by the cameras of the scope.
        """
        ...

    def top(self, start: datetime, end: datetime, scope: Scope, limit: int) -> list[Row]:
        """The plates there most often: ``plate``, ``sightings``, ``first_seen``, ``last_seen``
        (to the millisecond). Most first, then by the plate.
        """
        ...

    def spread(
        self, measure: str, start: datetime, end: datetime, scope: Scope
    ) -> dict[str, list[int]]:
        """The histogram of a measure of rules/spread.py for each camera."""
        ...

    def quality(self, start: datetime, end: datetime, scope: Scope) -> list[Row]:
        """How reading went, a row a camera in order of their names.

        ``camera_id``, ``sightings``, ``read_total``, ``revised``, ``corrected``, ``hidden``,
        ``retracted``, ``merged``; see projections/derived_migrations/002_rollups.sql.
        """
        ...

    def close(self) -> None:
        """Release the connections."""
        ...
