"""The language of rules: the seeds' files as they are, what it grew to, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rules.alerts import normal
from rules.alerts.duration import microseconds, written
from rules.alerts.examples import START, Expected, event_of
from rules.alerts.fields import FIELDS
from rules.alerts.holds import holds
from rules.alerts.parse import SCHEMA, Problem, RulesError, parse, rule_of, to_yaml
from rules.alerts.rule import (
    Action,
    All,
    Among,
    AnyOf,
    Compare,
    Condition,
    Convoy,
    Count,
    Dwell,
    Escalation,
    Not,
    PlateIs,
    Rule,
    Sequence,
    Silent,
    Travel,
    Unseen,
    Watched,
    When,
)
from rules.alerts.trial import tried

MINUTE = 60_000_000
SAMPLE = Path(__file__).parents[3] / "config" / "alert_rules.yaml"
DOCS = SAMPLE.parents[1] / "docs" / "alert-rules.md"

SEEDS_STRUCTURE = """
rules:
  - name: "High Priority Vehicle"
    description: "Alert when specific plates are detected"
    enabled: true
    conditions:
      plate_patterns:
        - pattern: "ABC*"
          match_type: "prefix"
      camera_ids:
        - "CAM-001"
        - "CAM-002"
    actions:
      - type: "email"
        recipients:
          - "security@example.com"
        subject: "ALPR Alert: High Priority Vehicle Detected"
      - type: "slack"
        channel: "#security-alerts"
"""

SEEDS_EXAMPLE = """
# config/alert_rules.yaml
rules:
  - name: "Watchlist Match"
    type: plate_match
    plates:
      - "ABC1234"
      - "XYZ9876"
    actions:
      - type: email
        to: "security@example.com"
      - type: slack
        channel: "#alerts"

  - name: "High Confidence Detection"
    type: threshold
    field: plate_confidence
    operator: ">="
    value: 0.95
    actions:
      - type: webhook
        url: "https://api.example.com/events"
