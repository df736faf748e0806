"""Training the reader: `python -m training.reader.train --out weights.pt`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.reader import SIGNS
from training import command, runs, weights
from training.detector.road import RoadData
from training.loop import Pace, batches, learn, shorter
from training.reader import road
from training.reader.feed import COUNTRIES, Crop, Seen, crops
from training.reader.net import COLUMNS, ReaderNet

_COUNTRY = 0.2  # of the loss


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what is learned: the same recipe gives the same weights on one machine."""

    seed: int = 1
    steps: int = 6000
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.02
    warm: int = 300
    real: float = 0.05
    """The share of examples that are of real frames, where there are any."""
    widths: tuple[int, int, int, int] = (20, 40, 64, 96)
    hard: float = 1.0
    """How hard examples are at last, 0 to 1: on hard ones alone small networks never begin."""
    gentle: int = 1500
    """The steps until then, where it begins with chance."""
    countries: tuple[str, ...] = COUNTRIES
    workers: int = 2
    brief: bool = field(default_factory=shorter)
    """Whether layers reckon in 16 bits (bfloat16): less than half the time where a CPU can."""
    after: str = ""
    """The first of the SHA-256 of the weights that it goes on from; '' begins with chance."""


TOY = Recipe(steps=1500, batch=32, rate=4e-3, warm=100, widths=(12, 20, 32, 48), hard=0.0)
"""So small that it is trained in minutes on two cores, and clearly better than nothing."""


def train(
    recipe: Recipe,
    real: Sequence[Seen],
    told: runs.Run,
    *,
    begun: ReaderNet | None = None,
    keep: Path | None = None,
) -> ReaderNet:
    """The network that the recipe makes of drawn plates and ``real``; its averaged weights.

    It goes on from ``begun``, if that is given. Every 500 steps the weights are kept in ``keep``.
    """
    torch.manual_seed(recipe.seed)
    net = (begun or ReaderNet(recipe.widths)).train().to(memory_format=torch.channels_last)
    gentle = 0 if begun else recipe.gentle * recipe.batch // max(1, recipe.workers)
    examples = batches(
        lambda worker: crops(
            recipe.seed * 64 + worker, real, recipe.real, hard=recipe.hard, gentle=gentle
        ),
        recipe.batch,
        recipe.workers,
    )

    pace = Pace(recipe.steps, recipe.rate, recipe.decay, recipe.warm)
    trained = learn(
        net,
        pace,
        lambda: losses(net, next(examples), recipe.brief),
        told,
        weights.keeper(recipe, keep),
    )
    assert isinstance(trained, ReaderNet)
    return trained


def losses(net: nn.Module, batch: Sequence[Crop], brief: bool = False) -> dict[str, Tensor]:
    """``signs``: how unlikely each row's text is, a plate's rows together, by CTC, by sign.
    ``country``: how unlikely its country is.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=brief):
        said, country = net(stacked(batch))
    rows = said.reshape(2 * len(batch), COLUMNS, -1).log_softmax(2).transpose(0, 1)
    texts = [line for one in batch for line in (*one.lines, "")[:2]]
    target = torch.tensor([SIGNS.index(sign) + 1 for text in texts for sign in text])
    lengths = torch.tensor([len(text) for text in texts])
    steps = torch.full_like(lengths, COLUMNS)
    unlikely = F.ctc_loss(rows, target, steps, lengths, reduction="none", zero_infinity=True)
    known = torch.tensor([one.country for one in batch])
    return {
        "signs": unlikely.sum() / max(1, len(target)),
        "country": _COUNTRY * F.cross_entropy(country, known),
    }


def stacked(batch: Sequence[Crop]) -> Tensor:
    """Crops as the network takes them (n, 3, 64, 192)."""
    pictures = torch.from_numpy(np.stack([one.image for one in batch]))
    return pictures.permute(0, 3, 1, 2).float()


def restore(path: Path) -> tuple[ReaderNet, Recipe]:
    """A network and the recipe that it came from, as training kept them. Raises WeightsError."""

    def known(**fields: Any) -> Recipe:
        recipe = Recipe(**fields)
        if recipe.countries != COUNTRIES:
            apart = ", ".join(sorted(set(recipe.countries) ^ set(COUNTRIES)))
            raise weights.WeightsError(
                f"{path} tells other countries than training/layouts.py has ({apart}): train it "
                "anew, or go back to the layouts that it was trained with"
            )
        return recipe

    return weights.restored(path, known, ReaderNet)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    chosen = command.parser("training.reader.train", __doc__).parse_args(arguments)
    cv2.setNumThreads(1)  # no thread of its own may be lost when the workers are forked
    try:
        recipe, begun = command.recipe(chosen, Recipe(), TOY, restore)
        real = road.to_learn_from(chosen.road) if chosen.road else []
    except (RoadData, weights.WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(chosen.threads)
    with runs.run("plate-reader", {**asdict(recipe), "plates": len(real)}) as told:
        net = train(recipe, real, told, begun=begun, keep=chosen.out)
        weights.keep(net, recipe, chosen.out)
        told.file(chosen.out)
    print(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
