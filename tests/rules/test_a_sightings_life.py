"""A sighting's life, scenario by scenario, through the fold of raw records."""

from itertools import pairwise

import pytest

from rules.dedup import Deduplication, StateError
from rules.grammar import grammar
from rules.settings import DedupSettings, SettingsError
from rules.sighting import event_id_of
from tests.rules.world import SECOND, Fold, at, box, heartbeat, read


@pytest.fixture
def fold():
    return Fold()


# From tentative to ended


def test_the_first_plausible_read_is_told_at_once_and_as_tentative(fold):
    (out,) = fold.read(0, "KAX1234", confidence=0.8)
    assert (out.name, out.record["status"]) == ("PlateEvent", "tentative")
    assert out.key == out.record["event_id"]
    assert out.record["plate"]["normalized_text"] == "KAX1234"


def test_a_second_agreeing_read_confirms(fold):
    fold.read(0, "KAX1234", confidence=0.8)
    fold.read(0.3, "KAX1234", confidence=0.8)
    assert fold.life() == ["tentative", "confirmed"]


def test_one_very_confident_read_confirms_by_itself(fold):
    fold.read(0, "KAX1234", confidence=0.98)
    assert fold.life() == ["confirmed"]


def test_a_vote_that_changes_a_confirmed_text_revises_and_keeps_what_was_said(fold):
    fold.read(0, "KAX1Z34", track_id="t", confidence=0.7)
    fold.read(0.1, "KAX1Z34", track_id="t", confidence=0.7)
    for n in range(8):
        fold.read(0.3 + n / 10, "KAX1234", track_id="t", confidence=0.95)
    assert fold.life()[:3] == ["tentative", "confirmed", "revised"]
    last = fold.events()[-1]
    assert last["status"] == "revised"
    assert last["plate"]["normalized_text"] == "KAX1234"
    assert last["was"] == ["KAX1Z34"]
    assert len(fold.sightings()) == 1


def test_a_text_that_changes_before_it_is_confirmed_is_as_tentative_as_before(fold):
    """So no alert is raised of it, which would name a plate that one blurred read made."""
    fold.read(0, "KAX1Z34", track_id="t", confidence=0.7)
    fold.read(0.1, "KAX1734", track_id="t", confidence=0.8)
    last = fold.events()[-1]
    assert last["plate"]["normalized_text"] != "KAX1Z34"
    assert (last["status"], last["was"]) == ("tentative", ["KAX1Z34"])
    fold.read(0.2, "KAX1234", track_id="t", confidence=0.9)
    fold.read(0.3, "KAX1234", track_id="t", confidence=0.9)
    assert fold.events()[-1]["status"] == "confirmed"
    assert "revised" not in fold.life()


def test_reads_that_agree_on_each_sign_confirm_though_no_two_say_the_same(fold):
    for n, text in enumerate(["KAX1239", "KBX1234", "KAX1734"]):
        fold.read(0.3 * n, text, track_id="t", confidence=0.8)
    last = fold.events()[-1]
    assert (last["status"], last["plate"]["normalized_text"]) == ("confirmed", "KAX1234")


def test_it_ends_when_nothing_came_for_the_window_and_the_lateness(fold):
    fold.read(0, "KAX1234")
    assert fold.heartbeat(310) == []
    (out,) = fold.heartbeat(310.1)
    assert (out.record["status"], out.record["reason"]) == ("ended", "window")
    assert fold.heartbeat(2000) == []


def test_reads_of_other_cars_end_it_too(fold):
    fold.read(0, "KAX1234")
    fold.read(400, "MUC777")
    assert ("KAX1234", "ended") in fold.standing()


def test_the_end_of_the_source_ends_its_sightings_alone(fold):
    fold.read(0, "KAX1234")
    fold.read(1, "MUC777", camera_id="yard", session="s9")
    fold.ended(2)
    assert fold.standing() == [("KAX1234", "ended"), ("MUC777", "tentative")]
    assert fold.events()[-1]["reason"] == "source"


def test_the_end_of_another_session_ends_nothing(fold):
    fold.read(0, "KAX1234")
    assert [out.name for out in fold.ended(1, session="s0")] == ["CameraState"]
    assert fold.ended(1, camera_id="nobody") == []


