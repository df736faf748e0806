"""How the records of one partition become sightings: a fold, record by record.

Nothing here knows a clock, a batch or a database. What comes out depends on the records and
their order alone; so it may be run again, from any snapshot, and says the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from rapidfuzz import process
from rapidfuzz.distance import Indel, Levenshtein

from rules.boxes import beside, overlap
from rules.grammar import Grammar
from rules.settings import DedupSettings
from rules.sighting import SECOND, Sighting
from rules.similarity import fold, similarity, similarity_of_folded, single_difference
from rules.text import normalise_read
from rules.validation import refusal
from rules.version import rules_version
from schemas.records import (
    Box,
    CameraHeartbeat,
    PlateEvent,
    PlateRead,
    Progress,
    ReadRejected,
    SourceEnded,
    Status,
)

STATE_VERSION = 1
TRACK_BONUS = 0.15
"""What the same track is worth in similarity, so that it wins over a likeness by chance."""
NEVER = 1 << 62
BESIDE_US = 1_000_000
"""How close in time two texts are read that are seen side by side."""
MAX_GLIMPSES = 16
MAX_STATIC = 64
"""Overlays and signs remembered of one camera group."""


class Output(NamedTuple):
    """A record that the fold gives: its name, its key within the partition, and itself."""

    name: str
    key: str
    record: Any


class StateError(Exception):
    """A snapshot is of another version than this code can continue."""


@dataclass(slots=True)
class Camera:
    """How far one camera's time has come."""

    group: str
    high: int
    """newest capture time, microseconds"""
    appended_at: int
    """when its latest record was appended"""
    silent: bool
    recent: dict[str, int]
    """read_id → capture time, of the reads within the lateness"""


class Glimpse(NamedTuple):
    """A read of the last moments: where its text stood."""

    at: int
    box: Box
    source: tuple[str, str]
    event_id: str


