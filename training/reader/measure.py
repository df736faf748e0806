"""How good a reader is: `python -m training.reader.measure`, beside PP-OCR and voting with it."""

import argparse
import csv
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from edge.detect import Detection
from edge.models import ModelError
from edge.pipeline import plain
from edge.reader import PlateReader
from edge.recognise import PlateRecogniser, TextRecogniser
from edge.throttle import ReadingSettings
from edge.voting import VotingRecogniser
from training import runs
from training.detector.measure import ALIKE, DATA, photographed
from training.detector.road import RoadData
from training.loop import positive
from training.reader import road
from training.reader.calibrate import HELD_OUT, error, rights
from training.reader.feed import COUNTRIES, seen

_MARGIN = ReadingSettings().margin
_FIRST = HELD_OUT << 1  # of the plates that are measured; calibration has those before
_WIDTHS = (0, 70, 110, 160, 1 << 20)  # pixels of a plate's width between which it is told apart


@dataclass(frozen=True, slots=True)
class Shown:
    """A plate in a picture, by its corners, and what it says; its country's or state's name.

    ``literal`` tells whether the truth knows O from 0 and I from 1.
    """

    image: np.ndarray
    quad: np.ndarray
    plate: str
    place: str
    literal: bool = False

    @property
    def width(self) -> float:
        """Pixels."""
        return float(np.linalg.norm(self.quad[1] - self.quad[0]))


@dataclass(frozen=True, slots=True)
class Reads:
    """How a reader did: the shares of plates read right, with O for 0 and I for 1 counted as
    right; literally; and with no more than one sign wrong, missing or too much. ``error`` is the
    expected calibration error of its signs, literally where the truth is, ``ms`` the time a plate
    at the median.
    """

    plates: int
    right: float
    literal: float
    near: float
    error: float
    ms: float
    each: tuple[bool, ...]


def read(recogniser: PlateRecogniser, plates: Iterable[Shown]) -> Reads:
    """Have plates read one after another."""
    literal: list[bool] = []
    each: list[bool] = []
    near: list[bool] = []
    times: list[float] = []
    sure: list[float] = []
    right: list[bool] = []
    for one in plates:
        detection = Detection(one.quad.astype(np.float32), 1.0)
        began = time.perf_counter()
        (reading,) = recogniser.recognise([recogniser.crops(one.image, detection, _MARGIN)])
        times.append(time.perf_counter() - began)
        text, true = plain(reading.text), one.plate
        literal.append(text == true)
        alike = text.translate(ALIKE), true.translate(ALIKE)
        each.append(alike[0] == alike[1])
        near.append(Levenshtein.distance(*alike) <= 1)
        told = [
            confidence / 1000
            for sign, confidence in zip(reading.text, reading.char_confidences, strict=True)
            if sign.isalnum()
        ]
        if len(told) == len(text):
            sure += told
            right += rights(text, true) if one.literal else rights(*alike)
    shares = [float(np.mean(some)) for some in (each, literal, near)]
    apart = error(np.array(sure), np.array(right))
    return Reads(
        len(times),
        shares[0],
        shares[1],
        shares[2],
        apart,
        1000 * float(np.median(times)),
        tuple(each),
    )


def countries_right(reader: PlateReader, plates: Sequence[Shown]) -> float:
    """The share of plates whose country is told right."""
    crops = (reader.crops(one.image, Detection(one.quad, 1.0), _MARGIN).whole for one in plates)
    told = reader.countries([crop for crop in crops if crop is not None])
    return float(np.mean([said == one.place for (said, _), one in zip(told, plates, strict=True)]))


def made(count: int, hard: float = 1.0) -> Iterator[Shown]:
    """Drawn plates that no training has seen; how hard says `training.reader.feed.seen`."""
    for seed in range(_FIRST, _FIRST + count):
        one = seen(seed, hard)
        yield Shown(one.image, one.quad, "".join(one.lines), COUNTRIES[one.country], literal=True)


def driven(folder: Path) -> Iterator[Shown]:
    """Plates of the road's held-out frames, by their boxes; the truth is PP-OCR's own where it
    agrees with itself, which flatters PP-OCR.
    """
    for one in road.held_out(folder):
        yield Shown(one.image, one.quad, "".join(one.lines), COUNTRIES[one.country], literal=True)


