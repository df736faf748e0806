"""One stay of one plate before one camera: its evidence, its life and the events it gives."""

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha1
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

from rules.grammar import Grammar
from rules.settings import DedupSettings
from rules.similarity import fold
from rules.vote import Ballot, Vote, Weights, Winner, supported, vote, winner
from schemas.records import Box, PlateEvent, PlateRead, ReadEvidence, Status

NAMESPACE = UUID("6f1c9a52-5d0e-5a3b-9a53-0f6f2b1f7c11")
"""Of every event_id: never to be changed."""

BEST_READS = 12
MAX_TRACKS_BOUND = 16
MAX_WAS = 16
SECOND = 1_000_000

_NO_VEHICLE = {"type": None, "make": None, "model": None, "color": None}


def event_id_of(read_id: str) -> str:
    """The id of the sighting that a read opens: a UUID version 5 (RFC 9562, section 5.5)."""
    digest = sha1(NAMESPACE.bytes + read_id.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


Kept = tuple[tuple[float, str], ReadEvidence]
"""A read and what it is ordered by: its worth below 0, its id."""


@dataclass(slots=True)
class Sighting:
    """A sighting that may still change. Times in microseconds; all fields plain and picklable."""

    event_id: str
    opener: PlateRead
    offset: int
    """of the opener in its partition of alpr.reads.raw"""
    latency_ms: int
    scope: str
    first_seen: int
    last_seen: int
    passed: int
    """sightings its camera group had opened before this one, to tell what stays while they go"""
    ballot: Ballot = field(default_factory=Ballot)
    text: str = ""
    """the vote's, as of the last read"""
    folded: str = ""
    natural: bool = False
    """whether a grammar takes the text nearly as it was read"""
    riding: int = 0
    """reads that had a natural plate beside them: what is written on a vehicle"""
    reads: int = 0
    tracks: int = 0
    bound: list[str] = field(default_factory=list[str])
    """its latest tracks"""
    confidence: float = 0.0
    """of its most confident single read"""
    best: list[Kept] = field(default_factory=list[Kept])
    """at most BEST_READS, the best first"""
    vehicle: dict[str, Any] = field(default_factory=lambda: dict(_NO_VEHICLE))
    direction: str | None = None
    hint: str | None = None
    """region its latest read told"""
    spread: list[float] = field(default_factory=list[float])
    """extent of the boxes' middles: left, right, top, bottom; then least height"""
    frame: tuple[str, str, int] = ("", "", -1)
    """camera, session and frame of its latest read"""
    frame_text: str = ""
    frame_box: Box | None = None
    status: Status | None = None
    """None as long as nothing has been published"""
    was: list[str] = field(default_factory=list[str])
    told: tuple[Any, ...] = ()
    """what the last event said: text, region, direction"""
    told_quality: float = 0.0
    told_at: int = 0
    """event time of the last event"""
    told_reads: int = 0
    counted: tuple[Mapping[str, Weights], Winner] | None = None
    """the evidence and its winner, while they are today's; not part of the state"""

    @property
    def source(self) -> tuple[str, str]:
        """Camera and session of its latest read."""
        return self.frame[:2]

    @property
    def latest(self) -> tuple[tuple[str, str, int], str, Box | None]:
        """Where and as what it was read last."""
        return self.frame, self.frame_text, self.frame_box

    @latest.setter
    def latest(self, seen: tuple[tuple[str, str, int], str, Box | None]) -> None:
        self.frame, self.frame_text, self.frame_box = seen

    def shows(self, read_id: str) -> bool:
        """Whether a read is among its best."""
        return any(kept["read_id"] == read_id for _, kept in self.best)

    @classmethod
    def opened_by(
        cls, read: PlateRead, offset: int, appended_at: int, scope: str, passed: int
    ) -> "Sighting":
        """A new sighting without evidence; ``add`` the read next."""
        captured = read["captured_at"]
        return cls(
            event_id=event_id_of(read["read_id"]),
            opener=read,
            offset=offset,
            latency_ms=max(0, (appended_at - captured) // 1000),
            scope=scope,
            first_seen=captured,
            last_seen=captured,
            passed=passed,
            told_at=captured,
            # Said here, since a default_factory of a typed list takes a detour of a microsecond.
            ballot=Ballot({}, {}),
            bound=[],
            best=[],
            vehicle=dict(_NO_VEHICLE),
            spread=[],
            was=[],
        )

    def add(
        self, read: PlateRead, text: str, confidences: tuple[int, ...], grammar: Grammar
    ) -> list[str]:
        """Count a read: its normalised text and the confidence of each character, per mille.

        Returns the tracks that are no longer bound, of which there are too many.
        """
        captured, vehicle = read["captured_at"], read["vehicle"]
        if captured > self.last_seen:
            self.last_seen = captured
        elif captured < self.first_seen:
            self.first_seen = captured
        self.reads += 1
        track = read["track_id"]
        dropped: list[str] = []
        if track not in self.bound:
            self.tracks += 1
            self.bound.append(track)
            dropped = self.bound[:-MAX_TRACKS_BOUND]
            del self.bound[:-MAX_TRACKS_BOUND]
        self.ballot.add(track, text, confidences)
        self.counted = None
        self.confidence = max(self.confidence, read["confidence"])
        self.direction = read["direction"] or self.direction
        self.hint = read["region"] or self.hint
        if vehicle is not None and vehicle != self.vehicle:
            self.vehicle.update({k: v for k, v in vehicle.items() if v is not None})
        box = read["box"]
        self._see(box)
        self.frame = (read["camera_id"], read["session"], read["frame_number"])
        self.frame_text, self.frame_box = text, box
        self._keep(read, text, confidences)
        if self.reads == 1 or self.ballot.only is None:
            self._decide(grammar)
        return dropped

    def absorb(self, other: "Sighting", grammar: Grammar) -> None:
        """Take over all evidence of a sighting that proves to be the same stay."""
        self.first_seen = min(self.first_seen, other.first_seen)
        self.last_seen = max(self.last_seen, other.last_seen)
        self.reads += other.reads
        self.tracks += sum(track not in self.bound for track in other.bound)
        self.bound += [track for track in other.bound if track not in self.bound]
        del self.bound[:-MAX_TRACKS_BOUND]
        self.ballot.absorb(other.ballot)
        self.confidence = max(self.confidence, other.confidence)
        self.direction = self.direction or other.direction
        self.spread = [
            f(a, b)
            for f, a, b in zip((min, max, min, max, min), self.spread, other.spread, strict=True)
        ]
        self.best = sorted(self.best + other.best, key=_order)[:BEST_READS]
        self.riding += other.riding
        self._decide(grammar)

    def count(self, grammar: Grammar) -> Vote:
        """The vote over all reads, with its reasons."""
        if self.counted is None:
            return vote(self.ballot.weights(), grammar, self.scope)
        weights, found = self.counted
        return vote(weights, grammar, self.scope, found)

    def agreeing(self) -> int:
        """Reads that say what the vote says, up to what OCR confuses."""
        if self.ballot.only is not None:
            return self.reads
        texts = self.ballot.texts()
        return sum([n for text, n in texts.items() if self._agrees(text)])

    def still(self) -> bool:
        """Whether its boxes never moved: their middles stay within a sixth of a plate's height,
        at least 2 pixels, which covers what detectors jitter. Reads without boxes tell nothing.
        """
        left, right, top, bottom, height = self.spread
        return height > 0 and max(right - left, bottom - top) <= max(2.0, height / 6)

    def plausible(self, settings: DedupSettings, grammar: Grammar) -> bool:
        """Whether it may be published: a plate by grammar, or repeated, or read with certainty;
        but not what rides along with a plate that fits better.
        """
        if self.natural:
            return True
        if 2 * self.riding >= self.reads or grammar.too_short(self.text, self.scope):
            return False
        return (
            bool(grammar.regions(self.text, self.scope))
            or self.confidence >= settings.confirm_confidence
            or self.agreeing() >= settings.confirm_reads
        )

    def stands(self, settings: DedupSettings, grammar: Grammar) -> bool:
        """Whether it is a sighting still at its end: plausible, and repeated or likely right."""
        return self.plausible(settings, grammar) and (
            self.agreeing() >= settings.confirm_reads
            or self.count(grammar).confidence >= settings.least_certainty
        )

    def sure(self, settings: DedupSettings) -> bool:
        """Whether enough reads agree on each sign, or one is confident enough, to confirm it."""
        if self.confidence >= settings.confirm_confidence:
            return True
        if self.ballot.only is not None:
            return self.reads >= settings.confirm_reads
        return supported(self.text, self.ballot.texts()) >= settings.confirm_reads

    def news(self, settings: DedupSettings, grammar: Grammar) -> Status | None:
        """The status of the event that is due after the latest read; None if none is."""
        if self.status is None:
            if not self.plausible(settings, grammar):
                return None
            return "confirmed" if self.sure(settings) else "tentative"
        text, region, direction = self.told
        if self.status == "tentative" and self.sure(settings):
            return "confirmed"
        if text != self.text:
            return "tentative" if self.status == "tentative" else "revised"
        since = self.last_seen - self.told_at
        due = (
            region != grammar.region(self.text, self.scope, self.hint)
            or direction != self.direction
            or (since >= settings.refresh_s * SECOND and self.reads > self.told_reads)
            or (
                since >= 2 * SECOND
                and self.shot()["quality"] >= settings.picture_gain * self.told_quality
            )
        )
        return self.status if due else None

    def shot(self) -> ReadEvidence:
        """The best picture: one that exists, shows what was voted, and is sharp."""
        best = self.best
        if len(best) == 1:
            return best[0][1]
        pictured = [kept for kept in best if kept[1]["images"]["plate_url"]]
        return max(self._agreeing(pictured or best), key=_sharpness)

    def _best_read(self, text: str) -> ReadEvidence:
        """The most confident read that says ``text``, or comes near."""
        best = self.best
        if len(best) == 1:
            return best[0][1]
        same: list[ReadEvidence] | None = None
        if self.ballot.only is None:
            same = [read for _, read in best if read["normalized_text"] == text]
        return max(same or self._agreeing(best), key=_certainty)

    def _agreeing(self, kept: list[Kept]) -> list[ReadEvidence]:
        """Those that say what the vote says, or all if none does."""
        reads = [read for _, read in kept]
        if self.ballot.only is not None:
            return reads
        return [read for read in reads if self._agrees(read["normalized_text"])] or reads

    def _agrees(self, text: str) -> bool:
        return text == self.text or fold(text) == self.folded

    def event(
        self,
        status: Status,
        partition: int,
        revision: int,
        version: str,
        grammar: Grammar,
        *,
        reason: str | None = None,
        merged_into: str | None = None,
    ) -> PlateEvent:
        """The event that tells its present state, and remember that it was told."""
        outcome = self.count(grammar)
        region = grammar.region(outcome.text, self.scope, self.hint)
        shot = self.shot()
        if self.told and self.told[0] != outcome.text:
            self.was = [*self.was, self.told[0]][-MAX_WAS:]
        self.status = status
        self.told = (outcome.text, region, self.direction)
        self.told_quality = shot["quality"]
        self.told_at = self.last_seen
        self.told_reads = self.reads
        opener = self.opener
        reads = [read for _, read in self.best]
        if len(reads) > 1:
            reads.sort(key=_captured)
        best = self._best_read(outcome.text)
        return {
            "event_id": self.event_id,
            "revision": revision,
            "partition": partition,
            "status": status,
            "captured_at": opener["captured_at"],
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "camera_id": opener["camera_id"],
            "camera_group": opener["camera_group"],
            "track_id": opener["track_id"],
            "plate": {
                "text": best["text"],
                "normalized_text": outcome.text,
                "confidence": outcome.confidence,
                "region": region,
            },
            "vehicle": cast("Any", dict(self.vehicle)),
            "images": shot["images"],
            "latency_ms": self.latency_ms,
            "node": opener["node"],
            "extras": {
                "roi": None,
                "direction": self.direction,
                "quality_score": shot["quality"],
                "frame_number": shot["frame_number"],
                "box": shot["box"],
            },
            "reads": self.reads,
            "tracks": self.tracks,
            "was": list(self.was),
            "alternatives": outcome.alternatives,
            "merged_into": merged_into,
            "reason": reason,
            "rules_version": version,
            "evidence": {
                "positions": outcome.positions,
                "reads": reads,
                "texts": len(outcome.alternatives) + 1,
            },
        }

    def state(self) -> dict[str, Any]:
        """Plain values for ``Sighting.of``, to be pickled at once: they are not copied."""
        state = {name: getattr(self, name) for name in _FIELDS}
        state["ballot"] = self.ballot.state()
        return state

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Sighting":
        """The sighting whose ``state`` was taken; it keeps the values."""
        state["ballot"] = Ballot.of(state["ballot"])
        return cls(**state)

    def _decide(self, grammar: Grammar) -> None:
        weights = self.ballot.weights()
        found = winner(weights, grammar, self.scope)
        self.counted = weights, found
        self.natural = found.natural
        if found.text != self.text:
            self.text = found.text
            self.folded = fold(found.text)

    def _see(self, box: Box) -> None:
        height = float(box["height"])
        x, y = box["x"] + box["width"] / 2, box["y"] + height / 2
        if not self.spread:
            self.spread = [x, x, y, y, height]
            return
        left, right, top, bottom, least = spread = self.spread
        if x < left:
            spread[0] = x
        elif x > right:
            spread[1] = x
        if y < top:
            spread[2] = y
        elif y > bottom:
            spread[3] = y
        if height < least:
            spread[4] = height

    def _keep(self, read: PlateRead, text: str, confidences: tuple[int, ...]) -> None:
        quality = read["quality"]
        if not 0.0 < quality < 1.0:
            quality = min(1.0, max(0.0, quality))  # NaN becomes 0
        worth = read["confidence"] * (1.0 + quality)
        rank = (-worth if math.isfinite(worth) else 0.0, read["read_id"])
        best = self.best
        if len(best) == BEST_READS and rank[0] > best[-1][0][0]:
            return
        evidence: ReadEvidence = {
            "read_id": read["read_id"],
            "camera_id": read["camera_id"],
            "track_id": read["track_id"],
            "captured_at": read["captured_at"],
            "frame_number": read["frame_number"],
            "text": read["text"],
            "normalized_text": text,
            "confidence": read["confidence"],
            "char_confidences": list(confidences),
            "quality": quality,
            "box": read["box"],
            "images": read["images"],
            "reader": read["reader"],
        }
        if not best or rank > best[-1][0]:
            best.append((rank, evidence))
        else:
            insort(best, (rank, evidence), key=_order)
        del best[BEST_READS:]


_order = itemgetter(0)
_captured = itemgetter("captured_at", "read_id")
_sharpness = itemgetter("quality", "read_id")
_certainty = itemgetter("confidence", "read_id")
_FIELDS = tuple(f.name for f in fields(Sighting) if f.name not in ("ballot", "counted"))
