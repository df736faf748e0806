"""The rulebook: what a loop over the rules in force would say, for any history and any moment."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rules.alerts.holds import PatternError, holds, regex
from rules.alerts.masks import Masks
from rules.alerts.plates import Patterns, follows
from rules.alerts.required import required
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Not,
    PlateIs,
    Sequence,
    Silent,
    Watched,
)
from rules.alerts.rulebook import Rulebook
from tests.projections.sightings import sighting
from tests.rules.alerts.conditions import (
    PLATES,
    WILDCARDS,
    conditions,
    entries,
    patterns,
    plates,
    rule,
    sightings,
)

SECOND = 1_000_000
NAMES = ("one", "two", "three")

_PIECES = [
    *"01AB^$.|()*+?",
    "A0B",
    "OI1",
    "{2}",
    "{0,1}",
    "[A-Z]",
    "[^0]",
    r"\d",
    "(?:",
    "(?i)",
    "*?",
]

_some = st.one_of(conditions, st.sampled_from([All(), PlateIs("0", "contains")]))
_rules = st.one_of(
    st.none(), st.builds(rule, _some, patterns, enabled=st.sampled_from([True, True, False]))
)
_puts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(NAMES), _rules, st.integers(0, 5)),
        st.tuples(entries(), st.integers(0, 5)),
    ),
    max_size=8,
)


def names(hits):
    return [(hit.rule.name, hit.step) for hit in hits]


class TestAnEvent:
    @settings(max_examples=400, deadline=None)
    @given(puts=_puts, asked=st.lists(st.tuples(sightings(), st.integers(-1, 6)), max_size=4))
    def test_matches_each_step_that_holds_of_each_rule_in_force(self, puts, asked):
        book = Rulebook()
        history = []
        for put in puts:
            if len(put) == 2:
                book.watch.put(*put)
            else:
                name, one, at = put
                one = one and replace(one, name=name)
                book.put(name, one, at)
                history.append((name, one, at))
            # Between the puts, so that nothing remembered outlives a change.
            for event, at in asked:
                text, when = event["plate"]["normalized_text"], event["captured_at"]
                hits = book.watch.look(text, event["alternatives"], at, when)
                expected = []
                for name in sorted(NAMES):
                    one = in_force(history, name, at)
                    if one is None or not one.enabled or isinstance(one.pattern, Silent):
                        continue
                    steps = enumerate(one.steps)
                    expected += [(one, i) for i, step in steps if holds(step, event, hits)]
                assert [(hit.rule, hit.step) for hit in book.match(event, at)] == expected
                for hit in book.match(event, at):
                    assert hit in book.recheck(hit.rule, event, at)

    @settings(max_examples=200, deadline=None)
    @given(some=st.lists(conditions, max_size=20), asked=st.lists(sightings(), max_size=3))
    def test_is_asked_of_all_conditions_at_once_as_of_each_alone(self, some, asked):
        masks = Masks()
        numbers = [masks.add(one) for one in some]
        among = 0
        for number in numbers:
            among |= masks.bits(number)
        for event in asked:
            expected = {n for n, one in zip(numbers, some, strict=True) if holds(one, event, [])}
            assert masks.match(event, [], among, numbers) == expected

    def test_is_told_apart_at_each_side_of_a_threshold_and_on_it(self):
        masks, some = Masks(), [Among("reads", (3,)), Compare("reads", "<=", 5)]
        some += [Compare("reads", operator, 3) for operator in (">", ">=", "<", "<=")]
        some += [All((Compare("reads", ">=", 3), Not(Compare("reads", ">=", 5))))]
        numbers = [masks.add(one) for one in some]
        among = sum(masks.bits(number) for number in numbers)
        for reads in (2, 3, 2.5, 4, 5, 6, 3, 5, 2, 3.0):
            event = sighting(reads=reads)
            expected = {n for n, one in zip(numbers, some, strict=True) if holds(one, event, [])}
            assert masks.match(event, [], among, numbers) == expected

    def test_matches_one_of_a_thousand_plates_and_of_alternatives_that_are_too_many(self):
        book = Rulebook()
        book.put("plates", rule(AnyOf(tuple(PlateIs(f"A{n}", "exact") for n in range(1000)))), 0)
        parts = [
            AnyOf(tuple(Compare(f, ">", v) for f in ("reads", "tracks", "revision")))
            for v in range(6)
        ]
        book.put("many", rule(All(tuple(parts)), name="many"), 0)
        assert names(book.match(sighting(text="A999"), 0)) == [("one", 0)]
        assert names(book.match(sighting(text="A1000", reads=6), 0)) == [("many", 0)]
        assert names(book.match(sighting(text="A1000", reads=5), 0)) == []


def in_force(history, name, at):
    """The plain meaning of history: the last put of the highest time not after ``at``."""
    found = [(time, i) for i, (who, _, time) in enumerate(history) if who == name and time <= at]
    return history[max(found)[1]][1] if found else None


class TestPatterns:
    @settings(max_examples=300, deadline=None)
    @given(some=st.lists(plates, max_size=30), text=st.one_of(PLATES, st.text(max_size=4)))
    def test_are_followed_together_as_each_alone(self, some, text):
        book = Patterns()
        for number, one in enumerate(some):
            book.add(one, number)
        expected = [n for n, one in enumerate(some) if holds(one, sighting(text=text), [])]
        assert sorted(book.follow(text)) == expected

    @given(WILDCARDS, PLATES)
    def test_a_wildcard_says_what_the_regular_expression_says(self, wildcard, text):
        expected = holds(PlateIs(wildcard, "wildcard"), sighting(text=text), [])
        assert follows(wildcard, text) == expected

    @settings(max_examples=500, deadline=None)
    @given(st.lists(st.sampled_from(_PIECES), max_size=8).map("".join), PLATES)
    def test_no_text_lacks_what_a_regex_requires(self, pattern, text):
        try:
            found = regex(pattern).search(text) is not None
        except PatternError:
            assume(False)
        book = Patterns()
        book.add(PlateIs(pattern, "regex"), 1)
        assert bool(book.follow(text)) == found

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("^ABC", ("ABC", "prefix", True)),
            ("abc$", ("ABC", "suffix", True)),
            ("ABC", ("ABC", "contains", True)),
            ("^ABC$", ("ABC", "prefix", False)),
            ("^34[A-Z]{1,3}1234$", ("1234", "suffix", False)),
            ("ABCD*.EFG", ("ABC", "contains", False)),
            ("^AB+C", None),
            ("(ABC)?DEF", ("DEF", "contains", False)),
            ("ABC|DEF", None),
            ("(ABC|DEF)", None),
            ("[[:alpha:]]ABC", None),
            (r"\QABC\E", None),
            ("(?-i)abc", None),
            ("ABC{0}DEFG", ("DEFG", "contains", False)),
        ],
    )
    def test_a_regex_requires_its_longest_plain_run(self, pattern, expected):
        assert required(pattern) == expected

    def test_a_wildcard_of_many_stars_takes_no_time(self):
        assert not follows("*A" * 30 + "*B", "A" * 5000)

    def test_a_catastrophic_regex_is_harmless(self):
        book = Rulebook()
        book.put("one", rule(PlateIs("(a*)*(a*)*(a|a)+$", "regex")), 0)
        assert names(book.match(sighting(text="A" * 2000 + "B"), 0)) == []
        assert names(book.match(sighting(text="A" * 2000), 0)) == [("one", 0)]

    def test_a_regex_that_is_refused_leaves_the_rulebook_as_it_was(self):
        book = Rulebook()
        book.put("one", rule(Among("zone", ("gate",))), 0)
        with pytest.raises(PatternError):
            book.put("two", rule(All((Compare("reads", ">", 0), PlateIs("(?=a)", "regex")))), 1)
        book.put("three", rule(PlateIs("X", "exact"), name="three"), 2)
        assert names(book.match(sighting(text="X"), 3)) == [("one", 0), ("three", 0)]
        assert book.changes() == [0, 2]

    def test_regexes_that_come_one_by_one_all_match(self, monkeypatch):
        monkeypatch.setattr("rules.alerts.plates.SET_SIZE", 5)
        book = Patterns()
        for number in range(60):
            book.add(PlateIs(f"[{'ABC'[number % 3]}][{'AB'[number % 2]}]", "regex"), number)
            assert sorted(book.follow("CA")) == list(range(2, number + 1, 6))

    def test_regexes_that_need_more_memory_than_a_set_has_all_match(self):
        book = Patterns()
        # Each some 100 kB as a program, and found in each text of two letters.
        for number in range(200):
            book.add(PlateIs(f"[A-Z]{{1,1000}}(Q{{{number % 9 + 1}}})?B", "regex"), number)
        assert sorted(book.follow("AB")) == list(range(200))
        assert book.follow("12") == []


class TestAHistory:
    def test_is_asked_as_of_any_moment(self):
        book = Rulebook()
        first, second = rule(PlateIs("A", "exact")), rule(PlateIs("B", "exact"))
        book.put("one", first, 10)
        book.put("one", second, 20)
        book.put("one", None, 30)
        assert [book.current("one", at) for at in (9, 10, 19, 20, 30)] == [
            None,
            first,
            first,
            second,
            None,
        ]
        for at, texts in ((5, ""), (10, "A"), (20, "B"), (30, "")):
            assert [text for text in "AB" if book.match(sighting(text=text), at)] == list(texts)

    def test_changes_of_words_alone_are_seen_in_the_rule_that_hits(self):
        book = Rulebook()
        old = rule(PlateIs("A", "exact"))
        new = rule(PlateIs("A", "exact"), enabled=False)
        book.put("one", old, 10)
        book.put("one", new, 20)
        book.put("one", old, 30)
        event = sighting(text="A")
        assert [len(book.match(event, at)) for at in (10, 20, 30)] == [1, 0, 1]

    def test_finds_any_version_by_what_it_decides(self):
        book = Rulebook()
        old, new = rule(PlateIs("A", "exact")), rule(PlateIs("B", "exact"))
        book.put("one", old, 10)
        book.put("one", new, 20)
        assert book.shaped("one", old.shape) == old
        assert book.shaped("one", "never") is None
        assert book.shaped("two", old.shape) is None

    def test_a_version_of_whatever_time_is_asked_again(self):
        book = Rulebook()
        one = rule(All(), Sequence((PlateIs("A", "prefix"), PlateIs("B", "suffix")), 1))
        assert names(book.recheck(one, sighting(text="AB"), 0)) == [("one", 0), ("one", 1)]
        assert names(book.recheck(one, sighting(text="AX"), 0)) == [("one", 0)]

    def test_knows_the_moments_near_a_change_of_rules_or_lists(self):
        book = Rulebook()
        book.put("one", None, 10 * SECOND)
        book.watch.put(watched("A"), 20 * SECOND)
        near = [at for at in range(30) if book.near_change(at * SECOND)]
        assert near == [8, 9, 10, 11, 12, 18, 19, 20, 21, 22]
        assert not book.near_change(12 * SECOND + 1)
        assert book.changes() == [10 * SECOND, 20 * SECOND]

    def test_tells_the_rules_that_wait_for_silence_which_match_no_sighting(self):
        book = Rulebook()
        silent = rule(Among("camera_id", ("CAM-001",)), Silent(60 * SECOND), name="b")
        book.put("b", silent, 10)
        book.put("a", rule(All(), name="a"), 10)
        assert book.cameras(9) == []
        assert book.cameras(10) == [silent]
        assert names(book.match(sighting(), 10)) == [("a", 0)]


class TestTheWatchedEntryOfAHit:
    def test_is_the_best_that_the_rule_asks_for(self):
        book = Rulebook()
        book.watch.put(watched("ABC", "vip", "allow"), 0)
        book.watch.put(watched("A*", "stolen", match="wildcard"), 0)
        book.put("one", rule(Watched(("stolen",))), 0)
        book.put("two", rule(Watched(), name="two"), 0)
        book.put("zero", rule(All((Not(Watched(("none",))),)), name="zero"), 0)
        found = {
            hit.rule.name: hit.watched and hit.watched["watchlist"]
            for hit in book.match(sighting(text="ABC"), 0)
        }
        assert found == {"one": "stolen", "two": "vip", "zero": None}


def watched(plate, watchlist="vip", kind="deny", match="exact"):
    return {
        "watchlist": watchlist,
        "plate": plate,
        "kind": kind,
        "match": match,
        "effective_from": 0,
        "valid_from": None,
        "valid_to": None,
        "owner": "o",
        "reason": "r",
        "tags": [],
        "removed": False,
        "actor": "a",
    }
