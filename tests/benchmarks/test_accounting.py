"""A perfect list of sightings has no errors; each kind of error is counted when it is planted."""

from collections import defaultdict

import pytest

from benchmarks.accounting import Ledger, explain, fair_text
from benchmarks.site import Site
from benchmarks.stream import NOBODY, visit_of
from benchmarks.traffic import SECOND, Visit

START = 1_800_000_000 * SECOND


def visit(index, plate, at, gate="cam-1"):
    """A car at a gate, ``at`` seconds after the start."""
    enter = START + at * SECOND
    return Visit(index, plate, plate, "DE", 0, "cam-1", gate, enter, enter + 3 * SECOND, "passing")


def read(index, at, text, confidence=0.95, number=0):
    """A read of a visit (None: of nothing), ``at`` seconds after the start."""
    visit_index = NOBODY if index is None else index
    return {
        "read_id": f"{visit_index:08x}-0000-8000-8000-{int(at * 1000) * 100 + number:012x}",
        "camera_id": "cam-1",
        "camera_group": None,
        "captured_at": START + int(at * SECOND),
        "track_id": f"t-cam-1-0-{index}",
        "text": text,
        "confidence": confidence,
        "char_confidences": [int(confidence * 1000)] * len(text),
    }


def sighting(event_id, text, reads, revision=1, status="ended"):
    moments = [r["captured_at"] for r in reads]
    return {
        "event_id": event_id,
        "revision": revision,
        "status": status,
        "camera_id": "cam-1",
        "camera_group": None,
        "first_seen": min(moments),
        "last_seen": max(moments),
        "plate": {"text": text, "normalized_text": text, "confidence": 0.9, "region": None},
        "evidence": {"positions": [], "reads": reads, "texts": 1},
    }


