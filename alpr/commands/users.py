"""``alpr users``: who logs in by name and password; add, list, change, set a password, disable."""

import argparse
import getpass
import sys
from collections.abc import Iterable

from alpr.errors import AlprError, ConfigError
from alpr.settings import Settings
from alpr.wiring import open_database, open_keys
from projections.access import Role
from projections.passwords import LEAST, Passwords, one_time, weakness
from projections.users import ONCE_LIFE, User, Users, name_of

_ROLES = [role.value for role in Role if role is not Role.INGEST]
_ROLES_TOLD = (
    "viewer: look; operator: also act on alerts, lists and misreads; investigator: also follow "
    "plates, export and audit; admin: also rules, people, erasure"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Six commands in one."""
    commands = parser.add_subparsers(
        dest="what", required=True, metavar="add|list|role|cameras|passwd|disable|enable"
    )

    def named(what: str, told: str) -> argparse.ArgumentParser:
        made = commands.add_parser(what, help=told)
        made.add_argument("name", metavar="NAME", help="small letters, digits, . _ - @ +")
        return made

    add = named("add", "a new user; the password is asked for, or read from stdin")
    add.add_argument("--role", required=True, choices=_ROLES, help=_ROLES_TOLD)
    add.add_argument("--cameras", metavar="A,B", help="the only ones they see; all if left out")
    add.add_argument("--clear", action=argparse.BooleanOptionalAction, help=CLEAR)
    once = "print a one-time password instead, to be changed at the first login within a week"
    add.add_argument("--one-time", action="store_true", help=once)
    commands.add_parser("list", help="every user")
    role = named("role", "another role, at once")
    role.add_argument("role", choices=_ROLES, help=_ROLES_TOLD)
    cameras = named("cameras", "which cameras they see, and whether plates in clear")
    cameras.add_argument("cameras", metavar="A,B|all")
    cameras.add_argument("--clear", action=argparse.BooleanOptionalAction, help=CLEAR)
    passwd = named("passwd", "another password; it ends every session of theirs")
    passwd.add_argument("--one-time", action="store_true", help=once)
    named("disable", "keep somebody out, at once")
    named("enable", "let somebody in again")


CLEAR = "sees plates where others see pseudonyms (default: investigators and administrators do)"


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 for a name that no user has, or that one has already."""
    name = "" if arguments.what == "list" else _name(arguments.name)
    password = None
    if arguments.what in ("add", "passwd"):
        password = one_time() if arguments.one_time else _asked(name)
    database = open_database(settings)
    keys = open_keys(database)
    try:
        _do(keys.users, arguments, name, password)
    finally:
        keys.close()
        database.stop()
    return 0


def cameras_of(text: str | None, role: Role) -> frozenset[str] | None:
    """A grant as a flag gives it; None for all. Raises ConfigError."""
    if text is None or text == "all":
        return None
    named = frozenset(one.strip() for one in text.split(",") if one.strip())
    if not named or role is Role.ADMIN:
        raise ConfigError(
            f"--cameras {text!r} is not possible: give names such as CAM-001,CAM-002"
            + (", or another role: an administrator sees every camera" if named else "")
        )
    return named


def _do(users: Users, arguments: argparse.Namespace, name: str, password: str | None) -> None:
    what = arguments.what
    if what == "list":
        _list(users.all())
    elif what == "add":
        assert password is not None
        _add(users, arguments, name, password)
    elif what == "passwd":
        assert password is not None
        hashed = Passwords().hash(password)
        _there(users.set_password(name, hashed, once=arguments.one_time), name)
        _tell(name, password if arguments.one_time else None, "has another password")
    elif what in ("disable", "enable"):
        _there(users.disable(name) if what == "disable" else users.enable(name), name)
        print(f"{name} is {what}d")
    else:
        before = _there(users.get(name), name)
        role, cameras, clear = before.role, before.cameras, before.clear
        if what == "role":
            role = Role(arguments.role)
            cameras = None if role is Role.ADMIN else cameras
            if clear == before.role.sees_plates or role is Role.ADMIN:
                clear = role.sees_plates  # as the role has it, as it was
        else:
            cameras = cameras_of(arguments.cameras, role)
            clear = clear if arguments.clear is None else arguments.clear
        after = _there(users.change(name, role, cameras, clear), name)
        print(f"{name}: {after.role.value}, cameras {_cameras(after.cameras)}{_clear(after)}")


def _add(users: Users, arguments: argparse.Namespace, name: str, password: str) -> None:
    role, once = Role(arguments.role), arguments.one_time
    cameras = cameras_of(arguments.cameras, role)
    hashed = Passwords().hash(password)
    if users.add(name, role, hashed, cameras=cameras, clear=arguments.clear, once=once) is None:
        raise AlprError(f"there is a user {name} already; `alpr users list` shows all")
    _tell(name, password if once else None, f"is added as {role.value}")


def _tell(name: str, password: str | None, done: str) -> None:
    if password is None:
        print(f"{name} {done}")
        return
    # The password alone on stdout, so that a script can take it.
    print(password)
    print(
        f"{name} {done}. This password is for one login within {ONCE_LIFE.days} days, which asks "
        "for another; it cannot be shown again.",
        file=sys.stderr,
    )


def _list(users: Iterable[User]) -> None:
    table = [("NAME", "ROLE", "CAMERAS", "STATE", "CREATED", "LAST HERE")]
    for user in users:
        state = "disabled" if user.disabled_at else "invited" if user.must_change else "active"
        used = f"{user.last_used_at:%Y-%m-%d %H:%M}Z" if user.last_used_at else "-"
        created = f"{user.created_at:%Y-%m-%d %H:%M}Z"
        role = f"{user.role.value}{_clear(user)}"
        table.append((user.name, role, _cameras(user.cameras), state, created, used))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip())


def _cameras(cameras: frozenset[str] | None) -> str:
    return "all" if cameras is None else ",".join(sorted(cameras))


def _clear(user: User) -> str:
    if user.clear == user.role.sees_plates:
        return ""
    return " (clear)" if user.clear else " (pseudonyms)"


def _name(text: str) -> str:
    name = name_of(text)
    if name is None:
        raise ConfigError(
            f"{text!r} is no user's name: give 1 to 64 small letters, digits or . _ - @ +, such "
            "as anna or anna@example.org"
        )
    return name


def _there(user: User | None, name: str) -> User:
    if user is None:
        raise AlprError(f"there is no user {name}; `alpr users list` shows all")
    return user


def _asked(name: str) -> str:
    """A password typed twice, or the first line of stdin where nobody types."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name} ({LEAST} characters or more): ")
        if getpass.getpass("The same again: ") != password:
            raise ConfigError("the password was typed differently the second time; begin again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if (weak := weakness(password, name)) is not None:
        raise ConfigError(weak)
    return password
