"""How far the flows are, as the system page asks it."""

from pathlib import Path

from alpr.settings import load
from alpr.system import lag
from alpr.wiring import open_log


def test_the_flow_of_opensearch_is_told_only_where_there_is_one(tmp_path: Path):
    log = open_log(load({"ALPR_HOME": str(tmp_path)}, None))
    try:
        assert "index" not in {one["flow"] for one in lag(log, search=False)}
        assert "index" in {one["flow"] for one in lag(log, search=True)}
    finally:
        log.close()
