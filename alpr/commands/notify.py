"""``alpr notify``: alerts to people and programs, by mail, chat, webhook, SMS."""

import argparse
import logging
import os
import signal
import threading
from random import Random

from alpr.process import begin_process
from alpr.settings import Settings
from alpr.wiring import open_codec, open_database, open_deliveries, open_log, serve_counts

_log = logging.getLogger(__name__)
_AT_MOST_S = 8.0  # docker gives 10 s before it kills


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""
    parser.description = (
        "Deliver what the rules find to whom they name; several may run at once and share the work."
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Deliver until SIGTERM or SIGINT, exit code 0; what is away is waited for."""
    from notify.service import Service

    begin_process("notify", settings, arguments.debug)
    if settings.metrics_port:
        serve_counts(settings.metrics_port)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # A broker that is away is waited for in librdkafka, which hears no event.
    threading.Thread(target=_leave, args=(stop,), name="end", daemon=True).start()
    database = open_database(settings)
    try:
        log = open_log(settings, waits=True)
        codec = open_codec(settings, waits=True)
        Service(open_deliveries(settings, database, log, codec), stop, Random()).run()
    finally:
        database.stop()
    return 0


def _leave(stop: threading.Event) -> None:
    """End the process some seconds after it was asked to, whatever it hangs in."""
    stop.wait()
    threading.Event().wait(_AT_MOST_S)
    _log.warning("what was being delivered is delivered again by the next start, as a repeat")
    os._exit(0)
