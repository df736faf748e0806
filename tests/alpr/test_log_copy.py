"""An edge's log, or an embedded one, goes into Kafka exactly once, and means the same there."""

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from alpr.log_copy import Copied, CopyError, close
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_copy, open_log
from benchmarks.site import Site
from dataflows.dead_letters import PART
from dataflows.dedup import Dedup
from eventlog.exactly_once import OVERHEAD, Fenced
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_topics import max_bytes
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append, Entry, Log
from eventlog.registry import SqliteRegistry
from eventlog.span import span
from eventlog.sqlite import SqliteLog
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DAY_US, DETECTED, DLQ, RAW, REJECTED, partition_of
from tests.alpr.system import flows
from tests.rules.world import read
from tests.servers import Kafka, free_port

pytestmark = pytest.mark.slow

PARTITIONS = 8


@pytest.fixture
def settings(kafka: str, registry: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a system on Kafka with topics of its own."""
    joint = "&" if "?" in kafka else "?"
    url = f"{kafka}{joint}prefix=t{secrets.token_hex(6)}."
    address = KafkaAddress.parse(url)
    create_topics(address, PARTITIONS, 1, {})
    made = load(
        {
            "ALPR_HOME": str(tmp_path / "home"),
            "ALPR_LOG_URL": url,
            "ALPR_LOG_PARTITIONS": str(PARTITIONS),
            "ALPR_REGISTRY_URL": registry,
        },
        None,
    )
    open_codec(made).register()
    yield made
    Cluster(address).drop()


@pytest.fixture
def edge(settings: Settings) -> Iterator[SqliteLog]:
    """The edge's own log, whose registry numbers the schemas otherwise."""
    registry = SqliteRegistry(settings.edge_log_folder)
    registry.register("made first", '{"type":"record","name":"other","fields":[]}')
    Codec(registry).register()
    log = SqliteLog(settings.edge_log_folder, PARTITIONS)
    yield log
    log.close()


def city(log: Log, folder: Path, hours: float = 0.02) -> list[Any]:
    """A generated city's records in a log, as its edges append them; the records."""
    site = Site(1, cameras=12, hours=hours, partitions=log.partitions(RAW.name))
    codec = Codec(SqliteRegistry(folder))
    items = [item for item in site.records() if item.key is not None]
    for item in items:
        value = codec.encode(RAW.name, item.name, item.record)
        trace = {"traceparent": b"00-4bf92f35-01"}
        log.append(RAW.name, item.partition, [Append(item.key, value, trace, item.appended_at)])
    return items


def everything(log: Log, topic: str) -> list[Entry]:
    parts = range(log.partitions(topic))
    return [e for p in parts for e in span(log, topic, p, 0, log.end(topic, p), patience_s=1.0)]


def copied(settings: Settings, folder: Path | None = None) -> Copied:
    """All that a copy has to copy now."""
    total = Copied()
    with closing(open_copy(settings, folder or settings.edge_log_folder)) as copy:
        copy.check()
        while (done := copy.round()) is not None:
            total += done
    return total


def test_reads_arrive_as_they_were(settings: Settings, edge: SqliteLog):
    items = city(edge, settings.edge_log_folder)
    assert copied(settings) == Copied(len(items), 0, 0)
    codec = open_codec(settings)
    with closing(open_log(settings)) as log:
        found = everything(log, RAW.name)
        assert len(found) == len(items)
        by_partition: dict[int, list[Any]] = {}
        for item in items:
            where = partition_of(item.key, PARTITIONS)
            by_partition.setdefault(where, []).append(item)
        for partition, expected in by_partition.items():
            there = [entry for entry in found if entry.partition == partition]
            assert [codec.decode(e.value or b"") for e in there] == [
                (item.name, item.record) for item in expected
            ]
            assert [e.key for e in there] == [item.key for item in expected]
            assert [e.appended_at for e in there] == [item.appended_at for item in expected]
            assert all(dict(e.headers) == {"traceparent": b"00-4bf92f35-01"} for e in there)


def test_what_is_copied_is_not_copied_again(settings: Settings, edge: SqliteLog):
    items = city(edge, settings.edge_log_folder)
    copied(settings)
    assert copied(settings) == Copied()
    (offset,) = edge.append(RAW.name, 0, [Append(b"c", b"\x00\x00\x00\x00")])
    assert offset >= 0
    assert copied(settings).dead == 1
    with closing(open_log(settings)) as log:
        assert len(everything(log, RAW.name)) == len(items)


def test_what_is_too_large_for_kafka_holds_up_nothing(settings: Settings, edge: SqliteLog):
    """A folder takes any size; the largest that Kafka takes of reads arrives as it was."""
    header = Codec(SqliteRegistry(settings.edge_log_folder)).encode(RAW.name, "Tick", {"at": 1})[:5]
    sizes = (max_bytes(RAW.name) - OVERHEAD - 1, max_bytes(RAW.name), 6 << 20, 10)
    edge.append(RAW.name, 0, [Append(b"c", header + bytes(size - 5)) for size in sizes])
    assert copied(settings) == Copied(2, 0, 2)
    with closing(open_log(settings)) as log:
        assert [len(e.value or b"") for e in everything(log, RAW.name)] == [sizes[0], sizes[3]]
        letters = [
            open_codec(settings).decode(e.value or b"")[1] for e in everything(log, DLQ.name)
        ]
    assert [letter["reason"] for letter in letters] == ["large", "large"]
    assert [len(letter["value"]) for letter in letters] == [sizes[1], PART]


@pytest.mark.parametrize("forgetful", ["source", "broker"])
def test_one_of_two_memories_is_enough(settings: Settings, edge: SqliteLog, forgetful: str):
    """The broker drops the offsets of a group that was idle for long; a folder may be restored."""
    items = city(edge, settings.edge_log_folder)
    copied(settings)
    with closing(open_log(settings)) as log:
        group = f"alpr-log-copy-{log.uuid}"
        if forgetful == "source":
            edge.mark(group, RAW.name, dict.fromkeys(range(PARTITIONS), 0))
        else:
            address = KafkaAddress.parse(settings.log_url)
            name = f"{address.prefix}alpr-log-copy-{edge.uuid}"
            admin = AdminClient(address.config())
            for gone in admin.delete_consumer_groups([name]).values():
                gone.result(20)
        assert copied(settings) == Copied()
        assert len(everything(log, RAW.name)) == len(items)


@pytest.mark.parametrize("later", [1, 30], ids=["behind the copied", "beyond it"])
def test_a_log_put_back_to_an_older_copy_loses_nothing_that_is_new(
    settings: Settings, edge: SqliteLog, later: int, caplog: pytest.LogCaptureFixture
):
    folder, old = settings.edge_log_folder, settings.home / "old"
    value = Codec(SqliteRegistry(folder)).encode(RAW.name, "PlateRead", read(0, "KAX1234"))

    def reads(count: int) -> None:
        for _ in range(count):
            edge.append(RAW.name, 0, [Append(b"gate", value)])

    reads(10)
    copied(settings)
    edge.close()
    shutil.copytree(folder, old)
    edge = SqliteLog(folder, PARTITIONS)
    reads(10)
    assert copied(settings) == Copied(10)
    edge.close()
    shutil.rmtree(folder)
    old.rename(folder)
    edge = SqliteLog(folder, PARTITIONS)
    reads(later)
    assert copied(settings) == Copied(later)
    assert "put back to an older copy" in caplog.text
    assert copied(settings) == Copied()
    reads(1)
    assert copied(settings) == Copied(1)
    edge.close()


def test_of_two_copies_of_a_log_the_later_one_goes_on(settings: Settings, edge: SqliteLog):
    items = city(edge, settings.edge_log_folder)
    with closing(open_copy(settings, settings.edge_log_folder)) as first:
        copied(settings)
        with pytest.raises(Fenced, match="one copy of a log runs at a time"):
            first.round()
    with closing(open_log(settings)) as log:
        assert len(everything(log, RAW.name)) == len(items)


def test_killed_at_any_moment_it_loses_and_doubles_nothing(settings: Settings, edge: SqliteLog):
    items = city(edge, settings.edge_log_folder, 0.2)
    chance = random.Random(os.getpid())
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    with closing(open_log(settings)) as log:
        for kill in (True, True, True, True, False):
            process = subprocess.Popen(
                [sys.executable, "-m", "alpr", "log", "copy", "--follow"],
                env=clean | settings.environ(),
            )
            deadline = time.monotonic() + 60
            if kill:
                time.sleep(chance.uniform(0.8, 2.0))
                process.kill()
            else:
                while len(everything(log, RAW.name)) < len(items) and time.monotonic() < deadline:
                    time.sleep(0.2)
                process.send_signal(signal.SIGTERM)
            code = process.wait(30)
        assert code == 0
        codec = open_codec(settings)
        found = [codec.decode(e.value or b"")[1] for e in everything(log, RAW.name)]
    reads = sorted(r["read_id"] for r in found if "read_id" in r)
    assert reads == sorted(i.record["read_id"] for i in items if i.name == "PlateRead")
    assert len(found) == len(items)


def test_a_broker_that_is_away_is_waited_for(
    settings: Settings, edge: SqliteLog, own_server: Any, registry: str
):
    broker = own_server(Kafka)
    address = KafkaAddress.parse(broker.url)
    create_topics(address, PARTITIONS, 1, {})
    there = settings.changed(log_url=broker.url)
    items = city(edge, settings.edge_log_folder)
    broker.kill()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "alpr", "log", "copy", "--follow"], env=clean | there.environ()
    )
    time.sleep(3)
    assert process.poll() is None
    broker.start()
    with closing(open_log(there)) as log:
        deadline = time.monotonic() + 90
        while len(everything(log, RAW.name)) < len(items) and time.monotonic() < deadline:
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert len(everything(log, RAW.name)) == len(items)


