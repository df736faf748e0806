"""Frigate's messages, as an automation or a bridge posts them from MQTT.

https://docs.frigate.video/integrations/mqtt (0.16): ``frigate/tracked_object_update`` of the type
``lpr``, said whenever a plate was recognised, and ``frigate/events``. One of HTTP's ``/api/events``
has the same fields, some under ``data``. Frigate tells its best reading of a vehicle so far, again
with every event: the same text and score of a vehicle are the same read.
"""

from collections.abc import Mapping
from typing import Any

from edge.foreign import fields
from edge.foreign.fields import Translated, Untranslatable

_VEHICLES = frozenset(
    {"car", "motorcycle", "truck", "bus", "school_bus", "garbage_truck", "van", "license_plate"}
)
_UNRATED = 0.9
"""A reading without a score has passed Frigate's own recognition threshold, 0.9 by default."""


def translate(given: Any) -> Translated:
    """The read of a message; none where it tells of no plate. Raises Untranslatable."""
    message = fields.mapping(given, "the body")
    if "after" in message:
        return _event(fields.mapping(message["after"], "after"), "after.")
    if message.get("type") in ("lpr", None) and "plate" in message:
        return _recognised(message)
    if "camera" in message and "label" in message:
        return _event(message, "")
    if isinstance(message.get("type"), str) and "id" in message:
        return Translated()  # a description, a face, a classification: no plate
    raise Untranslatable(
        "the body is neither a message of frigate/events nor of frigate/tracked_object_update"
    )


def _recognised(message: Mapping[str, Any]) -> Translated:
    if not message.get("plate"):
        return Translated()
    plate = fields.text(message["plate"], "plate")
    rate = message.get("score")
    confidence = _UNRATED if rate is None else fields.share(rate, "score")
    return _read(
        message,
        "",
        plate,
        confidence,
        fields.seconds(message.get("timestamp"), "timestamp"),
        box=_box(message.get("plate_box"), "plate_box"),
    )


def _event(event: Mapping[str, Any], place: str) -> Translated:
    camera = fields.camera(event.get("camera"), f"{place}camera")
    data = event.get("data")
    data = data if isinstance(data, dict) else {}
    plate = event.get("recognized_license_plate") or data.get("recognized_license_plate")
    rate = event.get("recognized_license_plate_score")
    rate = data.get("recognized_license_plate_score") if rate is None else rate
    if isinstance(plate, list) and len(plate) == 2:  # [text, score], as 0.16 keeps it inside
        plate, rate = plate
    if event.get("false_positive") is True or not plate:
        return Translated(alive=[camera])
    at = next(
        (
            event[name]
            for name in ("frame_time", "end_time", "start_time")
            if event.get(name) is not None
        ),
        None,
    )
    label = event.get("label")
    confidence = (
        _UNRATED if rate is None else fields.share(rate, f"{place}recognized_license_plate_score")
    )
    return _read(
        event,
        place,
        fields.text(plate, f"{place}recognized_license_plate"),
        confidence,
        fields.seconds(at, f"{place}frame_time"),
        vehicle=label if label in _VEHICLES - {"license_plate"} else None,
    )


def _read(
    message: Mapping[str, Any],
    place: str,
    plate: str,
    confidence: float,
    at: int,
    *,
    box: dict[str, int] | None = None,
    vehicle: str | None = None,
) -> Translated:
    car = fields.text(message.get("id"), f"{place}id")
    read = fields.known(
        read_id=f"{car} {plate} {confidence:.4f}",
        camera_id=fields.camera(message.get("camera"), f"{place}camera"),
        captured_at=at,
        text=plate,
        confidence=confidence,
        track_id=car,
        box=box,
        vehicle={"type": vehicle} if vehicle else None,
        reader="frigate",
    )
    return Translated([read])


def _box(value: Any, place: str) -> dict[str, int] | None:
    """Frigate gives corners: left, top, right, bottom, in pixels of the detected stream."""
    if value is None:
        return None
    numbers = [fields.number(one, place) for one in fields.items(value, place)]
    if len(numbers) != 4:
        raise Untranslatable(f"{place} has {len(numbers)} numbers, not 4")
    return fields.box(*numbers)
