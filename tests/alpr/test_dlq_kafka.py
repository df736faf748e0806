"""Dead letters, history and minutes on a real broker: what was written for the log alone."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpr.changes import Comparison
from alpr.dlq import DeadLetters, Redrive, Wanted
from alpr.history import History, Span
from dataflows.dead_letters import WHOLE, dead_letter
from dataflows.metrics import going_on
from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append
from eventlog.span import first_since, span
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DLQ, METRICS, RAW
from tests.alpr.test_dlq import NOW, Site, spoilt
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
CODEC.register()


@pytest.fixture
def log(kafka: str) -> Iterator[KafkaLog]:
    joint = "&" if "?" in kafka else "?"
    address = KafkaAddress.parse(f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.")
    create_topics(address, 2, 1, {})
    log = KafkaLog(address, 2)
    yield log
    log.close()
    Cluster(address).drop()


def test_a_spoilt_record_is_found_mended_and_sent_once_and_history_agrees(
    log: KafkaLog, tmp_path: Path
):
    site = Site(log, CODEC)
    good = site.read()
    wrong = spoilt(good, good.index(b"\x0eKAX1234"), 0x7E)
    values = [wrong, b"junk", *[site.read(captured_at=NOW + n * 100_000) for n in range(3)]]
    log.append(RAW.name, 1, [Append(b"gate", value, {"h": b"1"}) for value in values])
    decided = site.dedup.batch(list(span(log, RAW.name, 1, 0, 5)))
    for topic, records in (("alpr.plates.detected", decided.detected), (DLQ.name, decided.dead)):
        log.append(topic, 1, records)

    letters = DeadLetters(log, CODEC)
    found = letters.newest(Wanted(), 10).letters
    assert [dead.place.offset for dead in found] == [1, 0]
    done = Redrive(log, CODEC).run(found[1:], good)
    assert next(iter(done.sent.values())).offset == 5
    assert [d.place.offset for d in letters.oldest(Wanted(), 10).letters] == [1]
    (sent,) = span(log, RAW.name, 1, 5, 6)
    assert (sent.value, sent.headers["redriven"]) == (good, b"1 alpr.reads.raw/1/0")

    settings, asked = DedupSettings(), Span(NOW - 10_000_000, NOW + 10_000_000)
    path = tmp_path / "scratch.db"
    history = History(log, CODEC, settings, grammar(), span=asked, path=path)
    compared = Comparison(history, history.replay((0, 1)), asked, settings.similarity)
    assert list(compared.changes()) == []
    history.close(done=True)

    assert first_since(log, RAW.name, 1, 0) == 0
    assert first_since(log, RAW.name, 1, sent.appended_at + 1) == 6
    assert going_on(log, [0, 1])[RAW.name] == {}
    assert log.end(METRICS.name, 0) == 0


def test_the_largest_letter_fits(log: KafkaLog):
    site = Site(log, CODEC)
    log.append(RAW.name, 1, [Append(b"gate", b"\1")])
    (entry,) = span(log, RAW.name, 1, 0, 1)
    for size in (WHOLE, 6_000_000):
        big = type(entry)(RAW.name, 1, 0, entry.appended_at, b"k", bytes(size), {})
        log.append(DLQ.name, 1, [dead_letter(CODEC, big, "dedup", "poison", "")])
    assert len(DeadLetters(site.log, CODEC).newest(Wanted(), 10).letters) == 1
