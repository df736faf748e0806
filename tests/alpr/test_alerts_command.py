"""Alerts by the command line: read from the log, and what people do about them appended to it."""

import argparse
import json
import shlex
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from alpr.cli import COMMANDS, main
from alpr.settings import load
from alpr.wiring import open_codec, open_log
from eventlog.log import Append, Log
from schemas.records import AlertEvent
from schemas.topics import ALERTS, partition_of

NOON = 1_750_000_000_000_000
MINUTE = 60_000_000
HIT = {
    "watchlist": "police",
    "plate": "34ABC123",
    "kind": "deny",
    "match": "fuzzy",
    "confidence": 0.91,
    "owner": "",
    "reason": "stolen",
    "tags": ["may"],
}


def alert_id(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"alert {number}"))


def event(number: int = 0, kind: str = "raised", **changed: Any) -> AlertEvent:
    at = NOON + number * MINUTE
    made: Any = {
        "alert_id": alert_id(number),
        "kind": kind,
        "at": at,
        "rule": "stolen cars",
        "rule_version": "0123456789ab",
        "event_id": f"event-{number}",
        "revision": 7,
        "subject": f"P{number}",
        "plate": f"P{number}",
        "camera_id": "gate",
        "severity": "critical",
        "message": f"P{number} at gate",
        "actor": None,
        "comment": None,
        "count": 1,
        "event_ids": [f"event-{number}"],
        "first_at": at,
        "last_at": at,
        "text": None,
        "confidence": 0.97,
        "site": "north",
        "zone": "",
        "timezone": "UTC",
        "images": None,
        "watched": None,
        "was": [],
        "reason": None,
        "near_change": False,
    }
    return made | changed


class Told:
    """The log of a system, with alerts appended by hand."""

    def __init__(self, home: Path) -> None:
        settings = load({"ALPR_HOME": str(home)}, None)
        self.log: Log = open_log(settings)
        self.codec = open_codec(settings)

    def append(self, *events: AlertEvent) -> None:
        for one in events:
            key = one["alert_id"].encode()
            partition = partition_of(key, self.log.partitions(ALERTS.name))
            value = self.codec.encode(ALERTS.name, "AlertEvent", one)
            self.log.append(ALERTS.name, partition, [Append(key, value)])

    def last(self, number: int) -> Any:
        partition = partition_of(alert_id(number).encode(), self.log.partitions(ALERTS.name))
        entry = self.log.read(ALERTS.name, partition, 0, 1000)[-1]
        return self.codec.decode(entry.value)[1]

    def written(self) -> int:
        partitions = range(self.log.partitions(ALERTS.name))
        return sum(self.log.end(ALERTS.name, partition) for partition in partitions)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    told = Told(tmp_path / "home")
    with closing(told.log):
        yield told


def alerts(*arguments: str) -> int:
    return main(["alerts", *arguments])


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    assert alerts("list", "--json", *arguments) == 0
    return [json.loads(line)["plate"] for line in capsys.readouterr().out.splitlines()]


def test_alerts_are_listed_newest_first_by_state_rule_plate_and_time(told: Told, capsys):
    told.append(event(1), event(2, rule="visits"), event(3), event(4, plate="X", was=["P4"]))
    told.append(event(2, "acknowledged", actor="api:ayse"))
    told.append(event(3, "withdrawn", reason="read anew"))
    assert listed(capsys) == ["X", "P3", "P2", "P1"]
    assert listed(capsys, "--state", "open") == ["X", "P1"]
    assert listed(capsys, "--state", "withdrawn") == ["P3"]
    assert listed(capsys, "--rule", "visits") == ["P2"]
    assert listed(capsys, "--plate", "p-4") == ["X"]
    assert listed(capsys, "--since", "2025-06-15T15:09:00Z") == ["X", "P3"]
    assert listed(capsys, "--limit", "1") == ["X"]
    assert alerts("list") == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("ID", "RAISED", "SEVERITY", "STATE", "RULE", "PLATE", "CAMERA", "N", "MESSAGE"),
    ]
    assert first.split()[0] == alert_id(4)[:8]


def test_an_alert_is_shown_with_what_became_of_it(told: Told, capsys):
    raised = event(1, watched=HIT, near_change=True)
    told.append(raised, raised)
    told.append(event(1, "acknowledged", actor="api:ayse", comment="on my way\x1b[2J"))
    assert alerts("show", alert_id(1)[:8]) == 0
    out = capsys.readouterr().out
    assert alert_id(1) in out
    assert "34ABC123 on police (deny), fuzzy, 91%: stolen; may" in out
    assert "within two seconds of a change" in out
    *_, first, acknowledged = out.splitlines()
    assert first.endswith("raised")
    assert acknowledged.endswith("acknowledged by api:ayse: on my way\\x1b[2J")
    assert alerts("show", alert_id(1), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [e["kind"] for e in shown["events"]] == ["raised", "acknowledged"]
    assert shown["state"] == "acknowledged"


def test_what_a_person_does_is_an_event_with_the_persons_name(told: Told, capsys, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "mehmet")
    told.append(event(1))
    short = alert_id(1)[:8]
    assert alerts("ack", short, "--comment", "seen") == 0
    last = told.last(1)
    assert (last["kind"], last["actor"], last["comment"]) == ("acknowledged", "cli:mehmet", "seen")
    assert (last["rule"], last["plate"], last["severity"]) == ("stolen cars", "P1", "critical")
    assert alerts("comment", short, "it was my own car") == 0
    assert told.last(1)["comment"] == "it was my own car"
    assert alerts("resolve", short) == 0
    assert told.last(1)["kind"] == "resolved"
    capsys.readouterr()
    assert listed(capsys, "--state", "resolved") == ["P1"]


def test_what_was_done_already_is_told_and_not_done_twice(told: Told, capsys):
    told.append(event(1), event(1, "acknowledged", actor="api:ayse"))
    assert alerts("ack", alert_id(1)) == 0
    assert "was acknowledged by api:ayse already" in capsys.readouterr().err
    assert told.written() == 2
    assert alerts("ack", alert_id(1), "--comment", "me too") == 0
    assert told.last(1)["kind"] == "commented"


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ("ffffffff", 1, "no alert has the id ffffffff; `alpr alerts list` shows them"),
        ("nonsense", 2, "'nonsense' is no alert's id"),
        ("", 2, "'' is no alert's id"),
    ],
)
def test_an_id_that_no_alert_has_is_told(told: Told, capsys, given, code, message):
    told.append(event(1))
    assert alerts("ack", given) == code
    assert message in capsys.readouterr().err


def test_the_beginning_of_two_ids_is_not_enough(told: Told, capsys):
    told.append(*(event(number) for number in range(40)))
    assert alerts("show", alert_id(1)[:1]) == 2
    assert "give more" in capsys.readouterr().err
    assert told.written() == 40


def test_an_empty_comment_is_refused(told: Told, capsys):
    told.append(event(1))
    assert alerts("comment", alert_id(1), "  ") == 2
    assert "the comment is empty" in capsys.readouterr().err


def test_no_alerts_are_told_apart_from_silence(told: Told, capsys):
    assert alerts("list") == 0
    assert capsys.readouterr().err == "no alerts\n"


def test_the_commands_of_the_docs_are_commands():
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("alpr ")]
    assert len(lines) > 20
    for line in lines:
        _, command, *arguments = shlex.split(line.partition(" > ")[0], comments=True)
        parser = argparse.ArgumentParser(exit_on_error=False)
        import_module(COMMANDS[command][0]).configure(parser)
        parser.parse_args(arguments)
