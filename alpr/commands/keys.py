"""``alpr keys``: who may ask the API; make a key, list all, revoke one."""

import argparse
import re
import sys
from datetime import datetime, timedelta

from alpr.commands.users import CLEAR, cameras_of
from alpr.errors import AlprError, ConfigError
from alpr.settings import Settings
from alpr.wiring import open_database, open_keys
from projections.access import AccessKeys, Key, Role

_LIFE = "365d"
_UNITS = {"h": "hours", "d": "days"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Three commands in one."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="a new key, printed this once")
    create.add_argument(
        "--role",
        required=True,
        choices=[role.value for role in Role],
        help="viewer: look; operator: also act on alerts and lists; investigator: also export and "
        "audit; admin: also rules, people, erasure; ingest: send reads, nothing else",
    )
    create.add_argument("--name", required=True, help="whose key it is")
    create.add_argument(
        "--expires", default=_LIFE, metavar="LIFE", help=f"such as 90d, 12h or never ({_LIFE})"
    )
    create.add_argument("--cameras", metavar="A,B", help="the only ones it sees; all if left out")
    create.add_argument("--clear", action=argparse.BooleanOptionalAction, help=CLEAR)
    commands.add_parser("list", help="every key ever made, without its secret")
    revoke = commands.add_parser("revoke", help="end a key and its sessions, at once and for ever")
    revoke.add_argument("key_id", metavar="ID", help="the letters between alpr_ and the next _")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 for an id that no key has."""
    if arguments.what == "create":
        life = _life(arguments.expires)
        name = arguments.name.strip()
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise ConfigError(f"--name {name!r} is no name: give 1 to 64 characters to know it by")
        role = Role(arguments.role)
        cameras = cameras_of(arguments.cameras, role)
    database = open_database(settings)
    keys = open_keys(database)
    try:
        if arguments.what == "create":
            _tell(*keys.create(name, role, life, cameras=cameras, clear=arguments.clear))
        elif arguments.what == "list":
            _list(keys)
        else:
            _revoke(keys, arguments.key_id)
    finally:
        keys.close()
        database.stop()
    return 0


def _tell(key: Key, text: str) -> None:
    # The key alone on stdout, so that a script can take it.
    print(text)
    ends = f"until {_day(key.expires_at)}" if key.expires_at else "until it is revoked"
    seen = "" if key.cameras is None else f" of {', '.join(sorted(key.cameras))}"
    print(
        f"{key.name}: {key.role.value}{seen}, {ends}. Keep the key now, it cannot be shown again; "
        f"`alpr keys revoke {key.key_id}` ends it.",
        file=sys.stderr,
    )


def _list(keys: AccessKeys) -> None:
    table = [("ID", "NAME", "ROLE", "CAMERAS", "STATE", "CREATED", "EXPIRES", "LAST USED")]
    table += [_row(key) for key in keys.all()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip())


def _row(key: Key) -> tuple[str, ...]:
    times = (_day(key.created_at), _day(key.expires_at), _day(key.last_used_at))
    cameras = "all" if key.cameras is None else ",".join(sorted(key.cameras))
    return (key.key_id, key.name, key.role.value, cameras, key.state, *times)


def _revoke(keys: AccessKeys, given: str) -> None:
    # Of a whole key, which somebody may paste, the id is enough.
    key_id = given.split("_")[1] if given.startswith("alpr_") else given
    key = keys.revoke(key_id)
    if key is None:
        raise AlprError(f"no key has the id {key_id!r}; `alpr keys list` shows them")
    print(f"{key.name} ({key.role.value}, {key.key_id}) is revoked")


def _life(text: str) -> timedelta | None:
    if text == "never":
        return None
    given = re.fullmatch(r"([1-9]\d{0,4})([hd])", text)
    if given is None:
        raise ConfigError(f"--expires {text!r} is no life: give one such as 90d, 12h or never")
    return timedelta(**{_UNITS[given[2]]: int(given[1])})


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at else "-"
