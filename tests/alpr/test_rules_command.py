"""Alert rules by the command line: files tested and brought into force, rules switched."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpr.cli import main
from alpr.rules_file import Applied, RulesFileError, apply, told
from alpr.settings import load
from alpr.wiring import open_codec, open_log
from eventlog.log import Append
from projections.statements import Statements
from rules.alerts.parse import parse
from schemas.topics import RULES

SEEDS = """
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
"""
TESTED = """
rules:
  - name: stolen
    conditions: {watchlist: police}
    cooldown: 10m
    examples:
      - name: one that is on the list
        watchlist: [{watchlist: police, plate: 34ABC123}]
        events: [{plate_text: 34ABC123}, {plate_text: 34XYZ99}]
        plates: [34ABC123]
      - name: the same car twice in ten minutes
        watchlist: [{watchlist: police, plate: 34ABC123}]
        events: [{plate_text: 34ABC123}, {plate_text: 34ABC123, at: 9m}]
        alerts: 1
"""


class Rules:
    """The rules of a system's log."""

    def __init__(self, home: Path) -> None:
        settings = load({"ALPR_HOME": str(home)}, None)
        self.log = open_log(settings)
        self.codec = open_codec(settings)
        self.now = 1_750_000_000_000_000

    def clock(self) -> int:
        return self.now

    def apply(self, text: str, *, force: bool = False) -> Applied:
        path = Path("mine.yaml")
        path.write_text(text)
        return apply(self.log, self.codec, path, self.clock, force=force)

    def by_others(self, name: str, text: str | None, who: str = "api:ayse") -> None:
        statements = Statements(self.log, self.codec, self.clock)
        if text is None:
            statements.remove_rule(name, who)
            return
        (rule,) = parse(text, "api").rules
        statements.rule(rule, who)

    def standing(self) -> dict[str, Any]:
        """Definitions by name."""
        return {
            name: json.loads(one.last["definition"])
            for name, one in told(self.log, self.codec).items()
            if one.last["definition"]
        }

    def written(self) -> int:
        return self.log.end(RULES.name, 0)


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rules]:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rules = Rules(tmp_path / "home")
    with closing(rules.log):
        yield rules


def one(name: str, plate: str = "ABC1234") -> str:
    return f"rules: [{{name: {name}, type: plate_match, plates: [{plate}]}}]"


def alpr(*arguments: str) -> int:
    return main(["rules", *arguments])


# A file and the log


def test_the_seeds_rules_are_brought_into_force_once(rules: Rules, capsys):
    Path("alert_rules.yaml").write_text(SEEDS)
    assert alpr("apply", "alert_rules.yaml") == 0
    told = "Watchlist Match: in force\nHigh Priority Vehicle: in force\n"
    assert capsys.readouterr().out == told
    assert alpr("apply", "alert_rules.yaml") == 0
    assert capsys.readouterr().out == "2 rules as before\n"
    assert rules.written() == 2


def test_only_what_changed_in_the_file_is_written(rules: Rules):
    rules.apply(one("a") + "\n")
    both = "rules:\n" + "\n".join(
        f"  - {{name: {name}, type: plate_match, plates: [{plate}]}}"
        for name, plate in [("a", "ABC1234"), ("b", "B1")]
    )
    assert rules.apply(both) == Applied(("b",), (), ("a",), {})
    assert rules.apply(both.replace("B1", "B2")) == Applied(("b",), (), ("a",), {})
    assert rules.written() == 3


def test_words_that_mean_the_same_are_no_change(rules: Rules):
    rules.apply(one("a"))
    assert rules.apply("# said otherwise\n" + one("a", "abc-1234")).same == ("a",)


def test_what_the_file_had_and_has_no_more_is_removed(rules: Rules):
    rules.apply(one("a"))
    rules.by_others("theirs", one("theirs"))
    assert rules.apply(one("b")) == Applied(("b",), ("a",), (), {})
    assert set(rules.standing()) == {"b", "theirs"}
    assert rules.apply(one("a")) == Applied(("a",), ("b",), (), {})


