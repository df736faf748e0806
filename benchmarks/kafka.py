"""Dedup from Kafka to Kafka beside a bare loop of confluent-kafka and fastavro, and two beside one.

    python -m benchmarks.kafka [--reads 30000] [--rounds 2] [--partitions 4]
                               [--compression gzip] [--kinds bare,io,one,two]

Starts a broker and a schema registry as the tests do (``python -m tests.servers install``), or
takes those of ALPR_TEST_KAFKA and ALPR_TEST_REGISTRY. Dedup is ``python -m bytewax.run
dataflows.dedup``, its time counted by the log from the first record that came out to the last, so
that starting Python does not count; the bare loop decodes every record and encodes every read;
``io`` is the same loop through our log and codec. One JSON line a figure; the median of the rounds,
in which the kinds take turns. ``cpu_us`` is processor time a read, all threads, which a busy
machine spoils less than rates. Memory is a process's resident set, at a tenth of its records and at
the end: ``--reads 10000000 --kinds one --rounds 1`` for the long run. Beyond 60,000 reads, 21
minutes of the generated city, these are repeated, later and with other ids.
"""

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import fastavro
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.dedup import mix, tell
from benchmarks.stream import Item
from benchmarks.traffic import SECOND
from dataflows.log_io import BATCH
from eventlog.confluent import ConfluentRegistry
from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append
from schemas.codec import Codec, parsed, schema_text
from schemas.publish import register
from schemas.topics import DETECTED, RAW, REJECTED

PATIENCE_S = 3600.0
MEGABYTE = 1 << 20
GENERATED = 60_000  # reads; more are copies of them
_avro: Any = fastavro


