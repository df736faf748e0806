"""Cameras and files to records of alpr.reads.raw."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.cameras import Camera
from edge.capture import PICTURES, CaptureError, Truncated, file_frames, file_session
from edge.detect import PlateDetector
from edge.pipeline import CameraPipeline, PipelineSettings, picture_settings
from edge.recognise import PlateRecogniser
from images.store import ImageStore

HEARTBEAT_US = 5_000_000


def read_file(
    path: Path,
    camera: Camera,
    detector: PlateDetector,
    recogniser: PlateRecogniser,
    images: ImageStore | None,
    session: str | None = None,
    start_us: int = 0,
    host: str = "",
    settings: PipelineSettings | None = None,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of one file, in capture order: PlateRead, CameraHeartbeat, one SourceEnded.

    Event times are ``start_us`` plus the position in the file. ``session`` is the content's
    unless given. Raises CaptureError; a truncated file yields all its records first.
    """
    session = session or file_session(path)
    still = path.is_dir() or path.suffix.lower() in PICTURES
    settings = picture_settings(settings) if still else settings
    chain = CameraPipeline(camera, detector, recogniser, images, session, host, settings)
    common = {"camera_id": camera.id, "camera_group": camera.group, "session": session}
    at_us, beat_us, seen, beat_seen = start_us, start_us, 0, 0
    failure: CaptureError | None = None
    try:
        for frame in file_frames(path, camera.id, session, start_us):
            at_us, seen = frame.captured_at_us, seen + 1
            for read in chain.process(frame):
                yield "PlateRead", read
            if at_us - beat_us >= HEARTBEAT_US:
                fps = (seen - beat_seen) * 1_000_000 / (at_us - beat_us)
                beat_us, beat_seen = at_us, seen
                yield (
                    "CameraHeartbeat",
                    {
                        **common,
                        "captured_at": at_us,
                        "state": "live",
                        "frames_seen": seen,
                        "frames_dropped": 0,
                        "fps": round(fps, 3),
                        "clock_offset_us": 0,
                    },
                )
    except Truncated as error:
        failure = error
    reason = "end of file" if failure is None else f"failed: {failure}"
    yield "SourceEnded", {**common, "captured_at": at_us, "reason": reason}
    if failure is not None:
        raise failure
