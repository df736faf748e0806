"""Watchlists by the command line: what is stated is in the log, and what stands is read from it."""

import io
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpr.cli import main
from alpr.commands.watchlist import standing
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log
from projections.rulebook import RulebookFollower
from schemas.topics import WATCHLIST


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return load({"ALPR_HOME": str(tmp_path / "home")}, None)


def watchlist(*arguments: str) -> int:
    return main(["watchlist", *arguments])


def entries(settings: Settings) -> list[Any]:
    with closing(open_log(settings)) as log:
        return list(standing(log, open_codec(settings)).values())


def written(settings: Settings) -> int:
    with closing(open_log(settings)) as log:
        return log.end(WATCHLIST.name, 0)


def test_a_plate_is_added_changed_and_removed(settings: Settings, capsys):
    assert watchlist("add", "34 abc-123", "--reason", "stolen", "--kind", "deny") == 0
    assert capsys.readouterr().out == "34ABC123 added: watch, deny, exact\n"
    (entry,) = entries(settings)
    assert (entry["watchlist"], entry["plate"], entry["kind"]) == ("watch", "34ABC123", "deny")
    assert (entry["match"], entry["reason"]) == ("exact", "stolen")
    assert entry["actor"].startswith("cli:")

    assert watchlist("add", "34ABC123", "--match", "fuzzy", "--tag", "a", "--tag", "b") == 0
    assert capsys.readouterr().out == "34ABC123 changed: watch, notify, fuzzy\n"
    (entry,) = entries(settings)
    assert (entry["match"], entry["tags"], entry["reason"]) == ("fuzzy", ["a", "b"], "")

    assert watchlist("remove", "34-ABC-123") == 0
    assert entries(settings) == []


def test_what_is_there_already_is_not_written_again(settings: Settings, capsys):
    assert watchlist("add", "34ABC123") == 0
    assert watchlist("add", "34ABC123") == 0
    assert "is on watch already" in capsys.readouterr().out
    assert written(settings) == 1


def test_a_star_makes_a_wildcard_and_can_be_removed_as_one(settings: Settings):
    assert watchlist("add", "34*12?") == 0
    (entry,) = entries(settings)
    assert (entry["plate"], entry["match"]) == ("34*12?", "wildcard")
    assert watchlist("remove", "34*12?") == 0
    assert entries(settings) == []


def test_a_day_of_the_end_is_included(settings: Settings, capsys):
    assert watchlist("add", "34ABC123", "--from", "2026-01-01", "--to", "2026-01-31") == 0
    assert watchlist("list") == 0
    assert "2026-01-01T00:00:00Z  2026-02-01T00:00:00Z" in capsys.readouterr().out


def test_a_plate_is_on_a_list_once_however_it_is_matched(settings: Settings):
    """What the engine holds is what is listed."""

    def hits(text: str) -> list[str]:
        with closing(open_log(settings)) as log:
            follower = RulebookFollower(log, open_codec(settings))
            follower.complete()
            found = follower.book.watch.look(text, [], time.time_ns() // 1000, 0)
        return [hit["match"] for hit in found]

    watchlist("add", "34ABC123")
    watchlist("add", "34ABC123", "--match", "fuzzy")
    assert (hits("34ABC123"), hits("34A8C123")) == (["exact"], ["fuzzy"])
    watchlist("add", "34ABC123", "--match", "exact")
    assert (hits("34ABC123"), hits("34A8C123")) == (["exact"], [])
    watchlist("remove", "34ABC123")
    assert hits("34ABC123") == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["..."], "PLATE '...' holds no letter or digit"),
        (["A1", "--from", "soon"], "--from 'soon' is no time"),
        (["A1", "--from", "2026-02-01", "--to", "2026-01-01"], "--to is not after valid_from"),
        (["A1", "--list", "x/y"], "--list 'x/y' is no name of a list"),
        (["A*1", "--match", "exact"], "which only the match wildcard knows"),
    ],
)
def test_what_cannot_be_added_is_told_by_its_flag(settings, capsys, arguments, told):
    assert watchlist("add", *arguments) == 2
    assert told in capsys.readouterr().err
    assert written(settings) == 0