@pytest.mark.parametrize("text", [one("a"), one("a", "CHANGED")], ids=["as it was", "changed"])
def test_a_rule_that_somebody_changed_since_is_left_and_told(rules: Rules, text: str):
    rules.apply(one("a"))
    rules.by_others("a", one("a", "THEIRS"))
    assert rules.apply(text).left == {"a": "changed by api:ayse"}
    assert rules.standing()["a"]["conditions"] == {"plates": ["THEIRS"]}
    assert rules.apply(text, force=True).written == ("a",)
    assert rules.standing()["a"]["conditions"] != {"plates": ["THEIRS"]}
    assert rules.apply(text).same == ("a",)


def test_a_rule_that_somebody_removed_stays_removed(rules: Rules):
    rules.apply(one("a"))
    rules.by_others("a", None)
    assert rules.apply(one("a")).left == {"a": "removed by api:ayse"}
    assert rules.apply("rules: []") == Applied((), (), (), {})
    assert rules.standing() == {}
    assert rules.apply(one("a"), force=True).written == ("a",)


def test_a_rule_that_the_file_gave_up_but_somebody_changed_is_left(rules: Rules):
    rules.apply(one("a"))
    rules.by_others("a", one("a", "THEIRS"))
    assert rules.apply("rules: []").left == {"a": "changed by api:ayse"}
    assert set(rules.standing()) == {"a"}
    assert rules.apply("rules: []", force=True).removed == ("a",)


def test_a_name_that_somebody_else_has_is_not_taken(rules: Rules):
    rules.by_others("a", one("a", "THEIRS"))
    assert rules.apply(one("a")).left == {"a": "changed by api:ayse"}


def test_a_name_that_somebody_else_gave_up_is_free(rules: Rules):
    rules.by_others("a", one("a", "THEIRS"))
    rules.by_others("a", None)
    assert rules.apply(one("a")).written == ("a",)


def test_of_a_file_with_problems_nothing_is_brought_into_force(rules: Rules, capsys):
    with pytest.raises(RulesFileError, match=r"mine.yaml:\d+: rules\[0\]"):
        rules.apply("rules: [{name: a, nonsense: 1}, {name: b, type: plate_match, plates: [B]}]")
    assert alpr("apply", "mine.yaml") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("mine.yaml:1: rules[0].nonsense: ")
    assert told[1] == (
        "alpr: rules: mine.yaml cannot be used (1 problem); nothing was done: mend it first"
    )
    assert rules.written() == 0


def test_what_a_person_changed_is_told_when_the_file_is_applied(rules: Rules, capsys):
    Path("mine.yaml").write_text(one("a"))
    alpr("apply", "mine.yaml")
    alpr("disable", "a")
    capsys.readouterr()
    assert alpr("apply", "mine.yaml") == 0
    assert "a: left as it is, last changed by cli:" in capsys.readouterr().err
    assert alpr("apply", "mine.yaml", "--force") == 0
    assert rules.standing()["a"]["enabled"] is True


# Looking and switching


def test_rules_are_listed_and_shown_as_a_file_has_them(rules: Rules, capsys):
    Path("alert_rules.yaml").write_text(SEEDS)
    alpr("apply", "alert_rules.yaml")
    capsys.readouterr()
    assert alpr("list") == 0
    head, first, _ = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["RULE", "STATE", "SEVERITY", "VERSION"]
    assert "file:alert_rules.yaml" in first
    assert "when the plate begins with ABC" in first
    assert alpr("list", "--json") == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert names == ["High Priority Vehicle", "Watchlist Match"]
    assert alpr("show", "Watchlist Match") == 0
    shown = capsys.readouterr().out
    assert "Watchlist Match, enabled, version " in shown
    Path("again.yaml").write_text(shown)
    assert parse(shown, "again").rules[0].definition == parse(SEEDS, "seeds").rules[0].definition


def test_a_rule_is_switched_off_and_on_and_removed(rules: Rules, capsys):
    rules.apply(one("a"))
    assert alpr("disable", "a") == 0
    assert rules.standing()["a"]["enabled"] is False
    assert alpr("disable", "a") == 0
    assert capsys.readouterr().out == "a: disabled\na is disabled already\n"
    assert alpr("enable", "a") == 0
    assert rules.standing()["a"]["enabled"] is True
    assert alpr("remove", "a") == 0
    assert rules.standing() == {}
    assert alpr("remove", "a") == 1
    assert "there is no rule 'a'; there are none; it was removed by cli:" in capsys.readouterr().err


