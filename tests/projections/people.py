"""What people say and did, to write in tests, whole and valid."""

from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from schemas.records import AuditEntry, CameraChanged, Correction
from tests.projections.sightings import NOON, event_id

SECOND = 1_000_000


def named(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"correction {number}"))


def correction(number: int = 0, of: int = 0, kind: str = "text", **said: Any) -> Correction:
    """A correction of the sighting ``of``; ``undoes`` is the number of an earlier one."""
    other = said.pop("undoes", None)
    whole: dict[str, Any] = {
        "correction_id": named(number),
        "event_id": event_id(of),
        "at": NOON + number * SECOND,
        "actor": "ayse",
        "kind": kind,
        "text": "XYZ123" if kind == "text" else None,
        "other": named(other) if other is not None else None,
        "comment": "",
    }
    return cast("Correction", whole | said)


def looked(number: int = 0, **said: Any) -> AuditEntry:
    whole: dict[str, Any] = {
        "audit_id": str(uuid5(NAMESPACE_URL, f"look {number}")),
        "at": NOON + number * SECOND,
        "actor": "ayse",
        "action": "view",
        "subject": "plate:p~1234",
        "reason": "case 7",
        "found": ["p~1234"],
    }
    return cast("AuditEntry", whole | said)


def changed(camera: str = "GATE-1", settings: str | None = '{"fps": 5}') -> CameraChanged:
    return {
        "camera_id": camera,
        "effective_from": NOON,
        "camera_group": None,
        "node": {
            "site": "north",
            "host": "edge-1",
            "zone": "gate",
            "lane": "1",
            "latitude": None,
            "longitude": None,
            "timezone": "UTC",
        },
        "settings": settings,
        "actor": "cli:ayse",
    }
