"""How the records of one partition become sightings: a fold, record by record.

Nothing here knows a clock, a batch or a database. What comes out depends on the records and
their order alone; so it may be run again, from any snapshot, and says the same.
"""

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from rules.assignment import Assignment
from rules.boxes import beside, overlap
from rules.grammar import Grammar
from rules.group import MAX_GLIMPSES, MAX_STATIC, NEVER, Camera, Glimpse, Group
from rules.redriven import Redriven
from rules.settings import DedupSettings
from rules.sighting import SECOND, Sighting, event_id_of
from rules.similarity import fold
from rules.text import normalise_read
from rules.validation import Validation
from rules.version import rules_version
from schemas.records import (
    CameraHeartbeat,
    CameraState,
    PlateRead,
    Progress,
    ReadRejected,
    SourceEnded,
    Status,
)

STATE_VERSION = 2
CLOCK_US = 5_000_000
"""How often ``Progress`` tells the clock alone, while the watermark stands still."""
BESIDE_US = 1_000_000
"""How close in time two texts are read that are seen side by side."""


class Output(NamedTuple):
    """A record that the fold gives: its name, its key within the partition, and itself."""

    name: str
    key: str
    record: Any


class StateError(Exception):
    """A snapshot is of another version than this code can continue."""


class Deduplication:
    """Folds the records of one partition of alpr.reads.raw into sightings."""

    def __init__(
        self,
        partition: int,
        settings: DedupSettings,
        grammar: Grammar,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin, or go on from a ``snapshot``; raises StateError for one of another version."""
        self._partition = partition
        self._settings = settings
        self._grammar = grammar
        self._version = rules_version(settings, grammar)
        self._assignment = Assignment(settings)
        self._validation = Validation(settings, grammar)
        self._lateness = int(settings.lateness_s * SECOND)
        self._stay = int(settings.window_s * SECOND) + self._lateness
        self._ahead = int(settings.clock_ahead_s * SECOND)
        self._silence = int(settings.silence_s * SECOND)
        self._cameras: dict[str, Camera] = {}
        self._groups: dict[str, Group] = {}
        self._redriven = Redriven()
        self._watermark = 0
        self._clock = 0
        """of the last Progress"""
        self._states: list[Output] = []
        """what the record at hand says of cameras"""
        self._touched: set[str] = set()
        self._kept: dict[str, bytes] = {}
        if state is not None:
            self._resume(state)

    def fold(
        self, name: str, record: Any, offset: int, appended_at: int, *, redriven: bool = False
    ) -> list[Output]:
        """What one record of the raw log causes, in order; mostly nothing.

        ``name`` and ``record`` are as the codec decodes them, ``offset`` and ``appended_at``
        (microseconds) the log's; ``redriven`` says that the record was sent again, by its header.
        Records that say nothing about sightings are passed over.
        """
        out: list[Output] = []
        if name == "PlateRead":
            read = cast("PlateRead", record)
            count = self._read_again if redriven else self._read
            out = count(read, offset, appended_at)
        elif name == "Tick":
            out = self._tick(record["at"], offset)
        elif name == "CameraHeartbeat":
            out = self._heartbeat(cast("CameraHeartbeat", record), offset, appended_at)
        elif name == "SourceEnded":
            out = self._source_ended(cast("SourceEnded", record), offset, appended_at)
        if self._states:
            out = [*self._states, *out]
            self._states = []
        if self._redriven.gates:
            for group in self._redriven.quiet(appended_at):
                out += self._end_all(group, list(group.sightings.values()), offset, "redriven")
        return out

    def snapshot(self) -> dict[str, Any]:
        """All state as plain values, sharing nothing that will change.

        Each sighting's is pickled here, once for each time it changed: what keeps a snapshot
        then copies bytes, rather than walk through every open sighting again.
        """
        groups = [*self._groups.values(), *self._redriven.groups()]
        live = {e: s for group in groups for e, s in group.sightings.items()}
        for event_id in self._touched & live.keys():
            self._kept[event_id] = pickle.dumps(live[event_id].state())
        self._touched.clear()
        self._kept = {event_id: self._kept[event_id] for event_id in live}
        return {
            "version": STATE_VERSION,
            "watermark": self._watermark,
            "clock": self._clock,
            "cameras": {
                camera_id: (c.group, c.high, c.appended_at, c.silent, dict(c.recent))
                for camera_id, c in self._cameras.items()
            },
            "groups": {key: group.state(self._kept) for key, group in self._groups.items()},
            "redriven": self._redriven.state(self._kept),
        }

    def _resume(self, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION:
            raise StateError(
                f"the snapshot of partition {self._partition} has version {state.get('version')},"
                f" this release continues version {STATE_VERSION}: end the open sightings with the"
                " release that wrote it, then begin with an empty recovery folder"
            )
        self._watermark = state["watermark"]
        self._clock = state.get("clock", 0)  # older snapshots have none
        self._groups = {key: Group() for key in state["groups"]}
        for camera_id, (key, high, appended_at, silent, recent) in state["cameras"].items():
            home = self._groups[key]
            camera = Camera(key, home, high, appended_at, silent, dict(recent))
            self._cameras[camera_id] = camera
            home.cameras.append(camera)
        for key, saved in state["groups"].items():
            self._take_up(self._groups[key], saved)
        # A snapshot of a release without redriven reads has none.
        for gate, saved in self._redriven.resume(state.get("redriven", {})):
            self._take_up(gate, saved)

    def _take_up(self, group: Group, saved: dict[str, Any]) -> None:
        sightings = [Sighting.of(pickle.loads(kept)) for kept in saved["sightings"]]
        group.resume(saved, sightings)
        group.renew_expiry(self._stay)
        self._kept |= {
            s.event_id: kept for s, kept in zip(sightings, saved["sightings"], strict=True)
        }

    # Time

    def _camera(self, record: Any, offset: int, appended_at: int) -> Camera:
        """The camera of a record, which lives."""
        camera_id = record["camera_id"]
        key = record["camera_group"] or camera_id
        camera = self._cameras.get(camera_id)
        if camera is None or camera.group != key:
            high = 0
            if camera is not None:
                high = camera.high
                camera.home.cameras.remove(camera)
            home = self._groups.get(key)
            if home is None:
                home = self._groups[key] = Group()
            camera = self._cameras[camera_id] = Camera(key, home, high, appended_at)
            home.cameras.append(camera)
        if camera.silent:
            camera.silent = False
            self._state(camera_id, camera, "live", offset, appended_at)
        camera.appended_at = appended_at
        return camera

    def _state(self, camera_id: str, camera: Camera, state: str, offset: int, at: int) -> None:
        """Say that a camera fell silent, is heard again, or that its source ended."""
        told: CameraState = {
            "camera_id": camera_id,
            "camera_group": None if camera.group == camera_id else camera.group,
            "state": state,
            "at": at,
            "heard_at": camera.appended_at,
            "partition": self._partition,
            "revision": offset,
        }
        self._states.append(Output("CameraState", f"camera-{camera_id}", told))

    def _tick(self, at: int, offset: int) -> list[Output]:
        least, heard_since, live = NEVER, at - self._silence, 0
        for camera_id, camera in self._cameras.items():
            if camera.silent:
                continue
            if camera.appended_at < heard_since:
                camera.silent = True
                self._state(camera_id, camera, "silent", offset, at)
                continue
            live += 1
            least = min(least, camera.high)
        watermark = least - self._lateness if live else self._watermark
        if watermark // SECOND > self._watermark // SECOND:
            self._watermark = watermark
        elif at // CLOCK_US <= self._clock // CLOCK_US:
            return []
        self._clock = at
        progress: Progress = {
            "partition": self._partition,
            "revision": offset,
            "watermark": self._watermark,
            "clock": at,
            "cameras": live,
        }
        return [Output("Progress", f"progress-{self._partition}", progress)]

    def _heartbeat(self, beat: CameraHeartbeat, offset: int, appended_at: int) -> list[Output]:
        if beat["captured_at"] > appended_at + self._ahead:
            return []
        camera = self._camera(beat, offset, appended_at)
        camera.high = max(camera.high, beat["captured_at"])
        home = camera.home
        return self._expire(home, offset) if home.expiry < camera.high else []

    def _source_ended(self, ended: SourceEnded, offset: int, appended_at: int) -> list[Output]:
        source = (ended["camera_id"], ended["session"])
        groups = self._redriven.at(ended["camera_group"] or ended["camera_id"])
        camera = self._cameras.get(ended["camera_id"])
        if camera is not None:
            if not camera.silent:
                camera.silent = True
                self._state(ended["camera_id"], camera, "ended", offset, appended_at)
            groups = [camera.home, *groups]
        out: list[Output] = []
        for group in groups:
            over = [s for s in group.sightings.values() if s.source == source]
            out += self._end_all(group, over, offset, "source")
        return out

    # Reads

    def _read(self, read: PlateRead, offset: int, appended_at: int) -> list[Output]:
        captured = read["captured_at"]
        if captured > appended_at + self._ahead:
            seconds = (captured - appended_at) / SECOND
            return [self._refuse(read, offset, "clock", f"captured {seconds:.1f} s after arrival")]
        camera = self._camera(read, offset, appended_at)
        if captured < camera.high - self._lateness:
            seconds = (camera.high - captured) / SECOND
            return [self._refuse(read, offset, "late", f"{seconds:.1f} s behind its camera")]
        read_id = read["read_id"]
        if read_id in camera.recent or self._redriven.counted(camera.group, read_id):
            return [self._refuse(read, offset, "duplicate", "this read was appended before")]
        camera.high = max(camera.high, captured)
        home = camera.home
        out = self._count(home, read, offset, appended_at)
        # Only now: a read that the rules stumble over is no repeat when it is sent again.
        camera.remember(read_id, captured, camera.high - self._lateness)
        if home.expiry < camera.high:
            out += self._expire(home, offset)
        return out

    def _read_again(self, read: PlateRead, offset: int, appended_at: int) -> list[Output]:
        """A redriven read: as any other where its camera is still at that time, else apart.

        It joins the sighting that would have had it, if that is open yet, or one of other redriven
        reads of the gate. It says nothing of where its camera is now.
        """
        captured, read_id = read["captured_at"], read["read_id"]
        key = read["camera_group"] or read["camera_id"]
        camera = self._cameras.get(read["camera_id"])
        present = (
            camera is not None
            and camera.group == key
            and not camera.silent
            and captured >= camera.high - self._lateness
        )
        if present or captured > appended_at + self._ahead:
            return self._read(read, offset, appended_at)
        home = self._groups.get(key)
        gate = self._redriven.gate(key, home)
        gate.appended_at = appended_at
        joined = None
        if home is not None:
            text, confidences = normalise_read(read["text"], read["char_confidences"])
            joined = self._assignment.of(home, read, text, confidences)[0]
        if (
            self._redriven.counted(key, read_id)
            or (camera is not None and read_id in camera.recent)
            or (home is not None and event_id_of(read_id) in home.sightings)
            or (joined is not None and joined.shows(read_id))
        ):
            return [self._refuse(read, offset, "duplicate", "this read was appended before")]
        if home is None or joined is None:
            gate.high = captured
            out = self._count(gate.home, read, offset, appended_at)
            if gate.home.expiry < captured:
                out += self._expire(gate.home, offset)
        else:
            # It is evidence, but not what the camera saw last.
            glimpses, latest = home.glimpses, joined.latest
            out = self._count(home, read, offset, appended_at)
            home.glimpses, joined.latest = glimpses, latest
        self._redriven.remember(gate, read_id)
        return out

    def _count(self, group: Group, read: PlateRead, offset: int, appended_at: int) -> list[Output]:
        grammar, settings = self._grammar, self._settings
        text, confidences = normalise_read(read["text"], read["char_confidences"])
        region = read["region"]
        scope = settings.country if region is None else grammar.scope(region, settings.country)
        wrong = self._validation.refusal(text, read["confidence"], scope)
        if wrong is None and group.static and _known(group, fold(text), read):
            wrong = "overlay", "known text that stays put in the picture"
        if wrong is not None:
            return [self._refuse(read, offset, *wrong)]
        sighting, rival = self._assignment.of(group, read, text, confidences)
        if sighting is None:
            sighting = Sighting.opened_by(read, offset, appended_at, scope, group.opened)
            group.opened += 1
            group.expiry = min(group.expiry, read["captured_at"] + self._stay)
        before = sighting.text
        for track in sighting.add(read, text, confidences, grammar):
            group.by_track.pop(track, None)
        event_id = sighting.event_id
        if sighting.text != before:
            group.put(sighting)
            if rival is None and before:
                rival = self._assignment.twin(group, sighting)
        group.by_track[read["track_id"]] = event_id
        self._touched.add(event_id)
        self._ride(group, sighting, read)
        out: list[Output] = []
        if rival is not None:
            out += self._merge(group, sighting, rival, read["track_id"], offset)
            if event_id not in group.sightings:
                return out
        if group.opened - sighting.passed > settings.overlay_passes and self._is_static(
            group, sighting
        ):
            out.append(self._retract_static(group, sighting, offset))
            return out
        status = sighting.news(settings, grammar)
        if status is not None:
            out.append(self._tell(sighting, status, offset))
        return out

    def _ride(self, group: Group, sighting: Sighting, read: PlateRead) -> None:
        """Note which of the texts seen side by side in these moments is the plate."""
        captured, box, source = read["captured_at"], read["box"], sighting.source
        event_id = sighting.event_id
        kept: list[Glimpse] = []
        for glimpse in group.glimpses:
            at, other_box, other_source, other_id = glimpse
            if not -BESIDE_US <= captured - at <= BESIDE_US:
                continue
            kept.append(glimpse)
            if other_id == event_id or other_source != source:
                continue
            other = group.sightings.get(other_id)
            if other is not None and other.natural != sighting.natural and beside(box, other_box):
                rider = sighting if other.natural else other
                rider.riding = min(rider.riding + 1, rider.reads)
                self._touched.add(rider.event_id)
        kept.append((captured, box, source, event_id))
        group.glimpses = kept[-MAX_GLIMPSES:]

    # The end of a sighting

    def _merge(
        self, group: Group, one: Sighting, rival: Sighting, track_id: str, offset: int
    ) -> Iterator[Output]:
        """Join two sightings that a track ties together, unless they are different plates."""
        if not self._assignment.are_one(one, rival, track_id):
            return
        keep, gone = sorted((one, rival), key=lambda s: (-s.reads, s.first_seen, s.event_id))
        keep.absorb(gone, self._grammar)
        self._touched.add(keep.event_id)
        group.forget(gone)
        group.put(keep)
        for track in gone.bound:
            group.by_track[track] = keep.event_id
        if gone.status is not None:
            yield self._tell(gone, "retracted", offset, reason="merged", merged_into=keep.event_id)
        if keep is not one:
            status = keep.news(self._settings, self._grammar)
            if status is not None:
                yield self._tell(keep, status, offset)

    def _expire(self, group: Group, offset: int) -> list[Output]:
        time = group.time()
        if time <= group.expiry:
            return []
        over = [s for s in group.sightings.values() if s.last_seen + self._stay < time]
        out = self._end_all(group, over, offset, "window")
        group.renew_expiry(self._stay)
        return out

    def _end_all(
        self, group: Group, over: list[Sighting], offset: int, reason: str
    ) -> list[Output]:
        return [self._end(group, sighting, offset, reason) for sighting in over]

    def _end(self, group: Group, sighting: Sighting, offset: int, reason: str) -> Output:
        group.forget(sighting)
        if sighting.stands(self._settings, self._grammar):
            return self._tell(sighting, "ended", offset, reason=reason)
        if 2 * sighting.riding >= sighting.reads:
            why, detail = "lettering", "stands beside a plate on the same vehicle"
        else:
            why, detail = "unrepeated", "was not read again, and is no likely plate"
        if sighting.status is not None:
            return self._tell(sighting, "retracted", offset, reason=why)
        return self._refuse_all(sighting, why, f"{sighting.text} {detail}")

    def _is_static(self, group: Group, sighting: Sighting) -> bool:
        passes = group.opened - sighting.passed - 1
        settings = self._settings
        if passes < settings.overlay_passes or sighting.reads < 2 or not sighting.still():
            return False
        if not sighting.natural:
            return True
        stay = sighting.last_seen - sighting.first_seen
        return passes >= settings.overlay_passes_plate and stay >= settings.overlay_plate_s * SECOND

    def _retract_static(self, group: Group, sighting: Sighting, offset: int) -> Output:
        group.forget(sighting)
        if sighting.frame_box is not None:
            group.static.append((sighting.folded, sighting.frame_box))
            del group.static[:-MAX_STATIC]
        if sighting.status is not None:
            return self._tell(sighting, "retracted", offset, reason="overlay")
        return self._refuse_all(sighting, "overlay", "stays put while others come and go")

    # What is said

    def _tell(
        self,
        sighting: Sighting,
        status: Status,
        offset: int,
        *,
        reason: str | None = None,
        merged_into: str | None = None,
    ) -> Output:
        event = sighting.event(
            status,
            self._partition,
            offset,
            self._version,
            self._grammar,
            reason=reason,
            merged_into=merged_into,
        )
        return Output("PlateEvent", sighting.event_id, event)

    def _refuse_all(self, sighting: Sighting, reason: str, detail: str) -> Output:
        """Refuse the opener of a sighting that was never published, for all its reads."""
        return self._refuse(sighting.opener, sighting.offset, reason, detail, sighting.reads)

    def _refuse(
        self, read: PlateRead, offset: int, reason: str, detail: str, reads: int = 1
    ) -> Output:
        rejected: ReadRejected = {
            "partition": self._partition,
            "offset": offset,
            "reason": reason,
            "detail": detail,
            "rules_version": self._version,
            "read": read,
            "reads": reads,
        }
        return Output("ReadRejected", read["camera_group"] or read["camera_id"], rejected)


def _known(group: Group, folded: str, read: PlateRead) -> bool:
    """Whether a text was found to stay put where this read stands."""
    return any(known == folded and overlap(box, read["box"]) >= 0.5 for known, box in group.static)
