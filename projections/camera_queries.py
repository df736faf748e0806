"""What is asked of cameras: as they are set, where they were last seen at work, by the hour."""

from datetime import datetime, timedelta

from projections.asking import Asking, Row, storable
from projections.grant import among
from projections.schema import LIVE
from projections.shown import PEOPLE

_SET = "camera_id, effective_from, camera_group, node, settings, actor"
_NEWEST = (
    "newest.event_id, newest.captured_at, newest.last_seen, newest.frame_image_url, newest.box, "
    "newest.site_id, newest.zone, newest.lane, newest.timezone"
)


class CameraQueries(Asking):
    """Reads what cameras are set to and saw; threads may share it. Raises as Asking."""

    def __init__(self, url: str, connections: int = 2, timeout_ms: int = 5_000) -> None:
        super().__init__(url, LIVE, f"{PEOPLE}.cameras", connections, timeout_ms)

    def cameras(self, camera_id: str | None = None) -> list[Row]:
        """Each camera that is set or has sightings that stand, by id, or one of them.

        ``camera_id``, ``effective_from``, ``camera_group``, ``node``, ``settings``, ``actor``:
        null where no edge wrote them; ``sightings``; of its newest sighting ``event_id``,
        ``captured_at``, ``last_seen``, ``site_id``, ``zone``, ``lane``, ``timezone``; the newest
        picture of a whole frame in ``frame_image_url`` with its plate's ``box``.
        """
        names, values = among("known.camera_id")
        bound: list[object] = [*values]
        if camera_id is not None:
            if not storable(camera_id):
                return []
            names.append("known.camera_id = %s")
            bound.append(camera_id)
        where = f"WHERE {' AND '.join(names)} " if names else ""
        return self._all(
            f"SELECT known.*, {_NEWEST} FROM ("
            f"SELECT {_SET}, coalesce(sightings, 0) AS sightings FROM "
            f"(SELECT {_SET} FROM {PEOPLE}.cameras WHERE settings IS NOT NULL) AS placed "
            "FULL JOIN (SELECT name AS camera_id, sightings FROM sighting_counts "
            "WHERE kind = 'camera') AS counted USING (camera_id)) AS known "
            "LEFT JOIN LATERAL (SELECT * FROM plate_events AS event "
            "WHERE event.camera_id = known.camera_id "
            "ORDER BY event.captured_at DESC LIMIT 1) AS newest ON true "
            f"{where}ORDER BY known.camera_id",
            bound,
        )

    def versions(self, camera_id: str, limit: int = 50) -> list[Row]:
        """What a camera was set to, the latest first; ``settings`` null where it was removed."""
        names, values = among("camera_id")
        if not storable(camera_id):
            return []
        return self._all(
            f"SELECT {_SET} FROM {PEOPLE}.camera_versions "
            f"WHERE {' AND '.join(['camera_id = %s', *names])} ORDER BY log_offset DESC LIMIT %s",
            [camera_id, *values, limit],
        )

    def hourly(self, until: datetime, hours: int = 24) -> dict[str, list[int]]:
        """Sightings of each camera in each of the hours up to the one of ``until``."""
        last = until.replace(minute=0, second=0, microsecond=0)
        first = last - timedelta(hours=hours - 1)
        names, values = among("camera_id")
        found: dict[str, list[int]] = {}
        for row in self._all(
            "SELECT camera_id, hour, sightings FROM plate_events_hourly "
            f"WHERE {' AND '.join(['hour >= %s AND hour < %s', *names])}",
            [first, last + timedelta(hours=1), *values],
        ):
            place = int((row["hour"] - first) / timedelta(hours=1))
            found.setdefault(row["camera_id"], [0] * hours)[place] = row["sightings"]
        return found
