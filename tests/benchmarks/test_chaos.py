"""The production system, killed and cut off for half a minute, has every read in its books."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Kafka, NotInstalled, OpenSearch, Postgres, Registry


def test_after_kills_cuts_and_poison_the_accounts_close_and_the_views_are_one(tmp_path: Path):
    try:
        for server in (Kafka, Registry, Postgres, OpenSearch):
            server.check()
    except NotInstalled as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    chaos = [sys.executable, "-m", "benchmarks.chaos", "--home", str(tmp_path / "home")]
    done = subprocess.run(
        [*chaos, "--reads", "2000", "--seconds", "30"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    accounts = json.loads(done.stdout)
    assert accounts["killed"] >= 5
    assert accounts["reads"] >= 2000
    assert accounts["dead"] > 0
    assert accounts["doubled"] == accounts["missing"] == accounts["open"] == 0
    assert accounts["rows"] == accounts["documents"] > 0
