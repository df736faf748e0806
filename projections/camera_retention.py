"""What a camera saw goes after the days that its settings say: from the log, so from every view."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from eventlog.log import Log, LogError
from images.store import ImageError, NoPicture
from projections.following import Following
from projections.forgetting import bury
from projections.shown import PEOPLE
from rules.forgetting import pictures
from schemas.topics import CORRECTIONS, DETECTED, correction_key

_log = logging.getLogger(__name__)

EVERY_S = 3_600.0
BATCH = 500
"""Sightings erased at once: some hundred milliseconds."""
_FOLDERS, _FEW = 400, 3
"""Days back from the first that is kept whose folders of pictures are removed: at the first look,
and at those after it."""

# Its last settings hold for what a camera saw that was taken away. Compared as JSON: what is no
# number of days, as somebody else's program may write it, is passed over.
_CAMERAS = (
    "SELECT camera_id, floor((settings ->> 'retention_days')::numeric)::int AS days "
    "FROM (SELECT DISTINCT ON (camera_id) camera_id, settings "
    f"FROM {PEOPLE}.camera_versions WHERE settings IS NOT NULL "
    "ORDER BY camera_id, log_offset DESC) AS last "
    "WHERE settings -> 'retention_days' BETWEEN '1' AND '36500' ORDER BY 1"
)
_SAID = (
    "SELECT partition, event_id::text, correction_id::text "
    f"FROM {PEOPLE}.corrections WHERE event_id = ANY(%s::uuid[])"
)
# How old a sighting is says the log's own time, but for one ahead of this machine's: a clock was.
_NOW = "SELECT max(watermark) FROM {view}.view_positions"
_OLD = (
    "SELECT event_id, partition, captured_at, plate_image_url, vehicle_image_url, frame_image_url, "
    "evidence FROM {view}.plate_events WHERE camera_id = %(camera)s "
    "AND captured_at < %(before)s AND (captured_at, event_id) > (%(at)s, %(id)s) "
    "ORDER BY captured_at, event_id LIMIT %(limit)s"
)
_NONE = "00000000-0000-0000-0000-000000000000"


class Pictures(Protocol):
    """Where pictures can be removed."""

    def delete(self, url: str) -> None:
        """Remove a picture. Raises ImageError."""
        ...

    def delete_folder(self, url: str) -> int:
        """Remove all below an address. Raises ImageError."""
        ...


class CameraRetention:
    """The chore that erases what cameras with ``retention_days`` saw before.

    Looks every hour; one camera's trouble with pictures leaves its sightings for the next look.
    See Keeper for what is raised.
    """

    name = "retention"

    def __init__(
        self,
        url: str,
        log: Log,
        images: Pictures,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._log = log
        self._images = images
        self._clock, self._wall = clock, wall
        self._next = clock()
        self._cleaned: set[str] = set()
        self._following = Following(url, self.name)

    def step(self) -> bool:
        """A look at every camera, if it is time."""
        if self._clock() < self._next:
            return False
        now, cameras = self._asked()
        for camera, days in cameras:
            if now is not None:
                try:
                    self._erase(camera, now - timedelta(days=days))
                except (ImageError, LogError) as error:
                    _log.warning("%s: what is too old stays for now: %s", camera, error)
        self._next = self._clock() + EVERY_S
        return False

    def close(self) -> None:
        """Release the connection."""
        self._following.close()

    def _asked(self) -> tuple[datetime | None, list[tuple[str, int]]]:
        with self._following.transaction() as cursor:
            cursor.execute(_NOW.format(view=self._following.view))
            ((mark,),) = cursor.fetchall()
            cursor.execute(_CAMERAS)
            cameras = cursor.fetchall()
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        if mark is None:
            return None, cameras
        return epoch + timedelta(microseconds=min(mark, self._wall())), cameras

    def _erase(self, camera: str, before: datetime) -> None:
        at, event_id = datetime.min.replace(tzinfo=UTC), _NONE
        count = 0
        while True:
            with self._following.transaction() as cursor:
                cursor.execute(
                    _OLD.format(view=self._following.view),
                    {
                        "camera": camera,
                        "before": before,
                        "at": at,
                        "id": event_id,
                        "limit": BATCH,
                    },
                )
                rows = cursor.fetchall()
                cursor.execute(_SAID, ([str(row[0]) for row in rows],))
                said: dict[int, list[bytes]] = defaultdict(list)
                for partition, *key in cursor.fetchall():
                    said[partition].append(correction_key(*key))
            if not rows:
                break
            bury(self._log, CORRECTIONS.name, said)
            keys: dict[int, list[bytes]] = defaultdict(list)
            for found, partition, _, plate, vehicle, frame, evidence in rows:
                named = {"plate_url": plate, "vehicle_url": vehicle, "frame_url": frame}
                for url in sorted(pictures(named) | pictures(evidence)):
                    with suppress(NoPicture):
                        self._images.delete(url)
                keys[partition].append(str(found).encode())
            bury(self._log, DETECTED.name, keys)
            event_id, at = rows[-1][0], rows[-1][2]
            count += len(rows)
        self._folders(camera, before.date())
        if count:
            _log.info("%s: %d sightings from before %s are erased", camera, count, before)

    def _folders(self, camera: str, until: date) -> None:
        """Pictures of reads that came to no sighting, or were not the best, go by their days."""
        days = _FEW if camera in self._cleaned else _FOLDERS
        self._cleaned.add(camera)
        for back in range(1, days):
            day = until - timedelta(days=back)
            try:
                self._images.delete_folder(f"images/{day.isoformat()}/{camera}")
            except NoPicture:
                return  # no name of a folder: nothing was ever kept under it
