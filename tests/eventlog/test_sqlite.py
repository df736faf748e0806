"""The log in a folder keeps the contract; beyond it, what is SQLite's own."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.files import WAL_BYTES, File
from eventlog.log import Append, LogCorrupt, LogError, LogFull, LogMismatch, OffsetGone
from eventlog.sqlite import TRIM_ROWS, SqliteLog
from schemas.topics import TOPICS
from tests.eventlog.contract import (
    COMPACTED,
    RAW_TOPIC,
    LogContract,
    Opener,
    processes,
    read_all,
    texts,
    values,
)


class TestSqliteKeepsTheContract(LogContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(SqliteLog, tmp_path / "log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(folder: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(folder)
    yield log
    log.close()


class Clock:
    def __init__(self, now: int = 1_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


# Erasing


def test_no_byte_of_what_is_erased_stays_in_the_folder(folder: Path, log: SqliteLog) -> None:
    secret = b"34A36837"
    for number in range(300):
        log.append(RAW_TOPIC, 0, [Append(b"GATE", secret * 40 + b"%d" % number)])
        log.append(RAW_TOPIC, 0, [Append(b"GATE", b"another car %d" % number)])
    offsets = [e.offset for e in read_all(log, RAW_TOPIC, 0) if secret in (e.value or b"")]
    assert any(secret in file.read_bytes() for file in folder.iterdir())
    assert log.erase(RAW_TOPIC, 0, offsets)
    assert not any(secret in file.read_bytes() for file in folder.iterdir())
    assert len(read_all(log, RAW_TOPIC, 0)) == 300


def test_what_somebody_erased_who_was_killed_is_not_left_in_the_journal(
    folder: Path, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(RAW_TOPIC, 0, [Append(None, b"34A36837")])
    with monkeypatch.context() as killed:
        killed.setattr(File, "settle", lambda _: None)
        log.erase(RAW_TOPIC, 0, [0])
    assert any(b"34A36837" in file.read_bytes() for file in folder.iterdir())
    log.erase(RAW_TOPIC, 0, [])
    assert not any(b"34A36837" in file.read_bytes() for file in folder.iterdir())


def test_a_reader_that_is_busy_for_a_moment_is_waited_for(folder: Path, log: SqliteLog) -> None:
    log.append(RAW_TOPIC, 0, [Append(None, b"34A36837")])
    with closing(sqlite3.connect(folder / f"{RAW_TOPIC}.db", check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        ending = threading.Timer(0.5, reader.rollback)
        ending.start()
        log.erase(RAW_TOPIC, 0, [0])
        ending.join()
        assert not any(b"34A36837" in file.read_bytes() for file in folder.iterdir())


def test_a_reader_is_led_past_what_was_erased_at_the_end(log: SqliteLog) -> None:
    offsets = log.append(RAW_TOPIC, 0, values("one", "two", "three"))
    log.erase(RAW_TOPIC, 0, offsets[1:])
    assert log.read(RAW_TOPIC, 0, 1, 10) == []
    assert log.reached(RAW_TOPIC, 0, 1) == 3
    assert log.reached(RAW_TOPIC, 0, 0) == 0
    log.append(RAW_TOPIC, 0, values("four"))
    assert log.reached(RAW_TOPIC, 0, 1) == 1


def test_what_is_trimmed_leaves_no_byte_either(folder: Path) -> None:
    clock = Clock()
    log = SqliteLog(folder, clock=clock)
    log.append(RAW_TOPIC, 0, values("34A36837" * 500))
    clock.now += 100
    log.append(RAW_TOPIC, 0, values("later"))
    log.trim(RAW_TOPIC, clock.now)
    log.close()
    assert not any(b"34A36837" in file.read_bytes() for file in folder.iterdir())


# Offsets and times


def test_offsets_are_counted_from_0(log: SqliteLog) -> None:
    assert list(log.append(RAW_TOPIC, 0, values("a", "b"))) == [0, 1]
    assert list(log.append(RAW_TOPIC, 0, values("c"))) == [2]


def test_a_clock_set_back_does_not_set_the_log_back(folder: Path) -> None:
    clock = Clock(1_000)
    log = SqliteLog(folder, clock=clock)
    log.append(RAW_TOPIC, 0, values("a"))
    clock.now = 400
    log.append(RAW_TOPIC, 0, values("b"))
    log.append(RAW_TOPIC, 1, values("c"))
    assert [e.appended_at for p in (0, 1) for e in read_all(log, RAW_TOPIC, p)] == [1000, 1000, 400]


def test_a_copy_keeps_the_times_of_the_original(folder: Path) -> None:
    log = SqliteLog(folder, clock=Clock(1_000))
    times = [5_000, 3_000, None]
    log.append(RAW_TOPIC, 0, [Append(b"k", b"v", appended_at=at) for at in times])
    assert [e.appended_at for e in read_all(log, RAW_TOPIC, 0)] == [5_000, 3_000, 1_000]
    log.append(RAW_TOPIC, 0, values("own"))
    assert read_all(log, RAW_TOPIC, 0)[-1].appended_at == 5_000


def test_several_partitions_are_appended_to_together_or_not_at_all(log: SqliteLog) -> None:
    assert log.append_many(RAW_TOPIC, {0: values("a"), 2: values("b", "c")}) == {
        0: range(1),
        2: range(2),
    }
    wrong = Append(b"key", object())  # type: ignore[arg-type]
    with pytest.raises(LogError):
        log.append_many(RAW_TOPIC, {0: values("d"), 1: [wrong]})
    assert [log.end(RAW_TOPIC, partition) for partition in range(4)] == [1, 0, 2, 0]
    log.append(RAW_TOPIC, 0, values("e"))
    assert texts(read_all(log, RAW_TOPIC, 0)) == ["a", "e"]


# Retention


def test_compaction_drops_what_is_superseded_and_tombstones_once_old(folder: Path) -> None:
    clock = Clock()
    log = SqliteLog(folder, clock=clock)
    for key, value, at in (
        (b"one", b"1", 10),
        (b"one", b"2", 20),
        (b"gone", b"1", 30),
        (b"gone", None, 40),
        (b"one", b"3", 50),
        (b"late", None, 60),
    ):
        clock.now = at
        log.append(COMPACTED, 0, [Append(key, value)])
    log.append(COMPACTED, 1, [Append(b"one", b"elsewhere", appended_at=1)])
    assert log.trim(COMPACTED, 50) == 4
    assert log.trim(COMPACTED, 50) == 0
    entries = read_all(log, COMPACTED, 0, 0)
    assert [(e.offset, e.key, e.value) for e in entries] == [(4, b"one", b"3"), (5, b"late", None)]
    assert texts(read_all(log, COMPACTED, 1)) == ["elsewhere"]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 3), st.integers(0, 3)),
            st.tuples(st.just("trim"), st.integers(0, 40), st.just(0)),
        ),
        max_size=12,
    ),
    compacted=st.booleans(),
)
def test_whatever_is_appended_and_trimmed_the_rest_is_as_in_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    compacted: bool,
) -> None:
    clock = Clock(0)
    log = SqliteLog(tmp_path_factory.mktemp("log"), clock=clock)
    topic = COMPACTED if compacted else RAW_TOPIC
    left: list[tuple[int, int, bytes, bytes | None]] = []
    end = 0
    for step, number, key in steps:
        clock.now += 2
        if step == "append":
            row = [Append(b"%d" % key, None if i == 2 else b"%d" % i) for i in range(number)]
            assert list(log.append(topic, 0, row)) == list(range(end, end + number))
            left += [(end + i, clock.now, r.key or b"", r.value) for i, r in enumerate(row)]
            end += number
        else:
            dropped = [
                r
                for r in left
                if r[1] < number
                and (
                    not compacted
                    or r[3] is None
                    or any(later[2] == r[2] and later[0] > r[0] for later in left)
                )
            ]
            assert log.trim(topic, number) == len(dropped)
            left = [r for r in left if r not in dropped]
    entries = read_all(log, topic, 0)
    assert [(e.offset, e.appended_at, e.key, e.value) for e in entries] == left
    assert log.end(topic, 0) == end
    if not compacted:
        assert log.lowest(topic, 0) == (left[0][0] if left else end)
        if log.lowest(topic, 0) > 0:
            with pytest.raises(OffsetGone):
                log.read(topic, 0, 0, 1)
    log.close()


def test_writers_get_their_turn_while_retention_works(log: SqliteLog, folder: Path) -> None:
    batches = 20
    log.append(RAW_TOPIC, 0, values(*["x" * 200] * (batches * TRIM_ROWS)))
    other, done, turns = SqliteLog(folder), threading.Event(), 0

    def trim() -> None:
        other.trim(RAW_TOPIC, time.time_ns() // 1000 + 1)
        done.set()

    thread = threading.Thread(target=trim)
    thread.start()
    while not done.is_set():
        log.append(RAW_TOPIC, 1, values("a"))
        turns += 1
    thread.join()
    assert turns >= batches // 2
    other.close()


def test_the_wal_stays_bounded_under_steady_writing_and_reading(
    log: SqliteLog, folder: Path
) -> None:
    done = threading.Event()

    def read() -> None:
        position = 0
        while not done.is_set():
            entries = log.read(RAW_TOPIC, 0, position, 500)
            position = entries[-1].offset + 1 if entries else 0

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    wal, highest = folder / f"{RAW_TOPIC}.db-wal", 0
    for _ in range(150):
        log.append(RAW_TOPIC, 0, values(*["x" * 2000] * 250))
        highest = max(highest, wal.stat().st_size)
    done.set()
    for reader in readers:
        reader.join()
    assert (folder / f"{RAW_TOPIC}.db").stat().st_size + highest > 2 * WAL_BYTES
    assert highest < 2 * WAL_BYTES


# Processes


def open_and_tell(folder: Path, results: object) -> None:
    log = SqliteLog(folder)
    for topic in TOPICS:
        log.append(topic, 0, values("a"))
    results.put(log.uuid)  # type: ignore[attr-defined]


def test_processes_that_make_a_log_at_once_make_one(folder: Path) -> None:
    results = processes.Queue()
    everyone = [processes.Process(target=open_and_tell, args=(folder, results)) for _ in range(4)]
    for process in everyone:
        process.start()
    assert len({results.get(timeout=60) for _ in everyone}) == 1
    for process in everyone:
        process.join()
    log = SqliteLog(folder)
    assert all(log.end(topic, 0) == 4 for topic in TOPICS)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_log_opened_before_a_fork_serves_both_sides(log: SqliteLog) -> None:
    log.append(RAW_TOPIC, 0, values("parent"))
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                log.append(RAW_TOPIC, 0, values("child"))
        finally:
            os._exit(0)
    for _ in range(20):
        log.append(RAW_TOPIC, 0, values("parent"))
    os.waitpid(child, 0)
    found = texts(read_all(log, RAW_TOPIC, 0))
    assert (found.count("parent"), found.count("child")) == (21, 20)


def test_waiting_costs_next_to_nothing(log: SqliteLog) -> None:
    log.append(RAW_TOPIC, 0, values("a"))
    before = time.thread_time()
    assert not log.wait(RAW_TOPIC, {0: 1}, 1.0)
    assert time.thread_time() - before < 0.1  # a busy loop would take 1


def test_a_closed_log_says_so(log: SqliteLog) -> None:
    log.append(RAW_TOPIC, 0, values("a"))
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.read(RAW_TOPIC, 0, 0, 1)


def test_the_folder_may_be_named_as_one_likes_and_files_may_be_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = SqliteLog(Path("a log?mode=ro#%41 für 车"))
    log.append(RAW_TOPIC, 0, values("a"))
    log.close()
    path = log._folder / f"{RAW_TOPIC}.db"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    again = SqliteLog(log._folder)
    monkeypatch.chdir("/")
    again.append(RAW_TOPIC, 0, values("b"))
    assert texts(read_all(again, RAW_TOPIC, 0)) == ["a", "b"]


# What is not as it should be


def test_a_log_that_must_be_there_is_not_made(folder: Path) -> None:
    with pytest.raises(LogError, match=f"no log in {folder}"):
        SqliteLog(folder, create=False)
    assert not folder.exists()


def test_another_number_of_partitions_is_refused(folder: Path) -> None:
    SqliteLog(folder, partitions=3).close()
    assert SqliteLog(folder).partitions(RAW_TOPIC) == 3
    with pytest.raises(LogMismatch, match=r"made with 3 partitions, 8.*: set 3"):
        SqliteLog(folder, partitions=8)


@pytest.mark.parametrize("name", ["log", RAW_TOPIC])
def test_a_file_of_a_newer_version_is_refused(log: SqliteLog, folder: Path, name: str) -> None:
    log.append(RAW_TOPIC, 0, values("a"))
    log.close()
    with sqlite3.connect(folder / f"{name}.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LogMismatch, match=rf"{name}\.db has format 99"):
        SqliteLog(folder).read(RAW_TOPIC, 0, 0, 1)


def test_a_file_of_another_log_is_noticed(folder: Path, tmp_path: Path) -> None:
    ours, theirs = SqliteLog(folder), SqliteLog(tmp_path / "other")
    theirs.append(RAW_TOPIC, 0, values("stray"))
    theirs.close()
    (tmp_path / "other" / f"{RAW_TOPIC}.db").rename(folder / f"{RAW_TOPIC}.db")
    with pytest.raises(LogMismatch, match=rf"{RAW_TOPIC}\.db belongs to another log"):
        ours.read(RAW_TOPIC, 0, 0, 1)


def test_a_file_that_was_taken_away_is_missed_not_begun_anew(log: SqliteLog, folder: Path) -> None:
    log.append(RAW_TOPIC, 0, values("a"))
    log.close()
    (folder / f"{RAW_TOPIC}.db").unlink()
    with pytest.raises(LogCorrupt, match=rf"{RAW_TOPIC}\.db is missing"):
        SqliteLog(folder).append(RAW_TOPIC, 0, values("b"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: b"\xa5" * 4096 + data[4096:], id="head"),
        pytest.param(lambda data: data[:8192] + b"\xa5" * (len(data) - 8192), id="body"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, damage: object) -> None:
    log = SqliteLog(folder)
    log.append(RAW_TOPIC, 0, values(*["x" * 500] * 500))
    log.close()
    path = folder / f"{RAW_TOPIC}.db"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(LogCorrupt, match=rf"{RAW_TOPIC}\.db"):
        read_all(SqliteLog(folder), RAW_TOPIC, 0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match=r"file/log.*writable"):
        SqliteLog(tmp_path / "file" / "log")


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """For root, everything is writable."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_folder_that_cannot_be_written_is_named(unprivileged: None) -> None:
    # Not tmp_path: that one only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with pytest.raises(LogError, match=rf"{folder}.*writable"):
            SqliteLog(Path(folder))


