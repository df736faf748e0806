"""Histograms of whole numbers with fixed edges, and the quantiles that can be told of them.

Every view counts into the same bins, so that the same sightings give the same answer wherever they
are counted. Bins above 8 are a quarter of an octave or narrower (as in HdrHistogram,
https://hdrhistogram.github.io/HdrHistogram/): a quantile, interpolated within its bin, is off by
less than a quarter of itself, and mostly by a few per cent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def _octaves(last: int) -> tuple[int, ...]:
    """1 to 8, then four edges an octave (10, 12, 14, 16, 20 …) up to ``last``."""
    edges = list(range(1, 8))
    base = 8
    while base < last:
        edges += [base + base * quarter // 4 for quarter in range(4)]
        base *= 2
    return (*(edge for edge in edges if edge < last), last)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is counted of a sighting: ``edges`` begin the second bin and those after it.

    A value belongs to the last bin whose edge it reaches; below the first edge to the first. The
    first bin begins at ``least``; the last one ends nowhere, and is told as its edge.
    """

    name: str
    unit: str
    edges: tuple[float, ...]
    least: float = 0

    @property
    def bins(self) -> int:
        """How many."""
        return len(self.edges) + 1

    def span(self, index: int) -> tuple[float, float | None]:
        """Where a bin begins and ends."""
        starts = (self.least, *self.edges)
        return starts[index], starts[index + 1] if index + 1 < len(starts) else None

    def quantile(self, counts: Sequence[int], permille: int) -> float | None:
        """The value that so many of a thousand do not exceed, linear within its bin; None of none.

        The nearest rank: the smallest k with k / n >= permille / 1000.
        """
        total = sum(counts)
        if total == 0:
            return None
        rank = max(1, -(-total * permille // 1000))
        before = 0
        for index, count in enumerate(counts):
            if before + count >= rank:
                start, end = self.span(index)
                if end is None:
                    return float(start)
                return round(start + (end - start) * (rank - before) / count, 4)
            before += count
        raise AssertionError("a rank lies within the total")


DWELL = Measure("dwell", "seconds", _octaves(86_400))
"""From the first read to the last: how long a vehicle stays."""
LATENCY = Measure("latency", "milliseconds", _octaves(3_600_000))
"""From capture to the log. A clock that is ahead makes it negative: that is the first bin."""
CONFIDENCE = Measure("confidence", "of 1", tuple(n / 50 for n in range(1, 50)))
"""Of the vote; the bins are 0.02 wide, 1 is in the last."""
READS = Measure("reads", "reads", tuple(n for n in _octaves(1024) if n > 1), least=1)
"""Reads that a sighting rests on."""

MEASURES: Mapping[str, Measure] = {one.name: one for one in (DWELL, LATENCY, CONFIDENCE, READS)}


def added(counts: Sequence[Sequence[int]], bins: int) -> list[int]:
    """The sum of several histograms of so many bins."""
    return [sum(one[index] for one in counts) for index in range(bins)]
