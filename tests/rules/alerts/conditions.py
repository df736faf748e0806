"""Conditions, rules, entries and sightings as Hypothesis makes them: few words, many meetings."""

from typing import Any

from hypothesis import strategies as st

from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Dwell,
    Not,
    PlateIs,
    Rule,
    Sequence,
    Silent,
    Watched,
    When,
)
from schemas.records import PlateEvent, WatchlistEntry
from tests.projections.sightings import NOON, sighting

LETTERS = "0O1IAB"
PLATES = st.one_of(
    st.text(LETTERS, min_size=1, max_size=4),
    st.text(LETTERS, min_size=6, max_size=9),
    st.text(LETTERS, min_size=11, max_size=15),
)
WILDCARDS = st.text(LETTERS + "**??", max_size=6)
LISTS = ("vip", "stolen")
ZONES = ("gate", "Yard")
TIMEZONES = ("America/New_York", "Europe/Istanbul", "Nowhere/At_all")
NUMBERS = (0.0, 0.5, 0.75, 0.9, 1, 7)

_values = st.sampled_from([*NUMBERS, None, True, False, "gate", "YARD", "red", "CAM-1", "true"])
_regexes = st.sampled_from(
    ["", "^A", "B$", "^[01]+$", "a.*b", "O|I", r"\d{2}", "(A|B)+0", "^$", "[^A]{3}", "é"]
)
plates = st.one_of(
    st.builds(
        PlateIs,
        st.text(LETTERS, max_size=4),
        st.sampled_from(["exact", "prefix", "suffix", "contains"]),
    ),
    st.builds(PlateIs, WILDCARDS, st.just("wildcard")),
    st.builds(PlateIs, _regexes, st.just("regex")),
    st.builds(PlateIs, PLATES, st.just("fuzzy"), st.sampled_from([0.85, 0.9, 0.6, 1.0, 0.0])),
)
leaves = st.one_of(
    plates,
    st.builds(
        Compare,
        st.sampled_from(["plate.confidence", "quality_score", "latitude", "revision", "zone"]),
        st.sampled_from([">", ">=", "<", "<="]),
        st.sampled_from(NUMBERS),
    ),
    st.builds(
        Among,
        st.sampled_from(["zone", "camera_id", "direction", "revision", "plate.confidence", "lane"]),
        st.lists(_values, max_size=3).map(tuple),
    ),
    st.builds(
        Watched,
        st.lists(st.sampled_from(LISTS), max_size=2).map(tuple),
        st.lists(st.sampled_from(["allow", "deny"]), max_size=1).map(tuple),
        st.sampled_from([0.0, 0.9, 1.0]),
    ),
    st.builds(
        When,
        st.sampled_from([0, 480, 1020]),
        st.sampled_from([0, 480, 1440]),
        st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
        st.sampled_from(["any", "only", "except"]),
        st.sampled_from([(), ("2025-06-15", "2025-06-16")]),
        st.sampled_from(["", "US"]),
        st.sampled_from(["", "Asia/Tokyo"]),
    ),
)


def _nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    some = st.lists(inner, max_size=4).map(tuple)
    return st.one_of(st.builds(All, some), st.builds(AnyOf, some), st.builds(Not, inner))


conditions: st.SearchStrategy[Condition] = st.recursive(leaves, _nested, max_leaves=12)

patterns = st.one_of(
    st.none(),
    st.builds(Sequence, st.lists(conditions, min_size=2, max_size=3).map(tuple), st.just(1)),
    st.builds(Dwell, conditions, conditions, st.just(1)),
    st.just(Silent(1)),
)


def rule(where: Condition, pattern: Any = None, *, name: str = "one", enabled: bool = True) -> Rule:
    shape = repr((where, pattern))
    version = repr((shape, enabled))
    return Rule(
        name, "", enabled, "info", where, pattern, 0, 0.0, (), None, version, version, shape
    )


@st.composite
def entries(draw: st.DrawFn) -> WatchlistEntry:
    match = draw(st.sampled_from(["exact", "wildcard", "fuzzy"]))
    return {
        "watchlist": draw(st.sampled_from(LISTS)),
        "plate": draw(WILDCARDS if match == "wildcard" else PLATES),
        "kind": draw(st.sampled_from(["allow", "deny"])),
        "match": match,
        "effective_from": 0,
        "valid_from": draw(st.sampled_from([None, NOON])),
        "valid_to": draw(st.sampled_from([None, NOON + 3_600_000_000])),
        "owner": "o",
        "reason": "r",
        "tags": ["t"],
        "removed": draw(st.integers(0, 4)) == 0,
        "actor": "a",
    }


@st.composite
def sightings(draw: st.DrawFn) -> PlateEvent:
    hours = draw(st.integers(-48, 48))
    event = sighting(
        0,
        draw(st.sampled_from([0, 1, 7, 8])),
        text=draw(PLATES),
        at=draw(st.sampled_from([NOON + hours * 3_600_000_000, hours * 3_600_000_000])),
        zone=draw(st.sampled_from([*ZONES, "GATE", "elsewhere", ""])),
        confidence=draw(st.sampled_from([0.2, 0.5, 0.6, 0.9, 1.0])),
        direction=draw(st.sampled_from([None, "red", "out"])),
        camera_id=draw(st.sampled_from(["CAM-1", "cam-2"])),
    )
    event["alternatives"] = [
        {"text": text, "confidence": draw(st.sampled_from([0.1, 0.3, 1.0]))}
        for text in draw(st.lists(PLATES, max_size=2))
    ]
    event["node"]["timezone"] = draw(st.sampled_from(TIMEZONES))
    event["node"]["latitude"] = draw(st.sampled_from([None, 0.75, float("nan")]))
    return event
