"""``alpr replay --view alerts`` as a person runs it: what it prints, its exit codes."""

import os
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.alert_queries import AlertQueries
from projections.alert_view import AlertView
from schemas.codec import Codec
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, WATCHLIST
from tests.alpr.test_replay_views import ROOT, replay
from tests.projections.alerts import alert, alert_id, attempt, entry, rule
from tests.projections.test_alert_rebuild import append, follow

SCHEMAS = "alpr_alerts, alpr_alerts_next, alpr_alerts_old"


@pytest.fixture
def home(tmp_path: Path, postgres_url: str) -> Path:
    """A log with three alerts, told and looked at, and the live view of it."""
    with closing(psycopg2.connect(postgres_url)) as connection, connection:
        connection.cursor().execute(f"DROP SCHEMA IF EXISTS {SCHEMAS} CASCADE")
    with (
        closing(SqliteLog(tmp_path / "log", 1)) as log,
        closing(SqliteRegistry(tmp_path / "log")) as registry,
    ):
        codec = Codec(registry)
        codec.register()
        append(log, codec, ALERTS.name, alert(1), alert(2), alert(3, "raised", at=0))
        append(log, codec, ALERTS.name, alert(2, "acknowledged", actor="ayse"))
        append(log, codec, NOTIFICATIONS.name, attempt(1, of=1))
        append(log, codec, RULES.name, rule())
        append(log, codec, WATCHLIST.name, entry(1))
        with closing(AlertView(postgres_url, log.uuid)) as view:
            follow(log, codec, view)
    return tmp_path


@pytest.fixture
def environ(home: Path, postgres_url: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ALPR_")},
        "ALPR_HOME": str(home),
        "ALPR_LOG_PARTITIONS": "1",
        "ALPR_DATABASE_URL": postgres_url,
        "PYTHONPATH": str(ROOT),
    }


def spoil(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url, options="-c search_path=alpr_alerts")) as connection:
        connection.cursor().execute(statement)
        connection.commit()


def ends(home: Path) -> dict[str, int]:
    with closing(SqliteLog(home / "log", 1)) as log:
        return {topic: log.end(topic, 0) for topic in (ALERTS.name, NOTIFICATIONS.name)}


@pytest.mark.slow
def test_an_identical_view_is_told_and_swapped_and_nobody_hears_of_it(home, environ):
    before = ends(home)
    done = replay(environ, "--view", "alerts")
    assert done.returncode == 0, done.stderr
    assert "3 alerts rebuilt from the log." in done.stdout
    assert "The live view and the rebuilt one are identical, hour by hour." in done.stdout
    assert "`alpr replay --view alerts --drop-old` removes" in done.stdout
    assert ends(home) == before
    assert "removed" in replay(environ, "--view", "alerts", "--drop-old").stdout
    assert "no replaced view" in replay(environ, "--view", "alerts", "--drop-old").stdout


@pytest.mark.slow
def test_what_differed_is_told_by_table_and_mended(home, environ, postgres_url):
    spoil(postgres_url, "UPDATE alerts SET state = 'resolved' WHERE plate = 'ABC0001'")
    spoil(postgres_url, "DELETE FROM alert_history WHERE kind = 'acknowledged'")
    looked = replay(environ, "--view", "alerts", "--dry-run")
    assert looked.returncode == 3, looked.stderr
    assert "Nothing was swapped." in looked.stdout
    done = replay(environ, "--view", "alerts")
    assert done.returncode == 3
    assert "  2025-06-15 15:00 UTC in alerts: 2 rows live, 2 rebuilt, not the same" in done.stdout
    assert "UTC in alert_history: 3 rows live, 4 rebuilt" in done.stdout
    with closing(AlertQueries(postgres_url)) as asked:
        one = asked.alert(alert_id(1))
        assert one is not None
        assert one["state"] == "open"


@pytest.mark.slow
def test_a_part_of_it_alone_is_not_rebuilt(environ):
    done = replay(environ, "--view", "alerts", "--from", "2h")
    assert done.returncode == 2
    assert "--from is about sightings" in done.stderr
    assert "Traceback" not in done.stderr
