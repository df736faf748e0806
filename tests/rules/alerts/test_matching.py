"""For how long a sighting counts for a rule, whatever is said of it and of the rules."""

from rules.alerts.matching import Matching
from rules.alerts.rule import Among, Compare, PlateIs
from rules.alerts.signals import Clock, Erased, Sighted
from tests.rules.alerts.sightings import at, book, progress, rule, sighting

PLATE = PlateIs("34ABC12", "exact")
HOUR = 3600


def counts(signals):
    return [(s.rule, s.steps, s.reason) for s in signals if isinstance(s, Sighted)]


def matching(*rules, since=0):
    return Matching(0, book(*rules, since=since))


def say(made, **changes):
    plate = changes.pop("plate", "34ABC12")
    return counts(made.fold("PlateEvent", sighting("a", 0, plate, **changes), 0, at(1)))


def test_a_tentative_sighting_counts_when_its_plate_is_sure_enough():
    made = matching(rule("r", PLATE, sure=0.8))
    assert say(made, status="tentative", confidence=0.7) == []
    assert say(made, status="tentative", confidence=0.8, revision=2) == [("r", (0,), None)]


def test_what_counts_stays_when_only_the_confidence_falls():
    made = matching(rule("r", Compare("plate.confidence", ">=", 0.9), sure=0.8))
    assert say(made, status="tentative", confidence=0.95) == [("r", (0,), None)]
    assert say(made, status="tentative", confidence=0.4, revision=2) == [("r", (0,), None)]


def test_a_plate_that_changed_is_asked_again():
    made = matching(rule("r", PLATE))
    say(made)
    assert say(made, plate="34ABC72", status="revised", revision=2) == [("r", (), "revised")]
    assert say(made, status="revised", revision=3) == [("r", (0,), None)]


def test_direction_vehicle_and_region_are_asked_again_too():
    made = matching(rule("r", Among("direction", ("in",))))
    assert say(made, direction="in") == [("r", (0,), None)]
    assert say(made, direction="out", revision=2) == [("r", (), "revised")]


def test_a_rule_that_is_changed_or_removed_takes_nothing_back():
    rules = book(rule("r", PLATE), rule("s", PLATE))
    made = Matching(0, rules)
    assert len(say(made)) == 2
    rules.put("r", rule("r", PlateIs("99", "prefix")), at(0.5))
    rules.put("s", None, at(0.5))
    assert say(made, revision=2) == [("r", (0,), None), ("s", (0,), None)]
    # The version that it counted for is asked, not the one in force.
    said = say(made, plate="99X", revision=3)
    assert said == [("r", (), "revised"), ("s", (), "revised"), ("r", (0,), None)]


def test_a_rule_that_comes_into_force_sees_the_next_revision_of_an_open_sighting():
    rules = book()
    made = Matching(0, rules)
    assert say(made) == []
    rules.put("r", rule("r", PLATE), at(0.5))
    assert say(made, revision=2) == [("r", (0,), None)]


def test_a_retracted_sighting_counts_no_more_and_says_what_it_was_merged_into():
    made = matching(rule("r", PLATE))
    say(made)
    record = sighting("a", 0, "34ABC12", status="retracted", revision=2, merged_into="b")
    (signal,) = made.fold("PlateEvent", record, 0, at(1))
    assert isinstance(signal, Sighted)
    assert (signal.steps, signal.reason, signal.merged_into) == ((), "merged", "b")


def test_what_was_said_before_is_no_news_also_when_the_sighting_is_over():
    made = matching(rule("r", PLATE))
    say(made)
    say(made, status="ended", revision=5)
    assert say(made) == []
    assert say(made, status="ended", revision=5) == []
    made = Matching(0, book(rule("r", PLATE)), made.snapshot())
    assert say(made, revision=4) == []


def test_an_erased_sighting_does_not_come_back_by_a_repeat():
    made = matching(rule("r", PLATE))
    say(made)
    assert made.erase("a") == [Erased("a")]
    assert say(made, revision=2) == []


def test_a_sighting_that_never_ends_is_given_up_after_a_week():
    made = matching(rule("r", PLATE))
    say(made)
    made.fold("Progress", progress(6 * 24 * HOUR), 0, at(6 * 24 * HOUR))
    assert made.snapshot()["known"]
    made.fold("Progress", progress(8 * 24 * HOUR), 0, at(8 * 24 * HOUR))
    assert not made.snapshot()["known"]


def test_progress_is_the_clock_of_those_who_raise_alerts():
    made = matching()
    assert made.fold("Progress", progress(10), 0, at(11)) == [Clock(0, at(10), at(15), 1)]
    older = progress(20) | {"clock": 0}
    assert made.fold("Progress", older, 0, at(26)) == [Clock(0, at(20), at(26), 1)]


def test_state_holds_only_what_counts():
    made = matching(rule("r", PLATE))
    for n in range(1_000):
        record = sighting(f"e{n}", n, "34ABC12" if n % 100 == 0 else f"P{n}", status="ended")
        made.fold("PlateEvent", record, 0, at(n))
    assert len(made.snapshot()["known"]) == 10
    made.fold("Progress", progress(1_000), 0, at(2_000))
    assert made.snapshot()["known"] == {}
