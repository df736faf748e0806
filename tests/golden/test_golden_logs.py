"""Recorded logs give the sightings that they gave when they were recorded."""

import pytest

from tests.golden.logs import FOLDER, SEEDS, load, outcome, raw_log


@pytest.mark.parametrize("name", SEEDS)
def test_the_sightings_change_only_with_the_version_of_the_rules_and_a_reason(name):
    known, found = load()[name], outcome(name)
    assert known["why"]
    if found["sightings_sha256"] == known["sightings_sha256"]:
        return
    changes = {k: (known[k], found[k]) for k in ("sightings", "refusals") if known[k] != found[k]}
    assert found["rules_version"] != known["rules_version"], (
        f"the rules decide {name} differently {changes or ''} and call themselves the same: raise "
        'RULES in rules/version.py, then `python -m tests.golden.record "why"`'
    )
    pytest.fail(
        f"rules {found['rules_version']} decide {name} differently than "
        f"{known['rules_version']} did {changes or ''}: if that is meant, "
        '`python -m tests.golden.record "why"`'
    )


@pytest.mark.parametrize("name", SEEDS)
def test_a_recorded_log_holds_reads_and_time(name):
    names = {record_name for _, record_name, _ in raw_log(name)}
    assert {"PlateRead", "CameraHeartbeat", "Tick"} <= names


def test_the_recorded_logs_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.gz")) <= 300_000
