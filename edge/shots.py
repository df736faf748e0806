"""How good a crop is, and the evidence pictures of a read."""

from collections.abc import Mapping
from datetime import UTC, datetime

import cv2
import numpy as np

from edge.geometry import Quad, box_of, clipped, rectified, size_of
from images.store import ImageSink
from schemas.records import Images

NO_IMAGES: Images = {"plate_url": "", "vehicle_url": "", "frame_url": ""}

_GOOD_HEIGHT = 32.0  # pixels of a line's height from which more adds nothing to a reading
_GOOD_SHARPNESS = 600.0  # variance of the Laplacian of a crop in focus, 48 pixels high
_RIM_HEIGHT = 48  # pixels of a plate at which its edges are measured
_QUALITY = 80  # of the JPEG, of 100
_FRAME_WIDTH = 1280  # pixels; an evidence frame is reduced to it


def quality_of(line: np.ndarray) -> float:
    """Size times sharpness of a line's crop (BGR), 0 to 1.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al. 2000) at one height, so
    that it tells blur from smallness.
    """
    height, width = line.shape[:2]
    gray = cv2.cvtColor(line, cv2.COLOR_BGR2GRAY)
    sized = cv2.resize(gray, (max(1, round(48 * width / height)), 48))
    sharpness = min(1.0, float(cv2.Laplacian(sized, cv2.CV_32F).var()) / _GOOD_SHARPNESS)
    return round(min(1.0, height / _GOOD_HEIGHT) * sharpness**0.5, 4)


def rim_of(image: np.ndarray, plate: Quad) -> float:
    """How clearly the upper and lower edges of a plate show: 0 not at all, 1 as its letters do.

    Letters painted on the side of a lorry have no edge along them. Measured at each of the two
    edges as the strongest row in which most columns grow lighter, or most grow darker, over the
    letters' contrast; the mean of both.
    """
    _, height = size_of(plate)
    gray = cv2.cvtColor(rectified(image, plate, 0.5), cv2.COLOR_BGR2GRAY)
    scale = _RIM_HEIGHT / max(height, 1.0)
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    sized = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=how).astype(np.float32)
    pad, step = _RIM_HEIGHT // 2, _RIM_HEIGHT // 8
    letters = sized[pad + 2 * step : -pad - 2 * step, pad:-pad]
    aside = pad + (sized.shape[1] - 2 * pad) // 8  # the ends of the edges are often hidden
    if letters.size == 0 or sized.shape[1] <= 2 * aside:
        return 0.0
    low, high = np.percentile(letters, [10, 90])
    smooth = cv2.GaussianBlur(sized, (5, 5), 0)
    change = (smooth[step:] - smooth[:-step])[:, aside:-aside] / max(float(high - low), 1.0)
    half = change.shape[0] // 2

    def strongest(rows: np.ndarray) -> float:
        lighter = np.percentile(rows, 30, axis=1).max()
        darker = -np.percentile(rows, 70, axis=1).min()
        return float(min(1.0, max(0.0, lighter, darker)))

    return (strongest(change[: half - step]) + strongest(change[half + step :])) / 2


def keep_evidence(
    store: ImageSink,
    image: np.ndarray,
    plate: Quad,
    stem: str,
    *,
    captured_at: int,
    tags: Mapping[str, str],
) -> Images:
    """Store the plate, what is around it, and the whole frame; their addresses.

    ``stem`` is CAMERA/TRACK-FRAME. The plate's surroundings stand for the vehicle where no
    detector tells it. Raises ImageError.
    """
    height, width = image.shape[:2]
    day = datetime.fromtimestamp(captured_at / 1_000_000, UTC).date().isoformat()
    left, top, right, bottom = box_of(plate)
    wide = right - left
    around = clipped(
        (left - 1.2 * wide, top - 2.0 * wide, right + 1.2 * wide, bottom + 0.6 * wide),
        width,
        height,
    )
    scale = min(1.0, _FRAME_WIDTH / width)
    frame = image if scale == 1.0 else cv2.resize(image, None, fx=scale, fy=scale)

    def put(kind: str, picture: np.ndarray) -> str:
        return store.put(f"{day}/{stem}-{kind}.jpg", _jpeg(picture), tags)

    return {
        "plate_url": put("plate", rectified(image, plate, 0.15)),
        "vehicle_url": put("vehicle", image[around[1] : around[3], around[0] : around[2]]),
        "frame_url": put("frame", frame),
    }


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
