"""Dedup from one process to many and back: real logs, real processes, killed in the middle."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from alpr.errors import AlprError, Busy, ConfigError
from alpr.layout import Store, Stores, listed
from alpr.settings import load
from dataflows.dedup import Dedup
from dataflows.layout import Kept, StoreError, read_store, write_store
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, RAW, REJECTED
from tests.dataflows.logs import raw_records

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
HALVES = {"0-1": (0, 1), "2-3": (2, 3)}
KEPT = {
    0: Kept(("log", 5), {"version": 1, "cameras": {"gate": (1, None)}}),
    1: Kept(("log", 7)),  # read, and nothing came of it
    3: Kept(("log", 9), {"version": 1, "cameras": {}}),
}


@pytest.fixture
def settings(tmp_path):
    environ = {"ALPR_HOME": str(tmp_path / "home"), "ALPR_LOG_PARTITIONS": str(PARTITIONS)}
    return load(environ, None)


@pytest.fixture
def environ(settings):
    others = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
    return others | settings.environ()


@pytest.fixture
def stores(settings):
    return Stores(settings, "log")


@pytest.fixture
def one(settings):
    """A store of all partitions that holds KEPT."""
    folder = settings.home / "recovery" / "dedup-log"
    folder.mkdir(parents=True)
    write_store(folder, range(PARTITIONS), PARTITIONS, KEPT)
    return folder


def alpr(environ, *arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "alpr", *arguments],
        env=environ | more,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Dedups:
    """Dedup processes of a layout."""

    def __init__(self, environ, folder):
        self._environ = environ
        self._log = (folder / "dedup.txt").open("ab")
        self._running = {}

    def start(self, *layout):
        for partitions in layout:
            self._running[partitions] = subprocess.Popen(
                [sys.executable, "-m", "alpr", "flow", "dedup"],
                env=self._environ | {"ALPR_PARTITIONS": partitions},
                cwd=ROOT,
                stdout=self._log,
                stderr=self._log,
            )

    def kill(self, *which):
        for partitions in which or list(self._running):
            process = self._running.pop(partitions)
            assert process.poll() is None, "a flow ended by itself, see dedup.txt"
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self):
        for process in self._running.values():
            process.kill()
            process.wait()
        self._log.close()


def read_all(log, topic, partition):
    entries, at = [], 0
    while found := log.read(topic, partition, at, 1000):
        entries += found
        at = found[-1].offset + 1
    return entries


def quiet(log, seconds):
    """Wait until nothing new was said for three seconds."""
    until = time.monotonic() + seconds
    seen, since = None, time.monotonic()
    while time.monotonic() < until:
        now = [log.end(topic, p) for topic in (DETECTED.name, REJECTED.name) for p in range(4)]
        if now != seen:
            seen, since = now, time.monotonic()
        elif any(now) and time.monotonic() - since > 3:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_from_one_process_to_two_and_back_nothing_is_lost_doubled_or_renamed(
    tmp_path, settings, environ
):
    rng = Random(4)
    log = SqliteLog(settings.log_folder, PARTITIONS)
    registry = SqliteRegistry(settings.log_folder)
    codec = Codec(registry)
    codec.register()
    cities = [raw_records(codec, 40 + p, cameras=3, hours=0.25) for p in range(PARTITIONS)]
    layouts = [("all",), ("0-1", "2-3"), ("0,2", "1,3"), ("all",)]
    dedups = Dedups(environ, tmp_path)
    try:
        for stage, layout in enumerate(layouts):
            if stage:
                moved = alpr(environ, "layout", *layout)
                assert moved.returncode == 0, moved.stderr
                assert len(moved.stdout.splitlines()) == len(layout)
            dedups.start(*layout)
            for chunk in (2 * stage, 2 * stage + 1):  # the cities stop in the middle of sightings
                for partition, city in enumerate(cities):
                    size = len(city) // (2 * len(layouts)) + 1
                    log.append(RAW.name, partition, city[chunk * size : (chunk + 1) * size])
                time.sleep(rng.uniform(1.5, 3))
                victim = rng.choice(layout)
                dedups.kill(victim)
                dedups.start(victim)
            time.sleep(rng.uniform(1.5, 3))
            if stage < len(layouts) - 1:
                dedups.kill()
        assert quiet(log, 60), "dedup never came to the end of the log"
        dedups.kill()
    finally:
        dedups.stop()

    repeated = needed = 0
    for partition in range(PARTITIONS):
        raw = read_all(log, RAW.name, partition)
        assert len(raw) == len(cities[partition])
        clean = Dedup(codec, DedupSettings(), grammar()).batch(raw)
        for topic, expected in ((DETECTED.name, clean.detected), (REJECTED.name, clean.rejected)):
            said = read_all(log, topic, partition)
            # To the byte: event ids, revisions and votes go on over every move. What was said
            # after the last snapshot before a kill is said again, and equal.
            assert {(e.key, e.value) for e in said} == {(r.key, r.value) for r in expected}
            repeated += len(said) - len(expected)
            needed += len(expected)
        assert len({record.key for record in clean.detected}) > 10
    # Stores that had lost their state would have said all from offset 0 on again at each move.
    assert repeated < (len(layouts) - 1) * needed / 2
    log.close()
    registry.close()


def test_a_store_gives_back_what_was_written_to_it_however_often_it_is_read(tmp_path):
    write_store(_made(tmp_path / "store"), range(4), 4, KEPT)
    for _ in range(3):
        assert read_store(tmp_path / "store", range(4), 4) == KEPT
    with pytest.raises(StoreError, match="not of the partitions that its name says"):
        read_store(tmp_path / "store", range(3), 4)


def _made(folder):
    folder.mkdir()
    return folder


def test_state_goes_where_its_partition_goes(stores, one):
    after = stores.change([(0, 2), (1, 3)])
    assert [store.folder.name for store in after] == ["dedup-log-0,2", "dedup-log-1,3"]
    for store in after:
        own = {p: KEPT[p] for p in store.partitions if p in KEPT}
        assert read_store(store.folder, store.partitions, PARTITIONS) == own
    assert stores.change([]) == sorted(after, key=lambda store: store.folder)
    stores.change([range(PARTITIONS)])
    assert read_store(one, range(PARTITIONS), PARTITIONS) == KEPT
    assert {path.name for path in one.parent.iterdir()} == {"dedup-log", "dedup-log.lock"}


def test_a_crash_at_any_step_leaves_one_layout_or_the_other_whole(
    settings, stores, one, monkeypatch
):
    """Every rename in turn is the last thing that happens; the next who comes sees it through."""
    rename = Path.rename
    pristine = shutil.copytree(one, settings.home / "pristine")
    outcomes = []
    for dies_at in range(8):
        steps = iter(range(100))

        def dying(path, target, steps=steps, dies_at=dies_at):
            if next(steps) == dies_at:
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", dying)
        try:
            stores.change([(0, 1), (2, 3)])
            survived = True
        except KeyboardInterrupt:
            survived = False
        monkeypatch.setattr(Path, "rename", rename)
        found = stores.change([])
        together = {}
        for store in found:
            together |= read_store(store.folder, store.partitions, PARTITIONS)
        assert together == KEPT
        outcomes.append(len(found))
        assert not list(one.parent.glob("*.n*")), "something waits or lies about"
        for store in found:
            shutil.rmtree(store.folder)
        shutil.copytree(pristine, one)
        if survived:
            break
    assert survived
    assert outcomes[0] == 1, "before the change holds"
    assert set(outcomes[1:]) == {2}, "once it holds"
    assert len(outcomes) >= 4


@pytest.mark.slow
def test_alpr_layout_killed_at_any_moment_leaves_one_layout_or_the_other(settings, environ):
    log = SqliteLog(settings.log_folder, PARTITIONS)
    folder = settings.home / "recovery" / f"dedup-{log.uuid}"
    folder.mkdir(parents=True)
    write_store(folder, range(PARTITIONS), PARTITIONS, KEPT)
    stores = Stores(settings, log.uuid)
    log.close()
    rng = Random(9)
    for number in range(8):
        layout = (["0-1", "2-3"], ["all"], ["0,3", "1,2"])[number % 3]
        process = subprocess.Popen(
            [sys.executable, "-m", "alpr", "layout", *layout],
            env=environ,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # From when it begins to write until it is done
        until = time.monotonic() + 20
        while not list(folder.parent.glob("*.new")) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.wait()
        together = {}
        for store in stores.change([]):
            together |= read_store(store.folder, store.partitions, PARTITIONS)
        assert together == KEPT


def test_a_change_is_refused_while_a_flow_runs_and_not_after_it_was_killed(
    settings, environ, tmp_path
):
    SqliteLog(settings.log_folder, PARTITIONS).close()
    dedups = Dedups(environ, tmp_path)
    try:
        dedups.start("2-3")
        lock = _until(lambda: _held(settings, 2))
        assert lock, (tmp_path / "dedup.txt").read_text()
        shown = alpr(environ, "layout")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.startswith("ALPR_PARTITIONS=2-3  -r ")
        refused = alpr(environ, "layout", "all")
        assert refused.returncode == 1
        assert "partition 2 of the log is being worked on by another dedup" in refused.stderr
        beside = alpr(environ, "flow", "dedup", ALPR_PARTITIONS="1-2")
        assert beside.returncode == 1
        assert "is in" in beside.stderr
        assert "alpr layout" in beside.stderr
        dedups.kill()
        moved = alpr(environ, "layout", "all")
        assert moved.returncode == 0, moved.stderr
        assert moved.stdout.startswith("ALPR_PARTITIONS=0-3  -r ")
    finally:
        dedups.stop()


def _held(settings, partition):
    """Whether a process works on a partition."""
    (uuid,) = {p.name.removeprefix("dedup-")[:36] for p in settings.home.glob("recovery/*")} or {""}
    if not uuid:
        return False
    code = (
        "import sys; from alpr.layout import Stores; from alpr.settings import load;"
        "Stores(load(dict(e.split('=', 1) for e in sys.argv[2:]), None), sys.argv[1]).hold()"
    )
    environ = settings.environ() | {"ALPR_PARTITIONS": str(partition)}
    tried = subprocess.run(
        [sys.executable, "-c", code, uuid, *(f"{k}={v}" for k, v in environ.items())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return "Busy" in tried.stderr


def _until(condition, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize(
    ("partitions", "held"), [("all", (0, 1)), ("2-3", (0, 1)), ("0-1", range(PARTITIONS))]
)
def test_a_flow_on_a_store_that_is_not_of_its_partitions_ends_with_the_cure(
    settings, environ, tmp_path, partitions, held
):
    """By hand, since `alpr flow` picks the right one: -r names another process's store."""
    log = SqliteLog(settings.log_folder, PARTITIONS)
    log.close()
    store = _made(tmp_path / "store")
    write_store(store, held, PARTITIONS, {p: Kept((log.uuid, 0)) for p in held})
    command = [sys.executable, "-m", "bytewax.run", "dataflows.dedup", "-r", str(store)]
    ended = subprocess.run(
        [*command, "-s", "1", "-b", "0"],
        env=environ | {"ALPR_PARTITIONS": partitions},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "move the state by `alpr layout`" in ended.stderr


def test_a_process_gets_the_store_of_its_partitions_or_is_told_where_their_state_is(
    settings, stores, one
):
    assert stores.open() == one
    half = Stores(settings.changed(partitions="0-1"), "log")
    with pytest.raises(AlprError, match=r"partition 0 is in .*dedup-log, .* `alpr layout`"):
        half.open()
    stores.change([(0, 1), (2, 3)])
    assert half.open().name == "dedup-log-0-1"
    with pytest.raises(AlprError, match="alpr layout"):
        stores.open()
    # Another log's processes are no concern of this one's.
    assert Stores(settings, "other").open().name == "dedup-other"


def test_alpr_up_gets_every_store_or_is_told_what_does_not_fit(settings, stores, one):
    assert stores.open_each() == [Store(one, (0, 1, 2, 3))]
    stores.change([(0, 1), (2, 3)])
    halves = [Store(one.with_name(f"dedup-log-{name}"), own) for name, own in HALVES.items()]
    assert stores.open_each() == halves
    assert Stores(settings.changed(partitions="2-3"), "log").open_each() == halves[1:]
    with pytest.raises(AlprError, match=r"partitions 0-1 and 2-3, .* on are 1-3: set .*=0-3, or"):
        Stores(settings.changed(partitions="1-3"), "log").open_each()
    shutil.rmtree(halves[1].folder)  # as where another machine works on those
    with pytest.raises(AlprError, match=r"set ALPR_PARTITIONS=0-1, or .* `alpr layout`"):
        stores.open_each()
    (fresh,) = Stores(settings, "other").open_each()
    assert fresh == Store(one.with_name("dedup-other"), (0, 1, 2, 3))


def test_no_state_is_left_behind_or_given_to_two(stores, one):
    with pytest.raises(ConfigError, match=r"partition 3, .* would be left behind"):
        stores.change([(0, 1), (2,)])
    with pytest.raises(ConfigError, match="partition 1 is named twice"):
        stores.change([(0, 1), (1, 2, 3)])
    shutil.copytree(one, one.with_name("dedup-log-0-1"))
    with pytest.raises(AlprError, match="partition 0 is in two recovery stores"):
        stores.change([(0, 1), (2, 3)])


def test_alpr_layout_waits_for_alpr_up_to_be_stopped(settings, environ):
    from alpr.up import locked

    settings.home.mkdir()
    with locked(settings.home / "up.lock"):
        refused = alpr(environ, "layout", "all")
    assert refused.returncode == 1
    assert "in use by `alpr up`" in refused.stderr


def test_partitions_are_listed_as_the_setting_takes_them():
    assert listed(range(16)) == "0-15"
    assert listed([6, 0, 1, 2, 3]) == "0-3,6"
    assert listed([4]) == "4"


def test_a_second_process_on_the_same_partitions_is_turned_away(settings, environ, tmp_path):
    with Stores(settings, "0" * 36).hold():
        (settings.home / "recovery" / ("dedup-" + "0" * 36)).mkdir()
        assert _held(settings, 1)
    assert not _held(settings, 1)
    assert Busy.exit_code == 1