def cropped(folder: Path) -> Iterator[Shown]:
    """Pictures of plates alone, with `truth.csv` beside them: file, state, plate."""
    if not (folder / "truth.csv").is_file():
        return
    with (folder / "truth.csv").open(encoding="utf-8") as truth:
        for row in csv.DictReader(truth):
            image = cv2.imread(str(folder / row["file"]))
            if image is None:
                raise RoadData(f"{folder / row['file']}: no picture, though truth.csv names it")
            yield Shown(image, _whole(image), plain(row["plate"]), row["state"])


def boxed(folder: Path, place: str) -> Iterator[Shown]:
    """The first plate of each photograph, by its box."""
    for picture in photographed(folder):
        left, top, right, bottom = picture.boxes[0]
        quad = np.array(((left, top), (right, top), (right, bottom), (left, bottom)), np.float32)
        yield Shown(picture.image, quad, picture.plate, place)


def _whole(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.reader.measure", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--model", type=Path, help="an .onnx; the project's own unless given")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of benchmark")
    parser.add_argument("--made", type=positive, default=500, metavar="N", help="drawn plates")
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--alone", action="store_true", help="without PP-OCR and voting")
    parser.add_argument("--tuning", action="store_true", help="nothing of benchmark")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(chosen.threads)
    try:
        own = PlateReader(chosen.threads, chosen.model)
        sets: dict[str, list[Shown]] = {"drawn": list(made(chosen.made))}
        if (chosen.data / "road").is_dir():
            sets["road, held out"] = list(driven(chosen.data / "road"))
        folder = chosen.data / "benchmark"
        if not chosen.tuning:
            sets["us-crops"] = list(cropped(folder / "us-crops"))
            sets["eu boxes"] = list(boxed(folder / "eu", "eu"))
            sets["us boxes"] = list(boxed(folder / "us", "us"))
        sets = {name: plates for name, plates in sets.items() if plates}
    except (ModelError, RoadData) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    readers: list[PlateRecogniser] = [own]
    known = [one for one in sets["drawn"] if one.place]
    if known:
        told = f"of {len(known)} drawn plates {countries_right(own, known):.3f}"
        print(f"the country is told right {told}")
    if not chosen.alone:
        texts = TextRecogniser(chosen.threads)
        readers += [texts, VotingRecogniser(own, texts)]
    with runs.run("plate-reader", {"measured": own.name}) as told:
        _tell(readers, sets, told)
    return 0


def _tell(readers: Sequence[PlateRecogniser], sets: dict[str, list[Shown]], told: runs.Run) -> None:
    names = ("right", "literally", "within one", "calibration error", "ms")
    table = Table("Plates", "Reader", *(Column(name, justify="right") for name in ("", *names)))
    by_width = Table("Plates", "Reader", *(_between(k) for k in range(len(_WIDTHS) - 1)))
    by_place = Table("Plates", "Reader", "wrong, of how many, by country or state")
    for name, plates in sets.items():
        for reader in readers:
            what = f"{name}: {reader.name}"
            got = read(reader, track(plates, what, console=Console(stderr=True)))
            shares = [f"{value:.3f}" for value in (got.right, got.literal, got.near, got.error)]
            table.add_row(name, reader.name, str(got.plates), *shares, f"{got.ms:.1f}")
            by_width.add_row(name, reader.name, *_widths(plates, got.each))
            by_place.add_row(name, reader.name, _places(plates, got.each))
            if reader is readers[0]:
                short = re.sub(r"\W+", "_", name)
                told.figures({f"{short}_right": got.right, f"{short}_error": got.error})
                told.figures({f"{short}_ms": got.ms})
    for each in (table, by_width, by_place):
        Console(width=150).print(each)


def _between(k: int) -> Column:
    low, high = _WIDTHS[k : k + 2]
    return Column(f"{low} to {high} px" if high < 1 << 20 else f"from {low} px", justify="right")


def _widths(plates: Sequence[Shown], right: Sequence[bool]) -> list[str]:
    bins = np.digitize([one.width for one in plates], _WIDTHS[1:-1])
    found = np.array(right)
    return [
        f"{found[bins == k].mean():.3f} of {(bins == k).sum()}" if (bins == k).any() else ""
        for k in range(len(_WIDTHS) - 1)
    ]


def _places(plates: Sequence[Shown], right: Sequence[bool]) -> str:
    counts: dict[str, list[int]] = {}
    for one, good in zip(plates, right, strict=True):
        count = counts.setdefault(one.place or "?", [0, 0])
        count[0] += not good
        count[1] += 1
    worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
    return ", ".join(f"{place} {wrong}/{of}" for place, (wrong, of) in worst if wrong)


if __name__ == "__main__":
    sys.exit(main())
