"""The writer of the alerts' view: four topics, each batch with its position in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import register_default_jsonb

from eventlog.log import Entry
from eventlog.redriven import redriven
from projections.alert_queries import FIELDS, alert_of
from projections.alert_schema import ALERTS_LIVE, COMMAND, channel, migrate_alerts
from projections.database import alive, connect, speaking
from projections.position import Reader
from projections.rulebook import in_force
from projections.view import Refused
from rules.alerts.life import Alert, fold
from rules.alerts.parse import rule_of
from rules.alerts.watch_entry import check_stated
from schemas.codec import Codec, DecodeError
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, TOPICS, WATCHLIST

SHOWN = (ALERTS.name, NOTIFICATIONS.name, RULES.name, WATCHLIST.name)
"""The topics that the view shows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
# What a value can do wrong: data exception, integrity, one row twice, a limit (a key too long).
_REFUSALS = ("21", "22", "23", "54")
_MISFITS = (ValueError, OverflowError, TypeError, KeyError)


class Change(NamedTuple):
    """A record of one of the topics, and where it lies; None is a tombstone."""

    entry: Entry
    record: Any


def alert_change_of(entry: Entry, codec: Codec) -> Change:
    """What a record does to the view. Raises DecodeError; only alerts can be erased."""
    if entry.value is None:
        if entry.topic != ALERTS.name:
            raise DecodeError("unreadable", "a record without a value")
        return Change(entry, None)
    name, record = codec.decode(entry.value)
    if name not in TOPICS[entry.topic].records:
        raise DecodeError("schema", f"a {name} does not belong on {entry.topic}")
    return Change(entry, record)