def decided(folder: Path, until: float = 1.0) -> tuple[SqliteLog, Codec]:
    """The log of an embedded system whose dedup has read that share of its reads."""
    log = SqliteLog(folder, 4)
    codec = Codec(SqliteRegistry(folder))
    codec.register()
    city(log, folder, 0.1)
    for partition in range(4):
        dedup = Dedup(codec, DedupSettings(), grammar())
        entries = list(span(log, RAW.name, partition, 0, log.end(RAW.name, partition)))
        made = dedup.batch(entries[: int(len(entries) * until)])
        log.append(DETECTED.name, partition, made.detected)
        log.append(REJECTED.name, partition, made.rejected)
    return log, codec


def latest(log: Log, codec: Codec) -> dict[str, Any]:
    """The highest revision of every sighting that was not erased."""
    events: dict[str, Any] = {}
    for entry in everything(log, DETECTED.name):
        if entry.value is None:
            events.pop((entry.key or b"").decode(), None)
            continue
        name, record = codec.decode(entry.value)
        if name == "PlateEvent":
            known = events.get(record["event_id"])
            if known is None or known["revision"] <= record["revision"]:
                events[record["event_id"]] = record
    return events


def test_of_an_embedded_system_the_decisions_are_copied_and_not_the_reads(
    settings: Settings, tmp_path: Path
):
    old, codec = decided(tmp_path / "old")
    erased = next(e for e in everything(old, DETECTED.name) if len(e.key or b"") == 36)
    old.append(DETECTED.name, erased.partition, [Append(erased.key, None)])
    before, refused = latest(old, codec), everything(old, REJECTED.name)
    assert before
    assert refused
    done = copied(settings, tmp_path / "old")
    assert done.dead == 0
    with closing(open_log(settings)) as log:
        assert latest(log, open_codec(settings)) == before
        assert everything(log, RAW.name) == []
        assert len(everything(log, REJECTED.name)) == len(refused)
        # All that is said of a sighting lies where its camera's next ones will.
        for entry in everything(log, DETECTED.name):
            record = open_codec(settings).decode(entry.value)[1] if entry.value else None
            if record:
                camera = record["camera_group"] or record["camera_id"]
                assert entry.partition == partition_of(camera.encode(), PARTITIONS)
        places = {e.partition for e in everything(log, DETECTED.name) if e.key == erased.key}
        assert len(places) == 1
    old.close()