class Group:
    """The open sightings of one camera, or of cameras that share a gate."""

    __slots__ = (
        "by_track",
        "cameras",
        "expiry",
        "folded",
        "glimpses",
        "opened",
        "sightings",
        "static",
    )

    def __init__(self) -> None:
        self.sightings: dict[str, Sighting] = {}
        self.folded: dict[str, str] = {}
        self.by_track: dict[str, str] = {}
        self.cameras: list[str] = []
        self.opened = 0
        self.expiry = NEVER
        """no sighting ends before the group's time reaches this"""
        self.static: list[tuple[str, Box]] = []
        self.glimpses: list[Glimpse] = []


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
        self._window = int(settings.window_s * SECOND)
        self._lateness = int(settings.lateness_s * SECOND)
        self._stay = self._window + self._lateness
        self._ahead = int(settings.clock_ahead_s * SECOND)
        self._silence = int(settings.silence_s * SECOND)
        self._cameras: dict[str, Camera] = {}
        self._groups: dict[str, Group] = {}
        self._watermark = 0
        self._touched: set[str] = set()
        self._kept: dict[str, dict[str, Any]] = {}
        if state is not None:
            self._resume(state)

    def fold(self, name: str, record: Any, offset: int, appended_at: int) -> list[Output]:
        """What one record of the raw log causes, in order; mostly nothing.

        ``name`` and ``record`` are as the codec decodes them, ``offset`` and ``appended_at``
        (microseconds) the log's. Records that say nothing about sightings are passed over.
        """
        if name == "PlateRead":
            return self._read(cast("PlateRead", record), offset, appended_at)
        if name == "Tick":
            return self._tick(record["at"], offset)
        if name == "CameraHeartbeat":
            return self._heartbeat(cast("CameraHeartbeat", record), offset, appended_at)
        if name == "SourceEnded":
            return self._source_ended(cast("SourceEnded", record), offset)
        return []

    def snapshot(self) -> dict[str, Any]:
        """All state as plain values, sharing nothing that will change; copies only what did."""
        live = {e: s for group in self._groups.values() for e, s in group.sightings.items()}
        for event_id in self._touched:
            if event_id in live:
                self._kept[event_id] = live[event_id].state()
        self._touched.clear()
        self._kept = {event_id: self._kept[event_id] for event_id in live}
        return {
            "version": STATE_VERSION,
            "watermark": self._watermark,
            "cameras": {
                camera_id: (c.group, c.high, c.appended_at, c.silent, dict(c.recent))
                for camera_id, c in self._cameras.items()
            },
            "groups": {
                key: {
                    "sightings": [self._kept[event_id] for event_id in group.sightings],
                    "tracks": dict(group.by_track),
                    "opened": group.opened,
                    "static": list(group.static),
                    "glimpses": [tuple(glimpse) for glimpse in group.glimpses],
                }
                for key, group in self._groups.items()
            },
        }

    def _resume(self, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION:
            raise StateError(
                f"the snapshot of partition {self._partition} has version {state.get('version')},"
                f" this release continues version {STATE_VERSION}: end the open sightings with the"
                " release that wrote it, then begin with an empty recovery folder"
            )
        self._watermark = state["watermark"]
        for camera_id, (group, high, appended_at, silent, recent) in state["cameras"].items():
            self._cameras[camera_id] = Camera(group, high, appended_at, silent, dict(recent))
            self._groups.setdefault(group, Group()).cameras.append(camera_id)
        for key, saved in state["groups"].items():
            group = self._groups.setdefault(key, Group())
            group.opened = saved["opened"]
            group.static = list(saved["static"])
            group.glimpses = [Glimpse(*glimpse) for glimpse in saved["glimpses"]]
            group.by_track = dict(saved["tracks"])
            for kept in saved["sightings"]:
                sighting = Sighting.of(kept)
                group.sightings[sighting.event_id] = sighting
                group.folded[sighting.event_id] = sighting.folded
                self._kept[sighting.event_id] = kept
            group.expiry = self._expiry(group)

    # Time

    def _camera(self, record: Any, appended_at: int) -> tuple[Camera, Group]:
        camera_id = record["camera_id"]
        key = record["camera_group"] or camera_id
        camera = self._cameras.get(camera_id)
        if camera is None or camera.group != key:
            if camera is not None:
                self._groups[camera.group].cameras.remove(camera_id)
            camera = Camera(key, camera.high if camera else 0, appended_at, False, {})
            self._cameras[camera_id] = camera
            self._groups.setdefault(key, Group()).cameras.append(camera_id)
        camera.appended_at = appended_at
        camera.silent = False
        return camera, self._groups[key]

    def _time(self, group: Group) -> int:
        """How far all cameras of a group that are not silent have come."""
        if len(group.cameras) == 1:
            return self._cameras[group.cameras[0]].high
        cameras = [self._cameras[camera_id] for camera_id in group.cameras]
        heard = [camera.high for camera in cameras if not camera.silent]
        return min(heard) if heard else max(camera.high for camera in cameras)

    def _tick(self, at: int, offset: int) -> list[Output]:
        least, heard_since = NEVER, at - self._silence
        for camera in self._cameras.values():
            if camera.silent:
                continue
            if camera.appended_at < heard_since:
                camera.silent = True
            elif camera.high < least:
                least = camera.high
        if least == NEVER:
            return []
        watermark = least - self._lateness
        if watermark // SECOND <= self._watermark // SECOND:
            return []
        self._watermark = watermark
        progress: Progress = {
            "partition": self._partition,
            "revision": offset,
            "watermark": watermark,
        }
        return [Output("Progress", f"progress-{self._partition}", progress)]

    def _heartbeat(self, beat: CameraHeartbeat, offset: int, appended_at: int) -> list[Output]:
        if beat["captured_at"] > appended_at + self._ahead:
            return []
        camera, group = self._camera(beat, appended_at)
        camera.high = max(camera.high, beat["captured_at"])
        return self._expire(group, offset)

    def _source_ended(self, ended: SourceEnded, offset: int) -> list[Output]:
        camera = self._cameras.get(ended["camera_id"])
        if camera is None:
            return []
        camera.silent = True
        group = self._groups[camera.group]
        source = (ended["camera_id"], ended["session"])
        ended_ones = [s for s in group.sightings.values() if s.source == source]
        return [self._end(group, sighting, offset, "source") for sighting in ended_ones]

    # Reads

    def _read(self, read: PlateRead, offset: int, appended_at: int) -> list[Output]:
        captured = read["captured_at"]
        if captured > appended_at + self._ahead:
            seconds = (captured - appended_at) / SECOND
            return [self._refuse(read, offset, "clock", f"captured {seconds:.1f} s after arrival")]
        camera, group = self._camera(read, appended_at)
        if captured < camera.high - self._lateness:
            seconds = (camera.high - captured) / SECOND
            return [self._refuse(read, offset, "late", f"{seconds:.1f} s behind its camera")]
        if read["read_id"] in camera.recent:
            return [self._refuse(read, offset, "duplicate", "this read was appended before")]
        camera.high = max(camera.high, captured)
        self._remember(camera, read["read_id"], captured)
        return self._count(group, read, offset, appended_at) + self._expire(group, offset)

    def _remember(self, camera: Camera, read_id: str, captured: int) -> None:
        recent = camera.recent
        recent[read_id] = captured
        oldest = next(iter(recent))
        while recent[oldest] < camera.high - self._lateness:
            del recent[oldest]
            oldest = next(iter(recent))

    def _count(self, group: Group, read: PlateRead, offset: int, appended_at: int) -> list[Output]:
        text, confidences = normalise_read(read["text"], read["char_confidences"])
        scope = self._grammar.scope(read["region"], self._settings.country)
        wrong = refusal(text, read["confidence"], scope, self._settings, self._grammar)
        if (
            wrong is None
            and group.static
            and any(
                known == fold(text) and overlap(box, read["box"]) >= 0.5
                for known, box in group.static
            )
        ):
            wrong = "overlay", "known text that stays put in the picture"
        if wrong is not None:
            return [self._refuse(read, offset, *wrong)]
        sighting, rival = self._assign(group, read, text, confidences)
        if sighting is None:
            sighting = Sighting.opened_by(read, offset, appended_at, scope, group.opened)
            group.opened += 1
            group.sightings[sighting.event_id] = sighting
            group.expiry = min(group.expiry, read["captured_at"] + self._stay)
        before = sighting.text
        for track in sighting.add(read, text, confidences, self._grammar):
            group.by_track.pop(track, None)
        if rival is None and before and sighting.text != before:
            rival = self._twin(group, sighting)
        group.folded[sighting.event_id] = sighting.folded
        group.by_track[read["track_id"]] = sighting.event_id
        self._touched.add(sighting.event_id)
        self._ride(group, sighting, read)
        out: list[Output] = []
        if rival is not None:
            out.extend(self._merge(group, sighting, rival, read["track_id"], offset))
            sighting = group.sightings.get(sighting.event_id)
            if sighting is None:
                return out
        if self._is_static(group, sighting):
            out.append(self._retract_static(group, sighting, offset))
            return out
        status = sighting.news(self._settings, self._grammar)
        if status is not None:
            out.append(self._tell(sighting, status, offset))
        return out

    # Assignment

    def _assign(
        self, group: Group, read: PlateRead, text: str, confidences: Sequence[int]
    ) -> tuple[Sighting | None, Sighting | None]:
        """The open sighting a read belongs to, and one of the same track that it contradicts.

        The likest wins, not the first; the same track counts as likeness. Of equals the one seen
        last, then the lower id.
        """
        captured = read["captured_at"]
        bound = group.sightings.get(group.by_track.get(read["track_id"], ""))
        if (
            bound is not None
            and bound.text == text
            and bound.first_seen - self._window <= captured <= bound.last_seen + self._window
        ):
            return bound, None  # nothing is likelier than the same text on the same track
        if not group.sightings:
            return None, None
        folded = fold(text)
        frame = (read["camera_id"], read["session"], read["frame_number"])
        best: Sighting | None = None
        best_rank = (0.0, 0, "")
        for sighting in self._candidates(group, folded, bound):
            if not (
                sighting.first_seen - self._window <= captured <= sighting.last_seen + self._window
            ):
                continue
            if sighting.frame == frame:
                box = sighting.frame_box
                if box is not None and overlap(box, read["box"]) >= 0.5:
                    return sighting, None
                if sighting.frame_text != text:
                    continue
            likeness = self._likeness(sighting, read, text, folded, sighting is bound)
            if not likeness and self._near(sighting, captured):
                likeness = self._likeness_but_for_doubt(sighting, text, folded, confidences)
            rank = (likeness, sighting.last_seen, sighting.event_id)
            if likeness > 0 and (best is None or rank > best_rank):
                best, best_rank = sighting, rank
        rival = bound if bound is not None and bound is not best and best is not None else None
        return best, rival

    def _candidates(self, group: Group, folded: str, bound: Sighting | None) -> list[Sighting]:
        """The open sightings that may be alike enough to a folded text, and the bound one."""
        # The longer of two texts so alike is at most two characters longer than this one.
        # A doubtful character costs a deletion and an insertion, 2.
        budget = max(2, int((1 - self._settings.similarity) * (len(folded) + 2) + 1e-9))
        near = process.extract(
            folded, group.folded, scorer=Indel.distance, score_cutoff=budget, limit=None
        )
        found = [group.sightings[event_id] for _, _, event_id in near]
        if bound is not None and all(sighting is not bound for sighting in found):
            found.append(bound)
        return found

    def _likeness(
        self, sighting: Sighting, read: PlateRead, text: str, folded: str, bound: bool
    ) -> float:
        settings = self._settings
        if bound:
            likeness = similarity(sighting.text, text)
            confident = (
                read["confidence"] >= settings.confident
                and sighting.confidence >= settings.confident
            )
            # Below 0 there are more differences than half the characters: another plate.
            least = settings.track_similarity if confident else 0.0
            return likeness + TRACK_BONUS if likeness >= least else 0.0
        return similarity_of_folded(
            sighting.text, sighting.folded, text, folded, settings.similarity
        )

    def _ride(self, group: Group, sighting: Sighting, read: PlateRead) -> None:
        """Note which of the texts seen side by side in these moments is the plate."""
        captured, box, source = read["captured_at"], read["box"], sighting.source
        kept: list[Glimpse] = []
        for glimpse in group.glimpses:
            if abs(captured - glimpse.at) > BESIDE_US:
                continue
            kept.append(glimpse)
            other = group.sightings.get(glimpse.event_id)
            if other is None or other is sighting or glimpse.source != source:
                continue
            if other.natural != sighting.natural and beside(box, glimpse.box):
                rider = sighting if other.natural else other
                rider.riding = min(rider.riding + 1, rider.reads)
                self._touched.add(rider.event_id)
        kept.append(Glimpse(captured, box, source, sighting.event_id))
        group.glimpses = kept[-MAX_GLIMPSES:]

    def _twin(self, group: Group, sighting: Sighting) -> Sighting | None:
        """Another open sighting that a changed vote has proved to be of the same plate."""
        for other in group.sightings.values():
            if (
                other is not sighting
                and other.text == sighting.text
                and other.first_seen - self._window <= sighting.last_seen
                and sighting.first_seen - self._window <= other.last_seen
            ):
                return other
        return None

    def _near(self, sighting: Sighting, captured: int) -> bool:
        reach = self._settings.doubt_s * SECOND
        return sighting.first_seen - reach <= captured <= sighting.last_seen + reach

    def _likeness_but_for_doubt(
        self, sighting: Sighting, text: str, folded: str, confidences: Sequence[int]
    ) -> float:
        """Likeness of texts that differ in a character of which a reader was in doubt.

        An end that one of them lacks is such: it is the outermost characters that get lost.
        """
        shorter, longer = sorted((sighting.folded, folded), key=len)
        if len(longer) == len(shorter) + 1 and (
            longer.startswith(shorter) or longer.endswith(shorter)
        ):
            known = sighting.ballot.texts()
            return (
                0.0 if any(_differ(fold(t), folded) for t in known) else self._settings.similarity
            )
        place = single_difference(sighting.folded, folded)
        if place is None:
            return 0.0
        if not (
            self._doubtful(confidences, place)
            or self._doubtful(sighting.ballot.confidences(sighting.text), place)
        ):
            return 0.0
        return self._settings.similarity

    def _unsure(self, one: Sighting, other: Sighting) -> bool:
        """Whether two sightings' texts differ where not both are read with confidence."""
        place = single_difference(one.folded, other.folded)
        if place is None:
            return True
        sure = 1000 * self._settings.confident
        return any(
            (s.ballot.confidences(s.text)[place : place + 1] or (0,))[0] < sure
            for s in (one, other)
        )

    def _doubtful(self, confidences: Sequence[int], place: int) -> bool:
        """Whether a character's confidence is low, and lower than that of all its neighbours."""
        if len(confidences) <= place:
            return False
        others = [c for index, c in enumerate(confidences) if index != place]
        doubt = 1000 * self._settings.doubtful
        return confidences[place] < doubt and confidences[place] + 100 <= min(others, default=0)

    # The end of a sighting

    def _merge(
        self, group: Group, one: Sighting, rival: Sighting, track_id: str, offset: int
    ) -> Iterator[Output]:
        """Join two sightings that a track ties together, unless they are different plates.

        They are the same if they differ by length or confusions alone, or if all that the rival
        has is this track, of which as many reads say otherwise.
        """
        if similarity(one.text, rival.text) < self._settings.track_similarity:
            return
        outvoted = rival.tracks == 1 and one.ballot.on_track(track_id) >= rival.reads
        if _differ(one.folded, rival.folded) and not (outvoted and self._unsure(one, rival)):
            return
        keep, gone = sorted((one, rival), key=lambda s: (-s.reads, s.first_seen, s.event_id))
        keep.absorb(gone, self._grammar)
        self._touched.add(keep.event_id)
        group.folded[keep.event_id] = keep.folded
        self._forget(group, gone)
        for track in gone.bound:
            group.by_track[track] = keep.event_id
        if gone.status is not None:
            yield self._tell(gone, "retracted", offset, reason="merged", merged_into=keep.event_id)
        if keep is not one:
            status = keep.news(self._settings, self._grammar)
            if status is not None:
                yield self._tell(keep, status, offset)

    def _expire(self, group: Group, offset: int) -> list[Output]:
        if not group.sightings or (time := self._time(group)) <= group.expiry:
            return []
        over = [s for s in group.sightings.values() if s.last_seen + self._stay < time]
        out = [self._end(group, sighting, offset, "window") for sighting in over]
        group.expiry = self._expiry(group)
        return out

    def _expiry(self, group: Group) -> int:
        last = min((s.last_seen for s in group.sightings.values()), default=None)
        return NEVER if last is None else last + self._stay

    def _end(self, group: Group, sighting: Sighting, offset: int, reason: str) -> Output:
        self._forget(group, sighting)
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
        self._forget(group, sighting)
        if sighting.frame_box is not None:
            group.static.append((sighting.folded, sighting.frame_box))
            del group.static[:-MAX_STATIC]
        if sighting.status is not None:
            return self._tell(sighting, "retracted", offset, reason="overlay")
        return self._refuse_all(sighting, "overlay", "stays put while others come and go")

    def _forget(self, group: Group, sighting: Sighting) -> None:
        del group.sightings[sighting.event_id]
        del group.folded[sighting.event_id]
        for track in sighting.bound:
            if group.by_track.get(track) == sighting.event_id:
                del group.by_track[track]

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
        event: PlateEvent = sighting.event(
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


def _differ(one: str, other: str) -> bool:
    """Whether two folded texts differ at a place that OCR does not confuse, not just in length."""
    return any(op.tag == "replace" for op in Levenshtein.opcodes(one, other))
