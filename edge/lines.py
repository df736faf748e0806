"""From lines of text to plates: join what is split, stack what has two lines, drop what is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.geometry import Quad, box_of, enclosing, size_of
from edge.text import TextLine

_LOWEST = 12.0  # pixels of a line with its margin, below which nobody can read it
_STEEPEST = 0.7  # rise over run of a line of text, 35 degrees
_GAP = 1.3  # of the height, between two parts of one line: '34A' '-368.37'
_SLIMMEST, _LONGEST = 1.2, 8.5  # width over height of one line; a banner is longer
_STACKED = 3.8  # width over height of a line that may be half of a plate
_SURE = 0.6  # the network's mean probability from which a line counts as certain
_DOUBTFUL = 0.2


@dataclass(frozen=True, slots=True)
class PlateShape:
    """Lines of text that together have a plate's shape, with a score of 0 to 1."""

    quad: Quad
    score: float
    lines: tuple[Quad, ...]


def plates_of(found: Sequence[TextLine]) -> list[PlateShape]:
    """The plates among lines of text, from left to right."""
    legible = [line for line in found if _legible(line.quad)]
    joined = [
        TextLine(
            group[0].quad if len(group) == 1 else enclosing([line.quad for line in group]),
            float(np.mean([line.score for line in group])),
        )
        for group in _groups(legible, _beside)
    ]
    single = [line for line in joined if _aspect(line.quad) <= _LONGEST]
    shapes: list[PlateShape] = []
    for group in _groups(single, _below):
        lines = sorted(group, key=lambda line: float(line.quad[:, 1].mean()))
        if len(lines) == 2:
            shapes.append(_shape(lines))
        else:
            shapes += [_shape([line]) for line in lines]
    shapes = [shape for shape in shapes if _aspect(shape.quad) >= _SLIMMEST or len(shape.lines) > 1]
    return sorted(shapes, key=lambda shape: (float(shape.quad[0, 0]), float(shape.quad[0, 1])))


def _shape(lines: Sequence[TextLine]) -> PlateShape:
    quads = [line.quad for line in lines]
    quad = quads[0] if len(quads) == 1 else enclosing(quads)
    mean = float(np.mean([line.score for line in lines]))
    score = min(1.0, max(0.0, (mean - _DOUBTFUL) / (_SURE - _DOUBTFUL)))
    return PlateShape(quad, score, tuple(quads))


def _legible(quad: Quad) -> bool:
    run, rise = quad[1] - quad[0]
    return size_of(quad)[1] >= _LOWEST and abs(rise) <= _STEEPEST * abs(run)


def _aspect(quad: Quad) -> float:
    width, height = size_of(quad)
    return width / max(height, 1e-6)


def _beside(first: TextLine, second: TextLine) -> bool:
    """Whether two lines are parts of one: as high, in one direction, hardly a gap between."""
    left, right = sorted((first.quad, second.quad), key=lambda quad: float(quad[0, 0]))
    heights = [size_of(quad)[1] for quad in (left, right)]
    height = max(heights)
    if height > 1.6 * min(heights):
        return False
    along = left[1] - left[0] + (left[2] - left[3])
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    gap_at = (right[0] + right[3]) / 2 - (left[1] + left[2]) / 2
    gap = float(gap_at @ along)
    aside = abs(float(gap_at @ np.array([-along[1], along[0]])))
    return -0.6 * height < gap < _GAP * height and aside < 0.4 * height


def _below(first: TextLine, second: TextLine) -> bool:
    """Whether two lines are the two of one plate: about as wide and as high, close, aligned."""
    upper, lower = sorted((first.quad, second.quad), key=lambda quad: float(quad[:, 1].mean()))
    (width_a, height_a), (width_b, height_b) = size_of(upper), size_of(lower)
    if max(width_a / height_a, width_b / height_b) > _STACKED:
        return False
    if max(height_a, height_b) > 1.7 * min(height_a, height_b):
        return False
    if max(width_a, width_b) > 2.0 * min(width_a, width_b):
        return False
    a, b = box_of(upper), box_of(lower)
    overlap = min(a[2], b[2]) - max(a[0], b[0])
    gap = float(lower[:2, 1].mean() - upper[2:, 1].mean())
    height = max(height_a, height_b)
    return overlap > 0.6 * min(width_a, width_b) and -0.5 * height < gap < 0.6 * height


def _groups(
    lines: Sequence[TextLine], related: Callable[[TextLine, TextLine], bool]
) -> list[list[TextLine]]:
    """The connected components of a symmetric relation, each in the order given."""
    groups: list[list[TextLine]] = []
    for line in lines:
        apart = [group for group in groups if not any(related(line, other) for other in group)]
        mine = [group for group in groups if any(related(line, other) for other in group)]
        groups = [*apart, [*(other for group in mine for other in group), line]]
    return groups
