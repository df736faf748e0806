"""What of a log in a folder goes into Kafka, and where: an edge's reads, or a system that moves.

Of an edge's own log everything is copied: it is its outbox. Of the log of an embedded system its
decisions are, not its reads: decided anew on other offsets, they would contradict revisions that
are offsets. So its sightings have to be over before (`alpr log close`).
"""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

from alpr.logs import Printer
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log
from dataflows.dead_letters import dead_letter
from eventlog.exactly_once import ExactlyOnce, Position, record_bytes
from eventlog.kafka_topics import max_bytes
from eventlog.log import Append, Entry, Log, LogError, OffsetGone
from eventlog.span import span
from schemas.codec import Codec, DecodeError, SchemaRegistry, record_name
from schemas.topics import (
    DETECTED,
    DLQ,
    METRICS,
    RAW,
    TOPICS,
    Topic,
    partition_of,
    placing,
    subject,
)

GROUP = "alpr-log-copy"
ROUND = 1_000  # records that one partition gives to one transaction
OVER = ("ended", "retracted")
SECOND_US = 1_000_000
_HEADER = Struct(">BI")
# What is about places in the old log, and what is only to look at.
_STAYS = (RAW, DLQ, METRICS)

logger = logging.getLogger(__name__)

Placed = tuple[str, int, Append]
Part = tuple[str, int]


class CopyError(LogError):
    """A log cannot be copied; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Records copied, left out (ticks, progress) and sent to alpr.dlq."""

    copied: int = 0
    left_out: int = 0
    dead: int = 0

    def __add__(self, other: "Copied") -> "Copied":
        return Copied(
            self.copied + other.copied, self.left_out + other.left_out, self.dead + other.dead
        )


class Translator:
    """Gives each record of one log its place and its schema id in another."""

    def __init__(
        self,
        source: SchemaRegistry,
        target: SchemaRegistry,
        partitions: Callable[[str], int],
    ) -> None:
        self._source = source
        self._target = target
        self._read = Codec(source)
        self._write = Codec(target)
        self._count = lru_cache(None)(partitions)
        self._partition = lru_cache(100_000)(partition_of)
        self._id = lru_cache(None)(self._translated)
        self._erased: dict[bytes, int] = {}

    def forget(self, event_ids: Sequence[bytes]) -> None:
        """Sightings that are erased further on: their tombstones follow them to their partition."""
        self._erased = {event_id: self._keyed(DETECTED.name, event_id) for event_id in event_ids}

    def place(self, entry: Entry) -> Placed | None:
        """The record for the target; None for one that it does not need.

        What cannot be decoded, and what is too large for Kafka, goes to alpr.dlq. Raises
        CopyError where the target lacks a schema.
        """
        try:
            size, most = record_bytes(entry), max_bytes(entry.topic)
            if size > most:
                raise DecodeError("large", f"{size} bytes are more than {entry.topic}'s {most}")
            where = self._where(entry)
            value = entry.value and self._with_target_id(entry.topic, entry.value)
        except DecodeError as error:
            letter = dead_letter(self._write, entry, "copy", error.reason, error.detail)
            return DLQ.name, entry.partition % self._count(DLQ.name), letter
        if where is None:
            return None
        return entry.topic, where, Append(entry.key, value, entry.headers, entry.appended_at)

    @property
    def source(self) -> Codec:
        """Decodes the log that is copied."""
        return self._read

    def _where(self, entry: Entry) -> int | None:
        if not TOPICS[entry.topic].partitioned:
            return 0
        if entry.topic == RAW.name:
            # A tick has no key: the target has a ticker of its own.
            return None if entry.key is None else self._keyed(entry.topic, entry.key)
        if entry.topic == DETECTED.name:
            return self._beside_its_camera(entry)
        if entry.key is None:
            return entry.partition % self._count(entry.topic)
        return self._keyed(entry.topic, entry.key)

    def _beside_its_camera(self, entry: Entry) -> int | None:
        key = entry.key or b""
        if entry.value is None:
            return self._erased.get(key, self._keyed(entry.topic, key))
        name, record = self._read.decode(entry.value)
        if name != "PlateEvent":
            return None  # what is about partitions that the target does not have
        camera = record["camera_group"] or record["camera_id"]
        where = self._keyed(entry.topic, camera.encode())
        if key in self._erased:
            self._erased[key] = where
        return where

    def _keyed(self, topic: str, key: bytes) -> int:
        return self._partition(placing(topic, key), self._count(topic))

    def _with_target_id(self, topic: str, value: bytes) -> bytes:
        if len(value) < _HEADER.size or value[0] != 0:
            raise DecodeError("magic", "no record in Confluent's wire format")
        return self._id(topic, value[1:5]) + value[_HEADER.size :]

    def _translated(self, topic: str, header: bytes) -> bytes:
        number = int.from_bytes(header, "big")
        try:
            text = self._source.schema(number)
        except KeyError:
            raise DecodeError("schema", f"its registry has no schema {number}") from None
        name = record_name(text)
        try:
            return _HEADER.pack(0, self._target.find(subject(topic, name), text))
        except KeyError:
            raise CopyError(
                f"the registry has no schema of {name} on {topic} as this log was written with: "
                "run `alpr topics create` of the release that wrote it, or of a newer one"
            ) from None


