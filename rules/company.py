"""Which plates travel together, and how unlikely it is that they only happen to."""

from dataclasses import dataclass
from math import exp, lgamma, log, log1p

MOST_UNLIKELY = 300.0
"""Beyond 10 to the power of this no difference is told."""


@dataclass(frozen=True, slots=True)
class Company:
    """What is known of one plate that was near another again and again.

    ``occasions`` are different pairs of a camera and a day at which it was near, out of
    ``chances`` of the plate itself. ``expected`` is how many of them chance alone would have made,
    ``unlikely`` how improbable as many or more then are: 6 stands for one in a million.
    """

    occasions: int
    chances: int
    seen: int
    expected: float
    unlikely: float

    @property
    def share(self) -> float:
        """Of the occasions on which the plate was seen, those on which this one was near."""
        return self.occasions / self.chances if self.chances else 0.0


def company(occasions: int, chances: int, crowd: int, seen: int, of: int) -> Company:
    """Measure one companion.

    ``crowd`` is how many different plates were near on each of the ``chances``, all in all;
    ``seen`` the sightings of the companion among ``of`` of all plates. By chance each of a crowd
    is the companion with the probability seen / of, whatever the camera and the hour, since the
    crowd itself grows with both.
    """
    common = min(1.0, max(seen, occasions) / max(of, 1))
    expected = common * crowd
    return Company(occasions, chances, seen, expected, unlikelihood(occasions, expected))


def unlikelihood(times: int, expected: float) -> float:
    """Minus log10 of the probability of ``times`` or more where ``expected`` are (Poisson).

    >>> round(unlikelihood(1, 0.01), 2), round(unlikelihood(5, 0.01), 1)
    (2.0, 12.1)
    """
    if times <= 0:
        return 0.0
    if expected <= 0:
        return MOST_UNLIKELY
    if times <= expected:
        return _below(times, expected)
    # The first term of the tail, and what the others add to it.
    first = times * log(expected) - expected - lgamma(times + 1)
    more, term, step = 0.0, 1.0, times
    while term > 1e-12:
        step += 1
        term *= expected / step
        more += term
    return min(MOST_UNLIKELY, max(0.0, -(first + log1p(more)) / log(10)))


def _below(times: int, expected: float) -> float:
    """The same where it is no surprise: one minus the probability of fewer."""
    fewer = sum(exp(k * log(expected) - expected - lgamma(k + 1)) for k in range(times))
    return max(0.0, -log(max(1.0 - fewer, 1e-300)) / log(10))
