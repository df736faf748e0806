"""The log as Bytewax sees it: where a reader starts, what it gives, what it refuses."""

from datetime import UTC, datetime

import pytest

from dataflows.log_io import BATCH, MARK_S, LogSink, LogSource, part_name
from eventlog.log import Append, LogError, LogMismatch, OffsetGone, RecordTooLarge
from schemas.topics import DETECTED, RAW
from tests.dataflows.logs import MemoryLog


def filled(count, topic=RAW.name):
    log = MemoryLog()
    log.append(topic, 0, [Append(b"k", str(n).encode()) for n in range(count)])
    return log


def reader(log, resume=None, **options):
    return LogSource(log, RAW.name, [0], **options).build_part("raw", part_name(0), resume)


def values(batches):
    return [entry.value for _, batch in batches for entry in batch.entries]


def test_the_names_of_partitions_sort_as_their_numbers_do():
    numbers = [0, 2, 10, 100, 1023]
    assert sorted(map(part_name, numbers)) == [part_name(n) for n in numbers]
    assert LogSource(MemoryLog(), RAW.name, numbers).list_parts() == [part_name(n) for n in numbers]


def test_a_new_reader_begins_at_the_beginning_and_keys_batches_by_partition():
    part = reader(filled(3))
    ((key, batch),) = part.next_batch()
    assert key == part_name(0)
    assert (batch.start, batch.end) == (0, 3)
    assert [entry.value for entry in batch.entries] == [b"0", b"1", b"2"]


def test_batches_follow_one_another_without_a_gap():
    part = reader(filled(2 * BATCH + 5))
    batches = [part.next_batch()[0][1] for _ in range(3)]
    borders = [(batch.start, batch.end) for batch in batches]
    assert borders == [(0, BATCH), (BATCH, 2 * BATCH), (2 * BATCH, 2 * BATCH + 5)]
    assert part.next_batch() == []


def test_a_reader_goes_on_where_its_snapshot_stood():
    log = filled(5)
    part = reader(log)
    part.next_batch()
    position = part.snapshot()
    log.append(RAW.name, 0, [Append(b"k", b"new")])
    assert position == (log.uuid, 5)
    assert values(reader(log, position).next_batch()) == [b"new"]


def test_a_reader_without_a_snapshot_starts_where_it_is_told():
    assert values(reader(filled(5), starts={0: 3}).next_batch()) == [b"3", b"4"]
    assert values(reader(filled(5), ("in-memory", 4), starts={0: 1}).next_batch()) == [b"4"]


def test_a_position_of_another_log_is_refused_with_a_cure():
    with pytest.raises(LogMismatch, match=r"of log other.*empty recovery folder"):
        reader(filled(3), ("other", 2))


def test_a_reader_that_never_read_begins_with_what_retention_left():
    log = filled(10)
    log.dropped[RAW.name] = 6
    part = reader(log)
    assert part.next_batch() == []
    assert values(part.next_batch()) == [b"6", b"7", b"8", b"9"]


def test_an_offset_that_retention_dropped_is_told_with_its_cure_and_not_skipped_over(caplog):
    log = filled(10)
    log.dropped[RAW.name] = 6
    with pytest.raises(OffsetGone, match=r"offset 3 is gone.*begins at 6"):
        reader(log, (log.uuid, 3)).next_batch()
    (told,) = caplog.messages
    assert "offset 3 is gone" in told
    assert "`alpr replay`" in told


def test_a_reader_with_nothing_to_read_sleeps_a_little_then_a_little_longer():
    log = filled(1)
    part = reader(log)
    part.next_batch()
    assert part.next_awake() is None
    assert part.next_batch() == []
    beats, pauses = [], []
    for _ in range(300):
        awake = part.next_awake()
        assert awake is not None
        beats.append(awake.microsecond)
        pauses.append((awake - datetime.now(UTC)).total_seconds())
        part.next_batch()
    assert max(pauses[:150]) < 0.006
    assert max(pauses) < 0.026
    assert {beat % 5_000 for beat in beats} == {0}
    assert {beat % 25_000 for beat in beats[250:]} == {0}
    log.append(RAW.name, 0, [Append(b"k", b"1")])
    assert values(part.next_batch()) == [b"1"]
    assert part.next_awake() is None


