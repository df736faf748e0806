"""The reader's whole way at toy size: trained, calibrated, exported, measured; by the commands."""

import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

if not os.environ.get("CI"):
    pytest.importorskip("torch", reason="the extra `training` is not installed")

import torch
from rapidfuzz.distance import Levenshtein

from edge.models import ModelError
from edge.pipeline import plain
from edge.reader import PlateReader
from tests.training.toys import Nowhere, command
from training import weights
from training.models import ExportDiffers
from training.reader.export import export
from training.reader.measure import made
from training.reader.net import ReaderNet
from training.reader.train import TOY, Recipe, restore, train

TINY = Recipe(steps=2, batch=2, warm=1, widths=(4, 4, 4, 4), workers=0)


def alike(model: Path, count: int = 150) -> float:
    """How much of drawn plates' texts is read: 1 less the edits a sign."""
    reader, shares = PlateReader(1, model), []
    for one in made(count, TOY.hard):
        (reading,) = reader.recognise([reader.crops(one.image, detection(one.quad), 0)])
        shares.append(Levenshtein.normalized_similarity(plain(reading.text), one.plate))
    return float(np.mean(shares))


def detection(quad: np.ndarray):
    from edge.detect import Detection

    return Detection(quad, 1.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_toy_learns_in_minutes_what_nobody_knows_untrained(tmp_path: Path) -> None:
    command(tmp_path, "reader.train", "--toy", "--out", "toy.pt")
    told = command(
        tmp_path, "reader.export", "toy.pt", "toy.onnx", "--name", "toy-1", "--made", "300"
    )
    assert "calibrated at a temperature of" in told
    assert "temperature" in command(tmp_path, "reader.calibrate", "toy.onnx", "--made", "100")
    torch.manual_seed(1)
    export(ReaderNet(TOY.widths), TOY, "untrained", 1.0, tmp_path / "untrained.onnx")
    known, guessed = alike(tmp_path / "toy.onnx"), alike(tmp_path / "untrained.onnx")
    assert guessed < 0.1
    assert known > 0.4

    table = command(
        tmp_path, "reader.measure", "--model", "toy.onnx", "--tuning", "--alone", "--made", "20"
    )
    assert "toy-1" in table
    assert "calibration error" in table
    assert "the country is told right of" in table


def test_the_same_recipe_gives_the_same_weights() -> None:
    one, again = (train(TINY, [], Nowhere()).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_training_goes_on_from_a_model_as_from_the_weights_that_it_was_made_of(tmp_path) -> None:
    net = train(TINY, [], Nowhere())
    export(net, TINY, "some-1", 1.3, tmp_path / "some.onnx")
    again, known = restore(tmp_path / "some.onnx")
    assert known == TINY
    kept, found = net.state_dict(), again.state_dict()
    left = {name for name in kept if not torch.equal(kept[name], found[name])}
    assert all(name.endswith("num_batches_tracked") for name in left)


def test_a_model_says_what_the_network_says_at_its_temperature(tmp_path: Path) -> None:
    net = train(TINY, [], Nowhere())
    export(net, TINY, "some-1", 2.0, tmp_path / "some.onnx")
    reader = PlateReader(1, tmp_path / "some.onnx")
    assert reader.name == "some-1"
    plate = np.random.default_rng(1).integers(0, 255, (64, 192, 3), np.uint8)
    (said,) = reader.probabilities([plate])
    with torch.no_grad():
        logits, _ = net(torch.from_numpy(plate).permute(2, 0, 1)[None].float())
    meant = (logits / 2.0).softmax(2).numpy().reshape(said.shape)
    assert np.abs(said - meant).max() < 1e-3
    assert said.sum(axis=2) == pytest.approx(np.ones(said.shape[:2]), abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_model_with_an_impossible_temperature_is_refused(tmp_path, temperature: float) -> None:
    export(ReaderNet((4, 4, 4, 4)), TINY, "some-1", temperature, tmp_path / "some.onnx")
    with pytest.raises(ModelError, match=r"some\.onnx does not read plates as this version does"):
        PlateReader(1, tmp_path / "some.onnx")


@pytest.mark.parametrize("name", ["", "two words", "x" * 101])
def test_a_name_that_no_read_could_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportDiffers, match="no word of 100 signs"):
        export(ReaderNet((4, 4, 4, 4)), TINY, name, 1.0, tmp_path / "some.onnx")


def test_weights_that_tell_other_countries_are_refused(tmp_path: Path) -> None:
    elsewhere = replace(TINY, countries=("", "ATLANTIS", *TINY.countries[2:]))
    weights.keep(ReaderNet(TINY.widths), elsewhere, tmp_path / "other.pt")
    with pytest.raises(weights.WeightsError, match=r"other countries .*ATLANTIS"):
        restore(tmp_path / "other.pt")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights.keep(torch.nn.Linear(2, 2), TINY, tmp_path / "other.pt")
    with pytest.raises(weights.WeightsError, match="another network"):
        restore(tmp_path / "other.pt")
    assert asdict(TINY)["widths"] == (4, 4, 4, 4)