"""


def one(**keys: Any) -> Rule:
    """The rule of a file of one, with these keys."""
    value = {"name": "r", "conditions": {}} | keys
    return parse(json.dumps({"rules": [value]}), "rules.yaml").rules[0]


def where(conditions: Any) -> Condition:
    return one(conditions=conditions).where


def refused(text: str | bytes) -> list[tuple[int, str, str]]:
    """Line, field and message of all that is wrong with a text."""
    with pytest.raises(RulesError) as caught:
        parse(text, "rules.yaml")
    return [(problem.line, problem.field, problem.message) for problem in caught.value.problems]


def told(**keys: Any) -> str:
    """What is said against a file of one rule with these keys."""
    value = {"name": "r", "conditions": {}} | keys
    return "\n".join(
        f"{field}: {message}" for _, field, message in refused(json.dumps({"rules": [value]}))
    )


# The seeds' forms


def test_the_seeds_rule_structure_is_read_as_it_is() -> None:
    (rule,) = parse(SEEDS_STRUCTURE, "rules.yaml").rules
    assert rule.name == "High Priority Vehicle"
    assert rule.description == "Alert when specific plates are detected"
    assert rule.enabled
    assert rule.where == All((PlateIs("ABC", "prefix"), Among("camera_id", ("CAM-001", "CAM-002"))))
    assert rule.actions == (
        Action(
            "email",
            {
                "recipients": ["security@example.com"],
                "subject": "ALPR Alert: High Priority Vehicle Detected",
            },
        ),
        Action("slack", {"channel": "#security-alerts"}),
    )


def test_the_seeds_plate_match_and_threshold_are_read_as_they_are() -> None:
    match, threshold = parse(SEEDS_EXAMPLE, "rules.yaml").rules
    assert match.where == AnyOf((PlateIs("ABC1234", "exact"), PlateIs("XYZ9876", "exact")))
    assert threshold.where == Compare("plate.confidence", ">=", 0.95)
    assert threshold.actions == (Action("webhook", {"url": "https://api.example.com/events"}),)


@pytest.mark.parametrize(
    ("pattern", "match", "expected"),
    [
        ("ABC*", "prefix", PlateIs("ABC", "prefix")),
        ("abc", "prefix", PlateIs("ABC", "prefix")),
        ("*123", "suffix", PlateIs("123", "suffix")),
        ("*BC1*", "contains", PlateIs("BC1", "contains")),
        ("34 abc-123", "exact", PlateIs("34ABC123", "exact")),
        (r"^[A-Z]{3}\d{3}$", "regex", PlateIs(r"^[A-Z]{3}\d{3}$", "regex")),
        ("34 ab*9?", "wildcard", PlateIs("34AB*9?", "wildcard")),
        ("34ABC123", "fuzzy", PlateIs("34ABC123", "fuzzy", 0.85)),
    ],
)
def test_each_kind_of_pattern_is_read(pattern: str, match: str, expected: PlateIs) -> None:
    assert where({"plate_patterns": [{"pattern": pattern, "match_type": match}]}) == expected


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("plate_confidence", ">", 0.5, Compare("plate.confidence", ">", 0.5)),
        ("plate.confidence", "<=", 1, Compare("plate.confidence", "<=", 1.0)),
        ("vehicle.color", "==", "red", Among("vehicle.color", ("red",))),
        ("vehicle_type", "!=", "truck", Not(Among("vehicle.type", ("truck",)))),
        ("reads", "==", 3, Among("reads", (3,))),
        ("camera_id", "==", ["B", "A"], Among("camera_id", ("A", "B"))),
        ("plate_normalized_text", "==", "34 abc 12", PlateIs("34ABC12", "exact")),
        ("plate", "!=", "34ABC12", Not(PlateIs("34ABC12", "exact"))),
        ("captured_at", "<", "1970-01-01T01:00:00+01:00", Compare("captured_at", "<", 0.0)),
        ("stay_seconds", ">=", 60, Compare("stay_seconds", ">=", 60.0)),
    ],
)
def test_a_comparison_takes_flat_and_nested_names(
    field: str, operator: str, value: Any, expected: Condition
) -> None:
    comparison = {"field": field, "operator": operator, "value": value}
    assert where([comparison]) == expected
    assert where({"fields": [comparison]}) == expected
    assert one(type="threshold", **comparison).where == expected


def test_several_comparisons_must_all_hold() -> None:
    comparisons = [
        {"field": "quality_score", "operator": ">", "value": 0.5},
        {"field": "latency_ms", "operator": "<", "value": 500},
    ]
    expected = {Compare("quality_score", ">", 0.5), Compare("latency_ms", "<", 500.0)}
    found = where(comparisons)
    assert isinstance(found, All)
    assert set(found.of) == expected


# What it grew to


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, All()),
        ({"zones": "gate"}, Among("zone", ("gate",))),
        ({"sites": ["A"]}, Among("site", ("A",))),
        ({"lanes": ["1", "2"]}, Among("lane", ("1", "2"))),
        ({"directions": ["approaching"]}, Among("direction", ("approaching",))),
        ({"regions": ["TR"]}, Among("plate.region", ("TR",))),
        ({"vehicle_types": ["truck"]}, Among("vehicle.type", ("truck",))),
        ({"vehicle_colors": ["red"]}, Among("vehicle.color", ("red",))),
        ({"watchlist": "stolen"}, Watched(("stolen",))),
        ({"watchlist": ["b", "a"]}, Watched(("a", "b"))),
        ({"watchlist": {}}, Watched()),
        (
            {"watchlist": {"lists": "a", "kinds": ["deny"], "confidence": 0.9}},
            Watched(("a",), ("deny",), 0.9),
        ),
        ({"not": {"zones": ["gate"]}}, Not(Among("zone", ("gate",)))),
        ({"not": {"not": {"zones": ["gate"]}}}, Among("zone", ("gate",))),
        (
            {"any": [{"zones": ["a"]}, {"plates": ["X1"]}]},
            AnyOf((PlateIs("X1", "exact"), Among("zone", ("a",)))),
        ),
        ({"all": [{"zones": ["a"]}]}, Among("zone", ("a",))),
        ({"time": {"from": "22:00", "to": "06:00"}}, When(1320, 360)),
        ({"time": {"from": "22:00", "to": "00:00"}}, When(1320, 1440)),
        ({"time": {"days": "mon-fri"}}, When(days=(0, 1, 2, 3, 4))),
        ({"time": {"days": ["sat", "mon-tue"]}}, When(days=(0, 1, 5))),
        (
            {
                "time": {
                    "holidays": "except",
                    "dates": ["2026-12-24"],
                    "country": "US-CA",
                    "timezone": "Europe/Istanbul",
                }
            },
            When(
                holidays="except",
                dates=("2026-12-24",),
                country="US-CA",
                timezone="Europe/Istanbul",
            ),
        ),
        (
            {"time": [{"days": ["sat"]}, {"from": "22:00"}]},
            AnyOf((When(days=(5,)), When(1320, 1440))),
        ),
    ],
)
def test_a_condition_is_one_key_for_one_idea(conditions: Any, expected: Condition) -> None:
    assert where(conditions) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"count": {"at_least": 3, "within": "today"}}, Count(3)),
        ({"count": {"at_least": 3, "by": "zone", "within": "10m"}}, Count(3, "zone", 10 * MINUTE)),
        (
            {"count": {"more_than": 5, "distinct": "plates", "by": "site", "within": "1h"}},
            Count(6, "site", 60 * MINUTE, True),
        ),
        (
            {"count": {"more_than": 5, "distinct": "plates", "within": "1h"}},
            Count(6, "", 60 * MINUTE, True),
        ),
        (
            {"dwell": {"enter": {"zones": "in"}, "leave": {"zones": "out"}, "longer_than": "2h"}},
            Dwell(Among("zone", ("in",)), Among("zone", ("out",)), 120 * MINUTE),
        ),
        ({"first_seen": True}, Unseen(None)),
        ({"not_seen_for": "30d"}, Unseen(30 * 24 * 60 * MINUTE)),
        (
            {"sequence": {"steps": [{"zones": "a"}, {"zones": "b"}], "within": "10m"}},
            Sequence((Among("zone", ("a",)), Among("zone", ("b",))), 10 * MINUTE),
        ),
        ({"convoy": {}}, Convoy(2, 3, MINUTE, 60 * MINUTE)),
        (
            {"convoy": {"plates": 3, "cameras": 2, "apart": "30s", "within": "2h"}},
            Convoy(3, 2, MINUTE // 2, 120 * MINUTE),
        ),
        ({"impossible_travel": {}}, Travel(250.0, 1.0)),
        ({"impossible_travel": {"faster_than_kmh": 300, "farther_than_km": 5}}, Travel(300.0, 5.0)),
        ({"silent_for": "5m"}, Silent(5 * MINUTE)),
    ],
)
def test_a_rule_has_one_pattern_over_several_sightings(keys: Any, expected: object) -> None:
    assert one(**keys).pattern == expected


def test_the_words_of_a_rule_have_defaults() -> None:
    rule = one()
    assert (rule.enabled, rule.severity, rule.cooldown, rule.sure) == (
        True,
        "warning",
        5 * MINUTE,
        0.8,
    )
    assert (rule.description, rule.actions, rule.escalation) == ("", (), None)


def test_an_action_says_what_it_tells_and_who_else_hears_when_nobody_acknowledges() -> None:
    rule = one(
        severity="critical",
        cooldown="0s",
        sure=0.9,
        actions=[{"type": "slack", "on": "raised"}],
        escalate={"after": "10m", "actions": [{"type": "sms", "to": "+905321234567"}]},
    )
    assert rule.actions == (Action("slack", {}, ("raised",)),)
    assert rule.escalation == Escalation(
        10 * MINUTE, (Action("sms", {"to": "+905321234567"}, ("raised", "withdrawn")),)
    )


def test_plain_words_are_words_as_yaml_1_2_has_them() -> None:
    text = """