class LogCopy:
    """Copies what is new in a log, round by round; for one thread."""

    def __init__(
        self, source: Log, translator: Translator, target: ExactlyOnce, target_uuid: str
    ) -> None:
        self._source = source
        self._translator = translator
        self._target = target
        self._group = f"{GROUP}-{target_uuid}"
        self._topics = self._to_copy()
        self._at = self._positions()

    @property
    def decided(self) -> bool:
        """Whether it is the log of a whole system, whose reads have been decided."""
        return RAW not in self._topics

    def check(self) -> None:
        """Raises CopyError while a sighting is open that another log would have to go on with."""
        if not self.decided:
            return
        running, erased = _open(self._source, self._translator.source)
        if running:
            raise CopyError(
                f"{len(running)} sightings are open, and their revisions are offsets of this "
                "log: stop the edge and run `alpr log close` on it, then copy"
            )
        self._translator.forget(sorted(erased))

    def round(self) -> Copied | None:
        """One transaction with what is new in every partition; None where nothing is."""
        placed: list[Placed] = []
        moved: dict[Part, int] = {}
        noted: dict[Part, Position] = {}
        left_out = 0
        for topic in self._topics:
            for partition in range(self._source.partitions(topic.name)):
                at = self._at.get((topic.name, partition), 0)
                entries = self._read(topic.name, partition, at)
                if not entries:
                    continue
                part, last = (topic.name, partition), entries[-1]
                moved[part] = last.offset + 1
                noted[part] = Position(last.offset + 1, str(last.appended_at))
                for entry in entries:
                    found = self._translator.place(entry)
                    if found is None:
                        left_out += 1
                    else:
                        placed.append(found)
        if not moved:
            return None
        self._target.commit(placed, noted)
        self._at |= moved
        self._mark(moved)
        dead = sum(topic == DLQ.name for topic, _, _ in placed)
        return Copied(len(placed) - dead, left_out, dead)

    def behind(self) -> int:
        """Offsets that are still to be read."""
        return sum(
            max(0, self._source.end(topic.name, p) - self._at.get((topic.name, p), 0))
            for topic in self._topics
            for p in range(self._source.partitions(topic.name))
        )

    def trim(self, before: int) -> int:
        """Drop what was appended before (microseconds) and has been copied; how many records."""
        for topic in self._topics:
            for partition in range(self._source.partitions(topic.name)):
                at = self._at.get((topic.name, partition), 0)
                if at < self._source.end(topic.name, partition):
                    waiting = self._read(topic.name, partition, at, 1)
                    before = min([before, *(entry.appended_at for entry in waiting)])
        return sum(self._source.trim(topic.name, before) for topic in self._topics)

    def close(self) -> None:
        """Release both logs."""
        self._target.close()
        self._source.close()

    def wait(self, timeout: float) -> None:
        """Until there is a new read, or for ``timeout`` s: other topics are not in a hurry."""
        first = self._topics[0].name
        partitions = range(self._source.partitions(first))
        self._source.wait(first, {p: self._at.get((first, p), 0) for p in partitions}, timeout)

    def _to_copy(self) -> list[Topic]:
        partitions = range(self._source.partitions(DETECTED.name))
        if any(self._source.end(DETECTED.name, partition) for partition in partitions):
            return [topic for topic in TOPICS.values() if topic not in _STAYS]
        return list(TOPICS.values())

    def _positions(self) -> dict[Part, int]:
        """The broker forgets a group that was idle for its retention; the source remembers."""
        every = [
            (topic.name, partition)
            for topic in self._topics
            for partition in range(self._source.partitions(topic.name))
        ]
        at = {
            (topic.name, partition): offset
            for topic in self._topics
            for partition, offset in self._source.marks(self._group, topic.name).items()
        }
        strange = 0
        for part, known in self._target.positions(every).items():
            if self._fits(part, known):
                at[part] = max(known.offset, at.get(part, 0))
            else:
                strange += 1
        if strange:
            logger.warning(
                "in %d partitions this log is not as it was when it was copied: it was put back to "
                "an older copy, and goes on from what that copy noted; repeats will be refused",
                strange,
            )
        return at

    def _fits(self, part: Part, known: Position) -> bool:
        """Whether the last record that was copied is still the one at its place, or is trimmed."""
        topic, partition = part
        if known.offset > self._source.end(topic, partition):
            return False
        if not known.note or known.offset <= self._source.lowest(topic, partition):
            return True
        last = self._read(topic, partition, known.offset - 1, 1)
        return not last or str(last[0].appended_at) == known.note

    def _mark(self, moved: dict[Part, int]) -> None:
        by_topic: dict[str, dict[int, int]] = {}
        for (topic, partition), offset in moved.items():
            by_topic.setdefault(topic, {})[partition] = offset
        for topic, positions in by_topic.items():
            self._source.mark(self._group, topic, positions)

    def _read(self, topic: str, partition: int, at: int, limit: int = ROUND) -> list[Entry]:
        try:
            return self._source.read(topic, partition, at, limit)
        except OffsetGone as gone:
            if at:
                logger.error("%s: these were never copied and are lost", gone)
            return self._source.read(topic, partition, gone.lowest, limit)


