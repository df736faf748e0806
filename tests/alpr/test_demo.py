"""``alpr demo`` on what is no video, and beside another one."""

import argparse
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from alpr import demo
from alpr.errors import AlprError, Busy, ConfigError
from alpr.settings import load
from alpr.up import locked


def run(home: Path, video: Path) -> int:
    settings = load({"ALPR_HOME": str(home)}, None)
    return demo.run(argparse.Namespace(video=video, once=True, seed=1), settings)


def test_no_such_video_is_told_before_an_earlier_demonstration_is_removed(tmp_path: Path):
    kept = demo._fresh(tmp_path / "demo") / "kept"
    kept.touch()
    with pytest.raises(ConfigError, match="there is no file"):
        run(tmp_path, tmp_path / "nowhere.mp4")
    assert kept.exists()


def test_a_demonstration_that_runs_does_not_lose_its_folder_to_another(tmp_path: Path):
    home = demo._fresh(tmp_path / "demo")
    video = tmp_path / "a.mp4"
    video.touch()
    with locked(home / "up.lock"), pytest.raises(Busy, match="stop it, or set ALPR_HOME"):
        run(tmp_path, video)
    assert (home / "drive-by.txt").exists()


def test_a_folder_of_somebody_else_is_not_emptied(tmp_path: Path):
    (tmp_path / "demo").mkdir()
    with pytest.raises(ConfigError, match="move it away, or set ALPR_HOME"):
        demo._fresh(tmp_path / "demo")


@pytest.mark.slow
def test_what_is_no_video_is_named_as_a_failure(tmp_path: Path):
    video = tmp_path / "a.mp4"
    video.write_text("no video")
    with pytest.raises(AlprError, match="is no video or picture that can be decoded"):
        run(tmp_path, video)


def test_a_demonstration_uses_none_of_the_servers_that_the_settings_name(tmp_path: Path):
    given = {
        "ALPR_HOME": str(tmp_path),
        "ALPR_LOG_URL": "kafka://broker:9092",
        "ALPR_REGISTRY_URL": "http://registry:8081",
        "ALPR_DATABASE_URL": "postgresql://alpr:secret@server/alpr",
        "ALPR_SEARCH_URL": "http://search:9200",
        "ALPR_IMAGES_URL": "s3+http://key:secret@s3:9000/bucket",
        "ALPR_PARTITIONS": "7",
    }
    own = load(given, None).changed(home=tmp_path / "demo", **demo._EMBEDDED)
    assert own == load({"ALPR_HOME": str(tmp_path / "demo")}, None)


def test_what_is_retracted_is_told_where_nothing_can_be_redrawn():
    seen = datetime(2026, 11, 22, 3, 8, 45, tzinfo=UTC)
    row = {"event_id": "a", "first_seen": seen, "plate_normalized_text": "TYRES24", "status": "x"}
    other = {**row, "event_id": "b", "plate_normalized_text": "GD706PW"}
    told: dict[str, tuple[Any, ...]] = {}
    console = Console(file=StringIO(), width=80)
    for rows in ([row, other], [], [other], [other]):  # none at all: the view is being made
        demo._tell_new(rows, told, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "03:08:45  TYRES24    x",
        "03:08:45  GD706PW    x",
        "03:08:45  TYRES24    retracted",
    ]


def test_a_verdict_names_its_camera_and_what_was_not_there():
    console = Console(file=StringIO(), width=80, highlight=False)
    demo.Verdict(right=("GD706PW",), missed=(), wrong=("TYRES2",)).tell(console, "EXIT-1")
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "EXIT-1: 1 of 1 plates" in told
    assert "seen and not there: TYRES2" in told
