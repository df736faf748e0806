"""Builds the view of what people said and did anew beside the live one, and swaps them."""

from collections.abc import Callable

from psycopg2.extensions import connection as Connection

from eventlog.log import Log
from projections.beside import Beside
from projections.people_schema import channel, people_migrations
from projections.people_view import PEOPLE_TOPICS, PeopleView, people_change_of, reset_feed
from projections.rebuild import Replayed
from projections.shown import PEOPLE
from projections.topic_rebuild import Plan, RebuiltTopics, rebuild_topics
from schemas.codec import Codec

NEXT = f"{PEOPLE}_next"
OLD = f"{PEOPLE}_old"
VIEW = Beside(PEOPLE, NEXT, OLD, lock=0x616C7072_70)  # 'alprp'

_TABLES = {
    "corrections": "at",
    "corrected": "at",
    "audit": "at",
    "cameras": "effective_from",
    "camera_versions": "effective_from",
}
"""What is compared, and by the hour of which column."""


def rebuild_people(
    url: str,
    log: Log,
    codec: Codec,
    on_progress: Callable[[Replayed], None] = lambda _: None,
    *,
    swap: bool = True,
) -> RebuiltTopics:
    """Rebuild what people said and did; see projections.topic_rebuild.rebuild_topics.

    Its topics are kept for ever, so the log holds all of it.
    """
    plan = Plan(
        names=VIEW,
        version=people_migrations()[-1].version,
        topics=PEOPLE_TOPICS,
        tables=_TABLES,
        change_of=people_change_of,
        open=PeopleView,
        carry=_carry,
    )
    return rebuild_topics(url, log, codec, plan, on_progress, swap=swap)


def drop_old_people(url: str) -> bool:
    """Remove the view that the last swap replaced; False where there was none."""
    return VIEW.drop_old(url)


def _carry(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {NEXT}.view_state AS next SET changes = passed "
            f"FROM (SELECT greatest(live.changes, rebuilt.changes) + 1 AS passed "
            f"FROM view_state AS live, {NEXT}.view_state AS rebuilt) AS both_of; "
            f"SELECT pg_notify(%s, changes || %s) FROM {NEXT}.view_state",
            (channel(), " " + " ".join(PEOPLE_TOPICS)),
        )
        reset_feed(cursor)
