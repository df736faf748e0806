"""Plate Recognizer's webhook, of Stream and of Snapshot.

https://guides.platerecognizer.com/docs/stream/results: ``{hook, data: {camera_id, timestamp,
results: […]}}``, alone as JSON or as the field ``json`` of a form, the picture beside it as
``upload``. Results come in two forms, that of Snapshot (``plate`` a text) and v2 (``plate`` an
object with ``props``); both are taken. An answer of Snapshot's API is what stands in ``data``.
"""

from collections.abc import Mapping
from typing import Any

from edge.foreign import fields
from edge.foreign.fields import Translated, Untranslatable


def translate(given: Any, picture: str | None = None) -> Translated:
    """The reads of a webhook; none of an event without results. Raises Untranslatable.

    ``picture`` is the frame that came with it, base64.
    """
    body = fields.mapping(given, "the body")
    data = fields.mapping(body["data"], "data") if "data" in body else body
    place = "data." if "data" in body else ""
    camera = fields.camera(data.get("camera_id"), f"{place}camera_id")
    if "results" not in data:
        hook = body.get("hook")
        if isinstance(hook, dict) and hook.get("event") not in (None, "recognition"):
            return Translated(alive=[camera])  # a heartbeat, the state of a camera
        raise Untranslatable(f"{place}results is missing")
    results = fields.items(data.get("results"), f"{place}results", 100)
    reads: list[dict[str, Any]] = []
    for index, result in enumerate(results):
        here = f"{place}results[{index}]"
        read = _read(fields.mapping(result, here), here)
        if read is None:
            continue  # a vehicle without a plate
        read["camera_id"] = camera
        read["captured_at"] = fields.time(data.get("timestamp"), f"{place}timestamp")
        read["reader"] = "plate-recognizer"
        if picture is not None:
            read["pictures"] = {"frame": picture}
        reads.append(read)
    return Translated(reads, [camera])


def _read(result: Mapping[str, Any], here: str) -> dict[str, Any] | None:
    plate = result.get("plate")
    if plate is None or plate == "":
        return None
    if isinstance(plate, dict):
        return _second(result, plate, here)
    return _first(result, here)


def _first(result: Mapping[str, Any], here: str) -> dict[str, Any]:
    region = result.get("region")
    vehicle = result.get("vehicle")
    return fields.known(
        text=_plate(result["plate"], f"{here}.plate"),
        confidence=fields.share(result.get("score"), f"{here}.score"),
        alternatives=_others(result.get("candidates"), f"{here}.candidates", "plate"),
        region=fields.region(region.get("code")) if isinstance(region, dict) else None,
        box=_box(result.get("box"), f"{here}.box"),
        vehicle=fields.known(
            type=_kind(vehicle),
            make=fields.best(result.get("model_make"), f"{here}.model_make", "make"),
            model=fields.best(result.get("model_make"), f"{here}.model_make", "model"),
            color=fields.best(result.get("color"), f"{here}.color", "color"),
        ),
    )


def _second(
    result: Mapping[str, Any], plate: Mapping[str, Any], here: str
) -> dict[str, Any] | None:
    props = fields.mapping(plate.get("props") or {}, f"{here}.plate.props")
    found = fields.items(props.get("plate"), f"{here}.plate.props.plate", 100)
    if not found:
        return None
    first = fields.mapping(found[0], f"{here}.plate.props.plate[0]")
    vehicle = result.get("vehicle")
    about = vehicle.get("props") if isinstance(vehicle, dict) else None
    about = about if isinstance(about, dict) else {}
    region = fields.best(props.get("region"), f"{here}.plate.props.region", "value")
    return fields.known(
        text=_plate(first.get("value"), f"{here}.plate.props.plate[0].value"),
        confidence=fields.share(first.get("score"), f"{here}.plate.props.plate[0].score"),
        alternatives=_others(found, f"{here}.plate.props.plate", "value"),
        region=fields.region(region),
        box=_box(plate.get("box"), f"{here}.plate.box"),
        vehicle=fields.known(
            type=_kind(vehicle),
            make=fields.best(about.get("make_model"), f"{here}.vehicle.props.make_model", "make"),
            model=fields.best(about.get("make_model"), f"{here}.vehicle.props.make_model", "model"),
            color=fields.best(about.get("color"), f"{here}.vehicle.props.color", "value"),
        ),
    )


def _plate(value: Any, place: str) -> str:
    return fields.text(value, place).upper()


def _others(value: Any, place: str, name: str) -> list[dict[str, Any]]:
    """Candidates beyond the first, as far as they are rated."""
    rest = [fields.mapping(one, place) for one in fields.items(value, place, 100)[1:21]]
    return [
        {"text": _plate(one.get(name), place), "confidence": fields.share(one["score"], place)}
        for one in rest
        if one.get("score") is not None
    ]


def _kind(vehicle: Any) -> str | None:
    kind = vehicle.get("type") if isinstance(vehicle, dict) else None
    return kind.lower()[:100] if isinstance(kind, str) and kind else None


def _box(value: Any, place: str) -> dict[str, int] | None:
    if value is None:
        return None
    given = fields.mapping(value, place)
    return fields.box(
        *(fields.number(given.get(name), place) for name in ("xmin", "ymin", "xmax", "ymax"))
    )
