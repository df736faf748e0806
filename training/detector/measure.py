"""How good a detector is: `python -m training.detector.measure`, beside the text-first one."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from edge.cameras import Camera
from edge.capture import file_frames
from edge.careful import CarefulDetector
from edge.corners import CornerDetector
from edge.detect import PlateDetector, TextPlateDetector
from edge.geometry import iou, share
from edge.models import ModelError
from edge.pipeline import plain
from edge.reader import PlateReader
from edge.recognise import PlateRecogniser, TextRecogniser
from edge.run import read_file
from edge.voting import VotingRecogniser
from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.settings import DedupSettings
from training import runs, scenes
from training.detector import road

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HELD_OUT = 1 << 22
"""The seed of the scenes that a detector is measured on, beyond those of any training."""
_SAME = 0.5  # overlap from which a plate counts as found
_MET = 0.7  # share of the smaller box from which one meets the other
_SURE = 0.5  # score from which it does: what begins a track (`track_thresh`)
ALIKE = str.maketrans("OI", "01")
"""What the truth of the pictures does not tell apart."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture with the truth: boxes (plates, 4) left, top, right, bottom in pixels.

    ``corners`` (plates, 4, 2), where they are known. Of ``doubtful`` boxes nothing is asked: found
    or not, both is right. ``plate`` is what the plate says, '' if unknown; ``path`` where the
    picture lies, None for one made in memory.
    """

    image: np.ndarray
    boxes: np.ndarray
    corners: np.ndarray | None = None
    doubtful: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    plate: str = ""
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector found of a set of pictures.

    ``recall`` of the plates at an overlap of 0.5 and ``false`` boxes a picture, both of what is
    sure enough to begin a track. ``met`` are the plates of which some sure box holds 0.7 or lies
    so much in: a box of the letters alone is no plate's box, but can be read. ``precision`` is
    averaged over the recalls at every score told (mAP50 of one class), ``off`` the corners'
    distance from the truth in plate's heights at the median, NaN where that is not known, ``ms``
    the time a picture at the median.
    """

    pictures: int
    plates: int
    recall: float
    false: float
    met: float
    precision: float
    off: float
    ms: float


def find(detector: PlateDetector, pictures: Iterable[Judged]) -> Finding:
    """Measure a detector on pictures, each looked at as a whole."""
    scores: list[float] = []
    right: list[bool] = []
    times: list[float] = []
    off: list[float] = []
    plates = met = 0
    for picture in pictures:
        began = time.perf_counter()
        found = sorted(detector.detect(picture.image), key=lambda one: -one.score)
        times.append(time.perf_counter() - began)
        plates += len(picture.boxes)
        met += _met(picture.boxes, [one.box for one in found if one.score >= _SURE])
        free = np.ones(len(picture.boxes), bool)
        for one in found:
            overlap = iou(one.box[None], picture.boxes)[0] * free
            hit = bool(len(overlap) and overlap.max() >= _SAME)
            if hit:
                free[overlap.argmax()] = False
                if picture.corners is not None:
                    off.append(_off(one.quad, picture.corners[overlap.argmax()]))
            elif _met(one.box[None], picture.doubtful):
                continue
            scores.append(one.score)
            right.append(hit)
    sure, hits = np.array(scores) >= _SURE, np.array(right, bool)
    return Finding(
        len(times),
        plates,
        int((sure & hits).sum()) / max(1, plates),
        int((sure & ~hits).sum()) / max(1, len(times)),
        met / max(1, plates),
        _average_precision(np.array(scores), hits, plates),
        float(np.median(off)) if off else float("nan"),
        1000 * float(np.median(times)),
    )


def _met(boxes: np.ndarray, others: Sequence[np.ndarray] | np.ndarray) -> int:
    """How many of some boxes share 0.7 of the smaller with one of others."""
    return sum(any(share(box, other) >= _MET for other in others) for box in boxes)


