"""The whole way at toy size: trained, exported, measured, remembered; by the commands."""

import os
from pathlib import Path

import pytest

if not os.environ.get("CI"):
    pytest.importorskip("torch", reason="the extra `training` is not installed")

import torch

from edge.corners import CornerDetector
from tests.training.toys import Nowhere, command
from training import weights
from training.detector.export import export
from training.detector.measure import find, made
from training.detector.net import PlateNet
from training.detector.train import TOY, Recipe, restore, train
from training.reader import train as reader
from training.reader.net import ReaderNet


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_toy_learns_in_minutes_what_nobody_knows_untrained(tmp_path: Path) -> None:
    command(tmp_path, "detector.train", "--toy", "--out", "toy.pt")
    command(tmp_path, "detector.export", "toy.pt", "toy.onnx", "--name", "toy-1")
    torch.manual_seed(1)
    export(PlateNet(TOY.widths), TOY, "untrained", tmp_path / "untrained.onnx")

    trained = CornerDetector(1, tmp_path / "toy.onnx", minimum=0.05)
    assert trained.name == "toy-1"
    known, guessed = (
        find(detector, made(80))
        for detector in (trained, CornerDetector(1, tmp_path / "untrained.onnx", minimum=0.005))
    )
    assert guessed.precision < 0.005
    assert known.precision > max(0.04, 10 * guessed.precision)

    table = command(
        tmp_path, "detector.measure", "--model", "toy.onnx", "--tuning", "--alone", "--made", "20",
    )  # fmt: skip
    assert "toy-1" in table
    assert "mAP50" in table
    kept = remembered(tmp_path / "training-runs.db")
    assert kept[0]["params.steps"] == str(TOY.steps)
    assert kept[0]["metrics.box"] < 2
    assert 0 <= kept[1]["metrics.made_scenes_recall"] <= 1


def remembered(database: Path) -> list[dict]:
    """The runs that MLflow knows of, oldest first."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{database}")
    found = mlflow.search_runs(experiment_names=["plate-detector"], order_by=["start_time ASC"])
    return found.to_dict("records")


def test_the_same_recipe_gives_the_same_weights() -> None:
    recipe = Recipe(steps=2, batch=2, warm=1, widths=(8, 8, 8, 8, 8), real=0, workers=0)
    one, again = (train(recipe, [], Nowhere()).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    other = train(Recipe(**{**vars_of(recipe), "seed": 2}), [], Nowhere()).state_dict()
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_kept_is_what_was_trained_and_training_goes_on_from_it(tmp_path: Path) -> None:
    recipe = Recipe(steps=2, batch=2, warm=1, widths=(8, 8, 8, 8, 8), real=0, workers=0)
    net = train(recipe, [], Nowhere())
    weights.keep(net, recipe, tmp_path / "kept.pt")
    again, known = restore(tmp_path / "kept.pt")
    assert known == recipe
    pictures = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        assert torch.allclose(net(pictures), again(pictures), atol=1e-3)
    further = train(recipe, [], Nowhere(), begun=again)
    assert not torch.equal(
        further.state_dict()["heads.0.weight"], net.state_dict()["heads.0.weight"]
    )


def test_training_goes_on_from_a_model_as_from_the_weights_that_it_was_made_of(tmp_path) -> None:
    recipe = Recipe(steps=2, batch=2, warm=1, widths=(8, 8, 8, 8, 8), real=0, workers=0)
    net = train(recipe, [], Nowhere())
    export(net, recipe, "some-1", tmp_path / "some.onnx")
    again, known = restore(tmp_path / "some.onnx")
    assert known == recipe
    kept, found = net.state_dict(), again.state_dict()
    left = {name for name in kept if not torch.equal(kept[name], found[name])}
    assert all(name.endswith("num_batches_tracked") for name in left)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "there is no such file"), (b"no weights", "holds no weights"), ("reader", "another")],
)
def test_what_holds_no_such_weights_is_refused_with_the_cure(
    tmp_path: Path, content: bytes | str | None, told: str
) -> None:
    path = tmp_path / "some.pt"
    if content == "reader":
        weights.keep(ReaderNet((4, 4, 4, 4)), reader.Recipe(widths=(4, 4, 4, 4)), path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(weights.WeightsError, match=told) as raised:
        restore(path)
    assert "some.pt" in str(raised.value)
    assert "give a .pt" in str(raised.value)


def vars_of(recipe: Recipe) -> dict:
    from dataclasses import asdict

    return asdict(recipe)