rules:
  - name: on
    conditions: {time: {days: [mon], from: 22:00, to: 6:00}, camera_ids: [no, off]}
"""
    assert refused(text) == [
        (
            4,
            "rules[0].conditions.time.to",
            'must be a time of day from "00:00" to "24:00", not included, not "6:00"',
        )
    ]
    (rule,) = parse(text.replace("6:00", "06:00"), "rules.yaml").rules
    assert rule.name == "on"
    assert Among("camera_id", ("no", "off")) in rule.where.of  # type: ignore[union-attr]


# The normal form


def test_order_spelling_and_case_make_no_difference_to_what_a_rule_is() -> None:
    a = one(conditions={"plates": ["x 1", "Y2"], "camera_ids": ["B", "A"]}, sure=0.80)
    b = one(conditions=[{"camera_ids": ["A", "B"]}, {"all": [{"plates": ["Y2", "X1", "x-1"]}]}])
    assert a == b


def test_the_shape_stays_while_only_words_change() -> None:
    a = one(conditions={"zones": "a"})
    b = one(conditions={"zones": "a"}, name="other", severity="info", actions=[{"type": "slack"}])
    c = one(conditions={"zones": "a"}, cooldown="1m")
    assert a.shape == b.shape != c.shape
    assert len({a.version, b.version, c.version}) == 3
    assert len(a.version) == len(a.shape) == 12


def test_a_definition_is_canonical_json() -> None:
    definition = one(conditions={"plates": ["A1"]}, description="Ünlü").definition
    value = json.loads(definition)
    assert definition == json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert value["conditions"] == {"plates": ["A1"]}
    assert value["cooldown"] == "5m"


def test_yaml_leaves_defaults_out_and_reads_back() -> None:
    rule = one(conditions={"zones": ["a"]}, actions=[{"type": "slack", "channel": "#a"}])
    text = to_yaml([rule])
    assert yaml.safe_load(text) == {
        "rules": [
            {
                "name": "r",
                "conditions": {"zones": ["a"]},
                "actions": [{"type": "slack", "channel": "#a"}],
            }
        ]
    }
    assert parse(text, "rules.yaml").rules == (rule,)


words = st.sampled_from(["a", "B", "gate", "Çıkış", "on", "null", "12", "22:00", "x: y", "#z", " "])
texts = st.lists(words, min_size=1, max_size=3)
comparisons = st.one_of(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["plate_confidence", "latency_ms", "stay_seconds"]),
            "operator": st.sampled_from(["==", "!=", ">", ">=", "<", "<="]),
            "value": st.one_of(st.integers(-9, 9), st.sampled_from([0.5, 0.1, 1e6, 1e-7])),
        }
    ),
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["camera_id", "vehicle.color", "track_id", "plate.text"]),
            "operator": st.sampled_from(["==", "!="]),
            "value": st.one_of(words, texts),
        }
    ),
)
plates = st.lists(st.sampled_from(["A1", "b 2", "34-ABC"]), min_size=1, max_size=3)
patterns = st.fixed_dictionaries(
    {
        "pattern": st.sampled_from(["A1", "34", "0O"]),
        "match_type": st.sampled_from(
            ["exact", "prefix", "suffix", "contains", "wildcard", "regex", "fuzzy"]
        ),
    }
)
windows = st.fixed_dictionaries(
    {
        "from": st.sampled_from(["00:00", "08:30", "23:59"]),
        "to": st.sampled_from(["08:00", "24:00"]),
    },
    optional={
        "days": st.lists(
            st.sampled_from(["mon", "tue-thu", "sat", "fri-sun"]), min_size=1, max_size=4
        ),
        "timezone": st.sampled_from(["Europe/Istanbul", "Asia/Tokyo"]),
    },
)
simple = st.one_of(
    comparisons,
    st.fixed_dictionaries({"plates": plates}),
    st.fixed_dictionaries({"plate_patterns": st.lists(patterns, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"zones": texts, "camera_ids": texts}),
    st.fixed_dictionaries({"fields": st.lists(comparisons, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"time": st.one_of(windows, st.lists(windows, min_size=1, max_size=2))}),
    st.fixed_dictionaries(
        {
            "watchlist": st.fixed_dictionaries(
                {}, optional={"lists": texts, "kinds": st.just("deny")}
            )
        }
    ),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3), "zones": texts}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=8,
)
durations = st.sampled_from(["1s", "90s", "0.25s", "1.5h", "7d"])
rules = st.builds(
    lambda where, pattern, rest: {"name": "r", "conditions": where} | pattern | rest,
    conditions,
    st.one_of(
        st.just({}),
        st.builds(lambda d: {"cooldown": d}, durations),
        st.just({"first_seen": True}),
        st.builds(lambda d: {"not_seen_for": d}, durations),
        st.builds(
            lambda a, b, d: {"dwell": {"enter": a, "leave": b, "longer_than": d}},
            conditions,
            conditions,
            durations,
        ),
        st.builds(
            lambda steps, d: {"sequence": {"steps": steps, "within": d}},
            st.lists(conditions, min_size=2, max_size=3),
            durations,
        ),
        st.builds(lambda d: {"count": {"at_least": 2, "within": d}}, durations),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "description": words,
            "sure": st.floats(0, 1),
            "severity": st.sampled_from(["info", "critical"]),
            "actions": st.just([{"type": "email", "to": "a@b.c", "on": ["withdrawn"]}]),
        },
    ),
)


@given(rules)
@settings(max_examples=150, deadline=None)
def test_a_definition_gives_the_rule_back_and_so_does_its_yaml(value: Any) -> None:
    (rule,) = parse(json.dumps({"rules": [value]}), "rules.yaml").rules
    assert rule_of(rule.definition) == rule
    assert parse(to_yaml([rule]), "rules.yaml").rules == (rule,)
    assert normal.defined(rule) == rule
    assert Draft202012Validator(SCHEMA).is_valid({"rules": [json.loads(rule.definition)]})


leaf = st.one_of(
    st.builds(Among, st.just("zone"), st.lists(st.sampled_from("ab"), min_size=1).map(tuple)),
    st.builds(PlateIs, st.sampled_from(["A1", "A"]), st.sampled_from(["exact", "prefix"])),
    st.builds(Compare, st.just("plate.confidence"), st.sampled_from(["<", ">="]), st.just(0.5)),
)
trees = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=10,
)


def normal_form(condition: Condition) -> Condition:
    match condition:
        case All(of=of):
            return normal.all_of([normal_form(one) for one in of])
        case AnyOf(of=of):
            return normal.any_of([normal_form(one) for one in of])
        case Not(of=of):
            return normal.none_of(normal_form(of))
        case _:
            return condition


@given(
    trees, st.sampled_from("ab"), st.sampled_from(["A1", "A2", "B"]), st.sampled_from([0.4, 0.9])
)
@settings(max_examples=200, deadline=None)
def test_the_normal_form_means_the_same_and_is_its_own_normal_form(
    tree: Condition, zone: str, plate: str, confidence: float
) -> None:
    event = event_of({"zone": zone, "plate": plate, "confidence": confidence})
    found = normal_form(tree)
    assert holds(found, event, ()) == holds(tree, event, ())
    assert normal_form(found) == found


@given(st.integers(0, 400 * 24 * 60 * MINUTE))
def test_a_duration_is_written_so_that_it_is_read_back(duration: int) -> None:
    assert microseconds(written(duration)) == duration


# What is refused, where, and with which cure


def test_each_problem_is_told_with_its_line_and_field() -> None:
    text = """\