def _off(found: np.ndarray, true: np.ndarray) -> float:
    height = np.linalg.norm(true[3] - true[0]) + np.linalg.norm(true[2] - true[1])
    return float(np.linalg.norm(found - true, axis=1).mean() / (height / 2))


def _average_precision(scores: np.ndarray, right: np.ndarray, plates: int) -> float:
    """The area under precision by recall, precision never rising (Everingham et al. 2010)."""
    if not len(scores) or not plates:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((falling * right[order]).sum() / plates)


def made(count: int, seed: int = HELD_OUT) -> Iterator[Judged]:
    """Made scenes that no training has seen."""
    for _, one in zip(range(count), scenes.samples(seed), strict=False):
        yield Judged(one.image, _boxes(one.corners), one.corners, _boxes(one.doubtful))


def driven(folder: Path) -> Iterator[Judged]:
    """The frames of a folder that training leaves out."""
    for frame in road.load(folder)[: road.HELD_OUT]:
        yield Judged(frame.image, _boxes(road.quads(frame.boxes)))


def photographed(folder: Path) -> Iterator[Judged]:
    """Photographs with NAME.txt beside each: file, x, y, width, height, plate."""
    for truth in sorted(folder.glob("*.txt")):
        rows = [line.split("\t") for line in truth.read_text(encoding="utf-8").splitlines()]
        if not rows:
            raise road.RoadData(f"{truth}: is empty; a line for each plate is wanted")
        path = folder / rows[0][0]
        image = cv2.imread(str(path))
        if image is None:
            raise road.RoadData(f"{path}: no picture that can be read, though {truth} names it")
        if any(len(row) < 6 for row in rows):
            raise road.RoadData(f"{truth}: a line has no plate; file, x, y, width, height, plate")
        boxes = np.array([[float(value) for value in row[1:5]] for row in rows])
        yield Judged(image, _boxes(road.quads(boxes)), plate=plain(rows[0][5]), path=path)


def read_right(
    detector: PlateDetector, recogniser: PlateRecogniser, pictures: Iterable[Judged]
) -> tuple[float, float, float]:
    """The share of photographs whose plate is among what the edge reads of them: with O for 0
    and I for 1 counted as right, and literally; and the other texts that it reads a picture.
    """
    right = literal = other = total = 0
    for picture in pictures:
        assert picture.path is not None
        camera = Camera("measured", str(picture.path))
        texts = {
            plain(record["text"])
            for name, record in read_file(picture.path, camera, detector, recogniser, None)
            if name == "PlateRead"
        }
        total += 1
        literal += picture.plate in texts
        alike = {text.translate(ALIKE) for text in texts}
        right += picture.plate.translate(ALIKE) in alike
        other += len(alike - {picture.plate.translate(ALIKE)})
    return right / max(1, total), literal / max(1, total), other / max(1, total)


def watched(
    path: Path, detector: PlateDetector, recogniser: PlateRecogniser
) -> tuple[list[str], float]:
    """The sightings of a clip, and the time that they took by the clip's length."""
    began = time.perf_counter()
    fold = Deduplication(0, DedupSettings(), grammar())
    plates: list[str] = []
    camera = Camera("measured", str(path))
    for offset, (name, record) in enumerate(read_file(path, camera, detector, recogniser, None)):
        plates += [
            out.record["plate"]["normalized_text"]
            for out in fold.fold(name, record, offset, record["captured_at"])
            if out.name == "PlateEvent" and out.record["status"] == "ended"
        ]
    took = time.perf_counter() - began
    last = 0
    for frame in file_frames(path, "measured", "measured", 0):
        last = frame.captured_at_us
    return plates, took / max(1e-6, last / 1e6)


