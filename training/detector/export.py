"""Trained weights as ONNX: `python -m training.detector.export weights.pt model.onnx`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from training.detector.net import PlateNet
from training.detector.train import Recipe, restore
from training.weights import WeightsError

_FURTHEST = 0.05  # pixels, or units of the logit, by which ONNX Runtime may differ from PyTorch
_OPSET = 17  # understood by ONNX Runtime from 1.14 and by TensorRT from 8.6


class ExportDiffers(ValueError):
    """What was exported does not say what the network says, or cannot be named so."""


def export(net: PlateNet, recipe: Recipe, name: str, path: Path) -> None:
    """Write a network as ONNX, any number of pictures of any sides in 32s, and try it.

    ``name`` is kept in it, and in every read made with it. Its layers stay as they were trained,
    and the recipe with them, so that training can go on from the file. Raises ExportDiffers.
    """
    if not name or any(sign.isspace() for sign in name):
        raise ExportDiffers(f"the name {name!r} is empty or has spaces; give one without")
    net = net.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.onnx")
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, 320, 416),),
        str(beside),
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,  # runtimes join norms to layers by themselves
        do_constant_folding=False,
        opset_version=_OPSET,
        input_names=["pictures"],
        output_names=["plates"],
        dynamic_axes={
            "pictures": {0: "n", 2: "height", 3: "width"},
            "plates": {0: "n", 1: "cells"},
        },
    )
    model = onnx.load(str(beside))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 9  # tracing forgets it
    told = {"name": name, "kind": "plate-corners", "recipe": json.dumps(asdict(recipe))}
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(beside))
    try:
        _try(net, beside)
    except ExportDiffers:
        beside.unlink()
        raise
    beside.replace(path)


def _try(net: PlateNet, path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for shape in ((1, 3, 384, 640), (3, 3, 96, 224)):
        pictures = rng.uniform(0, 255, shape).astype(np.float32)
        (said,) = session.run(None, {"pictures": pictures})
        with torch.no_grad():
            meant = net(torch.from_numpy(pictures)).numpy()
        apart = float(np.abs(np.asarray(said) - meant).max())
        if not apart <= _FURTHEST:
            raise ExportDiffers(
                f"{path}: on pictures of {shape} ONNX Runtime differs from PyTorch by {apart:.3g}"
            )


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
    except (WeightsError, ExportDiffers) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{chosen.model}: {chosen.model.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
