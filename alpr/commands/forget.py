"""``alpr forget``: everything that is known of a plate goes."""

import argparse
import sys
from contextlib import closing

from alpr.errors import AlprError, ConfigError
from alpr.person import actor
from alpr.settings import Settings
from alpr.wiring import open_database, open_forgetting, open_log
from rules.pseudonym import pseudonym_of
from rules.text import normalise


def configure(parser: argparse.ArgumentParser) -> None:
    """Which plate, and why."""
    parser.description = (
        "Erase a plate's sightings, reads, alerts, entries of watchlists, corrections and pictures."
        " What is seen of it afterwards is new. Nothing brings it back."
    )
    parser.add_argument("plate", help="written in any way; the quotes of the shell around spaces")
    parser.add_argument("--reason", default="", help="why, for the audit")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0, also where nothing was known of it; 1 where nobody said yes."""
    if pseudonym_of(arguments.plate):
        raise ConfigError(f"{arguments.plate!r} is a pseudonym: give the plate as it is")
    plate = normalise(arguments.plate)
    if not plate:
        raise ConfigError(f"{arguments.plate!r} is no plate: it has no letter and no digit")
    if not arguments.yes and not _agreed(plate):
        raise AlprError("nothing was erased; --yes says yes beforehand")
    database = open_database(settings)
    try:
        with closing(open_log(settings)) as log:
            forget = open_forgetting(settings, database, log, tell=_tell)
            done = forget(plate, actor(), arguments.reason)
    finally:
        database.stop()
    sightings = sum(map(len, done.sightings.values()))
    print(
        f"{plate}: erased {_some(sightings, 'sighting')}, {_some(len(done.alerts), 'alert')} and "
        f"{_some(done.pictures, 'picture')}."
    )
    for topic, count in sorted(done.erased.items()):
        print(f"  {topic}: {count} records are gone")
    for topic, count in sorted(done.left.items()):
        print(
            f"  {topic}: {count} go by its retention or compaction (`alpr topics list` says when)"
        )
    for name in done.rules:
        print(f"  the rule {name!r} names the plate: change it with `alpr rules apply`")
    return 0


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _agreed(plate: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Everything that is known of {plate} will be erased, for ever. Type the plate to agree:")
    return normalise(input("> ")) == plate


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr)
