"""What sightings must be to one another, pattern by pattern."""

import pickle
from random import Random

import pytest

from rules.alerts.rule import (
    Among,
    Convoy,
    Count,
    Dwell,
    PlateIs,
    Sequence,
    Silent,
    Travel,
    Unseen,
)
from tests.rules.alerts.sightings import (
    HOUR,
    MINUTE,
    SECOND,
    Engine,
    at,
    book,
    progress,
    rule,
    sighting,
)

DAY = 24 * HOUR
ISTANBUL = {"latitude": 41.01, "longitude": 28.98}
ANKARA = {"latitude": 39.93, "longitude": 32.86}


def engine(pattern, **changes):
    return Engine(book(rule("r", pattern=pattern, **changes)))


def passing(made, *passes):
    """Sightings ``(seconds, plate, camera)``, and all that the watermark brings after them."""
    for number, (seconds, plate, camera) in enumerate(passes):
        made.see(sighting(f"e{number}", seconds, plate, camera_id=camera, status="ended"))
    made.see(progress(max(seconds for seconds, _, _ in passes)))


def told(made):
    return [(e["kind"], e["plate"], e["count"]) for e in made.said]


def gates(*names):
    return tuple(Among("camera_id", (name,)) for name in names)


def test_what_counts_over_several_sightings_waits_for_the_watermark():
    made = engine(Count(1, within=MINUTE))
    assert made.see(sighting("a", 10, "A")) == []
    assert made.see(progress(9)) == []
    (event,) = made.see(progress(10))
    assert event["kind"] == "raised"


def test_a_third_visit_within_the_time():
    made = engine(Count(3, within=10 * MINUTE))
    passing(made, (0, "A", "g"), (60, "B", "g"), (120, "A", "g"), (500, "A", "g"), (560, "A", "g"))
    assert told(made) == [("raised", "A", 3), ("updated", "A", 4)]
    assert made.said[0]["message"] == "A seen 3 times within 10 minutes, last at g"


def test_a_count_begins_anew_once_there_were_too_few():
    made = engine(Count(2, within=MINUTE))
    passing(made, (0, "A", "g"), (30, "A", "g"), (300, "A", "g"), (310, "A", "g"))
    assert told(made) == [("raised", "A", 2), ("raised", "A", 2)]


def test_more_plates_in_a_zone_than_there_may_be():
    made = engine(Count(3, by="zone", within=10 * MINUTE, distinct=True))
    for n, plate in enumerate("AABBC"):
        made.see(sighting(f"e{n}", n, plate, zone="yard"))
    (event,) = made.see(progress(60))
    assert (event["subject"], event["plate"], event["count"]) == ("yard", None, 3)


def test_a_day_is_that_of_the_camera():
    made = engine(Count(2))
    # 1 800 000 000 is 2027-01-15 08:00 UTC, 18:00 of the day before being 14 hours earlier.
    made.see(sighting("a", 0, "A", timezone="Asia/Tokyo"))  # 17:00
    made.see(sighting("b", 8 * 3600, "A", timezone="Asia/Tokyo"))  # 01:00, the next day
    assert made.see(progress(9 * 3600)) == []
    made.see(sighting("c", 10 * 3600, "A", timezone="Asia/Tokyo"))
    (event,) = made.see(progress(11 * 3600))
    assert event["event_ids"] == ["b", "c"]


DWELL = Dwell(*gates("in", "out"), longer=2 * HOUR)


def test_a_stay_that_is_too_long_is_told_when_its_time_is_over():
    made = engine(DWELL)
    passing(made, (0, "A", "in"), (60, "A", "in"))
    assert made.see(progress(7200)) == []
    (event,) = made.see(progress(7201))
    assert (event["event_id"], event["at"]) == ("e0", at(7200))


def test_who_leaves_in_time_is_not_told_also_when_that_is_known_late():
    made = engine(DWELL)
    passing(made, (0, "A", "in"), (7200, "A", "out"))
    made.see(progress(8000))
    assert told(made) == []
    made = engine(DWELL)
    passing(made, (0, "A", "in"))
    made.see(progress(7300))
    made.see(sighting("late", 100, "A", camera_id="out"))
    assert told(made) == [("raised", "A", 1)]
    made = engine(DWELL)
    passing(made, (0, "A", "in"))
    made.see(progress(7300))
    made.see(sighting("late", 7000, "A", camera_id="out"))
    assert [(e["kind"], e["reason"]) for e in made.said] == [
        ("raised", None),
        ("withdrawn", "late"),
    ]


