"""A stretch of the log is read whole, however its reads come in."""

from pathlib import Path
from typing import Any

import pytest

from eventlog.log import Append, Entry, LogUnavailable
from eventlog.span import first_since, span
from eventlog.sqlite import SqliteLog
from schemas.topics import RAW


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    log = SqliteLog(tmp_path, 2)
    for n in range(0, 2000, 10):
        log.append(RAW.name, 1, [Append(None, b"", {}, 1000 + n)] * 10)
    return log


class Slow:
    """A log whose every second read comes too early."""

    def __init__(self, log: SqliteLog, away: bool = False) -> None:
        self._log, self._reads, self._away = log, 0, away

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, *place: Any) -> list[Entry]:
        self._reads += 1
        return self._log.read(*place) if self._reads % 2 and not self._away else []

    def end(self, topic: str, partition: int) -> int:
        if self._away:
            raise LogUnavailable("gone")
        return self._log.end(topic, partition)


def offsets(log: Any, start: int, end: int) -> list[int]:
    return [e.offset for e in span(log, RAW.name, 1, start, end, sleep=lambda _: None)]


def test_every_record_of_a_span_in_order(log: SqliteLog):
    assert offsets(log, 0, 2000) == list(range(2000))
    assert offsets(log, 7, 1500) == list(range(7, 1500))
    assert offsets(Slow(log), 0, 2000) == list(range(2000))
    assert offsets(log, 5, 5) == []


def test_a_span_begins_with_what_is_left(log: SqliteLog):
    log.trim(RAW.name, 1500)
    assert offsets(log, 0, 2000)[0] == 500


def test_a_gap_at_the_end_ends_it_and_a_log_that_is_away_does_not(log: SqliteLog):
    assert offsets(log, 1990, 2005) == list(range(1990, 2000))
    with pytest.raises(LogUnavailable):
        offsets(Slow(log, away=True), 0, 2000)


@pytest.mark.parametrize(
    ("at", "offset"), [(0, 0), (1000, 0), (1001, 10), (1010, 10), (2990, 1990), (2991, 2000)]
)
def test_the_first_record_since_a_time(log: SqliteLog, at: int, offset: int):
    assert first_since(log, RAW.name, 1, at) == offset
    assert first_since(log, RAW.name, 0, at) == 0
