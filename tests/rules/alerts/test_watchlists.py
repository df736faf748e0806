"""Watchlists: every entry that a plate is on is found, as of any moment, and told how sure."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.alerts.holds import plate_is
from rules.alerts.likeness import Likeness
from rules.alerts.rule import PlateIs
from rules.alerts.watch import LEAST_SHARE, LIKE, Watchlists
from rules.alerts.watch_entry import plate_of
from rules.similarity import similarity
from tests.projections.sightings import NOON
from tests.rules.alerts.conditions import PLATES, entries

HOUR = 3_600_000_000


def entry(plate, watchlist="stolen", match="exact", **changed):
    return {
        "watchlist": watchlist,
        "plate": plate,
        "kind": "deny",
        "match": match,
        "effective_from": 0,
        "valid_from": None,
        "valid_to": None,
        "owner": "police",
        "reason": "theft",
        "tags": ["red"],
        "removed": False,
        "actor": "me",
        **changed,
    }


def lists(*given_entries):
    found = Watchlists()
    for one in given_entries:
        found.put(one, 0)
    return found


def seen(watchlists, text, alternatives=(), at=0, when=NOON):
    others = [{"text": other, "confidence": share} for other, share in alternatives]
    hits = watchlists.look(text, others, at, when)
    return [(h["plate"], h["match"], round(h["confidence"], 3)) for h in hits]


class TestAMatch:
    def test_tells_the_entry(self):
        assert lists(entry("34 abc-123")).look("34ABC123", [], 0, NOON) == [
            {
                "watchlist": "stolen",
                "plate": "34ABC123",
                "kind": "deny",
                "match": "exact",
                "confidence": 1.0,
                "owner": "police",
                "reason": "theft",
                "tags": ["red"],
            }
        ]

    @pytest.mark.parametrize(
        ("plate", "match", "text", "expected"),
        [
            ("ABC1234", "exact", "ABC1234", [("ABC1234", "exact", 1.0)]),
            ("ABC1234", "exact", "ABC1235", []),
            ("ABC123O", "exact", "ABC1230", []),
            ("ABC*", "wildcard", "ABC1234", [("ABC*", "wildcard", 1.0)]),
            ("*1?3*", "wildcard", "ABC1234", [("*1?3*", "wildcard", 1.0)]),
            ("ABC????", "wildcard", "ABC123", []),
            ("ABC123O", "fuzzy", "ABC1230", [("ABC123O", "fuzzy", 0.957)]),
            ("ABC1234", "fuzzy", "ABC123", [("ABC1234", "fuzzy", 0.857)]),
            ("ABC1234", "fuzzy", "XABC1234", [("ABC1234", "fuzzy", 0.875)]),
            ("ABC1234", "fuzzy", "ABC1235", []),
            ("ABC1234", "fuzzy", "ABC1234", [("ABC1234", "exact", 1.0)]),
            ("ABCDEFGH123456", "fuzzy", "ABCDEFGH1234XY", []),
            ("ABCDEFGH123456", "fuzzy", "ABCDEFGH1234X6", [("ABCDEFGH123456", "fuzzy", 0.857)]),
        ],
    )
    def test_is_exact_by_wildcard_or_alike(self, plate, match, text, expected):
        assert seen(lists(entry(plate, match=match)), text) == expected

    def test_of_another_text_of_the_sighting_counts_by_its_share(self):
        watch = lists(entry("ABC123"), entry("XYZ*", match="wildcard"))
        others = [("ABC123", 0.3), ("XYZ1", 0.4), ("XYZ2", LEAST_SHARE / 2)]
        assert seen(watch, "QQ1", others) == [
            ("ABC123", "exact", 0.3),
            ("XYZ*", "wildcard", 0.4),
        ]
        assert seen(watch, "ABC123", [("ABC123", 0.3)]) == [("ABC123", "exact", 1.0)]

    def test_is_told_once_an_entry_by_its_most_confident_way(self):
        watch = lists(entry("ABC123O", match="fuzzy"))
        assert seen(watch, "ABC1230", [("ABC123O", 0.3)]) == [("ABC123O", "fuzzy", 0.957)]
        assert seen(watch, "ABC1230", [("ABC123O", 0.99)]) == [("ABC123O", "exact", 0.99)]

    def test_of_several_entries_comes_exact_then_wildcard_then_fuzzy_and_hides_none(self):
        watch = lists(
            entry("ABC1230", "z", match="fuzzy", kind="notify"),
            entry("ABC*", "a", match="wildcard"),
            entry("ABC123O", "b", kind="allow"),
            entry("ABC123O", "a"),
        )
        hits = watch.look("ABC123O", [], 0, NOON)
        assert [(h["watchlist"], h["match"], h["kind"]) for h in hits] == [
            ("a", "exact", "deny"),
            ("b", "exact", "allow"),
            ("a", "wildcard", "deny"),
            ("z", "fuzzy", "notify"),
        ]


class TestAnEntry:
    def test_is_in_force_from_its_time_until_it_is_replaced_or_removed(self):
        watch = Watchlists()
        watch.put(entry("ABC", reason="old"), 10)
        watch.put(entry("ABC", reason="new"), 20)
        watch.put(entry("ABC", removed=True), 30)
        watch.put(entry("ABC", reason="again"), 40)
        told = [
            [hit["reason"] for hit in watch.look("ABC", [], at, NOON)]
            for at in (9, 10, 19, 20, 29, 30, 39, 40)
        ]
        assert told == [[], ["old"], ["old"], ["new"], ["new"], [], [], ["again"]]
        assert watch.changes == [10, 20, 30, 40]

    def test_counts_for_captures_from_valid_from_until_before_valid_to(self):
        watch = lists(entry("ABC", valid_from=NOON, valid_to=NOON + HOUR))
        found = [bool(seen(watch, "ABC", when=when)) for when in (NOON - 1, NOON, NOON + HOUR)]
        assert found == [False, True, False]

    def test_of_one_plate_is_matched_in_one_way_at_a_time(self):
        watch = lists(entry("ABC1234"))
        watch.put(entry("ABC1234", match="fuzzy"), 10)
        watch.put(entry("ABC1234", removed=True), 20)
        assert (seen(watch, "ABC1234", at=9), seen(watch, "ABC123", at=9)) == (
            [("ABC1234", "exact", 1.0)],
            [],
        )
        assert seen(watch, "ABC123", at=10) == [("ABC1234", "fuzzy", 0.857)]
        assert len(seen(watch, "ABC1234", at=10)) == 1
        assert seen(watch, "ABC1234", at=20) == []


@dataclass(frozen=True)
class Put:
    entry: dict
    at: int


@settings(max_examples=400, deadline=None)
@given(
    puts=st.lists(st.builds(Put, entries(), st.integers(0, 3)), max_size=12),
    text=PLATES,
    others=st.lists(st.tuples(PLATES, st.sampled_from([0.1, 0.3, 1.0])), max_size=2),
    at=st.integers(-1, 4),
    when=st.sampled_from([NOON - 1, NOON, NOON + HOUR]),
)
def test_what_is_found_is_what_a_scan_over_all_entries_finds(puts, text, others, at, when):
    watch = Watchlists()
    latest: dict = {}
    for order, put in enumerate(puts):
        watch.put(put.entry, put.at)
        one = put.entry
        key = (one["watchlist"], plate_of(one["plate"], one["match"]))
        if put.at <= at and (key not in latest or latest[key][0] <= (put.at, order)):
            latest[key] = ((put.at, order), one)
    texts = [(text, 1.0), *(pair for pair in others if pair[1] >= LEAST_SHARE and pair[0] != text)]
    expected = {}
    for (name, plate), (_, one) in latest.items():
        match = one["match"]
        invalid = (one["valid_from"] or 0) > when or (one["valid_to"] or when + 1) <= when
        if one["removed"] or invalid:
            continue
        confidence = max(share * of(plate, match, text) for text, share in texts)
        if confidence > 0:
            expected[name, plate] = confidence
    alternatives = [{"text": text, "confidence": share} for text, share in others]
    hits = watch.look(text, alternatives, at, when)
    assert sorted((h["watchlist"], h["plate"], h["confidence"]) for h in hits) == sorted(
        (name, plate, confidence) for (name, plate), confidence in expected.items()
    )


def of(plate, match, text):
    """How sure an entry is of a text, by the plain meaning of each match."""
    if match == "fuzzy":
        likeness = similarity(plate, text)
        return likeness if likeness >= LIKE else 0.0
    return float(plate_is(PlateIs(plate, match), text))


@settings(max_examples=400, deadline=None)
@given(
    texts=st.lists(st.tuples(PLATES, st.sampled_from([LIKE, LIKE, 1.0, 0.9, 0.7, 0.3, -1.0]))),
    asked=PLATES,
    edits=st.lists(st.tuples(st.integers(0, 14), st.sampled_from("0O1IX"), st.integers(0, 2))),
)
def test_no_text_that_is_like_another_is_missed(texts, asked, edits):
    near = Likeness()
    # Some that differ by a few edits, as strangers are seldom alike.
    for place, letter, kind in edits[:4]:
        changed = asked[:place] + letter * (kind > 0) + asked[place + (kind < 2) :]
        texts = [*texts, (changed, LIKE)]
    for number, (text, least) in enumerate(texts):
        near.add(text, least, number)
    expected = [
        (number, similarity(text, asked))
        for number, (text, least) in enumerate(texts)
        if similarity(text, asked) >= least
    ]
    assert sorted(near.near(asked)) == expected
