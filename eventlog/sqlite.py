"""The log in a folder: one SQLite file for each topic, any number of processes, no server."""

import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from eventlog.files import File, identity, make, translated
from eventlog.log import Append, Entry, LogCorrupt, LogError, LogMismatch, OffsetGone
from schemas.topics import TOPICS

PARTITIONS = 4  # of a new log, unless told otherwise
# How often a waiting reader looks: soon after it began, then at leisure (about 1 % of a core).
POLL_S = (0.001, 0.01)
TRIM_ROWS = 1000  # records dropped in one transaction: some milliseconds
TRIM_PAUSE_S = 0.01  # between two of them, so that writers get their turn

# A record's row id is its partition and its offset: a partition is a range of the table.
_SHIFT = 48

_LOG = "CREATE TABLE topic (name TEXT PRIMARY KEY);"
# Made when the first mark is: logs of earlier versions have none.
_MARKS = """
CREATE TABLE IF NOT EXISTS mark (
    groups TEXT, topic TEXT, partition INTEGER, position INTEGER NOT NULL,
    PRIMARY KEY (groups, topic, partition)
) WITHOUT ROWID
"""
_TOPIC = """
CREATE TABLE partition (
    id INTEGER PRIMARY KEY, lowest INTEGER NOT NULL, next INTEGER NOT NULL,
    appended_at INTEGER NOT NULL
);
CREATE TABLE record (
    id INTEGER PRIMARY KEY, appended_at INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB
);
"""
_BLANK = (
    "UPDATE record SET key = zeroblob(length(key)), value = zeroblob(length(value)),"
    " headers = zeroblob(length(headers)) WHERE id = ?"
)
_COMPACTED = "CREATE INDEX IF NOT EXISTS record_key ON record (key);"


def wall_clock() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


