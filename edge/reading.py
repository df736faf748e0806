"""What a plate says, from a network's probabilities: texts, how sure of them, and other texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_POSSIBLE = 0.02  # probability from which a second sign is worth telling
_EMBLEM, _CLEAR = 0.45, 0.95  # below, a sign is none where the others' mean is above


@dataclass(frozen=True, slots=True)
class Reading:
    """What a plate says: its text, '\\n' between two lines, how sure of each character (per
    mille) and of the whole (0 to 1, their geometric mean), and likeliest first other texts."""

    text: str
    confidence: float
    char_confidences: tuple[int, ...]
    alternatives: tuple[tuple[str, float], ...] = ()


def decoded(scores: np.ndarray, signs: Sequence[str], *, emblems: bool = False) -> Reading:
    """Best path: a sign for each run of equal columns, as sure as the run's best step.

    ``scores`` (steps, 1 + signs) are probabilities; column 0 is no sign (CTC, Graves et al. 2006).
    ``emblems`` says that the network takes coats of arms for signs.
    """
    best = scores.argmax(axis=1)
    steps: list[int] = []
    previous = 0
    for step, column in enumerate(best):
        if column and column == previous:
            if scores[step, column] > scores[steps[-1], column]:
                steps[-1] = step
        elif column:
            steps.append(step)
        previous = column
    while steps and signs[best[steps[0]] - 1] == " ":
        steps.pop(0)
    while steps and signs[best[steps[-1]] - 1] == " ":
        steps.pop()
    if not steps:
        return Reading("", 0.0, ())
    text = [signs[int(best[step]) - 1] for step in steps]
    rows = scores[steps]
    return _without_emblem(text, rows, signs) if emblems else _reading(text, rows, signs)


def _without_emblem(text: list[str], rows: np.ndarray, signs: Sequence[str]) -> Reading:
    """The reading of signs with a row of probabilities each, less an emblem between sure ones.

    A coat of arms or a sticker is read as some sign that is less likely than not, in a text
    that is clear otherwise; the text with it is an alternative.
    """
    sure = [float(row.max()) for row in rows]
    weakest = min(range(len(sure)), key=sure.__getitem__)
    others = [value for place, value in enumerate(sure) if place != weakest]
    if len(others) < 4 or sure[weakest] >= _EMBLEM or float(np.mean(others)) < _CLEAR:
        return _reading(text, rows, signs)
    rest = [place for place in range(len(text)) if place != weakest]
    less = _reading([text[place] for place in rest], rows[rest], signs)
    whole = ("".join(text), round(together(sure), 4))
    return Reading(
        less.text, less.confidence, less.char_confidences, (whole, *less.alternatives[:1])
    )


def _reading(text: list[str], rows: np.ndarray, signs: Sequence[str]) -> Reading:
    """A reading with its characters' confidences and what its two weakest could be instead."""
    sure = [min(1.0, float(row.max())) for row in rows]
    confidence = together(sure)
    others: list[tuple[str, float]] = []
    for place in sorted(range(len(sure)), key=sure.__getitem__)[:2]:
        row = rows[place].copy()
        row[0] = row[rows[place].argmax()] = 0.0
        second = int(row.argmax())
        if row[second] >= _POSSIBLE and signs[second - 1].isalnum():
            changed = [*sure[:place], float(row[second]), *sure[place + 1 :]]
            other = "".join([*text[:place], signs[second - 1], *text[place + 1 :]])
            others.append((other, round(together(changed), 4)))
    return Reading(
        "".join(text),
        round(confidence, 4),
        tuple(round(1000 * value) for value in sure),
        tuple(sorted(others, key=lambda other: -other[1])),
    )


def together(sure: Sequence[float]) -> float:
    """The geometric mean: the likelihood of all signs, per sign; one bad sign spoils a text."""
    return float(np.exp(np.mean(np.log(np.clip(sure, 1e-3, 1.0)))))


def stacked(lines: Sequence[Reading]) -> Reading:
    """The readings of a plate's lines as one; its line feeds are certain (1000)."""
    lines = [line for line in lines if line.text]
    if len(lines) <= 1:
        return lines[0] if lines else Reading("", 0.0, ())
    text = "\n".join(line.text for line in lines)
    confidences = [list(line.char_confidences) for line in lines]
    joined = confidences[0] + [value for part in confidences[1:] for value in (1000, *part)]
    values = [line.confidence for line in lines for _ in line.text]
    confidence = together(values)
    others: list[tuple[str, float]] = []
    for index, line in enumerate(lines):
        for other, value in line.alternatives:
            whole = [part.text for part in lines]
            whole[index] = other
            changed = [
                value if part is line else part.confidence for part in lines for _ in part.text
            ]
            others.append(("\n".join(whole), round(together(changed), 4)))
    return Reading(
        text,
        round(confidence, 4),
        tuple(joined),
        tuple(sorted(others, key=lambda other: -other[1])[:2]),
    )
