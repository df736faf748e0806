"""Plates of real roads to read, as PP-OCR reads them where it agrees with itself over frames.

The frames come without texts. A text that fits the country's grammar and was read with certainty
in two frames is a car's plate; near those frames every plate read nearly so is that car's, and
what PP-OCR could not read of it is learned too.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.progress import track

from edge.detect import Detection
from edge.pipeline import plain
from edge.recognise import PlateRecogniser, TextRecogniser
from edge.throttle import ReadingSettings
from training.detector import road
from training.detector.road import RoadFrame
from training.reader.feed import COUNTRIES, Seen

_COUNTIES = (
    "AB AG AR BC BH BN BR BT BV BZ CJ CL CS CT CV DB DJ GJ GL GR HD HR IF IL IS MH MM MS NT OT PH "
    "SB SJ SM SV TL TM TR VL VN VS"
)
_GRAMMAR = re.compile(rf"(B\d{{2,3}}|({_COUNTIES.replace(' ', '|')})\d\d)[A-Z]{{3}}")
_COUNTRY = "RO"
_SURE = 700  # of 1000, the least sign of a text that is believed
_NEAR = 25  # frames in which a car stays
_OTHERWISE = 2  # signs that a reading of it may have wrong
_AROUND = 0.6  # of a plate's box, kept on each side


@dataclass(frozen=True, slots=True)
class Read:
    """A plate in a frame, by number, as it was read; ``sure`` if without doubt and by grammar."""

    frame: int
    quad: np.ndarray
    text: str
    sure: bool


def to_learn_from(folder: Path) -> list[Seen]:
    """The plates of a folder's frames, less the first frames and the cars in them. Raises RoadData.

    PP-OCR runs in a process of its own, so that this one stays without threads and can be forked.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as another:
        return another.submit(_others, folder).result()


def held_out(folder: Path) -> list[Seen]:
    """The plates of the first frames, which are never learned from. Raises RoadData."""
    frames = road.load(folder)[: road.HELD_OUT]
    return labelled(frames, _read(frames, TextRecogniser()))


def _others(folder: Path) -> list[Seen]:
    later, recogniser = road.to_learn_from(folder), TextRecogniser()
    first = _read(road.load(folder)[: road.HELD_OUT], recogniser)
    return others(labelled(later, _read(later, recogniser)), first)


def others(plates: Sequence[Seen], apart: Sequence[Read]) -> list[Seen]:
    """The plates that cannot be of a car among the reads ``apart``, however badly it was read."""
    texts = {one.text for one in apart if len(one.text) > 2 * _OTHERWISE}
    return [
        plate
        for plate in plates
        if all(Levenshtein.distance(plate.lines[0], text) > _OTHERWISE for text in texts)
    ]


def _read(frames: Sequence[RoadFrame], recogniser: PlateRecogniser) -> list[Read]:
    """Every plate of the frames as the recogniser reads it."""
    margin = ReadingSettings().margin
    found: list[Read] = []
    steps = track(frames, "reading the road's plates", console=Console(stderr=True))
    for number, frame in enumerate(steps):
        for quad in road.quads(frame.boxes):
            crops = recogniser.crops(frame.image, Detection(quad, 1.0), margin)
            (reading,) = recogniser.recognise([crops])
            text = plain(reading.text)
            sure = bool(_GRAMMAR.fullmatch(text)) and min(reading.char_confidences) >= _SURE
            found.append(Read(number, quad, text, sure))
    return found


def labelled(frames: Sequence[RoadFrame], reads: Sequence[Read]) -> list[Seen]:
    """The plates that can be told what they say."""
    known: dict[str, set[int]] = defaultdict(set)
    for one in reads:
        if one.sure:
            known[one.text].add(one.frame)
    agreed = {text: at for text, at in known.items() if len(at) > 1}
    found: list[Seen] = []
    for one in reads:
        likely = [
            text
            for text, at in agreed.items()
            if min(abs(one.frame - k) for k in at) <= _NEAR
            and Levenshtein.distance(one.text, text) <= _OTHERWISE
        ]
        if len(likely) == 1:
            found.append(_seen(frames[one.frame].image, one.quad, likely[0]))
    return found


def _seen(image: np.ndarray, quad: np.ndarray, text: str) -> Seen:
    low, high = quad.min(0), quad.max(0)
    room = _AROUND * (high - low)
    left, top = np.maximum(low - room, 0).astype(int)
    right, bottom = (high + room).astype(int)
    part = image[top:bottom, left:right].copy()
    return Seen(part, quad - np.array((left, top), np.float32), (text,), COUNTRIES.index(_COUNTRY))