def ledger_of(visits, reads):
    ledger = Ledger(visits)
    for one in sorted(reads, key=lambda r: r["captured_at"]):
        ledger.see(one["captured_at"] + SECOND // 5, 0, "PlateRead", one)
    return ledger


VISITS = [visit(0, "KAB123", 10), visit(1, "KAB124", 12), visit(2, "KAB123", 900)]
READS = [
    [read(n, at, VISITS[n].plate) for at in moments]
    for n, moments in enumerate([(10, 11, 12), (12, 13, 14), (900, 901)])
]
ALL = [one for reads in READS for one in reads]
A, B, C = (sighting(str(n), VISITS[n].plate, READS[n]) for n in range(3))
JUNK = sighting("junk", "AB12CDE", [read(None, 20, "AB12CDE")])
MISREAD = sighting("1", "KAB724", READS[1])
AGAIN = sighting("again", "KAB12", READS[0][:1])
BOTH = sighting("0", "KAB123", READS[0] + READS[1])


@pytest.mark.parametrize(
    ("sightings", "errors"),
    [
        pytest.param([A, B, C], {}, id="perfect"),
        pytest.param([A, B, C, {**JUNK, "status": "retracted"}], {}, id="retracted is none"),
        pytest.param(
            [JUNK | {"event_id": "0"}, A | {"revision": 2}, B, C], {}, id="last revision counts"
        ),
        pytest.param([C, A, B, A | {"revision": 0}], {}, id="any order"),
        pytest.param([A, C], {"missed": 1}, id="one missed"),
        pytest.param([A, B], {"missed": 1}, id="its return missed"),
        pytest.param([], {"missed": 3}, id="all missed"),
        pytest.param([A, MISREAD, C], {"misread": 1}, id="one misread"),
        pytest.param([A, AGAIN, B, C], {"doubled": 1}, id="one doubled"),
        pytest.param([BOTH, C], {"merged": 1, "missed": 1}, id="two cars in one"),
        pytest.param([A, B, C, JUNK], {"ghosts": 1}, id="a sign"),
    ],
)
def test_what_is_planted_is_counted(sightings, errors):
    account = ledger_of(VISITS, ALL).audit(sightings)
    assert account.cars == 3
    none = dict.fromkeys(("missed", "misread", "doubled", "merged", "ghosts"), 0)
    assert {name: account.row()[name] for name in none} == none | errors
    assert len(account.cases) == sum(errors.values())
    assert all(case.error in explain(case, sightings) for case in account.cases)


def test_errors_are_told_per_10_000_cars_and_against_the_goal():
    account = ledger_of(VISITS, ALL).audit([A, C])
    assert account.per_10_000()["missed"] == pytest.approx(3333.3)
    assert account.beyond() == {"missed": 3333.3}
    assert ledger_of(VISITS, ALL).audit([A, B, C]).beyond() == {}


def stays_of(reads):
    stays = ledger_of(VISITS, reads).stays()
    return [(stay.plate, stay.reads, (stay.last - stay.first) / SECOND) for stay in stays]


@pytest.mark.parametrize(
    ("reads", "stays"),
    [
        pytest.param([read(0, 1, "KAB123")], [], id="one read is not enough"),
        pytest.param([read(0, 1, "KAB123")] * 2, [], id="nor the same one twice"),
        pytest.param(
            [read(0, 1, "KAB123"), read(0, 2, "KA8123")], [("KAB123", 2, 1)], id="confusable"
        ),
        pytest.param([read(0, 1, "KAB123"), read(0, 2, "KA8I23")], [], id="two confusable"),
        pytest.param([read(0, 1, "KAB123"), read(0, 2, "KAB12")], [], id="one dropped"),
        pytest.param([read(0, 1, "KAB123"), read(0, 2, "KAB123", 0.69)], [], id="too weak"),
        pytest.param(
            [read(0, 1, "KAB123"), read(2, 301, "KAB123")],
            [("KAB123", 2, 300)],
            id="back within the window",
        ),
        pytest.param(
            [read(n, at, "KAB123") for n, at in ((0, 1), (0, 2), (2, 303), (2, 304))],
            [("KAB123", 2, 1), ("KAB123", 2, 1)],
            id="back after the window",
        ),
    ],
)
def test_a_stay_is_two_fair_reads_within_the_window(reads, stays):
    assert stays_of(reads) == stays


def test_a_read_of_a_clock_ahead_is_not_fair_and_moves_nothing():
    ledger = Ledger(VISITS)
    ahead, *right = (read(0, at, "KAB123") for at in (500, 10, 11))
    ledger.see(START + 10 * SECOND, 0, "PlateRead", ahead)
    for one in right:
        ledger.see(one["captured_at"], 0, "PlateRead", one)
    assert [(s.reads, s.last - s.first) for s in ledger.stays()] == [(2, SECOND)]


@pytest.mark.parametrize(("late_s", "fair"), [(9, True), (11, False)])
def test_a_read_behind_its_camera_by_more_than_the_lateness_is_not_fair(late_s, fair):
    ledger = Ledger(VISITS)
    ledger.see(START, 0, "PlateRead", read(0, 10, "KAB123"))
    beat = {"camera_id": "cam-1", "camera_group": None, "captured_at": START + 20 * SECOND}
    ledger.see(START + 21 * SECOND, 0, "CameraHeartbeat", beat)
    ledger.see(START + 21 * SECOND, 0, "PlateRead", read(0, 20 - late_s, "KAB123"))
    assert bool(ledger.stays()) is fair


def test_reads_of_a_silent_camera_are_late_once_its_partition_went_on():
    ledger = Ledger(VISITS)
    other = {"camera_id": "cam-2", "camera_group": None}
    for second in range(60):
        now = START + second * SECOND
        ledger.see(now, 0, "CameraHeartbeat", other | {"captured_at": now})
        ledger.see(now, 0, "Tick", {"at": now})
    for at in (10, 11):
        ledger.see(START + 60 * SECOND, 0, "PlateRead", read(0, at, "KAB123"))
    assert ledger.stays() == []


def test_the_end_of_a_source_ends_a_stay():
    ledger = Ledger(VISITS)
    for at in (10, 11, 20, 21):
        if at == 20:
            ended = {"camera_id": "cam-1", "camera_group": None, "captured_at": START + 15 * SECOND}
            ledger.see(START + 16 * SECOND, 0, "SourceEnded", ended)
        one = read(0, at, "KAB123")
        ledger.see(one["captured_at"], 0, "PlateRead", one)
    assert len(ledger.stays()) == 2


@pytest.mark.parametrize(
    ("text", "fair"),
    [("B-512 KO", True), ("b512k0", True), ("8512KO", True), ("85I2KO", False), ("B512KD", True)],
)
def test_a_fair_text_is_right_or_one_confusable_off(text, fair):
    assert fair_text(text, "B512KO") is fair


def test_an_oracle_that_knows_the_truth_makes_no_errors_in_a_whole_city():
    site = Site(7, cameras=10, hours=1)
    visits = list(site.visits())
    ledger = Ledger(visits)
    reads = defaultdict(list)
    for one in ledger.follow(site.records()):
        if one.name == "PlateRead" and (index := visit_of(one.record["read_id"])) is not None:
            reads[visits[index].gate, visits[index].plate].append(one.record)
    sightings = []
    for number, stay in enumerate(ledger.stays()):
        near = reads[stay.gate, stay.plate]
        own = [one for one in near if stay.first <= one["captured_at"] <= stay.last]
        event = sighting(str(number), stay.plate, own)
        sightings.append(event | {"camera_id": stay.gate})
    account = ledger.audit(sightings)
    assert account.cars == len(sightings) > 1000
    assert account.cases == []
    half = ledger.audit(sightings[::2])
    assert half.missed == account.cars - len(sightings[::2])
