"""The queue as the consumer fills it: rows and position in one transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor

from eventlog.log import Entry
from notify.deliveries import finish
from notify.limits import SECOND
from notify.store import Session
from projections.errors import PositionConflict
from rules.alerts.life import Alert
from schemas.topics import ALERTS

LIFE = 3_660 * SECOND
"""A delivery that was not sent this long after it was due is given up."""
_READER = 0x6E6F7472  # 'notr': one process at a time reads the alerts of a queue
_TOLD = ("sent", "grouped")
_ENGINE = ("raised", "updated", "escalated")  # what a withdrawal makes void


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be delivered: a record of alpr.alerts, over one channel to one target.

    ``storm`` names what it may be told together with, within ``window_us``.
    """

    notification_id: str
    kind: str
    channel: str
    target: str
    options: Mapping[str, Any]
    rate: str
    storm: str
    window_us: int
    description: str

    @property
    def lane(self) -> str:
        """What leads to its target; in words, as it stands in log lines too."""
        return f"{self.channel} to {self.target}"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A delivery that was still waiting and is not to be sent any more."""

    notification_id: str
    alert_id: str
    channel: str
    target: str


class Queue:
    """The queue of one log; for one thread.

    Raises ViewUnavailable, and PositionConflict where another consumer moved on.
    """

    def __init__(self, session: Session, log_uuid: str) -> None:
        self._session = session
        self._log_uuid = log_uuid
        self._mine: object = None

    def mine(self) -> bool:
        """Whether this process is the one that reads the alerts, until its connection ends."""
        if self._mine is self._session.connected():
            return True
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_READER, self._session.schema)
            )
            if cursor.fetchone() != (True,):
                return False
            self._mine = cursor.connection
        return True

    def positions(self) -> dict[int, int]:
        """The next offset of each partition of alpr.alerts."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT partition, next_offset FROM positions WHERE topic = %s AND log_uuid = %s",
                (ALERTS.name, self._log_uuid),
            )
            return dict(cursor.fetchall())

    def told_from(self) -> dict[int, int]:
        """The offset of each partition before which all is history, to be told to nobody."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT partition, told_from FROM positions WHERE topic = %s AND log_uuid = %s",
                (ALERTS.name, self._log_uuid),
            )
            return dict(cursor.fetchall())

    @contextmanager
    def writing(self, partition: int, expected: int, next_offset: int) -> Iterator["Page"]:
        """A page to write on; with the block's end it and the position are there, or neither."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "UPDATE positions SET next_offset = %s WHERE topic = %s AND partition = %s "
                "AND next_offset = %s AND log_uuid = %s",
                (next_offset, ALERTS.name, partition, expected, self._log_uuid),
            )
            if cursor.rowcount != 1:
                raise PositionConflict(
                    f"{ALERTS.name}, partition {partition}: the queue does not stand at {expected}"
                )
            yield Page(cursor)

    def due_escalations(self, now: int) -> list[tuple[str, bytes]]:
        """Alerts that nobody acknowledged in time: id, and the record that raised each."""
        with self._session.transaction() as cursor:
            cursor.execute(
                "SELECT alert_id, event FROM escalations WHERE due <= %s ORDER BY due LIMIT 100",
                (now,),
            )
            return [(alert_id, bytes(event)) for alert_id, event in cursor.fetchall()]

    def drop_escalations(self, before: int) -> int:
        """Forget those that were due before; how many."""
        with self._session.transaction() as cursor:
            cursor.execute("DELETE FROM escalations WHERE due < %s", (before,))
            return cursor.rowcount

    def close(self) -> None:
        """End the connection, and let another process read the alerts."""
        self._session.close()