def test_the_same_car_after_the_window_is_a_new_sighting(fold):
    fold.read(0, "KAX1234")
    fold.read(301, "KAX1234", track_id="t2")
    first, second = fold.sightings().values()
    assert first["event_id"] != second["event_id"]
    assert (first["last_seen"], second["first_seen"]) == (at(0), at(301))


def test_the_same_car_within_the_window_stays_one_sighting(fold):
    fold.read(0, "KAX1234")
    fold.read(299, "KAX1234", track_id="t2")
    fold.read(598, "KAX1234", track_id="t3")
    (one,) = fold.sightings().values()
    fold.heartbeat(2000)
    assert fold.sightings()[one["event_id"]]["last_seen"] == at(598)
    assert fold.sightings()[one["event_id"]]["reads"] == 3
    assert fold.sightings()[one["event_id"]]["tracks"] == 3


# What is no plate


def test_a_text_that_fits_no_grammar_and_never_repeats_is_only_refused(fold):
    fold.read(0, "EXIT2NORTH", confidence=0.9)
    fold.heartbeat(400)
    assert fold.events() == []
    assert fold.rejected() == [("unrepeated", "EXIT2NORTH")]


def test_a_text_that_fits_no_grammar_is_told_once_it_repeats(fold):
    fold.read(0, "QX9Q9Q9Q9", confidence=0.9)
    assert fold.events() == []
    fold.read(0.3, "QX9Q9Q9Q9", confidence=0.9)
    assert fold.life() == ["confirmed"]


def test_what_was_told_and_proves_implausible_is_retracted(fold):
    """Read as a plate, outvoted by texts that are none and that agree with nothing."""
    fold.read(0, "KAX1234", track_id="t", confidence=0.72)
    fold.read(0.2, "KAX12XX34", track_id="t", confidence=0.95)
    fold.heartbeat(400)
    assert fold.life() == ["tentative", "tentative", "retracted"]
    assert fold.events()[-1]["reason"] == "unrepeated"


def test_an_overlay_that_stays_put_while_cars_pass_is_retracted_and_known_from_then_on(fold):
    put = box(20, 1000)
    fold.read(0, "CAM07NORTH", track_id="sign", box=put)
    fold.read(1, "CAM07NORTH", track_id="sign", box=put)
    assert fold.life("CAM07NORTH") == ["confirmed"]
    for n, car in enumerate(["KAX1234", "MUC777", "BD51SMR"]):
        fold.read(10 + 10 * n, car)
        fold.read(12 + 10 * n, "CAM07NORTH", track_id="sign", box=put)
    assert fold.life("CAM07NORTH") == ["confirmed", "retracted"]
    (gone,) = [e for e in fold.events() if e["status"] == "retracted"]
    assert gone["reason"] == "overlay"
    assert {r for r, text in fold.rejected() if text == "CAM07NORTH"} == {"overlay"}
    assert len(fold.standing()) == 3


def test_two_sightings_that_a_track_proves_one_are_merged(fold):
    """A glimpse splits off, then its own track reads what the other sighting says."""
    fold.read(0, "KAX1234", track_id="a", confidence=0.95)
    fold.read(0.2, "KAX1234", track_id="a", confidence=0.95)
    fold.read(2, "KX124", track_id="b", confidence=0.8)
    assert len(fold.sightings()) == 2
    fold.read(2.3, "KAX1234", track_id="b", confidence=0.95)
    gone = [e for e in fold.sightings().values() if e["status"] == "retracted"]
    assert len(gone) == 1
    (kept,) = [e for e in fold.sightings().values() if e["status"] != "retracted"]
    assert gone[0]["reason"] == "merged"
    assert gone[0]["merged_into"] == kept["event_id"]
    fold.heartbeat(400)
    assert fold.standing() == [("KAX1234", "ended")]
    assert fold.sightings()[kept["event_id"]]["reads"] == 4


# Which reads belong together


