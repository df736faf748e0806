"""A rule in words: every kind of rule is told, and whole."""

from pathlib import Path

import pytest

from rules.alerts.parse import parse
from rules.alerts.words import words


def told(text: str) -> str:
    (rule,) = parse(f"rules:\n  - name: x\n{text}", "x").rules
    return "; ".join(words(rule))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    conditions: {}", "when always"),
        ("    conditions: {camera_ids: [CAM-001, CAM-002]}", "the camera is CAM-001 or CAM-002"),
        ("    conditions: {watchlist: stolen}", "when the plate is on stolen"),
        ("    conditions: {not: {watchlist: staff}}", "when not (the plate is on staff)"),
        ("    first_seen: true", "when a plate is seen for the first time ever"),
        ("    silent_for: 2m", "when a camera is not heard for 2m"),
        ("    count: {at_least: 3, within: 10m}", "3 sightings of one plate within 10m"),
    ],
)
def test_a_rule_is_told(text: str, said: str):
    assert said in told(text)


def test_every_rule_of_the_sample_file_has_words():
    text = Path("config/alert_rules.yaml").read_text(encoding="utf-8")
    for rule in parse(text, "alert_rules.yaml").rules:
        assert all(words(rule))
