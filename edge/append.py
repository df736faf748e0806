"""A camera's records to the log, in order, also when the log is full for a while."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge.cameras import Camera
from eventlog.log import Append, Log, LogFull
from eventlog.tracing import tracing
from images.store import NO_TAGS, ImageError, ImageSink
from rules.sighting import event_id_of
from schemas.codec import Codec
from schemas.records import Gap
from schemas.topics import RAW, partition_of

logger = logging.getLogger(__name__)

Record = tuple[str, Mapping[str, Any]]
"""A record's name in alpr.reads.raw and the record."""


class RawWriter:
    """Appends the records of one camera to its partition of alpr.reads.raw.

    While the log is full, ``spare`` records are kept and tried again with every call; what
    does not fit is dropped, oldest first, and counted in one Gap that goes before the rest.
    """

    def __init__(
        self, camera: Camera, session: str, log: Log, codec: Codec, spare: int = 5_000
    ) -> None:
        self._camera = camera
        self._session = session
        self._log = log
        self._codec = codec
        self._spare = spare
        self._key = camera.key.encode()
        self._partition = partition_of(self._key, log.partitions(RAW.name))
        self._waiting: deque[Record] = deque()
        self._gap: tuple[int, int, int] | None = None
        self.full = False

    def append(self, records: Sequence[Record]) -> bool:
        """Append what waits and ``records``; False while the log is full and they are kept."""
        self._waiting.extend(records)
        batch = list(self._waiting)
        if self._gap is not None:
            batch.insert(0, ("Gap", self._dropped(*self._gap)))
        if not batch:
            return True
        try:
            self._log.append(
                RAW.name,
                self._partition,
                [
                    Append(self._key, self._codec.encode(RAW.name, *record), _trace(*record))
                    for record in batch
                ],
            )
        except LogFull as error:
            if not self.full:
                logger.error("%s: the log is full, reads are kept back: %s", self._camera.id, error)
            self.full = True
            self._make_room()
            return False
        if self.full:
            logger.warning("%s: the log takes records again", self._camera.id)
        self._waiting.clear()
        self._gap, self.full = None, False
        return True

    def _make_room(self) -> None:
        kept = deque(record for record in self._waiting if record[0] != "CameraHeartbeat")
        while len(kept) > self._spare:
            name, record = kept.popleft()
            if name == "PlateRead":
                at_us = record["captured_at"]
                first, _, count = self._gap or (at_us, at_us, 0)
                self._gap = (first, at_us, count + 1)
        self._waiting = kept

    def _dropped(self, from_at: int, to_at: int, dropped: int) -> Gap:
        return {
            "camera_id": self._camera.id,
            "camera_group": self._camera.group,
            "session": self._session,
            "from_at": from_at,
            "to_at": to_at,
            "dropped": dropped,
        }


def _trace(name: str, record: Mapping[str, Any]) -> Mapping[str, bytes]:
    """The headers of a record: of a read, the trace of the sighting that it may open."""
    traces = tracing()
    if traces is None or name != "PlateRead":
        return {}
    return traces.headers(event_id_of(record["read_id"]))


class SparingStore:
    """Passes pictures on to a store, none while the log is full: reads go before pictures."""

    def __init__(self, store: ImageSink, full: Callable[[], bool]) -> None:
        self._store = store
        self._full = full

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> str:
        """As the store; ImageError while the log is full."""
        if self._full():
            raise ImageError(f"picture {name} is not kept: the log is full and reads go first")
        return self._store.put(name, jpeg, tags)