def test_a_plate_that_was_half_hidden_at_first_is_one_with_what_is_read_then(fold):
    fold.read(0, "C4178", track_id="a", confidence=0.94)
    for n in range(3):
        fold.read(2 + n * 0.3, "DAVC4178", track_id="b", confidence=0.99)
    fold.heartbeat(400)
    assert fold.standing() == [("DAVC4178", "ended")]
    assert len(fold.sightings()) == 1


def test_a_plate_that_is_half_hidden_at_last_is_still_the_one_that_was_read(fold):
    for n in range(2):
        fold.read(n * 0.3, "DAVC4178", track_id="a", confidence=0.99)
    fold.read(3, "VC41", track_id="b", confidence=0.94)
    fold.heartbeat(400)
    assert fold.standing() == [("DAVC4178", "ended")]


@pytest.mark.parametrize(
    ("part", "reads", "after"),
    [("C4178", 2, 2), ("C4178", 1, 30), ("C4179", 1, 2)],
    ids=["read twice", "long before", "no part"],
)
def test_what_is_no_part_of_a_plate_stays_another(fold, part, reads, after):
    for n in range(reads):
        fold.read(n * 0.3, part, track_id="a", confidence=0.99)
    for n in range(3):
        fold.read(after + n * 0.3, "DAVC4178", track_id="b", confidence=0.99)
    assert len(fold.sightings()) == 2


def test_a_part_in_the_same_frame_is_another_plate(fold):
    fold.read(0, "C4178", frame_number=1, box=box(100, 300), track_id="a", confidence=0.99)
    fold.read(0, "DAVC4178", frame_number=1, box=box(900, 300), track_id="b", confidence=0.99)
    assert len(fold.sightings()) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [("MAB1234", "MAB1235"), ("HHT100", "HHT101"), ("34A36837", "34A36839"), ("B21AAA", "B22AAA")],
)
@pytest.mark.parametrize("apart", [1, 30, 200, 290])
def test_consecutive_fleet_plates_within_five_minutes_stay_two(fold, one, other, apart):
    for text, start in ((one, 0), (other, apart)):
        for n in range(3):
            fold.read(start + n * 0.3, text, confidence=0.96)
    fold.heartbeat(1000)
    assert sorted(fold.standing()) == [(one, "ended"), (other, "ended")]


def test_consecutive_fleet_plates_in_one_frame_stay_two(fold):
    for n in range(3):
        for lane, text in enumerate(("MAB1234", "MAB1235")):
            where = box(100 + 600 * lane, 300 + n * 40)
            fold.read(n * 0.3, text, frame_number=n, box=where, confidence=0.96)
    assert sorted(text for text, _ in fold.standing()) == ["MAB1234", "MAB1235"]


def test_different_texts_in_one_frame_are_two_however_alike(fold):
    fold.read(0, "KAX1230", frame_number=1, box=box(100, 300), track_id="a")
    fold.read(0, "KAX123O", frame_number=1, box=box(900, 300), track_id="b")
    assert len(fold.sightings()) == 2


def test_boxes_that_overlap_by_half_in_one_frame_are_one(fold):
    fold.read(0, "KAX1230", frame_number=1, box=box(100, 300), track_id="a")
    fold.read(0, "AX123", frame_number=1, box=box(110, 302), track_id="b")
    assert len(fold.sightings()) == 1


def test_equal_texts_in_one_frame_are_one(fold):
    fold.read(0, "KAX1230", frame_number=1, box=box(100, 300), track_id="a")
    fold.read(0, "KAX1230", frame_number=1, box=box(900, 300), track_id="b")
    assert len(fold.sightings()) == 1


def test_the_same_track_binds_reads_that_are_less_alike(fold):
    fold.read(0, "KAX1234", track_id="a", confidence=0.8)
    fold.read(0.3, "KAX12", track_id="a", confidence=0.8)
    fold.read(0.6, "KAXY234", track_id="a", confidence=0.8)
    assert len(fold.sightings()) == 1


def test_a_track_that_goes_over_to_another_car_splits(fold):
    fold.read(0, "KAX1234", track_id="a", confidence=0.95)
    fold.read(0.3, "KAX1234", track_id="a", confidence=0.95)
    fold.read(0.6, "MUC777B", track_id="a", confidence=0.95)
    fold.read(0.9, "MUC777B", track_id="a", confidence=0.95)
    assert sorted(text for text, _ in fold.standing()) == ["KAX1234", "MUC777B"]