def test_a_sink_appends_all_batches_of_an_epoch_at_once_and_nothing_for_nothing():
    log = MemoryLog()
    sink = LogSink(log, DETECTED.name, [0])
    part = sink.build_part("out", part_name(0), None)
    part.write_batch([[], []])
    assert log.end(DETECTED.name, 0) == 0
    part.write_batch([[Append(b"a", b"1")], [], [Append(b"b", b"2"), Append(b"a", b"3")]])
    assert [e.value for e in log.read(DETECTED.name, 0, 0, 9)] == [b"1", b"2", b"3"]
    assert part.snapshot() is None


def test_a_sinks_parts_are_the_partitions_that_keys_name():
    sink = LogSink(MemoryLog(), DETECTED.name, [10, 2, 7])
    names = sink.list_parts()
    assert names == [part_name(2), part_name(7), part_name(10)]
    assert [names[sink.part_fn(part_name(n))] for n in (10, 2, 7)] == [
        part_name(n) for n in (10, 2, 7)
    ]


class Counting(MemoryLog):
    """Notes when it was flushed, and takes no value of more than 9 bytes."""

    def __init__(self):
        super().__init__()
        self.flushed_at = []

    def send(self, topic, partition, records):
        if any(len(record.value or b"") > 9 for record in records):
            raise RecordTooLarge(f"a record is too large for {topic}")
        super().send(topic, partition, records)

    def flush(self):
        self.flushed_at.append(self.end(DETECTED.name, 0))


def test_an_epoch_closes_when_what_was_sent_in_it_is_durable():
    log = Counting()
    part = LogSink(log, DETECTED.name, [0]).build_part("out", part_name(0), None)
    part.write_batch([[Append(b"a", b"1")]])
    part.write_batch([[Append(b"b", b"2")]])
    part.snapshot()
    assert log.flushed_at == [2]


def test_a_record_that_no_topic_takes_stops_nothing_and_is_told(caplog):
    log = Counting()
    part = LogSink(log, DETECTED.name, [0]).build_part("out", part_name(0), None)
    part.write_batch([[Append(b"a", b"1"), Append(b"big", bytes(10)), Append(b"b", b"2")]])
    assert [e.value for e in log.read(DETECTED.name, 0, 0, 9)] == [b"1", b"2"]
    assert "b'big' is left out: a record is too large" in caplog.text


def test_a_group_is_marked_now_and_then_with_the_positions_that_moved(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("dataflows.log_io.time.monotonic", lambda: now[0])
    log = filled(5)
    source = LogSource(log, RAW.name, [0], group="g")
    part = source.build_part("raw", part_name(0), None)
    part.next_batch()
    part.snapshot()
    assert log.marks("g", RAW.name) == {}
    now[0] += MARK_S
    part.snapshot()
    assert log.marks("g", RAW.name) == {0: 5}


def test_all_partitions_of_a_group_are_marked_as_of_one_epoch(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("dataflows.log_io.time.monotonic", lambda: now[0])
    log = filled(5)  # in every partition
    source = LogSource(log, RAW.name, [0, 1], group="g")
    parts = [source.build_part("raw", part_name(partition), None) for partition in (0, 1)]
    for part in parts:
        part.snapshot()
    now[0] += MARK_S
    for part in parts:
        part.next_batch()
        part.snapshot()
    assert log.marks("g", RAW.name) == {0: 5, 1: 5}


def test_a_log_that_takes_no_marks_stops_nothing(monkeypatch, caplog):
    now = [100.0]
    monkeypatch.setattr("dataflows.log_io.time.monotonic", lambda: now[0])
    log = filled(5)
    monkeypatch.setattr(log, "mark", lambda *_: (_ for _ in ()).throw(LogError("away")))
    part = LogSource(log, RAW.name, [0], group="g").build_part("raw", part_name(0), None)
    part.next_batch()
    now[0] += MARK_S
    assert part.snapshot() == (log.uuid, 5)
    assert "the lag of g is not shown for now: away" in caplog.text
