"""History through today's settings: the raw log folded again, beside what was said then.

Nothing is written to the log. Sightings of both sides are kept in a scratch file, so that memory
does not grow with history and a run that was cut off goes on where it was.
"""

import pickle
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from alpr.errors import Busy
from eventlog.log import Entry, Log
from eventlog.redriven import REDRIVEN
from eventlog.span import first_since, span
from rules.dedup import STATE_VERSION, Deduplication
from rules.grammar import Grammar
from rules.settings import DedupSettings
from schemas.codec import Codec, DecodeError
from schemas.topics import DETECTED, RAW, REJECTED

SECOND_US = 1_000_000
WARM_UP_S = 3_600.0
"""At least so much is folded before, for signs and sightings that were there already: an hour,
after which a text that stays put is taken for a sign (``overlay_plate_s``)."""
COMMIT = 20_000
"""Records between two commits, about a second's work."""
TAIL = 1_000
"""Last records looked at to see how far dedup has come; it repeats a second's after a crash."""
THEN, NOW, ERASED = 0, 1, 2
"""The sides of a sighting: as it was said, as it is said now, and what was erased since."""

_TABLES = """
CREATE TABLE IF NOT EXISTS part (
    id INTEGER PRIMARY KEY, since INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
    stop INTEGER NOT NULL, said INTEGER NOT NULL, said_stop INTEGER NOT NULL, state BLOB
);
CREATE TABLE IF NOT EXISTS sighting (
    side INTEGER NOT NULL, event_id TEXT NOT NULL, part INTEGER NOT NULL, revision INTEGER NOT NULL,
    place TEXT NOT NULL, camera_id TEXT NOT NULL, captured_at INTEGER NOT NULL,
    text TEXT NOT NULL, region TEXT, status TEXT NOT NULL, first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL, merged_into TEXT, reason TEXT, rules_version TEXT NOT NULL,
    stands INTEGER NOT NULL, PRIMARY KEY (side, event_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sighting_place ON sighting (side, stands, place, last_seen);
CREATE TABLE IF NOT EXISTS counted (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""
_COLUMNS = (
    "side", "event_id", "part", "revision", "place", "camera_id", "captured_at", "text", "region",
    "status", "first_seen", "last_seen", "merged_into", "reason", "rules_version", "stands",
)  # fmt: skip
_UPSERT = (
    f"INSERT INTO sighting VALUES ({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT (side, event_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
    + " WHERE excluded.revision >= revision"
)


@dataclass(frozen=True, slots=True)
class Span:
    """The sightings meant: captured from ``since`` on and before ``until``, microseconds UTC."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Covered:
    """What a partition's history allows: sightings from ``since`` on can be compared, as of raw
    offset ``stop``; ``since`` is later than asked for where raw does not go back far enough.
    """

    partition: int
    since: int
    first: int
    stop: int


