"""`alpr keys`: make, list, revoke."""

from datetime import UTC, datetime, timedelta

import pytest

from alpr.cli import main
from projections.access import AccessKeys, Role


@pytest.fixture(autouse=True)
def settings(postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("ALPR_DATABASE_URL", postgres_url)
    monkeypatch.chdir(tmp_path)


def test_a_key_is_printed_alone_so_that_a_script_can_take_it(
    keys: AccessKeys, capsys: pytest.CaptureFixture[str]
):
    assert main(["keys", "create", "--role", "operator", "--name", "gate house"]) == 0
    shown = capsys.readouterr()
    found = keys.by_key(shown.out.strip())
    assert found
    assert (found.name, found.role) == ("gate house", Role.OPERATOR)
    assert found.expires_at
    assert abs(found.expires_at - datetime.now(UTC) - timedelta(days=365)) < timedelta(minutes=1)
    assert shown.out.strip() not in shown.err
    assert f"alpr keys revoke {found.key_id}" in shown.err


@pytest.mark.parametrize(
    ("given", "life"),
    [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("never", None)],
)
def test_a_key_lives_as_long_as_told(
    keys: AccessKeys, capsys: pytest.CaptureFixture[str], given: str, life: timedelta | None
):
    assert main(["keys", "create", "--role", "viewer", "--name", "x", "--expires", given]) == 0
    found = keys.by_key(capsys.readouterr().out.strip())
    assert found
    assert (found.expires_at and found.expires_at - found.created_at) == life


def test_the_list_shows_every_key_and_no_secret(
    keys: AccessKeys, capsys: pytest.CaptureFixture[str]
):
    key, text = keys.create("left", Role.VIEWER, timedelta(days=1))
    keys.revoke(key.key_id)
    assert main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if key.key_id in line]
    assert "left" in line
    assert "revoked" in line
    assert text.rpartition("_")[2] not in shown


@pytest.mark.parametrize("whole", [False, True])
def test_a_key_is_revoked_by_its_id_or_by_itself(
    keys: AccessKeys, capsys: pytest.CaptureFixture[str], whole: bool
):
    key, text = keys.create("left", Role.VIEWER, None)
    assert main(["keys", "revoke", text if whole else key.key_id]) == 0
    assert "left" in capsys.readouterr().out
    assert keys.by_key(text) is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["revoke", "nothere"], 1, "no key has the id 'nothere'"),
        (["create", "--role", "root", "--name", "x"], 2, "viewer, operator"),
        (["create", "--role", "viewer", "--name", " "], 2, "is no name"),
        (["create", "--role", "viewer", "--name", "a\x1b[2J"], 2, "is no name"),
        (["create", "--role", "viewer", "--name", "x", "--expires", "0d"], 2, "such as 90d"),
        (["create", "--role", "viewer", "--name", "x", "--expires", "soon"], 2, "such as 90d"),
        (["create", "--role", "viewer"], 2, "--name"),
        ([], 2, "create|list|revoke"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
):
    assert main(["keys", *arguments]) == code
    told = capsys.readouterr().err
    assert words in told.replace("'viewer', 'operator'", "viewer, operator")
    assert told.count("\n") == 1