def test_a_stay_is_not_told_by_a_rule_that_is_no_more_in_force():
    made = engine(DWELL)
    passing(made, (0, "A", "in"))
    made.book.put("r", None, at(3600))
    made.see(progress(8000))
    assert told(made) == []


def test_a_plate_seen_for_the_first_time():
    made = engine(Unseen())
    passing(made, (0, "A", "g"), (60, "B", "g"), (120, "A", "g"))
    assert told(made) == [("raised", "A", 1), ("raised", "B", 1)]
    for hour in range(1, 100):
        made.see(progress(3600 * hour))
    made.restart()
    made.see(sighting("again", 3600 * 100, "A"))
    made.see(progress(3600 * 101))
    assert len(made.said) == 2


def test_a_plate_that_was_not_seen_for_so_long():
    made = engine(Unseen(longer=2 * DAY))
    passing(made, (0, "A", "g"))
    for hour in range(1, 60):
        made.see(progress(3600 * hour))
    made.restart()
    passing(made, (60 * 3600, "A", "g"))
    assert told(made) == [("raised", "A", 1)]


def test_one_gate_then_another_within_the_time():
    made = engine(Sequence(gates("a", "b"), 10 * MINUTE))
    passing(
        made,
        (0, "A", "b"),
        (10, "A", "a"),
        (20, "B", "b"),
        (300, "A", "b"),
        (2000, "A", "a"),
        (2700, "A", "b"),
    )
    assert told(made) == [("raised", "A", 1)]
    assert made.said[0]["event_ids"] == ["e1", "e3"]


def test_at_the_same_moment_is_not_one_after_the_other():
    made = engine(Sequence(gates("a", "b"), 10 * MINUTE))
    passing(made, (0, "A", "a"), (0, "A", "b"))
    assert told(made) == []


def test_the_same_vehicles_at_three_cameras():
    made = engine(Convoy(plates=2, cameras=3, apart=20 * SECOND, within=HOUR))
    passing(
        made,
        *(
            (300 * n + shift, plate, f"c{n}")
            for n in range(4)
            for shift, plate in ((0, "A"), (9, "B"))
        ),
        *((300 * n + 5, f"X{n}", f"c{n}") for n in range(4)),
    )
    made.see(progress(2000))
    (event,) = made.standing.values()
    assert event["message"].endswith("A, B")
    assert event["count"] == 2
    assert [e["kind"] for e in made.said].count("raised") == 1


def test_three_that_are_only_in_pairs_at_the_same_cameras_are_no_convoy_of_three():
    made = engine(Convoy(plates=3, cameras=2, apart=20 * SECOND, within=HOUR))
    passing(
        made,
        *((300 * n, "A", f"c{n}") for n in range(4)),
        *((300 * n + 5, "B", f"c{n}") for n in (0, 1)),
        *((300 * n + 5, "C", f"c{n}") for n in (2, 3)),
    )
    assert told(made) == []


def test_traffic_is_no_convoy():
    made = engine(Convoy(plates=2, cameras=2, apart=20 * SECOND, within=HOUR))
    passing(made, *((600 * c + 5 * n, f"P{n:03}", f"c{c}") for n in range(120) for c in range(2)))
    assert made.standing == {}


def test_a_plate_at_two_places_sooner_than_anybody_drives():
    made = engine(Travel(faster=200))
    made.see(sighting("a", 0, "A", camera_id="x", **ISTANBUL))
    made.see(sighting("b", 3600, "A", camera_id="y", **ANKARA))
    made.see(sighting("c", 4000, "A", camera_id="z"))
    (event,) = made.see(progress(5000))
    assert event["event_ids"] == ["a", "b"]
    assert event["message"] == "A at y, 349 km from x: perhaps a cloned plate"


def test_slow_enough_or_at_the_same_gate_is_no_clone():
    made = engine(Travel(faster=200))
    made.see(sighting("a", 0, "A", camera_id="x", **ISTANBUL))
    made.see(sighting("b", 7200, "A", camera_id="y", **ANKARA))
    made.see(sighting("c", 7201, "A", camera_id="z", camera_group="y", **ISTANBUL))
    made.see(progress(8000))
    assert told(made) == []


