"""Training the detector: `python -m training.detector.train --out weights.pt`."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training import command, runs, weights
from training.detector import road
from training.detector.feed import SIZE, Example, Feed
from training.detector.goal import loss
from training.detector.net import PlateNet
from training.detector.road import RoadFrame
from training.loop import Pace, batches, learn, shorter

_PARTS = {"score": 1.0, "box": 2.0, "corner": 0.5}  # of the loss


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is learned: the same recipe gives the same weights on one machine."""

    seed: int = 1
    steps: int = 6000
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.02
    warm: int = 300
    real: float = 0.5
    """The share of examples that are of real frames, where there are any."""
    widths: tuple[int, int, int, int, int] = (16, 32, 48, 96, 128)
    workers: int = 2
    brief: bool = field(default_factory=shorter)
    """Whether layers reckon in 16 bits (bfloat16): less than half the time where a CPU can."""
    after: str = ""
    """The first of the SHA-256 of the weights that it goes on from; '' begins with chance."""


TOY = Recipe(steps=1000, batch=8, rate=4e-3, warm=100, widths=(8, 16, 24, 48, 64))
"""So small that it is trained in minutes on two cores, and clearly better than nothing."""


def train(
    recipe: Recipe,
    frames: Sequence[RoadFrame],
    told: runs.Run,
    *,
    begun: PlateNet | None = None,
    keep: Path | None = None,
) -> PlateNet:
    """The network that the recipe makes of made scenes and ``frames``; its averaged weights.

    It goes on from ``begun``, if that is given. Every 500 steps the weights are kept in ``keep``.
    """
    torch.manual_seed(recipe.seed)
    net = (begun or PlateNet(recipe.widths)).train().to(memory_format=torch.channels_last)

    streets = road.without_plates(frames)  # once, before the workers are forked

    def source(worker: int) -> Iterator[Example]:
        return iter(Feed(recipe.seed * 64 + worker, frames, recipe.real, streets))

    examples = batches(source, recipe.batch, recipe.workers)

    def losses() -> dict[str, Tensor]:
        batch = next(examples)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.brief):
            said = net(_pictures(batch))
        parts = loss(said, [_truth(example) for example in batch], SIZE)
        return {name: weight * parts[name] for name, weight in _PARTS.items()}

    pace = Pace(recipe.steps, recipe.rate, recipe.decay, recipe.warm)
    trained = learn(net, pace, losses, told, weights.keeper(recipe, keep))
    assert isinstance(trained, PlateNet)
    return trained


def restore(path: Path) -> tuple[PlateNet, Recipe]:
    """A network and the recipe that it came from, as training kept them. Raises WeightsError."""
    return weights.restored(path, Recipe, PlateNet)


def _pictures(examples: Sequence[Example]) -> Tensor:
    stacked = torch.from_numpy(np.stack([example.image for example in examples]))
    return stacked.permute(0, 3, 1, 2).float()


def _truth(example: Example) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(example.corners),
        torch.from_numpy(example.exact),
        torch.from_numpy(example.doubtful),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    chosen = command.parser("training.detector.train", __doc__).parse_args(arguments)
    cv2.setNumThreads(1)  # no thread of its own may be lost when the workers are forked
    try:
        recipe, begun = command.recipe(chosen, Recipe(), TOY, restore)
        frames = road.to_learn_from(chosen.road) if chosen.road else []
    except (road.RoadData, weights.WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(chosen.threads)
    with runs.run("plate-detector", {**asdict(recipe), "frames": len(frames)}) as told:
        net = train(recipe, frames, told, begun=begun, keep=chosen.out)
        weights.keep(net, recipe, chosen.out)
        told.file(chosen.out)
    print(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
