"""What the intake of other programs' reads asks the views: cameras, and what is open of theirs."""

from typing import Any

from projections.asking import Asking
from projections.schema import LIVE
from projections.shown import PEOPLE

_OPEN_SINCE = "1 day"  # no sighting's stay is looked for further back


class Senders(Asking):
    """Asks the sightings' view; any number of threads may share it. Methods raise ViewError."""

    def __init__(self, url: str, schema: str = LIVE, connections: int = 2) -> None:
        super().__init__(url, schema, "plate_events_hourly", connections, 2_000)

    def camera(self, camera_id: str) -> tuple[str | None, dict[str, Any]] | None:
        """A camera's group and where it stands, as its settings say; None for an unknown one."""
        rows = self._all(
            f"SELECT camera_group, node FROM {PEOPLE}.cameras "
            "WHERE camera_id = %s AND settings IS NOT NULL",
            [camera_id],
        )
        return (rows[0]["camera_group"], rows[0]["node"]) if rows else None

    def open(self, host: str) -> list[tuple[str, str | None, int]]:
        """Cameras with sightings that have not ended, opened by reads of a host within a day.

        Each with its group and when it last saw one of them, microseconds UTC.
        """
        rows = self._all(
            "SELECT camera_id, camera_group, "
            "(extract(epoch FROM max(last_seen)) * 1000000)::bigint AS last_seen "
            "FROM plate_events WHERE host_id = %s AND status NOT IN ('ended', 'retracted') "
            f"AND captured_at > now() - interval '{_OPEN_SINCE}' GROUP BY 1, 2 ORDER BY 1",
            [host],
        )
        return [(row["camera_id"], row["camera_group"], row["last_seen"]) for row in rows]
