"""Forgetting a plate: everything that the log says of it, and its pictures.

The log is the truth, so it is what is searched: from it follow the views, which the flows bring
up to date by the tombstones. Nothing is kept of the plate but its keyed hash in the audit.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from eventlog.log import Append, Entry, Log
from eventlog.span import span
from images.store import NoPicture
from projections.forgetting import bury
from rules.alerts.watch import entry_key
from rules.forgetting import Forgotten, is_of, pictures, says, tracks, without
from rules.pseudonym import Pseudonyms
from rules.text import normalise
from schemas.codec import Codec, DecodeError
from schemas.records import AuditEntry
from schemas.topics import (
    ALERTS,
    AUDIT,
    CORRECTIONS,
    DETECTED,
    DLQ,
    NOTIFICATIONS,
    RAW,
    REJECTED,
    RULES,
    WATCHLIST,
    partition_of,
)

Progress = Callable[[str], None]
Watch = Callable[[Mapping[int, Collection[str]]], None]
"""Is told which sightings, by partition, are about to go."""
# In the order in which they go: what is found by the sightings goes before them.
_COMPACTED = (ALERTS.name, WATCHLIST.name, CORRECTIONS.name, DETECTED.name)
_ALL = (RAW.name, REJECTED.name, DLQ.name, NOTIFICATIONS.name, *_COMPACTED)
_EVERY = 50_000  # records between two words of progress


class Pictures(Protocol):
    """Where pictures can be removed."""

    def delete(self, url: str) -> None:
        """Remove a picture; one that is not there is no error. Raises ImageError."""
        ...


class Forgetting:
    """Forgets plates of one log. ``clock`` gives microseconds UTC.

    Raises LogError, RegistryUnavailable and ImageError; done again it goes on where it stopped.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        images: Pictures,
        names: Pseudonyms,
        *,
        clock: Callable[[], int],
        tell: Progress = lambda _: None,
    ) -> None:
        self._log = log
        self._codec = codec
        self._images = images
        self._names = names
        self._clock = clock
        self._tell = tell

    def forget(
        self, text: str, actor: str, reason: str, watch: Watch = lambda _: None
    ) -> Forgotten:
        """Forget a plate, written in any way; what was found of it.

        Whatever says the plate goes, also a sighting of another plate that some read took for
        it. What sightings lead to goes before them, and what leads to them afterwards, so that a
        run that was cut off finds the rest again. ``watch`` is told before anything goes.
        """
        plate = normalise(text)
        self._note(plate, actor, reason)
        keys: dict[str, dict[int, set[bytes]]] = {topic: defaultdict(set) for topic in _COMPACTED}
        naming: dict[int, set[bytes]] = defaultdict(set)
        corrected = self._corrected(plate, keys[CORRECTIONS.name], naming)
        found = self._sightings(plate, corrected, keys)
        for partition, some in naming.items():
            keys[CORRECTIONS.name][partition] -= some
        watch(found.by_partition)
        alerts, seen = self._alerts(plate, found.events, keys[ALERTS.name])
        found.images |= seen
        self._watched(plate, keys[WATCHLIST.name])
        done = Forgotten(found.by_partition, alerts, 0, rules=self._rules(plate))
        raw = self._offsets(RAW.name, lambda _, read: is_of(read, plate, found.tracks))
        found.images |= raw.images
        for number, url in enumerate(sorted(found.images)):
            if number % 1_000 == 0:
                self._tell(f"pictures: {number:,} of {len(found.images):,}")
            self._remove(url)
        self._drop(RAW.name, raw.offsets, done)
        for topic in (REJECTED.name, DLQ.name):
            held = self._offsets(topic, lambda _, record: self._holds(record, plate, found))
            for url in held.images:
                self._remove(url)
            self._drop(topic, held.offsets, done)
            found.images |= held.images
        told = self._offsets(
            NOTIFICATIONS.name, lambda entry, _: (entry.key or b"").decode() in alerts
        )
        self._drop(NOTIFICATIONS.name, told.offsets, done)
        for topic, parts in (*keys.items(), (CORRECTIONS.name, naming)):
            self._bury(topic, parts, done)
        for topic in _ALL:  # what a run erased that was cut off may still lie in a journal
            self._log.erase(topic, 0, ())
        return Forgotten(
            done.sightings, alerts, len(found.images), done.erased, done.left, done.rules
        )

    def _remove(self, url: str) -> None:
        # An ingested record may name what never was a picture here.
        with suppress(NoPicture):
            self._images.delete(url)

    def _note(self, plate: str, actor: str, reason: str) -> None:
        entry: AuditEntry = {
            "audit_id": str(uuid.uuid4()),
            "at": self._clock(),
            "actor": actor,
            "action": "forget",
            "subject": f"plate:{self._names.of(plate)}",
            "reason": without(reason, plate, self._names.of(plate)),
            "found": [],
        }
        key = actor.encode()
        value = self._codec.encode(AUDIT.name, "AuditEntry", entry)
        partition = partition_of(key, self._log.partitions(AUDIT.name))
        self._log.append(AUDIT.name, partition, [Append(key, value)])

    def _corrected(
        self, plate: str, keys: dict[int, set[bytes]], naming: dict[int, set[bytes]]
    ) -> set[str]:
        """The sightings that a person said to be the plate; the keys of what was said of them, and
        of what names the plate, by which these sightings are found.
        """
        events: set[str] = set()
        said: list[tuple[int, bytes, str]] = []
        for entry, record in self._records(CORRECTIONS.name):
            if entry.key is not None:
                said.append((entry.partition, entry.key, record["event_id"]))
                if says(record, plate):
                    events.add(record["event_id"])
                    naming[entry.partition].add(entry.key)
        for partition, key, event_id in said:
            if event_id in events:
                keys[partition].add(key)
        return events

    def _sightings(
        self, plate: str, corrected: Collection[str], keys: dict[str, dict[int, set[bytes]]]
    ) -> "_Found":
        found = _Found(set(), defaultdict(set), defaultdict(list), set())
        spelt = plate.encode()
        for partition in range(self._log.partitions(DETECTED.name)):
            for entry in self._entries(DETECTED.name, partition):
                event_id = (entry.key or b"").decode(errors="replace")
                # Cheaper than decoding: every text that counts is there in its normalised form.
                if event_id not in corrected and spelt not in (entry.value or b""):
                    continue
                record = self._decoded(entry)
                if record is None or "evidence" not in record:
                    continue
                if event_id in corrected or says(record, plate):
                    found.events.add(event_id)
                    found.by_partition[partition].add(event_id)
                    for track, times in tracks(record).items():
                        found.tracks[track] += times
                    found.images |= pictures(record)
                    keys[DETECTED.name][partition].add(entry.key or b"")
        # What was said of such a sighting goes with it, whatever it says.
        for entry, record in self._records(CORRECTIONS.name):
            if record["event_id"] in found.events and entry.key is not None:
                keys[CORRECTIONS.name][entry.partition].add(entry.key)
        return found

    def _alerts(
        self, plate: str, events: Collection[str], keys: dict[int, set[bytes]]
    ) -> tuple[set[str], set[str]]:
        found: set[str] = set()
        images: set[str] = set()
        for entry, record in self._records(ALERTS.name):
            about = {record["event_id"], *record["event_ids"]}
            if entry.key and (about & set(events) or says(record, plate)):
                found.add(record["alert_id"])
                images |= pictures(record)
                keys[entry.partition].add(entry.key)
        return found, images

    def _watched(self, plate: str, keys: dict[int, set[bytes]]) -> None:
        for _, record in self._records(WATCHLIST.name):
            if normalise(record["plate"]) == plate or says(record["reason"], plate):
                keys[0].add(entry_key(record["watchlist"], record["plate"]).encode())

    def _rules(self, plate: str) -> list[str]:
        """Names of the rules in force that say the plate."""
        last: dict[str, str | None] = {}
        for _, record in self._records(RULES.name):
            last[record["name"]] = record["definition"]
        return sorted(name for name, text in last.items() if text and says(text, plate))

    def _offsets(self, topic: str, wanted: Callable[[Entry, Any], bool]) -> "_Places":
        places = _Places(defaultdict(list), set())
        for entry, record in self._records(topic):
            if wanted(entry, record):
                places.offsets[entry.partition].append(entry.offset)
                places.images |= pictures(record)
        return places

    def _holds(self, record: Any, plate: str, found: "_Found") -> bool:
        """Whether a refused read, or the record that a dead letter keeps, is of the plate."""
        if says(record, plate) or ("read" in record and is_of(record["read"], plate, found.tracks)):
            return True
        if "value" not in record or not record["value"]:
            return False
        try:
            _, kept = self._codec.decode(record["value"])
        except DecodeError:
            return False
        return says(kept, plate) or is_of(kept, plate, found.tracks)

    def _drop(self, topic: str, offsets: dict[int, list[int]], done: Forgotten) -> None:
        for partition, places in offsets.items():
            gone = self._log.erase(topic, partition, places)
            (done.erased if gone else done.left)[topic] += len(places)

    def _bury(self, topic: str, parts: dict[int, set[bytes]], done: Forgotten) -> None:
        """Tombstones, and what they erase at once where the log can."""
        for partition, keys in parts.items():
            ordered = sorted(keys)
            gone = bury(self._log, topic, {partition: ordered})
            (done.erased if gone else done.left)[topic] += len(ordered)

    def _records(self, topic: str) -> Iterator[tuple[Entry, Any]]:
        """What a topic holds, decoded; what cannot be says nothing that anybody could read."""
        for partition in range(self._log.partitions(topic)):
            for entry in self._entries(topic, partition):
                record = self._decoded(entry)
                if record is not None:
                    yield entry, record

    def _entries(self, topic: str, partition: int) -> Iterator[Entry]:
        end = self._log.end(topic, partition)
        for number, entry in enumerate(span(self._log, topic, partition, 0, end)):
            if number % _EVERY == _EVERY - 1:
                self._tell(f"{topic}, partition {partition}: {entry.offset:,} of {end:,}")
            yield entry

    def _decoded(self, entry: Entry) -> Any:
        if entry.value is None:
            return None
        try:
            return self._codec.decode(entry.value)[1]
        except DecodeError:
            return None


@dataclass(slots=True)
class _Found:
    events: set[str]
    by_partition: dict[int, set[str]]
    tracks: defaultdict[tuple[str, str], list[tuple[int, int]]]
    images: set[str]


@dataclass(slots=True)
class _Places:
    offsets: dict[int, list[int]]
    images: set[str]
