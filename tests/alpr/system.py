"""The system as a person runs it: commands, and processes that are killed at their end."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from alpr.settings import Settings

ROOT = Path(__file__).parents[2]


def environ(settings: Settings) -> dict[str, str]:
    """What a process with these settings gets."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    return clean | settings.environ() | {"PYTHONPATH": str(ROOT)}


def alpr(settings: Settings, *arguments: str) -> tuple[int, str]:
    """A command's exit code, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "alpr", *arguments],
        env=environ(settings), cwd=ROOT, text=True, timeout=120, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


@contextmanager
def process(settings: Settings, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is killed with the block, kill -9; what it says is in its home."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / f"{'-'.join(arguments[:2])}.txt").open("ab") as out:
        command = [sys.executable, "-m", "alpr", *arguments]
        running = subprocess.Popen(command, env=environ(settings), cwd=ROOT, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()


@contextmanager
def flows(settings: Settings, *names: str) -> Iterator[None]:
    """Dataflows as processes, killed with the block."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(process(settings, "flow", name))
        yield


@contextmanager
def database(server: str) -> Iterator[str]:
    """URL of an empty database on a server; it goes with the block."""
    name = f"alpr_{secrets.token_hex(6)}"
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