def test_a_log_that_may_only_be_read_says_so_when_written(unprivileged: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder))
        log.append(RAW_TOPIC, 0, values("a"))
        log.close()
        path = Path(folder) / f"{RAW_TOPIC}.db"
        path.chmod(0o444)
        with pytest.raises(LogError, match=rf"{path}.*writable"):
            SqliteLog(Path(folder)).append(RAW_TOPIC, 0, values("b"))


def test_a_full_database_appends_nothing_and_goes_on_once_there_is_space(log: SqliteLog) -> None:
    log.append(RAW_TOPIC, 0, values("a"))
    for _ in range(2):
        with log._topic(RAW_TOPIC).reading() as db:  # the limit goes with its connection
            db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(LogFull, match=rf"{RAW_TOPIC}\.db: no space"):
            log.append(RAW_TOPIC, 0, values(*["x" * 1000] * 100))
        assert texts(read_all(log, RAW_TOPIC, 0)) == ["a"]
    log.append(RAW_TOPIC, 0, values(*["x" * 1000] * 100))
    assert len(read_all(log, RAW_TOPIC, 0)) == 101


FULL_DISK = """
import os, sys
from pathlib import Path
from eventlog.log import Append, LogFull
from eventlog.sqlite import SqliteLog

disk = Path(sys.argv[1])
ballast = disk / "ballast"
ballast.write_bytes(bytes(1 << 20))
log = SqliteLog(disk / "log")
appended = refused = 0
def fill():
    global appended, refused
    for size in (1000, 100, 1):
        while True:
            rows = [Append(b"k", b"%d" % (appended + i) + b" " * 300) for i in range(size)]
            try:
                log.append("alpr.reads.raw", 0, rows)
                appended += size
            except LogFull as error:
                assert "alpr.reads.raw.db" in str(error), error
                refused += 1
                break
def check(log):
    found, position = [], 0
    while rows := log.read("alpr.reads.raw", 0, position, 1000):
        found += [int(row.value) for row in rows]
        position = rows[-1].offset + 1
    assert found == list(range(appended)), (len(found), appended)
fill()
check(log)
try:
    SqliteLog(disk / "second")
    raise AssertionError("a log was made on a full disk")
except LogFull as error:
    assert "second" in str(error), error
before = appended
ballast.unlink()
log.append("alpr.reads.raw", 0, [Append(b"k", b"%d" % appended)])
appended += 1
fill()
assert appended > before + 100, (before, appended)
log.close()
check(SqliteLog(disk / "log"))
print("appended", appended, "refused", refused)
"""


def test_a_full_disk_loses_nothing_and_the_log_goes_on_once_there_is_space(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=4m none '{disk}'"
    try:
        subprocess.run([*alone, "sh", "-c", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    command = f'{mount} && exec "$0" -c "$1" \'{disk}\''
    told = subprocess.run(
        [*alone, "sh", "-c", command, sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "refused 6" in told.stdout
