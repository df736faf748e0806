"""A dead letter keeps its record whole, or says what of it is kept, whatever the record."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.dead_letters import CUT, PART, WHOLE, Place, dead_letter, place
from dataflows.dedup import Dedup
from eventlog.kafka_topics import DEAD_BYTES
from eventlog.log import Entry
from eventlog.redriven import redriven
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec, RegistryUnavailable
from schemas.topics import DETECTED, RAW
from tests.rules.world import read
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
HERE = Place(RAW.name, 3, 1290)


def entry(value=b"x", key=b"gate", headers=None):
    return Entry(*HERE, 1_800_000_000_000_000, key, value, headers or {})


def kept(entry, detail="why"):
    letter = dead_letter(CODEC, entry, "dedup", "poison", detail)
    return letter, CODEC.decode(letter.value)[1]


@settings(deadline=None)
@given(
    value=st.none() | st.binary(),
    key=st.none() | st.binary(),
    headers=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.binary()),
    detail=st.text(st.characters()),
)
def test_any_record_and_any_reason_make_a_letter_that_holds_all_of_it(value, key, headers, detail):
    letter, record = kept(entry(value, key, headers), detail)
    assert letter.key == b"alpr.reads.raw/3/1290"
    assert Place(record["topic"], record["partition"], record["offset"]) == HERE
    assert record["appended_at"] == 1_800_000_000_000_000
    assert (record["key"], record["value"], record["headers"]) == (key, value, headers)
    assert (record["step"], record["reason"]) == ("dedup", "poison")


@pytest.mark.parametrize(
    "big",
    [
        entry(bytes(6_000_000)),
        entry(b"x", key=bytes(6_000_000)),
        entry(b"x", headers={"h": bytes(6_000_000)}),
        entry(None, headers={"h": bytes(6_000_000), "traceparent": bytes(100_000)}),
        entry(bytes(WHOLE), key=bytes(PART)),
    ],
    ids=["value", "key", "header", "no value", "just above"],
)
def test_a_record_too_large_for_the_log_is_kept_in_part_with_its_length_and_hash(big):
    letter, record = kept(big, "why " + "x" * 100_000)
    size = len(letter.value) + sum(len(held) for held in letter.headers.values())
    assert size < DEAD_BYTES
    assert record["value"] == (big.value and big.value[:PART])
    held = big.value or b""
    assert letter.headers[CUT] == f"{len(held)} {sha256(held).hexdigest()}".encode()
    assert "the whole is at its place while alpr.reads.raw keeps it" in record["detail"]


def test_the_letter_is_part_of_its_records_trace():
    headers = {"traceparent": b"00-aa-bb-01", "other": b"1"}
    letter, _ = kept(entry(headers=headers))
    assert letter.headers == {"traceparent": b"00-aa-bb-01"}


def test_a_record_that_was_sent_again_says_how_often_and_what_it_caused_does_not():
    headers = {"redriven": b"2 alpr.reads.raw/3/17"}
    assert kept(entry(headers=headers))[1]["redriven"] == 2
    assert redriven(DETECTED.name, headers) == 0


@pytest.mark.parametrize("strange", [b"", b"2", b"x y", b"\xff", b"9" * 5000 + b" alpr.reads.raw/"])
def test_a_strange_count_is_none(strange):
    assert kept(entry(headers={"redriven": strange}))[1]["redriven"] == 0


def test_a_place_is_read_as_it_is_written():
    assert place(str(HERE)) == HERE
    for wrong in ("", "raw", "alpr.reads.raw/3", "alpr.reads.raw/-3/1", "no.topic/0/0", "/0/0"):
        with pytest.raises(ValueError):  # noqa: PT011
            place(wrong)


def test_a_registry_that_is_away_is_waited_for_and_no_reason_to_bury(monkeypatch):
    class Away(MemoryRegistry):
        answers = iter([False, False])

        def schema(self, schema_id):
            if not next(self.answers, True):
                raise RegistryUnavailable("away")
            return super().schema(schema_id)

    registry = Away()
    codec = Codec(registry)
    codec.register()
    value = codec.encode(RAW.name, "PlateRead", read(0, "KAX1234"))
    monkeypatch.setattr("dataflows.patience._FIRST_S", 0.001)
    decided = Dedup(Codec(registry), DedupSettings(), grammar()).batch([entry(value)])
    assert decided.dead == []
    assert len(decided.detected) == 1
