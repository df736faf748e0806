"""Compose files as Docker Compose reads them: by its own library, built from parser/ with Go.

``python -m tests.deploy.composed`` builds it into the cache of the tests' servers.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers import CACHE, NotInstalled

ROOT = Path(__file__).parents[2]
VERSION = "2.16.2"  # of github.com/compose-spec/compose-go/v2, as parser/go.mod says
PARSER = CACHE / f"compose-{VERSION}"


class Refused(Exception):
    """Compose does not take the files; the message is its own."""


def install() -> None:
    """Build the parser where it is missing."""
    if not PARSER.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["go", "build", "-o", str(PARSER), "."],
            cwd=Path(__file__).parent / "parser",
            check=True,
        )


def check() -> None:
    """Raise NotInstalled where the parser is missing."""
    if not PARSER.exists():
        raise NotInstalled("no compose parser here: python -m tests.deploy.composed")


def composed(environ: Mapping[str, str], *files: str) -> dict[str, Any]:
    """What the files come to with these variables. Raises Refused."""
    read = subprocess.run(
        [str(PARSER), *(str(ROOT / file) for file in files or ("docker-compose.yml",))],
        env={"PATH": os.environ["PATH"], **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if read.returncode:
        raise Refused(read.stderr)
    return json.loads(read.stdout)


if __name__ == "__main__":
    install()
