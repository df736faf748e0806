"""Reading plates with a small network of our own, which has never seen anything but plates."""

import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.detect import Detection
from edge.geometry import Quad, rectified
from edge.models import ModelError, opened
from edge.reading import Reading, decoded, stacked
from edge.recognise import Crops

SIZE = (192, 64)
"""Pixels of width and height of a straightened plate."""
MARGIN = 0.06
"""Of the plate's height, left around it."""
SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What it can say."""
_BATCH = 16
_KIND = "plate-reader"


class PlateReader:
    """Reads plates with the network of `training/reader`, by ONNX Runtime on the CPU.

    ``model`` is a file that `training.reader.export` made; the project's own if None. Raises
    ModelError.
    """

    def __init__(self, threads: int = 2, model: Path | None = None) -> None:
        with as_file(files("edge") / "weights" / "plate-reader.onnx") as own:
            self._session = opened(model or own, threads, _KIND, "training.reader.export")
        told = self._session.get_modelmeta().custom_metadata_map
        self._name = told["name"]
        try:
            self._warmth = float(told["temperature"])
            self._countries: list[str] = json.loads(told["countries"])
            lengths = [output.shape[-1] for output in self._session.get_outputs()]
            if lengths != [1 + len(SIGNS), len(self._countries)] or not 0.1 < self._warmth < 10:
                raise ValueError(f"outputs of {lengths} at a temperature of {self._warmth}")
        except (KeyError, ValueError) as error:
            why = f"does not read plates as this version does ({error}); export it again"
            raise ModelError(f"{model or own} {why}") from error

    @property
    def name(self) -> str:
        """The weights' name, with their version."""
        return self._name

    def crops(self, image: np.ndarray, detection: Detection, margin: float) -> Crops:
        """The whole plate, straight; its margin is the one that the network was trained with."""
        return Crops(whole=rectified(image, detection.quad, MARGIN))

    def recognise(self, plates: Sequence[Crops]) -> list[Reading]:
        """See PlateRecogniser; nothing is read where the whole plate is not shown."""
        seen = iter(self.probabilities([one.whole for one in plates if one.whole is not None]))
        return [
            Reading("", 0.0, ())
            if one.whole is None
            else stacked([decoded(row, SIGNS) for row in next(seen)])
            for one in plates
        ]

    def probabilities(self, plates: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Of each plate, given as its crop: (2 rows, 48 columns, 37), no sign first."""
        found: list[np.ndarray] = []
        for start in range(0, len(plates), _BATCH):
            signs, _ = self._run(plates[start : start + _BATCH])
            warm = np.exp((signs - signs.max(axis=2, keepdims=True)) / self._warmth)
            warm /= warm.sum(axis=2, keepdims=True)
            found += list(warm.reshape(len(signs), 2, -1, signs.shape[2]))
        return found

    def countries(self, plates: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """The likeliest country of each plate, '' for one that it does not know; 0 to 1."""
        found: list[tuple[str, float]] = []
        for start in range(0, len(plates), _BATCH):
            _, countries = self._run(plates[start : start + _BATCH])
            likely = np.exp(countries - countries.max(axis=1, keepdims=True))
            likely /= likely.sum(axis=1, keepdims=True)
            found += [(self._countries[int(row.argmax())], float(row.max())) for row in likely]
        return found

    def _run(self, plates: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        batch = np.stack([fitted(plate) for plate in plates]).transpose(0, 3, 1, 2)
        output: Any = self._session.run(None, {"pictures": batch.astype(np.float32)})
        return output[0], output[1]


def straightened(image: np.ndarray, quad: Quad) -> np.ndarray:
    """A plate of a picture, by its corners, as the network gets it."""
    return fitted(rectified(image, quad, MARGIN))


def fitted(plate: np.ndarray) -> np.ndarray:
    """A straight plate at the network's size, whatever its shape."""
    how = cv2.INTER_AREA if plate.shape[1] > SIZE[0] else cv2.INTER_LINEAR
    return cv2.resize(plate, SIZE, interpolation=how)
