"""The queue as those who deliver see it: take what is due, hold it while it is sent, settle it.

A delivery in work is a row that its transaction has locked. So it is nobody else's while it is
sent, and anybody's again as soon as its process is killed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor

from eventlog.log import Entry
from notify.limits import SECOND, Lanes, rate_of
from notify.store import Session
from projections.database import speaking
from schemas.topics import ALERTS

SLOTS = 4
"""How many are sent to one target at once; one where it failed last."""
KEPT = 30 * 86_400 * SECOND
"""How long it is known what was delivered, and what alerts there were."""
LONGEST_STORM = 5_000
"""Alerts that one message stands for."""
_LOCK = 0x6E6F7469
_PRUNED = 5_000  # rows a transaction

_COLUMNS = (
    "notification_id::text, alert_id, kind, channel, target, lane, storm, attempts, queued_at, "
    "expires, options, rate, description, partition, log_offset, appended_at, value, headers"
)
# Earlier words about the same alert reach a target before later ones.
_FIRST_OF_ITS_ALERT = (
    "NOT EXISTS (SELECT FROM deliveries AS before WHERE before.alert_id = d.alert_id "
    "AND before.lane = d.lane AND before.seq < d.seq AND before.state <> 'done')"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A delivery as it is queued. ``options`` are the channel's."""

    notification_id: str
    alert_id: str
    kind: str
    channel: str
    target: str
    lane: str
    storm: str
    attempts: int
    queued_at: int
    expires: int
    options: Mapping[str, Any]
    rate: str
    description: str
    entry: Entry
    """The record of alpr.alerts that it tells."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery in work, and those that its message stands for as well."""

    row: Row
    members: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them."""
        return (self.row, *self.members)


class Deliveries:
    """Takes one delivery at a time; for one thread. ``clock`` gives microseconds UTC.

    Raises ViewUnavailable and what else ``projections.errors`` has; what was taken is free then.
    """

    def __init__(self, session: Session, lanes: Lanes, clock: Callable[[], int]) -> None:
        self._session = session
        self._lanes = lanes
        self._clock = clock

    def take(self) -> Taken | None:
        """The longest due of a target that may be told now, held until ``settle`` or ``leave``."""
        tried: list[str] = []
        while True:
            with speaking(self._session.url):
                cursor = self._session.connected().cursor()
                try:
                    lane = self._lane(cursor, tried)
                    if lane is None:
                        self.leave()
                        return None
                    row = self._first(cursor, lane)
                    if row is not None and self._may(row):
                        members = _members(cursor, row.notification_id)
                        return Taken(row, members)
                    self.leave()
                except BaseException:
                    self._session.close()
                    raise
            tried.append(lane)

    def settle(self, taken: Taken, outcome: str | None, due: int = 0) -> None:
        """Let go of a delivery: done with an outcome, or None to be tried again at ``due``.

        Where the connection broke meanwhile nothing is changed that somebody else took since.
        """
        ids = [row.notification_id for row in taken.rows]
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due = %(due)s "
                "WHERE notification_id = %(id)s AND attempts = %(attempts)s AND state = 'waiting' "
                "RETURNING seq",
                {"due": due, "id": ids[0], "attempts": taken.row.attempts},
            )
            if cursor.fetchone() is None or outcome is None:
                return
            finish(cursor, ids[:1], outcome)
            finish(cursor, ids[1:], "grouped" if outcome == "sent" else outcome)

    def leave(self) -> None:
        """Let go of what was taken, as it was."""
        self._session.connected().rollback()

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def _lane(self, cursor: Cursor, tried: Sequence[str]) -> str | None:
        """A lane with something due and a slot that is free, which is then ours."""
        now = self._clock()
        cursor.execute(
            "SELECT lane, failures, (SELECT min(due) FROM deliveries AS d WHERE "
            "d.lane = lanes.lane AND state = 'waiting') AS due FROM lanes "
            "WHERE greatest(open_until, limited_until) <= %(now)s AND lane <> ALL(%(tried)s)",
            {"now": now, "tried": list(tried)},
        )
        found = [row for row in cursor.fetchall() if row[2] is not None and row[2] <= now]
        for lane, failures, _ in sorted(found, key=lambda row: row[2]):
            cursor.execute(
                "SELECT slot FROM generate_series(1, %s) AS slot "
                "WHERE pg_try_advisory_xact_lock(%s, hashtext(%s || slot)) LIMIT 1",
                (1 if failures else SLOTS, _LOCK, f"{self._session.schema} {lane} "),
            )
            if cursor.fetchone() is not None:
                return lane
        return None

    def _first(self, cursor: Cursor, lane: str) -> Row | None:
        now = self._clock()
        cursor.execute(
            f"SELECT {_COLUMNS} FROM deliveries AS d WHERE lane = %(lane)s AND state = 'waiting' "
            f"AND due <= %(now)s AND expires > %(now)s AND {_FIRST_OF_ITS_ALERT} "
            "ORDER BY due, seq LIMIT 1 FOR UPDATE OF d SKIP LOCKED",
            {"lane": lane, "now": now},
        )
        found = cursor.fetchone()
        return None if found is None else row_of(found)

    def _may(self, row: Row) -> bool:
        return self._lanes.claim(row.lane, rate_of(row.rate))


class Upkeep:
    """What has to be done to a queue as time goes by; any number of processes do it."""

    def __init__(self, session: Session, clock: Callable[[], int]) -> None:
        self._session = session
        self._clock = clock

    def gather(self) -> None:
        """Make one message of what was held in each storm whose window has ended.

        What it stands for is fixed before it is sent, so that its repeats say the same; so not
        before its target may be told, and the message before it has gone.
        """
        now = self._clock()
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT DISTINCT d.storm FROM deliveries AS d JOIN storms USING (storm) "
                "JOIN lanes USING (lane) WHERE state = 'held' AND until <= %(now)s "
                "AND greatest(open_until, limited_until) <= %(now)s AND NOT EXISTS (SELECT FROM "
                "deliveries AS w WHERE w.lane = d.lane AND w.storm = d.storm "
                "AND w.state = 'waiting')",
                {"now": now},
            )
            storms = [storm for (storm,) in cursor.fetchall()]
        for storm in storms:
            with self._session.transaction() as cursor:
                self._gather(cursor, storm, now)

    def _gather(self, cursor: Cursor, storm: str, now: int) -> None:
        cursor.execute(
            "SELECT FROM storms WHERE storm = %s AND until <= %s FOR UPDATE SKIP LOCKED",
            (storm, now),
        )
        if cursor.fetchone() is None:
            return
        cursor.execute(
            "SELECT notification_id, window_us FROM deliveries AS d WHERE storm = %s "
            f"AND state = 'held' AND {_FIRST_OF_ITS_ALERT} ORDER BY seq LIMIT {LONGEST_STORM} "
            "FOR UPDATE OF d SKIP LOCKED",
            (storm,),
        )
        held = cursor.fetchall()
        if not held:
            return
        first, window = held[0]
        cursor.execute(
            "UPDATE deliveries SET state = 'bundled', bundle = %s "
            "WHERE notification_id = ANY(%s::uuid[])",
            (first, [one for one, _ in held[1:]]),
        )
        cursor.execute(
            "UPDATE deliveries SET state = 'waiting', due = %s WHERE notification_id = %s",
            (now, first),
        )
        cursor.execute("UPDATE storms SET until = %s WHERE storm = %s", (now + window, storm))

    def ready(self) -> bool:
        """Whether anything is due for a target that may be told now."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM lanes WHERE greatest(open_until, limited_until) "
                "<= %(now)s AND EXISTS (SELECT FROM deliveries AS d WHERE d.lane = lanes.lane "
                "AND state = 'waiting' AND due <= %(now)s AND expires > %(now)s))",
                {"now": self._clock()},
            )
            return cursor.fetchone() == (True,)

    def expired(self, tell: Callable[[Sequence[Row]], None]) -> None:
        """Give up what could not be delivered in its time; ``tell`` is called before they go."""
        with self._session.transaction() as cursor:
            cursor.execute(
                f"SELECT {_COLUMNS} FROM deliveries WHERE state <> 'done' AND expires <= %s "
                "ORDER BY seq LIMIT 200 FOR UPDATE SKIP LOCKED",
                (self._clock(),),
            )
            rows = [row_of(found) for found in cursor.fetchall()]
            if not rows:
                return
            tell(rows)
            ids = [row.notification_id for row in rows]
            # Who was to be told in the message of one of these is told by another.
            cursor.execute(
                "UPDATE deliveries SET state = 'waiting', bundle = NULL WHERE state = 'bundled' "
                "AND bundle = ANY(%s::uuid[])",
                (ids,),
            )
            finish(cursor, ids, "given up")

    def prune(self) -> None:
        """Forget what ended long ago."""
        before = self._clock() - KEPT
        for statement in (
            "DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries "
            "WHERE state = 'done' AND queued_at < %s LIMIT %s)",
            "DELETE FROM alerts WHERE alert_id IN (SELECT alert_id FROM alerts "
            "WHERE touched < %s LIMIT %s)",
            "DELETE FROM storms WHERE storm IN (SELECT storm FROM storms WHERE until < %s LIMIT %s)"
            " AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.storm = storms.storm "
            "AND state = 'held')",
        ):
            with self._session.transaction() as cursor:
                cursor.execute(statement, (before, _PRUNED))

    def close(self) -> None:
        """End the connection."""
        self._session.close()


