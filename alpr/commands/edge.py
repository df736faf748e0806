"""``alpr edge``: the cameras of cameras.yaml into alpr.reads.raw."""

import argparse
import logging
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpr.errors import ConfigError
from alpr.logs import configure as configure_logs
from alpr.settings import Settings
from alpr.wiring import open_codec, open_detector, open_images, open_log, open_recogniser
from eventlog.log import Append, Log
from schemas.codec import Codec
from schemas.topics import RAW, partition_of

if TYPE_CHECKING:
    from edge.cameras import Camera

_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """The flags of the first layout's pilot.py."""
    parser.add_argument("--no-ocr", action="store_true", help="detect and track, read nothing")
    parser.add_argument(
        "--skip-frames", type=int, default=0, metavar="N", help="leave out N after each frame"
    )
    parser.add_argument("--no-display", action="store_true", help="accepted; there is no window")
    parser.add_argument("--model", metavar="PATH", help="a YOLO model of vehicles")
    parser.add_argument("--plate-model", metavar="PATH", help="a YOLO model of plates")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read every camera until its source ends; exit code 0. A source that fails is logged.

    SIGTERM and SIGINT end it at once: what was read is appended.
    """
    if arguments.model or arguments.plate_model:
        flag = "--model" if arguments.model else "--plate-model"
        raise ConfigError(f"{flag} needs YOLO, which is not there yet; leave it out")
    if arguments.skip_frames < 0:
        raise ConfigError(f"--skip-frames {arguments.skip_frames} is below 0; give 0 or more")
    configure_logs(arguments.debug)
    from edge.cameras import load_cameras
    from edge.pipeline import PipelineSettings
    from edge.run import read_file

    cameras = [camera for camera in load_cameras(settings.cameras) if camera.enabled]
    for camera in cameras:
        _check(camera, settings.cameras)
    pipeline = PipelineSettings(skip_frames=arguments.skip_frames, no_ocr=arguments.no_ocr)
    log, codec, images = open_log(settings), open_codec(settings), open_images(settings)
    detector, recogniser = open_detector(), open_recogniser()
    host = socket.gethostname()

    def read(camera: "Camera") -> None:
        from edge.capture import CaptureError

        path = Path(camera.source)
        raw = RawWriter(log, codec, camera.key)
        chain = (detector, recogniser, images)
        try:
            for name, record in read_file(
                path, camera, *chain, start_us=begun(path), host=host, settings=pipeline
            ):
                raw.append(name, record)
        except CaptureError as error:
            _log.error("camera %s: %s", camera.id, error)
        _log.info("camera %s: %s reads, its source has ended", camera.id, raw.reads)

    with ThreadPoolExecutor(max(1, len(cameras)), "camera") as pool:
        for future in [pool.submit(read, camera) for camera in cameras]:
            future.result()
    return 0


class RawWriter:
    """Appends one camera's records to its partition of alpr.reads.raw."""

    def __init__(self, log: Log, codec: Codec, key: str) -> None:
        self._log = log
        self._codec = codec
        self._key = key.encode()
        self._partition = partition_of(self._key, log.partitions(RAW.name))
        self.reads = 0

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """Append a record; it is durable then. Raises eventlog.log.LogError."""
        value = self._codec.encode(RAW.name, name, record)
        self._log.append(RAW.name, self._partition, [Append(self._key, value)])
        self.reads += name == "PlateRead"


def begun(path: Path) -> int:
    """When a recording began, microseconds: its file was written when it ended.

    The same file always gives the same times, so that one read again gives the same reads. A
    file dated in the future is taken as written now: its reads would be refused otherwise.
    """
    import cv2

    ended = min(path.stat().st_mtime_ns // 1000, time.time_ns() // 1000)
    if path.is_dir():
        return ended
    video = cv2.VideoCapture(str(path))
    frames, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    video.release()
    return ended - int(frames / rate * 1_000_000) if rate > 0 and frames > 0 else ended


def _check(camera: "Camera", source: Path) -> None:
    if "://" in camera.source or camera.source.isdigit():
        raise ConfigError(
            f"{source}: camera {camera.label} is a live one, and only files are read as yet; give "
            "the path of a file, or set `enabled: false`"
        )
    if not Path(camera.source).exists():
        raise ConfigError(f"{source}: camera {camera.label}: there is no such file; mend its path")
