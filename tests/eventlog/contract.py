"""What every log keeps to, whatever it is stored in: an adapter's tests subclass LogContract.

Written for Kafka as for SQLite: no offset is assumed to be 0 or to follow its predecessor by
one, any read may be short, times are the log's own, and compaction may come late.
"""

import multiprocessing
import os
import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from eventlog.log import Append, Entry, Log, LogError, OffsetGone
from schemas.topics import DETECTED, RAW, RULES, TOPICS

Opener = Callable[[], Log]

RAW_TOPIC, COMPACTED, SINGLE = RAW.name, DETECTED.name, RULES.name
CLOCK_SLACK_US = 5_000_000  # a server's clock may differ from ours
PATIENCE_S = 30.0
# Real, unrelated processes: nothing is inherited but what is passed.
processes = multiprocessing.get_context("spawn")


def values(*texts: str) -> list[Append]:
    return [Append(b"key", text.encode()) for text in texts]


def read_all(log: Log, topic: str, partition: int, offset: int | None = None) -> list[Entry]:
    """Everything from an offset to the end, over short reads and gaps."""
    entries: list[Entry] = []
    position = log.lowest(topic, partition) if offset is None else offset
    end, patience = log.end(topic, partition), time.monotonic() + 5
    while position < end and time.monotonic() < patience:
        batch = log.read(topic, partition, position, 100)
        entries += batch
        position = batch[-1].offset + 1 if batch else position
    return entries


def texts(entries: list[Entry]) -> list[str]:
    return [(entry.value or b"").decode() for entry in entries]


@contextmanager
def child(target: Callable[..., None], *args: object) -> Iterator[multiprocessing.Process]:
    process = processes.Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def append_after(opener: Opener, ready: Connection, partition: int) -> None:
    """Say when ready, wait for a word, append one record and tell when that began."""
    log = opener()
    log.end(RAW_TOPIC, partition)
    ready.send(None)
    ready.recv()
    began = time.time()
    log.append(RAW_TOPIC, partition, values("wake"))
    ready.send(began)


def append_numbers(opener: Opener, writer: int, partition: int, count: int) -> None:
    """Append 0 to ``count`` - 1 under the writer's key, in batches of any size."""
    log, chance, number = opener(), random.Random(writer), 0
    while number < count:
        size = min(chance.randint(1, 20), count - number)
        batch = range(number, number + size)
        log.append(RAW_TOPIC, partition, [Append(b"%d" % writer, b"%d" % value) for value in batch])
        number += size
    log.close()


def follow(opener: Opener, partition: int, count: int, results: Connection) -> None:
    """Read along until ``count`` records are there; send their keys and values."""
    log, seen = opener(), []
    position = log.lowest(RAW_TOPIC, partition)
    deadline = time.monotonic() + PATIENCE_S
    while len(seen) < count and time.monotonic() < deadline:
        log.wait(RAW_TOPIC, {partition: position}, 1.0)
        for entry in log.read(RAW_TOPIC, partition, position, 7):
            seen.append((entry.key, entry.value))
            position = entry.offset + 1
    results.send(seen)


def append_until_killed(opener: Opener, first: int, acknowledged: Connection) -> None:
    log, number = opener(), first
    while True:
        log.append(RAW_TOPIC, 0, values(str(number), str(number + 1)))
        acknowledged.send(number + 1)
        number += 2


