"""Reads that are sent in, on their way to the log: taken together, durable before they are told."""

import base64
import binascii
import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from edge.foreign.alive import BEAT_US, Alive
from edge.foreign.given import GivenRead, Known, Refused, check, record
from eventlog.log import Append, Log, LogError
from eventlog.tracing import tracing
from images.incoming import BadPicture, Budget, as_jpeg
from images.store import ImageError, ImageSink
from projections.errors import ViewError
from rules.sighting import event_id_of
from schemas.codec import Codec, RegistryUnavailable
from schemas.records import Images, PlateRead
from schemas.topics import RAW, partition_of

_log = logging.getLogger(__name__)

OpenLog = Callable[[], tuple[Log, Codec]]
Outcome = Literal["accepted", "repeated", "refused"]
_REMEMBERED = 200_000
"""Ids of reads that are known to be on the log; older repeats are left to dedup."""
_THREADS = 8
"""Requests at once that are decoded, or wait for the log; what they append goes together."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a read. ``problems`` are fields, each with what is wrong with it."""

    outcome: Outcome
    read_id: str | None = None
    problems: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class _Waiting:
    """What one request appends, and how that went."""

    appends: list[tuple[int, int, Append]]
    done: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What the intake asks of the rest, each for nothing by default.

    ``known`` gives what is known of a camera, ``open`` the cameras with sightings from here that
    have not ended: camera, group, last seen in microseconds. Both may raise ViewError.
    """

    known: Callable[[str], Known | None] = field(default=lambda _: None)
    open: Callable[[], Sequence[tuple[str, str | None, int]]] = field(default=lambda: ())


class Intake:
    """Takes reads of other programs; safe for any number of threads.

    ``stay_us`` is how long a sighting stays open after its last read. ``clock`` gives
    microseconds UTC.
    """

    def __init__(
        self,
        open_log: OpenLog,
        images: ImageSink,
        clock: Callable[[], int],
        *,
        stay_us: int,
        around: Around = Around(),
    ) -> None:
        self._open = open_log
        self._images = images
        self.clock = clock
        self._around = around
        self.threads = ThreadPoolExecutor(_THREADS, "ingest")
        self._opening = threading.Lock()
        self._log: tuple[Log, Codec] | None = None
        self._waiting: list[_Waiting] = []
        self._queue = threading.Lock()
        self._turn = threading.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._alive = Alive(stay_us)
        self._living = threading.Lock()
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def start(self) -> None:
        """Begin to speak for the cameras whose sightings are open, as after a restart."""
        self._beating = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
        self._beating.start()

    def close(self) -> None:
        """End; what is being appended is."""
        self._ended.set()
        self.threads.shutdown(wait=False, cancel_futures=True)
        if self._beating is not None:
            self._beating.join(2)

    def take(
        self, given: Sequence[Any], source: str, cameras: frozenset[str] | None = None
    ) -> list[Taken]:
        """What becomes of each read, in order; those accepted are durable.

        ``given`` are as JSON gives them; ``cameras`` are those that the sender may speak
        for, None for all.
        Raises LogError, RegistryUnavailable: then none is known to be accepted, and all of them
        may be sent again.
        """
        now, budget = self.clock(), Budget()
        found: list[Taken] = []
        fresh: dict[str, PlateRead] = {}
        for one in given:
            try:
                taken, read = self._look(one, source, cameras, now, fresh, budget)
            except Refused as refused:
                taken, read = Taken("refused", problems=refused.problems), None
            if read is not None:
                fresh[read["read_id"]] = read
            found.append(taken)
        if fresh:
            self._append(list(fresh.values()))
        return found

    def lives(self, cameras: Sequence[str]) -> None:
        """Their sender says that these cameras live."""
        with self._living:
            for camera_id in cameras:
                self._alive.lives(camera_id, self.clock())

    def _look(  # noqa: PLR0917 (of one request, and alike for each read)
        self,
        one: Any,
        source: str,
        cameras: frozenset[str] | None,
        now: int,
        fresh: Mapping[str, PlateRead],
        budget: Budget,
    ) -> tuple[Taken, PlateRead | None]:
        read, captured = check(one, now)
        if cameras is not None and read.camera_id not in cameras:
            raise Refused([("camera_id", "is no camera that this key may send reads of")])
        known = self._known(read.camera_id)
        groups = {None, known.group if known else None}
        if cameras is not None and read.camera_group not in groups:
            told = "is no group that this camera is known to be of: a key of all may name it"
            raise Refused([("camera_group", told)])
        made = record(read, captured, source, known, limited=cameras is not None)
        read_id = made["read_id"]
        if read_id in fresh or read_id in self._seen:
            return Taken("repeated", read_id), None
        made["images"] = self._keep(read, made, budget)
        return Taken("accepted", read_id), made

    def _known(self, camera_id: str) -> Known | None:
        try:
            return self._around.known(camera_id)
        except ViewError as error:
            _log.debug("what is known of %s cannot be asked: %s", camera_id, error)
            return None

    # Pictures

    def _keep(self, read: GivenRead, made: PlateRead, budget: Budget) -> Images:
        """Keep the pictures of a read; their addresses. A read goes before its pictures."""
        given = {
            kind: text
            for kind in ("plate", "vehicle", "frame")
            if (text := getattr(read.pictures, kind)) is not None
        }
        kept = cast("Images", dict(made["images"]))
        if not given:
            return kept
        jpegs = {kind: _decoded(kind, text, budget) for kind, text in given.items()}
        day = datetime.fromtimestamp(made["captured_at"] / 1e6, UTC).date().isoformat()
        stem = f"{day}/{made['camera_id']}/in-{made['read_id']}"
        tags = {"camera": made["camera_id"]}
        try:
            for kind, jpeg in jpegs.items():
                kept[f"{kind}_url"] = self._images.put(f"{stem}-{kind}.jpg", jpeg, tags)
        except ImageError as error:
            _log.warning("a read is kept without its pictures: %s", error)
        return kept

    # The log

    def _opened(self) -> tuple[Log, Codec]:
        with self._opening:
            if self._log is None:
                self._log = self._open()
            return self._log

    def _append(self, reads: Sequence[PlateRead]) -> None:
        appends = [self._encoded("PlateRead", read, read["captured_at"]) for read in reads]
        self._commit(appends)
        now = self.clock()
        traces = tracing()
        with self._living:
            for read in reads:
                self._alive.heard(
                    *(read["camera_id"], read["camera_group"], read["session"]),
                    *(read["captured_at"], now),
                )
                self._seen[read["read_id"]] = None
                if traces is not None:
                    event_id = event_id_of(read["read_id"])
                    traces.frame(event_id, read["captured_at"], now, camera=read["camera_id"])
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def _encoded(self, name: str, made: Any, at: int) -> tuple[int, int, Append]:
        log, codec = self._opened()
        key = (made["camera_group"] or made["camera_id"]).encode()
        traces = tracing() if name == "PlateRead" else None
        headers = traces.headers(event_id_of(made["read_id"])) if traces else {}
        append = Append(key, codec.encode(RAW.name, name, made), headers)
        return partition_of(key, log.partitions(RAW.name)), at, append

    def _commit(self, appends: list[tuple[int, int, Append]]) -> None:
        """Append what this and other threads have at this moment, together, and wait for it."""
        mine = _Waiting(appends)
        with self._queue:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                with self._queue:
                    batch, self._waiting = self._waiting, []
                error = self._write(batch)
                for one in batch:
                    one.done, one.error = True, error
        if mine.error is not None:
            raise mine.error

    def _write(self, batch: Sequence[_Waiting]) -> Exception | None:
        """Each partition's in order of capture, as an edge appends them; what went wrong."""
        by_partition: dict[int, list[tuple[int, Append]]] = defaultdict(list)
        for one in batch:
            for partition, at, append in one.appends:
                by_partition[partition].append((at, append))
        try:
            log, _ = self._opened()
            for partition, found in by_partition.items():
                found.sort(key=lambda pair: pair[0])
                log.send(RAW.name, partition, [append for _, append in found])
            log.flush()
        except (LogError, RegistryUnavailable) as error:
            return error
        return None

    # Heartbeats

    def resume(self) -> None:
        """Take up the cameras whose sightings are open. Raises ViewError."""
        found = self._around.open()
        with self._living:
            for camera_id, group, last_seen in found:
                self._alive.heard(camera_id, group, "resumed", last_seen, self.clock())

    def beat(self) -> None:
        """Append the heartbeats that are due. Raises LogError, RegistryUnavailable."""
        with self._living:
            beats = self._alive.beats(self.clock())
        if beats:
            self._commit([self._encoded("CameraHeartbeat", b, b["captured_at"]) for b in beats])

    def _beat(self) -> None:
        resumed = False
        while not self._ended.wait(BEAT_US / 1e6):
            try:
                if not resumed:
                    self.resume()
                    resumed = True
                self.beat()
            except (LogError, RegistryUnavailable, ViewError) as error:
                _log.warning("cameras whose reads are sent in have no heartbeat: %s", error)


