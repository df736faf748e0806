"""A SQLite file of the log: made whole or not at all, checked when opened, errors in its words."""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from eventlog.log import LogCorrupt, LogError, LogFull, LogMismatch

APPLICATION = 0x414C5052  # "ALPR", SQLite's application_id of every file
FORMAT = 1  # SQLite's user_version of every file: raise it when the tables change
BUSY_S = 30.0  # how long a writer waits for others; a commit takes milliseconds
# A waiting writer asks as often as this. SQLite's own patience grows to 100 ms between two
# questions, and then a process that writes without a pause keeps all others out for seconds.
BUSY_POLL_S = 0.001
CHECKPOINT_PAGES = 1000  # SQLite's own default, about 4 MiB
# SQLite's automatic checkpoint gives way to readers, so that under steady reading the WAL may
# grow for ever. Beyond this size a writer insists: it makes others wait and truncates the file.
WAL_BYTES = 32 << 20
CHECKPOINT_BUSY_MS = 100
SETTLE_S = 5.0  # how long it is tried to empty the WAL where something was erased


class _Process:
    """The connections of one process: SQLite forbids to carry them over a fork."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.idle: list[sqlite3.Connection] = []


class File:
    """One SQLite file in WAL mode, for any number of threads and processes.

    A connection serves one thread at a time and is kept for the next one. Raises LogCorrupt,
    LogMismatch, LogFull, or LogError for what else the disk or the file refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # As SQLite does: where a link leads, and whatever the working folder becomes.
        self._real = os.path.realpath(path)
        self._wal = f"{self._real}-wal"
        self._process = _Process()
        self._forked: list[_Process] = []
        self._closed = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection; each statement sees what was committed when it began."""
        process = self._here()
        with translated(self.path):
            db = process.idle.pop() if process.idle else self._open()
            try:
                yield db
            except sqlite3.Error:
                db.close()
                raise
            except BaseException:
                self._give_back(process, db)
                raise
            self._give_back(process, db)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a write transaction: durable when left, undone by any exception."""
        # Threads queue at the lock; only processes meet at SQLite's, which polls.
        with self._here().lock, self.reading() as db:
            _begin(db)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if os.stat(self._wal).st_size > WAL_BYTES:
                _truncate_wal(db)

    def settle(self) -> None:
        """Bring all into the file itself and empty its WAL, where what was deleted still lies.

        Readers and writers that are busy for longer than ``SETTLE_S`` are not waited for: the next
        writes do it.
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            with self._here().lock, self.reading() as db:
                if _truncate_wal(db) or time.monotonic() > deadline:
                    return
            time.sleep(BUSY_POLL_S)

    def close(self) -> None:
        """Close every connection that is not in use; those in use close when given back."""
        self._closed = True
        process = self._here(closing=True)
        while process.idle:
            process.idle.pop().close()

    def _here(self, *, closing: bool = False) -> _Process:
        if self._closed and not closing:
            raise LogError(f"{self.path}: the log was closed; open another")
        if self._process.pid != os.getpid():
            self._forked.append(self._process)  # kept, never closed: they are the parent's
            self._process = _Process()
        return self._process

    def _give_back(self, process: _Process, db: sqlite3.Connection) -> None:
        if self._closed:
            db.close()
        else:
            process.idle.append(db)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"file:{quote(self._real)}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
                raise LogCorrupt(f"{self.path} is no file of a log: move it away")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != FORMAT:
                raise LogMismatch(
                    f"{self.path} has format {version}, this program knows format {FORMAT}: "
                    "use the program's version that wrote it, or a newer one"
                )
            db.execute("PRAGMA synchronous=FULL")
            # What is dropped is overwritten: somebody may have asked to be forgotten.
            db.execute("PRAGMA secure_delete=ON")
            db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        except BaseException:
            db.close()
            raise
        return db


def make(path: Path, script: str, identity: dict[str, Any]) -> None:
    """Create a file with the tables of ``script`` and the table ``identity`` (name, value).

    It appears whole; if another process was quicker, its file stays as it is.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    with translated(path):
        try:
            with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as db:
                db.executescript(
                    "PRAGMA synchronous=FULL; BEGIN;"
                    f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT};"
                    "CREATE TABLE identity (name TEXT PRIMARY KEY, value);" + script
                )
                db.executemany("INSERT INTO identity VALUES (?, ?)", identity.items())
                db.execute("COMMIT")
                # Last, so that everything is in the file itself and nothing in its WAL.
                db.execute("PRAGMA journal_mode=WAL")
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def identity(db: sqlite3.Connection) -> dict[str, Any]:
    """What ``make`` was given."""
    return dict(db.execute("SELECT name, value FROM identity").fetchall())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's and the system's errors as the log's, with the file, cause and cure."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(path, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LogFull(_full(path)) from error
        raise LogError(f"{path}: {error.strerror}: is its folder there and writable?") from error


def _from_sqlite(path: Path, error: sqlite3.Error) -> LogError:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or (
        primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and not _free(path.parent)
    ):
        return LogFull(_full(path))
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if primary in damaged or code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return LogCorrupt(
            f"{path} is damaged ({error}): restore it from a copy, "
            "or save what can be read with sqlite3's .recover"
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogError(f"{path}: another process held it for {BUSY_S:.0f} s: find and end it")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LogError(f"{path}: {error}: is its folder there and writable?")
    return LogError(f"{path}: {error}")


def _full(path: Path) -> str:
    return f"{path}: no space is left, nothing was appended: free some on its disk, then try again"


def _free(folder: Path) -> bool:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize >= 1 << 16


@contextlib.contextmanager
def _patience(db: sqlite3.Connection, milliseconds: int) -> Iterator[None]:
    db.execute(f"PRAGMA busy_timeout={milliseconds}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")


def _begin(db: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_S
    with _patience(db, 0):
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
            time.sleep(BUSY_POLL_S)


def _truncate_wal(db: sqlite3.Connection) -> bool:
    """Whether the WAL is empty now, which others that are busy may prevent."""
    # What was to be written is durable already: a checkpoint that fails is tried again after
    # the next write, and what makes it fail meets that write as well.
    with _patience(db, CHECKPOINT_BUSY_MS), contextlib.suppress(sqlite3.OperationalError):
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    return False
