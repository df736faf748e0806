"""Sightings and rules by hand, both stages of the alert engine, and a fold of what they say."""

from typing import Any

from rules.alerts.matching import Matching
from rules.alerts.raising import BUCKETS, Raising
from rules.alerts.rule import All, Condition, Pattern, Rule
from rules.alerts.rulebook import Rulebook
from rules.alerts.signals import Signal, buckets
from schemas.records import AlertEvent

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_800_000_000 * SECOND
NO_IMAGES = {"plate_url": "", "vehicle_url": "", "frame_url": ""}


def at(seconds: float) -> int:
    """A time of the tests, in microseconds."""
    return START + round(seconds * SECOND)


def sighting(event_id: str, seconds: float, plate: str, **changes: Any) -> dict[str, Any]:
    """A revision of a sighting; what is not said is as of a confirmed one at a gate."""
    captured = at(seconds)
    node = {
        "site": "",
        "host": "edge",
        "zone": changes.pop("zone", ""),
        "lane": "",
        "latitude": changes.pop("latitude", None),
        "longitude": changes.pop("longitude", None),
        "timezone": changes.pop("timezone", "UTC"),
    }
    return {
        "event_id": event_id,
        "revision": 1,
        "partition": 0,
        "status": "confirmed",
        "captured_at": captured,
        "first_seen": captured,
        "last_seen": captured,
        "camera_id": "gate",
        "camera_group": None,
        "track_id": f"t-{event_id}",
        "plate": {
            "text": plate,
            "normalized_text": plate,
            "confidence": changes.pop("confidence", 0.95),
            "region": None,
        },
        "vehicle": {"type": None, "make": None, "model": None, "color": None},
        "images": NO_IMAGES,
        "latency_ms": 100,
        "node": node,
        "extras": {
            "roi": None,
            "direction": changes.pop("direction", None),
            "quality_score": 0.5,
            "frame_number": 1,
            "box": {"x": 0, "y": 0, "width": 10, "height": 5},
        },
        "reads": 2,
        "tracks": 1,
        "was": [],
        "alternatives": [],
        "merged_into": None,
        "reason": None,
        "rules_version": "v",
        "evidence": {"positions": [], "reads": [], "texts": 1},
    } | changes


def progress(seconds: float, partition: int = 0, cameras: int = 1) -> dict[str, Any]:
    """How far time has come; the clock is 5 s ahead of the watermark."""
    return {
        "partition": partition,
        "revision": 1,
        "watermark": at(seconds),
        "clock": at(seconds + 5),
        "cameras": cameras,
    }


def rule(
    name: str = "r", where: Condition | None = None, pattern: Pattern | None = None, **changes: Any
) -> Rule:
    """A rule; every change of what decides gives another shape."""
    where = All() if where is None else where
    decides = (where, pattern, changes.get("cooldown", 0), changes.get("sure", 0.5))
    return Rule(
        **{
            "name": name,
            "description": "",
            "enabled": True,
            "severity": "warning",
            "where": where,
            "pattern": pattern,
            "cooldown": 0,
            "sure": 0.5,
            "actions": (),
            "escalation": None,
            "definition": "{}",
            "version": f"{hash((name, decides)) & 0xFFFFFFFFFFFF:012x}",
            "shape": repr(decides),
        }
        | changes
    )


def book(*rules: Rule, since: int = 0) -> Rulebook:
    """A rulebook with these rules in force from ``since``."""
    made = Rulebook()
    for one in rules:
        made.put(one.name, one, since)
    return made


class Engine:
    """Both stages over all partitions and buckets, and the alerts that stand by what was said."""

    def __init__(self, rules: Rulebook, partitions: int = 1) -> None:
        self.book = rules
        self.partitions = partitions
        self.matching = [Matching(p, rules) for p in range(partitions)]
        self.raising = [Raising(rules, partitions) for _ in range(BUCKETS)]
        self.said: list[AlertEvent] = []
        self.standing: dict[str, AlertEvent] = {}

    def see(self, record: dict[str, Any], appended_at: int | None = None) -> list[AlertEvent]:
        """Fold a record of alpr.plates.detected into its partition."""
        name = "Progress" if "watermark" in record else "PlateEvent"
        if "heard_at" in record:
            name = "CameraState"
        if appended_at is None:
            appended_at = record.get("last_seen") or record.get("clock") or record["at"]
        return self.hear(self.matching[record["partition"]].fold(name, record, 0, appended_at))

    def erase(self, event_id: str, partition: int = 0) -> list[AlertEvent]:
        """Fold a tombstone."""
        return self.hear(self.matching[partition].erase(event_id))

    def hear(self, signals: list[Signal]) -> list[AlertEvent]:
        """Fold signals into their buckets."""
        said = [
            event
            for signal in signals
            for bucket in buckets(signal)
            for event in self.raising[bucket].fold(signal)
        ]
        for event in said:
            if event["kind"] in ("withdrawn", "resolved"):
                assert self.standing.pop(event["alert_id"], None), (
                    "what did not stand is taken back"
                )
            else:
                assert (event["kind"] == "raised") == (event["alert_id"] not in self.standing)
                self.standing[event["alert_id"]] = event
        self.said += said
        return said

    def restart(self) -> None:
        """Go on from snapshots, as after a crash."""
        import pickle

        self.matching = [
            Matching(p, self.book, pickle.loads(pickle.dumps(one.snapshot())))
            for p, one in enumerate(self.matching)
        ]
        self.raising = [
            Raising(self.book, self.partitions, pickle.loads(pickle.dumps(one.snapshot())))
            for one in self.raising
        ]