def test_the_likest_sighting_wins_not_the_first(fold):
    fold.read(0, "KAX1230", track_id="a", frame_number=1, box=box(100, 300))
    fold.read(0, "KAX123O", track_id="b", frame_number=1, box=box(900, 300))
    fold.read(1, "KAX123O", track_id="c")
    fold.heartbeat(400)
    reads = {e["track_id"]: e["reads"] for e in fold.sightings().values()}
    assert reads == {"a": 1, "b": 2}


def test_cameras_of_one_group_see_one_sighting_and_others_their_own(fold):
    gate = {"camera_group": "main"}
    fold.read(0, "KAX1234", camera_id="north", **gate)
    fold.read(1, "KAX1234", camera_id="south", track_id="t2", **gate)
    fold.read(2, "KAX1234", camera_id="yard", track_id="t3")
    assert len(fold.sightings()) == 2


# Refusals


@pytest.mark.parametrize(
    ("text", "changes", "reason"),
    [
        ("KAX1234", {"confidence": 0.69}, "confidence"),
        ("K1", {}, "length"),
        ("ABCDEF12345", {}, "length"),
        ("", {}, "length"),
        ("KAXABC", {}, "format"),
        ("123456", {}, "format"),
        ("АВ", {}, "length"),
    ],
)
def test_a_read_that_may_not_count_is_refused_with_its_reason(fold, text, changes, reason):
    (out,) = fold.read(0, text, **changes)
    assert out.name == "ReadRejected"
    assert out.record["reason"] == reason
    assert out.record["detail"]
    assert out.record["read"] == read(0, text, **changes)
    assert (out.record["partition"], out.record["offset"]) == (0, 0)


@pytest.mark.parametrize(
    ("text", "region"), [("123456", "US-DE"), ("123456", "US"), ("2345678", "US-IL")]
)
def test_digits_alone_are_a_plate_where_the_told_regions_grammar_has_such(fold, text, region):
    (out,) = fold.read(0, text, region=region)
    assert out.name == "PlateEvent"


@pytest.mark.parametrize("text", ["K1X", "ABCDE12345"])
def test_three_to_ten_characters_are_enough(fold, text):
    fold.read(0, text, confidence=0.70)
    assert fold.rejected() == []


def test_a_clock_ahead_is_refused_and_moves_nothing(fold):
    fold.read(0, "KAX1234")
    (out,) = fold.read(5000, "MUC777", late=-60.001)
    assert out.record["reason"] == "clock"
    fold.heartbeat(301)
    assert fold.standing() == [("KAX1234", "tentative")]
    (out,) = fold.read(302, "MUC777", late=-60)
    assert out.record["status"] == "tentative"


def test_a_heartbeat_with_a_clock_ahead_moves_nothing(fold):
    fold.read(0, "KAX1234")
    assert fold.give("CameraHeartbeat", heartbeat(9000), at(1)) == []
    assert fold.read(2, "KAX1234")[0].record["status"] == "confirmed"


def test_a_read_behind_the_lateness_is_refused_and_one_within_it_counts(fold):
    fold.read(100, "MUC777")
    (out,) = fold.read(89.9, "KAX1234", late=12)
    assert out.record["reason"] == "late"
    (out,) = fold.read(90, "KAX1234", late=12)
    assert out.record["status"] == "tentative"


def test_an_earlier_read_moves_first_seen_but_not_captured_at(fold):
    fold.read(100, "KAX1234")
    fold.read(95, "KAX1234", track_id="t2", late=6)
    last = fold.events()[-1]
    assert (last["first_seen"], last["captured_at"]) == (at(95), at(100))


def test_the_same_read_appended_twice_counts_once(fold):
    fold.read(0, "KAX1234", read_id="r1")
    (out,) = fold.read(0, "KAX1234", read_id="r1", late=3)
    assert out.record["reason"] == "duplicate"
    fold.heartbeat(400)
    assert fold.events()[-1]["reads"] == 1


