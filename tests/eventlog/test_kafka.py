"""The log on Kafka keeps the contract; beyond it, what is Kafka's own."""

import os
import resource
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from eventlog import kafka_reader
from eventlog.exactly_once import ExactlyOnce, Position
from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_topics import DEAD_BYTES, RAW_BYTES
from eventlog.kafka_url import KafkaAddress
from eventlog.log import (
    Append,
    Entry,
    LogError,
    LogMismatch,
    LogUnavailable,
    OffsetGone,
    RecordTooLarge,
)
from eventlog.span import PATIENCE_S, first_since, span
from schemas.topics import DAY_US, DETECTED, DLQ, RAW
from tests.eventlog.contract import (
    COMPACTED,
    RAW_TOPIC,
    LogContract,
    Opener,
    read_all,
    texts,
    values,
)
from tests.servers import Kafka

PARTITIONS = 4


@pytest.fixture
def address(kafka: str) -> Iterator[KafkaAddress]:
    """Fresh topics on the broker, under a prefix of the test's own."""
    joint = "&" if "?" in kafka else "?"
    address = KafkaAddress.parse(f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.")
    create_topics(address, PARTITIONS, 1, {})
    yield address
    Cluster(address).drop()


class TestKafkaKeepsTheContract(LogContract):
    @pytest.fixture
    def opener(self, address: KafkaAddress) -> Opener:
        return partial(KafkaLog, address, PARTITIONS)


@pytest.fixture
def log(address: KafkaAddress) -> Iterator[KafkaLog]:
    log = KafkaLog(address, PARTITIONS)
    yield log
    log.close()


def by_halves(log: KafkaLog, partition: int, at: int) -> int:
    """The first record since a time, without asking Kafka for it."""
    return first_since(log, RAW.name, partition, at)


def test_the_first_record_since_a_time_is_found_in_a_few_reads(address: KafkaAddress):
    log = KafkaLog(address, PARTITIONS, leaps=True)
    began = time.time_ns() // 1000
    for _ in range(12):
        now = time.time_ns() // 1000
        for partition in range(3):
            log.append(RAW.name, partition, values(*"abc" * 30))
        # As an edge's forwarder: a moment late.
        log.append(RAW.name, 2, [Append(b"k", b"v", appended_at=now - 2_000)] * 3)
        time.sleep(0.02)
    reads: list[int] = []
    read = log.read
    log.read = lambda *place: (reads.append(place[1]), read(*place))[1]  # type: ignore[method-assign]
    entries = {p: list(span(log, RAW.name, p, 0, log.end(RAW.name, p))) for p in (0, 1, 2)}
    times = [began + milliseconds * 1000 for milliseconds in (-5, 30, 100, 200, 3_600_000)]
    times += [entries[0][place].appended_at for place in (0, 100, 700, -1)]
    for at in times:
        near = log.since(RAW.name, at)
        for partition, there in entries.items():
            reads.clear()
            found = first_since(log, RAW.name, partition, at, near[partition])
            end = there[-1].offset + 1
            assert found == next((e.offset for e in there if e.appended_at >= at), end)
            assert len(reads) <= 5  # by halves some ten
            if partition < 2:
                assert found == by_halves(log, partition, at)
    log.close()


def test_in_a_copied_log_the_first_record_since_a_time_is_found_by_the_originals_times(
    log: KafkaLog,
):
    began = time.time_ns() // 1000 - 100_000_000
    times = [began + second * 10_000 for second in range(2_000)]
    log.append(RAW.name, 1, [Append(b"k", b"v", appended_at=at) for at in times])
    for second in (0, 7, 499, 500, 501, 1_234, 1_999):
        for at, first in ((times[second], second), (times[second] + 1, second + 1)):
            near = log.since(RAW.name, at)[1]
            assert first_since(log, RAW.name, 1, at, near) == by_halves(log, 1, at) == first
    after = times[-1] + 1
    assert first_since(log, RAW.name, 1, after, log.since(RAW.name, after)[1]) == 2_000


def foreign(address: KafkaAddress) -> Producer:
    """Somebody else's producer."""
    return Producer(address.config())


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Topics


def test_topics_are_set_as_the_design_says(address: KafkaAddress) -> None:
    assert Cluster(address).differences({}) == {}
    other = Cluster(address).differences({RAW.name: 3 * DAY_US, DETECTED.name: 30 * DAY_US})
    assert other[RAW.name] == {"retention.ms": (str(7 * 86_400_000), str(3 * 86_400_000))}
    assert other[DETECTED.name]["min.compaction.lag.ms"][1] == str(30 * 86_400_000)
    assert other.keys() == {RAW.name, DETECTED.name}


def test_making_topics_again_does_what_changed_and_nothing_else(address: KafkaAddress) -> None:
    assert create_topics(address, PARTITIONS, 1, {}) == []
    (done,) = create_topics(address, PARTITIONS, 1, {RAW.name: 3 * DAY_US})
    assert "retention.ms of alpr.reads.raw to 259200000, was 604800000" in done
    until(lambda: create_topics(address, PARTITIONS, 1, {RAW.name: 3 * DAY_US}) == [])


def test_another_number_of_partitions_is_refused_by_both_numbers(address: KafkaAddress) -> None:
    for call in (lambda: KafkaLog(address, 8), lambda: create_topics(address, 8, 1, {})):
        with pytest.raises(LogMismatch, match=r"alpr\.reads\.raw .* 4 partitions, 8 are asked"):
            call()


def test_missing_topics_are_named_with_their_cure(kafka: str) -> None:
    address = replace(KafkaAddress.parse(kafka), prefix="nobody.made.")
    with pytest.raises(LogError, match=r"lacks the topics alpr\.reads\.raw.*alpr topics create"):
        KafkaLog(address)


def test_topics_made_anew_are_another_log(address: KafkaAddress) -> None:
    log = KafkaLog(address)
    before = log.uuid
    log.append(RAW_TOPIC, 0, values("a", "b"))
    assert texts(read_all(log, RAW_TOPIC, 0)) == ["a", "b"]
    cluster = Cluster(address)
    cluster.drop()
    until(lambda: not cluster.topics())
    create_topics(address, PARTITIONS, 1, {})
    again = KafkaLog(address)
    assert again.uuid != before

    def noticed() -> bool:
        try:
            log.read(RAW_TOPIC, 0, 2, 10)
        except LogMismatch:
            return True
        return False

    until(noticed)
    log.close()
    again.close()


# Records


def test_a_copy_keeps_the_times_of_the_original(log: KafkaLog) -> None:
    log.append(
        RAW_TOPIC, 0, [Append(b"k", b"v", {"h": b"1"}, 1_700_000_000_000_123), Append(b"k", b"w")]
    )
    copied, own = read_all(log, RAW_TOPIC, 0)
    assert (copied.appended_at, dict(copied.headers)) == (1_700_000_000_000_123, {"h": b"1"})
    assert own.appended_at > 1_700_000_000_000_123
    assert own.headers == {}


def test_a_record_too_large_refuses_its_batch_before_anything_is_sent(log: KafkaLog) -> None:
    large = Append(b"k", os.urandom(RAW_BYTES))
    for call in (log.append, log.send):
        with pytest.raises(RecordTooLarge, match=r"too large for alpr\.reads\.raw, which takes"):
            call(RAW_TOPIC, 0, [*values("a"), large, *values("b")])
    log.flush()
    assert read_all(log, RAW_TOPIC, 0) == []


def test_the_largest_of_each_topic_is_taken_and_fits_the_dead_letters(log: KafkaLog) -> None:
    log.append(RAW_TOPIC, 0, [Append(b"k", os.urandom(RAW_BYTES - 500))])
    log.append(DLQ.name, 0, [Append(b"k", os.urandom(DEAD_BYTES - 500))])
    for topic, size in ((RAW_TOPIC, RAW_BYTES), (DLQ.name, DEAD_BYTES)):
        (entry,) = read_all(log, topic, 0)
        assert len(entry.value or b"") == size - 500


def test_whatever_others_write_is_read(log: KafkaLog, address: KafkaAddress) -> None:
    producer = foreign(address)
    topic = address.prefix + RAW_TOPIC
    strange: list[dict[str, Any]] = [
        {"value": None, "key": None},
        {"value": os.urandom(500), "key": os.urandom(9)},
        {"value": b"h", "headers": [("twice", b"1"), ("twice", b"2"), ("none", None), ("", b"")]},
        {"value": b"t", "headers": {kafka_reader.APPENDED_AT: b"short"}},
        {"value": b"", "timestamp": 1},
    ]
    for record in strange:
        producer.produce(topic, partition=0, **record)
    assert producer.flush(20) == 0
    entries = read_all(log, RAW_TOPIC, 0)
    assert [entry.value for entry in entries] == [record["value"] for record in strange]
    assert dict(entries[2].headers) == {"twice": b"2", "none": b"", "": b""}
    assert entries[3].headers == {}
    assert all(entry.appended_at > 1_700_000_000_000_000 for entry in entries)


# Reading


def test_several_readers_at_their_own_places_share_a_topic(log: KafkaLog) -> None:
    for partition in range(PARTITIONS):
        log.send(RAW_TOPIC, partition, values(*(f"{partition}/{n}" for n in range(3000))))
    log.flush()
    seen: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    places = {partition: log.lowest(RAW_TOPIC, partition) for partition in seen}
    for turn in range(100_000):
        partition = turn % PARTITIONS
        entries = log.read(RAW_TOPIC, partition, places[partition], 1 + 7 * partition)
        seen[partition] += texts(entries)
        if entries:
            places[partition] = entries[-1].offset + 1
        if all(len(found) == 3000 for found in seen.values()):
            break
    for partition, found in seen.items():
        assert found == [f"{partition}/{n}" for n in range(3000)]


def test_a_place_gone_back_to_gives_the_same_again(log: KafkaLog) -> None:
    offsets = log.append(RAW_TOPIC, 0, values(*map(str, range(100))))
    for at in (0, 50, 99, 3, 0, 60, 61):
        entries = read_all(log, RAW_TOPIC, 0, offsets[at])
        assert texts(entries) == [str(n) for n in range(at, 100)]


def test_the_mark_that_a_transaction_leaves_at_the_end_is_not_waited_for(
    log: KafkaLog, address: KafkaAddress
) -> None:
    once = ExactlyOnce(address, "writer")
    for times in (1, 2):
        records = [(RAW_TOPIC, 0, Append(b"gate", b"read"))] * 3
        once.commit(records, {(RAW_TOPIC, 0): Position(3 * times)})
        until(lambda: log.end(RAW_TOPIC, 0) == 4 * times)  # noqa: B023
        end = 4 * times
        for start, there in ((end - 4, 3), (end - 2, 1), (end - 1, 0)):
            began = time.monotonic()
            assert len(list(span(log, RAW_TOPIC, 0, start, end))) == there
            assert time.monotonic() - began < PATIENCE_S
    once.close()


def test_a_partition_that_nobody_reads_on_holds_back_no_other(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "HELD", 50)
    for partition in (0, 1):
        log.send(RAW_TOPIC, partition, values(*map(str, range(5000))))
    log.flush()
    start = log.lowest(RAW_TOPIC, 0)
    first = log.read(RAW_TOPIC, 0, start, 10)
    assert texts(read_all(log, RAW_TOPIC, 1)) == [str(n) for n in range(5000)]
    reader = log._readers[RAW_TOPIC]
    assert sum(len(place.entries) for place in reader._places.values()) <= 2 * kafka_reader.TAKE
    rest = read_all(log, RAW_TOPIC, 0, first[-1].offset + 1)
    assert texts(first + rest) == [str(n) for n in range(5000)]


def test_readers_that_take_turns_have_each_record_fetched_once(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def entry(*values: Any) -> Entry:
        taken.append(values[1])
        return Entry(*values)

    monkeypatch.setattr(kafka_reader, "Entry", entry)
    sizes = {0: 20_000, 1: 15_000, 2: 40}
    for partition, size in sizes.items():
        log.send(RAW_TOPIC, partition, values(*["x" * 300] * size))
    log.flush()
    places = {partition: log.lowest(RAW_TOPIC, partition) for partition in sizes}
    ends = {partition: log.end(RAW_TOPIC, partition) for partition in sizes}
    while places != ends:
        for partition in sizes:
            entries = log.read(RAW_TOPIC, partition, places[partition], 500)
            if entries:
                places[partition] = entries[-1].offset + 1
            time.sleep(0.002)
    assert {partition: taken.count(partition) for partition in sizes} == sizes


def test_an_offset_dropped_while_it_is_read_says_where_the_log_begins(log: KafkaLog) -> None:
    offsets = log.append(RAW_TOPIC, 0, values("a"))
    assert texts(log.read(RAW_TOPIC, 0, offsets[0], 10)) == ["a"]
    for _ in range(3):
        offsets = [*offsets, *log.append(RAW_TOPIC, 0, values("b"))]
    log.trim(RAW_TOPIC, time.time_ns() // 1000 + 10_000_000)
    other = KafkaLog(log._address, PARTITIONS)
    with pytest.raises(OffsetGone, match="begin anew") as gone:
        other.read(RAW_TOPIC, 0, offsets[1], 10)
    assert gone.value.lowest == other.lowest(RAW_TOPIC, 0) == offsets[-1] + 1
    other.close()


def test_memory_stays_flat_and_idle_reads_do_not_wait(log: KafkaLog) -> None:
    for _ in range(40):
        log.send(RAW_TOPIC, 0, [Append(b"k", bytes(300))] * 500)
    log.flush()
    start, end = log.lowest(RAW_TOPIC, 0), log.end(RAW_TOPIC, 0)
    resident = []
    for _ in range(6):
        at = start
        while at < end:
            entries = log.read(RAW_TOPIC, 0, at, 500)
            at = entries[-1].offset + 1 if entries else at
        resident.append(psutil.Process().memory_info().rss)
    assert resident[-1] - resident[2] < 20 << 20
    before = resource.getrusage(resource.RUSAGE_THREAD)
    began = time.monotonic()
    for _ in range(100):
        assert log.read(RAW_TOPIC, 0, end, 500) == []
    assert time.monotonic() - began < 5
    after = resource.getrusage(resource.RUSAGE_THREAD)
    assert after.ru_utime - before.ru_utime < 1


# Retention


def test_a_compacted_topic_is_left_to_the_broker(log: KafkaLog) -> None:
    log.append(COMPACTED, 0, [Append(b"k", b"1"), Append(b"k", b"2")])
    assert log.trim(COMPACTED, time.time_ns() // 1000 + 10_000_000) == 0
    assert texts(read_all(log, COMPACTED, 0)) == ["1", "2"]


# A broker of the test's own, to be away


@pytest.fixture
def broker(own_server: Callable[..., Any]) -> Kafka:
    return own_server(Kafka)


def test_a_broker_that_is_away_is_waited_for_and_told_and_nothing_is_lost(
    broker: Kafka, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    address = KafkaAddress.parse(broker.url)
    create_topics(address, PARTITIONS, 1, {})
    log = KafkaLog(address, PARTITIONS, patience_s=4)
    log.append(RAW_TOPIC, 0, values("a"))
    at = log.lowest(RAW_TOPIC, 0)
    assert texts(log.read(RAW_TOPIC, 0, at, 10)) == ["a"]
    broker.kill()
    # Reads give nothing, at once where they went on, after a moment where they begin.
    began = time.monotonic()
    for _ in range(20):
        assert log.read(RAW_TOPIC, 0, at + 1, 10) == []
    assert time.monotonic() - began < 1
    assert log.read(RAW_TOPIC, 1, 0, 10) == []
    assert not log.wait(RAW_TOPIC, {0: at + 1}, 0.1)
    with pytest.raises(LogUnavailable, match=rf"{broker.bootstrap} does not answer.*ALPR_LOG_URL"):
        log.append(RAW_TOPIC, 0, values("lost?"))
    log.send(RAW_TOPIC, 0, values("sent"))
    with pytest.raises(LogUnavailable):
        log.flush()
    with pytest.raises(LogUnavailable):
        KafkaLog(address, PARTITIONS, patience_s=1)
    assert time.monotonic() - began < 40
    broker.start()
    until(lambda: _appends(log, "b"))
    found: list[str] = []

    def came() -> bool:
        nonlocal at
        for entry in log.read(RAW_TOPIC, 0, at, 10):
            at = entry.offset + 1
            found.append((entry.value or b"").decode())
        return "b" in found

    until(came)
    assert found[0] == "a"
    assert found[-1] == "b"
    assert caplog.text.count("Connection refused") <= 8
    assert capfd.readouterr().err.count("rdkafka") == 0
    log.close()


def _appends(log: KafkaLog, text: str) -> bool:
    try:
        log.append(RAW_TOPIC, 0, values(text))
    except LogUnavailable:
        return False
    return True


def test_what_is_sent_while_a_broker_restarts_arrives_once_and_in_order(broker: Kafka) -> None:
    address = KafkaAddress.parse(broker.url)
    create_topics(address, PARTITIONS, 1, {})
    log = KafkaLog(address, PARTITIONS)
    for number in range(3000):
        log.send(RAW_TOPIC, 0, values(str(number)))
        if number == 1000:
            broker.kill()
        if number == 2000:
            broker.start()
    log.flush()
    assert texts(read_all(log, RAW_TOPIC, 0)) == [str(number) for number in range(3000)]
    log.close()


def test_too_much_sent_to_a_broker_that_is_away_waits_and_is_refused(broker: Kafka) -> None:
    address = KafkaAddress.parse(broker.url)
    create_topics(address, PARTITIONS, 1, {})
    log = KafkaLog(address, PARTITIONS, patience_s=4)
    _appends(log, "a")
    broker.kill()
    before = psutil.Process().memory_info().rss

    def send_200_megabytes() -> None:
        for _ in range(200):
            log.send(RAW_TOPIC, 0, [Append(b"k", bytes(100_000))] * 10)

    with pytest.raises(LogUnavailable):
        send_200_megabytes()
    assert psutil.Process().memory_info().rss - before < 150 << 20
    log.close()