class Bench:
    """A preloaded raw topic, and the kinds of readers of it."""

    def __init__(self, url: str, registry: str, partitions: int, home: Path) -> None:
        self.url, self.registry, self.home = url, registry, home
        self.partitions = partitions
        self.codec = Codec(ConfluentRegistry(registry, home))
        self.reads = 0
        self.ends: dict[int, int] = {}
        self.memory: dict[str, list[int]] = {}
        self.cpu_us: dict[str, list[float]] = {}

    def load(self, address: KafkaAddress, reads: int) -> None:
        log = KafkaLog(address, self.partitions)
        batches: dict[int, list[Append]] = {n: [] for n in range(self.partitions)}
        for item in records(reads, self.partitions):
            batch = batches[item.partition]
            value = self.codec.encode(RAW.name, item.name, item.record)
            batch.append(Append(item.key, value, {}, item.appended_at))
            self.reads += item.name == "PlateRead"
            if len(batch) >= BATCH:
                log.send(RAW.name, item.partition, batch)
                batches[item.partition] = []
        for number, batch in batches.items():
            log.send(RAW.name, number, batch)
        log.flush()
        self.ends = {n: log.end(RAW.name, n) for n in range(self.partitions)}
        log.close()

    def bare(self, address: KafkaAddress) -> float:
        """Reads a second of a loop that decides nothing, with nothing of ours in it."""
        schemas = {name: parsed(schema_text(name)) for name in RAW.records}
        registry = ConfluentRegistry(self.registry, self.home)
        by_id = {
            registry.find(f"{RAW.name}-alpr.{name}", schema_text(name)): name
            for name in RAW.records
        }
        consumer = Consumer(
            address.config()
            | {
                "group.id": "bare",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
            }
        )
        producer = Producer(
            address.config()
            | {
                "enable.idempotence": True,
                "compression.type": address.compression,
                "linger.ms": 10,
            }
        )
        raw, out = address.prefix + RAW.name, address.prefix + REJECTED.name
        failed: list[Any] = []

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                failed.append(error)

        consumer.assign([TopicPartition(raw, n, 0) for n in range(self.partitions)])
        total, seen, reads, began, cpu = sum(self.ends.values()), 0, 0, 0.0, 0.0
        read, write = _avro.schemaless_reader, _avro.schemaless_writer
        while seen < total:
            messages = consumer.consume(BATCH, 1.0)
            if messages and not began:
                began, cpu = time.perf_counter(), time.process_time()
            message: Any
            for message in messages:
                value = message.value()
                name = by_id[int.from_bytes(value[1:5], "big")]
                schema = schemas[name]
                record = read(BytesIO(value[5:]), schema)
                if name == "PlateRead":
                    buffer = BytesIO()
                    buffer.write(value[:5])
                    write(buffer, schema, record)
                    producer.produce(
                        out,
                        buffer.getvalue(),
                        message.key(),
                        message.partition(),
                        delivered,  # type: ignore[arg-type]
                    )
                    reads += 1
            producer.poll(0)
            seen += len(messages)
        producer.flush(60)
        assert not failed
        rate = self._rate("bare", reads, began, cpu)
        consumer.close()
        return rate

    def io(self, address: KafkaAddress) -> float:
        """Reads a second of the same loop through our log and codec."""
        log = KafkaLog(address, self.partitions)
        offsets = dict.fromkeys(self.ends, 0)
        encode = self.codec.encoder(RAW.name, "PlateRead")
        reads, began, cpu = 0, 0.0, 0.0
        while any(offsets[n] < end for n, end in self.ends.items()):
            for number in offsets:
                entries = log.read(RAW.name, number, offsets[number], BATCH)
                if not entries:
                    continue
                if not began:
                    began, cpu = time.perf_counter(), time.process_time()
                offsets[number] = entries[-1].offset + 1
                out: list[Append] = []
                for entry in entries:
                    name, record = self.codec.decode(entry.value or b"")
                    if name == "PlateRead":
                        out.append(Append(entry.key, encode(record), entry.headers))
                log.send(REJECTED.name, number, out)
                reads += len(out)
        log.flush()
        rate = self._rate("io", reads, began, cpu)
        log.close()
        return rate

    def _rate(self, kind: str, reads: int, began: float, cpu: float) -> float:
        self.cpu_us.setdefault(kind, []).append((time.process_time() - cpu) / reads * 1e6)
        return reads / (time.perf_counter() - began)

    def decided(self, parts: Sequence[str], kind: str, address: KafkaAddress) -> float:
        """Reads a second of dedup processes, one for each of ``parts``, by what they append."""
        processes = [self._flow(address, partitions) for partitions in parts]
        log = KafkaLog(address, self.partitions)
        samples: list[tuple[int, int, float]] = []
        try:
            deadline, quiet, ends = time.monotonic() + PATIENCE_S, 0, [0]
            # All is read, as dedup marks it now and then, and nothing came out for a second.
            while quiet < 4 or log.marks("alpr-dedup", RAW.name) != self.ends:
                time.sleep(0.25)
                if any(process.poll() is not None for process in processes):
                    raise SystemExit("a dedup process ended by itself")
                if time.monotonic() > deadline:
                    raise SystemExit(f"dedup is not done after {PATIENCE_S:.0f} s")
                now = [log.end(DETECTED.name, n) for n in range(self.partitions)]
                quiet = quiet + 1 if all(now) and now == ends else 0
                ends = now
                seen = [psutil.Process(process.pid) for process in processes]
                resident = max(process.memory_info().rss for process in seen)
                cpu = sum(sum(process.cpu_times()[:2]) for process in seen)
                samples.append((sum(now), resident, cpu))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
        times = [edge for n in range(self.partitions) for edge in self._edges(log, n, ends[n])]
        log.close()
        done = samples[-1][0]
        late = [sample for sample in samples if sample[0] >= done / 10]
        self.memory.setdefault(kind, []).extend((late[0][1], max(sample[1] for sample in late)))
        # Between a tenth of the output and the moment that the last of it was seen.
        first, last = late[0], next(sample for sample in samples if sample[0] == done)
        part = max(1, last[0] - first[0]) / done * self.reads
        self.cpu_us.setdefault(kind, []).append((last[2] - first[2]) / part * 1e6)
        # The first batch of each partition was done before the first record came out.
        share = 1 - BATCH * self.partitions / sum(self.ends.values())
        return share * self.reads * 1_000_000 / (max(times) - min(times))

    def _edges(self, log: KafkaLog, number: int, end: int) -> Iterator[int]:
        """When the first and the last record of a partition came out."""
        for at in (0, end - 1):
            entries = []
            while not entries:
                entries = log.read(DETECTED.name, number, at, 1)
            yield entries[0].appended_at

    def _flow(self, address: KafkaAddress, partitions: str) -> subprocess.Popen[bytes]:
        home = self.home / f"{address.prefix}{partitions}"
        store = home / "store"
        store.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "bytewax.recovery", str(store), "1"], check=True)
        environ = {name: value for name, value in os.environ.items() if name[:5] != "ALPR_"}
        environ |= {
            "ALPR_HOME": str(home),
            "ALPR_LOG_URL": with_options(self.url, prefix=address.prefix),
            "ALPR_REGISTRY_URL": self.registry,
            "ALPR_LOG_PARTITIONS": str(self.partitions),
            "ALPR_PARTITIONS": partitions,
        }
        command = ["bytewax.run", "dataflows.dedup", "-r", str(store), "-s", "1", "-b", "0"]
        return subprocess.Popen([sys.executable, "-m", *command], env=environ)


