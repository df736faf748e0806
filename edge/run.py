"""Cameras and files to records of alpr.reads.raw."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry

from edge.append import RawWriter, Record, SparingStore
from edge.cameras import Camera, ConfigError
from edge.capture import PICTURES, Frame, Truncated, file_frames, file_session
from edge.detect import PlateDetector
from edge.live import Capture, wall_us
from edge.metrics import EdgeMetrics
from edge.pipeline import CameraPipeline, PipelineSettings, picture_settings
from edge.recognise import PlateRecogniser
from eventlog.log import Log, LogError
from eventlog.tracing import tracing
from images.store import ImageSink
from rules.sighting import event_id_of
from schemas.codec import Codec
from schemas.records import CameraHeartbeat, SourceEnded

logger = logging.getLogger(__name__)

HEARTBEAT_US = 5_000_000  # microseconds between two heartbeats of a camera
FULL_WAIT_S = 0.5  # seconds between two tries of what a full log left at a source's end


def read_file(
    path: Path,
    camera: Camera,
    detector: PlateDetector,
    recogniser: PlateRecogniser,
    images: ImageSink | None,
    *,
    session: str | None = None,
    start_us: int = 0,
    host: str = "",
    settings: PipelineSettings | None = None,
) -> Iterator[Record]:
    """The records of one file, in capture order: PlateRead, CameraHeartbeat, one SourceEnded.

    Event times are ``start_us`` plus the position in the file. ``session`` is the content's
    unless given. Pictures of a folder are a second apart and read each for itself. Raises
    CaptureError; a truncated file yields all its records first.
    """
    session = session or file_session(path)
    still = path.is_dir() or path.suffix.lower() in PICTURES
    settings = picture_settings(settings) if still else settings
    chain = CameraPipeline(
        camera, detector, recogniser, images, session, host=host, settings=settings
    )
    pulse = _Pulse(camera, session, start_us)
    failure: Truncated | None = None
    try:
        for frame in file_frames(path, camera.id, session, start_us):
            for read in chain.process(frame):
                yield "PlateRead", read
            pulse.frame(frame)
            if frame.captured_at_us - pulse.beat_us >= HEARTBEAT_US:
                yield "CameraHeartbeat", pulse.beat(frame.captured_at_us, "live", 0)
    except Truncated as error:
        failure = error
    for read in chain.finish():
        yield "PlateRead", read
    yield "SourceEnded", pulse.end("end of file" if failure is None else f"failed: {failure}")
    if failure is not None:
        raise failure


def run_cameras(
    cameras: Sequence[Camera],
    log: Log,
    codec: Codec,
    images: ImageSink | None,
    stop: threading.Event,
    *,
    detector: PlateDetector,
    recogniser: PlateRecogniser,
    host: str = "",
    settings: PipelineSettings | None = None,
    registry: CollectorRegistry | None = None,
    now: Callable[[], int] = wall_us,
    chance: Random | None = None,
) -> None:
    """Read every enabled camera into the log until ``stop`` is set or all of them have ended.

    A camera that goes is waited for; one that ends leaves the others running. Sessions are drawn
    from ``chance``. ``now`` gives microseconds UTC. The caller's thread waits. Raises LogError,
    after ``stop`` was set and all have ended, where the log is damaged or gone.
    """
    chance = chance or Random()
    metrics = EdgeMetrics(registry or CollectorRegistry())
    workers: list[threading.Thread] = []
    readers: list[_Reader] = []
    for camera in cameras:
        if not camera.enabled:
            continue
        session = f"{chance.getrandbits(32):08x}"
        capture = Capture(camera, session, stop, now=now, chance=Random(chance.random()))
        writer = RawWriter(camera, session, log, codec)
        chains = partial(
            CameraPipeline,
            camera,
            detector,
            recogniser,
            None if images is None else SparingStore(images, lambda writer=writer: writer.full),
            host=host,
            settings=settings,
        )
        reader = _Reader(camera, capture, writer, chains, stop, metrics=metrics, now=now)
        readers.append(reader)
        workers.append(threading.Thread(target=reader.run, name=f"read {camera.id}", daemon=True))
        capture.start()
        workers[-1].start()
        logger.info("reading %s", camera.label)
    for worker in workers:
        worker.join()
    for reader in readers:
        if reader.failure is not None:
            raise reader.failure


class _Pulse:
    """Counts a session's frames and tells of them."""

    def __init__(self, camera: Camera, session: str, start_us: int) -> None:
        self._camera = camera
        self._session = session
        self.beat_us = self.last_us = start_us
        self.seen = self._beaten = 0

    def frame(self, frame: Frame) -> None:
        """A frame was processed."""
        self.seen += 1
        self.last_us = frame.captured_at_us

    def beat(
        self, at_us: int, state: str, dropped: int, seen: int | None = None
    ) -> CameraHeartbeat:
        """A heartbeat at ``at_us``, microseconds of event time."""
        fps = (self.seen - self._beaten) * 1_000_000 / max(1, at_us - self.beat_us)
        self.beat_us, self._beaten = at_us, self.seen
        return {
            "camera_id": self._camera.id,
            "camera_group": self._camera.group,
            "session": self._session,
            "captured_at": at_us,
            "state": state,
            "frames_seen": self.seen if seen is None else seen,
            "frames_dropped": dropped,
            "fps": round(fps, 3),
            "clock_offset_us": 0,
        }

    def end(self, reason: str) -> SourceEnded:
        """The end of the session."""
        return {
            "camera_id": self._camera.id,
            "camera_group": self._camera.group,
            "session": self._session,
            "captured_at": max(self.last_us, self.beat_us),
            "reason": reason,
        }