def test_a_plate_on_no_list_or_on_several_is_not_removed(settings: Settings, capsys):
    assert watchlist("remove", "34ABC123") == 1
    assert "34ABC123 is not on any list" in capsys.readouterr().err
    watchlist("add", "34ABC123", "--list", "one")
    watchlist("add", "34ABC123", "--list", "two")
    assert watchlist("remove", "34ABC123") == 2
    assert "several lists (one, two): say which with --list" in capsys.readouterr().err
    assert watchlist("remove", "34ABC123", "--list", "two") == 0
    assert [e["watchlist"] for e in entries(settings)] == ["one"]


def test_entries_are_found_by_list_and_text(settings: Settings, capsys):
    watchlist("add", "34ABC123", "--reason", "Stolen in May", "--list", "police")
    watchlist("add", "06XY1", "--owner", "Ayşe")
    capsys.readouterr()
    for search, found in [("abc-1", "34ABC123"), ("stolen", "34ABC123"), ("AYŞE", "06XY1")]:
        assert watchlist("list", "--search", search, "--json") == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["plate"] == found
    assert watchlist("list", "--list", "police") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert watchlist("list", "--list", "polise") == 1
    assert "no list 'polise'; lists with entries: police, watch" in capsys.readouterr().err


def test_what_is_exported_is_imported_without_a_difference(settings: Settings, capsys, tmp_path):
    watchlist("add", "34ABC123", "--reason", 'says "x", y', "--tag", "a b", "--to", "2030-01-01")
    watchlist("add", "06*", "--kind", "allow", "--list", "staff")
    capsys.readouterr()
    assert watchlist("export") == 0
    (tmp_path / "all.csv").write_text(capsys.readouterr().out, newline="")
    assert watchlist("import", "all.csv") == 0
    assert capsys.readouterr().out == "all.csv: 0 added, 0 changed, 0 removed, 2 as they were\n"
    assert written(settings) == 2


def test_an_import_appends_the_differences_alone(settings: Settings, capsys, tmp_path):
    watchlist("add", "A1", "--kind", "deny")
    watchlist("add", "B2", "--kind", "deny")
    watchlist("add", "C3", "--kind", "deny")
    watchlist("add", "D4", "--list", "other")
    capsys.readouterr()
    (tmp_path / "new.csv").write_text("plate;reason\na-1;\nb-2;new\nE5;\n")
    arguments = ("import", "new.csv", "--kind", "deny", "--replace")
    assert watchlist(*arguments, "--dry-run") == 0
    told = "new.csv: 1 added, 1 changed, 1 removed, 1 as they were"
    assert capsys.readouterr().out == f"{told} (nothing was written)\n"
    assert written(settings) == 4
    assert watchlist(*arguments) == 0
    assert capsys.readouterr().out == f"{told}\n"
    standing = [(e["watchlist"], e["plate"], e["kind"]) for e in entries(settings)]
    assert standing == [
        ("other", "D4", "notify"),
        ("watch", "A1", "deny"),
        ("watch", "B2", "deny"),
        ("watch", "E5", "deny"),
    ]
    assert written(settings) == 7


def test_of_a_file_with_an_error_nothing_is_taken_in(settings: Settings, capsys, tmp_path):
    (tmp_path / "bad.csv").write_text("plate,kind\nA1,deny\n--,deny\nC3,dunno\n")
    assert watchlist("import", "bad.csv") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("bad.csv: line 3, plate: '--' holds no letter")
    assert told[1].startswith("bad.csv: line 4, kind: 'dunno' is none of")
    assert told[2].startswith("alpr: watchlist: bad.csv was not taken in")
    assert written(settings) == 0
    assert watchlist("import", "none.csv") == 2


def test_a_file_may_come_by_a_pipe(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"plate\nA1\n")))
    assert watchlist("import", "-", "--list", "piped") == 0
    assert [e["watchlist"] for e in entries(settings)] == ["piped"]


@pytest.mark.slow
def test_a_hundred_thousand_entries_are_taken_in_and_known_again(settings: Settings, capsys):
    Path("many.csv").write_text("plate\n" + "".join(f"P{n:06d}\n" for n in range(100_000)))
    began = time.monotonic()
    assert watchlist("import", "many.csv") == 0
    print(f"imported in {time.monotonic() - began:.1f} s")
    assert watchlist("import", "many.csv") == 0
    print(f"both in {time.monotonic() - began:.1f} s")
    assert "0 added, 0 changed, 0 removed, 100,000 as they were" in capsys.readouterr().out
    assert written(settings) == 100_000
