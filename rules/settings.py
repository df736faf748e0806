"""The numbers that decide how reads become sightings, each with its unit and its default."""

from dataclasses import dataclass, fields


class SettingsError(ValueError):
    """A setting is outside what makes sense; the message names it, its value and the range."""


@dataclass(frozen=True, slots=True)
class DedupSettings:
    """Settings of validation, assignment, vote and a sighting's life.

    Confidences are 0 to 1, times are seconds of event time unless said otherwise. The defaults
    of the first five are the seeds'. Raises SettingsError for a value out of range.
    """

    min_confidence: float = 0.70
    min_length: int = 3
    max_length: int = 10
    similarity: float = 0.85
    window_s: float = 300.0
    country: str = "auto"
    """Countries to expect where a read tells none: ISO codes with commas, or auto."""
    track_similarity: float = 0.6
    """Least similarity of two confident reads of one track that are still one plate."""
    confident: float = 0.90
    """From here on a read is taken at its word."""
    doubtful: float = 0.80
    """Below this, and clearly below its neighbours, a character may be another."""
    doubt_s: float = 15.0
    """How close in time a text must be to be the same but for a doubtful character."""
    confirm_reads: int = 2
    """Reads that agree with the vote on each sign, in different frames, to confirm a sighting."""
    confirm_confidence: float = 0.97
    """Confidence of a single read that confirms a sighting by itself."""
    least_certainty: float = 0.50
    """Least probability that a text is right if nothing repeats it."""
    lateness_s: float = 10.0
    """A read this much older than its camera's newest is refused as late."""
    clock_ahead_s: float = 60.0
    """A read captured this long after it was appended has a wrong clock."""
    silence_s: float = 30.0
    """Wall time, by ticks, without a record before a camera no longer holds time back."""
    refresh_s: float = 30.0
    """Least time between events that change only counts and last_seen."""
    picture_gain: float = 1.25
    """Factor of quality by which a better picture is worth an event of its own."""
    overlay_passes: int = 2
    """Other sightings that come and go while a text that fits no grammar stays put."""
    overlay_passes_plate: int = 50
    """The same for a text that fits a grammar, which may be a parked car."""
    overlay_plate_s: float = 3600.0
    """Least stay of such a text before it is taken for a sign."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in (
            "min_confidence",
            "similarity",
            "track_similarity",
            "confident",
            "doubtful",
            "least_certainty",
        ):
            self._between(name, 0.0, 1.0)
        self._between("confirm_confidence", 0.0, 1.0)
        self._between("min_length", 1, 20)
        self._between("max_length", self.min_length, 20)
        self._between("confirm_reads", 1, 100)
        self._between("window_s", 1, 86_400)
        self._between("lateness_s", 0, 3_600)
        self._between("clock_ahead_s", 1, 86_400)
        self._between("doubt_s", 0, 3_600)
        self._between("silence_s", 2, 86_400)
        self._between("refresh_s", 1, 86_400)
        self._between("picture_gain", 1, 100)
        self._between("overlay_passes", 1, 1_000_000)
        self._between("overlay_passes_plate", 1, 1_000_000)
        self._between("overlay_plate_s", 0, 1_000_000)

    def _between(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise SettingsError(f"dedup setting {name} is {value}: use {low} to {high}")

    def canonical(self) -> str:
        """One text for equal settings, for the rules' version."""
        return ";".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
