"""Minutes of the log are counted once, whatever is killed, and each in bounded space."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from dataflows.dead_letters import Place, dead_letter, note
from dataflows.dedup import Dedup
from dataflows.metrics import MINUTE_US, MOST, Minutes, going_on, metrics_flow
from eventlog.log import Append, Entry, Log
from eventlog.sqlite import SqliteLog
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, METRICS, RAW, REJECTED, partition_of
from tests.dataflows.logs import raw_records
from tests.rules.world import START, at, read
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
CODEC.register()
NODE = "metrics@here"


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path, 2)


class Ended(Exception):
    """Raised to end a flow that would go on for ever."""


class Ending:
    """A log that ends the flow once all its readers have nothing more, or at an append."""

    def __init__(self, log: Log, appends: int = 1 << 30, *, before: bool = False) -> None:
        self._log, self._appends, self._before = log, appends, before
        self._idle = Counter[tuple[str, int]]()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        found = self._log.read(topic, partition, offset, min(limit, 50))
        if topic != METRICS.name:
            self._idle[topic, partition] = 0 if found else self._idle[topic, partition] + 1
            if len(self._idle) == 4 and min(self._idle.values()) > 1:
                raise Ended
        return found

    def append(self, topic: str, partition: int, records: list[Append]):
        self._appends -= topic == METRICS.name
        if self._appends < 0 and self._before:
            raise Ended
        offsets = self._log.append(topic, partition, records)
        if self._appends < 0:
            raise Ended
        return offsets


def count(log: Log, **ending: Any) -> None:
    with pytest.raises(BaseException) as ended:  # noqa: PT011 (Bytewax wraps what a source raises)
        run_main(metrics_flow(Ending(log, **ending), CODEC, NODE, [0]))
    told = repr(ended.value) + repr(ended.value.__cause__) + repr(ended.value.__context__)
    assert "Ended" in told


def points(log: Log) -> list[Any]:
    to = partition_of(NODE.encode(), log.partitions(METRICS.name))
    entries = log.read(METRICS.name, to, 0, 1 << 30)
    assert {entry.key for entry in entries} <= {NODE.encode()}
    return [CODEC.decode(entry.value or b"")[1] for entry in entries]


def sums(points: list[Any]) -> Counter[tuple[Any, ...]]:
    """The points' counts by name and labels."""
    found = Counter[tuple[Any, ...]]()
    for point in points:
        labels = tuple(sorted(point["labels"].items()))
        found[point["minute"], point["name"], labels] += point["count"]
    return found


def busy(log: Log) -> None:
    """A quarter of an hour of a city, with what dedup says of it, and then a later minute."""
    raw = raw_records(CODEC, 11)
    log.append(RAW.name, 0, raw)
    dedup = Dedup(CODEC, DedupSettings(), grammar())
    out: dict[str, list[Append]] = {topic: [] for topic in (DETECTED.name, REJECTED.name, DLQ.name)}
    for entry in log.read(RAW.name, 0, 0, 1 << 30):
        for kept, said in zip(out.values(), dedup.batch([entry]), strict=True):
            kept += [Append(a.key, a.value, a.headers, entry.appended_at) for a in said]
    last = log.read(RAW.name, 0, len(raw) - 1, 1)[0]
    out[DLQ.name].append(
        Append(*_parts(dead_letter(CODEC, last, "decode", "magic", "")), last.appended_at)
    )
    for topic, records in out.items():
        log.append(topic, 0, records)
    for minutes in (2, 4):
        at = last.appended_at + minutes * MINUTE_US
        log.append(RAW.name, 0, [Append(None, CODEC.encode(RAW.name, "Tick", {"at": at}), {}, at)])


def _parts(append: Append) -> tuple[bytes | None, bytes | None, Any]:
    return append.key, append.value, append.headers


def truth(log: Log) -> Counter[tuple[Any, ...]]:
    """How many records of each kind each minute has."""
    found = Counter[tuple[Any, ...]]()
    for topic in (RAW, REJECTED, DETECTED, DLQ):
        for entry in log.read(topic.name, 0, 0, 1 << 30):
            minute = entry.appended_at // MINUTE_US * MINUTE_US
            name, record = CODEC.decode(entry.value or b"")
            labels = (("record", name), ("topic", topic.name))
            found[minute, "alpr_records", labels] += 1
            if name == "ReadRejected":
                labels = (("camera", record["read"]["camera_id"]), ("reason", record["reason"]))
                found[minute, "alpr_reads_rejected", labels] += 1
            if name == "PlateEvent":
                labels = (("camera", record["camera_id"]), ("status", record["status"]))
                found[minute, "alpr_sightings", labels] += 1
    open_minute = max(minute for minute, *_ in found)
    return Counter({key: n for key, n in found.items() if key[0] < open_minute})


def agree(log: Log) -> None:
    counted, true = sums(points(log)), truth(log)
    names = {"alpr_records", "alpr_reads_rejected", "alpr_sightings"}
    assert {key: n for key, n in counted.items() if key[1] in names} == true


def test_every_minute_that_is_over_is_counted_once_from_all_topics(log: SqliteLog):
    busy(log)
    count(log)
    agree(log)
    count(log)  # started again there is nothing new to say
    agree(log)


