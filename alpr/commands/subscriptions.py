"""``alpr subscriptions``: webhooks of sightings; list, add, remove, pause, resume."""

import argparse
import sys
from datetime import datetime
from uuid import UUID

from alpr.commands.table import columns
from alpr.errors import AlprError, ConfigError
from alpr.person import actor
from alpr.settings import Settings
from alpr.wiring import open_database, open_subscribing
from projections.subscriptions import Subscription
from projections.wanted import Wanted, plate_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Five commands in one."""
    commands = parser.add_subparsers(
        dest="what", required=True, metavar="list|add|remove|pause|resume"
    )
    commands.add_parser("list", help="every subscription, and how its deliveries go")
    add = commands.add_parser("add", help="a new one; its secret is printed this once")
    add.add_argument("url", metavar="URL", help="where sightings are posted")
    add.add_argument("--name", default="", help="to know it by")
    add.add_argument("--all", action="store_true", help="every change, not only ended sightings")
    add.add_argument("--camera", action="append", default=[], help="only of it; may be repeated")
    add.add_argument("--site", action="append", default=[], help="only of it; may be repeated")
    add.add_argument("--plate", default="", help="only this one; * and ? stand for others")
    add.add_argument(
        "--clear", action="store_true", help="plates as they are, where pseudonyms are on"
    )
    for what, told in (
        ("remove", "end one; what waits is not sent"),
        ("pause", "tell it nothing until it is resumed"),
        ("resume", "tell it again, and first that something is missing"),
    ):
        one = commands.add_parser(what, help=told)
        one.add_argument("subscription_id", metavar="ID", type=_id)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 for an id that no subscription has."""
    database = open_database(settings)
    subscribing = open_subscribing(settings, database)
    store = subscribing.store
    try:
        if arguments.what == "list":
            _list([(one, subscribing.shown(one.url)) for one in store.all()])
        elif arguments.what == "add":
            try:
                subscribing.shown(arguments.url)
            except ValueError as error:
                raise ConfigError(f"URL: {error}") from None
            wanted = Wanted(
                frozenset(arguments.camera),
                frozenset(arguments.site),
                plate_of(arguments.plate),
                not arguments.all,
            )
            who, clear = actor(), arguments.clear
            made = store.create(arguments.name, arguments.url, wanted, who, clear=clear)
            # The secret alone on stdout, so that a script can take it.
            print(subscribing.secret(made.subscription_id))
            print(
                f"{made.subscription_id}: keep the secret now, it is not shown again",
                file=sys.stderr,
            )
        else:
            key = arguments.subscription_id
            done = {
                "remove": store.remove,
                "pause": lambda one: store.pause(one, f"by {actor()}"),
                "resume": store.resume,
            }[arguments.what](key)
            if not done:
                raise AlprError(
                    f"no subscription has the id {key}; `alpr subscriptions list` shows them"
                )
    finally:
        store.close()
        database.stop()
    return 0


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no id of a subscription") from None


def _list(found: list[tuple[Subscription, str]]) -> None:
    head = ("ID", "NAME", "URL", "CHANGES", "STATE", "SENT", "WAITING", "LAST SENT", "WHY")
    rows = [
        (
            one.subscription_id,
            one.name,
            url,
            "ended" if one.wanted.ended else "all",
            "paused" if one.paused_at else "failing" if one.failing_since else "active",
            f"{one.sent}",
            f"{one.waiting}",
            _at(one.last_sent_at),
            one.why or one.last_error,
        )
        for one, url in found
    ]
    for line in columns(head, rows):
        print(line)


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at else "-"
