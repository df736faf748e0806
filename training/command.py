"""What the commands that train have in common."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from training.loop import half_the_cores, positive, seed, shorter

N = TypeVar("N", bound=nn.Module)
_GIVEN = ("steps", "seed", "real", "rate")


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """The command line of a module that trains."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=doc, allow_abbrev=False)
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the weights, .pt")
    told = "frames with boxes to learn from as well"
    made.add_argument("--road", type=Path, metavar="FOLDER", help=told)
    begin = made.add_mutually_exclusive_group()
    begin.add_argument("--toy", action="store_true", help="a small network, for minutes")
    told = "weights to go on from, or a model"
    begin.add_argument("--from", dest="begin", type=Path, metavar="FILE", help=told)
    made.add_argument("--steps", type=positive, metavar="N")
    made.add_argument("--seed", type=seed, metavar="N", help="0 to 9999")
    made.add_argument("--real", type=float, metavar="SHARE", help="of the examples, from --road")
    made.add_argument("--rate", type=float, metavar="RATE", help="of learning, at its highest")
    made.add_argument("--threads", type=positive, default=half_the_cores(), metavar="N")
    return made


def recipe(
    chosen: argparse.Namespace,
    plain: Any,
    toy: Any,
    restore: Callable[[Path], tuple[N, Any]],
) -> tuple[Any, N | None]:
    """The recipe that a command line asks for, and the network that it goes on from, if any.

    Raises WeightsError.
    """
    made, begun = toy if chosen.toy else plain, None
    if chosen.begin is not None:
        begun, before = restore(chosen.begin)
        after = sha256(chosen.begin.read_bytes()).hexdigest()[:16]
        made = replace(before, after=after, seed=before.seed + 1, brief=shorter())
    given = {name: getattr(chosen, name) for name in _GIVEN}
    made = replace(made, **{name: value for name, value in given.items() if value is not None})
    return made if chosen.road else replace(made, real=0.0), begun
