"""``alpr alerts``: what rules found; list, look into one, acknowledge, resolve, comment.

Reads and writes the log alone: it works without a database, and while nothing else runs.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from alpr.commands.table import columns, printable
from alpr.errors import AlprError, ConfigError
from alpr.moments import SECOND_US, moment, shown
from alpr.person import actor
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log
from eventlog.log import Entry, Log
from eventlog.redriven import redriven
from eventlog.span import first_since, span
from projections.statements import Statements
from rules.alerts.life import STATES, Alert, fold
from rules.text import normalise
from schemas.codec import Codec, DecodeError
from schemas.records import AlertEvent
from schemas.topics import ALERTS, partition_of

LIMIT = 50
WHOLE = 36
"""Characters of a whole id; fewer are the beginning of one."""
SLACK_US = 3_600 * SECOND_US
"""Cameras' clocks may be ahead, so an alert may be appended before its time."""
_TIMES = ("first_at", "last_at", "raised_at", "withdrawn_at", "acknowledged_at", "resolved_at")
_DEEDS = {"ack": "acknowledged", "resolve": "resolved", "comment": "commented"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Five commands in one."""
    commands = parser.add_subparsers(
        dest="what", required=True, metavar="list|show|ack|resolve|comment"
    )
    listing = commands.add_parser("list", help="the newest alerts, one a line")
    listing.add_argument("--state", choices=STATES, help="as it stands now")
    listing.add_argument("--since", metavar="TIME", help="raised from then on: ISO 8601, or 2h")
    listing.add_argument("--rule", metavar="NAME", help="of one rule")
    listing.add_argument("--plate", metavar="PLATE", help="of one plate, also as it was read first")
    listing.add_argument("--limit", type=int, default=LIMIT, help=f"at most so many ({LIMIT})")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")

    show = commands.add_parser("show", help="one alert, and what became of it")
    show.add_argument("--json", action="store_true", help="as a JSON object")
    ack = commands.add_parser("ack", help="somebody has seen it: nobody else needs to be told")
    ack.add_argument("--comment", default="", metavar="TEXT")
    resolve = commands.add_parser("resolve", help="it is dealt with")
    resolve.add_argument("--comment", default="", metavar="TEXT")
    comment = commands.add_parser("comment", help="say something about it")
    for command in (show, ack, resolve, comment):
        command.add_argument("id", metavar="ID", help="or its beginning, as `list` shows it")
    comment.add_argument("comment", metavar="TEXT")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 for an id that no alert has."""
    now = time.time_ns() // 1000
    with closing(open_log(settings)) as log:
        alerts = Alerts(log, open_codec(settings))
        if arguments.what == "list":
            return _list(arguments, alerts, now)
        alert, life = alerts.one(arguments.id)
        if arguments.what == "show":
            _show(alert, life, arguments.json)
            return 0
        return _do(arguments, Statements(log, open_codec(settings), lambda: now), alert)


class Alerts:
    """The alerts of a log as they stand."""

    def __init__(self, log: Log, codec: Codec) -> None:
        self._log = log
        self._codec = codec

    def all(self, since: int | None = None) -> Iterator[Alert]:
        """Every alert, or those raised from ``since`` on (microseconds UTC), in no order."""
        near = {} if since is None else self._log.since(ALERTS.name, since - SLACK_US)
        for partition in range(self._log.partitions(ALERTS.name)):
            first = self._log.lowest(ALERTS.name, partition)
            start = first
            if since is not None:
                start = first_since(
                    self._log, ALERTS.name, partition, since - SLACK_US, near[partition]
                )
            alerts: dict[str, Alert] = {}
            for entry, event in self._events(partition, start):
                known = alerts.get(event["alert_id"])
                # One that began before where we read from is older than asked for.
                if known is not None or event["kind"] == "raised" or start <= first:
                    alerts[event["alert_id"]], _ = _after(known, entry, event)
            yield from (a for a in alerts.values() if since is None or a.raised_at >= since)

    def one(self, given: str) -> tuple[Alert, list[tuple[int, AlertEvent]]]:
        """The alert whose id is or begins so, and the events that were news, with log times.

        Raises AlprError where there is none, ConfigError where there are several.
        """
        prefix = given.strip().lower()
        if not prefix or prefix.strip("0123456789abcdef-"):
            raise ConfigError(
                f"{given!r} is no alert's id: give one, or its beginning, as `alpr alerts list` "
                "shows it"
            )
        found: dict[str, tuple[Alert, list[tuple[int, AlertEvent]]]] = {}
        partitions = range(self._log.partitions(ALERTS.name))
        if len(prefix) == WHOLE:
            partitions = [partition_of(prefix.encode(), len(partitions))]
        for partition in partitions:
            first = self._log.lowest(ALERTS.name, partition)
            for entry, event in self._events(partition, first, prefix.encode()):
                known, life = found.get(event["alert_id"], (None, []))
                alert, news = _after(known, entry, event)
                if news:
                    life.append((entry.appended_at, event))
                found[event["alert_id"]] = alert, life
        if not found:
            raise AlprError(f"no alert has the id {given}; `alpr alerts list` shows them")
        if len(found) > 1:
            ids = ", ".join(sorted(found)[:5])
            raise ConfigError(f"{given} begins the ids of {len(found)} alerts ({ids}): give more")
        return next(iter(found.values()))

    def _events(
        self, partition: int, start: int, prefix: bytes = b""
    ) -> Iterator[tuple[Entry, AlertEvent]]:
        end = self._log.end(ALERTS.name, partition)
        for entry in span(self._log, ALERTS.name, partition, start, end):
            if entry.value is None or not (entry.key or b"").startswith(prefix):
                continue
            try:
                name, event = self._codec.decode(entry.value)
            except DecodeError:
                continue  # a dead letter of the views
            if name == "AlertEvent":
                yield entry, event


def _after(known: Alert | None, entry: Entry, event: AlertEvent) -> tuple[Alert, bool]:
    return fold(known, event, redriven=redriven(entry.topic, entry.headers) > 0)


# list


def _list(arguments: argparse.Namespace, alerts: Alerts, now: int) -> int:
    since = None if arguments.since is None else moment("--since", arguments.since, now)
    if arguments.limit < 1:
        raise ConfigError(f"--limit {arguments.limit} shows nothing: give 1 or more")
    plate = None if arguments.plate is None else normalise(arguments.plate)
    found = [
        alert
        for alert in alerts.all(since)
        if arguments.state in (None, alert.state)
        and arguments.rule in (None, alert.rule)
        and (plate is None or plate in (alert.plate, *alert.was))
    ]
    found.sort(key=lambda alert: (-alert.raised_at, alert.alert_id))
    for line in _lines(found[: arguments.limit], arguments.json):
        print(line)
    if not found:
        print("no alerts", file=sys.stderr)
    if len(found) > arguments.limit:
        print(
            f"{len(found) - arguments.limit:,} more; --limit or the filters show them",
            file=sys.stderr,
        )
    return 0


def _lines(found: list[Alert], as_json: bool) -> Iterator[str]:
    if as_json:
        for alert in found:
            yield json.dumps(_plain(alert), ensure_ascii=False)
    elif found:
        head = ("ID", "RAISED", "SEVERITY", "STATE", "RULE", "PLATE", "CAMERA", "N", "MESSAGE")
        yield from columns(head, map(_row, found))


def _row(alert: Alert) -> tuple[str, ...]:
    what = (alert.rule, alert.plate or alert.subject, alert.camera_id or "", str(alert.count))
    when = (alert.alert_id[:8], shown(alert.raised_at), alert.severity, alert.state)
    return (*when, *what, alert.message)


def _plain(alert: Alert) -> dict[str, Any]:
    told = asdict(alert)
    del told["seen"]
    for name in (*_TIMES, "escalated_at"):
        told[name] = None if told[name] is None else shown(told[name])
    return told


# show


def _show(alert: Alert, life: list[tuple[int, AlertEvent]], as_json: bool) -> None:
    if as_json:
        events = [{**event, "at": shown(event["at"])} for _, event in life]
        print(json.dumps({**_plain(alert), "events": events}, ensure_ascii=False, indent=1))
        return
    print(alert.alert_id)
    sure = f" ({alert.confidence:.0%} sure)" if alert.plate else ""
    place = ", ".join(part for part in (alert.camera_id, alert.zone, alert.site) if part)
    facts = {
        "message": alert.message,
        "rule": f"{alert.rule}, version {alert.rule_version}, {alert.severity}",
        "state": alert.state,
        "plate": f"{alert.plate}{sure}" if alert.plate else "",
        "was": ", ".join(alert.was),
        "subject": alert.subject if alert.subject != alert.plate else "",
        "where": place,
        "stands for": f"{alert.count} matches" if alert.count > 1 else "",
        "watched": _watched(alert),
        "sightings": ", ".join(alert.event_ids),
        "marked": "within two seconds of a change of rules or lists" if alert.near_change else "",
    }
    for name, text in facts.items():
        if text:
            print(f"  {name:<10}  {printable(text)}")
    print()
    for _, event in life:
        who = f" by {event['actor']}" if event["actor"] else ""
        why = event["comment"] or event["reason"] or ""
        print(printable(f"  {shown(event['at'])}  {event['kind']}{who}{': ' if why else ''}{why}"))


def _watched(alert: Alert) -> str:
    hit = alert.watched
    if hit is None:
        return ""
    words = (hit["owner"], hit["reason"], ", ".join(hit["tags"]))
    told = "; ".join(word for word in words if word)
    return (
        f"{hit['plate']} on {hit['watchlist']} ({hit['kind']}), {hit['match']}, "
        f"{hit['confidence']:.0%}{': ' if told else ''}{told}"
    )


# ack, resolve, comment


def _do(arguments: argparse.Namespace, statements: Statements, alert: Alert) -> int:
    kind, comment = _DEEDS[arguments.what], arguments.comment.strip()
    if kind == "commented" and not comment:
        raise ConfigError("the comment is empty: give some words")
    by = alert.resolved_by or (alert.acknowledged_by if kind == "acknowledged" else None)
    if kind != "commented" and by is not None:
        done = "resolved" if alert.resolved_by else "acknowledged"
        print(f"{alert.alert_id[:8]} was {done} by {by} already", file=sys.stderr)
        if not comment:
            return 0
        kind = "commented"
    statements.alert(alert, kind, actor(), comment)
    print(printable(f"{alert.alert_id[:8]} {kind}: {alert.message}"))
    return 0
