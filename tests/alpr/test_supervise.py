"""Child processes are kept alive, listened to, and ended; with real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from alpr.supervise import Patience, Program, Supervisor

QUICK = Patience(first_s=0.05, longest_s=0.2, quick_s=5.0, tries=3, grace_s=2.0)
STAY = "import time; print('ready'); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAY}"


class Log:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def __call__(self, name: str, level: str, message: str) -> None:
        self.lines.append((name, level, message))

    def of(self, name: str) -> list[str]:
        return [message for who, _, message in self.lines if who == name]

    def text(self) -> str:
        return "\n".join(" ".join(line) for line in self.lines)


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def python(name: str, code: str, ends: bool = False) -> Program:
    return Program(name, (sys.executable, "-c", code), dict(os.environ), ends)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def keep(tmp_path: Path, log: Log) -> Iterator[Callable[..., Supervisor]]:
    kept: list[Supervisor] = []

    def start(*programs: Program, **options: object) -> Supervisor:
        options.setdefault("patience", QUICK)
        supervisor = Supervisor(programs, log, tmp_path / "up.json", **options)  # type: ignore[arg-type]
        kept.append(supervisor)
        supervisor.start()
        return supervisor

    yield start
    for supervisor in kept:
        supervisor.kill()
        supervisor.stop()


def status(tmp_path: Path) -> dict[str, dict[str, object]]:
    return json.loads((tmp_path / "up.json").read_text())["processes"]


def ready(tmp_path: Path, log: Log, *names: str) -> list[int]:
    until(lambda: all("ready" in log.of(name) for name in names))
    return [int(str(status(tmp_path)[name]["pid"])) for name in names]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_is_killed_comes_back_and_the_others_stay(tmp_path: Path, log: Log, keep):
    supervisor = keep(python("a", STAY), python("b", STAY))
    first, other = ready(tmp_path, log, "a", "b")
    os.kill(first, signal.SIGKILL)
    until(lambda: log.of("a").count("ready") == 2)
    after = status(tmp_path)
    assert after["a"]["restarts"] == 1
    assert after["a"]["pid"] != first
    assert after["b"]["pid"] == other
    assert "a died after" in log.text()
    assert "signal SIGKILL" in log.text()
    assert supervisor.failure is None


def test_many_quick_deaths_in_a_row_are_given_up_with_their_last_words(log: Log, keep):
    supervisor = keep(python("a", "print('no such table'); raise SystemExit(1)"), python("b", STAY))
    assert supervisor.wait(20)
    assert "a died 3 times in a row within 5 s of its start" in supervisor.failure
    assert "exit code 1; its last words: no such table; mend the cause" in supervisor.failure
    assert log.of("a") == ["no such table"] * 3
    assert supervisor.state("b")[0] == "stopped"


def test_quick_deaths_on_a_full_disk_are_waited_out(tmp_path: Path, log: Log, keep, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    supervisor = keep(python("a", "raise SystemExit(1)"))
    until(lambda: sum("a died" in text for text in log.of("up")) >= 5)
    assert supervisor.failure is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert supervisor.wait(20)
    assert "times in a row" in supervisor.failure


def test_the_pause_before_a_restart_doubles_up_to_its_bound(log: Log, keep):
    patience = Patience(first_s=0.05, longest_s=0.15, quick_s=5, tries=5, grace_s=1)
    supervisor = keep(python("a", "raise SystemExit(1)"), patience=patience)
    assert supervisor.wait(20)
    pauses = [text.rpartition("restart in ")[2] for text in log.of("up") if "restart in" in text]
    assert pauses == ["0.05 s", "0.1 s", "0.15 s", "0.15 s"]


def test_deaths_after_a_while_are_never_given_up(log: Log, keep):
    patience = Patience(first_s=0.02, quick_s=0.0, tries=2, grace_s=1)
    supervisor = keep(python("a", "raise SystemExit(1)"), patience=patience)
    until(lambda: sum("a died" in text for text in log.of("up")) >= 4)
    assert supervisor.failure is None


def test_a_configuration_that_cannot_be_used_is_not_tried_again(log: Log, keep):
    supervisor = keep(python("a", "print('alpr: edge: no camera'); raise SystemExit(2)"))
    assert supervisor.wait(20)
    assert supervisor.failure == (
        "a cannot run as it is configured; its last words: alpr: edge: no camera"
    )
    assert len(log.of("a")) == 1


def test_what_comes_to_its_end_is_not_started_again(tmp_path: Path, log: Log, keep):
    supervisor = keep(python("files", "print('read')", ends=True), python("b", STAY))
    until(lambda: supervisor.state("files")[0] == "done")
    ready(tmp_path, log, "b")
    assert log.of("files") == ["read"]
    assert not supervisor.wait(0.3)


def test_all_having_ended_the_supervisor_ends(log: Log, keep):
    supervisor = keep(python("a", "", ends=True), python("b", "", ends=True))
    assert supervisor.wait(20)
    assert supervisor.failure is None


def test_stopping_goes_backwards_and_leaves_nobody(tmp_path: Path, log: Log, keep):
    supervisor = keep(python("api", STAY), python("flow", STAY), python("edge", STAY))
    pids = ready(tmp_path, log, "api", "flow", "edge")
    supervisor.stop()
    stopped = [text.split()[0] for text in log.of("up") if " stopped (" in text]
    assert stopped == ["edge", "flow", "api"]
    assert all(gone(pid) for pid in pids)
    assert {entry["state"] for entry in status(tmp_path).values()} == {"stopped"}


def test_who_does_not_listen_is_killed_after_the_grace_with_its_children(
    tmp_path: Path, log: Log, keep
):
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STAY!r}]); "
    patience = Patience(grace_s=0.5)
    supervisor = keep(python("a", parent + STUBBORN), patience=patience)
    (pid,) = ready(tmp_path, log, "a")
    until(lambda: log.of("a").count("ready") == 2)
    below = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    began = time.monotonic()
    supervisor.stop()
    assert 0.4 < time.monotonic() - began < 5
    assert "a is killed" in log.text()
    assert below
    until(lambda: all(gone(child) for child in [pid, *below]))


def test_kill_does_not_wait_for_the_grace(tmp_path: Path, log: Log, keep):
    supervisor = keep(python("a", STUBBORN), patience=Patience(grace_s=600))
    ready(tmp_path, log, "a")
    threading.Timer(0.2, supervisor.kill).start()
    supervisor.stop()
    assert "a stopped (signal SIGKILL)" in log.text()


def test_both_streams_of_a_child_are_one_log(log: Log, keep):
    code = "import sys; print('out'); print('WARNING err', file=sys.stderr); print('end', end='')"
    supervisor = keep(python("a", code, ends=True))
    assert supervisor.wait(20)
    assert [line for line in log.lines if line[0] == "a"] == [
        ("a", "INFO", "out"),
        ("a", "WARNING", "err"),
        ("a", "INFO", "end"),
    ]


def test_a_child_that_floods_its_output_is_not_blocked(log: Log, keep):
    supervisor = keep(python("a", "for i in range(20_000): print('line', i)", ends=True))
    assert supervisor.wait(30)
    assert log.of("a") == [f"line {i}" for i in range(20_000)]


def test_memory_is_reported_by_process_and_kept_in_the_status(tmp_path: Path, log: Log, keep):
    keep(python("a", STAY), report_s=0.3, others=lambda: {"me": os.getpid()})
    ready(tmp_path, log, "a")
    until(lambda: "resident memory now: " in log.text())
    document = json.loads((tmp_path / "up.json").read_text())
    assert document["pid"] == os.getpid()
    assert document["processes"]["a"]["resident_bytes"] > 1_000_000
    assert set(document["others"]) == {"up", "me"}


def test_a_program_that_is_not_there_ends_with_a_message(log: Log, keep):
    supervisor = keep(Program("a", ("/no/such/program",), dict(os.environ)))
    assert supervisor.wait(20)
    assert "a died 3 times" in supervisor.failure
    assert "No such file" in supervisor.failure


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a dead parent")
def test_children_of_a_supervisor_that_is_killed_do_not_live_on(tmp_path: Path):
    code = f"""
        import os, sys, time
        from pathlib import Path
        from alpr.supervise import Program, Supervisor
        program = (sys.executable, "-c", {STAY!r})
        programs = [Program(name, program, dict(os.environ)) for name in "ab"]
        Supervisor(programs, print, Path({str(tmp_path / "up.json")!r})).start()
        time.sleep(600)
    """
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=root)
    try:
        until((tmp_path / "up.json").exists)
        until(lambda: all(entry["pid"] for entry in status(tmp_path).values()))
        pids = [int(str(entry["pid"])) for entry in status(tmp_path).values()]
    finally:
        parent.kill()
        parent.wait()
    until(lambda: all(gone(pid) for pid in pids))
