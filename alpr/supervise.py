"""Child processes kept alive: started in order, listened to, restarted, stopped in reverse."""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from alpr.logs import Lines, Say

State = Literal["running", "waiting", "done", "stopped"]

OWN_NAME = "up"
CONFIGURATION = 2  # the exit code that a restart does not mend
SPACE = 1 << 20  # bytes; a disk with less is full: no program of ours can start to write
_LOOK_S = 0.25  # how often children are looked at, beside when they speak
# Run before each program, in its process: the kernel is asked (prctl PR_SET_PDEATHSIG, Linux) to
# send SIGTERM when the supervisor is gone, however that came. Not a preexec_fn, which may
# deadlock in a process with threads. SIGTERM and not SIGKILL: the API then leaves its database.
_LEASH = """
import ctypes, os, sys
getattr(ctypes.CDLL(None), "prctl", lambda *_: 0)(1, 15, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A process to keep alive. One that ``ends`` is done when it leaves the exit code 0."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How deaths are met; seconds.

    A restart waits ``first_s``, twice as long after each further quick death, ``longest_s`` at
    most. A death within ``quick_s`` of the start is quick; after ``tries`` of them in a row the
    supervisor gives up. To stop, all together have ``grace_s`` until they are killed.
    """

    first_s: float = 0.5
    longest_s: float = 30.0
    quick_s: float = 10.0
    tries: int = 6
    grace_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Child:
    program: Program
    state: State = "stopped"
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    quick: int = 0
    restarts: int = 0
    lines: Lines = field(default_factory=Lines)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=3))


