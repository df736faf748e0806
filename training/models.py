"""Networks as ONNX: written so that runtimes run them and training can go on from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from edge.models import NAME, is_name

_FURTHEST = 0.05  # pixels, or units of a logit, by which ONNX Runtime may differ from PyTorch
_OPSET = 17  # understood by ONNX Runtime from 1.14 and by TensorRT from 8.6
_INPUT = "pictures"


class ExportDiffers(ValueError):
    """What was exported does not say what the network says, or cannot be named so."""


def write(
    net: nn.Module,
    path: Path,
    *,
    axes: Mapping[str, Mapping[int, str]],
    tries: Sequence[tuple[int, ...]],
    recipe: Any,
    told: Mapping[str, str],
) -> None:
    """Write a network whose input is ``pictures``, and try it. Raises ExportDiffers.

    ``axes`` name what may have any length, of the input and of each output in its order;
    ``tries`` are shapes of pictures, the first of which is traced. ``told`` is kept in the file,
    ``name`` and ``kind`` in it, and ``recipe``; layers stay as they were trained, so that training
    can go on from it.
    """
    named(told["name"])
    net = net.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.onnx")
    torch.onnx.export(
        net,
        (torch.zeros(tries[0]),),
        str(beside),
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,  # runtimes join norms to layers by themselves
        do_constant_folding=False,
        opset_version=_OPSET,
        input_names=[_INPUT],
        output_names=[name for name in axes if name != _INPUT],
        dynamic_axes={name: dict(lengths) for name, lengths in axes.items()},
    )
    model = onnx.load(str(beside))
    said = _said(net, tries[0])
    for output, value in zip(model.graph.output, said, strict=True):
        for place, length in enumerate(value.shape):  # tracing forgets some
            if place not in axes[output.name]:
                output.type.tensor_type.shape.dim[place].dim_value = length
    onnx.helper.set_model_props(model, {**told, "recipe": json.dumps(asdict(recipe))})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(beside))
    try:
        _try(net, beside, tries)
    except ExportDiffers:
        beside.unlink()
        raise
    beside.replace(path)


def named(name: str) -> None:
    """Raises ExportDiffers where a model cannot have this name."""
    if not is_name(name):
        raise ExportDiffers(f"the name {name[:120]!r} is no word of {NAME} signs at most; give one")


def _try(net: nn.Module, path: Path, tries: Sequence[tuple[int, ...]]) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for shape in tries:
        said = session.run(None, {_INPUT: _noise(shape)})
        apart = max(
            float(np.abs(np.asarray(one) - other).max())
            for one, other in zip(said, _said(net, shape), strict=True)
        )
        if not apart <= _FURTHEST:
            raise ExportDiffers(
                f"{path}: on pictures of {shape} ONNX Runtime differs from PyTorch by {apart:.3g}"
            )


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def _said(net: nn.Module, shape: tuple[int, ...]) -> list[np.ndarray]:
    with torch.no_grad():
        said = net(torch.from_numpy(_noise(shape)))
    return [one.numpy() for one in (said if isinstance(said, tuple) else (said,))]
