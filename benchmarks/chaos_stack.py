"""The production system as processes that may be killed, on servers that may be killed too."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from alpr.log_copy import end_sources, forwarded
from alpr.settings import Settings, load
from alpr.wiring import open_codec, open_log
from benchmarks.chaos_edge import prepare
from benchmarks.chaos_poison import Poisoner
from eventlog.sqlite import SqliteLog
from schemas.topics import DETECTED, RAW
from tests.servers import (
    Kafka,
    OpenSearch,
    Postgres,
    Registry,
    Server,
    die_with_parent,
    free_port,
)

PARTITIONS = 32
NAMES = ["edge", "forward", "dedup-a", "dedup-b", "project", "index", "metrics", "api", "ticker"]
SERVER_NAMES = ["kafka", "postgres", "opensearch"]
NAMESPACE, HOST_IP, ITS_IP = "alpr-chaos", "10.231.77.1", "10.231.77.2"
RECOVERY_MIB = 64


@dataclass
class _Process:
    """One process of ours, started again whenever it is gone."""

    command: list[str]
    environ: dict[str, str]
    popen: "subprocess.Popen[bytes] | None" = None
    start_at: float = 0.0
    done: bool = False
    wanted: bool = True
    expected: bool = field(default=False)


class Stack:
    """Everything, from ``start`` to the end of the with block."""

    def __init__(self, home: Path, seed: int, reads: int, seconds: float) -> None:
        self.home = home
        self.restarts = 0
        self._seed, self._reads, self._seconds = seed, reads, seconds
        self._closers = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._peak: dict[str, int] = {}
        self._processes: dict[str, _Process] = {}
        self._servers: dict[str, Server] = {}
        self._busy: set[str] = set()
        self._due: dict[str, queue.SimpleQueue[float]] = {}
        self.namespace = ""
        self.small_disk: Path | None = None

    # Coming up

    def start(self) -> None:
        """Servers, topics, schemas, then every process."""
        home = self.home
        self.namespace = self._make_namespace()
        self._mount(home / "alpr" / "recovery")
        kafka = Kafka(home / "kafka")
        cut_port = free_port()
        if self.namespace:
            here = f"127.0.0.1:{kafka.port}"
            listeners = f"PLAINTEXT://{here},CUT://{HOST_IP}:{cut_port}"
            controller = f"CONTROLLER://127.0.0.1:{kafka.controller_port}"
            kafka.properties |= {
                "listeners": f"{listeners},{controller}",
                "advertised.listeners": listeners,
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT"
                ),
            }
        registry = Registry(home / "registry")
        self._servers = {
            "kafka": kafka,
            "registry": registry,
            "postgres": Postgres(home / "postgres"),
            "opensearch": OpenSearch(home / "opensearch"),
        }
        for name, server in self._servers.items():
            print(f"starting {name}", file=sys.stderr)
            server.start()
            self._closers.callback(server.stop)
        environ = self.environ()
        subprocess.run(
            [sys.executable, "-m", "alpr", "topics", "create"],
            env=environ,
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
        )
        in_namespace: dict[str, str] = {}
        prefix: list[str] = []
        if self.namespace:
            relay = _Relay(HOST_IP, registry.port)
            self._closers.callback(relay.close)
            prefix = ["ip", "netns", "exec", self.namespace]
            in_namespace = {
                "ALPR_LOG_URL": f"kafka://{HOST_IP}:{cut_port}",
                "ALPR_REGISTRY_URL": f"http://{HOST_IP}:{relay.port}/apis/ccompat/v7",
            }
        records = prepare(home / "alpr" / "edge-log", self._seed, self._reads, PARTITIONS)
        print(f"{records} records of cameras to come", file=sys.stderr)
        python = sys.executable
        flow = [python, "-m", "alpr", "flow"]
        commands: dict[str, tuple[list[str], Mapping[str, str]]] = {
            "project": ([*flow, "project"], {}),
            "index": ([*flow, "index"], {}),
            "metrics": ([*flow, "metrics"], {}),
            "dedup-a": ([*flow, "dedup"], {"ALPR_PARTITIONS": "0-15"}),
            "dedup-b": ([*prefix, *flow, "dedup"], {"ALPR_PARTITIONS": "16-31"} | in_namespace),
            "api": ([python, "-m", "alpr", "api"], {}),
            "ticker": ([python, "-m", "alpr", "ticker"], {}),
            "forward": ([python, "-m", "alpr", "log", "copy", "--follow"], {}),
            "edge": (
                [
                    *(python, "-m", "benchmarks.chaos_edge", str(home / "alpr" / "edge-log")),
                    *("--rate", str(records / (0.9 * self._seconds))),
                ],
                {},
            ),
        }
        (home / "out").mkdir(exist_ok=True)
        for name in SERVER_NAMES:
            self._due[name] = queue.SimpleQueue()
            threading.Thread(target=self._revive, args=(name,), name=name, daemon=True).start()
        self._processes = {
            name: _Process(command, environ | dict(own))
            for name, (command, own) in commands.items()
        }
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()

    def environ(self) -> dict[str, str]:
        """The settings of every process."""
        servers: Any = self._servers
        return {name: text for name, text in os.environ.items() if not name.startswith("ALPR_")} | {
            "ALPR_HOME": str(self.home / "alpr"),
            "ALPR_LOG_URL": servers["kafka"].url,
            "ALPR_LOG_PARTITIONS": str(PARTITIONS),
            "ALPR_REGISTRY_URL": servers["registry"].url,
            "ALPR_DATABASE_URL": servers["postgres"].url,
            "ALPR_SEARCH_URL": servers["opensearch"].url,
            "ALPR_API_PORT": str(self._api_port()),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }

    def settings(self) -> Settings:
        """The same as the program reads them."""
        return load(self.environ(), None)

    def _api_port(self) -> int:
        if not hasattr(self, "_port"):
            self._port = free_port()
        return self._port

    # Trouble

    def kill(self, name: str, pause: float) -> None:
        """SIGKILL a process or a server; it is started again after ``pause`` s."""
        server = self._servers.get(name)
        if server is None:
            process = self._processes[name]
            with self._lock:
                if process.popen is not None and process.popen.poll() is None:
                    process.expected = True
                    process.start_at = time.monotonic() + pause
                    process.popen.kill()
            return
        with self._lock:
            if name in self._busy:
                return
            self._busy.add(name)
        server.kill()
        self._due[name].put(pause)

    def _revive(self, name: str) -> None:
        """Start a server whenever it was killed; in a thread that lives on, as it does with it."""
        while True:
            time.sleep(self._due[name].get())
            self._servers[name].start()
            with self._lock:
                self._busy.discard(name)

    def trouble(self, what: str, seconds: float) -> str | None:
        """Make trouble for so long, meanwhile returning; why it cannot be made, else None."""
        begin: Callable[[], object]
        end: Callable[[], object]
        if what == "registry away":
            process = self._servers["registry"].process
            assert process is not None
            begin = lambda: process.send_signal(signal.SIGSTOP)  # noqa: E731
            end = lambda: process.send_signal(signal.SIGCONT)  # noqa: E731
        elif what == "cut off":
            if not self.namespace:
                return "no network namespaces here"
            begin = lambda: _ip("link", "set", "alpr-chaos0", "down")  # noqa: E731
            end = lambda: _ip("link", "set", "alpr-chaos0", "up")  # noqa: E731
        else:
            if self.small_disk is None:
                return "no file systems can be mounted here"
            ballast = self.small_disk / "ballast"
            begin = lambda: _fill(ballast)  # noqa: E731
            end = lambda: ballast.unlink(missing_ok=True)  # noqa: E731

        def run() -> None:
            begin()
            time.sleep(seconds)
            end()

        thread = threading.Thread(target=run)
        thread.start()
        self._closers.callback(thread.join)
        return None

    def poison(self, of_each: int, seconds: float) -> None:
        """Send records of every poisonous kind over the time."""
        with contextlib.closing(Poisoner(self.settings(), self._seed)) as poisoner:
            poisoner.send(of_each, 0.8 * seconds, self._over)

    # Coming to rest

    def calm(self) -> None:
        """Wait until every server is up again; the ticker ends with the last read."""
        while self._busy:
            time.sleep(0.2)

    def wait_drained(self, timeout: float) -> None:
        """Until the edge is done, all is forwarded, decided and shown in both views."""
        deadline = time.monotonic() + timeout
        steps: list[tuple[str, Callable[[], bool]]] = [
            ("the edge to end", lambda: self._processes["edge"].done),
            ("the forwarder", self._forwarded),
            ("silence", self._hush),
            ("dedup", lambda: self._through("alpr-dedup", RAW.name)),
            ("project", lambda: self._through("alpr-storage-consumer", DETECTED.name)),
            ("index", lambda: self._through("alpr-elasticsearch-consumer", DETECTED.name)),
        ]
        for what, reached in steps:
            print(f"waiting for {what}", file=sys.stderr)
            while not reached():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not drained: {what}; see {self.home / 'out'}")
                time.sleep(0.5)

    def _hush(self) -> bool:
        """Every source has ended and there are no more ticks: the log has an end now."""
        settings = self.settings()
        with contextlib.closing(open_log(settings)) as log:
            end_sources(log, open_codec(settings))
        ticker = self._processes["ticker"]
        with self._lock:
            ticker.wanted = False
            if ticker.popen is not None:
                ticker.popen.kill()
                ticker.popen.wait()
        return True

    def _forwarded(self) -> bool:
        with (
            contextlib.closing(open_log(self.settings())) as target,
            contextlib.closing(SqliteLog(self.home / "alpr" / "edge-log", create=False)) as source,
        ):
            return forwarded(source, target.uuid)

    def _through(self, group: str, topic: str) -> bool:
        with contextlib.closing(open_log(self.settings())) as log:
            at = log.marks(group, topic)
            ends = {p: log.end(topic, p) for p in range(log.partitions(topic))}
        return all(at.get(p, 0) >= end for p, end in ends.items())

    def peak_memory(self) -> dict[str, int]:
        """The most resident memory of each process, MiB."""
        return {name: peak >> 20 for name, peak in sorted(self._peak.items())}

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for process in self._processes.values():
            process.wanted = False
            if process.popen is not None:
                process.popen.kill()
                process.popen.wait()
        self._closers.close()

    # Keeping processes

    def _keep(self) -> None:
        while not self._over.wait(0.2):
            for name, process in self._processes.items():
                with self._lock:
                    self._look(name, process)

    def _look(self, name: str, process: _Process) -> None:
        popen = process.popen
        if popen is not None and popen.poll() is None:
            with contextlib.suppress(psutil.Error):
                rss = psutil.Process(popen.pid).memory_info().rss
                self._peak[name] = max(rss, self._peak.get(name, 0))
            return
        if popen is not None:
            process.popen = None
            if name == "edge" and popen.returncode == 0:
                process.done = True
            elif not process.expected:
                self.restarts += 1
                process.start_at = time.monotonic() + 1.0
            process.expected = False
        if process.done or not process.wanted or time.monotonic() < process.start_at:
            return
        with (self.home / "out" / f"{name}.out").open("ab") as out:
            process.popen = subprocess.Popen(
                process.command,
                env=process.environ,
                cwd=self.home,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (two system calls)
            )

    # What needs root

    def _make_namespace(self) -> str:
        """A network of its own for one flow, reached over a cable that can be pulled."""
        if os.geteuid() != 0:
            return ""
        _ip("netns", "del", NAMESPACE, check=False)
        try:
            _ip("netns", "add", NAMESPACE)
            self._closers.callback(lambda: _ip("netns", "del", NAMESPACE, check=False))
            _ip("link", "add", "alpr-chaos0", "type", "veth", "peer", "alpr-chaos1")
            self._closers.callback(lambda: _ip("link", "del", "alpr-chaos0", check=False))
            _ip("link", "set", "alpr-chaos1", "netns", NAMESPACE)
            _ip("addr", "add", f"{HOST_IP}/30", "dev", "alpr-chaos0")
            _ip("link", "set", "alpr-chaos0", "up")
            inside = ("netns", "exec", NAMESPACE, "ip")
            _ip(*inside, "addr", "add", f"{ITS_IP}/30", "dev", "alpr-chaos1")
            _ip(*inside, "link", "set", "alpr-chaos1", "up")
            _ip(*inside, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError):
            return ""
        return NAMESPACE

    def _mount(self, folder: Path) -> None:
        """A small file system for the recovery stores, so that it can be filled."""
        folder.mkdir(parents=True)
        size = f"size={RECOVERY_MIB}m"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
            return
        self.small_disk = folder
        self._closers.callback(lambda: subprocess.run(["umount", "-l", str(folder)], check=False))


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb") as out:
        while True:
            out.write(bytes(1 << 16))
            out.flush()


class _Relay:
    """Passes connections on an address to a port of loopback."""

    def __init__(self, host: str, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