def test_sightings_that_are_open_are_ended_first(settings: Settings, tmp_path: Path):
    old, _ = decided(tmp_path / "old", until=0.6)
    with pytest.raises(CopyError, match=r"sightings are open.*alpr log close"):
        copied(settings, tmp_path / "old")
    old.close()


def test_a_sighting_whose_reads_have_left_the_log_can_be_ended_too(tmp_path: Path):
    """A camera that was killed and taken away is not in the log any more after a week."""
    settings = load(
        {
            "ALPR_HOME": str(tmp_path),
            "ALPR_LOG_PARTITIONS": "1",
            "ALPR_API_PORT": str(free_port()),
        },
        None,
    )
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        week_ago = time.time_ns() // 1000 - 8 * DAY_US
        for number in range(3):
            seen = read(0, "KAX1234", captured_at=week_ago + number * 100_000)
            value = codec.encode(RAW.name, "PlateRead", seen)
            log.append(RAW.name, 0, [Append(b"gate", value, {}, week_ago)])
        with flows(settings, "dedup"):
            deadline = time.monotonic() + 60
            while not latest(log, codec) and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(3)  # its state is kept each second
        log.trim(RAW.name, week_ago + DAY_US)
        assert log.lowest(RAW.name, 0) == log.end(RAW.name, 0)
        assert [event["status"] for event in latest(log, codec).values()] == ["confirmed"]
        assert close(settings) == 0
        assert [event["status"] for event in latest(log, codec).values()] == ["ended"]


def test_the_log_of_a_whole_system_is_not_followed(settings: Settings, tmp_path: Path):
    old, _ = decided(tmp_path / "old")
    old.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    command = [sys.executable, "-m", "alpr", "log", "copy", "--follow"]
    done = subprocess.run(
        [*command, "--from", str(tmp_path / "old")],
        env=clean | settings.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "copy it once, without --follow" in done.stderr


def test_a_damaged_log_is_no_absence_and_ends_the_following(settings: Settings, edge: SqliteLog):
    city(edge, settings.edge_log_folder)
    edge.close()
    file = settings.edge_log_folder / f"{RAW.name}.db"
    for beside in file.parent.glob(f"{file.name}-*"):
        beside.unlink()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + secrets.token_bytes(len(whole) - 4096))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    done = subprocess.run(
        [sys.executable, "-m", "alpr", "log", "copy", "--follow"],
        env=clean | settings.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{file} is damaged" in line
    assert "restore it from a copy" in line
