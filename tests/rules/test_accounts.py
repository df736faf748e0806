"""Every read is in one sighting, or rejected, or a dead letter: the accounts close."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.accounts import RawRead, account
from tests.rules.cities import city, folded, start
from tests.rules.world import Fold, at, heartbeat, read

HOUR = 3600


def settled(raw, outputs, dead=()):
    """The account of raw records (offset, name, record) and what a fold said of them."""
    return account(
        [RawRead(0, offset, record) for offset, name, record in raw if name == "PlateRead"],
        [out.record for out in outputs if out.name == "PlateEvent"],
        [out.record for out in outputs if out.name == "ReadRejected"],
        dead,
    )


class Day(Fold):
    """A fold that remembers its raw log, and whose cameras see nothing more at its end."""

    def __init__(self, **changes):
        super().__init__(**changes)
        self.raw = []
        self.dead = []

    def give(self, name, record, appended_at, **how):
        out = super().give(name, record, appended_at, **how)
        self.raw.append((self.offset, name, record))
        return out

    def die(self, record):
        """A read that goes to the dead letters instead; None for one that cannot be decoded."""
        self.offset += 1
        self.raw.append((self.offset, "PlateRead", record))
        self.dead.append({"topic": "alpr.reads.raw", "partition": 0, "offset": self.offset})

    def over(self):
        reads = [record for _, name, record in self.raw if name == "PlateRead" and record]
        cameras = {(r["camera_id"], r["camera_group"]) for r in reads}
        for seconds in (10 * HOUR, 10 * HOUR + 1):
            for camera_id, group in sorted(cameras, key=str):
                self.heartbeat(seconds, camera_id=camera_id, camera_group=group)
        return settled(self.raw, self.said, self.dead)


def test_a_rejected_sighting_stands_for_the_reads_that_had_joined_it():
    day = Day()
    for seconds in range(3):
        day.read(seconds, "QXZWKJ7VVV", confidence=0.75, track_id=f"t{seconds}", box=box(seconds))
    found = day.over()
    assert found.closed
    rejections = [out.record for out in day.said if out.name == "ReadRejected"]
    told = sum(rejection["reads"] for rejection in rejections) + found.in_sightings
    assert told == found.reads == 3


def box(seconds):
    return {"x": 100 + round(seconds * 40), "y": 300, "width": 120, "height": 30}


def test_lettering_that_was_never_published_is_one_rejection_of_all_its_reads():
    day = Day()
    for tenth in range(6):
        day.read(tenth / 10, "KAX1234", box=box(tenth))
        day.read(tenth / 10, "SPEDITION", confidence=0.9, box=box(tenth) | {"y": 240})
    found = day.over()
    assert (found.in_sightings, found.rejected, found.reads) == (6, 6, 12)
    assert found.closed


def test_a_retracted_sighting_keeps_its_count():
    day = Day()
    day.read(0, "KAX1234", confidence=0.75, char_confidences=[700, 500, 500, 600, 700, 600, 500])
    found = day.over()
    assert day.life() == ["tentative", "retracted"]
    assert (found.in_sightings, found.rejected) == (1, 0)
    assert found.closed


def test_a_merged_sighting_hands_its_count_on_once():
    day = Day()
    day.read(0, "KAX1234", track_id="a")
    day.read(1, "KAX1234", track_id="a")
    day.read(1.5, "KAX123", track_id="b", confidence=0.9, box=box(9))
    day.read(40, "KAX123", track_id="b", confidence=0.9, box=box(9))
    for seconds in (41, 42, 43):
        day.read(seconds, "KAX1234", track_id="b")
    found = day.over()
    assert found.in_sightings == found.reads == 7
    assert found.closed


def test_a_repeated_read_is_one_read_however_it_was_refused():
    day = Day()
    first = day.read(0, "KAX1234")
    day.read(0, "KAX1234")
    day.read(1, "KAX1234")
    day.read(60, "KAX1234")
    day.read(0, "KAX1234", late=61)
    assert first
    assert sorted(reason for reason, _ in day.rejected()) == ["duplicate", "late"]
    found = day.over()
    assert (found.records, found.reads, found.in_sightings, found.rejected) == (5, 3, 3, 0)
    assert found.closed


def test_unreadable_records_are_accounted_for_by_their_dead_letters():
    day = Day()
    day.read(0, "KAX1234")
    day.over()
    events = [out.record for out in day.said if out.name == "PlateEvent"]
    raw = [RawRead(0, offset, r) for offset, name, r in day.raw if name == "PlateRead"]
    letter = {"topic": "alpr.reads.raw", "partition": 0, "offset": 99}
    other = {"topic": "alpr.plates.detected", "partition": 0, "offset": 7}
    spoilt = [*raw, RawRead(0, 99, None)]
    found = account(spoilt, events, [], [letter, letter, other])
    assert (found.reads, found.in_sightings, found.dead) == (2, 1, 1)
    assert found.closed
    lost = account(spoilt, events, [], [])
    assert lost.missing == ("0/99",)
    assert lost.difference == {"partition 0": -1}
    assert not lost.closed


def test_what_is_missing_doubled_or_stray_is_named():
    day = Day()
    day.read(0, "KAX1234", read_id="one")
    day.read(1, "KAX1234", read_id="two")
    day.over()
    raw = [RawRead(0, offset, r) for offset, name, r in day.raw if name == "PlateRead"]
    events = [out.record for out in day.said if out.name == "PlateEvent"]
    assert account(raw, events, [], []).closed
    nothing = account(raw, [], [], [])
    assert nothing.missing == ("one", "two")
    assert nothing.difference == {"gate": -2}
    twice = account(raw, [*events, events[-1] | {"event_id": "another"}], [], [])
    assert twice.doubled == ("one", "two")
    assert twice.difference == {"gate": 2}
    stray = account(raw[1:], events, [], [])
    assert stray.doubled == ("one",)
    assert not account(raw, events[:-1], [], []).closed  # a sighting is open


def test_the_accounts_of_eventful_cities_close():
    for seed in (1, 2, 3):
        items = city(seed)
        cameras = {}
        for item in items:
            if item.name == "PlateRead":
                cameras[item.record["camera_id"]] = item
        last = max(item.appended_at for item in items) + 10 * HOUR * 1_000_000
        for camera_id, item in cameras.items():
            for later in (0, 1_000_000):
                beat = heartbeat(0, camera_id=camera_id, captured_at=last + later)
                beat["camera_group"] = item.record["camera_group"]
                items += (item._replace(appended_at=last, name="CameraHeartbeat", record=beat),)
        said = [out for outputs in folded(start(), items) for out in outputs]
        raw = [(offset, item.name, item.record) for offset, item in enumerate(items)]
        found = settled(raw, said)
        assert found.closed
        assert found.in_sightings > found.rejected > 0


TEXTS = ("KAX1234", "KAX1Z34", "KAX123", "KAXI234", "BUS", "SPEDITION", "51F12345", "QQQQ", "")
reads = st.fixed_dictionaries(
    {
        "seconds": st.floats(0, 900),
        "text": st.sampled_from(TEXTS),
        "confidence": st.sampled_from((0.5, 0.72, 0.85, 0.95, 0.99)),
        "track_id": st.sampled_from("abc"),
        "camera_id": st.sampled_from(("gate", "exit", "yard")),
        "box": st.builds(box, st.integers(0, 9)),
        "late": st.sampled_from((0.2, 5, -90)),
        "quality": st.floats(0, 1),
        "again": st.none() | st.floats(0, 100),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(reads, max_size=60), st.booleans(), st.sets(st.integers(0, 59), max_size=3))
def test_the_accounts_close_exactly_once_all_sightings_are_over(story, in_order, ends):
    day = Day(overlay_passes=1)
    if in_order:
        story = sorted(story, key=lambda told: told["seconds"])
    for number, told in enumerate(story):
        changes = {k: told[k] for k in ("confidence", "track_id", "camera_id", "box", "quality")}
        changes["camera_group"] = None if told["camera_id"] == "yard" else "drive"
        made = read(told["seconds"], told["text"], read_id=f"r{number}", **changes)
        day.give("PlateRead", made, at(told["seconds"] + told["late"]))
        if told["again"] is not None:
            day.give("PlateRead", made, at(told["seconds"] + told["again"]))
        if number in ends:
            day.ended(told["seconds"], camera_id=told["camera_id"])
    found = day.over()
    assert found.closed
    assert found.in_sightings + found.rejected + found.dead == found.reads == len(story)


def test_a_dead_read_that_is_sent_again_is_one_read_and_dead_no_more():
    day = Day()
    made = read(0, "KAX1234", confidence=0.99)
    day.die(made)
    day.read(600, "BCD5678", confidence=0.99)
    day.give("PlateRead", made, at(700), redriven=True)
    found = day.over()
    assert found.closed
    assert (found.records, found.reads, found.in_sightings, found.dead) == (3, 2, 2, 0)


def test_a_spoilt_record_and_its_repaired_read_are_two_since_nobody_can_tell():
    day = Day()
    day.die(None)
    day.give("PlateRead", read(0, "KAX1234", confidence=0.99), at(700), redriven=True)
    found = day.over()
    assert found.closed
    assert (found.reads, found.in_sightings, found.dead) == (2, 1, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(reads, st.sampled_from(("counts", "dies", "spoilt"))), max_size=40),
    st.lists(st.integers(0, 80), min_size=40, max_size=40),
    st.booleans(),
)
def test_the_accounts_close_wherever_dead_reads_are_sent_again(story, delays, twice):
    day = Day(overlay_passes=1)
    waiting, now = [], 0
    spoilt = 0
    for number, (told, fate) in enumerate(sorted(story, key=lambda one: one[0]["seconds"])):
        now = max(now, told["seconds"])
        changes = {k: told[k] for k in ("confidence", "track_id", "camera_id", "box", "quality")}
        changes["camera_group"] = None if told["camera_id"] == "yard" else "drive"
        made = read(told["seconds"], told["text"], read_id=f"r{number}", **changes)
        if fate == "counts":
            day.give("PlateRead", made, at(now + told["late"]))
        else:
            day.die(made if fate == "dies" else None)
            spoilt += fate == "spoilt"
            waiting.append((number + delays[number], number, made))
        for due in sorted(one for one in waiting if one[0] <= number):
            waiting.remove(due)
            for _ in range(1 + twice):
                day.give("PlateRead", due[2], at(now), redriven=True)
    for _, _, made in sorted(waiting, key=lambda one: one[2]["captured_at"]):
        for _ in range(1 + twice):
            day.give("PlateRead", made, at(1_000), redriven=True)
    found = day.over()
    assert found.closed
    assert found.dead == spoilt
    assert found.in_sightings + found.rejected + found.dead == found.reads == len(story) + spoilt
