"""``alpr up``: the whole system on one machine, as supervised processes."""

import argparse
import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

from alpr import alerts_store
from alpr.commands.edge import cameras_of
from alpr.drain import QUIET_S, Drain
from alpr.errors import AlprError, Busy
from alpr.layout import SNAPSHOT_S, Store, Stores, listed
from alpr.logs import JsonPrinter, Printer, Say
from alpr.settings import EMBEDDED, Settings
from alpr.supervise import OWN_NAME, Patience, Program, Supervisor
from alpr.wiring import (
    Database,
    open_alert_queries,
    open_codec,
    open_database,
    open_edge_log,
    open_log,
    open_queries,
)
from eventlog.log import LogUnavailable

if TYPE_CHECKING:
    from eventlog.log import Log
    from projections.alert_queries import AlertQueries
    from projections.queries import SightingQueries
    from schemas.codec import Codec

_EVERYWHERE = ("0.0.0.0", "::")  # where to listen, and nowhere to go
# On ALPR_METRICS_PORT and those after it, dedups beyond the first on those after these.
_SERVING = ("project", "alerts", "notify", "index", "dedup", "metrics", "keep")
DATABASE_LOOK_S = 1.0  # how often the embedded database is looked at


class Up:
    """The edge, the flows, the ticker and the API from ``start`` to ``stop``.

    Raises Busy where the home folder or the API's port is in use, before anything starts.
    ``edge`` are further flags of ``alpr edge``; None leaves the edge out.
    """

    def __init__(
        self,
        settings: Settings,
        say: Say,
        *,
        edge: Sequence[str] | None = (),
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._say = say
        self._edge = edge
        self._patience = patience or Patience()
        self._lock: IO[str] | None = None
        self._database: Database | None = None
        self._supervisor: Supervisor | None = None
        self._dedups: Sequence[str] = ()
        self._drain: Drain | None = None
        self._leaving = threading.Event()
        self._guard: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Where the API and its pages are, as this machine can open it."""
        host = self._settings.api_host
        if host in _EVERYWHERE:
            host = "localhost"
        scheme = "https" if self._settings.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._settings.api_port}/"

    @property
    def supervisor(self) -> Supervisor:
        """Who keeps the processes; there from ``start`` on."""
        assert self._supervisor is not None
        return self._supervisor

    def start(self) -> None:
        """Start the database, then every process; returns before they are ready."""
        settings = self._settings
        settings.home.mkdir(parents=True, exist_ok=True)
        self._lock = locked(settings.home / "up.lock")
        try:
            _port_is_free(settings.api_host, settings.api_port)
            log = open_log(settings)
            codec = open_codec(settings)
            self._drain = Drain(log, codec, settings.own_partitions)
            dedups = _named(Stores(settings, log.uuid).open_each())
            self._dedups = tuple(dedups)
            alerts = alerts_store.open_store(settings, log.uuid)
            self._take_up_rules(log, codec)
            self._database = open_database(settings)
            self._begin_deliveries(log, self._database.url)
            self._supervisor = Supervisor(
                self._programs(dedups, alerts),
                self._say,
                settings.home / "up.json",
                patience=self._patience,
                others=self._postgres,
            )
            self._supervisor.start()
            self._guard = threading.Thread(
                target=self._keep_database, args=(self._database,), name="database", daemon=True
            )
            self._guard.start()
        except BaseException:
            self.stop()
            raise
        self._tell_left_out()
        self._say(OWN_NAME, "INFO", f"the API is at {self.address}, the data in {settings.home}")

    def queries(self) -> "SightingQueries":
        """What the view can be asked; the caller closes it."""
        assert self._database is not None
        return open_queries(self._database)

    def alert_queries(self) -> "AlertQueries":
        """What the alerts' view can be asked; the caller closes it."""
        assert self._database is not None
        return open_alert_queries(self._database)

    @property
    def failed(self) -> list[str]:
        """Of each source that could not be read to its end, what, why and the cure."""
        return [] if self._drain is None else list(self._drain.failed)

    def drained(self) -> bool:
        """Whether every source has ended, the views hold all that came of it, and its alerts were
        told; no waiting.

        That dedup is through is known where something it said was caused by the last source's
        end; where it had nothing more to say, by 3 s of silence while it runs.
        """
        try:
            return self._drained()
        except LogUnavailable:
            return False  # the flows wait for it as well

    def _drained(self) -> bool:
        assert self._drain is not None
        if self._edge is not None and self.supervisor.state("edge")[0] != "done":
            return False
        if self._edge is not None and self._settings.on_kafka and not self._forwarded():
            return False
        states = [self.supervisor.state(name) for name in self._dedups]
        if any(state != "running" for state, _ in states):
            return False
        if not self._drain.through(quiet=min(age for _, age in states) > 2 * QUIET_S):
            return False
        assert self._database is not None
        url = self._database.url
        if not self._drain.shown(url, self._settings.search_url):
            return False
        return 0 not in self._settings.own_partitions or self._drain.alerted(url)

    def wait_drained(self, timeout: float | None = None) -> bool:
        """Wait for ``drained``; False after ``timeout`` s. AlprError if a process gives up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.drained():
            if self.supervisor.wait(0.2):
                raise AlprError(self.supervisor.failure or "stopped before all was read")
            if deadline is not None and time.monotonic() > deadline:
                return False
        return True

    def stop(self) -> None:
        """End every process, the edge first, the database last. May be called twice."""
        if self._supervisor is not None:
            self._supervisor.stop()
        self._leaving.set()
        if self._guard is not None:
            self._guard.join()
        if self._drain is not None:
            self._drain.close()
            self._drain = None
        if self._database is not None:
            self._database.stop()
            self._database = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "Up":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_up_rules(self, log: "Log", codec: "Codec") -> None:
        """Bring the file of alert rules into force, where there is one."""
        from alpr import rules_file

        path = self._settings.alert_rules
        if not path.exists():
            return
        done = rules_file.apply(log, codec, path, lambda: time.time_ns() // 1000)
        for name, why in done.left.items():
            self._say(
                *(OWN_NAME, "INFO"),
                f"rule {name!r} stays as it is, {why} since; `alpr rules apply {path.name} --force`"
                " takes the file's",
            )

    def _begin_deliveries(self, log: "Log", url: str) -> None:
        """Note where alpr.alerts ends now, so that of all that comes while notify starts it tells.

        A database that is away is notify's to wait for.
        """
        from notify.store import begin
        from projections.errors import ViewUnavailable

        with contextlib.suppress(ViewUnavailable):
            begin(url, log)

    def _tell_left_out(self) -> None:
        """Say which partitions do not reach the views by this machine's flows."""
        settings = self._settings
        if rest := sorted(set(range(settings.log_partitions)) - set(settings.own_partitions)):
            flows = "project, index" if settings.search_url else "project"
            self._say(
                *(OWN_NAME, "WARNING"),
                f"ALPR_PARTITIONS={listed(settings.own_partitions)}: dedup, {flows} and metrics "
                f"here leave partitions {listed(rest)} to other processes; without "
                "ALPR_PARTITIONS they read all",
            )

    def _programs(self, dedups: Mapping[str, Store], alerts: Path) -> list[Program]:
        """In the order of their start: who reads before who writes."""
        python = sys.executable
        environ = dict(os.environ) | self._settings.environ()
        bytewax = (python, "-m", "bytewax.run")

        def flow(name: str, *more: str) -> Program:
            command = (*bytewax, f"dataflows.{name}", *more)
            return Program(name, command, environ | port(_SERVING.index(name)))

        def dedup(number: int, name: str, store: Store) -> Program:
            command = (*bytewax, "dataflows.dedup", "-r", str(store.folder))
            command += ("-s", str(SNAPSHOT_S), "-b", "0")
            own = port(len(_SERVING) - 1 + number if number else _SERVING.index("dedup"))
            return Program(
                name, command, environ | own | {"ALPR_PARTITIONS": listed(store.partitions)}
            )

        def port(number: int) -> dict[str, str]:
            first = self._settings.metrics_port
            return {"ALPR_METRICS_PORT": str(first + number if first else 0)}

        programs = [
            Program("api", (python, "-m", "alpr", "api"), environ),
            flow("project"),
            flow("metrics"),
            *(dedup(n, name, store) for n, (name, store) in enumerate(dedups.items())),
            Program("ticker", (python, "-m", "alpr", "ticker"), environ),
        ]
        if self._settings.search_url:
            programs.append(flow("index"))
        if 0 in self._settings.own_partitions:  # one machine of several
            store = ("-r", str(alerts), "-s", str(alerts_store.SNAPSHOT_S), "-b", "0")
            programs.append(flow("alerts", *store))
            own = environ | port(_SERVING.index("notify"))
            programs.append(Program("notify", (python, "-m", "alpr", "notify"), own))
            own = environ | port(_SERVING.index("keep"))
            programs.append(Program("keep", (python, "-m", "alpr", "keep"), own))
        if self._edge is not None and self._settings.on_kafka:
            forward = (python, "-m", "alpr", "log", "copy", "--follow")
            programs.append(Program("forward", forward, environ))
        if self._edge is not None:
            command = (python, "-m", "alpr", "edge", *self._edge)
            programs.append(Program("edge", command, environ, ends=True))
        return programs

    def _forwarded(self) -> bool:
        """Whether all that the edge appended to its own log is on Kafka."""
        from alpr.log_copy import forwarded

        assert self._drain is not None
        with closing(open_edge_log(self._settings)) as log:
            return forwarded(log, self._drain.log_uuid)

    def _keep_database(self, database: Database) -> None:
        """Bring it up where it died: without it the API fails until a flow happens to restart."""
        from projections.errors import EmbeddedError

        while not self._leaving.wait(DATABASE_LOOK_S):
            try:
                if database.ensure():
                    self._say(OWN_NAME, "WARNING", "the database had died and is up again")
            except EmbeddedError as error:
                self._say(
                    OWN_NAME, "ERROR", f"the database is down: {' '.join(str(error).split())}"
                )

    def _postgres(self) -> Mapping[str, int]:
        """The embedded server's process, for its memory."""
        if self._settings.database_url != EMBEDDED:
            return {}
        try:
            lines = (self._settings.home / "postgres/data/postmaster.pid").read_text().splitlines()
            return {"postgres": int(lines[0])}
        except (OSError, ValueError, IndexError):
            return {}


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr up` takes."""
    parser.add_argument(
        "--once", action="store_true", help="end when every source has ended and all is shown"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; exit code 0.

    With --once until all is read; exit code 1 if a source could not be read to its end.
    """
    cameras_of(settings)  # a mistake among them is told before anything starts
    printer = JsonPrinter if settings.log_format == "json" else Printer
    up = Up(settings, printer(sys.stderr))
    with Signals() as signals, up:
        signals.supervisor = up.supervisor
        while not up.supervisor.wait(0.1):
            if signals.came or (arguments.once and up.drained()):
                up.supervisor.ask_to_stop()
        failure = up.supervisor.failure or ("; ".join(up.failed) if arguments.once else None)
    if failure:
        raise AlprError(failure)
    return 0


class Signals:
    """SIGTERM and SIGINT for the length of a with block: ``came`` is set; a later one kills.

    One that comes within a second is the same: a terminal and ``uv run`` may both send it.
    """

    def __init__(self) -> None:
        self.came = False
        self._at = 0.0
        self.supervisor: Supervisor | None = None

    def __enter__(self) -> "Signals":
        numbers = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        again = self.came and time.monotonic() - self._at > 1.0
        if again and self.supervisor is not None:
            self.supervisor.kill()
        elif not self.came:
            self.came, self._at = True, time.monotonic()


def _named(stores: Sequence[Store]) -> dict[str, Store]:
    """What each store's dedup is called here."""
    if len(stores) == 1:
        return {"dedup": stores[0]}
    return {f"dedup-{listed(store.partitions)}": store for store in stores}


def locked(path: Path) -> IO[str]:
    """The lock of a home folder, held until it is closed or this process is gone. Raises Busy."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise Busy(
            f"{path.parent} is in use by `alpr up` or `alpr demo` (pid {holder or '?'}); stop "
            "it, or set ALPR_HOME to another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _port_is_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Busy(
                f"port {port} of {host} cannot be had: {error.strerror}; stop what listens there, "
                "or set ALPR_API_PORT to another"
            ) from error