class History:
    """One run of dedup's rules over history, into a scratch file at ``path``.

    A file left by a run with the same arguments is gone on with. Raises Busy where another
    process works in it.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        settings: DedupSettings,
        plates: Grammar,
        *,
        span: Span,
        path: Path,
    ) -> None:
        self._log = log
        self._codec = codec
        self._settings = settings
        self._plates = plates
        self._span = span
        self._path = path
        self._near: dict[tuple[str, int], Mapping[int, int]] = {}
        self._begins: dict[int, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        try:
            self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.db.execute("PRAGMA synchronous = OFF")
            self.db.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            self.db.close()
            raise Busy(
                f"{path} is in use ({error}): wait for the other replay, or end it"
            ) from None

    def replay(
        self,
        partitions: tuple[int, ...],
        told: Callable[[int, int], None] = lambda *_: None,
        looked: Callable[[int], None] = lambda _: None,
    ) -> list[Covered]:
        """Fold what is not folded yet; ``told`` gets the records passed and those there are.

        Before, ``looked`` gets the number of partitions whose records were found.
        """
        covered: list[Covered] = []
        for partition in partitions:
            covered.append(self._cover(partition))
            looked(len(covered))
        whole = sum(part.stop - part.first for part in covered)
        passed = 0
        for part in covered:
            # `passed` of the parts before, plus how far this one is.
            before = passed
            self._then(part)
            self._now(part, lambda done, before=before: told(before + done, whole))
            passed += part.stop - part.first
            told(passed, whole)
        return covered

    def count(self, name: str) -> int:
        """How many raw records could not be read (``unreadable``) or folded (``poison``)."""
        row = self.db.execute("SELECT count FROM counted WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    def close(self, *, done: bool) -> None:
        """Leave the scratch file for the next run, or remove it when ``done``."""
        self.db.close()
        if done:
            with suppress(FileNotFoundError):
                self._path.unlink()

    # What is read

    def _cover(self, partition: int) -> Covered:
        """Which records of a partition matter; the same as before where a run was cut off."""
        row = self.db.execute(
            "SELECT since, first, stop FROM part WHERE id = ?", (partition,)
        ).fetchone()
        if row is None:
            row = self._bounds(partition)
        return Covered(partition, *row)

    def _bounds(self, partition: int) -> tuple[int, int, int]:
        log, settings = self._log, self._settings
        stay = settings.window_s + settings.lateness_s
        warm_up = int(max(WARM_UP_S, 4 * stay) * SECOND_US)
        since = self._span.since
        first = self._first_since(RAW.name, partition, since - warm_up)
        if 0 < first == log.lowest(RAW.name, partition):
            end = log.end(RAW.name, partition)
            lowest = next(span(log, RAW.name, partition, first, end), None)
            if lowest is not None:
                # Retention has taken what was before: what was open then is not known.
                since = max(since, lowest.appended_at + warm_up)
        # Long enough after for a sighting to end, so that its last word is compared.
        after = self._span.until + int(2 * stay * SECOND_US)
        stop = self._first_since(RAW.name, partition, after)
        said = self._first_since(DETECTED.name, partition, since - warm_up)
        said_stop = log.end(DETECTED.name, partition)
        stop = max(first, min(stop, self._reached(partition) + 1))
        self.db.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (partition, since, first, first, stop, said, said_stop),
        )
        return since, first, stop

    def _first_since(self, topic: str, partition: int, at: int) -> int:
        near = self._near.get((topic, at))
        if near is None:  # in one question for all partitions
            near = self._near[topic, at] = self._log.since(topic, at)
        return first_since(self._log, topic, partition, at, near[partition])

    def _reached(self, partition: int) -> int:
        """The furthest record of raw that dedup is known to have folded; -1 if none."""
        reached, began = -1, self._began(partition)
        for topic, field in ((DETECTED.name, "revision"), (REJECTED.name, "offset")):
            end = self._log.end(topic, partition)
            for entry in span(self._log, topic, partition, max(0, end - TAIL), end):
                name, record = self._record(entry)
                if record and _own(name, record, began):
                    reached = max(reached, record[field])
        return reached

    def _began(self, partition: int) -> int:
        """When the log began: what was said before was copied from another, whose reads stayed
        there and whose offsets mean nothing here.
        """
        if partition not in self._begins:
            end = self._log.end(RAW.name, partition)
            first = next(span(self._log, RAW.name, partition, 0, end), None)
            self._begins[partition] = 0 if first is None else first.appended_at
        return self._begins[partition]

    def _record(self, entry: Entry) -> tuple[str, Any]:
        if entry.value is None:
            return "", None
        try:
            return self._codec.decode(entry.value)
        except DecodeError:
            return "", None

    # What was said, what is said now

    def _then(self, part: Covered) -> None:
        """Keep what was said of the records up to the stop."""
        said, stop = self.db.execute(
            "SELECT said, said_stop FROM part WHERE id = ?", (part.partition,)
        ).fetchone()
        rows: list[tuple[Any, ...]] = []
        began = self._began(part.partition)

        def keep(following: int) -> None:
            self.db.execute("BEGIN")
            self.db.executemany(_UPSERT, rows)
            self.db.execute("UPDATE part SET said = ? WHERE id = ?", (following, part.partition))
            self.db.execute("COMMIT")
            rows.clear()

        for entry in span(self._log, DETECTED.name, part.partition, said, stop):
            name, record = self._record(entry)
            if entry.value is None and entry.key is not None:
                rows.append(_erased(entry, part.partition))
            elif (
                name == "PlateEvent"
                and part.first <= record["revision"] < part.stop
                and _own(name, record, began)
            ):
                rows.append(_row(THEN, record))
            if len(rows) == COMMIT:
                keep(entry.offset + 1)
        keep(stop)

    def _now(self, part: Covered, told: Callable[[int], None]) -> None:
        """Fold the records up to the stop, and keep what is said now."""
        following, stored = self.db.execute(
            "SELECT next, state FROM part WHERE id = ?", (part.partition,)
        ).fetchone()
        fold = Deduplication(
            part.partition,
            self._settings,
            self._plates,
            None if stored is None else pickle.loads(stored),
        )
        latest: dict[str, Any] = {}
        counts = {"unreadable": 0, "poison": 0}

        def keep(following: int) -> None:
            self.db.execute("BEGIN")
            self.db.executemany(_UPSERT, [_row(NOW, event) for event in latest.values()])
            self.db.executemany(
                "INSERT INTO counted VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET count = count + excluded.count",
                list(counts.items()),
            )
            state = pickle.dumps(fold.snapshot())
            self.db.execute(
                "UPDATE part SET next = ?, state = ? WHERE id = ?",
                (following, state, part.partition),
            )
            self.db.execute("COMMIT")
            latest.clear()
            counts.update(unreadable=0, poison=0)
            told(following - part.first)

        records = span(self._log, RAW.name, part.partition, following, part.stop)
        for passed, entry in enumerate(records, 1):
            name, record = self._record(entry)
            if name not in RAW.records:
                counts["unreadable"] += 1
            else:
                try:
                    again = REDRIVEN in entry.headers
                    for out in fold.fold(
                        name, record, entry.offset, entry.appended_at, redriven=again
                    ):
                        if out.name == "PlateEvent":
                            latest[out.key] = out.record
                except Exception:  # as live, where such a record is a dead letter
                    counts["poison"] += 1
            if passed % COMMIT == 0:
                keep(entry.offset + 1)
        keep(part.stop)


def scratch(folder: Path, *parts: object) -> Path:
    """The scratch file of a run with these arguments."""
    name = blake2b(repr((STATE_VERSION, *parts)).encode(), digest_size=6).hexdigest()
    return folder / f"dedup-{name}.db"


def _own(name: str, record: Any, began: int) -> bool:
    """Whether a decision was made of reads of this log, and not copied into it."""
    if name == "PlateEvent":
        arrived = record["captured_at"] + record["latency_ms"] * 1000
        return arrived + 999 >= began  # whole milliseconds
    return name in ("Progress", "CameraState") or record["read"]["captured_at"] >= began


def _row(side: int, event: Any) -> tuple[Any, ...]:
    return (
        side,
        event["event_id"],
        event["partition"],
        event["revision"],
        event["camera_group"] or event["camera_id"],
        event["camera_id"],
        event["captured_at"],
        event["plate"]["normalized_text"],
        event["plate"]["region"],
        event["status"],
        event["first_seen"],
        event["last_seen"],
        event["merged_into"],
        event["reason"],
        event["rules_version"],
        int(event["status"] != "retracted"),
    )


def _erased(entry: Entry, partition: int) -> tuple[Any, ...]:
    event_id = (entry.key or b"").decode("utf-8", "replace")
    return (ERASED, event_id, partition, 0, "", "", 0, "", None, "", 0, 0, None, None, "", 0)