def silence(state, seconds, heard, revision=1, camera="c1"):
    return {
        "camera_id": camera,
        "camera_group": None,
        "state": state,
        "at": at(seconds),
        "heard_at": at(heard),
        "partition": 0,
        "revision": revision,
    }


@pytest.mark.parametrize(("state", "why"), [("live", "heard again"), ("ended", "its source ended")])
def test_a_camera_that_fell_silent(state, why):
    made = engine(Silent(longer=5 * MINUTE), where=Among("camera_id", ("c1",)))
    assert made.see(silence("silent", 30, 0)) == []
    made.see(silence("silent", 30, 0, camera="c2"))
    assert made.see(progress(0, cameras=0)) == []
    (event,) = made.see(progress(295, cameras=0))
    assert (event["kind"], event["subject"], event["camera_id"]) == ("raised", "c1", "c1")
    made.restart()
    (event,) = made.see(silence(state, 400, 0, revision=2))
    assert (event["kind"], event["actor"], event["comment"]) == ("resolved", "system", why)
    assert made.see(progress(800)) == []


def test_a_rule_that_comes_later_hears_of_cameras_that_are_silent_already():
    made = Engine(book())
    made.see(silence("silent", 30, 0))
    made.book.put("r", rule("r", pattern=Silent(longer=5 * MINUTE)), at(1000))
    (event,) = made.see(progress(1000, cameras=0))
    assert event["camera_id"] == "c1"


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_is_counted_on_as_it_is_counted_from_its_beginning(distinct, seed):
    chance = Random(seed)
    count = Count(12, "", 40 * SECOND, distinct)
    counting, restarted = (Engine(book(rule("r", pattern=count))) for _ in range(2))
    known: list[tuple[str, float, str]] = []
    for number in range(700):
        late = chance.choice((0, 0, 0, 5, 90))
        seconds = number / 2 - late if number % 200 < 150 else number
        name, plate = f"e{number}", f"34AB{chance.randrange(40):02}"
        seen = [sighting(name, seconds, plate)]
        if known and chance.random() < 0.15:
            gone, then, was = chance.choice(known[-60:])
            seen.append(sighting(gone, then, was, revision=2, status="retracted"))
        if number % 10 == 0:
            seen.append(progress(number / 2 - 3))
        if number % 25 == 0:
            restarted.restart()
        known.append((name, seconds, plate))
        for record in seen:
            counting.see(record, at(number))
            restarted.see(record, at(number))
    assert counting.said == restarted.said
    assert len(counting.said) > 20


def test_a_plate_that_is_revised_leaves_the_count():
    made = engine(Count(2, within=MINUTE), where=PlateIs("A", "prefix"))
    passing(made, (0, "A1", "g"), (5, "A1", "g"))
    changed = sighting("x", 8, "A1")
    made.see(changed)
    made.see(progress(10))
    assert [(e["count"]) for e in made.standing.values()] == [3]
    made.see(sighting("x", 8, "A2", revision=2, status="revised"))
    assert [(e["count"]) for e in made.standing.values()] == [2]


@pytest.mark.parametrize(
    "pattern",
    [
        None,
        Count(3, within=10 * MINUTE),
        Count(20, by="zone", within=10 * MINUTE, distinct=True),
        Count(3),
        DWELL,
        Unseen(longer=2 * HOUR),
        Sequence(gates("in", "out"), 10 * MINUTE),
        Travel(faster=100),
        Convoy(plates=2, cameras=2, apart=20 * SECOND, within=10 * MINUTE),
    ],
    ids=str,
)
def test_what_is_held_does_not_grow_with_time_and_alerts_are_raised_once(pattern):
    made = engine(pattern, cooldown=5 * MINUTE)
    sizes = []
    for n in range(3_000):
        plate, camera = f"P{n * n % 97}", ("in", "out", "x")[n % 3]
        seen = sighting(f"e{n}", n * 120, plate, camera_id=camera, zone="z", **ISTANBUL)
        made.see(seen | {"status": "ended"})
        made.see(progress(n * 120 - 5))
        if n % 100 == 0:
            sizes.append(sum(len(pickle.dumps(one.snapshot())) for one in made.raising))
        if n % 700 == 0:
            made.restart()
    assert max(sizes[15:]) < 1.5 * max(sizes[:15])
    raised = [e["alert_id"] for e in made.said if e["kind"] == "raised"]
    assert len(raised) == len(set(raised))
    assert not [e for e in made.said if e["kind"] == "withdrawn"]