class Supervisor:
    """Keeps programs alive from ``start`` to ``stop``, in a thread of its own.

    ``say`` gets every line of every child, and the supervisor's own. ``status`` is a JSON file
    rewritten at each change and report: pid, state, restarts and resident bytes by name.
    ``others`` names further processes (pids) whose memory is reported.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        say: Say,
        status: Path,
        *,
        patience: Patience = Patience(),
        report_s: float = 60.0,
        others: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._children = {program.name: _Child(program) for program in programs}
        self._say = say
        self._status = status
        self._patience = patience
        self._report_s = report_s
        self._others = others
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._at_once = threading.Event()
        self._ended = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor")

    @property
    def failure(self) -> str | None:
        """Why it gave up, None if it did not."""
        return self._failure

    def start(self) -> None:
        """Start the programs in order."""
        self._thread.start()

    def state(self, name: str) -> tuple[State, float]:
        """A program's state and for how many seconds its process has run."""
        child = self._children[name]
        return child.state, time.monotonic() - child.started

    def wait(self, timeout: float | None = None) -> bool:
        """True once every process is gone, by ``stop``, by giving up or because all ended."""
        return self._ended.wait(timeout)

    def stop(self) -> None:
        """Ask the programs to end, the last started first, and wait until they have."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join()

    def ask_to_stop(self) -> None:
        """Begin to stop, without waiting; a signal handler may call it."""
        self._stopping.set()

    def kill(self) -> None:
        """Stop without waiting for anybody to end well; a signal handler may call it."""
        self._at_once.set()
        self._stopping.set()

    def _run(self) -> None:
        try:
            for child in self._children.values():
                self._launch(child)
            self._keep()
        except OSError as error:  # no such program, no process or file left to be had
            self._failure = f"the processes cannot be kept: {error}; mend it and start again"
        finally:
            self._report("at the end")
            self._end_all()
            self._ended.set()
            self._selector.close()

    def _keep(self) -> None:
        report = time.monotonic() + self._report_s
        while not self._stopping.is_set() and self._failure is None:
            self._listen(_LOOK_S)
            now = time.monotonic()
            for child in self._children.values():
                if child.state == "running":
                    self._reap(child)
                elif child.state == "waiting" and now >= child.due:
                    child.restarts += 1
                    self._launch(child)
            if all(child.state == "done" for child in self._children.values()):
                return
            if now >= report:
                self._report()
                report = now + self._report_s

    def _launch(self, child: _Child) -> None:
        program = child.program
        leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())]
        child.process = subprocess.Popen(
            [*leash, *program.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**program.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which knows the order
        )
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)
        child.started = time.monotonic()
        child.lines = Lines()
        child.last.clear()
        self._turn(child, "running")
        again = f", restart {child.restarts}" if child.restarts else ""
        self._say(OWN_NAME, "INFO", f"{program.name} started (pid {child.process.pid}{again})")

    def _listen(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            self._hear(key.data)

    def _hear(self, child: _Child, last: bool = False) -> None:
        assert child.process is not None
        assert child.process.stdout is not None
        pipe = child.process.stdout
        data, ended = b"", last
        with contextlib.suppress(BlockingIOError):
            data = os.read(pipe.fileno(), 1 << 20)
            ended = ended or not data
        for level, message in child.lines.feed(data, ended):
            child.last.append(message)
            self._say(child.program.name, level, message)
        if ended and pipe in self._selector.get_map():
            self._selector.unregister(pipe)

    def _reap(self, child: _Child) -> None:
        assert child.process is not None
        code = child.process.poll()
        if code is None:
            return
        assert child.process.stdout is not None
        if child.process.stdout in self._selector.get_map():
            self._hear(child, last=True)
        child.process.stdout.close()
        _signal(child.process.pid, signal.SIGKILL)  # what it may have left in its group
        name, lived = child.program.name, time.monotonic() - child.started
        if self._stopping.is_set() or self._failure is not None:
            self._turn(child, "stopped")
            self._say(OWN_NAME, "INFO", f"{name} stopped ({_ending(code)})")
        elif code == 0 and child.program.ends:
            self._turn(child, "done")
            self._say(OWN_NAME, "INFO", f"{name} has come to its end")
        else:
            self._mourn(child, code, lived)

    def _mourn(self, child: _Child, code: int, lived: float) -> None:
        name, patience = child.program.name, self._patience
        child.quick = child.quick + 1 if lived < patience.quick_s else 0
        words = f"; its last words: {' | '.join(child.last)}" if child.last else ""
        if code == CONFIGURATION:
            self._turn(child, "stopped")
            self._failure = f"{name} cannot run as it is configured{words}"
        # Who gives up over a full disk takes along the edge, which keeps its reads until there is
        # space again; so that is waited out.
        elif child.quick >= patience.tries and self._space() >= SPACE:
            self._turn(child, "stopped")
            self._failure = (
                f"{name} died {child.quick} times in a row within {patience.quick_s:g} s of its "
                f"start, now {_ending(code)}{words}; mend the cause and start again"
            )
        else:
            wait = min(patience.first_s * 2 ** min(max(child.quick - 1, 0), 16), patience.longest_s)
            child.due = time.monotonic() + wait
            self._turn(child, "waiting")
            self._say(
                *(OWN_NAME, "WARNING"),
                f"{name} died after {lived:.1f} s ({_ending(code)}), restart in {wait:g} s",
            )

    def _space(self) -> int:
        """Bytes that are free where the status is written, with everything else at home."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self._status.parent).free
        return SPACE

    def _end_all(self) -> None:
        self._stopping.set()
        deadline = time.monotonic() + self._patience.grace_s
        for child in reversed(self._children.values()):
            if child.state == "waiting":
                self._turn(child, "stopped")
            if child.state != "running" or child.process is None:
                continue
            _signal(child.process.pid, signal.SIGTERM)
            while child.state == "running":
                if self._at_once.is_set() or time.monotonic() >= deadline:
                    self._say(OWN_NAME, "WARNING", f"{child.program.name} is killed")
                    _signal(child.process.pid, signal.SIGKILL)
                    child.process.wait()
                self._listen(0.02)
                self._reap(child)

    def _turn(self, child: _Child, state: State) -> None:
        child.state = state
        self._write(self._measured())

    def _measured(self) -> dict[str, int]:
        pids = {name: c.process.pid for name, c in self._children.items() if _runs(c) and c.process}
        below = {name: resident(pid) for name, pid in {**pids, **self._others()}.items()}
        return {OWN_NAME: psutil.Process().memory_info().rss, **below}

    def _report(self, when: str = "now") -> None:
        memory = self._measured()
        self._write(memory)
        parts = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in memory.items())
        total = sum(memory.values()) / 2**20
        self._say(
            OWN_NAME,
            "INFO",
            f"resident memory{' ' + when if when else ''}: {total:.0f} MiB ({parts})",
        )

    def _write(self, memory: Mapping[str, int]) -> None:
        document = {
            "pid": os.getpid(),
            "at": time.time_ns() // 1000,
            "processes": {
                name: {
                    "state": child.state,
                    "pid": child.process.pid if _runs(child) and child.process else None,
                    "restarts": child.restarts,
                    "resident_bytes": memory.get(name, 0),
                }
                for name, child in self._children.items()
            },
            "others": {n: size for n, size in memory.items() if n not in self._children},
            "failure": self._failure,
        }
        part = self._status.with_suffix(".part")
        try:
            part.write_text(json.dumps(document))
            part.replace(self._status)
        except OSError as error:  # a full disk must not end what is being kept alive
            self._say(OWN_NAME, "WARNING", f"{self._status} cannot be written: {error.strerror}")


def resident(pid: int) -> int:
    """Resident bytes of a process, and what its descendants do not share; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        own = process.memory_info().rss
        below = [child.memory_info() for child in process.children(recursive=True)]
        return own + sum(info.rss - getattr(info, "shared", 0) for info in below)
    except psutil.Error:
        return 0


def _runs(child: _Child) -> bool:
    return child.state == "running"


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"
