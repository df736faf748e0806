"""What the alerts' view is asked by the API, its pages and the command line; values are bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from projections.alert_schema import ALERTS_LIVE, channel
from projections.asking import Asking, Row, storable
from projections.grant import among, granting
from projections.queries import Changes, pattern
from projections.schema import DERIVED, LIVE
from projections.veil import lifted, refuse_guessing, told, veil
from rules.alerts.life import STATES, Alert
from rules.alerts.watch import LIKE
from rules.pseudonym import is_pseudonym, pseudonym_of
from rules.similarity import similarity
from rules.text import normalise

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

# An alert as the log's fold made it; the view adds the number of its last change.
FIELDS = (
    "alert_id, rule, rule_version, severity, state, subject, plate, text, confidence, camera_id, "
    "site, zone, timezone, message, count, event_id, revision, event_ids, first_at, last_at, "
    "raised_at, images, watched, was, near_change, withdrawn_at, reason, acknowledged_by, "
    "acknowledged_at, resolved_by, resolved_at, escalated_at, comments"
)
_SEVERITIES = ("critical", "warning", "info")
_ATTEMPT = "notification_id, alert_id, channel, target, attempt, at, outcome, detail, duration_ms"
_HOLDS = "plate LIKE %s ESCAPE '\\'"
# At once where it says so, whatever the server's clock shows.
_IN_FORCE = "in_force_from <= greatest(now(), appended_at)"
_ENTRY = (
    "watchlist, plate, kind, match, valid_from, valid_to, owner, reason, tags, effective_from, "
    "appended_at, actor"
)


@dataclass(frozen=True, slots=True)
class AlertSearch:
    """Conditions that must all hold; None and () do not matter.

    ``states`` and ``severities``: one of them. ``plate`` may hold ``*`` (any characters) and ``?``
    (one). ``since`` and ``until`` are times of event, both included. ``q``: text that the message,
    the subject, the rule, the plate or what was read holds, in any case.
    """

    states: Sequence[str] = ()
    severities: Sequence[str] = ()
    rule: str | None = None
    plate: str | None = None
    camera: str | None = None
    site: str | None = None
    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a page, and how many there are in all."""

    rows: list[Row]
    total: int


