"""``alpr edge``: the cameras of cameras.yaml into alpr.reads.raw."""

import argparse
import logging
import os
import signal
import socket
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server

from alpr.camera_versions import tell_cameras
from alpr.errors import Busy, ConfigError
from alpr.person import actor
from alpr.process import begin_process
from alpr.recognition import open_detector, open_recogniser
from alpr.settings import Settings
from alpr.wiring import (
    open_edge_codec,
    open_edge_log,
    open_images,
    open_uploads,
)
from eventlog.log import LogFull

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
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="serve Prometheus metrics (usually 8001)"
    )
    parser.add_argument("--model", metavar="PATH", help="a YOLO model of vehicles")
    parser.add_argument(
        "--plate-model", metavar="PATH", help="what finds plates, instead of ALPR_DETECTOR"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read every camera until SIGTERM, SIGINT or the end of all sources; exit code 0."""
    if arguments.model:
        raise ConfigError("--model needs the extra `yolo`, which is not there yet; leave it out")
    if arguments.plate_model and not arguments.plate_model.endswith(".onnx"):
        raise ConfigError(
            f"--plate-model {arguments.plate_model}: give the .onnx that training.detector.export "
            "made; YOLO's models need the extra `yolo`, which is not there yet"
        )
    if arguments.skip_frames < 0:
        raise ConfigError(f"--skip-frames {arguments.skip_frames} is below 0; give 0 or more")
    cameras = cameras_of(settings)

    from edge.cameras import load_cameras
    from edge.metrics import UploadMetrics
    from edge.pipeline import load_pipeline_settings
    from edge.run import run_cameras

    beside = settings.cameras.parent
    pipeline = load_pipeline_settings(
        _there(beside / "tracking.yaml"),
        _there(beside / "ocr.yaml"),
        skip_frames=arguments.skip_frames,
        no_ocr=arguments.no_ocr,
    )
    registry = CollectorRegistry()
    if arguments.metrics_port is not None:
        _serve_metrics(arguments.metrics_port, registry)

    detector = open_detector(arguments.plate_model or settings.detector)
    recogniser = open_recogniser(settings.recogniser)
    begin_process("edge", settings, arguments.debug)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    uploads = open_uploads(settings)
    if uploads is not None:
        registry.register(UploadMetrics(uploads.counts))
    log, codec = open_edge_log(settings), open_edge_codec(settings)
    host = socket.gethostname()
    placed = load_cameras(settings.cameras)
    try:
        tell_cameras(log, codec, placed, host, actor(), time.time_ns() // 1000)
    except LogFull as error:  # reads wait for space by themselves; the next start tells it
        _log.warning("what the cameras are set to is not on the log yet: %s", error)
    with uploads or nullcontext():
        run_cameras(
            cameras,
            log,
            codec,
            open_images(settings),
            stop,
            detector=detector,
            recogniser=recogniser,
            host=host,
            settings=pipeline,
            registry=registry,
        )
    return 0


def _there(path: Path) -> Path:
    """The path of a file of settings, or of an empty one, which leaves the defaults."""
    return path if path.exists() else Path(os.devnull)


def _serve_metrics(port: int, registry: CollectorRegistry) -> None:
    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except (OSError, OverflowError) as error:
        raise Busy(
            f"port {port} of 127.0.0.1 cannot be had for --metrics-port: {error}; name another"
        ) from error


def cameras_of(settings: Settings) -> "list[Camera]":
    """The enabled cameras; raises edge.cameras.ConfigError, ConfigError for a missing file."""
    from edge.cameras import load_cameras
    from edge.live import is_live

    cameras = [camera for camera in load_cameras(settings.cameras) if camera.enabled]
    for camera in cameras:
        if not is_live(camera.source) and not Path(camera.source).exists():
            raise ConfigError(
                f"{settings.cameras}: camera {camera.label}: there is no such file; mend its path, "
                "or set `enabled: false`"
            )
    return cameras
