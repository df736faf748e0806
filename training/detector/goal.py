"""What the network is to say of a picture, and how far from it it is."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from training.detector.net import STRIDES, cells

_WIDTHS = ((0.0, 84.0), (60.0, 190.0), (140.0, 1e9))
"""Pixels of a plate's width that each level answers for; they overlap."""
_CORE = 0.3  # of a plate's width and height from its middle, in which cells answer for it
_LEAST = 0.75  # strides from its middle, in which they do whatever its size
_AROUND = (0.65, 0.8)  # of width and height from the middle, where other cells may say anything
_OTHERS = 1.3  # times beyond a level's widths, from which its cells in a plate's core say none
_FLOOR = 0.2  # the score that a cell is to give at the least, while its corners are bad
_EASY = 2.0  # the power by which what is none counts less, the surer of it the network is


def loss(
    said: Tensor, plates: Sequence[tuple[Tensor, Tensor, Tensor]], size: tuple[int, int]
) -> dict[str, Tensor]:
    """The parts of the loss of a batch: ``score``, ``box`` and ``corner``, scalars.

    ``said`` is PlateNet's answer, ``plates`` the truth of each picture, ``size`` their width and
    height.
    The score's target is the overlap of the corners' box (Zhang et al. 2021, arXiv:2008.13367);
    boxes count by GIoU (Rezatofighi et al. 2019), corners by their distance in plate's sides.
    """
    sizes = [(size[1] // stride, size[0] // stride) for stride in STRIDES]
    points, strides = cells(sizes)
    target = torch.zeros(said.shape[:2])
    weight = torch.ones(said.shape[:2])
    pictures: list[Tensor] = []
    chosen: list[Tensor] = []
    truths: list[Tensor] = []
    sure: list[Tensor] = []
    for number, (corners, exact, doubtful) in enumerate(plates):
        for quads in (corners, doubtful):
            if len(quads):
                a, b, (width, _) = _places(points, quads)
                near = (a.abs() < _AROUND[0]) & (b.abs() < _AROUND[1])
                core = (a.abs() < _CORE) & (b.abs() < _CORE) & _others(strides, width)
                weight[number, (near & ~core).any(0)] = 0.0
        if len(corners):
            cell, plate = _answering(points, strides, corners)
            pictures.append(torch.full_like(cell, number))
            chosen.append(cell)
            truths.append(corners[plate])
            sure.append(exact[plate])
    zero = said.sum() * 0.0
    parts = {"box": zero, "corner": zero}
    count = 1
    if chosen:
        at = torch.cat(pictures), torch.cat(chosen)
        truth, exact = torch.cat(truths), torch.cat(sure)
        found = said[at[0], at[1], 1:].view(-1, 4, 2)
        count = max(1, len(truth))
        overlap, apart = _overlaps(found, truth)
        parts["box"] = (1 - overlap + apart).sum() / count
        if exact.any():
            parts["corner"] = _astray(found[exact], truth[exact]).sum() / max(1, int(exact.sum()))
        target[at] = overlap.detach().clamp(_FLOOR, 1.0)
        weight[at] = 1.0
    logits = said[..., 0]
    none = target == 0
    weight = torch.where(none, weight * 0.75 * logits.detach().sigmoid() ** _EASY, weight)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    parts["score"] = (each * weight).sum() / count
    return parts


def _axes(quads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Plates' middles, and the vectors along their widths and heights; each (n, 2)."""
    across = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    down = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    return quads.mean(1), across, down


def _within(offsets: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets in units of two vectors that broadcast with them."""
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    a = (offsets[..., 0] * down[..., 1] - offsets[..., 1] * down[..., 0]) / area
    b = (across[..., 0] * offsets[..., 1] - across[..., 1] * offsets[..., 0]) / area
    return a, b


def _places(points: Tensor, quads: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Where points lie in plates, in widths and heights from the middle (plates, points)."""
    middle, across, down = _axes(quads)
    a, b = _within(points[None] - middle[:, None], across[:, None], down[:, None])
    return a, b, (across.norm(dim=1), down.norm(dim=1))


def _answering(points: Tensor, strides: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """The cells that answer for plates: their numbers and their plates'."""
    a, b, (width, height) = _places(points, corners)
    low, high = _limits(strides)
    mine = (width[:, None] >= low) & (width[:, None] < high)
    least = _LEAST * strides
    core = (a.abs() * width[:, None] <= torch.maximum(_CORE * width[:, None], least)) & (
        b.abs() * height[:, None] <= torch.maximum(_CORE * height[:, None], least)
    )
    far = torch.where(mine & core, a.abs() + b.abs(), torch.inf)
    nearest, plate = far.min(0)
    cell = torch.nonzero(torch.isfinite(nearest)).squeeze(1)
    return cell, plate[cell]


def _limits(strides: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest width that each cell's level answers for; each (cells,)."""
    level = (strides.log2() - 3).long()
    low, high = (torch.tensor([limits[side] for limits in _WIDTHS]) for side in (0, 1))
    return low[level], high[level]


def _others(strides: Tensor, width: Tensor) -> Tensor:
    """Whether plates are clearly other levels' (plates, cells)."""
    low, high = _limits(strides)
    return (width[:, None] < low / _OTHERS) | (width[:, None] > high * _OTHERS)


def _overlaps(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU of the upright boxes of corners (n, 4, 2), and what GIoU takes off it."""
    low, high = found.amin(1), found.amax(1)
    true_low, true_high = truth.amin(1), truth.amax(1)
    common = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(1)
    union = (high - low).prod(1) + (true_high - true_low).prod(1) - common
    around = (torch.maximum(high, true_high) - torch.minimum(low, true_low)).prod(1)
    return common / union.clamp(min=1e-6), (around - union) / around.clamp(min=1e-6)


def _astray(found: Tensor, truth: Tensor) -> Tensor:
    """How far corners are from the truth, in the plate's widths and heights (n,)."""
    _, across, down = _axes(truth)
    a, b = _within(found - truth, across[:, None], down[:, None])
    both = torch.stack((a, b))
    return F.smooth_l1_loss(both, torch.zeros_like(both), beta=0.05, reduction="none").sum((0, 2))
