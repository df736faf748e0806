"""Commands that show plates are in the audit, and `alpr audit` shows it."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from alpr.cli import main
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log, open_pseudonyms
from eventlog.log import Append
from projections.people_view import PeopleView, people_change_of
from schemas.topics import AUDIT

PLATE = "34ABC123"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOGNAME", "anna")
    monkeypatch.chdir(tmp_path)
    return load({"ALPR_HOME": str(tmp_path / "home")}, None)


def entries(settings: Settings) -> list[Any]:
    """The whole audit, in order of time."""
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        found = [
            codec.decode(entry.value or b"")[1]
            for partition in range(log.partitions(AUDIT.name))
            for entry in log.read(AUDIT.name, partition, 0, 10_000)
        ]
    return sorted(found, key=lambda entry: entry["at"])


def test_each_command_that_shows_or_lists_plates_is_told(settings: Settings):
    name = open_pseudonyms(settings).of(PLATE)
    for command, action, subject in (
        (["watchlist", "add", "34 abc-123"], "put on a list", f"plate:{name}"),
        (["watchlist", "list"], "list", "watchlist:all"),
        (["watchlist", "list", "--search", PLATE], "list", f"plate:{name}"),
        (["watchlist", "export", "--list", "watch"], "export", "watchlist:watch"),
        (["alerts", "list"], "list", "alerts"),
        (["alerts", "list", "--plate", PLATE], "list", f"plate:{name}"),
        (["dlq", "list"], "list", "dead letters"),
        (["alerts", "show", "0123abcd"], "view", "alert:0123abcd"),
        (["dlq", "show", "alpr.reads.raw/0/3"], "view", "dead letter:alpr.reads.raw/0/3"),
    ):
        main(command)
        last = entries(settings)[-1]
        assert (last["action"], last["subject"]) == (action, subject), command
        assert last["actor"] == "cli:anna"
    assert "ABC123" not in str(entries(settings)).upper()


def test_commands_that_show_no_plate_are_not_told(settings: Settings):
    main(["rules", "list"])
    main(["settings"])
    assert entries(settings) == []


def test_nothing_is_shown_where_the_audit_cannot_be_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    main(["watchlist", "add", PLATE])
    capsys.readouterr()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "log.db")

    monkeypatch.setattr("eventlog.sqlite.SqliteLog.append", full)
    assert main(["watchlist", "list"]) != 0
    told = capsys.readouterr()
    assert PLATE not in told.out
    assert "No space left" in told.err


@pytest.fixture
def audit(settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with what was told up to now in view, and the pseudonym of the plate."""
    monkeypatch.setenv("ALPR_DATABASE_URL", postgres_url)
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS alpr_people CASCADE")  # of another test's log
    name = open_pseudonyms(settings).of(PLATE)
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        told = [
            ("user:bert", "search", f"plate:{name}", "case 17", [name], 1),
            ("user:bert", "list", "recent", "", [name, "~aaaaaaaaaaaa"], 2),
            ("user:carl", "view", "sighting:1", "", ["~aaaaaaaaaaaa"], 3),
        ]
        for number, (actor, action, subject, reason, found, at) in enumerate(told):
            entry: Any = {
                "audit_id": f"00000000-0000-4000-8000-{number:012d}",
                "at": 1_750_000_000_000_000 + at,
                "actor": actor,
                "action": action,
                "subject": subject,
                "reason": reason,
                "found": found,
            }
            value = codec.encode(AUDIT.name, "AuditEntry", entry)
            log.append(AUDIT.name, 0, [Append(actor.encode(), value)])
        with closing(PeopleView(postgres_url, log.uuid)) as view:
            written = log.read(AUDIT.name, 0, 0, 100)
            changes = [people_change_of(entry, codec) for entry in written]
            assert view.apply(AUDIT.name, 0, 0, changes, len(written)) == []
    return name


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["audit", *arguments]) == 0
    return capsys.readouterr().out.splitlines()[1:]


def test_the_audit_is_shown_by_plate_who_and_what(
    settings: Settings, audit: str, capsys: pytest.CaptureFixture[str]
):
    assert [line.split()[2] for line in shown(capsys)] == ["user:carl", "user:bert", "user:bert"]
    of_plate = shown(capsys, "--plate", "34-abc 123")
    assert len(of_plate) == 2
    assert "case 17" in of_plate[1]
    assert all(audit in line for line in of_plate)
    assert len(shown(capsys, "--actor", "user:carl")) == 1
    assert len(shown(capsys, "--action", "search", "--limit", "1")) == 1
    assert shown(capsys, "--since", "1h") == []
    assert all("ABC123" not in line for line in shown(capsys))


def test_looking_at_the_audit_is_told(
    settings: Settings, audit: str, capsys: pytest.CaptureFixture[str]
):
    shown(capsys, "--plate", PLATE, "--reason", "case 18")
    last = entries(settings)[-1]
    assert (last["actor"], last["action"], last["reason"]) == ("cli:anna", "audit", "case 18")
    assert last["subject"] == f"plate:{audit}"


def test_where_reasons_are_required_the_audit_asks_for_one(
    settings: Settings,
    audit: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("ALPR_REASON_REQUIRED", "True")
    assert main(["audit"]) == 2
    assert "give --reason" in capsys.readouterr().err
    assert json.dumps(entries(settings)).count('"audit"') == 0
