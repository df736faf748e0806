"""Every kind of rule fires, and on the right plates: raw reads to alerts by real processes."""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log
from eventlog.kafka_cluster import Cluster
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Log
from eventlog.span import span
from schemas.codec import Codec
from schemas.topics import ALERTS
from tests.alpr.system import alpr, flows, process
from tests.alpr.town import HOUR, MINUTE, SECOND, Town

pytestmark = pytest.mark.slow

PARTITIONS = 2
RULES = """
rules:
  - name: Stolen
    severity: critical
    conditions: {watchlist: {kinds: [deny]}}
  - name: Gate A, then B
    sequence:
      steps: [{camera_ids: [gate-a]}, {camera_ids: [gate-b]}]
      within: 10m
  - name: Still in the yard
    dwell:
      enter: {camera_ids: [yard-in]}
      leave: {camera_ids: [yard-out]}
      longer_than: 2h
  - name: Cloned
    impossible_travel: {faster_than_kmh: 250}
  - name: Together
    convoy: {plates: 2, cameras: 3, apart: 60s, within: 1h}
  - name: Third visit
    conditions: {camera_ids: [yard-out]}
    count: {at_least: 3, by: plate, within: 12h}
  - name: Crowd
    conditions: {zones: [forecourt]}
    count: {more_than: 3, by: zone, distinct: plates, within: 10m}
  - name: Long away
    conditions: {camera_ids: [gate-b]}
    not_seen_for: 4h
  - name: Camera gone
    conditions: {camera_ids: [lonely]}
    silent_for: 3s
"""
CAMERAS: dict[str, dict[str, Any]] = {
    "gate-a": {"latitude": 48.0, "longitude": 11.0},
    "gate-b": {"latitude": 48.0, "longitude": 11.001},
    "yard-in": {"latitude": 48.0, "longitude": 11.002},
    "yard-out": {"latitude": 48.0, "longitude": 11.003},
    "far": {"latitude": 52.5, "longitude": 13.4},
    "front": {"zone": "forecourt"},
    "lonely": {},
}
EXPECTED = {
    "Stolen": {"ROB4111"},
    "Gate A, then B": {"SEQ1234", "CON1111", "CON2222", "LON1234"},
    "Still in the yard": {"DWE1234"},
    "Cloned": {"TWI1234"},
    "Together": {"CON1111"},  # and CON2222, as its message says
    "Third visit": {"VIS1234"},
    "Crowd": {"forecourt"},
    "Long away": {"AWA1234"},
    "Camera gone": {"lonely"},
}


def drive(town: Town) -> None:
    """What happened in the last five hours; each camera's cars in order."""
    a, b = ("gate-a", "gate-b")
    town.passes(b, "AWA1234", -5 * HOUR)
    town.passes(a, "SEQ1234", -60 * MINUTE)
    town.passes(b, "SEQ1234", -55 * MINUTE)
    town.passes(a, "SLO1234", -50 * MINUTE)
    town.passes(b, "SLO1234", -39 * MINUTE)  # eleven minutes
    for n, camera in enumerate((a, b, "yard-in")):
        town.passes(camera, "CON1111", (-30 + 5 * n) * MINUTE)
        town.passes(camera, "CON2222", (-30 + 5 * n) * MINUTE + 20 * SECOND)
        if camera != "yard-in":
            town.passes(camera, "LON1234", (-30 + 5 * n) * MINUTE + 40 * SECOND)
    town.passes(b, "AWA1234", -10 * MINUTE)


def yard(town: Town) -> None:
    """Cars that come and go by the yard: one stays, one comes three times, one is cloned."""
    town.passes("yard-out", "CON1111", -4 * HOUR)  # before it came in: no leaving
    town.passes("yard-out", "VIS1234", -4 * HOUR + MINUTE)
    town.passes("yard-out", "VIS1234", -3 * HOUR)
    town.passes("yard-out", "OUT1234", -2 * HOUR)
    town.passes("yard-out", "VIS1234", -HOUR)
    town.passes("yard-out", "CON1111", -8 * MINUTE)
    town.passes("yard-out", "CON2222", -8 * MINUTE + 2 * SECOND)


@pytest.fixture(params=["embedded", "kafka"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    chosen = {"ALPR_HOME": str(tmp_path / "home"), "ALPR_LOG_PARTITIONS": str(PARTITIONS)}
    chosen["ALPR_DEDUP_SILENCE_S"] = "4"
    if request.param == "embedded":
        yield load(chosen, None)
        return
    kafka, registry = request.getfixturevalue("kafka"), request.getfixturevalue("registry")
    joint = "&" if "?" in kafka else "?"
    chosen["ALPR_LOG_URL"] = f"{kafka}{joint}prefix=t{secrets.token_hex(6)}."
    chosen["ALPR_REGISTRY_URL"] = registry
    made = load(chosen, None)
    assert alpr(made, "topics", "create")[0] == 0
    yield made
    Cluster(KafkaAddress.parse(made.log_url)).drop()


def standing(log: Log, codec: Codec) -> dict[str, dict[str, str]]:
    """The messages of the alerts that stand, by rule and subject."""
    last: dict[str, dict[str, Any]] = {}
    for partition in range(PARTITIONS):
        bounds = log.lowest(ALERTS.name, partition), log.end(ALERTS.name, partition)
        for entry in span(log, ALERTS.name, partition, *bounds):
            _, event = codec.decode(entry.value or b"")
            last[event["alert_id"]] = event
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for event in last.values():
        if event["kind"] != "withdrawn":
            found[event["rule"]][event["subject"]] = event["message"]
    return dict(found)


def subjects(log: Log, codec: Codec) -> dict[str, set[str]]:
    """The same without messages."""
    return {rule: set(about) for rule, about in standing(log, codec).items()}


def test_each_kind_of_rule_fires_and_a_backtest_finds_the_same(settings: Settings, tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        code, said = alpr(settings, "rules", "apply", str(rules))
        assert code == 0, said
        code, said = alpr(settings, "watchlist", "add", "ROB4111", "--kind", "deny")
        assert code == 0, said
        with flows(settings, "dedup", "alerts"), process(settings, "ticker"):
            town = Town(log, codec, CAMERAS)
            with closing(town):
                yard_and_gates(town)
                town.live()
                time.sleep(3)
                town.passes("lonely", "ANY1234", 0)
                town.silence("lonely")
                deadline = time.monotonic() + 90
                while subjects(log, codec) != EXPECTED and time.monotonic() < deadline:
                    time.sleep(0.5)
                assert subjects(log, codec) == EXPECTED
                time.sleep(3)  # nothing else comes
                assert subjects(log, codec) == EXPECTED
                together = standing(log, codec)["Together"]["CON1111"]
                assert "CON2222" in together
                assert "LON1234" not in together
        code, said = alpr(settings, "rules", "backtest", "--in-force", "--since", "1h")
        assert code == 0, said


def yard_and_gates(town: Town) -> None:
    """All of it, each camera in order of capture."""
    town.passes("yard-in", "DWE1234", -3 * HOUR)
    town.passes("yard-in", "OUT1234", -150 * MINUTE)
    yard(town)
    town.passes("far", "TWI1234", -70 * MINUTE)
    drive(town)
    town.passes("gate-a", "TWI1234", -9 * MINUTE + 30 * SECOND)  # 600 km in an hour
    town.passes("gate-a", "ROB4111", -5 * MINUTE)
    for n, text in enumerate(("FRA1111", "FRB2222", "FRC3333", "FRD4444")):
        town.passes("front", text, (-4 + n) * MINUTE)
