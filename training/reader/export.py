"""Trained weights as ONNX: `python -m training.reader.export weights.pt model.onnx`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.reader import SIZE
from training import models
from training.loop import positive
from training.reader.calibrate import warmth
from training.reader.feed import COUNTRIES
from training.reader.net import ReaderNet
from training.reader.train import Recipe, restore
from training.weights import WeightsError

_AXES = {"pictures": {0: "n"}, "signs": {0: "n"}, "country": {0: "n"}}
_TRIES = ((1, 3, SIZE[1], SIZE[0]), (5, 3, SIZE[1], SIZE[0]))


def export(net: ReaderNet, recipe: Recipe, name: str, temperature: float, path: Path) -> None:
    """Write a network as ONNX, any number of plates at once, and try it.

    ``name`` is kept in it, and in every read made with it; ``temperature`` is what its logits are
    divided by before they are probabilities. Raises ExportDiffers.
    """
    told = {
        "name": name,
        "kind": "plate-reader",
        "temperature": f"{temperature:.4f}",
        "countries": json.dumps(COUNTRIES),
    }
    models.write(net, path, axes=_AXES, tries=_TRIES, recipe=recipe, told=told)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.reader.export", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("weights", type=Path, help="a .pt that training kept")
    parser.add_argument("model", type=Path, help="the .onnx to write")
    parser.add_argument("--name", help="of the weights, kept in every read; the file's otherwise")
    parser.add_argument(
        "--made", type=positive, default=2000, metavar="N", help="drawn plates to calibrate it on"
    )
    chosen = parser.parse_args(arguments)
    try:
        models.named(chosen.name or chosen.model.stem)
        net, recipe = restore(chosen.weights)
        temperature = warmth(net, chosen.made)
        export(net, recipe, chosen.name or chosen.model.stem, temperature, chosen.model)
    except (WeightsError, models.ExportDiffers) as error:
        print(error, file=sys.stderr)
        return 2
    size = chosen.model.stat().st_size / 1e6
    print(f"{chosen.model}: {size:.2f} MB, calibrated at a temperature of {temperature:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
