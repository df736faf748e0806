"""Records of the alerts' topics to write in tests, whole and valid."""

from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from eventlog.log import Entry
from projections.alert_view import Change
from rules.alerts.parse import parse
from schemas.records import AlertEvent, NotificationAttempt, RuleVersion, WatchlistEntry
from tests.projections.sightings import NOON, event_id

SECOND = 1_000_000


def alert_id(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"alert {number}"))


def alert(number: int = 0, kind: str = "raised", **said: Any) -> AlertEvent:
    """An event of an alert; ``at`` is when the sighting was, else top-level fields."""
    at = said.pop("at", NOON + number * SECOND)
    plate = said.pop("plate", f"ABC{number:04d}")
    whole: dict[str, Any] = {
        "alert_id": alert_id(number),
        "kind": kind,
        "at": at,
        "rule": "Wanted",
        "rule_version": "0123456789ab",
        "event_id": event_id(number),
        "revision": 0,
        "subject": plate,
        "plate": plate,
        "camera_id": "CAM-001",
        "severity": "critical",
        "message": f"{plate} at the gate",
        "actor": None,
        "comment": None,
        "count": 1,
        "event_ids": [event_id(number)],
        "first_at": at,
        "last_at": at,
        "text": None,
        "confidence": 0.9,
        "site": "north",
        "zone": "gate",
        "timezone": "Europe/Istanbul",
        "images": {"plate_url": f"folder:/{number}.jpg", "vehicle_url": "", "frame_url": ""},
        "watched": {
            "watchlist": "stolen",
            "plate": plate,
            "kind": "deny",
            "match": "exact",
            "confidence": 1.0,
            "owner": "police",
            "reason": "stolen",
            "tags": ["red"],
        },
        "was": [],
        "reason": None,
        "near_change": False,
    }
    return cast("AlertEvent", whole | said)


def attempt(number: int = 0, of: int = 0, **said: Any) -> NotificationAttempt:
    whole: dict[str, Any] = {
        "notification_id": f"n-{number}",
        "alert_id": alert_id(of),
        "channel": "email",
        "target": "gate@example.com",
        "attempt": 1,
        "at": NOON + number * SECOND,
        "outcome": "sent",
        "detail": "",
        "duration_ms": 120,
    }
    return cast("NotificationAttempt", whole | said)


def rule(name: str = "Wanted", severity: str = "critical", **said: Any) -> RuleVersion:
    text = f"""
rules:
  - name: {name}
    description: Plates that are wanted
    severity: {severity}
    conditions:
      camera_ids: [CAM-001]
    actions:
      - type: webhook
        url: https://example.com/hook
"""
    (made,) = parse(text, "rules.yaml").rules
    whole: dict[str, Any] = {
        "name": name,
        "effective_from": NOON,
        "definition": made.definition,
        "actor": "ayse",
    }
    return cast("RuleVersion", whole | said)


def entry(number: int = 0, watchlist: str = "stolen", **said: Any) -> WatchlistEntry:
    whole: dict[str, Any] = {
        "watchlist": watchlist,
        "plate": f"ABC{number:04d}",
        "kind": "deny",
        "match": "exact",
        "effective_from": NOON,
        "valid_from": None,
        "valid_to": None,
        "owner": "police",
        "reason": "stolen",
        "tags": ["red"],
        "removed": False,
        "actor": "ayse",
    }
    return cast("WatchlistEntry", whole | said)


def changes(topic: str, *records: Any, start: int = 0, partition: int = 0) -> list[Change]:
    """Records at offsets from ``start`` on; a text is the key of a tombstone."""
    return [
        Change(
            Entry(
                topic,
                partition,
                start + place,
                NOON + (start + place) * 1000,
                one.encode() if isinstance(one, str) else b"",
                None if isinstance(one, str) else b"...",
                {},
            ),
            None if isinstance(one, str) else one,
        )
        for place, one in enumerate(records)
    ]


def write(view: Any, topic: str, *records: Any, start: int = 0, partition: int = 0) -> list[Any]:
    """Apply records to a view; what it refuses."""
    given = changes(topic, *records, start=start, partition=partition)
    return view.apply(topic, partition, start, given, start + len(records))
