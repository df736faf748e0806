"""Which rules each sighting of one partition counts for: a fold, record by record."""

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from rules.alerts.holds import holds
from rules.alerts.rulebook import Rulebook
from rules.alerts.signals import CameraTold, Clock, Erased, Evidence, Sighted, Signal
from schemas.records import CameraState, PlateEvent, Progress, WatchHit

STATE_VERSION = 1
MINUTE = 60_000_000
REPEATS = 10 * MINUTE
"""How long, in the log's time, a sighting that is over is known: a crash repeats what was said."""
_LAST = 1 << 62
LONGEST = 7 * 24 * 60 * MINUTE
"""After so long without a word a sighting that never ended is given up."""


class StateError(Exception):
    """A snapshot is of another version than this code can continue."""


class Standing(NamedTuple):
    """What a rule made of a sighting: by the shape that it counted for first."""

    shape: str
    steps: tuple[int, ...]
    watched: WatchHit | None


class _Known(NamedTuple):
    revision: int
    last_seen: int
    over: int
    """log time at which it ended; 0 while it has not"""
    facts: tuple[Any, ...]
    standing: tuple[tuple[str, Standing], ...]
    """by rule"""


class Matching:
    """Folds one partition of alpr.plates.detected into signals.

    A sighting counts for a rule once it matches, and as long as what rules ask about stays as it
    is: plate, region, direction, vehicle, place. When that changes, the version of the rule that it
    counted for is asked again. No change of rules or lists takes back what counts.
    """

    def __init__(self, partition: int, book: Rulebook, state: dict[str, Any] | None = None) -> None:
        """Begin, or go on from a ``snapshot``; raises StateError for one of another version."""
        self._partition = partition
        self._book = book
        self._known: dict[str, _Known] = {}
        self._silent: dict[str, tuple[CameraState, frozenset[tuple[str, str]]]] = {}
        self._swept = 0
        if state is not None:
            if state.get("version") != STATE_VERSION:
                raise StateError(
                    f"the alerts' snapshot of partition {partition} has version"
                    f" {state.get('version')}, this release continues version {STATE_VERSION}:"
                    " begin with an empty recovery folder"
                )
            self._swept = state["swept"]
            self._known = {
                event_id: _Known(
                    revision,
                    last_seen,
                    over,
                    facts,
                    tuple((name, Standing(*one)) for name, one in standing),
                )
                for event_id, (revision, last_seen, over, facts, standing) in state["known"].items()
            }
            self._silent = {c: (s, frozenset(told)) for c, (s, told) in state["silent"].items()}

    def fold(self, name: str, record: Any, offset: int, appended_at: int) -> list[Signal]:
        """What one record says to those who raise alerts; ``appended_at`` as the log has it.

        The rules are those in force at that time. Records of no interest give nothing.
        """
        if name == "PlateEvent":
            return self._sighting(cast("PlateEvent", record), appended_at)
        if name == "Progress":
            return self._progress(cast("Progress", record), appended_at)
        if name == "CameraState":
            return self._camera(cast("CameraState", record), appended_at)
        return []

    def erase(self, event_id: str, appended_at: int | None = None) -> list[Signal]:
        """What a tombstone says: the sighting is gone, and with it what it caused."""
        at = appended_at or self._swept
        known = self._known.get(event_id)
        if known is not None:
            # Nothing is left of it, but that no repeat brings it back.
            self._known[event_id] = _Known(_LAST, known.last_seen, at, (), ())
        return [Erased(event_id)]

    def snapshot(self) -> dict[str, Any]:
        """All state as plain values, sharing nothing that will change."""
        return {
            "version": STATE_VERSION,
            "swept": self._swept,
            "known": {
                event_id: (*known[:4], tuple((name, tuple(s)) for name, s in known.standing))
                for event_id, known in self._known.items()
            },
            "silent": {c: (dict(s), sorted(told)) for c, (s, told) in self._silent.items()},
        }

    # Sightings

    def _sighting(self, event: PlateEvent, at: int) -> list[Signal]:
        event_id, status = event["event_id"], event["status"]
        known = self._known.get(event_id)
        if known is not None and event["revision"] <= known.revision:
            return []
        before = dict(known.standing) if known is not None else {}
        facts = _facts(event)
        now: dict[str, Standing] = {}
        if status != "retracted":
            now = before if known is None or facts == known.facts else self._ask(before, event, at)
            now = self._count(now, event, at)
        if known is not None or now:
            self._known[event_id] = _Known(
                event["revision"],
                event["last_seen"],
                at if status in ("ended", "retracted") else 0,
                facts,
                tuple(now.items()),
            )
        if not before and not now:
            return []
        near = self._book.near_change(at)
        out: list[Signal] = []
        into = event["merged_into"]
        reason = "revised" if status != "retracted" else "retracted" if into is None else "merged"
        for name, was in before.items():
            still = now.get(name)
            if still is None or still.shape != was.shape:
                evidence = evidence_of(event, at, was.watched, near)
                out.append(Sighted(name, was.shape, (), evidence, reason, into))
        for name, standing in now.items():
            evidence = evidence_of(event, at, standing.watched, near)
            out.append(Sighted(name, standing.shape, standing.steps, evidence))
        return out

    def _ask(self, before: dict[str, Standing], event: PlateEvent, at: int) -> dict[str, Standing]:
        """What still counts of a sighting that changed, by the versions that it counted for."""
        still: dict[str, Standing] = {}
        for name, standing in before.items():
            rule = self._book.shaped(name, standing.shape)
            hits = [] if rule is None else self._book.recheck(rule, event, at)
            if hits:
                watched = next((hit.watched for hit in hits if hit.watched is not None), None)
                steps = tuple(hit.step for hit in hits)
                still[name] = Standing(standing.shape, steps, watched)
        return still

    def _count(
        self, standing: dict[str, Standing], event: PlateEvent, at: int
    ) -> dict[str, Standing]:
        """The same, and what the rules in force have to say."""
        tentative, confidence = event["status"] == "tentative", event["plate"]["confidence"]
        counted = dict(standing)
        for hit in self._book.match(event, at):
            rule = hit.rule
            if tentative and confidence < rule.sure:
                continue
            was = counted.get(rule.name)
            if was is None:
                counted[rule.name] = Standing(rule.shape, (hit.step,), hit.watched)
            elif was.shape == rule.shape and hit.step not in was.steps:
                steps = tuple(sorted((*was.steps, hit.step)))
                counted[rule.name] = Standing(was.shape, steps, was.watched or hit.watched)
        return counted

    # Time and cameras

    def _progress(self, progress: Progress, at: int) -> list[Signal]:
        # Releases before 1.0 told no clock.
        clock = progress["clock"] or at
        if at >= self._swept + MINUTE:
            self._swept = at
            time = progress["watermark"] if progress["cameras"] else clock
            self._known = {
                event_id: known
                for event_id, known in self._known.items()
                if (known.over + REPEATS >= at if known.over else known.last_seen + LONGEST >= time)
            }
        out: list[Signal] = []
        if self._silent:
            rules = self._book.cameras(at)
            for camera_id in self._silent:
                out += self._tell(camera_id, rules, at)
        out.append(Clock(self._partition, progress["watermark"], clock, progress["cameras"]))
        return out

    def _camera(self, state: CameraState, at: int) -> list[Signal]:
        camera_id = state["camera_id"]
        known = self._silent.get(camera_id)
        if state["state"] == "silent":
            if known is None or known[0]["heard_at"] != state["heard_at"]:
                self._silent[camera_id] = (state, frozenset())
            return self._tell(camera_id, self._book.cameras(at), at)
        if known is None or state["revision"] < known[0]["revision"]:
            return []
        del self._silent[camera_id]
        near = self._book.near_change(at)
        return [_told(name, shape, state, at, near) for name, shape in sorted(known[1])]

    def _tell(self, camera_id: str, rules: Iterable[Any], at: int) -> list[Signal]:
        """Tell the rules that wait for this camera's silence, once each: new ones, too."""
        state, told = self._silent[camera_id]
        camera = cast("PlateEvent", {"camera_id": camera_id})
        new = [
            (rule.name, rule.shape)
            for rule in rules
            if (rule.name, rule.shape) not in told and holds(rule.where, camera, ())
        ]
        if not new:
            return []
        self._silent[camera_id] = (state, told.union(new))
        near = self._book.near_change(at)
        return [_told(name, shape, state, at, near) for name, shape in new]


