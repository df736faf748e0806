"""``alpr watchlist``: plates to look for; add, remove, list, CSV in and out.

Reads and writes the log alone: it works without a database, and while nothing else runs.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from alpr.commands.table import columns
from alpr.errors import AlprError, ConfigError
from alpr.person import actor
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log
from eventlog.log import Log
from eventlog.span import span
from projections.statements import Statements
from rules.alerts.watch_csv import CsvError, read, write
from rules.alerts.watch_entry import KINDS, MATCHES, EntryError, entry, plate_of, told_time
from schemas.codec import Codec, DecodeError
from schemas.records import WatchlistEntry
from schemas.topics import WATCHLIST

LIST = "watch"
"""The list meant where none is named."""
_MOST_BYTES = 256 << 20  # of a CSV file: a million entries; a device may have no end
_STATED = ("watchlist", "plate", "kind", "match", "valid_from", "valid_to", "owner", "reason")

Key = tuple[str, str]
"""Name of a list and plate: what tells entries apart."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Five commands in one."""
    commands = parser.add_subparsers(
        dest="what", required=True, metavar="add|remove|list|import|export"
    )

    add = commands.add_parser("add", help="a plate, or another version of its entry")
    add.add_argument("plate", metavar="PLATE", help="spaces and dashes do not matter")
    add.add_argument("--list", default=LIST, metavar="NAME", help=f"which list ({LIST})")
    add.add_argument("--kind", default="", choices=KINDS, help="what a match means (notify)")
    add.add_argument(
        "--match",
        default="",
        choices=MATCHES,
        help="exact; wildcard, with * and ? (the default where they are there); fuzzy: misread",
    )
    add.add_argument("--reason", default="", help="why it is looked for")
    add.add_argument("--owner", default="", help="whose entry it is")
    add.add_argument("--from", dest="since", default="", metavar="TIME", help="ISO 8601, or a day")
    add.add_argument("--to", dest="until", default="", metavar="TIME", help="a day is included")
    add.add_argument("--tag", action="append", default=[], help="may be given several times")

    remove = commands.add_parser("remove", help="take a plate off its list")
    remove.add_argument("plate", metavar="PLATE", help="as `list` shows it")
    remove.add_argument("--list", metavar="NAME", help="needed where it is on several")

    listing = commands.add_parser("list", help="the entries that stand")
    listing.add_argument("--list", metavar="NAME", help="of one list")
    listing.add_argument("--search", metavar="TEXT", help="in plate, reason, owner or tags")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")

    load = commands.add_parser("import", help="the entries of a CSV file, all or none")
    load.add_argument("file", metavar="FILE.csv", help="- reads standard input")
    load.add_argument(
        "--list", default=LIST, metavar="NAME", help=f"for lines without a list ({LIST})"
    )
    load.add_argument("--kind", default="", choices=KINDS, help="for lines without one (notify)")
    load.add_argument("--dry-run", action="store_true", help="only say what would change")
    load.add_argument(
        "--replace", action="store_true", help="take off those lists what the file does not have"
    )

    export = commands.add_parser("export", help="the entries as CSV, as `import` reads them")
    export.add_argument("--list", metavar="NAME", help="of one list")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 for a plate that is on no list."""
    now = time.time_ns() // 1000
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        statements = Statements(log, codec, lambda: now)
        if arguments.what == "add":
            return _add(arguments, statements, standing(log, codec), now)
        if arguments.what == "import":
            return _import(arguments, statements, standing(log, codec), now)
        entries = standing(log, codec)
        if arguments.what == "remove":
            return _remove(arguments, statements, entries, now)
        chosen = [one for one in entries.values() if arguments.list in (None, one["watchlist"])]
        if not chosen and arguments.list is not None:
            raise AlprError(_no_list(arguments.list, entries))
        if arguments.what == "export":
            sys.stdout.writelines(write(chosen))
            return 0
        return _list(arguments, chosen)


def standing(log: Log, codec: Codec) -> dict[Key, WatchlistEntry]:
    """The entries that stand, by list and plate in that order; the log's last word on each."""
    entries: dict[Key, WatchlistEntry] = {}
    for told in span(log, WATCHLIST.name, 0, 0, log.end(WATCHLIST.name, 0)):
        if told.value is None:
            watchlist, _, plate = (told.key or b"").decode("utf-8", "replace").partition("/")
            entries.pop((watchlist, plate), None)
            continue
        try:
            name, record = codec.decode(told.value)
        except DecodeError:
            continue  # the engine tells of it, and it is a dead letter of the views
        if name != "WatchlistEntry":
            continue
        key = record["watchlist"], record["plate"]
        if record["removed"]:
            entries.pop(key, None)
        else:
            entries[key] = record
    return dict(sorted(entries.items()))


def differences(
    wanted: Iterable[WatchlistEntry], entries: Mapping[Key, WatchlistEntry], *, replace: bool
) -> list[WatchlistEntry]:
    """What has to be written for the wanted entries to stand.

    With ``replace`` the lists that they are of hold nothing else then.
    """
    given = {(one["watchlist"], one["plate"]): one for one in wanted}
    news = [one for key, one in given.items() if not _same(one, entries.get(key))]
    if replace and given:
        named = {watchlist for watchlist, _ in given}
        stated = next(iter(given.values()))
        news += [
            _removed(one, stated["effective_from"], stated["actor"])
            for key, one in entries.items()
            if one["watchlist"] in named and key not in given
        ]
    return news


