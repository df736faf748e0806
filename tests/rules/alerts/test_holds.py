"""What each condition means, in plain cases."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.alerts.examples import event_of
from rules.alerts.holds import PatternError, holds, regex
from rules.alerts.rule import (
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Not,
    PlateIs,
    Watched,
    When,
)
from schemas.records import WatchHit

YES, NO = All(()), AnyOf(())


def is_so(condition: Condition, *hits: WatchHit, **fields: Any) -> bool:
    return holds(condition, event_of(fields), hits)


def hit(**changes: Any) -> WatchHit:
    found: Any = {
        "watchlist": "stolen",
        "plate": "34ABC12",
        "kind": "deny",
        "match": "exact",
        "confidence": 1.0,
        "owner": "",
        "reason": "",
        "tags": [],
    }
    return found | changes


@pytest.mark.parametrize(
    ("operator", "holds_for"),
    [(">", [0.9]), (">=", [0.5, 0.9]), ("<", [0.1]), ("<=", [0.1, 0.5])],
)
def test_a_number_is_compared(operator: Any, holds_for: list[float]) -> None:
    condition = Compare("plate.confidence", operator, 0.5)
    assert [one for one in (0.1, 0.5, 0.9) if is_so(condition, confidence=one)] == holds_for


@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
def test_what_is_unknown_or_a_text_is_neither_more_nor_less(operator: Any) -> None:
    assert not is_so(Compare("latitude", operator, 0.0))
    assert not is_so(Compare("camera_id", operator, 0.0))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Among("vehicle.color", ("red", "blue")), True),
        (Among("vehicle.color", ("RED",)), True),
        (Among("vehicle.color", ("green",)), False),
        (Among("vehicle.color", ()), False),
        (Among("vehicle.type", ("car",)), False),
        (Among("vehicle.type", (None,)), False),
        (Not(Among("vehicle.type", ("car",))), True),
        (Among("reads", (2,)), True),
        (Among("reads", (2.0,)), True),
        (Among("reads", ("2",)), False),
        (Among("tracks", (True,)), False),
    ],
)
def test_a_value_is_one_of_several_whatever_its_case(condition: Condition, expected: bool) -> None:
    assert is_so(condition, vehicle_color="Red") is expected


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (PlateIs("34ABC12", "exact"), True),
        (PlateIs("34ABC1", "exact"), False),
        (PlateIs("34A", "prefix"), True),
        (PlateIs("4A", "prefix"), False),
        (PlateIs("C12", "suffix"), True),
        (PlateIs("C1", "suffix"), False),
        (PlateIs("ABC", "contains"), True),
        (PlateIs("ACB", "contains"), False),
        (PlateIs("34*12", "wildcard"), True),
        (PlateIs("34???12", "wildcard"), True),
        (PlateIs("34??12", "wildcard"), False),
        (PlateIs("ABC*", "wildcard"), False),
        (PlateIs(r"^\d{2}abc", "regex"), True),
        (PlateIs("B", "regex"), True),
        (PlateIs("^B", "regex"), False),
        (PlateIs("34A8C12", "fuzzy", 0.85), True),  # 8 for B, as OCR has it
        (PlateIs("34AXC12", "fuzzy", 0.85), False),
        (PlateIs("34ABC12", "fuzzy", 1.0), True),
    ],
)
def test_a_plate_follows_a_pattern(pattern: PlateIs, matches: bool) -> None:
    assert is_so(pattern, plate="34 abc-12") is matches


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Watched(), True),
        (Watched(("stolen",)), True),
        (Watched(("guests",)), False),
        (Watched((), ("deny",)), True),
        (Watched((), ("allow", "notify")), False),
        (Watched(("stolen",), ("deny",), 0.9), True),
        (Watched(least=0.95), False),
    ],
)
def test_a_watchlist_is_asked_by_name_kind_and_confidence(
    condition: Watched, expected: bool
) -> None:
    assert is_so(condition, hit(confidence=0.9)) is expected
    assert not is_so(condition)


def test_one_match_must_be_all_that_is_asked() -> None:
    assert not is_so(Watched(("a",), ("deny",)), hit(watchlist="a", kind="allow"), hit())


def test_a_time_is_that_of_capture_at_the_camera() -> None:
    night = When(22 * 60, 6 * 60)
    moment = "2026-03-02T20:30+00:00"
    assert is_so(night, timezone="Europe/Istanbul", at=moment)
    assert not is_so(night, timezone="UTC", at=moment)


def test_all_any_and_not_are_those_of_logic() -> None:
    assert is_so(All((YES, YES)))
    assert not is_so(All((YES, NO)))
    assert is_so(AnyOf((NO, YES)))
    assert not is_so(AnyOf((NO, NO)))
    assert is_so(Not(NO))
    assert is_so(YES)
    assert not is_so(NO)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?=a)", r"(a)\1", "((a{99}){99}){99}"])
def test_a_regular_expression_that_re2_does_not_take_is_told(pattern: str) -> None:
    with pytest.raises(PatternError):
        regex(pattern)


@pytest.mark.timeout(10)
def test_a_catastrophic_regular_expression_is_harmless() -> None:
    pattern = PlateIs("^(A+)+$", "regex")
    event = event_of({"plate": "A" * 100_000 + "1"})
    assert not any(holds(pattern, event, ()) for _ in range(10))


@given(st.text("AB*?01", max_size=8), st.text("AB01", max_size=8))
def test_a_wildcard_takes_what_its_signs_say(pattern: str, text: str) -> None:
    def takes(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return takes(pattern[1:], text) or (text != "" and takes(pattern, text[1:]))
        return text != "" and pattern[0] in ("?", text[0]) and takes(pattern[1:], text[1:])

    assert is_so(PlateIs(pattern, "wildcard"), plate=text) == takes(pattern, text)
