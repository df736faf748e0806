"""The writer of the alerts' view: four topics, each batch with its position in one transaction."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any
from uuid import UUID

from psycopg2.extensions import cursor as Cursor

from eventlog.log import Entry
from eventlog.redriven import redriven
from projections.alert_queries import FIELDS, alert_of
from projections.alert_schema import ALERTS_LIVE, COMMAND, channel, migrate_alerts
from projections.position import Reader
from projections.rulebook import in_force
from projections.topic_view import (
    Change,
    TopicView,
    Write,
    check_texts,
    held_change,
    put,
    scalar,
    time_of,
)
from rules.alerts.life import Alert, fold
from rules.alerts.parse import rule_of
from rules.alerts.watch_entry import check_stated
from schemas.codec import Codec
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, WATCHLIST

SHOWN = (ALERTS.name, NOTIFICATIONS.name, RULES.name, WATCHLIST.name)
"""The topics that the view shows."""

_TIMES = frozenset(
    [
        "first_at",
        "last_at",
        "raised_at",
        "withdrawn_at",
        "acknowledged_at",
        "resolved_at",
        "escalated_at",
    ]
)
_NEXT_CHANGE = "UPDATE view_state SET changes = changes + %s RETURNING changes"
_COLUMNS = (*FIELDS.split(", "), "seen", "change")
_ON_ALERT = "(alert_id) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS[1:])
_ON_ENTRY = "(watchlist, plate) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}"
    for column in (
        *("kind", "match", "valid_from", "valid_to", "owner", "reason", "tags"),
        *("effective_from", "appended_at", "actor"),
    )
)


def alert_change_of(entry: Entry, codec: Codec) -> Change:
    """What a record does to the view. Raises DecodeError; alerts and watched plates can go."""
    return held_change(entry, codec, ALERTS.name, WATCHLIST.name)


class AlertView(TopicView):
    """Writes the alerts, attempts, rules and watchlists of one log to one schema; for one thread.

    Makes the tables if there are none. Raises ViewMismatch (another log's view, a newer version,
    a server that is too old) and ViewUnavailable, here and in every method; after the latter the
    next call connects anew.
    """

    def __init__(self, url: str, log_uuid: str, schema: str = ALERTS_LIVE) -> None:
        super().__init__(url, Reader(schema, log_uuid, COMMAND), _WRITERS, channel(schema))
        migrate_alerts(url, schema, log_uuid)

    def forget(self, alert_ids: Sequence[str]) -> None:
        """Erase alerts for ever, wherever the position is."""
        with self.writing() as cursor:
            erase(cursor, sorted(alert_ids))


def _alerts(cursor: Cursor, changes: Sequence[Change]) -> bool:
    ids = sorted({_alert_id(change) for change in changes})
    # First of all, for its lock: whoever writes an alert waits here and sees what was written.
    cursor.execute(_NEXT_CHANGE, (len(ids),))
    number = scalar(cursor) - len(ids)
    cursor.execute("SELECT alert_id FROM erased_alerts WHERE alert_id = ANY(%s::uuid[])", (ids,))
    erased = {alert_id for (alert_id,) in cursor.fetchall()}
    before = _standing(cursor, ids)
    alerts = dict(before)
    gone: list[str] = []
    history: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        alert_id = _alert_id(change)
        if change.record is None:
            alerts.pop(alert_id, None)
            history.pop(alert_id, None)
            if alert_id not in erased:
                erased.add(alert_id)
                gone.append(alert_id)
        elif alert_id not in erased:
            _check(change.record)
            again = redriven(change.entry.topic, change.entry.headers) > 0
            alerts[alert_id], news = fold(alerts.get(alert_id), change.record, redriven=again)
            if news:
                history.setdefault(alert_id, []).append(_line(change))
    rows: list[dict[str, Any]] = []
    for alert_id, alert in alerts.items():
        if alert != before.get(alert_id):
            number += 1
            rows.append(_row(alert) | {"change": number})
    put(cursor, "alerts", rows, _ON_ALERT)
    put(cursor, "alert_history", [line for lines in history.values() for line in lines])
    erase(cursor, gone)
    return bool(rows or gone)


def _standing(cursor: Cursor, ids: Sequence[str]) -> dict[str, Alert]:
    cursor.execute(f"SELECT {FIELDS}, seen FROM alerts WHERE alert_id = ANY(%s::uuid[])", (ids,))
    names = [column.name for column in cursor.description or ()]
    found = (alert_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall())
    return {alert.alert_id: alert for alert in found}


def erase(cursor: Cursor, alert_ids: Sequence[str]) -> None:
    """Erase alerts for ever from the schema that the transaction is in."""
    if not alert_ids:
        return
    cursor.execute(_NEXT_CHANGE, (len(alert_ids),))
    last = scalar(cursor)
    values = {"ids": list(alert_ids), "before": last - len(alert_ids)}
    cursor.execute(
        "DELETE FROM alerts WHERE alert_id = ANY(%(ids)s::uuid[]); "
        "DELETE FROM alert_history WHERE alert_id = ANY(%(ids)s::uuid[]); "
        "DELETE FROM notifications WHERE alert_id = ANY(%(ids)s::uuid[]); "
        "INSERT INTO erased_alerts SELECT alert_id, %(before)s + place "
        "FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS gone (alert_id, place) "
        "ON CONFLICT DO NOTHING",
        values,
    )


def _attempts(cursor: Cursor, changes: Sequence[Change]) -> bool:
    rows = [
        {
            **record,
            "alert_id": str(UUID(record["alert_id"])),
            "at": time_of(record["at"]),
            "partition": entry.partition,
            "log_offset": entry.offset,
        }
        for entry, record in changes
    ]
    cursor.execute(
        "SELECT alert_id FROM erased_alerts WHERE alert_id = ANY(%s::uuid[])",
        ([row["alert_id"] for row in rows],),
    )
    erased = {alert_id for (alert_id,) in cursor.fetchall()}
    return put(cursor, "notifications", [row for row in rows if row["alert_id"] not in erased])


def _rules(cursor: Cursor, changes: Sequence[Change]) -> bool:
    rows: list[dict[str, Any]] = []
    for entry, record in changes:
        definition = record["definition"]
        rule = None if definition is None else rule_of(definition)
        if rule is not None and rule.name != record["name"]:
            raise ValueError(f"the definition is of {rule.name!r}, not of {record['name']!r}")
        rows.append(
            {
                "log_offset": entry.offset,
                "name": record["name"],
                "version": rule and rule.version,
                "definition": definition,
                "description": rule.description if rule else "",
                "severity": rule and rule.severity,
                "enabled": rule.enabled if rule else False,
                "effective_from": time_of(record["effective_from"]),
                "in_force_from": time_of(in_force(record["effective_from"], entry.appended_at)),
                "appended_at": time_of(entry.appended_at),
                "actor": record["actor"],
            }
        )
    return put(cursor, "rule_versions", rows)


def _watchlist(cursor: Cursor, changes: Sequence[Change]) -> bool:
    for change in changes:
        if change.record is not None:
            check_stated(change.record)
    latest = {_entry_of(change): change for change in changes}
    removed = [key for key, c in latest.items() if c.record is None or c.record["removed"]]
    if removed:
        cursor.execute(
            "DELETE FROM watchlist USING unnest(%s::text[], %s::text[]) AS gone (list, plate) "
            "WHERE watchlist.watchlist = gone.list AND watchlist.plate = gone.plate",
            ([name for name, _ in removed], [plate for _, plate in removed]),
        )
    rows = [
        {
            **record,
            "valid_from": time_of(record["valid_from"]),
            "valid_to": time_of(record["valid_to"]),
            "effective_from": time_of(record["effective_from"]),
            "appended_at": time_of(entry.appended_at),
        }
        for entry, record in latest.values()
        if record is not None and not record["removed"]
    ]
    return put(cursor, "watchlist", rows, _ON_ENTRY) or bool(removed)


def _entry_of(change: Change) -> tuple[str, str]:
    """List and plate of an entry, or of one that is erased."""
    if change.record is not None:
        return change.record["watchlist"], change.record["plate"]
    name, _, plate = (change.entry.key or b"").decode("utf-8", "replace").partition("/")
    return name, plate


_WRITERS: Mapping[str, Write] = {
    ALERTS.name: _alerts,
    NOTIFICATIONS.name: _attempts,
    RULES.name: _rules,
    WATCHLIST.name: _watchlist,
}


def _alert_id(change: Change) -> str:
    if change.record is not None:
        return str(UUID(change.record["alert_id"]))
    return str(UUID((change.entry.key or b"").decode("utf-8", "replace")))


def _check(event: Mapping[str, Any]) -> None:
    """ValueError, TypeError or OverflowError for what no row can hold.

    Here and not by the server alone: what a later event of the batch says instead would hide it.
    """
    # One NaN would make every average one, and a page that shows it fail.
    if not isfinite(event["confidence"]):
        raise ValueError("the confidence is no finite number")
    for name in ("at", "first_at", "last_at"):
        time_of(event[name])
    check_texts(event)


def _row(alert: Alert) -> dict[str, Any]:
    fields = {name: getattr(alert, name) for name in _COLUMNS[:-1]}
    return fields | {name: time_of(fields[name]) for name in _TIMES}


def _line(change: Change) -> dict[str, Any]:
    entry, event = change
    return {
        "alert_id": event["alert_id"],
        "partition": entry.partition,
        "log_offset": entry.offset,
        "appended_at": time_of(entry.appended_at),
        "at": time_of(event["at"]),
        "kind": event["kind"],
        "actor": event["actor"],
        "comment": event["comment"],
        "reason": event["reason"],
        "message": event["message"],
        "count": event["count"],
        "event": event,
    }
