"""``alpr api``: the query API and its pages over HTTP."""

import argparse
import signal
import sys
from types import FrameType

from alpr.errors import Busy
from alpr.logs import configure as configure_logs
from alpr.settings import Settings
from alpr.wiring import open_database, open_images, open_queries


def configure(parser: argparse.ArgumentParser) -> None:
    """Where to listen."""
    parser.add_argument("--host", help="address, loopback alone (ALPR_API_HOST)")
    parser.add_argument("--port", type=int, help="port (ALPR_API_PORT)")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; exit code 0."""
    from api.app import create_app
    from api.serve import ServeError, serve

    configure_logs(arguments.debug)
    # uvicorn ends well and then raises the signal again, which must not keep us from leaving the
    # database.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    host = arguments.host or settings.api_host
    port = settings.api_port if arguments.port is None else arguments.port
    database = open_database(settings)
    try:
        queries = open_queries(database)
        serve(create_app(queries, open_images(settings)), host, port)
        queries.close()
    except ServeError as error:
        raise Busy(str(error)) from error
    finally:
        database.stop()
    return 0


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
