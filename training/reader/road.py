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

_GRAMMAR = re.compile(r"B\d{2,3}[A-Z]{3}|(?!B)[A-Z]{2}\d\d[A-Z]{3}")  # Romania's, where they drove
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


def to_learn_from(folder: Path) -> tuple[list[Seen], list[Seen]]:
    """The plates of a folder's frames, and those of its first ones, which are held out: no car
    that is in those is among the others. Raises RoadData.

    PP-OCR runs in a process of its own, so that this one stays without threads and can be forked.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as another:
        return another.submit(_told, folder).result()


def _told(folder: Path) -> tuple[list[Seen], list[Seen]]:
    frames = road.load(folder)
    reads = _read(frames, TextRecogniser())
    apart = labelled(frames, [one for one in reads if one.frame < road.HELD_OUT])
    others = labelled(frames, [one for one in reads if one.frame >= road.HELD_OUT])
    kept = {one.lines for one in apart}
    return [one for one in others if one.lines not in kept], apart


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
