"""Every benchmark with settings for some minutes in all; JSON lines as each prints them.

    python -m benchmarks.run [NAME ...]

Names are modules of ``benchmarks``; all of them if none is given. Each has a process of its own,
and its help tells its settings for longer runs. The exit code is 1 if one failed.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.edge import DATA
from benchmarks.live_page import CHROMIUM
from tests.servers import Kafka, NotInstalled, OpenSearch, Registry

SHORT: dict[str, list[str]] = {
    "avro": [],
    "dedup": ["--reads", "10000", "--rounds", "2", "--hours", "0.5"],
    "two_processes": ["--reads", "20000", "--rounds", "2"],
    "kafka": ["--reads", "10000", "--rounds", "1"],
    "eventlog": [],
    "projection": ["--sightings", "3000"],
    "search": ["--documents", "5000"],
    "analytics": ["--sightings", "100000", "--rounds", "5", "--bare", "1"],
    "listeners": ["--listeners", "300", "--seconds", "8"],
    "api": ["--events", "5000", "--rounds", "3", "--seconds", "1"],
    "edge": ["--stride", "60"],
    "rules": ["--events", "2000", "--looped", "50000"],
    "alerts": ["--cars", "100"],
    "live_page": ["--rounds", "5"],
}


def lacking(name: str) -> str | None:
    """Why a benchmark cannot be run on this machine."""
    if name == "edge" and not DATA.exists():
        return f"there is no clip in {DATA}"
    if name == "live_page" and not Path(CHROMIUM).exists():
        return f"there is no {CHROMIUM}"
    if name == "kafka":
        for server, variable in ((Kafka, "ALPR_TEST_KAFKA"), (Registry, "ALPR_TEST_REGISTRY")):
            try:
                if not os.environ.get(variable):
                    server.check()
            except NotInstalled as error:
                return str(error)
    if name == "search":
        try:
            OpenSearch.check()
        except NotInstalled as error:
            return str(error)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHORT))
    names = parser.parse_args(arguments).names
    unknown = [name for name in names if name not in SHORT]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}: use {', '.join(SHORT)}")
    failed: list[str] = []
    for name in names or SHORT:
        if (cause := lacking(name)) is not None:
            print(f"{name} is left out: {cause}", file=sys.stderr)
            continue
        command = [sys.executable, "-m", f"benchmarks.{name}", *SHORT[name]]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
