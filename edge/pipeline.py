"""One camera's chain from a frame to reads: look, detect, track, recognise, keep the evidence."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge.cameras import Camera, check_sections, load_settings
from edge.capture import Frame
from edge.detect import Detection, Look, PlateDetector
from edge.geometry import Region, clipped, rectified, size_of
from edge.motion import Attention, AttentionSettings, region_of
from edge.reading import Reading
from edge.recognise import Crops, PlateRecogniser
from edge.shots import NO_IMAGES, keep_evidence, quality_of, rim_of
from edge.throttle import Pace, ReadingSettings, TrackReadings
from edge.track import ByteTracker, Track, TrackingSettings, TrackState
from images.store import ImageError, ImageSink
from schemas.records import PlateRead

logger = logging.getLogger(__name__)

_READS = uuid.UUID("6f2b9a52-9c0e-5d59-8f1c-0c1d6c8b7a10")  # namespace of read ids, random once
_UNREAD = TrackReadings()


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The settings of a camera's chain.

    ``skip_frames`` leaves out that many frames after each one looked at; ``no_ocr`` detects and
    tracks alone, and no read comes out. ``still`` frames have nothing to do with each other: each
    is looked at as a whole.
    """

    attention: AttentionSettings = field(default_factory=AttentionSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    reading: ReadingSettings = field(default_factory=ReadingSettings)
    skip_frames: int = 0
    no_ocr: bool = False
    still: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    """A plate to be read now: what its reader wants to see of it and how good that is.

    ``clear`` is how good the plate was before anybody looked for its lines: what looks at one
    track are compared by; ``height`` about that of its lines in pixels.
    """

    track: Track
    detection: Detection
    crops: Crops
    quality: float
    clear: float
    height: float


class CameraPipeline:
    """Turns the frames of one session of one camera into reads.

    Deterministic: the same frames give the same reads. Not for several threads at once.
    ``images`` of None keeps no evidence.
    """

    def __init__(
        self,
        camera: Camera,
        detector: PlateDetector,
        recogniser: PlateRecogniser,
        images: ImageSink | None,
        session: str,
        *,
        host: str = "",
        settings: PipelineSettings | None = None,
    ) -> None:
        self._camera = camera
        self._detector = detector
        self._recogniser = recogniser
        self._images = images
        self._session = session
        self._node = camera.node(host)
        self._settings = settings or PipelineSettings()
        self._attention = Attention(self._settings.attention, camera.roi)
        self._tracker = ByteTracker(session, self._settings.tracking)
        self._readings: dict[str, TrackReadings] = {}
        self._held: dict[str, tuple[Frame, _Due, Reading]] = {}
        self._reader = f"{detector.name} {recogniser.name}"

    @property
    def tracks(self) -> list[Track]:
        """The tracks that live, as of the last frame."""
        return self._tracker.tracks

    def process(self, frame: Frame) -> list[PlateRead]:
        """The reads of one frame, from left to right; mostly none.

        Frames must come in order of capture. A picture that cannot be kept is logged and ''.
        """
        settings = self._settings
        if frame.number % (settings.skip_frames + 1):
            return []
        if settings.still:
            whole = region_of(frame.image, self._camera.roi)
            return self._follow(frame, self._detector.still(frame.image, whole), [Look(whole)])
        wanted = self._wanted(frame.captured_at_us)
        looks = self._attention.looks(frame.image, frame.captured_at_us, wanted)
        late = self._let_go(frame.captured_at_us) if self._held else []
        if not looks:
            return late
        return late + self._follow(frame, self._detector.detect(frame.image, looks), looks)

    def finish(self) -> list[PlateRead]:
        """What is held back still, when nothing more comes; call it once."""
        return self._let_go(None)

    def _let_go(self, at_us: int | None) -> list[PlateRead]:
        """What was held back and is not waited for any longer at a time, or at the end (None)."""
        settings = self._settings.reading
        due = [
            track_id
            for track_id, (frame, _, _) in self._held.items()
            if at_us is None or at_us - frame.captured_at_us >= settings.patience_us
        ]
        held = [self._held.pop(track_id) for track_id in due]
        return [self._read(*one) for one in held if one[2].confidence >= settings.sure]

    def _wanted(self, at_us: int) -> list[np.ndarray]:
        """Boxes of plates that are due for a look of their own."""
        attention = self._settings.attention
        boxes: list[np.ndarray] = []
        for track in self._tracker.tracks:
            known = self._readings.get(track.track_id, _UNREAD)
            pace = known.pace(track.box, self._settings.reading)
            wait_us = {
                Pace.RUN: attention.follow_us,
                Pace.STROLL: attention.search_us,
                Pace.REST: attention.relook_us,
            }[pace]
            if track.state is not TrackState.LOST and at_us - track.looked_us >= wait_us:
                boxes.append(track.expected(at_us))
        return boxes

    def _follow(
        self, frame: Frame, detections: Sequence[Detection], looks: Sequence[Look]
    ) -> list[PlateRead]:
        height, width = frame.image.shape[:2]
        regions = [_unbounded(look.region, width, height) for look in looks]
        tracks = self._tracker.update(detections, frame.captured_at_us, regions)
        for track in tracks:
            if track.state is TrackState.REMOVED:
                self._readings.pop(track.track_id, None)
        if self._settings.no_ocr:
            return []
        due: list[_Due] = []
        for track in tracks:
            if track.detection is not None:
                candidate = self._due(frame, track, track.detection)
                due += [] if candidate is None else [candidate]
        readings = self._recogniser.recognise([one.crops for one in due]) if due else []
        reads: list[PlateRead] = []
        for one, reading in zip(due, readings, strict=True):
            if not maybe_plate(reading):
                self._note(frame, one, "", 0.0)
                continue
            premature = self._premature(frame, one, reading)
            self._note(frame, one, plain(reading.text), 0.0 if premature else reading.confidence)
            if premature:
                self._held[one.track.track_id] = frame, one, reading
            else:
                self._held.pop(one.track.track_id, None)
                reads.append(self._read(frame, one, reading))
        return sorted(reads, key=lambda read: (read["box"]["x"], read["track_id"]))

    def _due(self, frame: Frame, track: Track, detection: Detection) -> _Due | None:
        """What is to be read of a track in this frame, if anything is."""
        reading = self._settings.reading
        parts = [rectified(frame.image, line, reading.margin) for line in detection.lines]
        plate = parts or [rectified(frame.image, detection.quad)]
        clear = min(quality_of(part) for part in plate)
        height = min(part.shape[0] for part in plate) * (1.0 if parts else _line(plate[0]))
        known = self._readings.setdefault(track.track_id, TrackReadings())
        if not known.due(clear, detection.box, height, frame.captured_at_us, reading):
            return None
        crops = self._recogniser.crops(frame.image, detection, reading.margin)
        quality = min(quality_of(crop) for crop in crops.all)
        height = min((line.shape[0] for line in crops.lines), default=height)
        due = _Due(track, detection, crops, quality, clear, height)
        if detection.lines and rim_of(frame.image, detection.quad) < reading.rim:
            self._note(frame, due, "", 0.0)
            return None
        return due

    def _premature(self, frame: Frame, due: _Due, reading: Reading) -> bool:
        """Whether a plate that comes nearer is too far to be read yet."""
        settings = self._settings.reading
        known = self._readings[due.track.track_id]
        grows = known.grows(due.detection.box, frame.captured_at_us, settings)
        lines = [len(plain(line)) for line in reading.text.split("\n")]
        sizes = [size_of(line) for line in due.detection.lines]
        if len(sizes) != len(lines):
            sizes = [size_of(due.detection.quad)] * len(lines)
        widths = [wide + 2 * settings.margin * high for wide, high in sizes]
        pitch = min(width / max(1, signs) for width, signs in zip(widths, lines, strict=True))
        return grows and pitch < settings.narrow

    def _note(self, frame: Frame, due: _Due, text: str, confidence: float) -> None:
        self._readings[due.track.track_id].add(
            text,
            confidence,
            due.clear,
            due.detection.box,
            height=due.height,
            at_us=frame.captured_at_us,
            settings=self._settings.reading,
        )

    def _read(self, frame: Frame, due: _Due, reading: Reading) -> PlateRead:
        camera, track, detection = self._camera, due.track, due.detection
        height, width = frame.image.shape[:2]
        left, top, right, bottom = clipped(detection.box, width, height)
        name = f"{camera.id}/{self._session}/{track.track_id}/{frame.number}"
        images = NO_IMAGES
        if self._images is not None:
            stem = f"{camera.id}/{track.track_id}-{frame.number}"
            tags = {
                "camera_id": camera.id,
                "track_id": track.track_id,
                "plate_text": reading.text,
                "quality_score": f"{due.quality:.2f}",
            }
            try:
                images = keep_evidence(
                    self._images,
                    frame.image,
                    detection.quad,
                    stem,
                    captured_at=frame.captured_at_us,
                    tags=tags,
                )
            except ImageError as error:  # a read without pictures is better than none
                logger.warning("%s: %s", camera.id, error)
        return {
            "read_id": str(uuid.uuid5(_READS, name)),
            "camera_id": camera.id,
            "camera_group": camera.group,
            "session": self._session,
            "captured_at": frame.captured_at_us,
            "track_id": track.track_id,
            "frame_number": frame.number,
            "text": reading.text,
            "confidence": reading.confidence,
            "char_confidences": list(reading.char_confidences),
            "alternatives": [
                {"text": text, "confidence": value} for text, value in reading.alternatives
            ],
            "region": camera.region,
            "box": {"x": left, "y": top, "width": right - left, "height": bottom - top},
            "frame_width": width,
            "frame_height": height,
            "vehicle": None,
            "direction": track.direction or camera.direction,
            "quality": due.quality,
            "images": images,
            "node": self._node,
            "reader": self._reader,
        }


def _line(plate: np.ndarray) -> float:
    """About how much of a plate's height a line of its number has."""
    height, width = plate.shape[:2]
    return 0.7 if width > 3.0 * height else 0.4


def _unbounded(region: Region, width: int, height: int) -> Region:
    """A region that ends at the picture's edge, without end there: nothing lies beyond."""
    left, top, right, bottom = region
    return (
        left if left > 0 else -width,
        top if top > 0 else -height,
        right if right < width else 2 * width,
        bottom if bottom < height else 2 * height,
    )


def load_pipeline_settings(
    tracking: Path, ocr: Path, *, skip_frames: int = 0, no_ocr: bool = False
) -> PipelineSettings:
    """The settings of config/tracking.yaml and config/ocr.yaml; raises ConfigError."""
    check_sections(tracking, {"tracking", "attention"})
    check_sections(ocr, {"reading"})
    return PipelineSettings(
        load_settings(tracking, AttentionSettings, "attention"),
        load_settings(tracking, TrackingSettings, "tracking"),
        load_settings(ocr, ReadingSettings, "reading"),
        skip_frames,
        no_ocr,
    )


def picture_settings(settings: PipelineSettings | None = None) -> PipelineSettings:
    """Settings for still pictures: each is looked at as a whole, once."""
    base = settings or PipelineSettings()
    return replace(base, still=True, reading=replace(base.reading, patience_us=0, rim=0.2))


def plain(text: str) -> str:
    """Letters and digits alone, as capitals: what two readings are compared by."""
    return "".join(sign for sign in text.upper() if sign.isalnum())


def maybe_plate(reading: Reading) -> bool:
    """Whether a reading is worth the log: 3 to 12 signs, a digit among them.

    What is a plate is decided later, from all reads; words without a digit are signs and names.
    """
    signs = plain(reading.text)
    return 3 <= len(signs) <= 12 and any(sign.isdigit() for sign in signs)
