"""``alpr flow``: one dataflow as this process, for containers and units of a service manager."""

import argparse
import os
import sys
from contextlib import closing

from alpr import alerts_store
from alpr.layout import SNAPSHOT_S, Stores
from alpr.logs import configure as configure_logs
from alpr.settings import Settings
from alpr.wiring import open_log

FLOWS = ("dedup", "project", "index", "alerts", "metrics")


def configure(parser: argparse.ArgumentParser) -> None:
    """Which dataflow."""
    parser.add_argument("flow", choices=FLOWS)
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="serve its counts to Prometheus on loopback (ALPR_METRICS_PORT; usually 8002)",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Become ``python -m bytewax.run dataflows.NAME``; dedup and alerts with their stores."""
    configure_logs(arguments.debug)
    if arguments.metrics_port is not None:
        settings = settings.changed(metrics_port=arguments.metrics_port)
    command = [sys.executable, "-m", "bytewax.run", f"dataflows.{arguments.flow}"]
    if arguments.flow == "dedup":
        with closing(open_log(settings, waits=True)) as log:
            store = Stores(settings, log.uuid).open()
        command += ["-r", str(store), "-s", str(SNAPSHOT_S), "-b", "0"]
    elif arguments.flow == "alerts":
        with closing(open_log(settings, waits=True)) as log:
            store = alerts_store.open_store(settings, log.uuid)
        command += ["-r", str(store), "-s", str(alerts_store.SNAPSHOT_S), "-b", "0"]
    sys.stdout.flush()
    os.execve(command[0], command, dict(os.environ) | settings.environ())
