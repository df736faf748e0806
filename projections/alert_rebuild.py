"""Builds the alerts' view anew beside the live one, compares the two, and swaps them."""

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

from psycopg2.extensions import connection as Connection

from eventlog.log import Log
from projections.alert_schema import ALERTS_LIVE, alert_migrations, channel
from projections.alert_view import SHOWN, AlertView, alert_change_of, erase
from projections.beside import Beside
from projections.database import connect, scalar
from projections.rebuild import Replayed
from projections.topic_rebuild import Plan, RebuiltTopics, rebuild_topics
from schemas.codec import Codec
from schemas.topics import ALERTS, NOTIFICATIONS

NEXT = f"{ALERTS_LIVE}_next"
OLD = f"{ALERTS_LIVE}_old"
VIEW = Beside(ALERTS_LIVE, NEXT, OLD, lock=0x616C7072_61)  # 'alpra'

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TABLES = {
    "alerts": "raised_at",
    "alert_history": "appended_at",
    "notifications": "at",
    "rule_versions": "appended_at",
    "watchlist": "appended_at",
}
"""What is compared, and by the hour of which column."""


def rebuild_alerts(
    url: str,
    log: Log,
    codec: Codec,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    now: Callable[[], float] = time.time,
    *,
    swap: bool = True,
) -> RebuiltTopics:
    """Rebuild the alerts; see projections.topic_rebuild.rebuild_topics.

    What the log no longer holds is taken over from the live view: alerts that began before its
    retention (``now`` gives seconds since 1970), and attempts.
    """
    kept_from = int(now() * 1e6) - (ALERTS.retention_us or 0)
    plan = Plan(
        names=VIEW,
        version=alert_migrations()[-1].version,
        topics=SHOWN,
        tables=_TABLES,
        change_of=alert_change_of,
        open=AlertView,
        erase=lambda live: _erase(live, url),
        take_over=lambda live: _take_over(live, url, log, kept_from),
        carry=_carry,
    )
    return rebuild_topics(url, log, codec, plan, on_progress, swap=swap)


def drop_old_alerts(url: str) -> bool:
    """Remove the view that the last swap replaced; False where there was none."""
    return VIEW.drop_old(url)


def _erase(live: Connection, url: str) -> None:
    """What the live view has erased is to go here as well, whichever log's it is."""
    if scalar(live, "SELECT to_regclass('erased_alerts')") is None:
        return
    with live.cursor() as cursor:
        cursor.execute(
            f"SELECT alert_id FROM erased_alerts EXCEPT SELECT alert_id FROM {NEXT}.erased_alerts"
        )
        gone = [alert_id for (alert_id,) in cursor.fetchall()]
    with closing(connect(url, NEXT)) as own, own, own.cursor() as cursor:
        erase(cursor, gone)


def _take_over(live: Connection, url: str, log: Log, kept_from: int) -> None:
    """What the log no longer holds and the live view of it does is to come here."""
    with live.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT alert_id FROM alert_history AS live WHERE appended_at < %s "
            f"AND NOT EXISTS (SELECT FROM {NEXT}.alert_history AS rebuilt "
            "WHERE rebuilt.alert_id = live.alert_id AND rebuilt.partition = live.partition "
            "AND rebuilt.log_offset = live.log_offset)",
            (_EPOCH + timedelta(microseconds=kept_from),),
        )
        begun_before = [alert_id for (alert_id,) in cursor.fetchall()]
    with closing(connect(url, NEXT)) as own, own, own.cursor() as cursor:
        for table in ("alerts", "alert_history"):
            cursor.execute(
                f"DELETE FROM {table} WHERE alert_id = ANY(%(ids)s::uuid[]); "
                f"INSERT INTO {table} SELECT * FROM {ALERTS_LIVE}.{table} "
                "WHERE alert_id = ANY(%(ids)s::uuid[])",
                {"ids": begun_before},
            )
        for partition in range(log.partitions(NOTIFICATIONS.name)):
            cursor.execute(
                f"INSERT INTO notifications SELECT * FROM {ALERTS_LIVE}.notifications "
                "WHERE partition = %s AND log_offset < %s "
                "ON CONFLICT (notification_id, attempt, outcome) DO UPDATE "
                "SET log_offset = excluded.log_offset, at = excluded.at, "
                "detail = excluded.detail, duration_ms = excluded.duration_ms",
                (partition, log.lowest(NOTIFICATIONS.name, partition)),
            )


def _carry(connection: Connection) -> None:
    # Numbers of changes go on; which alerts had them before is not known any more.
    connection.cursor().execute(
        f"UPDATE {NEXT}.view_state AS next SET known_from = passed, changes = passed "
        f"FROM (SELECT greatest(live.changes, rebuilt.changes) + 1 AS passed "
        f"FROM view_state AS live, {NEXT}.view_state AS rebuilt) AS both_of; "
        # Heard when all of it is committed.
        f"SELECT pg_notify(%s, changes || %s) FROM {NEXT}.view_state",
        (channel(), " " + " ".join(SHOWN)),
    )