def test_what_another_program_wrote_is_told_and_can_be_removed(rules: Rules, capsys):
    rules.apply(one("a"))
    version = {"name": "b", "effective_from": 0, "definition": '{"x": 1}', "actor": "else"}
    value = rules.codec.encode(RULES.name, "RuleVersion", version)
    rules.log.append(RULES.name, 0, [Append(b"b", value)])
    assert alpr("list") == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 2
    assert "b, by else, is no rule: " in told.err
    assert alpr("remove", "b") == 0
    assert alpr("backtest", "--in-force", "--since", "1d") == 0


def test_the_sample_file_passes_its_own_test(rules: Rules):
    sample = Path(__file__).parents[2] / "config" / "alert_rules.yaml"
    assert alpr("test", str(sample)) == 0


def test_the_schema_is_printed_for_editors(rules: Rules, capsys):
    assert alpr("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Alert rules of OVR-ALPR"


# Testing a file


def test_a_file_whose_examples_go_as_expected_passes(rules: Rules, capsys):
    Path("tested.yaml").write_text(TESTED)
    assert alpr("test", "tested.yaml") == 0
    assert capsys.readouterr().out == "passed       stolen (2)\n"
    assert alpr("check", "tested.yaml") == 0
    assert capsys.readouterr().out == "tested.yaml: 1 rule, no problems\n"


def test_an_example_that_goes_otherwise_is_told_with_what_was_raised(rules: Rules, capsys):
    Path("tested.yaml").write_text(
        TESTED.replace("cooldown: 10m", "cooldown: 5m").replace("plates: [34ABC123]", "plates: []")
    )
    assert alpr("test", "tested.yaml") == 1
    fate, first, second = capsys.readouterr().out.splitlines()
    assert fate == "FAILED       stolen (2)"
    told = "  tested.yaml:7: one that is on the list: expected alerts about nothing, raised 1 alert"
    assert first.startswith(told)
    assert "the same car twice in ten minutes: expected 1 alert, raised 2 alerts: " in second


def test_a_disabled_rule_is_tested_as_well(rules: Rules):
    Path("tested.yaml").write_text(TESTED.replace("cooldown", "enabled: false\n    cooldown"))
    assert alpr("test", "tested.yaml") == 0


def test_a_rule_without_examples_passes_and_is_told(rules: Rules, capsys):
    Path("seeds.yaml").write_text(SEEDS)
    assert alpr("test", "seeds.yaml") == 0
    assert capsys.readouterr().out.startswith("no examples  Watchlist Match\n")


@pytest.mark.parametrize("what", ["check", "test"])
def test_what_is_wrong_with_a_file_is_told_by_line_and_field(rules: Rules, capsys, what: str):
    Path("bad.yaml").write_text(
        "rules:\n"
        "  - name: a\n"
        "    conditions: {cameras: [x]}\n"
        "  - name: b\n"
        "    type: plate_match\n"
        "    plates: [B1]\n"
        "    actions: [{type: email, to: nobody}]\n"
    )
    assert alpr(what, "bad.yaml") == 1
    assert capsys.readouterr().err.startswith("bad.yaml:3: rules[0].conditions.cameras: ")


def test_an_action_that_its_channel_would_refuse_is_told(rules: Rules, capsys):
    actions = "actions: [{type: email, to: a@b.example, subject: 'at {place}'}]"
    Path("bad.yaml").write_text(f"rules: [{{name: b, type: plate_match, plates: [B], {actions}}}]")
    assert alpr("test", "bad.yaml") == 1
    told = "bad.yaml: rule 'b': subject: there is no field '{place}'; there are {plate}, "
    assert capsys.readouterr().err.startswith(told)


def test_a_file_that_cannot_be_read_is_a_usage_error(rules: Rules, capsys):
    assert alpr("test", "none.yaml") == 2
    assert "none.yaml cannot be read: No such file" in capsys.readouterr().err