@pytest.mark.parametrize("before", [False, True])
def test_killed_at_any_append_it_goes_on_without_a_gap_or_a_repeat(log: SqliteLog, before: bool):
    busy(log)
    for appends in (0, 1, 2, 3, 5):
        count(log, appends=appends, before=before)
    count(log)
    agree(log)


def entry(topic: str, name: str, record: Any, at: int, offset: int = 0, **options: Any) -> Entry:
    value = CODEC.encode(topic, name, record)
    return Entry(topic, 0, offset, at, b"k", value, options.get("headers", {}))


def tick(minute: float, offset: int = 1000) -> Entry:
    at = START + int(minute * MINUTE_US)
    return entry(RAW.name, "Tick", {"at": at}, at, offset)


def said(minutes: Minutes, *entries: Entry) -> dict[str, Any]:
    """The points of the entries, without the counts of records."""
    decoded = [CODEC.decode(a.value or b"")[1] for e in entries for a in minutes.count(e)]
    return {p["name"]: p for p in decoded if p["name"] != "alpr_records"}


def fresh() -> Minutes:
    return Minutes(CODEC, NODE, "a-log", 0)


def test_latency_runs_from_capture_to_the_log_in_seconds():
    reads = [
        entry(RAW.name, "PlateRead", read(0, "KAX1234"), at(0.5)),
        entry(RAW.name, "PlateRead", read(1, "KAX1234"), at(3.0)),
    ]
    point = said(fresh(), *reads, tick(1))["alpr_read_latency_seconds"]
    assert point["labels"] == {"camera": "gate"}
    assert (point["count"], point["sum"], point["maximum"]) == (2, 2.5, 2.0)
    assert (point["minute"], point["node"]) == (START, NODE)


def test_dead_letters_are_counted_by_reason_and_notes_of_redrives_are_none():
    read_ = entry(RAW.name, "PlateRead", read(0, "KAX1234"), at(0))
    letter = dead_letter(CODEC, read_, "dedup", "poison", "")
    record = CODEC.decode(letter.value or b"")[1]
    notes = [note(CODEC, record, word, Place(RAW.name, 0, 9)) for word in ("started", "done")]
    entries = [
        Entry(DLQ.name, 0, n, at(n), a.key, a.value, a.headers)
        for n, a in enumerate([letter, letter, *notes])
    ]
    found = said(fresh(), *entries, tick(0), tick(1), tick(2))
    labels = {"topic": RAW.name, "step": "dedup", "reason": "poison"}
    assert found["alpr_dead_letters"]["labels"] == labels
    assert found["alpr_dead_letters"]["count"] == 2
    assert found["alpr_redriven"]["count"] == 1


def test_a_quiet_topics_minute_is_over_a_minute_after_the_ticks_have_left_it():
    minutes = fresh()
    assert said(minutes, Entry(REJECTED.name, 0, 0, at(5), b"k", b"junk", {})) == {}
    assert said(minutes, tick(0.5), tick(1)) == {}
    assert said(minutes, tick(2))["alpr_unreadable"]["labels"] == {"topic": REJECTED.name}


def test_reads_that_the_edge_had_to_drop_are_counted():
    gap = {
        "camera_id": "gate",
        "camera_group": None,
        "session": "s",
        "from_at": 0,
        "to_at": 1,
        "dropped": 7,
    }
    assert (
        said(fresh(), entry(RAW.name, "Gap", gap, at(0)), tick(1))["alpr_reads_dropped"]["count"]
        == 7
    )


def test_more_series_than_it_keeps_are_counted_as_other():
    minutes = fresh()
    for n in range(MOST + 5):
        record = read(0, "KAX1234", camera_id=f"camera-{n}")
        minutes.count(entry(RAW.name, "PlateRead", record, at(1)))
    out = [CODEC.decode(a.value or b"")[1] for a in minutes.count(tick(1))]
    assert len(out) <= MOST + 2
    assert sum(p["count"] for p in out if p["labels"].get("camera") == "other") >= 5


def test_an_unreadable_refusal_is_buried_and_goes_into_no_circle(log: SqliteLog):
    log.append(REJECTED.name, 0, [Append(b"k", b"junk")])
    log.append(DLQ.name, 0, [Append(b"k", b"junk")])
    count(log)
    letters = [CODEC.decode(e.value or b"")[1] for e in log.read(DLQ.name, 0, 1, 100)]
    assert {(x["topic"], x["offset"], x["reason"]) for x in letters} == {
        (REJECTED.name, 0, "magic")
    }


def test_another_logs_points_say_nothing_of_this_one(log: SqliteLog, tmp_path: Path):
    busy(log)
    count(log)
    other = SqliteLog(tmp_path / "other", 2)
    to = partition_of(NODE.encode(), 2)
    copied = [Append(e.key, e.value, e.headers) for e in log.read(METRICS.name, to, 0, 1 << 30)]
    other.append(METRICS.name, to, copied)
    assert going_on(log, [0])[RAW.name][0] > 0
    assert going_on(other, [0])[RAW.name] == {}
