"""What the dedup step makes of batches of raw records."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.dedup import Dedup
from eventlog.log import Append
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import RAW
from tests.dataflows.logs import MemoryLog, raw_records
from tests.rules.world import at, read
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
CITY = raw_records(CODEC, 31)


def dedup(state=None):
    return Dedup(CODEC, DedupSettings(), grammar(), state)


def entries(records):
    log = MemoryLog()
    log.append(RAW.name, 0, records)
    return log.read(RAW.name, 0, 0, len(records))


def raw(name, record, **options):
    return Append(b"gate", CODEC.encode(RAW.name, name, record), appended_at=at(1), **options)


ENTRIES = entries(CITY)
WHOLE = dedup().batch(ENTRIES)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(CITY)), max_size=30).map(sorted))
def test_the_borders_of_batches_do_not_matter(cuts):
    running, parts, last = dedup(), ([], [], []), 0
    for cut in [*cuts, len(ENTRIES)]:
        for kept, part in zip(parts, running.batch(ENTRIES[last:cut]), strict=True):
            kept.extend(part)
        last = cut
    assert parts == tuple(WHOLE)


def test_folding_leaves_no_cyclic_garbage():
    running = dedup()
    running.batch(ENTRIES[:100])
    gc.collect()
    gc.disable()
    try:
        for start in range(100, len(ENTRIES), 100):
            running.batch(ENTRIES[start : start + 100])
            running.snapshot()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_an_empty_batch_gives_nothing():
    assert dedup().batch([]) == ([], [], [])


def test_a_sighting_carries_the_headers_of_the_read_that_caused_it():
    headers = {"traceparent": b"00-aa-bb-01"}
    (event,) = dedup().batch(entries([raw("PlateRead", read(0, "KAX1234"), headers=headers)]))[0]
    assert event.headers == headers
    assert event.key == CODEC.decode(event.value)[1]["event_id"].encode()


def test_a_refused_read_goes_to_the_rejected_under_its_cameras_key():
    decided = dedup().batch(entries([raw("PlateRead", read(0, "K1"))]))
    (refused,) = decided.rejected
    assert refused.key == b"gate"
    assert CODEC.decode(refused.value)[1]["reason"] == "length"
    assert (decided.detected, decided.dead) == ([], [])


GOOD = raw("PlateRead", read(0, "KAX1234"))


@pytest.mark.parametrize(
    ("poison", "step", "reason"),
    [
        (Append(b"k", None), "decode", "unreadable"),
        (Append(b"k", b"{}"), "decode", "magic"),
        (Append(b"k", b"\0\0\0\x7f\0"), "decode", "schema"),
        (Append(None, GOOD.value[:40], {"h": b"1"}), "decode", "unreadable"),
        (
            Append(
                b"k",
                CODEC.encode(
                    "alpr.plates.detected",
                    "Progress",
                    {"partition": 0, "revision": 0, "watermark": 0, "clock": 0, "cameras": 1},
                ),
            ),
            "decode",
            "schema",
        ),
    ],
    ids=["no value", "no avro", "unknown schema", "truncated", "of another topic"],
)
def test_a_poisoned_record_goes_to_the_dead_letters_whole_and_the_flow_goes_on(
    poison, step, reason
):
    decided = dedup().batch(entries([poison, GOOD]))
    (letter,) = decided.dead
    name, record = CODEC.decode(letter.value)
    assert name == "DeadLetter"
    assert letter.key == f"{RAW.name}/0/0".encode()
    assert (record["topic"], record["partition"], record["offset"]) == (RAW.name, 0, 0)
    assert (record["key"], record["value"]) == (poison.key, poison.value)
    assert record["headers"] == dict(poison.headers)
    assert (record["step"], record["reason"], record["redriven"]) == (step, reason, 0)
    assert record["detail"]
    assert len(decided.detected) == 1


def test_a_record_that_the_rules_stumble_over_is_a_dead_letter_too(monkeypatch):
    def stumble(*_, **__):
        raise ZeroDivisionError("in a rule")

    running = dedup()
    running.batch(entries([GOOD]))
    monkeypatch.setattr("rules.dedup.Deduplication.fold", stumble)
    (letter,) = running.batch(entries([GOOD])).dead
    record = CODEC.decode(letter.value)[1]
    assert (record["step"], record["reason"]) == ("dedup", "poison")
    assert record["detail"] == "ZeroDivisionError: in a rule"


def test_a_snapshot_needs_no_batch_after_a_resumption():
    running = dedup()
    running.batch(ENTRIES[:300])
    state = running.snapshot()
    assert dedup(state).snapshot() == state
