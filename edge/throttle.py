"""When a track is read: at first, then only where another crop may tell more."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How often a track is read, as in config/ocr.yaml.

    ``agree`` equal texts of ``sure`` confidence settle a track. Before that, a crop is read when
    it is ``better`` times as good as the best so far or the plate has moved by ``moved`` of its
    height; of a standing plate ``attempts`` crops are read. A track whose readings were all no
    plates is given up after ``attempts``, until a crop is better. ``refresh_us`` after its last
    reading a track in sight is read again, so that a parked car is known to be still there.
    Lines lower than ``small`` pixels settle nothing and are not read for having moved, and a
    settled track is read again whenever it is ``grown`` times as wide: far plates agree on
    confusions.
    A text whose signs are narrower than ``narrow`` pixels is held back while the plate has grown
    by a tenth in the last ``patience_us``: it will soon be read better. If it is not, the last text
    held back is told then, or when the source ends, if it is ``sure``.
    ``margin`` is what a crop shows around a line, in its height. Text whose ``rim`` (see
    edge.shots) is below is painted on something and no plate; 0 reads it too.
    """

    agree: int = 4
    sure: float = 0.85
    better: float = 1.25
    moved: float = 0.25
    attempts: int = 3
    refresh_us: int = 60_000_000
    small: float = 18.0
    grown: float = 1.4
    narrow: float = 8.0
    patience_us: int = 2_000_000
    margin: float = 0.05
    rim: float = 0.4


class Pace(Enum):
    """RUN: may tell more with every look. STROLL: only to be kept in sight. REST: nothing new."""

    RUN = "run"
    STROLL = "stroll"
    REST = "rest"


@dataclass(slots=True)
class TrackReadings:
    """What is known of one track's text."""

    best_quality: float = 0.0
    attempts: int = 0
    plates: int = 0
    last_us: int = 0
    last_box: np.ndarray | None = None
    sure: dict[str, int] = field(default_factory=dict)
    widest: float = 0.0
    widest_us: int = 0

    def due(
        self,
        quality: float,
        box: np.ndarray,
        height: float,
        at_us: int,
        settings: ReadingSettings,
    ) -> bool:
        """Whether a crop at ``box`` is worth reading now; its lowest line has ``height`` pixels."""
        if self.last_box is None or at_us - self.last_us >= settings.refresh_us:
            return True
        if self._settled(settings):
            return self._grown(box, settings)
        if quality >= settings.better * self.best_quality or self.attempts < settings.attempts:
            return True
        return self.plates > 0 and height >= settings.small and self._moved(box, settings)

    def pace(self, box: np.ndarray, settings: ReadingSettings) -> Pace:
        """How closely a track now at ``box`` is worth following."""
        moved = self._moved(box, settings)
        if self.plates == 0:
            return Pace.RUN if self.attempts < settings.attempts else Pace.REST
        if self._settled(settings):
            return Pace.STROLL if moved else Pace.REST
        return Pace.RUN if moved or self.attempts < settings.attempts else Pace.REST

    def grows(self, box: np.ndarray, at_us: int, settings: ReadingSettings) -> bool:
        """Whether a plate now at ``box`` is coming nearer, or too new to say."""
        width = float(box[2] - box[0])
        if width >= 1.1 * self.widest:
            self.widest, self.widest_us = width, at_us
        return at_us - self.widest_us < settings.patience_us

    def add(
        self,
        text: str,
        confidence: float,
        quality: float,
        box: np.ndarray,
        *,
        height: float,
        at_us: int,
        settings: ReadingSettings,
    ) -> None:
        """Take a reading into account: normalised ``text``, '' if it cannot be a plate.

        ``height`` is that of its lowest line in pixels.
        """
        if quality >= settings.better * self.best_quality:
            self.best_quality, self.attempts = quality, 0
        self.attempts += 1
        self.last_us, self.last_box = at_us, box
        if not text:
            return
        self.plates += 1
        if self._settled(settings) and self.sure.get(text, 0) < settings.agree:
            self.sure.clear()  # a larger picture says otherwise
        if confidence >= settings.sure and height >= settings.small:
            self.sure[text] = self.sure.get(text, 0) + 1

    def _settled(self, settings: ReadingSettings) -> bool:
        return max(self.sure.values(), default=0) >= settings.agree

    def _grown(self, box: np.ndarray, settings: ReadingSettings) -> bool:
        if self.last_box is None:
            return True
        width = self.last_box[2] - self.last_box[0]
        return bool(box[2] - box[0] >= settings.grown * width)

    def _moved(self, box: np.ndarray, settings: ReadingSettings) -> bool:
        if self.last_box is None:
            return True
        height = self.last_box[3] - self.last_box[1]
        return bool(np.abs(box - self.last_box).max() > settings.moved * height)
