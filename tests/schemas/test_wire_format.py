"""Records to bytes and back: nothing changes, nothing that is wrong gets through."""

import json
from contextlib import suppress
from io import BytesIO

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Codec, DecodeError, EncodeError, parsed, schema_text
from schemas.topics import TOPICS, subject
from tests.schemas.generated import records
from tests.schemas.memory import MemoryRegistry

PAIRS = [(topic.name, record) for topic in TOPICS.values() for record in topic.records]


REGISTRY = MemoryRegistry()
CODEC = Codec(REGISTRY)
TICK = {"at": 1_800_000_000_000_000}


@pytest.mark.parametrize(("topic", "record"), PAIRS, ids=[record for _, record in PAIRS])
def test_every_record_comes_back_as_it_was(topic, record):
    @settings(max_examples=25, deadline=None)
    @given(records(schema_text(record)))
    def comes_back(value):
        payload = CODEC.encode(topic, record, value)
        assert CODEC.decode(payload) == (record, value)

    comes_back()


def test_the_first_byte_is_0_and_the_next_four_are_the_schemas_id():
    payload = CODEC.encode("alpr.reads.raw", "Tick", TICK)
    number = REGISTRY.register(subject("alpr.reads.raw", "Tick"), schema_text("Tick"))
    assert payload[:5] == b"\0" + number.to_bytes(4, "big")
    assert subject("alpr.reads.raw", "Tick") == "alpr.reads.raw-alpr.Tick"


HEARTBEAT = {
    "camera_id": "gate",
    "camera_group": None,
    "session": "s",
    "captured_at": 1,
    "state": "live",
    "frames_seen": 1,
    "frames_dropped": 0,
    "fps": 25.0,
    "clock_offset_us": 0,
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"session": ...}, "session"),
        ({"camera_group": ...}, "camera_group"),
        ({"colour": "red"}, "colour"),
        ({"captured_at": "soon"}, "captured_at"),
        ({"frames_seen": None}, "frames_seen"),
        ({"camera_id": 7}, "camera_id"),
        ({"captured_at": 2**63}, "captured_at"),
        ({"fps": "fast"}, "fps"),
        ({"camera_group": 1}, "camera_group"),
    ],
)
def test_a_field_that_is_missing_unknown_or_ill_typed_is_refused_and_named(changes, named):
    value = {k: v for k, v in (HEARTBEAT | changes).items() if v is not ...}
    with pytest.raises(EncodeError, match="CameraHeartbeat") as caught:
        CODEC.encode("alpr.reads.raw", "CameraHeartbeat", value)
    assert named in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "Tick", 3])
def test_what_is_no_dictionary_is_refused(value):
    with pytest.raises(EncodeError, match="Tick"):
        CODEC.encode("alpr.reads.raw", "Tick", value)


PAYLOAD = CODEC.encode("alpr.reads.raw", "CameraHeartbeat", HEARTBEAT)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "magic"),
        (PAYLOAD[:4], "magic"),
        (b"\1" + PAYLOAD[1:], "magic"),
        (b'{"plate": 1}', "magic"),
        (b"\0\x7f\xff\xff\xff" + PAYLOAD[5:], "schema"),
        (PAYLOAD[:5], "unreadable"),
        (PAYLOAD[:-1], "unreadable"),
        (PAYLOAD + b"\0", "unreadable"),
    ],
)
def test_bytes_that_are_no_record_are_refused_with_a_reason(payload, reason):
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(payload)
    assert caught.value.reason == reason
    assert caught.value.detail


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", PAYLOAD[:5], PAYLOAD[:12]]))
def test_no_bytes_raise_anything_but_a_decode_error(rest, start):
    with suppress(DecodeError):
        CODEC.decode(start + rest)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_truncated_or_flipped_record_raises_anything_but_a_decode_error(data):
    value = data.draw(records(schema_text("PlateEvent")))
    payload = bytearray(CODEC.encode("alpr.plates.detected", "PlateEvent", value))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    del payload[data.draw(st.integers(1, len(payload))) :]
    with suppress(DecodeError):
        CODEC.decode(bytes(payload))


def test_a_record_that_this_release_does_not_know_is_refused():
    text = '{"type":"record","name":"Balloon","namespace":"alpr","fields":[]}'
    number = REGISTRY.register("alpr.reads.raw-alpr.Balloon", text)
    with pytest.raises(DecodeError, match="Balloon") as caught:
        CODEC.decode(b"\0" + number.to_bytes(4, "big"))
    assert caught.value.reason == "schema"


# Other versions


@pytest.mark.parametrize(
    "text",
    [
        '"string"',
        '["null","string"]',
        "{}",
        '{"type":"enum","name":7,"symbols":[]}',
        '{"type":"record","name":"../records/PlateRead","fields":[]}',
        '{"type":"record","name":"PlateRead","fields":[{"name":"a","type":"nothing"}]}',
        'syntax = "proto3"; message PlateRead {}',
    ],
)
def test_an_id_whose_schema_is_of_no_record_is_refused(text):
    class Foreign(MemoryRegistry):
        def schema(self, schema_id):
            return text

    with pytest.raises(DecodeError) as error:
        Codec(Foreign()).decode(b"\0\0\0\0\x01\x02")
    assert error.value.reason == "schema"


def written_with(schema, value):
    """The bytes of a record in the wire format, written by another release."""
    text = json.dumps(schema, separators=(",", ":"))
    number = REGISTRY.register("alpr.reads.raw-alpr.X", text)
    out = BytesIO()
    out.write(b"\0" + number.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, parsed(text), value, strict=True)
    return out.getvalue()


@settings(max_examples=25, deadline=None)
@given(records(schema_text("PlateRead")))
def test_a_field_that_a_later_release_adds_is_passed_over(value):
    later = json.loads(schema_text("PlateRead"))
    later["fields"].insert(
        3, {"name": "weather", "type": ["null", "string"], "doc": "", "default": None}
    )
    payload = written_with(later, value | {"weather": "fog"})
    assert CODEC.decode(payload) == ("PlateRead", value)


@settings(max_examples=25, deadline=None)
@given(records(schema_text("PlateRead")))
def test_a_field_that_an_earlier_release_lacked_takes_its_default(value):
    earlier = json.loads(schema_text("PlateRead"))
    earlier["fields"] = [
        f for f in earlier["fields"] if f["name"] not in ("direction", "alternatives")
    ]
    old = {k: v for k, v in value.items() if k not in ("direction", "alternatives")}
    payload = written_with(earlier, old)
    assert CODEC.decode(payload) == ("PlateRead", old | {"direction": None, "alternatives": []})
