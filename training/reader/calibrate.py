"""How sure the reader may say it is: `python -m training.reader.calibrate weights.pt`.

A network's logits are divided by one number, its temperature, so that of all signs told with 90 %
nine in ten are right (Guo et al. 2017, arXiv:1706.04599).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from edge.reader import SIGNS
from training.loop import positive
from training.reader.feed import Crop, crop
from training.reader.net import COLUMNS, ReaderNet
from training.reader.train import restore, stacked
from training.weights import WeightsError

HELD_OUT = 1 << 50
"""The seed of the first plate that a reader is calibrated and measured on, beyond any training."""
_BINS = 15
_LEAST, _MOST = 0.3, 5.0  # temperatures


@dataclass(frozen=True, slots=True)
class Told:
    """Signs that were read: ``logits`` (signs, 37) of each one's surest column, and whether it is
    ``right`` (signs,) where it stands.
    """

    logits: np.ndarray
    right: np.ndarray

    def sure(self, temperature: float) -> np.ndarray:
        """How sure of each sign, 0 to 1."""
        warm = self.logits / temperature
        warm = np.exp(warm - warm.max(axis=1, keepdims=True))
        return warm.max(axis=1) / warm.sum(axis=1)


def drawn(count: int, first: int = HELD_OUT) -> Iterator[Crop]:
    """Drawn plates that no training has seen."""
    return (crop(seed) for seed in range(first, first + count))


def warmth(net: ReaderNet, count: int) -> float:
    """The temperature at which what the network says of ``count`` drawn plates is likeliest."""
    return likeliest(signs_told(net, drawn(count)))


def likeliest(told: Told) -> float:
    """The temperature at which what is right and wrong is likeliest; 1 if nothing is told."""
    if not len(told.right):
        return 1.0
    best = min(
        np.exp(np.linspace(np.log(_LEAST), np.log(_MOST), 200)),
        key=lambda temperature: _unlikely(told.sure(temperature), told.right),
    )
    return float(best)


def error(sure: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error, 0 to 1: how far certainty is from being right, over bins of
    equal width, by how many signs each has.
    """
    if not len(sure):
        return 0.0
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    sums = np.bincount(bins, sure, _BINS), np.bincount(bins, right.astype(float), _BINS)
    return float(np.abs(sums[0] - sums[1]).sum() / counts.sum())


def rights(read: str, true: str) -> list[bool]:
    """Which signs of a reading are those of the truth, where they stand."""
    right = [False] * len(read)
    for block in Levenshtein.opcodes(read, true):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return right


def signs_told(net: ReaderNet, plates: Iterator[Crop], batch: int = 64) -> Told:
    """What a network says of drawn plates, sign by sign."""
    logits: list[np.ndarray] = []
    right: list[bool] = []
    while some := list(islice(plates, batch)):
        with torch.no_grad():
            said, _ = net(stacked(some))
        for one, rows in zip(some, said.numpy().reshape(len(some), 2, COLUMNS, -1), strict=True):
            steps = [row[_steps(row)] for row in rows]
            read = "".join(SIGNS[sign - 1] for row in steps for sign in row.argmax(axis=1))
            logits += steps
            right += rights(read, "".join(one.lines))
    nothing = np.zeros((0, 1 + len(SIGNS)), np.float32)
    return Told(np.concatenate([nothing, *logits]), np.array(right, bool))


def _steps(row: np.ndarray) -> list[int]:
    """The columns that say a sign, of each run of equal ones the surest."""
    best = row.argmax(axis=1)
    row = row - np.logaddexp.reduce(row, axis=1, keepdims=True)
    steps: list[int] = []
    for step, sign in enumerate(best):
        if sign and step and best[step - 1] == sign:
            steps[-1] = max(steps[-1], step, key=lambda place: float(row[place, best[place]]))
        elif sign:
            steps.append(step)
    return steps


def _unlikely(sure: np.ndarray, right: np.ndarray) -> float:
    chance = np.where(right, sure, 1 - sure)
    return float(-np.log(np.clip(chance, 1e-6, 1)).mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.reader.calibrate", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("weights", type=Path, help="a .pt that training kept, or an .onnx")
    parser.add_argument("--made", type=positive, default=2000, metavar="N", help="drawn plates")
    chosen = parser.parse_args(arguments)
    try:
        net, _ = restore(chosen.weights)
    except WeightsError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    temperature = likeliest(signs_told(net, drawn(chosen.made)))
    others = signs_told(net, drawn(chosen.made, HELD_OUT + chosen.made))
    before, after = (error(others.sure(one), others.right) for one in (1.0, temperature))
    print(f"temperature {temperature:.3f}: error {after:.4f} of as many others, {before:.4f} at 1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
