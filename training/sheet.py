"""What models learn from, to look at: `python -m training.sheet scenes sheet.png`."""

import argparse
import random
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from edge.reader import fitted
from training import plates, scenes
from training.degrade import Picture
from training.detector import road
from training.detector.feed import Example, Feed
from training.layouts import LAYOUTS, anywhere
from training.reader.feed import crops

_GREEN, _CYAN, _RED = (0, 255, 0), (255, 255, 0), (0, 0, 255)


def of_plates(seed: int, count: int) -> Picture:
    """A plate of each layout, then of layouts by chance, from straight ahead."""
    rng = random.Random(seed)
    tiles: list[Picture] = []
    for layout in islice((*LAYOUTS.values(), *(anywhere(rng) for _ in range(count))), count):
        tile = np.full((200, 260, 3), 90, np.uint8)
        drawn = plates.picture(plates.chance(layout, rng), 240)[:190]
        tile[5 : 5 + len(drawn), 10:250] = drawn
        tiles.append(tile)
    return tiled(tiles)


def of_examples(seed: int, count: int, folder: Path | None) -> Picture:
    """Examples as the detector gets them: known corners green, known boxes cyan, doubtful red."""
    frames = road.load(folder) if folder else []
    feed = Feed(seed, frames, streets=road.without_plates(frames), kept=64)
    return tiled([_outlined(one) for one in islice(feed, count)])


def of_crops(seed: int, count: int, folder: Path | None) -> Picture:
    """Plates as the reader gets them, with what they say; below them the pictures of ``folder``."""
    tiles = [_captioned(one.image, " ".join(one.lines)) for one in islice(crops(seed), count)]
    real = sorted(folder.glob("*.[jp][pn]g"))[:count] if folder else []
    seen = [(path, cv2.imread(str(path))) for path in real]
    tiles += [_captioned(fitted(one), path.stem) for path, one in seen if one is not None]
    return tiled(tiles, 8)


def _captioned(image: Picture, text: str) -> Picture:
    tile = np.zeros((image.shape[0] + 18, image.shape[1] + 4, 3), np.uint8)
    tile[: image.shape[0], : image.shape[1]] = image
    at = (2, image.shape[0] + 13)
    cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def tiled(tiles: Sequence[Picture], columns: int = 6) -> Picture:
    """Pictures of one size side by side."""
    full = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    return np.vstack([np.hstack(full[k : k + columns]) for k in range(0, len(full), columns)])


def _outlined(example: Example) -> Picture:
    drawn = example.image.copy()
    for quad, exact in zip(example.corners, example.exact, strict=True):
        cv2.polylines(drawn, [quad.round().astype(np.int32)], True, _GREEN if exact else _CYAN, 1)
    for quad in example.doubtful:
        cv2.polylines(drawn, [quad.round().astype(np.int32)], True, _RED, 1)
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.sheet", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("what", choices=("plates", "scenes", "examples", "crops"))
    parser.add_argument("picture", type=Path, help="the .png or .jpg to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="real crops to show below")
    parser.add_argument("--road", type=Path, metavar="FOLDER", help="frames for the examples")
    chosen = parser.parse_args(arguments)
    if chosen.what == "plates":
        sheet = of_plates(chosen.seed, chosen.count)
    elif chosen.what == "scenes":
        sheet = scenes.contact_sheet(list(islice(scenes.samples(chosen.seed), chosen.count)))
    elif chosen.what == "crops":
        sheet = of_crops(chosen.seed, chosen.count, chosen.beside)
    else:
        sheet = of_examples(chosen.seed, chosen.count, chosen.road)
    if not cv2.imwrite(str(chosen.picture), sheet):
        print(f"{chosen.picture}: cannot be written; name a folder that is there", file=sys.stderr)
        return 2
    print(f"{chosen.picture}: {sheet.shape[1]} x {sheet.shape[0]} pixels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