def finish(cursor: Cursor, notification_ids: Sequence[str], outcome: str) -> None:
    """Deliveries are done; what they said is forgotten."""
    if notification_ids:
        cursor.execute(
            "UPDATE deliveries SET state = 'done', outcome = %s, bundle = NULL, options = NULL, "
            "value = NULL, headers = NULL WHERE notification_id = ANY(%s::uuid[])",
            (outcome, list(notification_ids)),
        )


def row_of(found: Sequence[Any]) -> Row:
    """A row of ``_COLUMNS``."""
    *plain, options, rate, description, partition, offset, appended_at, value, headers = found
    texts = [bytes(part) for part in headers or ()]
    entry = Entry(
        ALERTS.name,
        partition,
        offset,
        appended_at,
        plain[1].encode(),
        None if value is None else bytes(value),
        {name.decode(): held for name, held in zip(texts[::2], texts[1::2], strict=True)},
    )
    return Row(
        *plain,
        options=json.loads(options or "{}"),
        rate=rate,
        description=description,
        entry=entry,
    )


def _members(cursor: Cursor, notification_id: str) -> tuple[Row, ...]:
    cursor.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE state = 'bundled' AND bundle = %s "
        "ORDER BY seq FOR UPDATE",
        (notification_id,),
    )
    return tuple(row_of(found) for found in cursor.fetchall())
