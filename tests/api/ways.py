"""Plates that travel: over six cameras with places, over some without, in company."""

from collections.abc import Sequence

from schemas.records import PlateEvent
from tests.api.world import MINUTE, NO_PICTURES, World, pictured
from tests.projections.sightings import NOON, sighting

ROUTED, PLAIN, MATE, TWIN = "WAY1234", "LOW5678", "MATE777", "CLONE11"
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
# Camera, latitude, longitude: around Tampa, the first two of one gate.
PLACES = (
    ("HARBOUR-IN", 27.9420, -82.4510),
    ("HARBOUR-OUT", 27.9421, -82.4508),
    ("MARKET", 27.9530, -82.4590),
    ("STATION", 27.9560, -82.4400),
    ("STADIUM", 27.9790, -82.5030),
    ("AIRPORT", 27.9760, -82.5330),
)
_TIMES = (0, 3, 12, 21, 38, 46)  # minutes
_FIRST = 5_000  # number of the first sighting, beyond the world's own


def passes(world: World) -> list[PlateEvent]:
    """All of them, to be written to the world."""
    made: list[PlateEvent] = []

    def seen(text: str, camera: str, at: int, place: tuple[float, float] | None = None, **how):
        number = _FIRST + len(made)
        stay = how.pop("stay", 4_000_000)
        event = sighting(
            number,
            text=text,
            camera_id=camera,
            at=at,
            **({"status": "ended", "images": NO_PICTURES, "last_seen": at + stay} | how),
        )
        latitude, longitude = place or (None, None)
        event["node"] = event["node"] | {"latitude": latitude, "longitude": longitude}
        made.append(event)
        return event

    for day in range(5):
        for (camera, latitude, longitude), minutes in zip(PLACES, _TIMES, strict=True):
            at = NOON + day * DAY + minutes * MINUTE
            event = seen(
                ROUTED, camera, at, (latitude, longitude), stay=MINUTE * (25 if day else 1) // 20
            )
            if day == 4:
                event["images"] = pictured(world.pictures, ROUTED, event["event_id"])
            if camera in {"MARKET", "STADIUM"}:
                seen(MATE, camera, at + 20_000_000, (latitude, longitude))
            for other in range(3):  # who happens to be there, another one each time
                seen(f"RND{day}{minutes:02d}{other}", camera, at - (other + 1) * 9_000_000)
    for camera, minutes in (("YARD-A", 0), ("YARD-B", 7), ("SCALE", 31), ("YARD-A", 44)):
        seen(PLAIN, camera, NOON + minutes * MINUTE)
    harbour, airport = PLACES[0], PLACES[5]
    seen(TWIN, harbour[0], NOON, harbour[1:])
    seen(TWIN, airport[0], NOON + MINUTE, airport[1:])
    return made


def write(world: World) -> Sequence[PlateEvent]:
    """Add them to a world."""
    made = passes(world)
    world.write(made)
    return made