class Pressure:
    """How many bytes of requests are held at once, in one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], bool]]:
        """Gives what takes more bytes, False where there is no room; all go with the block."""
        mine = 0

        def more(size: int) -> bool:
            nonlocal mine
            if self._held + size > self._most:
                return False
            self._held += size
            mine += size
            return True

        try:
            yield more
        finally:
            self._held -= mine


def remembering(
    known: Callable[[str], Known | None], seconds: float = 5.0, most: int = 10_000
) -> Callable[[str], Known | None]:
    """``known``, asked about a camera once in so many seconds."""
    kept: dict[str, tuple[float, Known | None]] = {}

    def found(camera_id: str) -> Known | None:
        now = time.monotonic()
        until, one = kept.get(camera_id, (0.0, None))
        if now < until:
            return one
        if len(kept) >= most:
            kept.clear()
        one = known(camera_id)
        kept[camera_id] = now + seconds, one
        return one

    return found


def _decoded(kind: str, text: str, budget: Budget) -> bytes:
    """The JPEG of a picture given as base64, or as a data address. Raises Refused."""
    field_name = f"pictures.{kind}"
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise Refused([(field_name, "is a data address without base64")])
    elif text[:8].lower().startswith(("http:", "https:", "s3:", "file:")):
        told = "is an address, which is not fetched: send the picture itself, in base64"
        raise Refused([(field_name, told)])
    try:
        return as_jpeg(base64.b64decode("".join(text.split()), validate=True), budget)
    except (binascii.Error, ValueError):
        raise Refused([(field_name, "is no base64")]) from None
    except BadPicture as error:
        raise Refused([(field_name, str(error))]) from None
