"""Frames from videos and pictures: every one, in order, at its own time."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.cameras import without_secrets

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_FPS = 25.0  # of a video that tells neither timestamps nor a rate


class CaptureError(Exception):
    """A source gives no frames; the message names it, the cause and the cure, without secrets.

    - SourceMissing: there is no such file or camera
    - NotVisual: a file that is neither video nor picture
    - Truncated: a file whose end is missing; what was there has been read
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class SourceMissing(CaptureError):
    """There is no such file, or the camera does not answer."""


class NotVisual(CaptureError):
    """The file is neither a video nor a picture that can be decoded."""


class Truncated(CaptureError):
    """The file's end is missing; raised after the last frame that is there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a camera: BGR, uint8, shape (height, width, 3); number from 0 in its session."""

    camera_id: str
    session: str
    number: int
    captured_at_us: int
    image: np.ndarray


def file_session(path: Path) -> str:
    """The session of a file: 8 hex digits of its content's SHA-256. Raises SourceMissing."""
    digest = hashlib.sha256()
    for part in [path] if path.is_file() else pictures_of(path):
        try:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise SourceMissing(f"{part}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:8]


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder by name; raises SourceMissing, NotVisual if there is none."""
    if not folder.exists():
        raise SourceMissing(f"{folder}: no such file or folder; check the path")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise NotVisual(f"{folder}: holds no pictures ({', '.join(sorted(PICTURES))})")
    return found


def file_frames(path: Path, camera_id: str, session: str, start_us: int) -> Iterator[Frame]:
    """Every frame of a video, a picture, or a folder of pictures (a second apart), in order.

    A frame's time is ``start_us`` plus its timestamp in the file, or, where the container tells
    none, plus its number over the frame rate. Raises CaptureError; Truncated after the last
    frame if fewer could be decoded than the container announces.
    """
    if path.is_dir() or path.suffix.lower() in PICTURES:
        for number, part in enumerate([path] if path.is_file() else pictures_of(path)):
            yield Frame(camera_id, session, number, start_us + 1_000_000 * number, picture(part))
        return
    if not path.exists():
        raise SourceMissing(f"{path}: no such file; check the path")
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise NotVisual(f"{path}: is no video or picture that can be decoded")
        yield from _video_frames(video, path, camera_id, session, start_us)
    finally:
        video.release()


def picture(path: Path) -> np.ndarray:
    """A picture file as BGR; raises SourceMissing, NotVisual."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceMissing(f"{path}: cannot be read: {error.strerror}") from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise NotVisual(f"{path}: is no picture that can be decoded")
    return image


def _video_frames(
    video: cv2.VideoCapture, path: Path, camera_id: str, session: str, start_us: int
) -> Iterator[Frame]:
    fps = video.get(cv2.CAP_PROP_FPS)
    fps = fps if 0 < fps < 1000 else _FPS
    announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    number, last_us = 0, -1
    while True:
        read, image = video.read()
        if not read:
            break
        at_us = round(video.get(cv2.CAP_PROP_POS_MSEC) * 1000)
        if at_us <= last_us:  # no timestamps, or broken ones
            at_us = last_us + round(1_000_000 / fps) if number else 0
        last_us = at_us
        yield Frame(camera_id, session, number, start_us + at_us, image)
        number += 1
    if number == 0:
        raise NotVisual(f"{path}: is no video or picture that can be decoded")
    if number < announced - 1:  # containers count one frame more now and then
        raise Truncated(
            f"{path}: ends after {number} of {announced} frames; the file is cut or damaged, "
            "what could be read was read"
        )