class AlertQueries(Asking):
    """Reads the alerts' view; any number of threads may share it.

    Rows are dictionaries by the columns' names; times are datetimes in UTC. Every method raises
    ViewUnavailable, and QueryTimeout after ``timeout_ms``.
    """

    def __init__(
        self, url: str, schema: str = ALERTS_LIVE, connections: int = 4, timeout_ms: int = 5_000
    ) -> None:
        super().__init__(url, schema, "watchlist", connections, timeout_ms)
        self.channel = channel(schema)

    def alerts(
        self,
        search: AlertSearch = AlertSearch(),
        limit: int = 100,
        offset: int = 0,
    ) -> list[Row]:
        """Alerts as they stand that meet every condition, the latest raised first."""
        where, values = _where(search)
        if not all(map(storable, values)):
            return []
        return self._all(
            f"SELECT {FIELDS}, change FROM alerts {where}"
            "ORDER BY raised_at DESC, alert_id LIMIT %s OFFSET %s",
            [*values, limit, offset],
        )

    def count(self, search: AlertSearch = AlertSearch()) -> int:
        """How many alerts meet every condition."""
        where, values = _where(search)
        if not all(map(storable, values)):
            return 0
        return self._all(f"SELECT count(*) AS n FROM alerts {where}", values)[0]["n"]

    def counts(self) -> Row:
        """Alerts by state, ``states``, and those that are open by severity, ``open``."""
        where, values = _where(AlertSearch())
        rows = self._all(
            f"SELECT state, severity, count(*) AS n FROM alerts {where}GROUP BY 1, 2", values
        )
        states = dict.fromkeys(STATES, 0)
        severities = dict.fromkeys(_SEVERITIES, 0)
        for row in rows:
            states[row["state"]] = states.get(row["state"], 0) + row["n"]
            if row["state"] == "open":
                severities[row["severity"]] = severities.get(row["severity"], 0) + row["n"]
        return {"states": states, "open": severities}

    def raised(self, since: datetime) -> dict[str, int]:
        """How many alerts each rule raised from a time of event on, of rules with any."""
        where, values = _where(AlertSearch(since=since))
        rows = self._all(f"SELECT rule, count(*) AS n FROM alerts {where}GROUP BY 1", values)
        return {row["rule"]: row["n"] for row in rows}

    def alert(self, alert_id: str) -> Row | None:
        """One alert with its ``history`` in the order of the log, and its ``notifications``.

        A line of history: ``kind``, ``at``, ``appended_at``, ``actor``, ``comment``, ``reason``,
        ``message``, ``count``. A notification is one attempt, the oldest first. None if unknown.
        """
        key = _uuid(alert_id)
        if key is None:
            return None
        where, values = _where(AlertSearch(), "alert_id = %s", key)
        rows = self._all(f"SELECT {FIELDS}, change FROM alerts {where}", values)
        if not rows:
            return None
        history = self._all(
            "SELECT kind, at, appended_at, actor, comment, reason, message, count "
            "FROM alert_history WHERE alert_id = %s ORDER BY partition, log_offset",
            [key],
        )
        return rows[0] | {"history": history, "notifications": self.notifications(alert_id)}

    def standing(self, alert_id: str) -> Alert | None:
        """One alert as ``rules.alerts.life`` has it, to say something about; None if unknown."""
        key = _uuid(alert_id)
        if key is None:
            return None
        where, values = _where(AlertSearch(), "alert_id = %s", key)
        with lifted():  # it goes back to the log
            rows = self._all(f"SELECT {FIELDS}, seen FROM alerts {where}", values)
        return alert_of(rows[0]) if rows else None

    def notifications(self, alert_id: str) -> list[Row]:
        """Attempts to tell of an alert, the oldest first."""
        key = _uuid(alert_id)
        if key is None:
            return []
        return self._all(
            f"SELECT {_ATTEMPT} FROM notifications WHERE alert_id = %s "
            "ORDER BY at, notification_id, attempt",
            [key],
        )

    def latest_notifications(self, limit: int = 100, offset: int = 0) -> list[Row]:
        """The latest attempts of all alerts, the newest first."""
        return self._all(
            f"SELECT {_ATTEMPT} FROM notifications "
            "ORDER BY at DESC, notification_id, attempt DESC LIMIT %s OFFSET %s",
            [limit, offset],
        )

    def rules(self, *, removed: bool = False) -> list[Row]:
        """The rules in force by name, each with ``definition`` as a dictionary.

        ``versions`` counts them. With ``removed`` also those that were; their ``version`` is None.
        """
        rows = self._all(
            "SELECT * FROM (SELECT DISTINCT ON (name) name, version, definition, description, "
            "severity, enabled, effective_from, in_force_from, appended_at, actor, "
            "version IS NULL AS removed, "
            "(SELECT count(*) FROM rule_versions AS each WHERE each.name = one.name) AS versions "
            f"FROM rule_versions AS one WHERE {_IN_FORCE} "
            "ORDER BY name, in_force_from DESC, log_offset DESC) AS current "
            "WHERE %(removed)s OR NOT removed ORDER BY name",
            {"removed": removed},
        )
        return [_rule(row) for row in rows]

    def rule(self, name: str) -> Row | None:
        """One rule as in ``rules``, with ``history``: its versions, the newest first.

        None where there never was one. One that is not in force yet has ``version`` None.
        """
        if not storable(name):
            return None
        rows = self._all(
            "SELECT name, version, definition, description, severity, enabled, effective_from, "
            "in_force_from, appended_at, actor, version IS NULL AS removed, "
            f"{_IN_FORCE} AS reached FROM rule_versions WHERE name = %s "
            "ORDER BY in_force_from DESC, log_offset DESC",
            [name],
        )
        if not rows:
            return None
        reached = [row.pop("reached") for row in rows]
        versions = [_rule(row) for row in rows]
        now = next((row for row, there in zip(versions, reached, strict=True) if there), None)
        if now is None:
            now = versions[-1] | {"version": None, "definition": None, "removed": True}
        return now | {"versions": len(versions), "history": versions}

    def watchlist(
        self,
        watchlist: str | None = None,
        kind: str | None = None,
        q: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Page:
        """Entries by list and plate: of one list, of one kind, whose plate, owner, reason or tag
        holds a text.
        """
        conditions: list[str] = []
        values: list[Any] = []
        for condition, value in (("watchlist = %s", watchlist), ("kind = %s", kind)):
            if value:
                conditions.append(condition)
                values.append(value)
        order = "watchlist, plate"
        if veil():  # neither what it holds nor where it stands lets a plate be guessed
            order = "watchlist, appended_at, md5(plate)"
        if q:
            conditions.append(
                f"({'plate = %s' if veil() else _HOLDS} OR owner ILIKE %s OR reason ILIKE %s "
                "OR EXISTS (SELECT FROM unnest(tags) AS tag WHERE tag ILIKE %s))"
            )
            words = _holding(q)
            plate = normalise(q) or q
            values += [plate if veil() else _holding(plate), words, words, words]
        if not all(map(storable, values)):
            return Page([], 0)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        rows = self._all(
            f"SELECT {_ENTRY} FROM watchlist {where}ORDER BY {order} LIMIT %s OFFSET %s",
            [*values, limit, offset],
        )
        total = self._all(f"SELECT count(*) AS n FROM watchlist {where}", values)[0]["n"]
        return Page(rows, total)

    def entry(self, watchlist: str, plate: str) -> Row | None:
        """One entry; ``plate`` as it stands there. None if there is none."""
        if not storable(watchlist) or not storable(plate):
            return None
        rows = self._all(
            f"SELECT {_ENTRY} FROM watchlist WHERE watchlist = %s AND plate = %s",
            [watchlist, plate],
        )
        return rows[0] if rows else None

    def on_lists(self, plate: str) -> list[Row]:
        """The entries of all lists that a plate, normalised, is on: by whatever they match."""
        if not plate or not storable(plate):
            return []
        if is_pseudonym(plate):
            return [row for one in self.named(plate) for row in self.on_lists(one)]
        with lifted():
            rows = self._on_lists(plate)
        found = [r for r in rows if r["match"] != "fuzzy" or similarity(r["plate"], plate) >= LIKE]
        return told(found)

    def _on_lists(self, plate: str) -> list[Row]:
        return self._all(
            f"SELECT {_ENTRY} FROM watchlist WHERE plate = %(plate)s OR (match = 'wildcard' "
            "AND %(plate)s LIKE translate(plate, '*?', '%%_')) OR (match = 'fuzzy' "
            # So near in length as no likeness that counts leaves out: 15 % of twenty characters.
            "AND length(plate) BETWEEN length(%(plate)s) - 3 AND length(%(plate)s) + 3) "
            "ORDER BY watchlist, plate",
            {"plate": plate},
        )

    def lists(self) -> list[Row]:
        """Every list: ``watchlist``, ``entries``, ``kinds`` (entries by kind), ``changed_at``."""
        rows = self._all(
            "SELECT watchlist, kind, count(*) AS entries, max(appended_at) AS changed_at "
            "FROM watchlist GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found: dict[str, Row] = {}
        for row in rows:
            one = found.setdefault(
                row["watchlist"],
                {"watchlist": row["watchlist"], "entries": 0, "kinds": {}, "changed_at": _EPOCH},
            )
            one["entries"] += row["entries"]
            one["kinds"][row["kind"]] = row["entries"]
            one["changed_at"] = max(one["changed_at"], row["changed_at"])
        return list(found.values())

    def positions(self) -> list[Row]:
        """How far each partition is read: topic, partition, next_offset."""
        return self._all(
            "SELECT topic, partition, next_offset FROM view_positions ORDER BY topic, partition"
        )

    def latest_change(self) -> int:
        """The cursor of now: changes after it are yet to come."""
        return self._all("SELECT changes FROM view_state")[0]["changes"]

    def changes_since(self, cursor: int, limit: int = 100) -> Changes:
        """Alerts that changed after a cursor, oldest change first, each as it is now and once.

        After a rebuild they are not known: load anew. To be woken: LISTEN on ``channel``.
        """
        (state,) = self._all("SELECT changes, known_from FROM view_state")
        if not state["known_from"] <= cursor <= state["changes"]:
            return Changes([], state["changes"], complete=False)
        rows = self._all(
            f"SELECT {FIELDS}, change FROM alerts WHERE change > %s ORDER BY change LIMIT %s",
            [cursor, limit],
        )
        rows += [
            row | {"erased": True}
            for row in self._all(
                "SELECT alert_id, change FROM erased_alerts WHERE change > %s "
                "ORDER BY change LIMIT %s",
                [cursor, limit],
            )
        ]
        rows = sorted(rows, key=lambda row: row["change"])[:limit]
        return Changes(rows, rows[-1]["change"] if rows else cursor, complete=True)

    def among(self, rows: Sequence[Row], cameras: frozenset[str]) -> list[Row]:
        """Of rows of ``changes_since`` those for who sees these cameras alone."""
        near = [str(row["alert_id"]) for row in rows if row.get("camera_id") in cameras]
        with granting(cameras):
            where, values = _where(AlertSearch(), "alert_id = ANY(%s::uuid[])", near)
        found = self._all(f"SELECT alert_id FROM alerts {where}", values)
        told = {str(row["alert_id"]) for row in found}
        return [row for row in rows if row.get("erased") or str(row["alert_id"]) in told]


def _among() -> tuple[list[str], list[list[str]]]:
    """Conditions that every sighting of an alert is of the cameras of the one who asks.

    Those of a convoy may be of several. The sightings' view lies in a schema of its own.
    """
    of_alert, cameras = among("alerts.camera_id")
    if not of_alert:
        return [], []
    of_sightings, others = among("event.camera_id")
    elsewhere = (
        f"NOT EXISTS (SELECT FROM {LIVE}.plate_events AS event "
        f"WHERE event.event_id = ANY(alerts.event_ids::uuid[]) AND NOT ({of_sightings[0]}))"
    )
    return [*of_alert, elsewhere], [*cameras, *others]


def alert_of(row: Row) -> Alert:
    """An alert from a row of FIELDS and ``seen``."""
    fields = dict(row)
    for name in ("event_ids", "was", "seen"):
        fields[name] = tuple(fields[name])
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = (value - _EPOCH) // _US
    return Alert(**fields)


def _where(search: AlertSearch, condition: str = "", *more: Any) -> tuple[str, list[Any]]:
    """Of a search, another condition, and of what the one who asks may see."""
    conditions, cameras = _among()
    values: list[Any] = [*cameras]
    if condition:
        conditions.append(condition)
        values += more

    def where(condition: str, value: Any) -> None:
        if value is not None:
            conditions.append(condition)
            values.extend([value] * condition.count("%s"))

    where("state = ANY(%s)", list(search.states) or None)
    where("severity = ANY(%s)", list(search.severities) or None)
    where("rule = %s", search.rule)
    if search.plate is not None and (pseudonym := pseudonym_of(search.plate)):
        where(f"plate IN (SELECT text FROM {DERIVED}.plates WHERE pseudonym = %s)", pseudonym)
    elif search.plate is not None and set(search.plate) & set("*?"):
        refuse_guessing(search.plate)
        where("plate LIKE %s", pattern(search.plate))
    elif search.plate is not None:
        where("plate = %s", normalise(search.plate))
    where("camera_id = %s", search.camera)
    where("site = %s", search.site)
    where("event_id = %s", search.event_id)
    where("raised_at >= %s", search.since)
    where("raised_at <= %s", search.until)
    if search.q:
        refuse_guessing("*")
        where(
            "(message ILIKE %s OR subject ILIKE %s OR rule ILIKE %s OR plate ILIKE %s "
            "OR text ILIKE %s)",
            _holding(search.q),
        )
    return (f"WHERE {' AND '.join(conditions)} " if conditions else ""), values


def _holding(text: str) -> str:
    """A LIKE pattern of what holds a text."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _rule(row: Row) -> Row:
    row["definition"] = row["definition"] and orjson.loads(row["definition"])
    return row


def _uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
