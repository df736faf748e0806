"""The edge: time on a video against reading every frame whole, and accuracy on pictures.

JSON lines on stdout. ``python -m benchmarks.edge [--pictures] [--data FOLDER]``.
"""

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from alpr.recognition import open_detector, open_recogniser
from edge.cameras import Camera
from edge.capture import file_frames
from edge.detect import Look, PlateDetector
from edge.pipeline import plain
from edge.recognise import PlateRecogniser
from edge.run import read_file

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_ALIKE = str.maketrans("OI", "01")  # what the benchmark's truth does not tell apart


def video_times(
    path: Path, detector: PlateDetector, recogniser: PlateRecogniser, stride: int
) -> Iterator[dict[str, Any]]:
    """The edge's time on a clip, and that of looking at every whole frame (each ``stride``-th)."""
    camera = Camera("bench", str(path))
    began, spent = time.perf_counter(), time.process_time()
    records = list(read_file(path, camera, detector, recogniser, None, session="bench"))
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    clip = records[-1][1]["captured_at"] / 1e6
    reads = [record for name, record in records if name == "PlateRead"]
    seconds = busy = 0.0
    number = 0
    for frame in file_frames(path, "bench", "bench", 0):
        number += 1
        if frame.number % stride == 0:
            height, width = frame.image.shape[:2]
            start, started = time.perf_counter(), time.process_time()
            detector.detect(frame.image, [Look((0, 0, width, height))])
            seconds += time.perf_counter() - start
            busy += time.process_time() - started
    yield {
        "benchmark": "edge video",
        "file": path.name,
        "by": f"{detector.name}, {recogniser.name}",
        "frames": number,
        "clip_s": round(clip, 2),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "of_clip": round(wall / clip, 3),
        "frames_per_s": round(number / wall, 1),
        "reads": len(reads),
        "whole_frames_s": round(seconds * stride, 1),
        "whole_frames_cpu_s": round(busy * stride, 1),
        "times_faster": round(seconds * stride / wall, 2),
        "times_less_cpu": round(busy * stride / cpu, 2),  # other work on the machine cancels out
    }


def picture_accuracy(
    folder: Path, detector: PlateDetector, recogniser: PlateRecogniser, limit: int | None
) -> Iterator[dict[str, Any]]:
    """How many pictures have their plate among the reads, with and without O = 0 and I = 1."""
    right = literal = total = 0
    began = time.perf_counter()
    for truth_file in sorted(folder.glob("*.txt"))[:limit]:
        fields = truth_file.read_text(encoding="utf-8").split("\t")
        picture, truth = folder / fields[0], plain(fields[5])
        texts = _texts(picture, detector, recogniser)
        total += 1
        literal += truth in texts
        found = truth.translate(_ALIKE) in {text.translate(_ALIKE) for text in texts}
        right += found
        if not found:
            yield {"missed": picture.name, "truth": truth, "read": sorted(texts)}
    yield {
        "benchmark": "edge pictures",
        "set": folder.name,
        "by": f"{detector.name}, {recogniser.name}",
        "pictures": total,
        "right": round(right / max(total, 1), 4),
        "literal": round(literal / max(total, 1), 4),
        "s_a_picture": round((time.perf_counter() - began) / max(total, 1), 3),
    }


def _texts(picture: Path, detector: PlateDetector, recogniser: PlateRecogniser) -> set[str]:
    camera = Camera(re.sub(r"[^A-Za-z0-9_.-]", "-", picture.stem), str(picture))
    records = read_file(picture, camera, detector, recogniser, None, session="bench")
    return {plain(record["text"]) for name, record in records if name == "PlateRead"}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", action="store_true", help="accuracy on still pictures")
    parser.add_argument("--detector", default="corners", help="as ALPR_DETECTOR")
    parser.add_argument("--recogniser", default="voting", help="as ALPR_RECOGNISER")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stride", type=int, default=12, help="of the reference's frames")
    parser.add_argument("--limit", type=int, default=None, help="pictures of a set at most")
    options = parser.parse_args(None if arguments is None else list(arguments))
    detector = open_detector(options.detector, options.threads)
    recogniser = open_recogniser(options.recogniser, options.threads)
    if options.pictures:
        results = (
            line
            for name in ("eu", "us")
            for line in picture_accuracy(
                options.data / "benchmark" / name, detector, recogniser, options.limit
            )
        )
    else:
        video = options.data / "video" / "toll-booth.mp4"
        results = video_times(video, detector, recogniser, options.stride)
    for line in results:
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
