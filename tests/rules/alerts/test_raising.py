"""Alerts of rules about one sighting: raised, updated, taken back, once for one thing."""

from rules.alerts.identity import alert_id
from rules.alerts.raising import Raising
from rules.alerts.rule import PlateIs, Watched
from rules.alerts.signals import Clock, bucket_of
from tests.rules.alerts.sightings import MINUTE, Engine, book, progress, rule, sighting

STOLEN = rule("stolen", PlateIs("34ABC12", "exact"), cooldown=5 * MINUTE)


def kinds(events):
    return [(e["kind"], e["reason"]) for e in events]


def test_a_sighting_that_matches_raises_an_alert_at_once():
    engine = Engine(book(STOLEN))
    (event,) = engine.see(sighting("a", 0, "34ABC12", zone="Gate North", revision=7))
    assert event["kind"] == "raised"
    assert event["alert_id"] == alert_id("stolen", "a")
    assert (event["event_id"], event["revision"], event["plate"]) == ("a", 7, "34ABC12")
    assert event["rule_version"] == STOLEN.version
    assert event["message"] == "34ABC12 at Gate North: stolen"


def test_what_follows_within_the_cooldown_is_counted_with_the_first():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12"))
    (event,) = engine.see(sighting("b", 60, "34ABC12"))
    assert (event["kind"], event["alert_id"], event["count"]) == (
        "updated",
        alert_id("stolen", "a"),
        2,
    )
    assert kinds(engine.see(sighting("c", 300, "34ABC12"))) == [("raised", None)]


def test_a_withdrawn_alert_releases_its_cooldown():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12"))
    engine.see(sighting("b", 60, "34ABC12"))
    said = engine.see(sighting("a", 0, "34ABC72", revision=2, status="revised", was=["34ABC12"]))
    assert sorted(kinds(said)) == [("raised", None), ("withdrawn", "revised")]
    assert {e["event_id"] for e in engine.standing.values()} == {"b"}


def test_an_earlier_sighting_that_comes_late_takes_over():
    engine = Engine(book(STOLEN))
    engine.see(sighting("b", 60, "34ABC12"))
    said = engine.see(sighting("a", 0, "34ABC12"))
    assert sorted(kinds(said)) == [("raised", None), ("withdrawn", "cooldown")]


def test_a_plate_that_changes_but_still_matches_updates_the_alert_and_says_what_it_was():
    engine = Engine(book(rule("all", PlateIs("34", "prefix"))))
    engine.see(sighting("a", 0, "34ABC12"))
    (event,) = engine.see(sighting("a", 0, "34ABC72", revision=2, status="revised"))
    assert (event["kind"], event["plate"], event["was"]) == ("updated", "34ABC72", ["34ABC12"])


def test_an_alert_lives_on_with_the_sighting_that_its_own_was_merged_into():
    engine = Engine(book(rule("all", PlateIs("34", "prefix"))))
    engine.see(sighting("a", 0, "34ABC12"))
    engine.see(sighting("b", 2, "34ABC72"))
    assert len(engine.standing) == 2
    said = engine.see(sighting("a", 0, "34ABC12", revision=2, status="retracted", merged_into="b"))
    assert sorted(kinds(said)) == [("updated", None), ("withdrawn", "merged")]
    (event,) = engine.standing.values()
    assert (event["alert_id"], event["event_id"]) == (alert_id("all", "a"), "b")


def test_retracted_and_erased_take_back_and_an_erased_plate_is_named_no_more():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12"))
    assert kinds(engine.see(sighting("a", 0, "34ABC12", revision=2, status="retracted"))) == [
        ("withdrawn", "retracted")
    ]
    engine.see(sighting("b", 900, "34ABC12", status="ended"))
    (event,) = engine.erase("b")
    assert (event["kind"], event["reason"]) == ("withdrawn", "erased")
    assert "34ABC12" not in repr(event)


def test_a_rise_in_confidence_is_no_news_but_that_it_is_no_more_tentative_is():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12", status="tentative"))
    assert engine.see(sighting("a", 0, "34ABC12", status="tentative", revision=2)) == []
    assert kinds(engine.see(sighting("a", 0, "34ABC12", revision=3))) == [("updated", None)]


def test_a_match_of_a_watchlist_is_told():
    rules = book(rule("deny", Watched(kinds=("deny",))))
    rules.watch.put(
        {
            "watchlist": "stolen",
            "plate": "34ABC12",
            "kind": "deny",
            "match": "exact",
            "effective_from": 0,
            "valid_from": None,
            "valid_to": None,
            "owner": "police",
            "reason": "",
            "tags": [],
            "removed": False,
            "actor": "me",
        },
        0,
    )
    engine = Engine(rules)
    (event,) = engine.see(sighting("a", 0, "34ABC12", zone="Gate North"))
    assert event["watched"] is not None
    assert event["watched"]["watchlist"] == "stolen"
    assert event["message"] == "34ABC12 on deny list 'stolen' at Gate North"


def test_what_can_matter_no_more_is_dropped_and_its_alerts_stand():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12"))
    engine.see(sighting("a", 0, "34ABC12", revision=2, status="ended"))
    engine.see(progress(10_000))
    engine.see(progress(20_000))
    assert len(engine.standing) == 1
    assert all(not one.snapshot()["desks"] for one in engine.raising)
    assert all(not one.snapshot()["known"] for one in engine.matching)


def test_a_storm_is_told_one_by_one_only_up_to_a_hundred():
    engine = Engine(book(rule("r", cooldown=60 * MINUTE)))
    for n in range(1_000):
        engine.see(sighting(f"e{n:04}", n, "34ABC12"))
    assert len(engine.said) < 200
    (event,) = engine.standing.values()
    assert event["count"] == 1_000


def test_what_is_held_for_a_rule_that_a_release_cannot_read_is_left_for_one_that_can():
    engine = Engine(book(STOLEN))
    engine.see(sighting("a", 0, "34ABC12"))
    kept = engine.raising[bucket_of("stolen")].snapshot()
    older = Raising(book(), 1, kept)
    assert older.fold(Clock(0, 60, 60, 1)) == []
    engine.raising[bucket_of("stolen")] = Raising(engine.book, 1, older.snapshot())
    (event,) = engine.see(sighting("b", 60, "34ABC12"))
    assert (event["kind"], event["count"]) == ("updated", 2)