rules:
  - name: first
    descriptoin: y
    conditions:
      time: {from: "25:00", days: [mon, fri-mon]}
      camera_id: [a]
    cooldown: 10
    severity: criticle
  - name: second
    conditions:
      - {field: plate_confidnce, operator: ">=", value: 0.9}
  - name: second
    conditions:
      time:
        timezone: Europe/Istambul
"""
    found = refused(text)
    assert [(line, field) for line, field, _ in found] == [
        (3, "rules[0].descriptoin"),
        (5, "rules[0].conditions.time.from"),
        (6, "rules[0].conditions.camera_id"),
        (7, "rules[0].cooldown"),
        (8, "rules[0].severity"),
        (11, "rules[1].conditions[0].field"),
        (12, "rules[2].name"),
        (15, "rules[2].conditions.time.timezone"),
    ]
    messages = [message for _, _, message in found]
    assert "did you mean description?" in messages[0]
    assert "did you mean camera_ids?" in messages[2]
    assert "like 10m" in messages[3]
    assert "'critical'" in messages[4]
    assert "plate_confidence" in messages[5]
    with pytest.raises(RulesError, match=r"rules\.yaml:3: rules\[0\]\.descriptoin: is no key"):
        parse(text, "rules.yaml")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"conditions": {"plate_patterns": [{"pattern": "(", "match_type": "regex"}]}}, "RE2"),
        ({"conditions": {"plate_patterns": [{"pattern": "(?=a)", "match_type": "regex"}]}}, "RE2"),
        (
            {
                "conditions": {
                    "plate_patterns": [{"pattern": "((a{99}){99}){99}", "match_type": "regex"}]
                }
            },
            "RE2",
        ),
        ({"conditions": {"plate_patterns": [{"pattern": "A*B"}]}}, "match_type: wildcard"),
        (
            {"conditions": {"plate_patterns": [{"pattern": "*", "match_type": "prefix"}]}},
            "no letter",
        ),
        (
            {"conditions": {"plate_patterns": [{"pattern": "**", "match_type": "wildcard"}]}},
            "every plate",
        ),
        ({"conditions": {"plate_patterns": [{"pattern": "A", "similarity": 0.9}]}}, "fuzzy alone"),
        ({"conditions": {"plates": ["A*"]}}, "plate_patterns"),
        ({"conditions": {"plates": [123]}}, "in quotes"),
        ({"conditions": {"plates": ["A"], "plate_patterns": [{"pattern": "B"}]}}, "under any"),
        ({"conditions": None}, "not nothing"),
        ({"conditions": {"any": []}}, "is empty"),
        ({"conditions": {"not": {}}}, "is empty"),
        ({"conditions": {"time": {"from": "10:00", "to": "10:00"}}}, "the whole day"),
        ({"conditions": {"time": {"days": ["fri-mon"]}}}, "[fri-sun, mon]"),
        ({"conditions": {"time": {"dates": ["2026-02-30"], "holidays": "only"}}}, "in no calendar"),
        ({"conditions": {"time": {"holidays": "only"}}}, "add country, or dates"),
        ({"conditions": {"time": {"country": "TR"}}}, "has no effect"),
        ({"conditions": {"time": {"country": "XX", "holidays": "only"}}}, "no holidays are known"),
        ({"conditions": [{"field": "camera_id", "operator": ">", "value": 1}]}, "with == or !="),
        (
            {"conditions": [{"field": "camera_id", "operator": "==", "value": 1}]},
            'write "1" in quotes',
        ),
        ({"conditions": [{"field": "reads", "operator": ">", "value": "1"}]}, "without quotes"),
        ({"conditions": [{"field": "reads", "operator": ">", "value": True}]}, "true is none"),
        (
            {"conditions": [{"field": "reads", "operator": ">", "value": [1, 2]}]},
            "takes one number",
        ),
        (
            {"conditions": [{"field": "reads", "operator": "=", "value": 1}]},
            "an operator in quotes",
        ),
        ({"conditions": [{"field": "reads", "operator": ">"}]}, "lacks value"),
        ({"conditions": [{"field": "captured_at", "operator": ">", "value": "x"}]}, "no moment"),
        ({"type": "plate_match"}, "lacks plates"),
        ({"type": "threshold", "field": "reads"}, "lacks operator"),
        ({"plates": ["A"]}, "type: plate_match"),
        ({"count": {"within": "10m"}}, "one of at_least and more_than"),
        ({"count": {"at_least": 3}}, "lacks within"),
        ({"count": {"at_least": 3, "within": "32d"}}, "31d at most"),
        (
            {"count": {"at_least": 3, "within": "1h", "by": "plate", "distinct": "plates"}},
            "one plate",
        ),
        ({"sequence": {"steps": [], "within": "10m"}}, "is empty"),
        ({"sequence": {"steps": [{"zones": "a"}], "within": "10m"}}, "2 to 10"),
        ({"convoy": {"apart": "2h", "within": "1h"}}, "longer than within"),
        ({"first_seen": True, "not_seen_for": "30d"}, "stands beside first_seen"),
        ({"first_seen": False}, "must be true"),
        ({"silent_for": "5m", "conditions": {"zones": ["a"]}}, "only camera_ids"),
        ({"silent_for": "0s"}, "more than 0s"),
        ({"first_seen": True, "cooldown": "5m"}, "cooldown: has no effect"),
        ({"sure": 1.5}, "0 to 1"),
        ({"enabled": "yes"}, "true or false"),
        ({"name": "a\nb"}, "control character"),
        ({"name": ""}, "1 to 100"),
        ({"description": "x" * 2001}, "2,000 is the most"),
        ({"actions": [{"type": "slak"}]}, "'slack'"),
        ({"actions": [{"type": "email"}]}, "to whom"),
        ({"actions": [{"type": "email", "to": "nobody"}]}, "email address"),
        ({"actions": [{"type": "sms", "to": "0532"}]}, "+905321234567"),
        ({"actions": [{"type": "webhook"}]}, "to whom"),
        ({"actions": [{"type": "webhook", "url": "ftp://x"}]}, "http or https"),
        ({"actions": [{"type": "webhook", "url": "http://x", "url_env": "WEBHOOK_A"}]}, "keep one"),
        ({"actions": [{"type": "apprise"}]}, "lacks url_env"),
        ({"actions": [{"type": "slack", "on": ["rised"]}]}, "'raised'"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_cure(keys: dict[str, Any], said: str) -> None:
    assert said in told(**keys)


def test_a_rule_must_say_what_it_is_about() -> None:
    assert "has no conditions" in refused("rules: [{name: a}]")[0][2]


@pytest.mark.parametrize(
    "action",
    [
        {"type": "webhook", "url": "https://user:GEHEIM@example.com/x"},
        {"type": "webhook", "url": "https://example.com/x?token=GEHEIM"},
        {"type": "webhook", "url": "https://hooks.slack.com/services/T0/B0/GEHEIM"},
        {"type": "webhook", "url": "https://x.example", "headers": {"Authorization": "GEHEIM"}},
        {"type": "webhook", "url": "https://x.example", "token": "GEHEIM"},
        {"type": "webhook", "url": "https://x.example", "secret_env": "GEHEIM"},
        {"type": "webhook", "url": "https://x.example", "secret_env": "ALPR_GEHEIM"},
        {"type": "email", "to": "a@b.c", "password": "GEHEIM"},
        {"type": "slack", "url_env": "https://hooks.slack.com/services/GEHEIM"},
        {"type": "apprise", "url_env": "tgram://GEHEIM"},
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(action: dict[str, Any]) -> None:
    said = told(actions=[action])
    assert "environment variable" in said
    assert "GEHEIM" not in said


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nrules: []\na: 2\n", 3, "stands here twice, first in line 1"),
        ("rules:\n\t- name: a\n", 2, "not with tabs"),
        ("x: &a [1]\nrules: []\n", 1, "anchors and aliases"),
        ("rules: []\nx: *a\n", 2, "anchors and aliases"),
        ("rules: !!python/object/apply:os.system [x]\n", 1, "is not read"),
        ("rules: []\n---\nrules: []\n", 2, "second document"),
        ("rules: " + "[" * 100, 1, "40 deep"),
        ("rules: [", 1, "no YAML"),
        ("? [a]\n: 1\n", 1, "a key must be a word"),
        ("", 1, "not nothing"),
        ("- a\n", 1, "a mapping with rules"),
        ("rules: 5\n", 1, "a list of rules"),
        ('rules: [{name: "a\\0", conditions: {}}]', 1, "control character"),
        ("rules: [\x00]", 1, "no YAML"),
        ("rules: [{name: a, conditions: {}, sure: 1e999}]", 1, "0 to 1"),
        (b"\xff\xfer\x00", 1, "UTF-16"),
        (b"rules: []\n# \xe4\n", 2, "not in UTF-8"),
        ("x" * (8 * 1024 * 1024 + 1), 1, "split it"),
    ],
)
def test_what_is_no_plain_document_is_refused_by_line(
    text: str | bytes, line: int, said: str
) -> None:
    found = refused(text)
    assert (found[0][0], said in found[0][2]) == (line, True), found[0]


def test_a_file_of_nothing_but_problems_is_told_within_bounds() -> None:
    found = refused("rules: [" + "[]," * 19_000 + "]")
    assert len(found) == 200


def test_a_rule_of_too_many_conditions_is_refused() -> None:
    plates = [f"A{i}" for i in range(9_000)]
    several = [{"plates": plates}, {"plates": plates}, {"plates": plates}]
    assert "keep plates on a watchlist" in told(conditions={"any": several})


@given(st.text(alphabet='rules:-[]{}&*!?|>"\n\t name,abc:12', max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_rules_or_problems(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        parse(text, "rules.yaml")
    except RulesError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.message for problem in problems)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["any", "not", "time", "from", "plates", "field", "value", "count"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "conditions",
                "count",
                "dwell",
                "actions",
                "escalate",
                "sure",
                "type",
                "plates",
            ]
        ),
        json_values,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_definition_gives_a_rule_or_problems(value: Any) -> None:
    try:
        rule_of(json.dumps(value))
    except RulesError as error:
        problems = error.problems
    else:
        problems = None
    assert problems != ()


# Examples and the sample


def test_examples_are_kept_with_their_rule_and_their_line() -> None:
    text = """\
