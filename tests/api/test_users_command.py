"""`alpr users`: add, list, change, set a password, disable; and `alpr keys --cameras`."""

import io

import pytest

from alpr.cli import main
from projections.access import AccessKeys, Role
from projections.passwords import Passwords
from projections.users import User

GOOD = "four words with spaces"


@pytest.fixture(autouse=True)
def settings(postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("ALPR_DATABASE_URL", postgres_url)
    monkeypatch.setenv("ALPR_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """What a script sends on stdin."""

    def typing(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    typing(f"{GOOD}\n")
    return typing


def user(keys: AccessKeys, name: str) -> User:
    found = keys.users.get(name)
    assert found is not None
    return found


def has(keys: AccessKeys, name: str, password: str) -> bool:
    found = keys.users.credentials(name)
    return found is not None and Passwords().matches(found[1], password)


def test_a_user_is_added_with_the_password_of_stdin(keys: AccessKeys, typed, capsys):
    assert main(["users", "add", "Anna", "--role", "operator", "--cameras", "CAM-2, CAM-1"]) == 0
    assert "anna is added as operator" in capsys.readouterr().out
    anna = user(keys, "anna")
    assert (anna.role, anna.cameras, anna.must_change) == (
        Role.OPERATOR,
        frozenset({"CAM-1", "CAM-2"}),
        False,
    )
    assert has(keys, "anna", GOOD)
    assert main(["users", "add", "anna", "--role", "viewer"]) == 2, "stdin is at its end"
    typed(f"{GOOD}\n")
    assert main(["users", "add", "anna", "--role", "viewer"]) == 1
    assert "there is a user anna already" in capsys.readouterr().err
    assert user(keys, "anna").role is Role.OPERATOR


def test_a_one_time_password_is_printed_alone_so_that_a_script_can_take_it(
    keys: AccessKeys, capsys
):
    assert main(["users", "add", "bert", "--role", "viewer", "--one-time"]) == 0
    shown = capsys.readouterr()
    once = shown.out.strip()
    assert has(keys, "bert", once)
    assert user(keys, "bert").must_change
    assert once not in shown.err
    assert "for one login within 7 days" in shown.err
    assert main(["users", "passwd", "bert", "--one-time"]) == 0
    again = capsys.readouterr().out.strip()
    assert again != once
    assert has(keys, "bert", again)
    assert not has(keys, "bert", once)


def test_role_cameras_password_and_whether_one_may_come_in_are_changed(
    keys: AccessKeys, typed, capsys
):
    assert main(["users", "add", "carl", "--role", "viewer", "--cameras", "CAM-1"]) == 0
    assert main(["users", "role", "carl", "investigator"]) == 0
    assert "investigator, cameras CAM-1" in capsys.readouterr().out
    assert user(keys, "carl").clear, "investigators see plates, if nobody says otherwise"
    assert main(["users", "cameras", "carl", "CAM-3,CAM-4", "--no-clear"]) == 0
    assert "cameras CAM-3,CAM-4 (pseudonyms)" in capsys.readouterr().out
    assert main(["users", "role", "carl", "admin"]) == 0
    carl = user(keys, "carl")
    assert (carl.role, carl.cameras, carl.clear) == (Role.ADMIN, None, True)
    typed("another four words\n")
    assert main(["users", "passwd", "carl"]) == 0
    assert has(keys, "carl", "another four words")
    assert main(["users", "disable", "carl"]) == 0
    assert user(keys, "carl").disabled_at
    assert main(["users", "enable", "carl"]) == 0
    assert not user(keys, "carl").disabled_at


def test_the_list_shows_every_user_and_no_password(keys: AccessKeys, typed, capsys):
    assert main(["users", "add", "dora", "--role", "viewer", "--cameras", "CAM-1", "--clear"]) == 0
    assert main(["users", "add", "emil", "--role", "operator", "--one-time"]) == 0
    assert main(["users", "disable", "dora"]) == 0
    capsys.readouterr()
    assert main(["users", "list"]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line for line in shown.splitlines()}
    for word in ("viewer (clear)", "CAM-1", "disabled"):
        assert word in lines["dora"]
    for word in ("operator", "all", "invited"):
        assert word in lines["emil"]
    assert "argon2" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["role", "nobody", "viewer"], 1, "there is no user nobody"),
        (["disable", "nobody"], 1, "there is no user nobody"),
        (["passwd", "nobody"], 1, "there is no user nobody"),
        (["add", "a b", "--role", "viewer"], 2, "is no user's name"),
        (["add", "fritz", "--role", "ingest"], 2, "invalid choice"),
        (["add", "fritz", "--role", "viewer", "--cameras", " ,"], 2, "give names such as"),
        (["add", "fritz", "--role", "admin", "--cameras", "CAM-1"], 2, "sees every camera"),
        (["add", "fritz"], 2, "--role"),
        ([], 2, "add|list|role"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    typed, capsys, arguments: list[str], code: int, words: str
):
    assert main(["users", *arguments]) == code
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("password", "why"), [("short", "12 to 200 characters"), ("gustav1234567", "the name")]
)
def test_a_weak_password_is_refused(keys: AccessKeys, typed, capsys, password: str, why: str):
    typed(f"{password}\n")
    assert main(["users", "add", "gustav", "--role", "viewer"]) == 2
    assert why in capsys.readouterr().err
    assert keys.users.get("gustav") is None


def test_a_password_is_typed_twice_at_a_terminal(
    keys: AccessKeys, monkeypatch: pytest.MonkeyPatch, capsys
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said = iter([GOOD, "another one typed", GOOD, GOOD])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _: next(said))
    assert main(["users", "add", "hans", "--role", "viewer"]) == 2
    assert "typed differently" in capsys.readouterr().err
    assert main(["users", "add", "hans", "--role", "viewer"]) == 0
    assert has(keys, "hans", GOOD)


def test_a_key_may_see_some_cameras_alone(keys: AccessKeys, capsys):
    asked = ["keys", "create", "--role", "viewer", "--name", "gate", "--cameras", "CAM-2,CAM-1"]
    assert main([*asked, "--clear"]) == 0
    shown = capsys.readouterr()
    found = keys.by_key(shown.out.strip())
    assert found
    assert (found.cameras, found.clear) == (frozenset({"CAM-1", "CAM-2"}), True)
    assert "viewer of CAM-1, CAM-2" in shown.err
    assert main(["keys", "list"]) == 0
    [line] = [one for one in capsys.readouterr().out.splitlines() if found.key_id in one]
    assert "CAM-1,CAM-2" in line


@pytest.mark.parametrize(("role", "cameras"), [("admin", "CAM-1"), ("viewer", ",")])
def test_a_key_of_cameras_that_cannot_be_is_refused(capsys, role: str, cameras: str):
    asked = ["keys", "create", "--role", role, "--name", "x", "--cameras", cameras]
    assert main(asked) == 2
    assert "--cameras" in capsys.readouterr().err
