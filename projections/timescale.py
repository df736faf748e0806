"""What TimescaleDB does for the sightings where a server has it; elsewhere nothing, same results.

The server is asked what it has. Its Apache edition has hypertables but no compression and no
continuous aggregates. Whatever it refuses is said in the log, and the view is a plain table.
https://docs.timescale.com/api/latest/ (hypertable, compression, continuous-aggregates).
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

_log = logging.getLogger(__name__)

# The first that takes ON CONFLICT DO UPDATE into compressed chunks.
_OLDEST = (2, 11)
HOURLY = "plate_events_by_hour"


@dataclass(frozen=True, slots=True)
class Policies:
    """What becomes of old sightings, in days of captured_at; None leaves them.

    Compression is TimescaleDB's; what is older than ``retain_days`` goes on every server.
    """

    compress_after_days: int | None = 7
    retain_days: int | None = None
    chunk_days: int = 1


@dataclass(frozen=True, slots=True)
class Timescale:
    """The extension as a database has it; ``schema`` holds its functions."""

    version: tuple[int, ...]
    schema: str
    community: bool


def found(cursor: Cursor) -> Timescale | None:
    """The database's TimescaleDB, enabled if it may be; None where it is a plain PostgreSQL."""
    # Its settings exist only where its library is preloaded; elsewhere CREATE EXTENSION would
    # end the session.
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') "
        "AND EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%')"
    )
    if cursor.fetchone() != (True,):
        return None
    with _unless_refused(cursor, "enabled"):
        cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public")
    cursor.execute(
        "SELECT extversion, nspname, current_setting('timescaledb.license', true) "
        "FROM pg_extension JOIN pg_namespace AS place ON place.oid = extnamespace "
        "WHERE extname = 'timescaledb'"
    )
    row = cursor.fetchone()
    if row is None:
        return None
    version, schema, licence = row
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return Timescale(numbers, schema, licence == "timescale")


def partition(cursor: Cursor, schema: str, policies: Policies) -> None:
    """Make the empty plate_events a hypertable by captured_at."""
    here = found(cursor)
    if here is None:
        return
    with _unless_refused(cursor, "used"):
        # The interface of every 2.x; by_range() is there from 2.13 on. The primary key holds the
        # time, as every unique index of a hypertable must.
        cursor.execute(
            sql.SQL(
                "SELECT {}.create_hypertable(%s::regclass, 'captured_at', "
                "chunk_time_interval => make_interval(days => %s), create_default_indexes => false)"
            ).format(sql.Identifier(here.schema)),
            (f"{schema}.plate_events", policies.chunk_days),
        )


def arrange(cursor: Cursor, schema: str, policies: Policies) -> None:
    """Compression and the continuous aggregate of the live view, where they are not there yet.

    A view that is being rebuilt has neither: its rows would be compressed while they still change.
    """
    here = found(cursor)
    if here is None or not here.community or here.version < _OLDEST:
        return
    hypertable = None
    with _unless_refused(cursor, "asked"):
        cursor.execute(
            "SELECT compression_enabled FROM timescaledb_information.hypertables "
            "WHERE hypertable_schema = %s AND hypertable_name = 'plate_events'",
            (schema,),
        )
        hypertable = cursor.fetchone()
    if hypertable is None:
        return
    if policies.compress_after_days is not None:
        with _unless_refused(cursor, "asked to compress"):
            _compress(cursor, here, schema, policies.compress_after_days, hypertable[0])
    with _unless_refused(cursor, "asked for a continuous aggregate"):
        _aggregate(cursor, here, schema)


def _compress(cursor: Cursor, here: Timescale, schema: str, days: int, enabled: bool) -> None:
    if not enabled:
        # The key's columns must segment or order; by camera is how old sightings are asked for.
        cursor.execute(
            sql.SQL(
                "ALTER TABLE {}.plate_events SET (timescaledb.compress, "
                "timescaledb.compress_segmentby = 'camera_id', "
                "timescaledb.compress_orderby = 'captured_at DESC, event_id')"
            ).format(sql.Identifier(schema))
        )
    # add_columnstore_policy() is its name from 2.18 on; this one stays supported.
    cursor.execute(
        sql.SQL(
            "SELECT {}.add_compression_policy(%s::regclass, make_interval(days => %s), "
            "if_not_exists => true)"
        ).format(sql.Identifier(here.schema)),
        (f"{schema}.plate_events", days),
    )


def _aggregate(cursor: Cursor, here: Timescale, schema: str) -> None:
    name = f"{schema}.{HOURLY}"
    cursor.execute("SELECT to_regclass(%s)", (name,))
    if cursor.fetchone() == (None,):
        # WITH NO DATA, since filling it takes a transaction of its own: the policy does that.
        # Until then, and for the latest hours, it counts the rows themselves.
        cursor.execute(
            sql.SQL(
                "CREATE MATERIALIZED VIEW {schema}.{name} "
                "WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS "
                "SELECT {functions}.time_bucket(INTERVAL '1 hour', captured_at) AS hour, "
                "camera_id, count(*) AS sightings, "
                "count(DISTINCT plate_normalized_text) AS unique_plates "
                "FROM {schema}.plate_events WHERE status <> 'retracted' GROUP BY 1, 2 WITH NO DATA"
            ).format(
                schema=sql.Identifier(schema),
                name=sql.Identifier(HOURLY),
                functions=sql.Identifier(here.schema),
            )
        )
        # What retention dropped stays in an aggregate until it is refreshed.
        cursor.execute(
            sql.SQL(
                "CREATE OR REPLACE VIEW {schema}.plate_events_hourly AS "
                "SELECT hour, camera_id, sightings, unique_plates FROM {schema}.{name} "
                "WHERE hour >= (SELECT retained_from FROM {schema}.view_state)"
            ).format(schema=sql.Identifier(schema), name=sql.Identifier(HOURLY))
        )
    # Hours that are over may still be revised: then they are refreshed again, and alone.
    cursor.execute(
        sql.SQL(
            "SELECT {}.add_continuous_aggregate_policy(%s::regclass, start_offset => NULL, "
            "end_offset => INTERVAL '2 hours', schedule_interval => INTERVAL '10 minutes', "
            "if_not_exists => true)"
        ).format(sql.Identifier(here.schema)),
        (name,),
    )


def drop_older(cursor: Cursor, schema: str, before: str) -> None:
    """Drop the chunks that lie before a time, if plate_events has any; rows may be left."""
    cursor.execute(
        "SELECT nspname FROM pg_extension JOIN pg_namespace AS place "
        "ON place.oid = extnamespace WHERE extname = 'timescaledb'"
    )
    row = cursor.fetchone()
    if row is None:
        return
    with _unless_refused(cursor, "asked to drop chunks"):
        cursor.execute(
            sql.SQL("SELECT {}.drop_chunks(%s::regclass, older_than => %s::timestamptz)").format(
                sql.Identifier(row[0])
            ),
            (f"{schema}.plate_events", before),
        )


@contextmanager
def _unless_refused(cursor: Cursor, what: str) -> Iterator[None]:
    """Undo what the server refuses and say so: the view does without, a little slower."""
    cursor.execute("SAVEPOINT timescale")
    try:
        yield
    except psycopg2.OperationalError:
        raise  # no refusal: the server went away, or it is a matter of trying again
    except psycopg2.Error as error:
        cursor.execute("ROLLBACK TO SAVEPOINT timescale")
        said = " ".join(str(error).split())
        _log.warning("TimescaleDB could not be %s, the view does without: %s", what, said)
    else:
        cursor.execute("RELEASE SAVEPOINT timescale")
