"""``alpr up`` with more than one dedup: every partition reaches the view."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from alpr.cli import main
from alpr.settings import Settings, load
from alpr.up import Up
from alpr.wiring import open_codec, open_log
from eventlog.log import Append
from projections.errors import ViewUnavailable
from schemas.topics import RAW
from tests.rules.world import SECOND, START, ended, read
from tests.servers import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    given = {"ALPR_HOME": str(tmp_path), "ALPR_API_PORT": str(free_port())}
    return load(given, None)


def drive(settings: Settings, *texts: str) -> None:
    """A car past the camera of each partition, now."""
    now = time.time() - START / SECOND
    codec = open_codec(settings)
    with closing(open_log(settings)) as log:
        for partition, text in enumerate(texts):
            camera = {"camera_id": f"cam-{partition}", "session": text}
            made = [("PlateRead", read(now + n / 4, text, **camera)) for n in range(4)]
            made.append(("SourceEnded", ended(now + 1, **camera)))
            values = [codec.encode(RAW.name, name, record) for name, record in made]
            log.append(RAW.name, partition, [Append(b"k", value) for value in values])


def shown(up: Up, count: int) -> dict[str, str]:
    """The view's plates and their cameras, once there are so many."""
    deadline = time.monotonic() + 120
    with closing(up.queries()) as queries:
        while True:
            try:
                rows = queries.recent(50)
            except ViewUnavailable:  # the view is made by `project`
                rows = []
            if len(rows) >= count:
                return {row["plate_normalized_text"]: row["camera_id"] for row in rows}
            assert time.monotonic() < deadline, rows
            assert not up.supervisor.wait(0.2), up.supervisor.failure


def dedups(up: Up) -> dict[str, str]:
    """Each process that has a part of the log to itself, and which."""
    found = {}
    for name, pid in pids(up).items():
        own = psutil.Process(pid).environ()["ALPR_PARTITIONS"]
        if name.startswith("dedup") or own != "all":
            found[name] = own
    return found


def pids(up: Up) -> dict[str, int]:
    children = up.supervisor._children
    return {name: child.process.pid for name, child in children.items() if child.process}


@pytest.mark.slow
def test_each_store_has_a_dedup_of_its_own_and_all_reaches_the_view(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ALPR_HOME", str(settings.home))
    said: list[Sequence[str]] = []
    drive(settings, "KAA1111", "KBB2222", "KCC3333", "KDD4444")
    assert main(["layout", "0-1", "2-3"]) == 0
    with Up(settings, lambda *line: said.append(line), edge=None) as up:
        first = shown(up, 4)
        assert dedups(up) == {"dedup-0-1": "0-1", "dedup-2-3": "2-3"}
    assert first == {"KAA1111": "cam-0", "KBB2222": "cam-1", "KCC3333": "cam-2", "KDD4444": "cam-3"}
    assert [line for line in said if line[1] in ("WARNING", "ERROR")] == []

    assert main(["layout", "all"]) == 0
    drive(settings, "KEE5555", "KFF6666", "KGG7777", "KHH8888")
    with Up(settings, lambda *_: None, edge=None) as up:
        assert shown(up, 8).keys() > first.keys()
        assert dedups(up) == {"dedup": "0-3"}


def test_what_narrowed_flows_leave_to_others_is_said(settings: Settings):
    said: list[Sequence[str]] = []
    Up(settings, lambda *line: said.append(line))._tell_left_out()
    assert said == []
    Up(settings.changed(partitions="0-1"), lambda *line: said.append(line))._tell_left_out()
    ((who, level, text),) = said
    assert (who, level) == ("up", "WARNING")
    assert "ALPR_PARTITIONS=0-1: dedup, project and metrics here leave partitions 2-3 to" in text
