"""The loop that every network of this project is trained by."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training import runs

Example = TypeVar("Example")
SEEDS = 10_000
"""Below which a recipe's seed is; what is measured is drawn from far beyond."""
_AVERAGED = 1 / 22  # of all steps, over which weights are averaged
_STEEPEST = 10.0  # the gradient's norm beyond which it is shortened
_TOLD = 50  # steps between two lines of figures
_KEPT = 500  # steps between two weights that are kept


@dataclass(frozen=True, slots=True)
class Pace:
    """``steps`` of AdamW (Loshchilov and Hutter 2019), the rate rising to ``rate`` over ``warm``
    steps and then falling as a cosine does, its first momentum the other way round (Smith 2018);
    thick weights decay by ``decay``.
    """

    steps: int
    rate: float
    decay: float
    warm: int


def learn(
    net: nn.Module,
    pace: Pace,
    losses: Callable[[], Mapping[str, Tensor]],
    told: runs.Run,
    keep: Callable[[nn.Module, int], None] | None = None,
) -> nn.Module:
    """Train ``net`` on the sum of what ``losses`` gives for the next examples, step by step.

    Gives the averaged weights as a network of its own, ready to be used. Progress goes to
    standard error, figures to ``told``; ``keep`` gets the averaged weights now and then, and the
    steps that they took.
    """
    memory = 1 - 1 / max(2.0, _AVERAGED * pace.steps)
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(memory), use_buffers=True)
    optimiser = torch.optim.AdamW(_groups(net, pace.decay), lr=pace.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, pace.rate, total_steps=pace.steps, pct_start=min(0.3, pace.warm / pace.steps)
    )
    began = time.monotonic()
    sums: dict[str, float] = {}
    for step in range(1, pace.steps + 1):
        parts = losses()
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), _STEEPEST)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(net)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % _TOLD == 0 or step == pace.steps:
            over = (step - 1) % _TOLD + 1
            means = {name: value / over for name, value in sums.items()}
            told.figures(means, step)
            sums = {}
            left = (time.monotonic() - began) / step * (pace.steps - step)
            figures = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            line = f"step {step} of {pace.steps}: {figures}; {left / 60:.1f} min left"
            print(line, file=sys.stderr, flush=True)
        if keep is not None and step % _KEPT == 0:
            keep(averaged.module, step)
    return averaged.module.eval()


def batches(
    source: Callable[[int], Iterator[Example]], size: int, workers: int
) -> Iterator[list[Example]]:
    """Examples of ``source`` by ``size``, made by ``workers`` processes, in one order always.

    ``source`` is given the worker's number. Without workers the examples are made here. Workers
    are forked, so that they share what ``source`` holds: not in a process where other libraries
    (OpenCV, ONNX Runtime) have begun threads.
    """
    loader = DataLoader(
        _Stream(source),
        batch_size=size,
        num_workers=workers,
        collate_fn=list,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="fork" if workers else None,
    )
    return iter(loader)


def shorter() -> bool:
    """Whether this machine's CPU reckons in bfloat16 by itself."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def half_the_cores() -> int:
    """Threads for the network beside two workers: with all of them it waits for the workers."""
    return max(1, (os.cpu_count() or 1) // 2)


def positive(text: str) -> int:
    """A number of steps or threads on a command line."""
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is below 1")
    return number


def seed(text: str) -> int:
    """A recipe's seed on a command line: small, for those of what is measured are large."""
    number = int(text)
    if not 0 <= number < SEEDS:
        raise ValueError(f"{number} is not from 0 to {SEEDS - 1}")
    return number


def share(text: str) -> float:
    """A part of all on a command line, 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{number} is not from 0 to 1")
    return number


def rate(text: str) -> float:
    """A rate of learning on a command line."""
    number = float(text)
    if not 0 < number < 1:
        raise ValueError(f"{number} is not between 0 and 1")
    return number


class _Stream(IterableDataset[Any]):
    def __init__(self, source: Callable[[int], Iterator[Any]]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        cv2.setNumThreads(1)
        yield from self._source(worker.id if worker else 0)


def _groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weights decay; biases and norms do not."""
    thick = [p for p in net.parameters() if p.ndim > 1]
    thin = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": thick, "weight_decay": decay}, {"params": thin, "weight_decay": 0.0}]
