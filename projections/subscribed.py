"""Sightings by their ids, as they now are, for those who are told of them."""

from collections.abc import Sequence

from projections.asking import Row
from projections.queries import LISTED, SightingQueries
from projections.shown import FROM


class Subscribed(SightingQueries):
    """The changes of the sightings' view, and sightings by their ids; nothing is hidden."""

    def rows(self, event_ids: Sequence[str]) -> dict[str, Row]:
        """Those that are there, by id, retracted or not."""
        found = self._all(
            f"SELECT event_id, {LISTED} FROM {FROM} WHERE event.event_id = ANY(%s::uuid[])",
            [list(event_ids)],
        )
        return {str(row["event_id"]): row for row in found}
