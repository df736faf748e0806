"""What people say at once: each in turn, nobody waits for long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from api.voice import Voice
from eventlog.log import LogUnavailable
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog, wall_clock
from rules.alerts.watch_entry import entry
from schemas.codec import Codec
from schemas.topics import WATCHLIST


def entries(number: int, name: str = "long"):
    return [entry(name, f"A{n}", actor="me", at=1) for n in range(number)]


def test_while_a_long_list_comes_in_others_have_their_say(tmp_path: Path):
    with closing(SqliteLog(tmp_path, 1)) as log:
        codec = Codec(SqliteRegistry(tmp_path))
        codec.register()
        voice = Voice(lambda: (log, codec), wall_clock)
        slowest = said = 0.0
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(voice.watch, entries(30_000))
            while not done.done():
                began = time.monotonic()
                voice.watch(entries(1, "short"))
                slowest = max(slowest, time.monotonic() - began)
                said += 1
            done.result()
        assert log.end(WATCHLIST.name, 0) == 30_000 + said
        assert said > 3
        assert slowest < 1


def test_who_waits_too_long_for_the_log_is_told(tmp_path: Path):
    held, go = threading.Event(), threading.Event()

    def hangs() -> tuple[SqliteLog, Codec]:
        held.set()
        go.wait(10)
        raise LogUnavailable("the log did not answer")

    voice = Voice(hangs, wall_clock, patience=0.05)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(voice.watch, entries(1))
        assert held.wait(5)
        with pytest.raises(LogUnavailable, match="others have been writing"):
            voice.watch(entries(1))
        go.set()
        with pytest.raises(LogUnavailable, match="did not answer"):
            first.result()
