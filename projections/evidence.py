"""What people said of one sighting, for whoever takes its evidence away."""

from projections.asking import Asking, Row
from projections.schema import LIVE
from projections.shown import PEOPLE


class Evidence(Asking):
    """Asks beside the sightings' view; any number of threads may share it. Raises ViewError."""

    def __init__(self, url: str, schema: str = LIVE, connections: int = 2) -> None:
        super().__init__(url, schema, "plate_events_hourly", connections, 5_000)

    def corrections(self, event_id: str) -> list[Row]:
        """Every correction of a sighting, the oldest first, also those that were undone."""
        return self._all(
            "SELECT correction_id, event_id, at, actor, kind, text, other, comment, undone_by "
            f"FROM {PEOPLE}.corrections WHERE event_id = %s::uuid ORDER BY at, correction_id",
            [event_id],
        )
