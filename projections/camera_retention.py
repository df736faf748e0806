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
from schemas.topics import DETECTED

_log = logging.getLogger(__name__)

EVERY_S = 3_600.0
BATCH = 500
"""Sightings erased at once: some hundred milliseconds."""
_FOLDERS, _FEW = 400, 3
"""Days back from the first that is kept whose folders of pictures are removed: at the first look,
and at those after it."""

_CAMERAS = (
    "SELECT camera_id, (settings ->> 'retention_days')::int AS days "
    f"FROM {PEOPLE}.cameras WHERE (settings ->> 'retention_days')::int > 0 ORDER BY 1"
)
# How old a sighting is says the log's own time, not a clock: see SightingsView.expire.
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
        self, url: str, log: Log, images: Pictures, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._images = images
        self._clock = clock
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
        return None if mark is None else epoch + timedelta(microseconds=mark), cameras

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
            if not rows:
                break
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
