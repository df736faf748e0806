"""Weights on disk, with the recipe that they came from."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)
R = TypeVar("R")


class WeightsError(ValueError):
    """A file holds no weights that can be used; says which, why, and what to do."""


def keep(net: nn.Module, recipe: Any, path: Path) -> None:
    """Write weights and recipe, a dataclass; what was there stays whole until they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    torch.save({"recipe": json.dumps(asdict(recipe)), "weights": net.state_dict()}, beside)
    os.replace(beside, path)


def keeper(recipe: Any, path: Path | None) -> Callable[[nn.Module, int], None] | None:
    """Keeps weights on the way, with the steps that they took in their recipe."""
    if path is None:
        return None
    return lambda net, step: keep(net, replace(recipe, steps=step), path)


def restored(path: Path, recipe: Callable[..., R], net: Callable[[Any], N]) -> tuple[N, R]:
    """The network of a file, ready to be used, and its recipe; nothing in the file is run.

    ``recipe`` makes one of its fields, ``net`` a network of its widths. Raises WeightsError.
    """
    cure = "give a .pt that this network's training kept, or an .onnx that was made of one"
    try:
        known, weights = _of_onnx(path) if path.suffix == ".onnx" else _of_torch(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file; {cure}") from error
    except Exception as error:  # whatever a file that is something else makes PyTorch say
        raise WeightsError(f"{path} holds no weights ({type(error).__name__}); {cure}") from error
    try:
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
        made, fresh = recipe(**known), net(known["widths"])
        fresh.load_state_dict({**_counts(fresh), **weights})
    except WeightsError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} holds the weights of another network; {cure}") from error
    return fresh.eval(), made


def _of_torch(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    found = torch.load(path, weights_only=True)
    return json.loads(found["recipe"]), found["weights"]


def _of_onnx(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What export put into a model: its layers are as they were trained, under their names."""
    model = onnx.load(str(path))
    recipe = {each.key: each.value for each in model.metadata_props}["recipe"]
    held = {each.name: numpy_helper.to_array(each).copy() for each in model.graph.initializer}
    for node in model.graph.node:  # equal ones are written once
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    return json.loads(recipe), {name: torch.from_numpy(value) for name, value in held.items()}


def _counts(net: nn.Module) -> dict[str, Tensor]:
    """The steps that norms have counted, which ONNX has no place for."""
    return {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
