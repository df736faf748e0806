"""The table of ``alpr read``."""

from pathlib import Path
from typing import Any

import pytest

from alpr import read


def test_a_long_path_keeps_its_file_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    found: dict[str, Any] = {
        "plate": "34A36837",
        "country": "VN",
        "confidence": 1.0,
        "first_seen": 0.0,
        "last_seen": 2.1,
        "reads": 6,
    }
    monkeypatch.setattr(read, "line", lambda source, event: found)
    monkeypatch.setenv("COLUMNS", "80")
    table = read._Table()
    for name in ("eu1.jpg", "eu3.jpg"):
        table.add(Path("/srv/recordings/2026/november/gate-1") / name, None)  # type: ignore[arg-type]
    table.close()
    sources = "".join(
        row.split("│")[1].strip() for row in capsys.readouterr().out.splitlines() if "│" in row
    )
    assert "eu1.jpg" in sources
    assert "eu3.jpg" in sources
