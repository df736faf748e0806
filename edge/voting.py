"""Two readers that know different things, as one: where they differ, both judge what each says."""

from collections.abc import Sequence

import numpy as np

from edge.detect import Detection
from edge.reader import SIGNS, PlateReader
from edge.reading import Reading, decoded, stacked
from edge.recognise import TextRecogniser

_WEIGHT = 0.5  # of the text recogniser's word beside the plate reader's
_LEAST = 1e-4  # a probability below it says no more


class VotingRecogniser:
    """The plate reader and the text recogniser, of which the likelier text is taken.

    Where both say the same, that is told, as sure as the surer. Where not, each text that either
    thinks of is judged by both: its likelihood over all ways to write it (CTC's, Graves et al.
    2006), the two multiplied with weights.
    """

    def __init__(self, plates: PlateReader, texts: TextRecogniser) -> None:
        self._plates, self._texts = plates, texts
        self._folded = [SIGNS.index(sign) + 1 if sign in SIGNS else 0 for sign in texts.signs]

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self._plates.name}+{self._texts.name}"

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> list[np.ndarray]:
        """The whole plate for the one, then its lines for the other."""
        own = self._plates.crops(image, detection, margin)
        return [*own, *self._texts.crops(image, detection, margin)]

    def recognise(self, plates: Sequence[Sequence[np.ndarray]]) -> list[Reading]:
        """See PlateRecogniser."""
        own = self._plates.probabilities([crops[0] for crops in plates])
        other = self._texts.probabilities([crops[1:] for crops in plates])
        return [self._judged(list(rows), lines) for rows, lines in zip(own, other, strict=True)]

    def _judged(self, rows: list[np.ndarray], lines: list[np.ndarray]) -> Reading:
        own = stacked([decoded(row, SIGNS) for row in rows])
        other = stacked([decoded(line, self._texts.signs) for line in lines])
        if not own.text or not other.text:
            return own if own.text else other
        if _plain(own.text) == _plain(other.text):
            return own if own.confidence >= other.confidence else other
        seen = np.concatenate(rows), np.concatenate([self._fold(line) for line in lines])
        told = {
            text: reading
            for reading in (other, own)
            for text in (reading.text, *(text for text, _ in reading.alternatives))
        }

        def judged(text: str) -> float:
            signs = _numbers(text)
            return likelihood(seen[0], signs) + _WEIGHT * likelihood(seen[1], signs)

        best = max(told, key=lambda text: (judged(text), text))
        return _as(best, told[best], own, other)

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


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign in SIGNS)


def _numbers(text: str) -> list[int]:
    return [SIGNS.index(sign) + 1 for sign in text if sign in SIGNS]


def _as(text: str, of: Reading, own: Reading, other: Reading) -> Reading:
    """The reading with the chosen text; what else was said is an alternative."""
    others = [(one.text, one.confidence) for one in (own, other) if one.text != text]
    if of.text == text:
        return Reading(text, of.confidence, of.char_confidences, tuple(others[:2]))
    confidence = dict(of.alternatives)[text]
    signs = tuple(
        sure if one == before else round(1000 * confidence)
        for one, before, sure in zip(text, of.text, of.char_confidences, strict=True)
    )
    return Reading(text, confidence, signs, tuple(others[:2]))
