"""What the commands that train have in common."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from training.loop import SEEDS, half_the_cores, positive, rate, seed, share, shorter
from training.weights import WeightsError

N = TypeVar("N", bound=nn.Module)
_GIVEN = ("steps", "seed", "real", "rate")


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """The command line of a module that trains."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=doc, allow_abbrev=False)
    made.add_argument("--out", type=_file, required=True, metavar="FILE", help="the weights, .pt")
    told = "frames with boxes to learn from as well"
    made.add_argument("--road", type=Path, metavar="FOLDER", help=told)
    begin = made.add_mutually_exclusive_group()
    begin.add_argument("--toy", action="store_true", help="a small network, for minutes")
    told = "weights to go on from, or a model"
    begin.add_argument("--from", dest="begin", type=Path, metavar="FILE", help=told)
    made.add_argument("--steps", type=positive, metavar="N")
    made.add_argument("--seed", type=seed, metavar="N", help="0 to 9999")
    made.add_argument("--real", type=share, metavar="SHARE", help="of the examples, from --road")
    made.add_argument("--rate", type=rate, metavar="RATE", help="of learning, at its highest")
    made.add_argument("--threads", type=positive, default=half_the_cores(), metavar="N")
    return made


def recipe(
    chosen: argparse.Namespace,
    plain: Any,
    toy: Any,
    restore: Callable[[Path], tuple[N, Any]],
) -> tuple[Any, N | None]:
    """The recipe that a command line asks for, and the network that it goes on from, if any.

    Of weights that it goes on from, all but the number of steps and the seed is as it was.
    Raises WeightsError.
    """
    if chosen.real is not None and chosen.road is None:
        raise WeightsError("--real is the share of --road's examples: name that folder too")
    made, begun = toy if chosen.toy else plain, None
    if chosen.begin is not None:
        begun, before = restore(chosen.begin)
        after = sha256(chosen.begin.read_bytes()).hexdigest()[:16]
        seeded = (before.seed + 1) % SEEDS
        made = replace(before, after=after, seed=seeded, steps=plain.steps, brief=shorter())
    given = {name: getattr(chosen, name) for name in _GIVEN}
    return replace(made, **{k: v for k, v in given.items() if v is not None}), begun


def _file(text: str) -> Path:
    if Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file in it")
    return Path(text)
