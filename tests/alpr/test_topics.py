"""`alpr topics list`: how far every reader is behind, in every topic that it reads."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alpr.cli import main
from alpr.commands.topics import GROUPS, _listed
from alpr.settings import Settings, load
from dataflows import index, metrics, project
from eventlog.log import Append
from eventlog.sqlite import SqliteLog
from projections.people_view import PEOPLE_TOPICS
from schemas.topics import ALERTS, DETECTED, DLQ, RAW, REJECTED


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"ALPR_HOME": str(tmp_path), "ALPR_LOG_PARTITIONS": "2"}, None)


@pytest.fixture
def log(settings: Settings) -> Iterator[SqliteLog]:
    with closing(SqliteLog(settings.log_folder, 2)) as log:
        yield log


def lags(log: SqliteLog, settings: Settings) -> dict[tuple[str, str], str]:
    lines = list(_listed(log, settings))
    rows = [line.split() for line in lines[lines.index("") + 2 :]]
    return {(row[0], row[1]): row[2] for row in rows}


def test_what_the_forwarder_has_not_copied_yet_is_shown_by_the_edges_folder(
    log: SqliteLog, tmp_path: Path
):
    given = {"ALPR_LOG_URL": "kafka://localhost", "ALPR_REGISTRY_URL": "http://localhost"}
    ours = {"ALPR_HOME": str(tmp_path), "ALPR_LOG_PARTITIONS": "2"}
    settings = load(given | ours, None)
    assert not any("alpr-log-copy" in line for line in _listed(log, settings))
    with closing(SqliteLog(settings.edge_log_folder, 2)) as edge:
        edge.append(RAW.name, 0, [Append(b"k", b"v")] * 5)
        edge.append(RAW.name, 1, [Append(b"k", b"v")] * 2)
        edge.mark(f"alpr-log-copy-{log.uuid}", RAW.name, {0: 4})
    (*_, line) = _listed(log, settings)
    assert line.split() == ["alpr-log-copy", RAW.name, "3", "of", str(settings.edge_log_folder)]


@pytest.mark.parametrize(("action", "has"), [("create", True), ("list", False)])
def test_the_help_of_each_action_is_about_it_alone(action: str, has: bool, capsys):
    with pytest.raises(SystemExit):
        main(["topics", action, "--help"])
    assert ("--replication" in capsys.readouterr().out) == has


def test_the_groups_are_those_that_the_flows_mark():
    assert GROUPS[index.GROUP] == (DETECTED.name,)
    assert set(GROUPS[project.GROUP]) == {DETECTED.name, ALERTS.name, *PEOPLE_TOPICS}
    assert set(GROUPS[metrics.GROUP]) == set(metrics.TOPICS)


def test_partitions_that_no_process_was_given_are_named(log: SqliteLog, settings: Settings):
    log.mark("alpr-storage-consumer", DETECTED.name, {0: 0})
    log.mark("alpr-dedup", RAW.name, {0: 1})
    for partition in range(2):
        log.append(RAW.name, partition, [Append(b"k", b"v")])
    told = [line for line in _listed(log, settings) if "1 of 2" in line]
    assert [line.endswith("1 of 2, nobody has read 1") for line in told] == [True, False]


def test_the_lag_of_every_reader_is_shown_for_each_of_its_topics(
    log: SqliteLog, settings: Settings
):
    for topic in (RAW, REJECTED, DETECTED, DLQ):
        for partition in range(2):
            log.append(topic.name, partition, [Append(b"k", b"v")] * 3)
    log.mark("alpr-dedup", RAW.name, {0: 3, 1: 1})
    log.mark("alpr-metrics", RAW.name, {0: 3, 1: 3})
    log.mark("alpr-metrics", DLQ.name, {0: 0, 1: 1})
    assert lags(log, settings) == {
        ("alpr-dedup", RAW.name): "2",
        ("alpr-storage-consumer", DETECTED.name): "-",
        ("alpr-storage-consumer", ALERTS.name): "-",
        **{("alpr-storage-consumer", topic): "-" for topic in PEOPLE_TOPICS},
        ("alpr-elasticsearch-consumer", DETECTED.name): "-",
        ("alpr-alert-engine", DETECTED.name): "-",
        ("alpr-notify", ALERTS.name): "-",
        ("alpr-metrics", RAW.name): "0",
        ("alpr-metrics", REJECTED.name): "-",
        ("alpr-metrics", DETECTED.name): "-",
        ("alpr-metrics", DLQ.name): "5",
    }
