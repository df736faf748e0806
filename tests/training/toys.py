"""What the tests of both networks' training share."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from training import runs

ROOT = Path(__file__).parents[2]


class Nowhere(runs.Run):
    """A run that is kept nowhere; its figures are numbers."""

    def __init__(self) -> None:
        super().__init__(None)

    def figures(self, values, step=None) -> None:
        assert all(np.isfinite(value) for value in values.values())


def command(folder: Path, module: str, *arguments: str) -> str:
    """What `python -m training.MODULE` prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"training.{module}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
