"""What cameras are set to, as versions on alpr.cameras: written where they differ from the last."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eventlog.log import Append, Log
from eventlog.span import span
from schemas.codec import Codec, DecodeError
from schemas.records import CameraChanged, Node
from schemas.topics import CAMERAS

if TYPE_CHECKING:
    from edge.cameras import Camera

_ELSEWHERE = frozenset(
    {"id", "group", "site", "zone", "lane", "latitude", "longitude", "timezone", "source"}
)


def settings_of(camera: "Camera") -> str:
    """A camera's settings as JSON, without credentials and query of its source."""
    from edge.cameras import without_secrets

    told: dict[str, Any] = {k: v for k, v in asdict(camera).items() if k not in _ELSEWHERE}
    source = without_secrets(camera.source)
    told["source"] = source.partition("?")[0] if "://" in source else source
    return json.dumps(told, sort_keys=True, ensure_ascii=False)


def known(log: Log, codec: Codec) -> dict[str, CameraChanged]:
    """The last version of each camera that the log knows, removed ones too."""
    latest: dict[str, CameraChanged] = {}
    for entry in span(log, CAMERAS.name, 0, 0, log.end(CAMERAS.name, 0)):
        try:
            name, record = codec.decode(entry.value or b"")
        except DecodeError:
            continue  # the project flow keeps it as a dead letter
        if name == "CameraChanged":
            latest[record["camera_id"]] = record
    return latest


def tell_cameras(  # noqa: PLR0917 (who says what, where and when)
    log: Log, codec: Codec, cameras: Iterable["Camera"], host: str, actor: str, now: int
) -> list[CameraChanged]:
    """Append a version of each camera whose settings are not as the log has them, and the end of
    those that are not among ``cameras`` any more; what was written.

    ``now`` is in microseconds. The log is the edge's own, so it knows no other edge's cameras.
    """
    before = known(log, codec)
    written: list[CameraChanged] = []
    for camera in cameras:
        version = _version(
            camera.id, camera.group, camera.node(host), settings_of(camera), actor=actor, now=now
        )
        last = before.pop(camera.id, None)
        if last is None or _said(last) != _said(version):
            written.append(version)
    for last in before.values():
        if last["settings"] is not None:
            group, node = last["camera_group"], last["node"]
            written.append(_version(last["camera_id"], group, node, None, actor=actor, now=now))
    if written:
        encode = codec.encoder(CAMERAS.name, "CameraChanged")
        log.append(
            CAMERAS.name, 0, [Append(one["camera_id"].encode(), encode(one)) for one in written]
        )
    return written


def _version(
    camera_id: str,
    group: str | None,
    node: Node,
    settings: str | None,
    *,
    actor: str,
    now: int,
) -> CameraChanged:
    return {
        "camera_id": camera_id,
        "effective_from": now,
        "camera_group": group,
        "node": node,
        "settings": settings,
        "actor": actor,
    }


def _said(version: Mapping[str, Any]) -> tuple[Any, ...]:
    return version["camera_group"], version["node"], version["settings"]
