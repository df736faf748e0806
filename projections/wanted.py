"""Which changes of sightings somebody wants to be told of, decided row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rules.wildcard import follows, normal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions that must all hold; empty ones do not matter.

    ``plate`` is as ``plate_of`` gives it, with ``*`` and ``?``. ``ended`` leaves out all that is
    not over. What was erased is told to everybody, by its id alone.
    """

    cameras: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    plate: str = ""
    ended: bool = False

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether a change of ``SightingQueries.changes_since`` is among them."""
        if row.get("erased"):
            return True
        return (
            (not self.cameras or row["camera_id"] in self.cameras)
            and (not self.sites or row["site_id"] in self.sites)
            and (not self.ended or row["status"] in ("ended", "retracted"))
            and (not self.plate or follows(self.plate, row["plate_shown"]))
        )


def plate_of(text: str) -> str:
    """A pattern of plates, however it is written."""
    return normal(text)