rules:
  - name: Denied
    conditions: {watchlist: {kinds: deny}}
    examples:
      - name: one of two
        watchlist: [{watchlist: bad, plate: 34 abc 12, kind: deny}]
        events:
          - {plate: 34 ABC 12, zone: in, at: 10m, confidence: 0.7}
          - {plate: 06XY1, camera_id: CAM-9, at: "2026-03-02T15:00+03:00"}
        until: 1h
        plates: [34 ABC 12]
examples:
  - name: of the file
    silent: [{camera_id: CAM-1, at: 5m}]
    alerts: {Denied: 0}
"""
    file = parse(text, "rules.yaml")
    first, second = file.examples
    assert (first.name, first.rule, first.line) == ("one of two", "Denied", 5)
    assert [event["plate"]["normalized_text"] for event in first.events] == ["06XY1", "34ABC12"]
    event = first.events[1]
    assert event["captured_at"] == START + 10 * MINUTE
    assert (event["node"]["zone"], event["plate"]["confidence"]) == ("in", 0.7)
    assert (event["status"], event["camera_id"]) == ("confirmed", "CAM-001")
    assert len({event["event_id"] for event in first.events}) == 2
    assert first.watchlist[0]["plate"] == "34ABC12"
    assert first.until == START + 60 * MINUTE
    assert first.expected == (Expected("Denied", None, ("34ABC12",)),)
    assert second.silences[0]["heard_at"] == START + 5 * MINUTE
    assert second.expected == (Expected("Denied", 0),)


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({"name": "e", "alerts": 1}, "shows nothing"),
        ({"name": "e", "events": [{"plate": "A"}]}, "add alerts: 1, or plates"),
        ({"name": "e", "events": [{"plat": "A"}], "alerts": 1}, "plate"),
        ({"name": "e", "events": [{"at": "x"}], "alerts": 1}, "no moment"),
        ({"name": "e", "events": [{"zone": 5}], "alerts": 1}, "zone is a text"),
        ({"name": "e", "events": [{"at": "5m"}], "until": "1m", "alerts": 1}, "put it later"),
        (
            {
                "name": "e",
                "events": [{}],
                "watchlist": [{"plate": "A*", "match": "exact"}],
                "alerts": 1,
            },
            "wildcard",
        ),
    ],
)
def test_an_example_that_cannot_be_played_is_refused(example: Any, said: str) -> None:
    assert said in told(examples=[example])


def test_an_example_may_only_expect_something_of_rules_that_are_there() -> None:
    text = "rules: [{name: Denied, conditions: {}}]\n"
    text += "examples: [{name: e, events: [{}], alerts: {denied: 1}}]"
    assert "did you mean 'Denied'?" in refused(text)[0][2]


def test_the_sample_is_sound_and_sends_nothing_before_somebody_says_so() -> None:
    file = parse(SAMPLE.read_bytes(), str(SAMPLE))
    assert [rule.name for rule in file.rules[:3]] == [
        "High Priority Vehicle",
        "Watchlist Match",
        "High Confidence Detection",
    ]
    assert not [rule.name for rule in file.rules if rule.enabled and rule.actions]
    assert [one for tries in tried(file).values() for one in tries if not one.passed] == []
    patterns = {type(rule.pattern) for rule in file.rules}
    assert {Count, Dwell, Unseen, Sequence, Convoy, Travel, Silent} <= patterns


def test_regular_expressions_that_are_large_together_are_refused() -> None:
    one = "- {match_type: regex, pattern: '(?:\\pL){0,12}%d'}"
    few, many = ("\n      ".join(one % n for n in range(count)) for count in (6, 60))
    text = "rules:\n  - name: Any\n    conditions:\n      plate_patterns:\n      %s"
    assert parse(text % few, "rules").rules
    with pytest.raises(RulesError, match="instructions of RE2, 100,000 is the most"):
        parse(text % many, "rules")


# The docs


def test_every_rule_in_the_docs_is_read() -> None:
    text = DOCS.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    for block in blocks:
        line = text[: text.index(block)].count("\n")
        assert parse("\n" * line + block, str(DOCS)).rules


def test_the_docs_name_every_field_and_every_key_of_a_rule() -> None:
    text = DOCS.read_text(encoding="utf-8")
    keys = [*SCHEMA["$defs"]["rule"]["properties"], *SCHEMA["$defs"]["keys"]["properties"]]
    assert [
        name for name in (*FIELDS, *keys) if f"`{name}`" not in text and f" {name}:" not in text
    ] == []


def test_one_plate_needs_no_list():
    one, many = (
        parse(f"rules:\n- name: a\n  conditions: {{plates: {plates}}}\n", "rules").rules[0]
        for plates in ("34 abc 12", "[34ABC12]")
    )
    assert one == many
    with pytest.raises(RulesError, match=r"rules:3: .*plates: '34\*' is a pattern"):
        parse("rules:\n- name: a\n  conditions: {plates: 34*}\n", "rules")