def _same(one: WatchlistEntry, other: WatchlistEntry | None) -> bool:
    """Whether they say the same, whoever said it when."""
    return other is not None and all(one[name] == other[name] for name in (*_STATED, "tags"))


def _removed(one: WatchlistEntry, now: int, who: str) -> WatchlistEntry:
    return {**one, "effective_from": now, "removed": True, "actor": who}


# add, remove


def _add(
    arguments: argparse.Namespace,
    statements: Statements,
    entries: Mapping[Key, WatchlistEntry],
    now: int,
) -> int:
    try:
        made = entry(
            arguments.list,
            arguments.plate,
            actor=actor(),
            at=now,
            kind=arguments.kind,
            match=arguments.match,
            reason=arguments.reason,
            owner=arguments.owner,
            valid_from=arguments.since,
            valid_to=arguments.until,
            tags=arguments.tag,
        )
    except EntryError as error:
        raise ConfigError(_flags(error)) from None
    was = entries.get((made["watchlist"], made["plate"]))
    if _same(made, was):
        print(f"{made['plate']} is on {made['watchlist']} already, as you say")
        return 0
    statements.watch([made])
    told = "changed" if was else "added"
    print(f"{made['plate']} {told}: {made['watchlist']}, {made['kind']}, {made['match']}")
    return 0


def _flags(error: EntryError) -> str:
    """The entry's problems by the flags that they come from."""
    flags = {"watchlist": "--list", "valid_from": "--from", "valid_to": "--to", "tags": "--tag"}
    own = {"plate": "PLATE"} | flags
    return "; ".join(f"{own.get(name, f'--{name}')} {told}" for name, told in error.problems)


def _remove(
    arguments: argparse.Namespace,
    statements: Statements,
    entries: Mapping[Key, WatchlistEntry],
    now: int,
) -> int:
    given = arguments.plate
    plate = plate_of(given, "wildcard" if set(given) & set("*?") else "exact")
    found = [
        one
        for one in entries.values()
        if one["plate"] == plate and arguments.list in (None, one["watchlist"])
    ]
    if not found:
        where = f"the list {arguments.list}" if arguments.list else "any list"
        raise AlprError(f"{plate or given} is not on {where}; `alpr watchlist list` shows what is")
    if len(found) > 1:
        names = ", ".join(one["watchlist"] for one in found)
        raise ConfigError(f"{plate} is on several lists ({names}): say which with --list")
    statements.watch([_removed(found[0], now, actor())])
    print(f"{plate} taken off {found[0]['watchlist']}")
    return 0


# import


def _import(
    arguments: argparse.Namespace,
    statements: Statements,
    entries: Mapping[Key, WatchlistEntry],
    now: int,
) -> int:
    given = arguments.file
    content = sys.stdin.buffer.read() if given == "-" else _content(given)
    try:
        wanted = read(content, actor=actor(), at=now, watchlist=arguments.list, kind=arguments.kind)
    except CsvError as error:
        for problem in error.problems:
            print(f"{given}: {problem}", file=sys.stderr)
        raise ConfigError(f"{given} was not taken in, not a line of it: mend it first") from None
    news = differences(wanted, entries, replace=arguments.replace)
    if not arguments.dry_run:
        statements.watch(news)
    told = Counter(_fate(one, entries) for one in news)
    parts = [f"{told[fate]:,} {fate}" for fate in ("added", "changed", "removed")]
    same = len(wanted) - told["added"] - told["changed"]
    would = " (nothing was written)" if arguments.dry_run else ""
    print(f"{given}: {', '.join(parts)}, {same:,} as they were{would}")
    return 0


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name a CSV file") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(
            f"{path} has more than {_MOST_BYTES:,} bytes, which is the most: split it"
        )
    return content


def _fate(one: WatchlistEntry, entries: Mapping[Key, WatchlistEntry]) -> str:
    if one["removed"]:
        return "removed"
    return "changed" if (one["watchlist"], one["plate"]) in entries else "added"


# list


def _list(arguments: argparse.Namespace, entries: Sequence[WatchlistEntry]) -> int:
    if arguments.search:
        entries = [one for one in entries if _found(arguments.search, one)]
    if arguments.json:
        for one in entries:
            print(json.dumps(_plain(one), ensure_ascii=False))
        return 0
    if not entries:
        print("no entries; `alpr watchlist add PLATE` makes one", file=sys.stderr)
        return 0
    head = ("LIST", "PLATE", "KIND", "MATCH", "FROM", "TO", "OWNER", "TAGS", "REASON")
    for line in columns(head, map(_row, entries)):
        print(line)
    return 0


def _found(text: str, one: WatchlistEntry) -> bool:
    plain = plate_of(text, "wildcard")
    if plain and plain in one["plate"]:
        return True
    told = " ".join((one["reason"], one["owner"], *one["tags"]))
    return text.casefold() in told.casefold()


def _row(one: WatchlistEntry) -> tuple[str, ...]:
    times = (told_time(one["valid_from"]), told_time(one["valid_to"]))
    words = (one["owner"], ",".join(one["tags"]), one["reason"])
    return (one["watchlist"], one["plate"], one["kind"], one["match"], *times, *words)


def _plain(one: WatchlistEntry) -> dict[str, Any]:
    times = {name: told_time(one[name]) or None for name in ("valid_from", "valid_to")}
    return {**one, **times, "effective_from": told_time(one["effective_from"])}


def _no_list(name: str, entries: Mapping[Key, WatchlistEntry]) -> str:
    names = ", ".join(sorted({watchlist for watchlist, _ in entries})) or "none"
    return f"there is no list {name!r}; lists with entries: {names}"