def _boxes(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1).astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.detector.measure", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--model", type=Path, help="an .onnx; the project's own unless given")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of road, benchmark, video")
    parser.add_argument("--made", type=int, default=300, metavar="N", help="made scenes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without the text-first detector")
    parser.add_argument("--tuning", action="store_true", help="nothing of benchmark and video")
    chosen = parser.parse_args(arguments)
    cv2.setNumThreads(chosen.threads)
    try:
        detectors: list[PlateDetector] = [CornerDetector(chosen.threads, chosen.model)]
        if not chosen.alone:
            detectors.append(TextPlateDetector(chosen.threads))
        sets: dict[str, list[Judged]] = {"made scenes": list(made(chosen.made))}
        if (chosen.data / "road").is_dir():
            sets["road, held out"] = list(driven(chosen.data / "road"))
        photographs: dict[str, list[Judged]] = {}
        if not chosen.tuning:
            photographs = {
                name: list(photographed(chosen.data / "benchmark" / name))
                for name in ("eu", "us")
                if (chosen.data / "benchmark" / name).is_dir()
            }
    except (ModelError, road.RoadData) as error:
        print(error, file=sys.stderr)
        return 2
    with runs.run("plate-detector", {"measured": detectors[0].name}) as told:
        _tell_finding(detectors, sets | photographs, told)
        own = PlateReader(chosen.threads)
        recogniser = VotingRecogniser(own, TextRecogniser(chosen.threads))  # the default
        if photographs:
            careful = CarefulDetector(detectors[0], chosen.threads)
            _tell_reading([careful, *detectors], recogniser, photographs, told)
        clip = chosen.data / "video" / "toll-booth.mp4"
        if not chosen.tuning and clip.is_file():
            _tell_video(detectors, recogniser, clip, told)
    return 0


def _tell_finding(
    detectors: Sequence[PlateDetector], sets: dict[str, list[Judged]], told: runs.Run
) -> None:
    table = Table(
        "Pictures",
        "Detector",
        *(
            Column(name, justify="right")
            for name in ("pictures", "plates", "recall", "false", "met", "mAP50", "off", "ms")
        ),
    )
    for name, pictures in sets.items():
        for detector in detectors:
            what = f"{name}: {detector.name}"
            got = find(detector, track(pictures, what, console=Console(stderr=True)))
            table.add_row(
                name,
                detector.name,
                str(got.pictures),
                str(got.plates),
                f"{got.recall:.3f}",
                f"{got.false:.2f}",
                f"{got.met:.3f}",
                f"{got.precision:.3f}",
                "" if np.isnan(got.off) else f"{got.off:.3f}",
                f"{got.ms:.0f}",
            )
            if detector is detectors[0]:
                short = name.replace(", ", "_").replace(" ", "_")
                told.figures({f"{short}_recall": got.recall, f"{short}_false": got.false})
                told.figures({f"{short}_map50": got.precision, f"{short}_ms": got.ms})
    Console(width=120).print(table)


def _tell_reading(
    detectors: Sequence[PlateDetector],
    recogniser: PlateRecogniser,
    photographs: dict[str, list[Judged]],
    told: runs.Run,
) -> None:
    table = Table("Photographs", "Reader", "right", "literally", "others each", "s each")
    for name, pictures in photographs.items():
        for detector in detectors:
            began = time.perf_counter()
            what = f"{name}: {detector.name} and {recogniser.name}"
            looked = track(pictures, what, console=Console(stderr=True))
            right, literal, other = read_right(detector, recogniser, looked)
            each = (time.perf_counter() - began) / len(pictures)
            figures = [f"{value:.3f}" for value in (right, literal)]
            table.add_row(name, what[4:], *figures, f"{other:.2f}", f"{each:.2f}")
            if detector is detectors[0]:
                told.figures({f"{name}_read": right, f"{name}_read_literally": literal})
    Console(width=120).print(table)


def _tell_video(
    detectors: Sequence[PlateDetector], recogniser: PlateRecogniser, clip: Path, told: runs.Run
) -> None:
    table = Table("Clip", "Detector", "sightings", Column("of its length", justify="right"))
    for detector in detectors:
        plates, share = watched(clip, detector, recogniser)
        table.add_row(clip.name, detector.name, ", ".join(plates), f"{share:.2f}")
        if detector is detectors[0]:
            told.figures({"clip_time": share, "clip_sightings": len(plates)})
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
