"""What fast-alpr finds in a frame, as ``dataclasses.asdict`` gives its ``ALPRResult``.

https://github.com/ankandrew/fast-alpr (0.3): ``{detection: {label, confidence, bounding_box: {x1,
y1, x2, y2}}, ocr: {text, confidence}}``, the confidence a number or a list with one for each slot
of the plate; later versions add ``region`` and ``region_confidence``. A library knows no camera
and no time, so they stand beside the results: ``{camera_id, captured_at, results: […]}``, with what
else a read may have of its frame.
"""

from collections.abc import Mapping
from typing import Any

from edge.foreign import fields
from edge.foreign.fields import Translated, Untranslatable

_OF_THE_FRAME = (
    *("camera_id", "captured_at", "camera_group", "session", "frame_number"),
    *("frame_width", "frame_height", "direction", "node"),
)


def translate(given: Any) -> Translated:
    """The reads of a frame; where nothing was read, its camera lives. Raises Untranslatable."""
    body = fields.mapping(given, "the body")
    camera = fields.camera(body.get("camera_id"), "camera_id")
    if "results" not in body:
        raise Untranslatable("results is missing: give what ALPR.predict returned, by asdict")
    for name in body:
        if name not in (*_OF_THE_FRAME, "results", "frame"):
            raise Untranslatable(f"{name[:40]!r} is no field of a frame")
    shared = {name: body[name] for name in _OF_THE_FRAME if body.get(name) is not None}
    if body.get("frame") is not None:
        shared["pictures"] = {"frame": fields.text(body["frame"], "frame")}
    reads: list[dict[str, Any]] = []
    for index, one in enumerate(fields.items(body["results"], "results", 100)):
        here = f"results[{index}]"
        result = fields.mapping(one, here)
        if result.get("ocr") is None:
            continue
        read = _read(result, here)
        if read is not None:
            reads.append({**shared, **read, "reader": "fast-alpr"})
    return Translated(reads, [camera])


def _read(result: Mapping[str, Any], here: str) -> dict[str, Any] | None:
    ocr = fields.mapping(result["ocr"], f"{here}.ocr")
    plate = ocr.get("text")
    if not isinstance(plate, str):
        raise Untranslatable(f"{here}.ocr.text is no text")
    plate = plate.rstrip("_")  # empty slots at the end
    if not plate:
        return None
    place = f"{here}.ocr.confidence"
    given = ocr.get("confidence")
    if isinstance(given, list):
        slots = [fields.share(one, place) for one in fields.items(given, place, 100)]
        each = slots[: len(plate)] if len(slots) >= len(plate) else None
        counted = each or slots
        if not counted:
            raise Untranslatable(f"{place} is empty")
        confidence = sum(counted) / len(counted)
    else:
        each, confidence = None, fields.share(given, place)
    return fields.known(
        text=plate,
        confidence=min(1.0, confidence),
        char_confidences=each,
        region=fields.region(ocr.get("region")),
        box=_box(result.get("detection"), f"{here}.detection"),
    )


def _box(detection: Any, here: str) -> dict[str, int] | None:
    if detection is None:
        return None
    found = fields.mapping(detection, here).get("bounding_box")
    if found is None:
        return None
    box = fields.mapping(found, f"{here}.bounding_box")
    return fields.box(
        *(fields.number(box.get(n), f"{here}.bounding_box.{n}") for n in ("x1", "y1", "x2", "y2"))
    )
