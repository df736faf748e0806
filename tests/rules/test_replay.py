"""The same log gives the same events: run again, run on, run from any snapshot."""

import pickle
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.dedup import CLOCK_US
from rules.sighting import SECOND
from tests.rules.cities import city, digest, folded, start

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=SEEDS)
def whole(request):
    """A city and what an uninterrupted run says of each record."""
    items = city(request.param)
    return items, folded(start(), items)


def test_the_cities_hold_what_can_happen(whole):
    items, said = whole
    names = {item.name for item in items}
    assert {"PlateRead", "CameraHeartbeat", "SourceEnded", "Tick"} <= names
    records = [out.record for outputs in said for out in outputs]
    statuses = {record.get("status") for record in records}
    assert {"tentative", "confirmed", "ended"} <= statuses


def test_across_the_cities_every_status_and_refusal_occurs():
    statuses, reasons = set(), set()
    for seed in SEEDS:
        for outputs in folded(start(), city(seed)):
            statuses |= {out.record["status"] for out in outputs if out.name == "PlateEvent"}
            reasons |= {out.record["reason"] for out in outputs if out.name == "ReadRejected"}
    assert statuses == {"tentative", "confirmed", "revised", "ended", "retracted"}
    assert reasons >= {"confidence", "length", "format", "clock", "duplicate", "late"}


def test_a_run_from_any_snapshots_says_the_same(whole):
    items, said = whole

    @settings(max_examples=12, deadline=None)
    @given(st.lists(st.integers(0, len(items)), max_size=4).map(sorted))
    def says_the_same(cuts):
        dedup, resumed, last = start(), [], 0
        for cut in [*cuts, len(items)]:
            resumed += folded(dedup, items[last:cut], last)
            dedup = start(pickle.loads(pickle.dumps(dedup.snapshot())))
            last = cut
        assert resumed == said

    says_the_same()


def test_a_run_with_a_snapshot_after_every_record_says_the_same(whole):
    items, said = whole
    dedup = start()
    for offset, item in enumerate(items[:250]):
        assert dedup.fold(item.name, item.record, offset, item.appended_at) == said[offset]
        dedup = start(dedup.snapshot())


def test_a_snapshot_does_not_change_with_what_comes_after(whole):
    items, _ = whole
    dedup, third = start(), len(items) // 3
    folded(dedup, items[:third])
    first = dedup.snapshot()
    kept = pickle.dumps(first)
    expected = folded(start(pickle.loads(kept)), items[third : 2 * third], third)
    assert folded(dedup, items[third : 2 * third], third) == expected
    dedup.snapshot()
    assert pickle.loads(kept) == first
    assert folded(start(first), items[third : 2 * third], third) == expected


def opened(snapshot):
    """A snapshot with its sightings unpickled: bytes tell which values are one object, too."""
    for group in snapshot["groups"].values():
        group["sightings"] = [pickle.loads(kept) for kept in group["sightings"]]
    return snapshot


def test_a_resumed_fold_has_the_state_of_one_that_went_on(whole):
    items, _ = whole
    one = start()
    folded(one, items[:700])
    other = start(one.snapshot())
    folded(one, items[700:1400], 700)
    folded(other, items[700:1400], 700)
    assert opened(one.snapshot()) == opened(other.snapshot())


def test_an_event_id_has_at_most_one_event_a_record_and_its_revisions_grow(whole):
    _, said = whole
    revisions, captured = {}, {}
    for offset, outputs in enumerate(said):
        events = [out.record for out in outputs if out.name == "PlateEvent"]
        ids = [event["event_id"] for event in events]
        assert len(ids) == len(set(ids))
        for event in events:
            assert event["revision"] == offset
            assert revisions.get(event["event_id"], -1) < offset
            revisions[event["event_id"]] = offset
            assert (
                captured.setdefault(event["event_id"], event["captured_at"])
                == (event["captured_at"])
            )
            assert event["first_seen"] <= event["last_seen"]
            assert event["first_seen"] <= event["captured_at"] <= event["last_seen"]


def test_nothing_is_said_of_a_sighting_after_its_end(whole):
    _, said = whole
    over = set()
    for outputs in said:
        for out in outputs:
            if out.name == "PlateEvent":
                assert out.key not in over
                if out.record["status"] in ("ended", "retracted"):
                    over.add(out.key)


def test_what_stays_open_at_the_end_is_of_sessions_that_never_ended(whole):
    """A camera that restarts without a word leaves its sightings to the window."""
    items, said = whole
    last = {}
    for outputs in said:
        last |= {out.key: out.record for out in outputs if out.name == "PlateEvent"}
    ended = {item.record["session"] for item in items if item.name == "SourceEnded"}
    latest = {
        item.record["track_id"]: item.record["session"]
        for item in items
        if item.name == "PlateRead"
    }
    for event in last.values():
        if event["status"] not in ("ended", "retracted"):
            tracks = {read["track_id"] for read in event["evidence"]["reads"]}
            assert not {latest[track] for track in tracks} <= ended


def test_progress_never_goes_back(whole):
    """Each is a second of event time further, or else five seconds of the clock."""
    _, said = whole
    told = [out.record for outputs in said for out in outputs if out.name == "Progress"]
    assert told
    for before, after in pairwise(told):
        assert before["clock"] < after["clock"]
        if before["watermark"] // SECOND == after["watermark"] // SECOND:
            assert before["watermark"] == after["watermark"]
            assert before["clock"] // CLOCK_US < after["clock"] // CLOCK_US
        else:
            assert before["watermark"] < after["watermark"]


PROGRAM = """
from tests.rules.cities import city, digest, folded, start
print(digest(out for outputs in folded(start(), city(1)) for out in outputs))
"""


def test_another_process_with_other_hashes_says_the_same_to_the_byte():
    expected = digest(out for outputs in folded(start(), city(1)) for out in outputs)
    for seed in ("0", "4242"):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected
