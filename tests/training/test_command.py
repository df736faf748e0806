"""What a command line that trains asks for."""

import os
from pathlib import Path

import pytest

if not os.environ.get("CI"):
    pytest.importorskip("torch", reason="the extra `training` is not installed")

from training import command, weights
from training.reader.net import ReaderNet
from training.reader.train import TOY, Recipe, restore

SMALL = Recipe(steps=500, widths=(4, 4, 4, 4), seed=9999, real=0.2)


def asked(*arguments: str) -> Recipe:
    chosen = command.parser("training.some", "doc").parse_args(["--out", "w.pt", *arguments])
    return command.recipe(chosen, Recipe(), TOY, restore)[0]


def test_what_is_not_said_is_as_the_recipe_has_it() -> None:
    assert asked() == Recipe()
    assert asked("--toy") == TOY
    assert asked("--steps", "7", "--seed", "3", "--rate", "0.1").steps == 7


def test_weights_that_are_gone_on_from_keep_their_recipe_but_steps_and_seed(tmp_path) -> None:
    weights.keep(ReaderNet(SMALL.widths), SMALL, tmp_path / "half.pt")
    found = asked("--from", str(tmp_path / "half.pt"))
    assert (found.widths, found.real) == (SMALL.widths, SMALL.real)
    assert (found.steps, found.seed) == (Recipe().steps, 0)
    assert len(found.after) == 16
    assert asked("--from", str(tmp_path / "half.pt"), "--steps", "9").steps == 9


def test_a_share_of_real_examples_wants_a_folder_of_them() -> None:
    assert asked("--real", "0.5", "--road", "frames").real == 0.5
    with pytest.raises(weights.WeightsError, match="name that folder too"):
        asked("--real", "0.5")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--real", "2"), ("--real", "nan"), ("--real", "-0.1"), ("--rate", "nan"), ("--rate", "0"),
        ("--rate", "inf"), ("--steps", "0"), ("--seed", "10000"), ("--from", "w.pt", "--toy"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong: tuple[str, ...], capsys) -> None:
    with pytest.raises(SystemExit):
        asked(*wrong, "--road", "frames")
    assert wrong[0] in capsys.readouterr().err


def test_weights_are_not_written_over_a_folder(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        asked("--out", str(tmp_path))
    assert "is a folder: name a file in it" in capsys.readouterr().err
