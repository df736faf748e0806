"""When a track is read: at first, then only where a better crop may tell more."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How often a track is read, as in config/ocr.yaml.

    ``agree`` equal texts of ``sure`` confidence settle a track. Before that, a crop is read when
    it is ``better`` times as good as the best so far, and as it is at most ``attempts`` times.
    ``refresh_us`` after its last reading a track in sight is read again, so that a parked car
    is known to be still there. ``margin`` is what a crop shows around a line, in its height.
    """

    agree: int = 4
    sure: float = 0.85
    better: float = 1.1
    attempts: int = 5
    refresh_us: int = 60_000_000
    margin: float = 0.05


@dataclass(slots=True)
class TrackReadings:
    """What is known of one track's text."""

    best_quality: float = 0.0
    attempts: int = 0
    last_us: int = 0
    sure: dict[str, int] = field(default_factory=dict)

    def due(self, quality: float, at_us: int, settings: ReadingSettings) -> bool:
        """Whether a crop of this quality is worth reading now."""
        if not self.last_us or at_us - self.last_us >= settings.refresh_us:
            return True
        if max(self.sure.values(), default=0) >= settings.agree:
            return False
        return quality >= settings.better * self.best_quality or self.attempts < settings.attempts

    def add(
        self, text: str, confidence: float, quality: float, at_us: int, settings: ReadingSettings
    ) -> None:
        """Take a reading of normalised ``text`` into account."""
        if quality >= settings.better * self.best_quality:
            self.best_quality, self.attempts = quality, 0
        self.attempts += 1
        self.last_us = at_us
        if confidence >= settings.sure:
            self.sure[text] = self.sure.get(text, 0) + 1