class AlertView:
    """Writes the alerts, attempts, rules and watchlists of one log to one schema; for one thread.

    Makes the tables if there are none. Raises ViewMismatch (another log's view, a newer version,
    a server that is too old) and ViewUnavailable, here and in every method; after the latter the
    next call connects anew.
    """

    def __init__(self, url: str, log_uuid: str, schema: str = ALERTS_LIVE) -> None:
        self._url = url
        self._log_uuid = log_uuid
        self._schema = schema
        self._connection: Connection | None = None
        migrate_alerts(url, schema, log_uuid)

    def positions(self, topic: str) -> dict[int, int]:
        """The next offset of each partition that was ever read; one that is missing is at 0."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT partition, next_offset FROM view_positions WHERE topic = %s", (topic,)
            )
            return dict(cursor.fetchall())

    def apply(  # noqa: PLR0917 (a place is four of them)
        self,
        topic: str,
        partition: int,
        expected: int,
        changes: Sequence[Change],
        next_offset: int,
        on_refused: Callable[[list[Refused]], None] = lambda _: None,
    ) -> list[Refused]:
        """Write changes and move the position from ``expected`` to ``next_offset``, or neither.

        The borders of batches do not matter. Returns what no row can hold: all else is written.
        ``on_refused`` is told of them before the position moves, so that they can be kept first.
        Raises PositionConflict when the position is not ``expected`` (0: never read).
        """
        write = _WRITERS[topic]
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            Reader(self._schema, self._log_uuid, COMMAND).move(
                cursor, topic, partition, expected, next_offset
            )
            refused: list[Refused] = []
            if _write(cursor, write, list(enumerate(changes)), refused):
                cursor.execute(_NEXT_CHANGE, (1,))
                told = f"{_scalar(cursor)} {topic}"
                cursor.execute("SELECT pg_notify(%s, %s)", (channel(self._schema), told))
            if refused:
                on_refused(refused)
            return refused

    def forget(self, alert_ids: Sequence[str]) -> None:
        """Erase alerts for ever, wherever the position is."""
        with speaking(self._url), self._session() as connection, connection.cursor() as cursor:
            _erase(cursor, sorted(alert_ids))

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Connection:
        if self._connection is None or not alive(self._connection):
            self.close()
            self._connection = connect(self._url, self._schema)
            register_default_jsonb(self._connection, loads=orjson.loads)
        return self._connection


def _write(
    cursor: Cursor,
    write: Callable[[Cursor, Sequence[Change]], bool],
    changes: list[tuple[int, Change]],
    refused: list[Refused],
) -> bool:
    """Write changes in order, in halves where some cannot be; whether anything is another now."""
    if not changes:
        return False
    cursor.execute("SAVEPOINT changes")
    try:
        changed = write(cursor, [change for _, change in changes])
    except (psycopg2.Error, *_MISFITS) as error:
        if isinstance(error, psycopg2.Error) and (error.pgcode or "")[:2] not in _REFUSALS:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT changes")
        if len(changes) == 1:
            refused.append(Refused(changes[0][0], f"{type(error).__name__}: {error}".strip()))
            return False
        half = len(changes) // 2
        before = _write(cursor, write, changes[:half], refused)
        return _write(cursor, write, changes[half:], refused) or before
    cursor.execute("RELEASE SAVEPOINT changes")
    return changed


def _alerts(cursor: Cursor, changes: Sequence[Change]) -> bool:
    ids = sorted({_alert_id(change) for change in changes})
    # First of all, for its lock: whoever writes an alert waits here and sees what was written.
    cursor.execute(_NEXT_CHANGE, (len(ids),))
    number = _scalar(cursor) - len(ids)
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
    _put(cursor, "alerts", rows, _ON_ALERT)
    _put(cursor, "alert_history", [line for lines in history.values() for line in lines])
    _erase(cursor, gone)
    return bool(rows or gone)


def _standing(cursor: Cursor, ids: Sequence[str]) -> dict[str, Alert]:
    cursor.execute(f"SELECT {FIELDS}, seen FROM alerts WHERE alert_id = ANY(%s::uuid[])", (ids,))
    names = [column.name for column in cursor.description or ()]
    found = (alert_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall())
    return {alert.alert_id: alert for alert in found}


def _erase(cursor: Cursor, alert_ids: Sequence[str]) -> None:
    if not alert_ids:
        return
    cursor.execute(_NEXT_CHANGE, (len(alert_ids),))
    last = _scalar(cursor)
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
            "at": _time(record["at"]),
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
    return _put(cursor, "notifications", [row for row in rows if row["alert_id"] not in erased])


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
                "effective_from": _time(record["effective_from"]),
                "in_force_from": _time(in_force(record["effective_from"], entry.appended_at)),
                "appended_at": _time(entry.appended_at),
                "actor": record["actor"],
            }
        )
    return _put(cursor, "rule_versions", rows)


def _watchlist(cursor: Cursor, changes: Sequence[Change]) -> bool:
    for change in changes:
        check_stated(change.record)
    latest = {(c.record["watchlist"], c.record["plate"]): c for c in changes}
    removed = [key for key, change in latest.items() if change.record["removed"]]
    if removed:
        cursor.execute(
            "DELETE FROM watchlist USING unnest(%s::text[], %s::text[]) AS gone (list, plate) "
            "WHERE watchlist.watchlist = gone.list AND watchlist.plate = gone.plate",
            ([name for name, _ in removed], [plate for _, plate in removed]),
        )
    rows = [
        {
            **record,
            "valid_from": _time(record["valid_from"]),
            "valid_to": _time(record["valid_to"]),
            "effective_from": _time(record["effective_from"]),
            "appended_at": _time(entry.appended_at),
        }
        for entry, record in latest.values()
        if not record["removed"]
    ]
    return _put(cursor, "watchlist", rows, _ON_ENTRY) or bool(removed)


_WRITERS: Mapping[str, Callable[[Cursor, Sequence[Change]], bool]] = {
    ALERTS.name: _alerts,
    NOTIFICATIONS.name: _attempts,
    RULES.name: _rules,
    WATCHLIST.name: _watchlist,
}


def _put(
    cursor: Cursor, table: str, rows: Sequence[Mapping[str, Any]], conflict: str = "DO NOTHING"
) -> bool:
    """Insert rows by the columns' names, as one JSON text: fast, and every value is bound."""
    if not rows:
        return False
    cursor.execute(
        f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json) "
        f"ON CONFLICT {conflict}",
        (orjson.dumps(rows).decode(),),
    )
    return cursor.rowcount > 0


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
        _time(event[name])
    if b"\\u0000" in orjson.dumps(event) and _nul(event):
        raise ValueError("a text holds a NUL")


def _nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_nul, held))


def _row(alert: Alert) -> dict[str, Any]:
    fields = {name: getattr(alert, name) for name in _COLUMNS[:-1]}
    return fields | {name: _time(fields[name]) for name in _TIMES}


def _line(change: Change) -> dict[str, Any]:
    entry, event = change
    return {
        "alert_id": event["alert_id"],
        "partition": entry.partition,
        "log_offset": entry.offset,
        "appended_at": _time(entry.appended_at),
        "at": _time(event["at"]),
        "kind": event["kind"],
        "actor": event["actor"],
        "comment": event["comment"],
        "reason": event["reason"],
        "message": event["message"],
        "count": event["count"],
        "event": event,
    }


def _time(microseconds: int | None) -> datetime | None:
    """Raises OverflowError outside of the years 1 to 9999."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _scalar(cursor: Cursor) -> Any:
    found = cursor.fetchone()
    return found[0] if found else None
