"""The default detector: the quick network, and for still pictures the slow way besides."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from edge.detect import Detection, Look, PlateDetector, TextPlateDetector
from edge.geometry import Region, share

_SURE = 0.7  # score from which there is no doubt: 96 % of the plates that training left out have it
_SAME = 0.7  # share of the smaller in the larger, from which both mean one plate


class CarefulDetector:
    """A quick detector, and text-first too where a still picture shows it no plate for sure.

    A video shows a plate many times, a photograph once: there the half second is well spent.
    """

    def __init__(self, quick: PlateDetector, threads: int = 2) -> None:
        self._quick, self._threads = quick, threads

    @cached_property
    def _slow(self) -> TextPlateDetector:
        return TextPlateDetector(self._threads)

    @property
    def name(self) -> str:
        """The quick one's, and that it is not alone."""
        return f"{self._quick.name}+text-first"

    def still(self, image: np.ndarray, region: Region) -> list[Detection]:
        """See PlateDetector."""
        found = self._quick.still(image, region)
        if any(one.score >= _SURE for one in found):
            return found
        more = self._slow.still(image, region)
        return more + [
            one for one in found if all(share(other.box, one.box) < _SAME for other in more)
        ]

    def detect(self, image: np.ndarray, looks: Sequence[Look] | None = None) -> list[Detection]:
        """See PlateDetector; the quick one's."""
        return self._quick.detect(image, looks)
