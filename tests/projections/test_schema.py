"""Migrations: once, in order, by whoever comes first; and whom they refuse."""

import threading
from contextlib import closing
from io import BytesIO

import psycopg2
import pytest

from projections.database import connect
from projections.errors import ViewMismatch
from projections.queries import SightingQueries
from projections.rows import COLUMNS, HEADER, TRAILER, row
from projections.schema import migrate, migrations
from projections.view import SightingsView
from tests.projections.sightings import LOG, sighting
from tests.projections.test_consistency import counted

SEEDS_COLUMNS = [
    "event_id", "captured_at", "camera_id", "track_id", "plate_text",
    "plate_normalized_text", "plate_confidence", "plate_region", "vehicle_type",
    "vehicle_make", "vehicle_model", "vehicle_color", "plate_image_url",
    "vehicle_image_url", "frame_image_url", "latency_ms", "quality_score", "frame_number",
    "site_id", "host_id", "roi", "direction", "created_at",
]  # fmt: skip


def ask(url: str, statement: str) -> list[tuple]:
    with closing(psycopg2.connect(url)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_the_seeds_columns_key_and_indexes_are_there(url):
    migrate(url)
    columns = ask(
        url,
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = 'alpr' AND table_name = 'plate_events' ORDER BY ordinal_position",
    )
    assert [name for (name,) in columns][: len(SEEDS_COLUMNS)] == SEEDS_COLUMNS
    indexes = dict(ask(url, "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'alpr'"))
    assert {"idx_plate_normalized", "idx_camera_time", "idx_created_at"} <= indexes.keys()
    assert indexes["plate_events_pkey"].endswith("(event_id, captured_at)")


def test_many_may_migrate_at_once_and_again(url):
    versions: list[int] = []
    threads = [threading.Thread(target=lambda: versions.append(migrate(url))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [migrations()[-1].version] * 5
    assert len(ask(url, "SELECT * FROM alpr.schema_versions")) == len(migrations())


def test_versions_follow_each_other():
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_newer_version_is_refused_with_the_cure(url):
    migrate(url)
    ask(url, "INSERT INTO alpr.schema_versions VALUES (999, 'of the future')")
    with pytest.raises(ViewMismatch, match=r"version 999, this program knows .* newer program"):
        migrate(url)
    with pytest.raises(ViewMismatch):
        SightingsView(url, LOG)


def test_a_migration_that_fails_leaves_nothing(url, monkeypatch):
    broken = type(migrations()[0])(9, "broken", "CREATE TABLE half (a int); SELECT no_such_column")
    monkeypatch.setattr("projections.schema.migrations", lambda: (*migrations(), broken))
    with pytest.raises(Exception, match="no_such_column"):
        migrate(url)
    assert ask(url, "SELECT to_regclass('alpr.half'), to_regclass('alpr.plate_events')") == [
        (None, None)
    ]


def test_a_table_of_the_same_name_elsewhere_is_left_alone(url):
    ask(url, "CREATE TABLE IF NOT EXISTS public.plate_events (event_id text)")
    with closing(SightingsView(url, LOG)) as view:
        view.apply(0, 0, [sighting(1)], 1)
    assert ask(url, "SELECT count(*) FROM public.plate_events") == [(0,)]
    ask(url, "DROP TABLE public.plate_events")


def test_a_server_that_is_too_old_is_refused(url, monkeypatch):
    monkeypatch.setattr("projections.schema._OLDEST_SERVER", 990000)
    with pytest.raises(ViewMismatch, match="15 or newer"):
        migrate(url)


def test_a_view_made_without_a_log_is_claimed_by_the_first(url):
    migrate(url)
    migrate(url, log_uuid=LOG)
    with pytest.raises(ViewMismatch, match="alpr replay"):
        migrate(url, log_uuid="another")


def test_a_view_of_the_first_version_is_counted_when_it_is_brought_up_to_date(url, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("projections.schema.migrations", lambda *folder: migrations(*folder)[:1])
        migrate(url, log_uuid=LOG)
    events = [sighting(n, text=f"P{n % 3}", camera_id=f"C{n % 2}") for n in range(7)]
    events[6]["status"] = "retracted"
    data = b"".join((HEADER, *map(row, events), TRAILER))
    with closing(connect(url, "alpr")) as connection, connection:
        connection.cursor().copy_expert(
            f"COPY plate_events ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)", BytesIO(data)
        )
    migrate(url, log_uuid=LOG)
    assert counted(url) == counted(url, anew=True)
    with closing(SightingQueries(url)) as queries:
        stats = queries.stats()
    assert [stats[name] for name in ("total_events", "unique_plates", "active_cameras")] == [
        6,
        3,
        2,
    ]
