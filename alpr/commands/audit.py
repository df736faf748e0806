"""``alpr audit``: who looked at or did what, when and why."""

import argparse
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

from alpr.audited import write
from alpr.commands.table import columns
from alpr.errors import ConfigError
from alpr.moments import moment
from alpr.settings import Settings
from alpr.wiring import open_database, open_pseudonyms
from api.audited import searched, subjects_of
from projections.audit_queries import AuditQueries, AuditSearch
from rules.pseudonym import Pseudonyms, is_pseudonym

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED = 3  # pseudonyms of a line


def configure(parser: argparse.ArgumentParser) -> None:
    """What to look for."""
    parser.add_argument("--plate", help="a plate, a pattern with * and ?, or a pseudonym")
    parser.add_argument("--actor", help="who, such as user:anna")
    parser.add_argument("--action", help="what, such as search, view, export")
    parser.add_argument("--since", metavar="WHEN", help="a time, or 7d for seven days ago")
    parser.add_argument("--limit", type=int, default=50, help="at most so many lines (50)")
    parser.add_argument("--reason", default="", help="why you look; it is written down, too")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print entries, the latest first; that somebody looked is written first. Exit code 0."""
    if arguments.limit < 1:
        raise ConfigError(f"--limit {arguments.limit} shows nothing: give 1 or more")
    if settings.reason_required and not arguments.reason.strip():
        raise ConfigError("a reason is needed to look at plates here: give --reason TEXT")
    now = time.time_ns() // 1000
    since = None if arguments.since is None else moment("--since", arguments.since, now)
    names = open_pseudonyms(settings)
    database = open_database(settings)
    try:
        with closing(AuditQueries(database.url)) as queries:
            rows = queries.entries(_search(arguments, since, names), arguments.limit)
    finally:
        database.stop()
    asked = {name: getattr(arguments, name) or "" for name in ("plate", "actor", "action", "since")}
    write(settings, "audit", searched(asked, names), arguments.reason)
    lines = [
        (
            f"{row['at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}Z",
            *(row["actor"], row["action"], row["subject"], row["reason"]),
            _found(row["found"]),
        )
        for row in rows
    ]
    for line in columns(("when", "who", "what", "of", "why", "plates shown"), lines):
        print(line)
    if not rows:
        print("nothing", file=sys.stderr)
    return 0


def _search(arguments: argparse.Namespace, since: int | None, names: Pseudonyms) -> AuditSearch:
    subjects = subjects_of(arguments.plate, names) if arguments.plate else []
    pseudonym = subjects[0].partition(":")[2] if subjects else ""
    return AuditSearch(
        actor=arguments.actor,
        action=arguments.action,
        subjects=subjects,
        pseudonym=pseudonym if is_pseudonym(pseudonym) else None,
        since=None if since is None else _EPOCH + timedelta(microseconds=since),
    )


def _found(found: list[str]) -> str:
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
