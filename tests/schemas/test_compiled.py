"""The code made for a schema gives fastavro's bytes and values, and refuses what does not fit."""

import copy
import json
import struct
from contextlib import suppress
from io import BytesIO

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import parsed, schema_text
from schemas.compiled import decoder, encoder
from schemas.numbers import long_at, long_bytes, time_at, time_bytes
from schemas.topics import TOPICS
from tests.schemas.generated import records

RECORDS = sorted({name for topic in TOPICS.values() for name in topic.records})
REFUSED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error)


def plain(schema, value):
    """What fastavro writes."""
    body = BytesIO()
    fastavro.schemaless_writer(body, schema, value, strict=True)
    return body.getvalue()


@pytest.mark.parametrize("record", RECORDS)
def test_bytes_and_values_are_fastavros(record):
    schema = json.loads(schema_text(record))
    write, read = encoder(schema), decoder(schema)

    @settings(max_examples=60, deadline=None)
    @given(records(schema_text(record)), st.binary(max_size=3))
    def are_the_same(value, before):
        payload = write(value)
        assert payload == plain(parsed(schema_text(record)), value)
        assert read(before + payload, len(before)) == (value, len(before) + len(payload))

    are_the_same()


def places(value, path=()):
    """The way to everything within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))


def spoilt(value, path, change):
    """A copy with one part changed."""
    made = copy.deepcopy(value)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return made


OTHER = (object(), "x", 7, 0.5, b"x", 2**70, {"a": 1}, {"a": "x"}, [0], ["x"])


@pytest.mark.parametrize("record", RECORDS)
def test_what_fastavro_would_refuse_anywhere_in_a_record_is_refused(record):
    schema = json.loads(schema_text(record))
    write = encoder(schema)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def is_refused(data):
        value = data.draw(records(schema_text(record)))
        path = data.draw(st.sampled_from(list(places(value))))
        other = data.draw(st.sampled_from(OTHER))
        holder = value
        for key in path[:-1]:
            holder = holder[key]

        def change(holder, key):
            holder[key] = other

        wrong = spoilt(value, path, change)
        try:
            expected = plain(parsed(schema_text(record)), wrong)
        except REFUSED:
            with pytest.raises(REFUSED):
                write(wrong)
        else:
            with suppress(*REFUSED):  # stricter here and there
                assert write(wrong) == expected

    is_refused()


@pytest.mark.parametrize("record", RECORDS)
def test_a_field_too_many_or_too_few_anywhere_is_refused_and_named(record):
    schema = json.loads(schema_text(record))
    write = encoder(schema)

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def is_refused(data):
        value = data.draw(records(schema_text(record)))
        fields = [p for p in places(value) if isinstance(p[-1], str) and "labels" not in p]
        path = data.draw(st.sampled_from([p for p in fields if "headers" not in p]))
        with pytest.raises(ValueError, match=f"lacks the field '{path[-1]}'"):
            write(spoilt(value, path, lambda holder, key: holder.pop(key)))
        with pytest.raises(ValueError, match="has no field 'colour'"):
            write(spoilt(value, path, lambda holder, _: holder.update(colour="red")))

    is_refused()


@pytest.mark.parametrize("record", RECORDS)
def test_bytes_that_end_early_never_pass(record):
    schema = json.loads(schema_text(record))
    write, read = encoder(schema), decoder(schema)

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def never_pass(data):
        payload = write(data.draw(records(schema_text(record))))
        cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
        try:
            _, end = read(cut, 0)
        except Exception:
            return
        assert end != len(cut)

    never_pass()


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=9))
@example(2**41, b"")
@example(2**55 - 1, b"\x80" * 9)
@example(-(2**63), b"")
def test_numbers_of_any_size_come_back(number, after):
    payload = long_bytes(number)
    assert payload == plain("long", number)
    assert time_bytes(number) == payload
    assert long_at(payload + after, 0) == time_at(payload + after, 0) == (number, len(payload))


@given(st.binary(max_size=12))
def test_any_bytes_are_the_same_number_to_both_ways_of_reading(data):
    def outcome(read):
        try:
            return read(data, 0)
        except (ValueError, IndexError) as error:
            return type(error)

    assert outcome(time_at) == outcome(long_at)


@pytest.mark.parametrize(("bits", "number"), [(32, 2**31), (32, -(2**31) - 1), (64, 2**63)])
def test_numbers_of_too_many_bits_are_refused_both_ways(bits, number):
    with pytest.raises(OverflowError):
        long_bytes(number, bits)
    with pytest.raises(ValueError, match="bits"):
        long_at(long_bytes(number, 70), 0, bits)


@pytest.mark.parametrize("count", [3, -3])
def test_blocks_may_tell_their_size(count):
    """Avro lets a writer put a block's size behind a negative count."""
    items = b"\2\4\6"
    head = long_bytes(count) + (long_bytes(len(items)) if count < 0 else b"")
    read = decoder({"type": "array", "items": "long"})
    assert read(head + items + b"\2\x08\0", 0) == ([1, 2, 3, 4], len(head) + 6)


def test_a_union_of_more_than_null_and_another_has_no_code():
    with pytest.raises(ValueError, match="union"):
        encoder(["null", "string", "long"])
