"""A read that is sent again when its camera has gone on still becomes a sighting, once."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.redriven import REMEMBERED, Redriven
from tests.rules.cities import city, folded, start
from tests.rules.world import Fold, at, box, read

HOUR = 3600


@pytest.fixture
def later() -> Fold:
    """A camera that has seen a car now, an hour after what is to be sent again."""
    fold = Fold()
    fold.read(HOUR, "BCD5678", confidence=0.99)
    fold.said.clear()
    return fold


def quiet(fold, now):
    """The ticks of a minute in which nothing is sent again."""
    for second in range(1, 62):
        fold.tick(now + second)
    return fold


def redriven_ends(fold):
    return [
        (e["plate"]["normalized_text"], e["status"], e["reason"], e["reads"])
        for e in fold.events()
        if e["status"] in ("ended", "retracted")
    ]


def test_redriven_reads_of_one_car_make_one_sighting_of_the_time_it_was_there(later):
    for tenth in range(3):
        later.redriven(tenth / 10, "KAX1234", HOUR + 1)
    assert later.rejected() == []
    quiet(later, HOUR + 1)
    assert redriven_ends(later) == [("KAX1234", "ended", "redriven", 3)]
    (event,) = later.sightings().values()
    assert (event["captured_at"], event["last_seen"]) == (at(0), at(0.2))
    assert event["latency_ms"] == 3_601_000


def test_cars_apart_make_sightings_apart_and_the_window_ends_them_by_their_own_time(later):
    later.redriven(0, "KAX1234", HOUR + 1, confidence=0.99)
    later.redriven(200, "CDE9876", HOUR + 1, confidence=0.99)
    assert redriven_ends(later) == []
    later.redriven(400, "KAX1234", HOUR + 1, confidence=0.99)
    assert redriven_ends(later) == [("KAX1234", "ended", "window", 1)]
    quiet(later, HOUR + 1)
    assert redriven_ends(later)[1:] == [
        ("CDE9876", "ended", "redriven", 1),
        ("KAX1234", "ended", "redriven", 1),
    ]


def test_two_runs_the_later_reads_first_lose_nothing(later):
    for seconds in (900, 900.1, 0, 0.1):
        track = f"t{seconds:.0f}"
        later.redriven(seconds, "KAX1234", HOUR + 1, confidence=0.99, track_id=track)
    quiet(later, HOUR + 1)
    assert later.rejected() == []
    assert sorted(redriven_ends(later)) == [("KAX1234", "ended", "redriven", 2)] * 2


def test_two_cameras_of_a_gate_share_their_redriven_sighting():
    fold = Fold()
    for camera in ("in", "out"):
        fold.read(HOUR, "BCD5678", camera_id=camera, camera_group="drive")
    for seconds, camera in ((0, "in"), (2, "out")):
        fold.redriven(seconds, "KAX1234", HOUR + 1, camera_id=camera, camera_group="drive")
    quiet(fold, HOUR + 1)
    assert ("KAX1234", "ended", "redriven", 2) in redriven_ends(fold)


def test_a_read_joins_the_sighting_that_is_still_open_and_moves_nothing_else(later):
    for minute in range(1, 5):
        later.read(HOUR + 60 * minute, "BCD5678", confidence=0.99)
    later.redriven(HOUR + 30, "BCD5678", HOUR + 241, session="before")
    later.ended(HOUR + 242)
    assert redriven_ends(later) == [("BCD5678", "ended", "source", 6)]
    assert later.rejected() == []


def test_a_read_that_is_not_late_is_as_any_other(later):
    later.redriven(HOUR - 5, "KAX1234", HOUR + 1)
    later.read(HOUR + 1, "KAX1234")
    assert later.standing() == [("KAX1234", "confirmed")]
    later.heartbeat(HOUR + 400)
    assert ("KAX1234", "ended", "window", 2) in redriven_ends(later)


@pytest.mark.parametrize("known", ["never heard of", "silent", "of another gate"])
def test_a_camera_that_is_not_there_is_not_woken(known):
    fold = Fold()
    if known != "never heard of":
        group = "old gate" if known == "of another gate" else None
        fold.heartbeat(0, camera_group=group)
    fold.heartbeat(HOUR, camera_id="other")
    fold.tick(HOUR)
    fold.redriven(1, "KAX1234", HOUR, confidence=0.99)
    for second in range(1, 40):
        fold.heartbeat(HOUR + second, camera_id="other")
        fold.tick(HOUR + second)
    marks = [out.record["watermark"] for out in fold.said if out.name == "Progress"]
    assert marks[-1] == at(HOUR + 39 - 10)
    fold.tick(HOUR + 61)
    assert redriven_ends(fold) == [("KAX1234", "ended", "redriven", 1)]


def test_what_is_sent_again_twice_counts_once_also_where_it_joined(later):
    for minute in range(1, 5):
        later.read(HOUR + 60 * minute, "BCD5678")
    for _ in range(2):
        later.redriven(0, "KAX1234", HOUR + 241)
        later.redriven(HOUR + 30, "BCD5678", HOUR + 241)
        later.redriven(HOUR + 60, "BCD5678", HOUR + 241)
        later.redriven(HOUR, "BCD5678", HOUR + 241, confidence=0.99)
    told = sorted(later.rejected())
    # The last two were counted before they were sent again.
    assert told == [("duplicate", "BCD5678")] * 5 + [("duplicate", "KAX1234")]


def test_a_read_that_its_edge_appends_after_it_was_sent_again_is_a_duplicate():
    fold = Fold()
    fold.redriven(0, "KAX1234", 1)
    fold.read(0, "KAX1234", late=2)
    fold.redriven(0, "KAX1234", 3)
    assert fold.rejected() == [("duplicate", "KAX1234")] * 2
    assert len(fold.sightings()) == 1


def test_a_text_that_is_known_to_stay_put_is_no_car_when_it_is_sent_again():
    fold, put = Fold(overlay_passes=2), {"track_id": "sign", "box": box(20, 1000)}
    fold.read(HOUR, "CAM07NORTH", **put)
    for n, car in enumerate(("KAX1234", "MUC777", "BD51SMR")):
        fold.read(HOUR + 10 + n, car)
        fold.read(HOUR + 20 + n, "CAM07NORTH", **put)
    assert ("overlay", "CAM07NORTH") in fold.rejected()
    fold.said.clear()
    fold.redriven(0, "CAM07NORTH", HOUR + 30, **put)
    assert fold.rejected() == [("overlay", "CAM07NORTH")]


def test_the_end_of_its_source_ends_it(later):
    later.redriven(0, "KAX1234", HOUR + 1, confidence=0.99)
    later.ended(HOUR + 2)
    assert ("KAX1234", "ended", "source", 1) in redriven_ends(later)


def test_a_read_that_the_rules_stumbled_over_is_no_repeat_when_it_is_sent_again(
    later, monkeypatch: pytest.MonkeyPatch
):
    made = read(HOUR + 1, "KAX1234")
    with monkeypatch.context() as patched:
        patched.setattr("rules.dedup.normalise_read", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            later.give("PlateRead", made, at(HOUR + 1))
    later.give("PlateRead", made, at(HOUR + 2), redriven=True)
    assert later.rejected() == []
    assert later.standing() == [("KAX1234", "tentative")]


def test_nothing_is_kept_of_a_gate_when_it_is_quiet(later):
    before = later.dedup.snapshot()
    later.redriven(0, "KAX1234", HOUR + 1)
    assert later.dedup.snapshot()["redriven"]
    quiet(later, HOUR + 1)
    after = later.dedup.snapshot()
    assert after["redriven"] == before["redriven"] == {}


def test_what_is_remembered_is_bounded():
    redriven = Redriven()
    gate = redriven.gate("gate", None)
    for n in range(REMEMBERED + 10):
        redriven.remember(gate, f"r{n}")
    assert len(gate.recent) == REMEMBERED


def test_a_snapshot_of_a_release_without_redriven_reads_is_gone_on_with(later):
    state = later.dedup.snapshot()
    del state["redriven"]
    resumed = Deduplication(0, later.settings, grammar(), state)
    (out,) = resumed.fold(
        "PlateRead", read(0, "KAX1234", confidence=0.99), 9, at(HOUR + 1), redriven=True
    )
    assert out.record["status"] == "confirmed"


# Among all else that happens

again = st.lists(
    st.tuples(
        st.integers(0, 10_000),  # after which record, modulo their number
        st.floats(-2 * HOUR, -HOUR),  # captured so long before the city woke
        st.sampled_from(("QQK1001", "QQK1OO1", "WWK2777", "SPEDITION")),
        st.integers(0, 3),  # which camera
    ),
    max_size=30,
)


@settings(max_examples=15, deadline=None)
@given(again, st.sampled_from((1, 2)))
def test_reads_sent_again_change_nothing_of_what_is_said_otherwise(story, seed):
    items = city(seed)
    assert_apart(items, folded(start(), items), story)


def assert_apart(items, expected, story):
    said, theirs = [], set()
    dedup, reads = start(), places(items, story)
    for offset, item in enumerate(items):
        said.append(dedup.fold(item.name, item.record, offset, item.appended_at))
        for made in reads.get(offset, ()):
            theirs.add(made["read_id"])
            dedup.fold("PlateRead", made, 10**6 + len(theirs), item.appended_at, redriven=True)
    kept = [[out for out in outputs if not of(out, theirs)] for outputs in said]
    assert kept == expected


def places(items, story):
    cameras = sorted(
        {(i.record["camera_id"], i.record["camera_group"] or "") for i in items if i.name != "Tick"}
    )
    first = min(item.appended_at for item in items)
    found = {}
    for number, (place, seconds, text, which) in enumerate(story):
        camera_id, group = cameras[which % len(cameras)]
        captured = first + int(seconds * 1_000_000)
        made = read(0, text, read_id=f"again-{number}", captured_at=captured, frame_number=number)
        made |= {"camera_id": camera_id, "camera_group": group or None}
        found.setdefault(place % len(items), []).append(made)
    return found


def of(out, theirs):
    """Whether an output is about reads that were sent again."""
    if out.name == "ReadRejected":
        return out.record["read"]["read_id"] in theirs
    if out.name == "PlateEvent":
        return any(r["read_id"] in theirs for r in out.record["evidence"]["reads"])
    return False


@settings(max_examples=15, deadline=None)
@given(again, st.lists(st.integers(0, 400), max_size=4).map(sorted))
def test_from_any_snapshots_redriven_reads_give_the_same(story, cuts):
    items = city(1)[:400]
    reads = places(items, story)
    records = []
    for offset, item in enumerate(items):
        records.append((item.name, item.record, item.appended_at, False))
        records += [("PlateRead", r, item.appended_at, True) for r in reads.get(offset, ())]
    last = records[-1][2] + 61_000_000
    records += [("Tick", {"at": last}, last, False)]

    def said(dedup, first, until):
        return [
            dedup.fold(name, record, offset, appended_at, redriven=sent)
            for offset, (name, record, appended_at, sent) in enumerate(records)
            if first <= offset < until
        ]

    expected = said(start(), 0, len(records))
    dedup, resumed, first = start(), [], 0
    for cut in [*cuts, len(records)]:
        resumed += said(dedup, first, cut)
        dedup, first = start(pickle.loads(pickle.dumps(dedup.snapshot()))), cut
    assert resumed == expected
    assert dedup.snapshot()["redriven"] == {}