def test_the_same_read_after_the_lateness_is_late(fold):
    fold.read(0, "KAX1234", read_id="r1")
    fold.heartbeat(60)
    (out,) = fold.read(0, "KAX1234", read_id="r1", late=61)
    assert out.record["reason"] == "late"


# Time


def test_progress_is_told_once_a_second_of_event_time_and_never_backwards(fold):
    told = []
    for n in range(100):
        fold.heartbeat(n * 0.25)
        told += fold.tick(n * 0.25)
    marks = [out.record["watermark"] for out in told]
    assert all(out.key == "progress-0" and out.name == "Progress" for out in told)
    assert marks == sorted(set(marks))
    assert len({mark // SECOND for mark in marks}) == len(marks)
    assert 23 <= len(marks) <= 26
    assert marks[-1] <= at(24.75) - 10 * SECOND


def test_progress_waits_for_the_slowest_camera_until_it_is_silent(fold):
    fold.heartbeat(0, camera_id="slow")
    for n in range(1, 30):
        fold.heartbeat(n)
        assert all(out.record["watermark"] <= at(-10) for out in fold.tick(n))
    fold.heartbeat(31)
    silent, out = fold.tick(31)
    assert (silent.name, silent.key) == ("CameraState", "camera-slow")
    assert out.record["watermark"] == at(31) - 10 * SECOND
    fold.heartbeat(32, camera_id="slow", captured_at=at(5))
    assert fold.tick(33) == []


def test_without_a_live_camera_progress_tells_the_clock_alone_every_five_seconds(fold):
    assert [out.record["watermark"] for out in fold.tick(0)] == [0]
    fold.heartbeat(0)
    told = [out.record for n in range(1, 100) for out in fold.tick(n) if out.name == "Progress"]
    alone = [record for record in told if record["cameras"] == 0]
    assert {record["watermark"] for record in alone} == {at(-10)}
    assert [record["clock"] for record in alone] == [at(n) for n in range(35, 100, 5)]


def test_a_camera_that_falls_silent_is_told_once_and_when_it_is_heard_again(fold):
    fold.heartbeat(0)
    told = [out for n in range(1, 100) for out in fold.tick(n) if out.name == "CameraState"]
    (silent,) = told
    assert silent.key == "camera-gate"
    assert silent.record["state"] == "silent"
    assert (silent.record["heard_at"], silent.record["at"]) == (at(0), at(31))
    (live,) = fold.heartbeat(100)
    assert (live.record["state"], live.record["heard_at"]) == ("live", at(0))
    (ended,) = fold.ended(101)
    assert (ended.record["state"], ended.record["heard_at"]) == ("ended", at(100))
    assert [out.name for n in range(102, 200) for out in fold.tick(n)].count("CameraState") == 0


def test_ticks_never_end_a_sighting(fold):
    fold.read(0, "KAX1234")
    for n in range(1, 1000, 10):
        fold.tick(n)
    assert fold.standing() == [("KAX1234", "tentative")]
    fold.read(1001, "MUC777")
    assert ("KAX1234", "ended") in fold.standing()


def test_a_silent_camera_of_a_group_does_not_hold_its_sightings_open(fold):
    gate = {"camera_group": "main"}
    fold.read(0, "KAX1234", camera_id="north", **gate)
    fold.heartbeat(0, camera_id="south", **gate)
    for n in range(1, 320):
        fold.heartbeat(n, camera_id="north", **gate)
        fold.tick(n)
    assert fold.standing() == [("KAX1234", "ended")]


# What every event says


def test_ids_and_capture_times_stay_and_revisions_are_the_offsets_that_caused_them(fold):
    for n in range(40):
        fold.read(n, "KAX1234" if n % 3 else "KAX1Z34", track_id="t", confidence=0.85)
    fold.heartbeat(1000)
    events = fold.events()
    assert len({e["event_id"] for e in events}) == 1
    assert {e["captured_at"] for e in events} == {at(0)}
    revisions = [e["revision"] for e in events]
    assert revisions == sorted(set(revisions))
    assert revisions[-1] == fold.offset
    assert len({e["rules_version"] for e in events}) == 1


PINNED = "7b4ced0a-fda6-5a74-97ac-d7dbfb7ba80d"
"""Must never change: ids of all sightings there are would."""


def test_the_id_follows_from_the_read_that_opened_it():
    one, other = Fold(), Fold()
    one.read(0, "KAX1234", read_id="r1")
    other.read(70, "MUC777", read_id="r0")
    other.read(100, "KAX1234", read_id="r1")
    assert one.events()[0]["event_id"] == other.events()[1]["event_id"]
    assert one.events()[0]["event_id"] == event_id_of("r1") == PINNED


def test_a_parked_car_is_told_again_every_thirty_seconds_at_most(fold):
    for n in range(600):
        fold.read(n, "KAX1234", track_id="t", box=box(50, 50))
    told = [e["last_seen"] for e in fold.events() if e["status"] == "confirmed"][1:]
    assert all(later - earlier >= 30 * SECOND for earlier, later in pairwise(told))
    assert 18 <= len(told) <= 20


def test_a_better_picture_a_direction_or_a_region_is_worth_an_event(fold):
    fold.read(0, "KAX1234", confidence=0.98, quality=0.3)
    assert fold.read(1, "KAX1234", confidence=0.98, quality=0.9) == []  # not yet
    (better,) = fold.read(2.1, "KAX1234", confidence=0.98, quality=0.95)
    assert better.record["extras"]["quality_score"] == 0.95
    (turned,) = fold.read(2.5, "KAX1234", confidence=0.98, direction="left")
    assert turned.record["extras"]["direction"] == "left"
    (told,) = fold.read(2.9, "KAX1234", confidence=0.98, direction="left", region="DE")
    assert told.record["plate"]["region"] == "DE"
    assert {e["status"] for e in fold.events()} == {"confirmed"}


def test_the_evidence_is_at_most_the_twelve_best_reads(fold):
    for n in range(40):
        fold.read(n / 5, "KAX1234", track_id="t", quality=n / 40, confidence=0.8 + n / 400)
    fold.heartbeat(1000)
    event = fold.events()[-1]
    assert event["reads"] == 40
    assert [r["frame_number"] for r in event["evidence"]["reads"]] == [
        round(n / 5 * 10) for n in range(28, 40)
    ]


def test_the_seeds_fields_say_best_read_vote_opener_and_best_shot(fold):
    fold.read(0, "kax-1234", track_id="opener", quality=0.2, confidence=0.90)
    fold.read(0.5, "KAX 1234", track_id="other", quality=0.9, frame_number=77, confidence=0.96)
    fold.heartbeat(400)
    event = fold.events()[-1]
    assert event["plate"]["text"] == "KAX 1234"
    assert event["plate"]["normalized_text"] == "KAX1234"
    assert event["track_id"] == "opener"
    assert event["extras"]["frame_number"] == 77
    assert event["extras"]["quality_score"] == 0.9
    assert event["latency_ms"] == 200
    assert (event["reads"], event["tracks"]) == (2, 2)


# Settings and state


def test_the_windows_length_is_a_setting():
    fold = Fold(window_s=20.0, lateness_s=0.0)
    fold.read(0, "KAX1234")
    fold.heartbeat(20.1)
    assert fold.standing() == [("KAX1234", "ended")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"min_confidence": 1.1}, "min_confidence is 1.1: use 0.0 to 1.0"),
        ({"similarity": -0.1}, "similarity"),
        ({"min_length": 5, "max_length": 4}, "max_length is 4: use 5 to 20"),
        ({"window_s": 0}, "window_s"),
        ({"confirm_reads": 0}, "confirm_reads"),
        ({"min_confidence": float("nan")}, "min_confidence is nan"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_range(changes, told):
    with pytest.raises(SettingsError, match=told):
        DedupSettings(**changes)


def test_a_snapshot_of_another_version_is_refused_with_a_cure():
    with pytest.raises(StateError, match=r"version 99.*empty recovery folder"):
        Deduplication(0, DedupSettings(), grammar(), {"version": 99})


def test_other_settings_are_another_version_of_the_rules():
    one, other = Fold(), Fold(window_s=200.0)
    one.read(0, "KAX1234")
    other.read(0, "KAX1234")
    versions = {f.events()[0]["rules_version"] for f in (one, other)}
    assert len(versions) == 2