def evidence_of(
    event: PlateEvent, appended_at: int, watched: WatchHit | None, near_change: bool
) -> Evidence:
    """What an alert has to know of a revision."""
    plate, node = event["plate"], event["node"]
    return Evidence(
        event_id=event["event_id"],
        revision=event["revision"],
        partition=event["partition"],
        appended_at=appended_at,
        captured_at=event["captured_at"],
        first_seen=event["first_seen"],
        last_seen=event["last_seen"],
        status=event["status"],
        plate=plate["normalized_text"],
        text=plate["text"],
        confidence=plate["confidence"],
        camera_id=event["camera_id"],
        gate=event["camera_group"] or event["camera_id"],
        site=node["site"],
        zone=node["zone"],
        timezone=node["timezone"],
        latitude=node["latitude"],
        longitude=node["longitude"],
        images=event["images"],
        watched=watched,
        was=tuple(event["was"]),
        near_change=near_change,
    )


def _facts(event: PlateEvent) -> tuple[Any, ...]:
    """What a rule may ask about that is a matter of right and wrong, not of how sure it is."""
    plate, vehicle, node = event["plate"], event["vehicle"], event["node"]
    return (
        plate["normalized_text"],
        plate["region"],
        event["extras"]["direction"],
        vehicle["type"],
        vehicle["make"],
        vehicle["model"],
        vehicle["color"],
        event["camera_id"],
        node["zone"],
    )


def _told(name: str, shape: str, state: CameraState, at: int, near: bool) -> CameraTold:
    return CameraTold(
        name,
        shape,
        state["camera_id"],
        state["state"],
        state["at"],
        state["heard_at"],
        state["partition"],
        at,
        near,
    )
