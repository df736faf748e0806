"""``alpr keep``: what is derived from the views, kept up to date: the index of plates, counts."""

import argparse
import signal
import threading

from alpr.process import begin_process
from alpr.settings import Settings
from alpr.wiring import open_chores, open_database, reviving, serve_counts


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""
    parser.description = (
        "Follow the views and keep what searches and analytics need of them; one such process a "
        "database. While it is away both are slower, and no less right."
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Keep on until SIGTERM or SIGINT, exit code 0; a database that is away is waited for."""
    from projections.keeping import Keeper

    begin_process("keep", settings, arguments.debug)
    if settings.metrics_port:
        serve_counts(settings.metrics_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = open_database(settings)
    try:
        chores = open_chores(settings, database)
        Keeper(database.url, chores, stop, reviving(database)).run()
    finally:
        database.stop()
    return 0
