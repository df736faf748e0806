"""Whatever a record holds, the fold does not raise, and what it says can be written."""

import math
import pickle
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec, schema_text
from tests.rules.world import Fold, at, box, read
from tests.schemas.generated import LONG, records
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
TOPICS = {"ReadRejected": "alpr.reads.rejected"}
NAN, INF = math.nan, math.inf


def written(outputs):
    """Every output as it is read back from the log."""
    topics = [(TOPICS.get(out.name, "alpr.plates.detected"), out) for out in outputs]
    return [CODEC.decode(CODEC.encode(topic, out.name, out.record))[1] for topic, out in topics]


@pytest.mark.parametrize("confidence", [NAN, -INF, -0.1, -1e300])
def test_a_confidence_that_is_none_is_refused_as_such(confidence):
    fold = Fold()
    fold.read(0, "KAX1234", confidence=0.8, char_confidences=[800] * 7)
    (out,) = fold.give("PlateRead", hostile(confidence=confidence), at(1))
    assert out.record["reason"] == "confidence"
    written([out])


def hostile(**changes):
    return read(1, "KAX1234") | {"read_id": "hostile"} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": INF},
        {"confidence": 1e308},
        {"confidence": 7.0},
        {"quality": NAN},
        {"quality": INF},
        {"quality": -INF},
        {"quality": -5.0},
        {"char_confidences": []},
        {"char_confidences": [900]},
        {"char_confidences": [900] * 50},
        {"char_confidences": [-(2**31)] * 7},
        {"char_confidences": [2**31 - 1] * 7},
        {"char_confidences": [0] * 7},
        {"box": box(0, 0, 0, 0)},
        {"box": box(0, 0, -100, -30)},
        {"box": box(-(2**31), -(2**31), 2**31 - 1, 2**31 - 1)},
        {"frame_number": -(2**63)},
        {"frame_number": 2**63 - 1},
        {"captured_at": 0},
        {"captured_at": -(2**63)},
        {"captured_at": 2**63 - 1},
        {"text": ""},
        {"text": "A1" * 100_000},
        {"text": "\n" * 1000 + "KAX1234"},
        {"text": "\u202eKAX1234\0"},
        {"region": ""},
        {"region": "US-"},
        {"region": "auto"},
        {"region": "US,DE"},
        {"region": "-"},
        {"track_id": ""},
        {"session": ""},
        {"camera_id": ""},
        {"camera_group": ""},
        {"direction": ""},
    ],
    ids=lambda changes: " ".join(f"{k}={str(v)[:24]}" for k, v in changes.items()),
)
@pytest.mark.parametrize("first", [True, False], ids=["alone", "after others"])
def test_a_strange_value_is_refused_or_does_no_harm(changes, first):
    fold = Fold()
    if not first:
        fold.read(0, "KAX1234", confidence=0.8)
    written(fold.give("PlateRead", hostile(**changes), at(1)))
    strange = {e["event_id"] for e in fold.events() if e["captured_at"] < at(0)}
    for n in range(3):
        written(fold.read(2 + n, "KAX1234", confidence=0.9, track_id="fine"))
    fold.heartbeat(1000)
    written(fold.said)
    ended = [
        (e["plate"]["normalized_text"], e["status"])
        for e in fold.sightings().values()
        if e["event_id"] not in strange
    ]
    assert ("KAX1234", "ended") in ended
    for event in fold.events():
        assert 0 <= event["plate"]["confidence"] <= 1
        assert 0 <= event["extras"]["quality_score"] <= 1e9
        assert all(w >= 0 for column in event["evidence"]["positions"] for w in weights(column))


def weights(column):
    return [one["weight"] for one in column]


NUMBERS = st.one_of(st.floats(), st.floats(0, 1), st.sampled_from([0.9, 0.98]))
READ = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(
            st.text(max_size=14), st.sampled_from(["KAX1234", "KAX123A", "34A36837"])
        ),
        "confidence": NUMBERS,
        "quality": NUMBERS,
        "char_confidences": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=10),
        "frame_number": LONG,
        "captured_at": st.one_of(LONG, st.integers(at(-20), at(700))),
        "track_id": st.sampled_from(["", "a", "b"]),
        "region": st.sampled_from([None, "", "US", "US-FL", "XX", "auto", "-"]),
        "camera_id": st.sampled_from(["gate", "yard", ""]),
        "camera_group": st.sampled_from([None, "main", ""]),
        "box": st.fixed_dictionaries(
            {k: st.integers(-(2**31), 2**31 - 1) for k in ("x", "y", "width", "height")}
        ),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(READ, min_size=1, max_size=15))
def test_no_reads_whatever_make_it_raise_or_say_what_cannot_be_written(changes):
    fold = Fold()
    for n, change in enumerate(changes):
        made = read(n, "KAX1234") | {"read_id": f"r{n}"} | change
        written(fold.give("PlateRead", made, at(n + 0.2)))
        fold.tick(n + 0.3)
        pickle.dumps(fold.dedup.snapshot())
    fold.heartbeat(2000)
    written(fold.said)


NAMES = ("PlateRead", "CameraHeartbeat", "SourceEnded", "Tick", "Gap")
ANY = st.one_of([records(schema_text(name)).map(lambda r, name=name: (name, r)) for name in NAMES])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ANY, max_size=8))
def test_no_records_that_the_codec_gives_make_it_raise(given_records):
    dedup = Deduplication(0, replace(DedupSettings(), min_confidence=0.0), grammar())
    for offset, (name, record) in enumerate(given_records):
        written(dedup.fold(name, record, offset, at(offset)))
    pickle.dumps(dedup.snapshot())


def test_records_that_say_nothing_about_sightings_are_passed_over():
    dedup = Deduplication(0, DedupSettings(), grammar())
    assert dedup.fold("Gap", {}, 0, 0) == []
    assert dedup.fold("SomethingNew", {}, 1, 0) == []
