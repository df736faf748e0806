"""Two readers that know different things, as one: where they differ, both judge what each says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.detect import Detection
from edge.reader import SIGNS, PlateReader
from edge.reading import Reading, decoded, stacked
from edge.recognise import Crops, TextRecogniser
from rules.text import normalise

_LEAST = 1e-4  # a probability below it says no more


class VotingRecogniser:
    """The plate reader and the text recogniser, of which the likelier text is taken; behind a
    detector that tells whole plates.

    Where both say the same, that is told, as sure as the surer. Where not, each text that either
    thinks of is judged by both: its likelihood over all ways to write it (CTC's, Graves et al.
    2006), the two multiplied.
    """

    def __init__(self, plates: PlateReader, texts: TextRecogniser) -> None:
        self._plates, self._texts = plates, texts
        plain = [normalise(sign) for sign in texts.signs]
        self._folded = [SIGNS.index(sign) + 1 if sign else 0 for sign in plain]

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self._plates.name}+{self._texts.name}"

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> Crops:
        """The whole plate for the one, its lines for the other.

        Of what was found by its text the plate's corners are not known, and lines are all.
        """
        crops = self._texts.crops(image, detection, margin)
        if detection.lines:
            return crops
        return replace(self._plates.crops(image, detection, margin), lines=crops.lines)

    def recognise(self, plates: Sequence[Crops]) -> list[Reading]:
        """See PlateRecogniser."""
        own = iter(self._plates.probabilities([c.whole for c in plates if c.whole is not None]))
        other = self._texts.probabilities(plates)
        return [
            self._judged([] if crops.whole is None else list(next(own)), lines)
            for crops, lines in zip(plates, other, strict=True)
        ]

    def _judged(self, rows: list[np.ndarray], lines: list[np.ndarray]) -> Reading:
        own = stacked([decoded(row, SIGNS) for row in rows])
        other = stacked([decoded(line, self._texts.signs, emblems=True) for line in lines])
        if not own.text or not other.text:
            return own if own.text else other
        if normalise(own.text) == normalise(other.text):
            return own if own.confidence >= other.confidence else other
        seen = np.concatenate(rows), np.concatenate([self._fold(line) for line in lines])
        told: dict[str, str] = {}  # each as who says it outright spells it
        for text, _ in _said(own, other):
            told.setdefault(normalise(text), text)

        def judged(text: str) -> float:
            signs = _numbers(text)
            return likelihood(seen[0], signs) + likelihood(seen[1], signs)

        best = max(told.values(), key=lambda text: (judged(text), text))
        return _as(best, own, other)

    def _fold(self, line: np.ndarray) -> np.ndarray:
        """The text recogniser's columns as the plate reader's: marks and gaps are no signs."""
        folded = np.zeros((len(line), 1 + len(SIGNS)), line.dtype)
        np.add.at(folded.T, [0, *self._folded], line.T)
        return folded


def likelihood(scores: np.ndarray, text: Sequence[int]) -> float:
    """The logarithm of how likely the columns ``scores`` (steps, signs) say a text, over all ways
    to write it: CTC's forward variables (Graves et al. 2006).
    """
    wanted = [0]
    for sign in text:
        wanted += [sign, 0]
    path = np.log(np.clip(scores[:, wanted], _LEAST, 1.0))
    skips = np.array([k > 1 and wanted[k] != wanted[k - 2] for k in range(len(wanted))])
    before = np.full(len(wanted), -np.inf)
    before[:2] = path[0, :2]
    for step in path[1:]:
        after = before.copy()
        after[1:] = np.logaddexp(after[1:], before[:-1])
        after[2:] = np.where(skips[2:], np.logaddexp(after[2:], before[:-2]), after[2:])
        before = after + step
    return float(np.logaddexp.reduce(before[-2:]))


def _numbers(text: str) -> list[int]:
    return [SIGNS.index(sign) + 1 for sign in normalise(text)]


def _said(*readings: Reading) -> list[tuple[str, float]]:
    """Their texts, then what else they could be, each with how sure."""
    outright = [(one.text, one.confidence) for one in readings]
    return outright + [other for one in readings for other in one.alternatives]


def _as(text: str, own: Reading, other: Reading) -> Reading:
    """The reading with the chosen text, one of either's; what else they say is an alternative."""
    surest: dict[str, tuple[str, float]] = {}
    for one in sorted(_said(own, other), key=lambda one: (-one[1], one[0])):
        surest.setdefault(normalise(one[0]), one)
    surest.pop(normalise(text))
    others = tuple(surest.values())[:2]
    chosen = next((one for one in (own, other) if one.text == text), None)
    if chosen is not None:
        return Reading(text, chosen.confidence, chosen.char_confidences, others)
    of = next(one for one in (own, other) if text in dict(one.alternatives))
    confidence = dict(of.alternatives)[text]
    return Reading(text, confidence, _changed(text, confidence, of), others)


def _changed(text: str, confidence: float, of: Reading) -> tuple[int, ...]:
    """How sure of each sign of a reading's alternative: its confidence is a geometric mean, which
    tells that of the sign that is another.
    """
    if len(text) != len(of.text):
        return tuple(1000 if sign == "\n" else round(1000 * confidence) for sign in text)
    less = (confidence / max(of.confidence, 1e-3)) ** sum(sign != "\n" for sign in text)
    return tuple(
        sure if sign == before else round(sure * min(1.0, less))
        for sign, before, sure in zip(text, of.text, of.char_confidences, strict=True)
    )