class LogContract(ABC):
    """Subclasses give the fixture ``opener``: opens the same fresh log anew at each call.

    It must be picklable, as other processes call it.
    """

    @pytest.fixture
    @abstractmethod
    def opener(self) -> Opener: ...

    @pytest.fixture
    def log(self, opener: Opener) -> Iterator[Log]:
        log = opener()
        yield log
        log.close()

    # What comes back

    def test_records_come_back_in_the_order_appended(self, log: Log) -> None:
        first = log.append(RAW_TOPIC, 1, values("a", "b"))
        second = log.append(RAW_TOPIC, 1, values("c"))
        entries = read_all(log, RAW_TOPIC, 1)
        assert texts(entries) == ["a", "b", "c"]
        assert [entry.offset for entry in entries] == [*first, *second]
        assert sorted({entry.offset for entry in entries}) == [*first, *second]

    def test_a_record_comes_back_whole(self, log: Log) -> None:
        headers = {"traceparent": b"00-4bf92f35-01", "empty": b"", "bytes": bytes(range(256))}
        (offset,) = log.append(RAW_TOPIC, 2, [Append(b"\x00key", b"\x00value\xff", headers)])
        (entry,) = read_all(log, RAW_TOPIC, 2)
        assert (entry.topic, entry.partition, entry.offset) == (RAW_TOPIC, 2, offset)
        assert (entry.key, entry.value) == (b"\x00key", b"\x00value\xff")
        assert dict(entry.headers) == headers

    @pytest.mark.parametrize("key", [None, b"", b"key"])
    @pytest.mark.parametrize("value", [None, b"", b"value"])
    def test_nothing_is_told_from_empty(
        self, log: Log, key: bytes | None, value: bytes | None
    ) -> None:
        log.append(RAW_TOPIC, 0, [Append(key, value)])
        (entry,) = read_all(log, RAW_TOPIC, 0)
        assert (entry.key, entry.value, dict(entry.headers)) == (key, value, {})

    def test_partitions_are_apart(self, log: Log) -> None:
        for partition in range(log.partitions(RAW_TOPIC)):
            log.append(RAW_TOPIC, partition, values(f"in {partition}"))
        for partition in range(log.partitions(RAW_TOPIC)):
            assert texts(read_all(log, RAW_TOPIC, partition)) == [f"in {partition}"]

    @pytest.mark.parametrize("topic", TOPICS)
    def test_every_topic_takes_records(self, log: Log, topic: str) -> None:
        log.append(topic, 0, values("first"))
        log.append(topic, 0, values("second"))
        assert texts(read_all(log, topic, 0)) == ["first", "second"]

    def test_reading_can_begin_at_any_offset(self, log: Log) -> None:
        offsets = log.append(RAW_TOPIC, 0, values("a", "b", "c"))
        for index, offset in enumerate(offsets):
            assert texts(read_all(log, RAW_TOPIC, 0, offset)) == ["a", "b", "c"][index:]

    def test_a_read_gives_no_more_than_its_limit(self, log: Log) -> None:
        (offset, *_) = log.append(RAW_TOPIC, 0, values(*map(str, range(50))))
        assert 1 <= len(log.read(RAW_TOPIC, 0, offset, 10)) <= 10

    def test_the_log_sets_the_time_and_it_never_goes_back(self, log: Log) -> None:
        before = time.time_ns() // 1000
        for _ in range(5):
            log.append(RAW_TOPIC, 0, values("a", "b"))
        after = time.time_ns() // 1000
        times = [entry.appended_at for entry in read_all(log, RAW_TOPIC, 0)]
        assert times == sorted(times)
        assert before - CLOCK_SLACK_US <= times[0] <= times[-1] <= after + CLOCK_SLACK_US

    # Its ends

    def test_an_empty_partition_has_a_lowest_and_an_end_but_no_records(self, log: Log) -> None:
        end = log.end(RAW_TOPIC, 3)
        assert log.lowest(RAW_TOPIC, 3) == end
        assert log.read(RAW_TOPIC, 3, end, 10) == []

    def test_reading_at_or_beyond_the_end_gives_nothing(self, log: Log) -> None:
        log.append(RAW_TOPIC, 0, values("a"))
        end = log.end(RAW_TOPIC, 0)
        assert log.read(RAW_TOPIC, 0, end, 10) == []
        assert log.read(RAW_TOPIC, 0, end + 1000, 10) == []

    def test_the_next_record_lies_at_the_end_or_beyond(self, log: Log) -> None:
        log.append(RAW_TOPIC, 0, values("a"))
        end = log.end(RAW_TOPIC, 0)
        (offset,) = log.append(RAW_TOPIC, 0, values("b"))
        assert end <= offset < log.end(RAW_TOPIC, 0)

    def test_appending_nothing_appends_nothing(self, log: Log) -> None:
        end = log.end(RAW_TOPIC, 0)
        assert list(log.append(RAW_TOPIC, 0, [])) == []
        assert log.end(RAW_TOPIC, 0) == end

    # What it refuses

    def test_an_unknown_topic_is_named(self, log: Log) -> None:
        for call in (
            lambda: log.partitions("no.such"),
            lambda: log.append("no.such", 0, values("a")),
            lambda: log.read("no.such", 0, 0, 1),
            lambda: log.wait("no.such", {0: 0}, 0),
            lambda: log.end("no.such", 0),
            lambda: log.trim("no.such", 0),
        ):
            with pytest.raises(LogError, match=r"no\.such"):
                call()

    def test_an_unknown_partition_is_named(self, log: Log) -> None:
        count = log.partitions(RAW_TOPIC)
        for partition in (-1, count):
            for call in (
                lambda p=partition: log.append(RAW_TOPIC, p, values("a")),
                lambda p=partition: log.read(RAW_TOPIC, p, 0, 1),
                lambda p=partition: log.wait(RAW_TOPIC, {p: 0}, 0),
                lambda p=partition: log.lowest(RAW_TOPIC, p),
            ):
                with pytest.raises(LogError, match=rf"{RAW_TOPIC}.*{partition}"):
                    call()

    def test_a_compacted_topic_takes_no_record_without_a_key(self, log: Log) -> None:
        with pytest.raises(LogError, match="key"):
            log.append(COMPACTED, 0, [Append(b"key", b"a"), Append(None, b"b")])
        assert read_all(log, COMPACTED, 0) == []

    # Sent ahead

    def test_what_was_sent_is_there_in_order_once_flush_returned(self, log: Log) -> None:
        log.send(RAW_TOPIC, 0, values("a", "b"))
        log.send(RAW_TOPIC, 1, values("other"))
        log.send(RAW_TOPIC, 0, values("c"))
        log.flush()
        assert texts(read_all(log, RAW_TOPIC, 0)) == ["a", "b", "c"]
        assert texts(read_all(log, RAW_TOPIC, 1)) == ["other"]

    def test_what_is_sent_and_appended_stays_in_order(self, log: Log) -> None:
        for number in range(20):
            if number % 3:
                log.send(RAW_TOPIC, 0, values(str(number)))
            else:
                log.append(RAW_TOPIC, 0, values(str(number)))
        log.flush()
        assert texts(read_all(log, RAW_TOPIC, 0)) == [str(number) for number in range(20)]

    def test_sending_refuses_what_appending_refuses(self, log: Log) -> None:
        for call in (
            lambda: log.send("no.such", 0, values("a")),
            lambda: log.send(RAW_TOPIC, log.partitions(RAW_TOPIC), values("a")),
            lambda: log.send(COMPACTED, 0, [Append(b"key", b"a"), Append(None, b"b")]),
        ):
            with pytest.raises(LogError):
                call()
        log.flush()
        assert read_all(log, COMPACTED, 0) == []

    def test_a_flush_with_nothing_sent_returns(self, log: Log) -> None:
        log.flush()
        log.send(RAW_TOPIC, 0, [])
        log.flush()
        assert read_all(log, RAW_TOPIC, 0) == []

    # Marks

    def test_a_groups_marks_are_kept_by_topic_and_partition(self, log: Log, opener: Opener) -> None:
        log.append(RAW_TOPIC, 0, values("a", "b", "c"))
        assert log.marks("one", RAW_TOPIC) == {}
        log.mark("one", RAW_TOPIC, {0: 1, 1: 0})
        _eventually(lambda: log.marks("one", RAW_TOPIC) == {0: 1, 1: 0})
        log.mark("one", RAW_TOPIC, {0: 3})
        log.mark("two", COMPACTED, {0: 0})
        again = opener()
        _eventually(lambda: again.marks("one", RAW_TOPIC) == {0: 3, 1: 0})
        _eventually(lambda: again.marks("two", COMPACTED) == {0: 0})
        assert again.marks("two", RAW_TOPIC) == {}
        again.close()

    def test_marks_of_an_unknown_topic_or_partition_are_refused(self, log: Log) -> None:
        for call in (
            lambda: log.mark("one", "no.such", {0: 1}),
            lambda: log.mark("one", RAW_TOPIC, {99: 1}),
            lambda: log.marks("one", "no.such"),
        ):
            with pytest.raises(LogError):
                call()

    # What stays

    def test_uuid_and_records_outlive_their_process(self, opener: Opener) -> None:
        log = opener()
        uuid = log.uuid
        log.append(RAW_TOPIC, 0, values("a"))
        log.close()
        again = opener()
        assert again.uuid == uuid
        assert texts(read_all(again, RAW_TOPIC, 0)) == ["a"]
        again.close()

    def test_a_topic_keeps_its_partitions(self, opener: Opener) -> None:
        log, again = opener(), opener()
        for topic in TOPICS.values():
            count = log.partitions(topic.name)
            assert count == again.partitions(topic.name)
            assert count == (log.partitions(RAW_TOPIC) if topic.partitioned else 1)
        log.close()
        again.close()

    # Retention

    def _append_apart(self, log: Log, topic: str, *records: Append) -> list[int]:
        """Append one by one, with different times."""
        offsets: list[int] = []
        for record in records:
            offsets += log.append(topic, 0, [record])
            time.sleep(0.02)
        return offsets

    def test_trim_drops_what_is_older_and_only_that(self, log: Log) -> None:
        self._append_apart(log, RAW_TOPIC, *values("a", "b", "c"))
        entries = read_all(log, RAW_TOPIC, 0)
        end = log.end(RAW_TOPIC, 0)
        assert log.trim(RAW_TOPIC, entries[0].appended_at) == 0
        assert log.trim(RAW_TOPIC, entries[2].appended_at) > 0
        assert texts(read_all(log, RAW_TOPIC, 0)) == ["c"]
        assert entries[1].offset < log.lowest(RAW_TOPIC, 0) <= entries[2].offset
        assert log.end(RAW_TOPIC, 0) == end

    def test_no_record_of_a_time_or_later_lies_before_where_the_log_says(self, log: Log) -> None:
        for batch in range(4):
            log.append(RAW_TOPIC, 1, values(*"abc"))
            log.append(RAW_TOPIC, 2, [Append(b"k", b"", appended_at=1_000_000 * batch)])
            time.sleep(0.01)
        for partition in (1, 2):
            entries = read_all(log, RAW_TOPIC, partition)
            for at in {entry.appended_at for entry in entries}:
                first = next(entry.offset for entry in entries if entry.appended_at >= at)
                said = log.since(RAW_TOPIC, at)
                assert log.lowest(RAW_TOPIC, partition) <= said[partition] <= first
        later = log.since(RAW_TOPIC, time.time_ns() // 1000 + 3_600_000_000)
        assert later.keys() == set(range(log.partitions(RAW_TOPIC)))
        assert all(offset <= log.end(RAW_TOPIC, p) for p, offset in later.items())

    def test_reading_what_was_dropped_says_where_the_log_begins(self, log: Log) -> None:
        offsets = self._append_apart(log, RAW_TOPIC, *values("a", "b"))
        log.trim(RAW_TOPIC, read_all(log, RAW_TOPIC, 0)[1].appended_at)
        with pytest.raises(OffsetGone, match=RAW_TOPIC) as gone:
            log.read(RAW_TOPIC, 0, offsets[0], 10)
        assert gone.value.lowest == log.lowest(RAW_TOPIC, 0)
        assert texts(read_all(log, RAW_TOPIC, 0, gone.value.lowest)) == ["b"]

    def test_a_partition_trimmed_empty_goes_on_where_it_was(self, log: Log) -> None:
        (offset,) = self._append_apart(log, RAW_TOPIC, *values("a"))
        log.trim(RAW_TOPIC, read_all(log, RAW_TOPIC, 0)[0].appended_at + 1000)
        assert log.lowest(RAW_TOPIC, 0) == log.end(RAW_TOPIC, 0) > offset
        assert log.append(RAW_TOPIC, 0, values("b"))[0] > offset

    def test_trim_keeps_the_last_record_of_each_key_of_a_compacted_topic(self, log: Log) -> None:
        one, two, gone = b"one", b"two", b"gone"
        self._append_apart(
            log,
            COMPACTED,
            *(Append(one, b"1"), Append(two, b"1"), Append(gone, b"1"), Append(one, b"2")),
            *(Append(gone, None), Append(two, b"2")),
        )
        start = log.lowest(COMPACTED, 0)
        log.trim(COMPACTED, read_all(log, COMPACTED, 0)[-1].appended_at + 1000)
        entries = read_all(log, COMPACTED, 0, start)
        last = {entry.key: entry.value for entry in entries}
        assert (last[one], last[two], last.get(gone)) == (b"2", b"2", None)
        assert entries == sorted(entries, key=lambda entry: entry.offset)

    # Waiting

    def test_what_is_erased_is_gone_at_once_or_the_log_says_that_it_cannot(self, log: Log) -> None:
        offsets = log.append(RAW_TOPIC, 0, values("one", "two", "three"))
        erased = log.erase(RAW_TOPIC, 0, offsets[1:])
        assert texts(read_all(log, RAW_TOPIC, 0)) == (
            ["one"] if erased else ["one", "two", "three"]
        )
        assert log.erase(RAW_TOPIC, 0, [])
        after = log.append(RAW_TOPIC, 0, values("four"))
        assert after[0] > offsets[2]
        assert texts(read_all(log, RAW_TOPIC, 0))[-1] == "four"

    def test_wait_is_over_at_once_if_there_is_something_to_read(self, log: Log) -> None:
        (offset,) = log.append(RAW_TOPIC, 2, values("a"))
        ends = {p: log.end(RAW_TOPIC, p) for p in range(log.partitions(RAW_TOPIC))}
        assert log.wait(RAW_TOPIC, {**ends, 2: offset}, 0)
        assert not log.wait(RAW_TOPIC, ends, 0)

    def test_wait_gives_up_after_its_timeout(self, log: Log) -> None:
        began = time.monotonic()
        assert not log.wait(RAW_TOPIC, {0: log.end(RAW_TOPIC, 0)}, 0.1)
        assert 0.09 < time.monotonic() - began < PATIENCE_S

    def test_wait_is_not_disturbed_by_partitions_not_waited_for(self, log: Log) -> None:
        end = log.end(RAW_TOPIC, 0)
        log.append(RAW_TOPIC, 1, values("a"))
        assert not log.wait(RAW_TOPIC, {0: end}, 0.05)

    def test_wait_wakes_when_another_process_appends(self, log: Log, opener: Opener) -> None:
        ends = {p: log.end(RAW_TOPIC, p) for p in range(log.partitions(RAW_TOPIC))}
        ours, theirs = processes.Pipe()
        with child(append_after, opener, theirs, 3):
            ours.recv()
            ours.send("go")
            assert log.wait(RAW_TOPIC, ends, PATIENCE_S)
            woken = time.time()
            # Generous: it shows that the append woke it, not the timeout.
            assert woken - ours.recv() < 5

    # Many at once

    def test_threads_share_one_log(self, log: Log) -> None:
        def write(writer: int) -> None:
            for number in range(20):
                log.append(RAW_TOPIC, 0, [Append(b"%d" % writer, b"%d" % number)])

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _assert_each_once_in_order(
            [(entry.key, entry.value) for entry in read_all(log, RAW_TOPIC, 0)], 4, 20
        )

    def test_processes_write_and_read_at_once_and_nothing_is_lost_or_doubled(
        self, opener: Opener
    ) -> None:
        writers, count = 3, 200
        pipes = [processes.Pipe(duplex=False) for _ in range(2)]
        everyone = [
            processes.Process(target=append_numbers, args=(opener, writer, 0, count))
            for writer in range(writers)
        ] + [
            processes.Process(target=follow, args=(opener, 0, writers * count, sender))
            for _, sender in pipes
        ]
        for process in everyone:
            process.start()
        for receiver, _ in pipes:
            assert receiver.poll(2 * PATIENCE_S)
            _assert_each_once_in_order(receiver.recv(), writers, count)
        for process in everyone:
            process.join()
            assert process.exitcode == 0

    def test_a_writer_killed_at_any_moment_loses_nothing_that_append_returned(
        self, opener: Opener, log: Log
    ) -> None:
        first, chance = 0, random.Random(os.getpid())
        for _ in range(10):
            receiver, sender = processes.Pipe(duplex=False)
            with child(append_until_killed, opener, first, sender) as process:
                sender.close()  # so that reading ends with the child
                acknowledged = receiver.recv()
                time.sleep(chance.uniform(0, 0.05))
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                try:
                    while True:
                        acknowledged = receiver.recv()
                except EOFError:
                    pass
            found = texts(read_all(log, RAW_TOPIC, 0))
            assert found == [str(number) for number in range(len(found))]
            assert acknowledged < len(found) <= acknowledged + 3
            first = len(found)


def _eventually(true: Callable[[], bool]) -> None:
    """Marks may come late."""
    deadline = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def _assert_each_once_in_order(
    seen: list[tuple[bytes | None, bytes | None]], writers: int, count: int
) -> None:
    assert len(seen) == writers * count
    for writer in range(writers):
        own = [int(value or b"-1") for key, value in seen if key == b"%d" % writer]
        assert own == list(range(count))
