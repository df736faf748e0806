"""The log in a folder keeps the contract, and what is SQLite's own."""

from functools import partial
from pathlib import Path

import pytest

from eventlog.sqlite import SqliteLog
from tests.eventlog.contract import LogContract, Opener


class TestSqliteKeepsTheContract(LogContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(SqliteLog, tmp_path / "log")
