"""What an agent of Rekor Scout (OpenALPR before) posts.

https://docs.rekor.ai/scout/application-integration: ``alpr_results`` for each frame with a plate,
``alpr_group`` when a vehicle has gone, ``heartbeat`` with the cameras that stream; version 2 of
the format. The group names the frame of its best reading by that frame's uuid, so the two are one
read where both are sent. Groups come in the order in which vehicles leave, so that alone they
are dated by ``epoch_end``: by their best frame they would come too late to count. Confidences are
percentages.
"""

from collections.abc import Mapping
from typing import Any

from edge.foreign import fields
from edge.foreign.fields import Translated, Untranslatable


def translate(given: Any) -> Translated:
    """The reads of a message, the cameras of a heartbeat. Raises Untranslatable."""
    message = fields.mapping(given, "the body")
    kind = message.get("data_type")
    if kind == "alpr_results":
        return _results(message)
    if kind == "alpr_group":
        return Translated([_group(message)])
    if kind == "heartbeat":
        streams = fields.items(message.get("video_streams"), "video_streams")
        living = [fields.mapping(one, "video_streams") for one in streams]
        return Translated(
            alive=[
                fields.camera(one.get("camera_id"), "video_streams.camera_id")
                for one in living
                if one.get("is_streaming") is not False
            ]
        )
    if kind in ("alpr_alert", "vehicle"):
        return Translated()  # the group of an alert is sent by itself, too
    raise Untranslatable("data_type is none of alpr_results, alpr_group, heartbeat")


def _results(message: Mapping[str, Any]) -> Translated:
    camera = fields.camera(message.get("camera_id"), "camera_id")
    uuid = fields.text(message.get("uuid"), "uuid")
    at = _time(message.get("epoch_time"), "epoch_time")
    reads: list[dict[str, Any]] = []
    for index, one in enumerate(fields.items(message.get("results"), "results", 100)):
        here = f"results[{index}]"
        result = fields.mapping(one, here)
        reads.append(
            {
                **_plate(result, here),
                "read_id": f"{uuid} {_index(result)}",
                "camera_id": camera,
                "captured_at": at,
                "frame_width": _pixels(message.get("img_width")),
                "frame_height": _pixels(message.get("img_height")),
                "reader": "rekor",
            }
        )
    return Translated(reads)


def _group(message: Mapping[str, Any]) -> dict[str, Any]:
    plate = fields.mapping(message.get("best_plate"), "best_plate")
    uuid = fields.text(message.get("best_uuid"), "best_uuid")
    at = message.get("epoch_end")
    at = message.get("epoch_start") if at is None else at
    crop = message.get("vehicle_crop_jpeg")
    read = _plate({**plate, "vehicle": message.get("vehicle")}, "best_plate")
    if isinstance(crop, str) and crop:
        read["pictures"] = {**read.get("pictures", {}), "vehicle": crop}
    return {
        **read,
        **fields.known(
            read_id=f"{uuid} {_index(plate)}",
            camera_id=fields.camera(message.get("camera_id"), "camera_id"),
            captured_at=_time(at, "epoch_end"),
            frame_width=_pixels(message.get("best_image_width")),
            frame_height=_pixels(message.get("best_image_height")),
            direction=fields.heading(message.get("travel_direction")),
            node=_place(message),
            reader="rekor",
        ),
    }


def _plate(plate: Mapping[str, Any], here: str) -> dict[str, Any]:
    text = fields.text(plate.get("plate"), f"{here}.plate")
    others = [
        fields.mapping(one, f"{here}.candidates")
        for one in fields.items(plate.get("candidates"), f"{here}.candidates", 100)[:20]
    ]
    vehicle = plate.get("vehicle")
    vehicle = vehicle if isinstance(vehicle, dict) else {}
    crop = plate.get("plate_crop_jpeg")
    return fields.known(
        text=text,
        confidence=fields.share(plate.get("confidence"), f"{here}.confidence", 100),
        alternatives=[
            {
                "text": fields.text(one.get("plate"), f"{here}.candidates.plate"),
                "confidence": fields.share(
                    one.get("confidence"), f"{here}.candidates.confidence", 100
                ),
            }
            for one in others
            if one.get("plate") != text
        ],
        region=fields.region(plate.get("region")),
        box=fields.corners(plate.get("coordinates"), f"{here}.coordinates"),
        vehicle=fields.known(
            type=fields.best(vehicle.get("body_type"), f"{here}.vehicle.body_type", "name"),
            make=fields.best(vehicle.get("make"), f"{here}.vehicle.make", "name"),
            model=fields.best(vehicle.get("make_model"), f"{here}.vehicle.make_model", "name"),
            color=fields.best(vehicle.get("color"), f"{here}.vehicle.color", "name"),
        ),
        pictures={"plate": crop} if isinstance(crop, str) and crop else None,
    )


def _place(message: Mapping[str, Any]) -> dict[str, float] | None:
    """Where the agent stands; -1 or 0 for both is Rekor's word for unknown."""
    latitude, longitude = message.get("gps_latitude"), message.get("gps_longitude")
    if latitude in (None, 0, -1) or longitude in (None, 0, -1):
        return None
    return {
        "latitude": fields.number(latitude, "gps_latitude"),
        "longitude": fields.number(longitude, "gps_longitude"),
    }


def _time(value: Any, place: str) -> int:
    return round(fields.number(value, place) * 1000)


def _index(plate: Mapping[str, Any]) -> int:
    index = plate.get("plate_index", 0)
    return index if isinstance(index, int) and 0 <= index < 1000 else 0


def _pixels(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