class Page:
    """One transaction of the consumer."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @contextmanager
    def part(self) -> Iterator[None]:
        """What fails within is undone alone."""
        self._cursor.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if not self._cursor.connection.closed:
                self._cursor.execute("ROLLBACK TO SAVEPOINT part")
            raise
        self._cursor.execute("RELEASE SAVEPOINT part")

    def life(self, alert_id: str) -> Alert | None:
        """An alert as it stood."""
        self._cursor.execute("SELECT life FROM alerts WHERE alert_id = %s", (alert_id,))
        row = self._cursor.fetchone()
        return None if row is None else _alert(json.loads(row[0]))

    def keep(self, alert: Alert, now: int) -> None:
        """An alert as it stands now."""
        self._cursor.execute(
            "INSERT INTO alerts VALUES (%s, %s, %s) ON CONFLICT (alert_id) DO UPDATE "
            "SET life = excluded.life, touched = excluded.touched",
            (alert.alert_id, json.dumps(asdict(alert)), now),
        )

    def escalate(self, alert_id: str, due: int, event: bytes) -> None:
        """Somebody else is told at ``due`` if nobody acknowledges."""
        self._cursor.execute(
            "INSERT INTO escalations VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (alert_id, due, event),
        )

    def rephrase(self, alert_id: str, event: bytes) -> None:
        """What a coming escalation is to say."""
        self._cursor.execute(
            "UPDATE escalations SET event = %s WHERE alert_id = %s", (event, alert_id)
        )

    def calm(self, alert_id: str) -> None:
        """Nobody else is to be told."""
        self._cursor.execute("DELETE FROM escalations WHERE alert_id = %s", (alert_id,))

    def add(self, order: Order, entry: Entry, alert_id: str, now: int) -> bool:
        """Queue a delivery; False if it is known."""
        self._cursor.execute(
            "SELECT FROM deliveries WHERE notification_id = %s", (order.notification_id,)
        )
        if self._cursor.fetchone() is not None:
            return False
        due = self._storm(order, now)
        self._insert(order, entry, alert_id, now, due=due or now, held=due is not None)
        self._cursor.execute(
            "INSERT INTO lanes (lane) VALUES (%s) ON CONFLICT DO NOTHING", (order.lane,)
        )
        return True

    def note(self, order: Order, entry: Entry, alert_id: str, outcome: str, now: int) -> bool:
        """Keep what became of a delivery that is not sent; False if it is known."""
        return self._insert(order, entry, alert_id, now, outcome=outcome)

    def told(self, alert_id: str, lane: str, *, drop: bool = False) -> tuple[bool, list[Dropped]]:
        """Whether a target has been, or is being, told that an alert stands.

        With ``drop`` what is still waiting for its first attempt is taken out of the queue.
        """
        self._cursor.execute(
            "SELECT notification_id::text, kind, state, outcome FROM deliveries "
            "WHERE alert_id = %(alert)s AND lane = %(lane)s AND seq > coalesce((SELECT max(seq) "
            "FROM deliveries WHERE alert_id = %(alert)s AND lane = %(lane)s "
            "AND kind = 'withdrawn'), 0) ORDER BY seq",
            {"alert": alert_id, "lane": lane},
        )
        rows = self._cursor.fetchall()
        waiting = [row for row in rows if row[2] != "done"]
        gone: list[Dropped] = []
        if drop:
            gone += self._drop([row[0] for row in waiting if row[1] in _ENGINE])
        ids = {one.notification_id for one in gone}
        known = any(
            kind in ("raised", "escalated") and (state != "done" or outcome in _TOLD)
            for notification_id, kind, state, outcome in rows
            if notification_id not in ids
        )
        if drop and not known:
            gone += self._drop([row[0] for row in waiting if row[0] not in ids])
        return known, gone

    def again(self, order: Order, entry: Entry, now: int) -> bool:
        """Queue a delivery once more that was given up; False if there is no such."""
        self._cursor.execute(
            "UPDATE deliveries SET state = 'waiting', outcome = NULL, due = %s, expires = %s, "
            "options = %s, value = %s, headers = %s WHERE notification_id = %s "
            "AND state = 'done' AND outcome IN ('given up', 'refused')",
            (
                *(now, now + LIFE, json.dumps(order.options), entry.value, _flat(entry)),
                order.notification_id,
            ),
        )
        return self._cursor.rowcount == 1

    def erase(self, alert_id: str) -> None:
        """Forget an alert: nobody else is told of it."""
        for table in ("alerts", "escalations"):
            self._cursor.execute(f"DELETE FROM {table} WHERE alert_id = %s", (alert_id,))
        self._cursor.execute(
            "SELECT notification_id::text FROM deliveries WHERE alert_id = %s AND state <> 'done'",
            (alert_id,),
        )
        self._drop([one for (one,) in self._cursor.fetchall()], tried=True)

    def _storm(self, order: Order, now: int) -> int | None:
        """Until when it is held, None for at once."""
        if not order.window_us:
            return None
        self._cursor.execute(
            "SELECT until, EXISTS (SELECT FROM deliveries AS d WHERE d.storm = storms.storm "
            "AND state = 'held') FROM storms WHERE storm = %s FOR UPDATE",
            (order.storm,),
        )
        row = self._cursor.fetchone()
        if row is not None and (row[0] > now or row[1]):
            return row[0]
        self._cursor.execute(
            "INSERT INTO storms VALUES (%s, %s) ON CONFLICT (storm) "
            "DO UPDATE SET until = excluded.until",
            (order.storm, now + order.window_us),
        )
        return None

    def _insert(
        self,
        order: Order,
        entry: Entry,
        alert_id: str,
        now: int,
        *,
        due: int = 0,
        held: bool = False,
        outcome: str | None = None,
    ) -> bool:
        done = outcome is not None
        state = "done" if done else "held" if held else "waiting"
        self._cursor.execute(
            "INSERT INTO deliveries (notification_id, alert_id, kind, channel, target, lane, "
            "storm, state, due, queued_at, expires, outcome, options, rate, window_us, "
            "description, partition, log_offset, appended_at, value, headers) VALUES (%s, %s, %s, "
            "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[]) "
            "ON CONFLICT (notification_id) DO NOTHING",
            (
                *(order.notification_id, alert_id, order.kind, order.channel, order.target),
                *(order.lane, order.storm, state, due, now, max(due, now) + LIFE, outcome),
                *(None if done else json.dumps(order.options), order.rate, order.window_us),
                *(order.description, entry.partition, entry.offset, entry.appended_at),
                *((None, None) if done else (entry.value, _flat(entry))),
            ),
        )
        return self._cursor.rowcount == 1

    def _drop(self, notification_ids: Sequence[str], tried: bool = False) -> list[Dropped]:
        """Take out of the queue what nobody is sending and, unless ``tried``, nobody tried to.

        What is told in the message of another counts as that other does.
        """
        self._cursor.execute(
            "SELECT d.notification_id::text, d.alert_id, d.channel, d.target, d.bundle "
            "FROM deliveries AS d WHERE d.notification_id = ANY(%s::uuid[]) "
            "AND d.state <> 'done' AND (%s OR d.attempts = 0) FOR UPDATE SKIP LOCKED",
            (list(notification_ids), tried),
        )
        free: list[Dropped] = []
        for *row, bundle in self._cursor.fetchall():
            if bundle is None or self._untried(bundle):
                free.append(Dropped(*row))
        ids = [one.notification_id for one in free]
        # Who was to be told in the message of one of these is gathered anew.
        self._cursor.execute(
            "UPDATE deliveries SET state = 'held', bundle = NULL WHERE state = 'bundled' "
            "AND bundle = ANY(%s::uuid[]) AND notification_id <> ALL(%s::uuid[]) RETURNING storm",
            (ids, ids),
        )
        storms = [storm for (storm,) in self._cursor.fetchall()]
        if storms:
            self._cursor.execute("UPDATE storms SET until = 0 WHERE storm = ANY(%s)", (storms,))
        finish(self._cursor, ids, "withdrawn")
        return free

    def _untried(self, notification_id: str) -> bool:
        self._cursor.execute(
            "SELECT FROM deliveries WHERE notification_id = %s AND attempts = 0 "
            "FOR UPDATE SKIP LOCKED",
            (notification_id,),
        )
        return self._cursor.fetchone() is not None


def _flat(entry: Entry) -> list[bytes]:
    return [part for name, held in entry.headers.items() for part in (name.encode(), bytes(held))]


def _alert(values: dict[str, Any]) -> Alert:
    """An alert from the JSON of its fields."""
    for name in ("event_ids", "was", "seen"):
        values[name] = tuple(values[name])
    return Alert(**values)
