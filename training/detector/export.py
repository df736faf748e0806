"""Trained weights as ONNX: `python -m training.detector.export weights.pt model.onnx`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training import models
from training.detector.net import PlateNet
from training.detector.train import Recipe, restore
from training.weights import WeightsError

_AXES = {"pictures": {0: "n", 2: "height", 3: "width"}, "plates": {0: "n", 1: "cells"}}
_TRIES = ((1, 3, 320, 416), (1, 3, 384, 640), (3, 3, 96, 224))


def export(net: PlateNet, recipe: Recipe, name: str, path: Path) -> None:
    """Write a network as ONNX, any number of pictures of any sides in 32s, and try it.

    ``name`` is kept in it, and in every read made with it. Raises ExportDiffers.
    """
    told = {"name": name, "kind": "plate-corners"}
    models.write(net, path, axes=_AXES, tries=_TRIES, recipe=recipe, told=told)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.detector.export", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("weights", type=Path, help="a .pt that training kept")
    parser.add_argument("model", type=Path, help="the .onnx to write")
    parser.add_argument("--name", help="of the weights, kept in every read; the file's otherwise")
    chosen = parser.parse_args(arguments)
    try:
        net, recipe = restore(chosen.weights)
        export(net, recipe, chosen.name or chosen.model.stem, chosen.model)
    except (WeightsError, models.ExportDiffers) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.model}: {chosen.model.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