class SqliteLog:
    """An ``eventlog.log.Log`` in a folder.

    ``append`` returns when the records survive a loss of power: one transaction, one sync, so
    appending many at once costs little more than one. Offsets begin at 0. A record's
    ``appended_at`` is ``clock``'s time, but never below the partition's highest so far; what a
    copy gives is kept as it is.

    ``partitions`` is the number for a new log, 4 if None, and what an existing one is checked
    against. Raises LogMismatch if it differs, LogError if there is no log and ``create`` is
    false, and what ``eventlog.files.File`` raises.
    """

    def __init__(
        self,
        folder: Path,
        partitions: int | None = None,
        create: bool = True,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        path = folder / "log.db"
        if not path.exists():
            if not create:
                raise LogError(f"there is no log in {folder}: name the folder of one")
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
            made = PARTITIONS if partitions is None else partitions
            if made < 1:
                raise LogError(f"a log cannot have {made} partitions: ask for 1 or more")
            make(path, _LOG, {"log": str(uuid4()), "partitions": made})
        self._folder = folder.absolute()
        self._clock = clock
        self._file = File(path)
        with self._file.reading() as db:
            facts = identity(db)
        self._uuid: str = facts["log"]
        self._partitions: int = facts["partitions"]
        if partitions not in (None, self._partitions):
            self._file.close()
            raise LogMismatch(
                f"the log in {folder} was made with {self._partitions} partitions, {partitions} "
                f"are asked for: set {self._partitions}, or make a new log in another folder"
            )
        self._topics: dict[str, File] = {}

    @property
    def uuid(self) -> str:
        """Identity of this log, made with it."""
        return self._uuid

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; LogError if the topic does not exist."""
        if topic not in TOPICS:
            raise LogError(f"there is no topic {topic!r}: topics are {', '.join(TOPICS)}")
        return self._partitions if TOPICS[topic].partitioned else 1

    def append(self, topic: str, partition: int, records: Sequence[Append]) -> Sequence[int]:
        """Append records in order, all or none; their offsets. Raises LogFull."""
        return self.append_many(topic, {partition: records})[partition]

    def append_many(self, topic: str, batches: Mapping[int, Sequence[Append]]) -> dict[int, range]:
        """Append to several partitions of a topic, all or none; the offsets by partition."""
        compacted = self._compacted(topic)
        for partition, records in batches.items():
            self._check(topic, partition)
            if compacted and any(record.key is None for record in records):
                raise LogError(f"{topic} is compacted: each record needs a key")
        offsets: dict[int, range] = {}
        with self._topic(topic).writing() as db:
            for partition, records in batches.items():
                start, highest = db.execute(
                    "SELECT next, appended_at FROM partition WHERE id = ?", (partition,)
                ).fetchone()
                now = max(self._clock(), highest)
                times = [now if r.appended_at is None else r.appended_at for r in records]
                first = (partition << _SHIFT) + start
                db.executemany(
                    "INSERT INTO record VALUES (?, ?, ?, ?, ?)",
                    [
                        (first + i, at, r.key, r.value, _pack(r.headers) if r.headers else None)
                        for i, (at, r) in enumerate(zip(times, records, strict=True))
                    ],
                )
                offsets[partition] = range(start, start + len(records))
                db.execute(
                    "UPDATE partition SET next = ?, appended_at = ? WHERE id = ?",
                    (start + len(records), max(times, default=highest), partition),
                )
        return offsets

    def send(self, topic: str, partition: int, records: Sequence[Append]) -> None:
        """Append records; they are durable at once. Raises LogFull."""
        self.append(topic, partition, records)

    def flush(self) -> None:
        """Nothing is pending: a ``send`` that returned is durable."""

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` records from ``offset`` on, in order; never waits.

        Raises OffsetGone below the lowest offset.
        """
        self._check(topic, partition)
        base = partition << _SHIFT
        with self._topic(topic).reading() as db:
            rows = db.execute(
                "SELECT id, appended_at, key, value, headers FROM record"
                " WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (base + offset, base + (1 << _SHIFT), limit),
            ).fetchall()
            if not rows or rows[0][0] != base + offset:
                # Asked after the rows, as it only grows: no trim between goes unnoticed.
                lowest = self._bounds(topic, partition)[0]
                if offset < lowest:
                    raise OffsetGone(topic, partition, offset, lowest)
        try:
            return [
                Entry(topic, partition, id_ - base, at, key, value, _unpack(head) if head else {})
                for id_, at, key, value, head in rows
            ]
        except (struct.error, UnicodeDecodeError) as error:
            path = self._topic(topic).path
            raise LogCorrupt(f"{path} is damaged (headers): restore it from a copy") from error

    def reached(self, topic: str, partition: int, offset: int) -> int:
        """How far a reader at ``offset``, whose last read was empty, is in fact.

        What lies between is no record of anybody's: it was trimmed or erased.
        """
        self._check(topic, partition)
        base = partition << _SHIFT
        with self._topic(topic).reading() as db:
            # In this order: what is appended between lies beyond the end that was read.
            (end,) = db.execute("SELECT next FROM partition WHERE id = ?", (partition,)).fetchone()
            found = db.execute(
                "SELECT 1 FROM record WHERE id >= ? AND id < ? LIMIT 1", (base + offset, base + end)
            ).fetchone()
        return offset if found or end < offset else end

    def wait(self, topic: str, positions: Mapping[int, int], timeout: float) -> bool:
        """True as soon as a partition's end lies beyond its position; False after ``timeout`` s."""
        for partition in positions:
            self._check(topic, partition)
        began = time.monotonic()
        with self._topic(topic).reading() as db:
            while True:
                for partition, end in db.execute("SELECT id, next FROM partition").fetchall():
                    if end > positions.get(partition, end):
                        return True
                waited = time.monotonic() - began
                if waited >= timeout:
                    return False
                pause = min(max(waited / 10, POLL_S[0]), POLL_S[1])
                time.sleep(min(pause, timeout - waited))

    def lowest(self, topic: str, partition: int) -> int:
        """First offset that may be read; equal to ``end`` when the partition is empty."""
        return self._bounds(topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        """Offset that the next record will have at least."""
        return self._bounds(topic, partition)[1]

    def since(self, topic: str, at: int) -> dict[int, int]:
        """Where the first record since a time may lie, by partition: anywhere."""
        return {p: self.lowest(topic, p) for p in range(self.partitions(topic))}

    def trim(self, topic: str, before: int) -> int:
        """Drop records with ``appended_at`` below ``before`` (microseconds); how many.

        From each partition's beginning up to its first record that is not older. Of a
        compacted topic, only what a later record of the same key supersedes, and tombstones;
        its lowest offset stays, reading passes over the gaps.
        """
        batches = self._trim_compacted if self._compacted(topic) else self._trim_prefix
        dropped = 0
        for partition in range(self.partitions(topic)):
            for count in batches(self._topic(topic), partition, before):
                dropped += count
                time.sleep(TRIM_PAUSE_S)
        if dropped:
            self._topic(topic).settle()
        return dropped

    def erase(self, topic: str, partition: int, offsets: Sequence[int]) -> bool:
        """Drop records at once, in one transaction; the log's files keep no byte of them.

        Nor of those that were dropped before by somebody who was killed.
        """
        self._check(topic, partition)
        ids = [((partition << _SHIFT) + offset,) for offset in offsets]
        file = self._topic(topic)
        if ids:
            with file.writing() as db:
                # Overwritten in place first, all of them: what is deleted as it is, SQLite may
                # have copied about before, when it joined pages that others left half empty.
                db.executemany(_BLANK, ids)
                db.executemany("DELETE FROM record WHERE id = ?", ids)
        file.settle()
        return True

    def compact(self, topic: str, partition: int, keys: Sequence[bytes]) -> bool:
        """Erase all but the last record of each of these keys of a compacted topic."""
        self._check(topic, partition)
        start, stop = partition << _SHIFT, (partition + 1) << _SHIFT
        superseded: list[int] = []
        with self._topic(topic).reading() as db:
            for key in keys:
                found = db.execute(
                    "SELECT id FROM record WHERE key = ? AND id >= ? AND id < ? ORDER BY id",
                    (key, start, stop),
                ).fetchall()
                superseded += [id_ - start for (id_,) in found[:-1]]
        return self.erase(topic, partition, superseded)

    def mark(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Note how far a group of readers is, next offset by partition."""
        for partition in positions:
            self._check(topic, partition)
        with self._file.writing() as db:
            db.execute(_MARKS)
            db.executemany(
                "INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?)",
                [(group, topic, partition, at) for partition, at in positions.items()],
            )

    def marks(self, group: str, topic: str) -> dict[int, int]:
        """What was last noted of a group, by partition."""
        self.partitions(topic)
        with self._file.reading() as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'mark'").fetchone():
                return {}
            return dict(
                db.execute(
                    "SELECT partition, position FROM mark WHERE groups = ? AND topic = ?",
                    (group, topic),
                ).fetchall()
            )

    def close(self) -> None:
        """Release files and connections; the log is not to be used any more."""
        for file in (self._file, *self._topics.values()):
            file.close()

    @staticmethod
    def _trim_prefix(file: File, partition: int, before: int) -> Iterator[int]:
        base = partition << _SHIFT
        count = TRIM_ROWS
        while count == TRIM_ROWS:
            with file.writing() as db:
                (lowest,) = db.execute(
                    "SELECT lowest FROM partition WHERE id = ?", (partition,)
                ).fetchone()
                rows = db.execute(
                    "SELECT id, appended_at FROM record WHERE id >= ? AND id < ?"
                    " ORDER BY id LIMIT ?",
                    (base + lowest, base + (1 << _SHIFT), TRIM_ROWS),
                ).fetchall()
                old = _prefix(rows, before)
                count = len(old)
                if old:
                    db.execute("DELETE FROM record WHERE id BETWEEN ? AND ?", (old[0], old[-1]))
                    db.execute(
                        "UPDATE partition SET lowest = ? WHERE id = ?",
                        (old[-1] + 1 - base, partition),
                    )
            if count:
                yield count

    @staticmethod
    def _trim_compacted(file: File, partition: int, before: int) -> Iterator[int]:
        start, stop = partition << _SHIFT, (partition + 1) << _SHIFT
        while True:
            # In order of offsets, so that a tombstone goes only after all that it erases.
            with file.reading() as db:
                rows = db.execute(
                    "SELECT id, appended_at, value IS NULL OR EXISTS (SELECT 1 FROM record AS later"
                    " WHERE later.key = record.key AND later.id > record.id AND later.id < ?)"
                    " FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                    (stop, start, stop, TRIM_ROWS),
                ).fetchall()
            old = _prefix(rows, before)
            gone = [(row[0],) for row in rows[: len(old)] if row[2]]
            if gone:
                with file.writing() as db:
                    count = db.executemany("DELETE FROM record WHERE id = ?", gone).rowcount
                yield count
            if len(old) < TRIM_ROWS:
                return
            start = old[-1] + 1

    def _compacted(self, topic: str) -> bool:
        return topic in TOPICS and TOPICS[topic].compacted

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        self._check(topic, partition)
        with self._topic(topic).reading() as db:
            return db.execute(
                "SELECT lowest, next FROM partition WHERE id = ?", (partition,)
            ).fetchone()

    def _check(self, topic: str, partition: int) -> None:
        if not 0 <= partition < self.partitions(topic):
            raise LogError(
                f"{topic} has no partition {partition}: it has 0 to {self.partitions(topic) - 1}"
            )

    def _topic(self, topic: str) -> File:
        known = self._topics.get(topic)
        if known is not None:
            return known
        count = self.partitions(topic)
        path = self._folder / f"{topic}.db"
        with self._file.reading() as db:
            noted = db.execute("SELECT 1 FROM topic WHERE name = ?", (topic,)).fetchone()
        facts = {"log": self._uuid, "topic": topic, "partitions": count}
        if not path.exists():
            if noted:
                raise LogCorrupt(f"{path} is missing: restore it, or begin a new log elsewhere")
            rows = "".join(f"INSERT INTO partition VALUES ({i}, 0, 0, 0);" for i in range(count))
            make(path, _TOPIC + (_COMPACTED if self._compacted(topic) else "") + rows, facts)
        file = File(path)
        with file.reading() as db:
            found = identity(db)
            indexed = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'record_key'").fetchone()
        if self._compacted(topic) and not indexed:  # made before the topic was compacted
            with file.writing() as db:
                db.execute(_COMPACTED)
        if found != facts:
            raise LogMismatch(
                f"{path} belongs to another log ({found.get('log')}, topic {found.get('topic')}, "
                f"{found.get('partitions')} partitions) than its folder's ({self._uuid}): "
                "move it back to where it came from"
            )
        if not noted:
            with self._file.writing() as db:
                db.execute("INSERT OR IGNORE INTO topic VALUES (?)", (topic,))
        return self._topics.setdefault(topic, file)


def _prefix(rows: Sequence[tuple[int, ...]], before: int) -> list[int]:
    """The ids of the leading rows (id, appended_at, ...) older than ``before``."""
    old: list[int] = []
    for row in rows:
        if row[1] >= before:
            break
        old.append(row[0])
    return old


def _pack(headers: Mapping[str, bytes]) -> bytes:
    """Headers as bytes: for each its name and its value, both after their lengths."""
    parts: list[bytes] = []
    for name, value in headers.items():
        raw = name.encode()
        parts += (struct.pack("<II", len(raw), len(value)), raw, value)
    return b"".join(parts)


def _unpack(packed: bytes) -> dict[str, bytes]:
    headers: dict[str, bytes] = {}
    at = 0
    while at < len(packed):
        name, value = struct.unpack_from("<II", packed, at)
        middle, end = at + 8 + name, at + 8 + name + value
        headers[packed[at + 8 : middle].decode()] = packed[middle:end]
        at = end
    return headers