def forwarded(source: Log, target_uuid: str) -> bool:
    """Whether all the reads of an edge's log have been copied into a log."""
    return backlog(source, target_uuid) == 0


def backlog(source: Log, target_uuid: str) -> int:
    """How many reads of an edge's log have not been copied into a log yet."""
    at = source.marks(f"{GROUP}-{target_uuid}", RAW.name)
    return sum(
        max(0, source.end(RAW.name, p) - at.get(p, source.lowest(RAW.name, p)))
        for p in range(source.partitions(RAW.name))
    )


def close(settings: Settings) -> int:
    """End every source of the embedded log that has not said so, let the flows decide what
    follows, and stop them; how many sources were ended.

    A source says itself that it ended, unless it was killed. Raises Busy while the system runs.
    """
    from alpr.up import Up

    if settings.on_kafka:
        raise CopyError("a log on Kafka is not closed: it is not copied anywhere; nothing to do")
    with Up(settings, Printer(sys.stderr), edge=None) as up:
        log, codec = open_log(settings), open_codec(settings)
        try:
            ended = end_sources(log, codec)
            up.wait_drained()
            if left := _open(log, codec)[0]:
                _let_time_pass(log, codec, settings, left.values())
                up.wait_drained()
            if left := _open(log, codec)[0]:
                raise CopyError(
                    f"{len(left)} sightings are still open, such as {min(left).decode()}: look "
                    "at what dedup says above, then run `alpr log close` again"
                )
        finally:
            log.close()
    return ended


def _open(log: Log, codec: Codec) -> tuple[dict[bytes, Any], set[bytes]]:
    """The sightings that are open, by key with their last event; the keys of erased ones."""
    running: dict[bytes, Any] = {}
    erased: set[bytes] = set()
    topic = DETECTED.name
    for partition in range(log.partitions(topic)):
        for entry in span(log, topic, partition, 0, log.end(topic, partition)):
            key = entry.key or b""
            if entry.value is None:
                erased.add(key)
                running.pop(key, None)
                continue
            try:
                name, record = codec.decode(entry.value)
            except DecodeError:
                continue
            if name == "PlateEvent" and record["status"] in OVER:
                running.pop(key, None)
            elif name == "PlateEvent":
                running[key] = record
    return running, erased


def _let_time_pass(log: Log, codec: Codec, settings: Settings, left: Iterable[Any]) -> None:
    """Of sightings whose reads have left the log, and their session with them: a sign of life of
    the camera from when their time is over.
    """
    stay = int((settings.dedup.window_s + settings.dedup.lateness_s + 1) * SECOND_US)
    for event in left:
        camera = {"camera_id": event["camera_id"], "camera_group": event["camera_group"]}
        told = camera | {"session": "closed", "captured_at": event["last_seen"] + stay}
        beat = dict.fromkeys(("frames_seen", "frames_dropped", "clock_offset_us"), 0)
        records = [
            ("SourceEnded", told | {"reason": "closed"}),
            ("CameraHeartbeat", told | beat | {"state": "live", "fps": 0.0}),
        ]
        key = (event["camera_group"] or event["camera_id"]).encode()
        where = partition_of(key, log.partitions(RAW.name))
        values = [codec.encode(RAW.name, name, record) for name, record in records]
        log.append(RAW.name, where, [Append(key, value) for value in values])


def end_sources(log: Log, codec: Codec) -> int:
    """Say for every source that has not said so that it ended; how many these are."""
    ended = 0
    for partition in range(log.partitions(RAW.name)):
        running: dict[tuple[str, str], tuple[Entry, Any]] = {}
        for entry in span(log, RAW.name, partition, 0, log.end(RAW.name, partition)):
            try:
                name, record = codec.decode(entry.value or b"")
            except DecodeError:
                continue
            if name == "SourceEnded":
                running.pop((record["camera_id"], record["session"]), None)
            elif name in ("PlateRead", "CameraHeartbeat"):
                running[record["camera_id"], record["session"]] = (entry, record)
        records = [
            Append(
                entry.key,
                codec.encode(
                    RAW.name,
                    "SourceEnded",
                    {
                        "camera_id": record["camera_id"],
                        "camera_group": record["camera_group"],
                        "session": record["session"],
                        "captured_at": record["captured_at"],
                        "reason": "closed",
                    },
                ),
            )
            for entry, record in running.values()
        ]
        log.append(RAW.name, partition, records)
        ended += len(records)
    return ended
