"""``alpr up`` as it stands: real flows, a real database, signals and kills."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import cv2
import numpy as np
import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLOWS = ("api", "project", "dedup", "ticker")


class Site:
    """A home folder with one camera, a folder of pictures without plates."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._cameras = folder / "cameras.yaml"
        self.camera(Path("pictures"))
        (folder / "pictures").mkdir()
        for number in range(2):
            picture = np.full((120, 160, 3), 90 + number, np.uint8)
            cv2.imwrite(str(folder / f"pictures/{number}.png"), picture)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.started: list[subprocess.Popen[str]] = []

    def camera(self, source: Path) -> None:
        self._cameras.write_text(f"cameras:\n  - id: gate\n    source: {source}\n")

    def up(self, *flags: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "alpr", "up", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=clean
            | {
                "ALPR_HOME": str(self.home),
                "ALPR_CAMERAS": str(self._cameras),
                "ALPR_API_PORT": str(self.port),
            },
        )
        self.started.append(process)
        return process

    def status(self) -> dict[str, dict[str, object]]:
        try:
            return json.loads((self.home / "up.json").read_text())["processes"]
        except FileNotFoundError:
            return {}

    def pids(self) -> dict[str, int]:
        return {n: int(str(entry["pid"])) for n, entry in self.status().items() if entry["pid"]}

    def postgres(self) -> int | None:
        try:
            return int((self.home / "postgres/data/postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):  # it is being written
            return None

    def answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    for process in site.started:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_once_ends_with_the_sources_and_logs_in_one_form(site: Site):
    process = site.up("--once")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "edge has come to its end" in said
    assert "resident memory at the end" in said
    form = re.compile(r"\d\d:\d\d:\d\d\.\d{3} \w+ +(INFO|WARNING|ERROR|CRITICAL) +\S.*")
    assert [line for line in said.splitlines() if not form.fullmatch(line)] == []
    assert site.postgres() is None


def test_a_source_that_cannot_be_read_is_named_and_leaves_exit_code_1(site: Site):
    broken = site.home.parent / "broken.mp4"
    broken.write_text("no video")
    site.camera(broken)
    process = site.up("--once")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    told = f"alpr: up: {broken}: is no video or picture that can be decoded"
    assert told in said.splitlines()[-1]
    assert "Traceback" not in said


def test_it_serves_restarts_what_is_killed_and_stops_clean(site: Site):
    process = site.up()
    until(site.answers)
    until(lambda: set(FLOWS) <= set(site.pids()))
    before = site.pids()
    second = site.up()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"is in use by `alpr up` or `alpr demo` (pid {process.pid}); stop it, or set" in said
    assert len(said.splitlines()) == 1
    os.kill(before["dedup"], signal.SIGKILL)
    until(lambda: site.status()["dedup"]["restarts"] == 1)
    until(lambda: site.pids().get("dedup", before["dedup"]) != before["dedup"])
    after = site.pids()
    assert {name: after[name] for name in FLOWS if name != "dedup"} == {
        name: before[name] for name in FLOWS if name != "dedup"
    }
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert all(gone(pid) for pid in [*before.values(), *after.values()])
    assert site.postgres() is None


def test_a_database_that_is_killed_comes_back_though_nothing_is_written(site: Site):
    process = site.up()
    until(site.answers)
    until(lambda: site.status().get("edge", {}).get("state") == "done")
    first = site.postgres()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: site.postgres() not in (None, first), 30)
    until(site.answers, 30)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "the database had died and is up again" in said
    assert site.postgres() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a dead parent")
def test_after_a_kill_nothing_lives_on_and_the_next_start_works(site: Site):
    process = site.up()
    until(site.answers)
    pids = site.pids()
    database = site.postgres()
    assert database is not None
    process.kill()
    process.communicate(timeout=30)
    until(lambda: all(gone(pid) for pid in [*pids.values(), database]))
    again = site.up()
    until(site.answers)
    again.terminate()
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert site.postgres() is None