class _Reader:
    """Processes what one camera's capture gives, session by session, and appends it."""

    def __init__(
        self,
        camera: Camera,
        capture: Capture,
        writer: RawWriter,
        chains: Callable[..., CameraPipeline],
        stop: threading.Event,
        *,
        metrics: EdgeMetrics,
        now: Callable[[], int],
    ) -> None:
        self._camera = camera
        self._capture = capture
        self._writer = writer
        self._chains = chains
        self._stop = stop
        self._metrics = metrics
        self._now = now
        self.failure: LogError | None = None

    def run(self) -> None:
        """Until the capture has ended and everything is in the log, or it is stopped meanwhile.

        A log that cannot be written for another reason than its space is a ``failure`` of all.
        """
        try:
            self._read()
        except LogError as error:
            self.failure = error
            self._stop.set()
        except ConfigError as error:  # known only when there is a picture
            logger.error("%s is not read: %s", self._camera.label, error)

    def _read(self) -> None:
        camera, buffer = self._camera.id, self._capture.buffer
        pulse = _Pulse(self._camera, self._capture.session, self._now())
        chain: CameraPipeline | None = None
        session = ""
        beat_at = self._now()
        while not buffer.finished:
            frame = buffer.get(timeout=0.5)
            records: list[Record] = []
            began = self._now()
            if frame is not None:
                if chain is None or frame.session != session:
                    if chain is not None:
                        records += [("PlateRead", read) for read in chain.finish()]
                        records.append(("SourceEnded", pulse.end("end of file, begun again")))
                    session = frame.session
                    chain = self._chains(session=frame.session)
                    pulse = _Pulse(self._camera, session, frame.captured_at_us)
                reads = chain.process(frame)
                records += [("PlateRead", read) for read in reads]
                pulse.frame(frame)
                self._metrics.plates.labels(camera).inc(len(reads))
            state = self._capture.state
            if began - beat_at >= HEARTBEAT_US and state != "ended":
                beat_at = began
                # Nothing can come from before now while the camera is away.
                at_us = began if state == "reconnecting" and frame is None else pulse.last_us
                beat = pulse.beat(at_us, state, buffer.dropped, buffer.seen)
                records.append(("CameraHeartbeat", beat))
                self._metrics.fps.labels(camera).set(beat["fps"])
                self._metrics.dropped.labels(camera).set(buffer.dropped)
            self._writer.append(records)
            if (traces := tracing()) is not None:
                for name, read in records:
                    if name == "PlateRead":
                        traces.frame(
                            event_id_of(read["read_id"]),
                            *(read["captured_at"], self._now()),
                            camera=camera,
                            read=read["read_id"],
                            processing_ms=(self._now() - began) / 1000,
                        )
            if frame is not None:
                self._metrics.latency.labels(camera).observe((self._now() - began) / 1e6)
        last: list[Record] = [("PlateRead", read) for read in (chain.finish() if chain else ())]
        last.append(("SourceEnded", pulse.end(self._capture.reason)))
        kept = not self._writer.append(last)
        while kept and not self._stop.wait(FULL_WAIT_S):
            kept = not self._writer.append([])
        if kept:
            logger.error("%s: stopped while the log is full; its last records are lost", camera)
