"""What is known of the cameras of one gate at this moment, and the sightings open there."""

from dataclasses import dataclass, field
from typing import Any

from rules.nearby import Nearby
from rules.sighting import Sighting
from schemas.records import Box

NEVER = 1 << 62
MAX_GLIMPSES = 16
MAX_STATIC = 64
"""Overlays and signs remembered of one group."""

Glimpse = tuple[int, Box, tuple[str, str], str]
"""A read of the last moments: when, where in the picture, camera and session, its sighting."""


class Group:
    """The open sightings of one camera, or of cameras that share a gate."""

    __slots__ = (
        "by_track",
        "cameras",
        "expiry",
        "glimpses",
        "opened",
        "sightings",
        "static",
        "texts",
    )

    def __init__(self) -> None:
        self.sightings: dict[str, Sighting] = {}
        self.texts = Nearby()
        """the folded text of each"""
        self.by_track: dict[str, str] = {}
        self.cameras: list[Camera] = []
        self.opened = 0
        self.expiry = NEVER
        """no sighting ends before the group's time reaches this"""
        self.static: list[tuple[str, Box]] = []
        self.glimpses: list[Glimpse] = []

    def time(self) -> int:
        """How far all cameras that are not silent have come."""
        if len(self.cameras) == 1:
            return self.cameras[0].high
        heard = [camera.high for camera in self.cameras if not camera.silent]
        return min(heard) if heard else max([camera.high for camera in self.cameras])

    def renew_expiry(self, stay: int) -> None:
        """Look up when the next sighting may end, ``stay`` microseconds after its last read."""
        last = [sighting.last_seen for sighting in self.sightings.values()]
        self.expiry = min(last) + stay if last else NEVER

    def put(self, sighting: Sighting) -> None:
        """Take in an open sighting, or note that its text changed."""
        self.sightings[sighting.event_id] = sighting
        self.texts.put(sighting.event_id, sighting.folded)

    def forget(self, sighting: Sighting) -> None:
        """Let go of a sighting that is over."""
        event_id = sighting.event_id
        del self.sightings[event_id]
        self.texts.drop(event_id)
        for track in sighting.bound:
            if self.by_track.get(track) == event_id:
                del self.by_track[track]

    def state(self, kept: dict[str, bytes]) -> dict[str, Any]:
        """Plain values for ``Group.of``; ``kept`` has the sightings' states."""
        return {
            "sightings": [kept[event_id] for event_id in self.sightings],
            "tracks": dict(self.by_track),
            "opened": self.opened,
            "static": list(self.static),
            "glimpses": list(self.glimpses),
        }

    def resume(self, state: dict[str, Any], sightings: list[Sighting]) -> None:
        """Take up what ``state`` said."""
        self.by_track = dict(state["tracks"])
        self.opened = state["opened"]
        self.static = list(state["static"])
        self.glimpses = list(state["glimpses"])
        for sighting in sightings:
            self.put(sighting)


@dataclass(slots=True, eq=False)
class Camera:
    """How far one camera's time has come."""

    group: str
    home: Group
    high: int
    """newest capture time, microseconds"""
    appended_at: int
    """when its latest record was appended"""
    silent: bool = False
    recent: dict[str, int] = field(default_factory=dict[str, int])
    """read_id → capture time, of the reads within the lateness"""

    def remember(self, read_id: str, captured: int, since: int) -> None:
        """Note a read; forget those captured before ``since``."""
        recent = self.recent
        recent[read_id] = captured
        oldest = next(iter(recent))
        while recent[oldest] < since:
            del recent[oldest]
            oldest = next(iter(recent))
