"""A tick a second for every partition, whatever the machine does between."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpr.settings import Settings, load
from alpr.ticker import Ticker, retention, trim
from alpr.wiring import open_codec, open_log
from eventlog.log import Append, Log, LogFull
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from schemas.topics import DAY_US, RAW

START = 1_800_000_000.25


class Time:
    """A clock whose waits take as long as asked plus the given delays, then end."""

    def __init__(self, delays: list[float]) -> None:
        self.now = START
        self._delays = iter(delays)

    def wait(self, seconds: float) -> bool:
        assert 0 < seconds <= 1
        delay = next(self._delays, None)
        if delay is None:
            return True
        self.now += seconds + delay
        return False


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"ALPR_HOME": str(tmp_path)}, None)


@pytest.fixture
def log(settings: Settings) -> Iterator[SqliteLog]:
    log = open_log(settings)
    yield log
    log.close()


@pytest.fixture
def codec(settings: Settings) -> Codec:
    return open_codec(settings)


def ticks(log: Log, codec: Codec, partition: int = 0) -> list[float]:
    entries = log.read(RAW.name, partition, 0, 10_000)
    records = [codec.decode(entry.value) for entry in entries if entry.value is not None]
    assert all(name == "Tick" for name, _ in records)
    return [record["at"] / 1_000_000 - START for _, record in records]


def test_every_partition_gets_every_tick(log: SqliteLog, codec: Codec):
    time = Time([0.0] * 3)
    Ticker(log, codec, time.wait, lambda: time.now).run()
    for partition in range(4):
        assert ticks(log, codec, partition) == pytest.approx([0.75, 1.75, 2.75])


def test_small_delays_do_not_add_up(log: SqliteLog, codec: Codec):
    time = Time([0.04] * 100)
    Ticker(log, codec, time.wait, lambda: time.now).run()
    assert ticks(log, codec)[-1] == pytest.approx(99.75 + 0.04, abs=0.001)


def test_a_machine_that_slept_for_a_night_gives_one_tick_for_it(log: SqliteLog, codec: Codec):
    time = Time([0.0, 8 * 3600.0, 0.0])
    Ticker(log, codec, time.wait, lambda: time.now).run()
    assert ticks(log, codec) == pytest.approx([0.75, 28_801.75, 28_802.75])


def test_a_clock_that_is_put_back_does_not_stop_the_ticks(log: SqliteLog, codec: Codec):
    time = Time([0.0, -3600.0, 0.0])
    Ticker(log, codec, time.wait, lambda: time.now).run()
    assert ticks(log, codec) == pytest.approx([0.75, -3598.25, -3597.25])


def test_a_full_disk_is_waited_out(log: SqliteLog, codec: Codec, caplog: pytest.LogCaptureFixture):
    class Full:
        """The same log on a disk that is full for the second and third append."""

        def __init__(self) -> None:
            self.appends = 0

        def partitions(self, topic: str) -> int:
            return 1

        def flush(self) -> None:
            """Nothing is pending."""

        def send(self, topic: str, partition: int, records: list[Append]) -> None:
            self.appends += 1
            if self.appends in (2, 3):
                raise LogFull("no space left on the disk")
            log.append(topic, partition, records)

    time = Time([0.0] * 4)
    Ticker(Full(), codec, time.wait, lambda: time.now).run()  # type: ignore[arg-type]
    assert ticks(log, codec) == pytest.approx([0.75, 3.75])
    assert caplog.text.count("no ticks until there is space again") == 1


def test_retention_drops_what_is_older_than_its_topic_keeps(settings: Settings, log: SqliteLog):
    now = time.time_ns() // 1000
    for days in (9, 8, 6):
        log.append(RAW.name, 0, [Append(b"k", b"v", appended_at=now - days * DAY_US)])
    assert trim(log, retention(settings), now)[RAW.name] == 2
    assert log.lowest(RAW.name, 0) == 2
    assert trim(log, retention(settings.changed(retention_raw_days=5)), now)[RAW.name] == 1


def test_topics_kept_for_ever_are_never_trimmed(settings: Settings):
    assert "alpr.audit" not in retention(settings)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("away", [False, True], ids=["ticking", "waiting for Kafka"])
def test_a_signal_ends_it_at_once_and_without_a_word(settings: Settings, number: int, away: bool):
    given = {"ALPR_HOME": str(settings.home)}
    if away:
        with socket.create_server(("127.0.0.1", 0)) as free:
            nobody = free.getsockname()[1]
        given |= {
            "ALPR_LOG_URL": f"kafka://127.0.0.1:{nobody}",
            "ALPR_REGISTRY_URL": f"http://127.0.0.1:{nobody}",
        }
    told = settings.home / "told.txt"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}
    with told.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "alpr", "ticker"], env=clean | given, stderr=out
        )
    try:
        deadline = time.monotonic() + 60
        while not (b"waiting: the log" in told.read_bytes() if away else ticked(settings)):
            assert time.monotonic() < deadline, told.read_text()
            assert process.poll() is None, told.read_text()
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(10) == 0, told.read_text()
    finally:
        process.kill()
        process.wait()
    assert [line for line in told.read_text().splitlines() if "waiting: the log" not in line] == []


def ticked(settings: Settings) -> bool:
    log = open_log(settings)
    try:
        return log.end(RAW.name, 0) > 0
    finally:
        log.close()