def with_options(url: str, **options: str) -> str:
    """A URL with more in its query."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}"


def records(reads: int, partitions: int) -> Iterator[Item]:
    """Records of the raw log with so many reads."""
    city = list(mix(min(reads, GENERATED), partitions))
    span = city[-1].appended_at - city[0].appended_at + SECOND
    left = reads
    for copy in count():
        for item in city:
            if not left:
                return
            left -= item.name == "PlateRead"
            yield repeated(item, copy, copy * span) if copy else item


def repeated(item: Item, copy: int, later: int) -> Item:
    """A record so many microseconds later, as another."""
    record = {
        name: value + later if name in ("captured_at", "at") else value
        for name, value in item.record.items()
    }
    if item.name == "PlateRead":
        read_id = record["read_id"]
        record["read_id"] = f"{read_id[:24]}{copy:04x}{read_id[28:]}"
        record["track_id"] += f".{copy}"
    return item._replace(appended_at=item.appended_at + later, record=record)


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """URLs of a broker and of a schema registry: given ones, or started here."""
    from tests.servers import Kafka, Registry

    with ExitStack() as stack:

        def url(kind: Any, variable: str) -> str:
            if given := os.environ.get(variable):
                return given
            server = kind(folder / kind.name)
            stack.callback(server.stop)
            server.start()
            return server.url

        yield url(Kafka, "ALPR_TEST_KAFKA"), url(Registry, "ALPR_TEST_REGISTRY")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reads", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--compression", default="gzip")
    parser.add_argument("--kinds", default="bare,io,one,two")
    given = parser.parse_args(arguments)
    half, last = given.partitions // 2, given.partitions - 1
    found: dict[str, list[float]] = {kind: [] for kind in given.kinds.split(",")}
    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as (plain, registry):
        url = with_options(plain, compression=given.compression)
        register(ConfluentRegistry(registry, Path(name)))
        bench = Bench(url, registry, given.partitions, Path(name))
        kinds: dict[str, Callable[[KafkaAddress], float]] = {
            "bare": bench.bare,
            "io": bench.io,
            "one": partial(bench.decided, [f"0-{last}"], "one"),
            "two": partial(bench.decided, [f"0-{half - 1}", f"{half}-{last}"], "two"),
        }
        for _ in range(given.rounds):
            for kind, rates in found.items():
                address = replace(KafkaAddress.parse(url), prefix=f"b{secrets.token_hex(4)}.")
                create_topics(address, given.partitions, 1, {})
                bench.reads = 0
                bench.load(address, given.reads)
                rates.append(kinds[kind](address))
                Cluster(address).drop()
                shutil.rmtree(bench.home / address.prefix, ignore_errors=True)
    more = {
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
        "compression": given.compression,
        "partitions": given.partitions,
    }
    for kind, rates in found.items():
        spread = [round(rate) for rate in rates]
        cpu = [round(us, 1) for us in bench.cpu_us[kind]]
        tell(
            f"kafka.{kind}", statistics.median(rates), "reads/s", rounds=spread, cpu_us=cpu, **more
        )
        if kind in bench.memory:
            megabytes = [round(b / MEGABYTE) for b in bench.memory[kind]]
            tell(f"kafka.memory.{kind}", max(megabytes), "MB", from_tenth_to_most=megabytes)
    for kind, reference in (("io", "bare"), ("one", "bare"), ("two", "one")):
        if kind in found and reference in found:
            ratios = [a / b for a, b in zip(found[kind], found[reference], strict=True)]
            work = [b / a for a, b in zip(bench.cpu_us[kind], bench.cpu_us[reference], strict=True)]
            tell(
                "kafka.ratio",
                statistics.median(ratios),
                f"{kind}/{reference}",
                by_cpu=round(statistics.median(work), 3),
                **more,
            )


if __name__ == "__main__":
    main()
