"""``alpr log``: copy a log in a folder into Kafka, once or as it grows; end what is open in one."""

import argparse
import logging
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from alpr.errors import ConfigError
from alpr.log_copy import Copied, LogCopy
from alpr.log_copy import close as close_log
from alpr.process import begin_process
from alpr.settings import Settings
from alpr.wiring import open_copy, open_edge_codec, open_edge_log
from eventlog.exactly_once import Fenced
from eventlog.log import LogCorrupt, LogError
from schemas.topics import DAY_US

PAUSES_S = (1.0, 30.0)  # while the broker or the registry is away, doubled up to the second
TRIM_EVERY_S = 3600.0
TELL_EVERY_S = 5.0

logger = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Two commands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="copy|close")
    copy = commands.add_parser(
        "copy", help="copy a log in a folder into Kafka; goes on where it was"
    )
    copy.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="the edge's own log if not given"
    )
    copy.add_argument("--follow", action="store_true", help="go on with what is appended")
    copy.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    close = commands.add_parser(
        "close", help="end every open sighting of the embedded log, before it is copied"
    )
    close.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0 when all is copied, or on SIGTERM with --follow."""
    begin_process("forward", settings, arguments.debug)
    if arguments.action == "close":
        ended = close_log(settings)
        print(f"{ended} sources ended; no sighting is open. The log may be copied.")
        return 0
    if not settings.on_kafka:
        raise ConfigError(
            "ALPR_LOG_URL is where a log is copied to, and it is a folder: set it to kafka://…, "
            "and name the log to copy by --from FOLDER"
        )
    if arguments.source is None:  # whoever comes first of the edge and its forwarder makes it
        open_edge_codec(settings)
        open_edge_log(settings).close()
    source = (arguments.source or settings.edge_log_folder).absolute()
    if not (source / "registry.db").exists():
        raise ConfigError(
            f"{source} holds no log; name the folder by --from (an embedded system's is "
            "ALPR_HOME/log)"
        )
    if arguments.follow:
        _follow(settings, source)
        return 0
    with closing(open_copy(settings, source)) as copy:
        copy.check()
        if copy.decided:
            print("its reads have been decided: decisions are copied, reads stay")
        total, told = Copied(), time.monotonic()
        while (done := copy.round()) is not None:
            total += done
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                print(f"{total.copied} copied, {copy.behind()} to go", file=sys.stderr)
    print(
        f"{total.copied} records copied, {total.left_out} not needed there, "
        f"{total.dead} undecodable ones on alpr.dlq"
    )
    return 0


def _follow(settings: Settings, source: Path) -> None:
    """Forward until SIGTERM or SIGINT; what is away is waited for."""
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    pause, away = PAUSES_S[0], False
    while not end.is_set():
        try:
            with closing(open_copy(settings, source)) as copy:
                if copy.decided:
                    raise ConfigError(
                        f"{source} is the log of a whole system, not of an edge: copy it once, "
                        "without --follow"
                    )
                if away:
                    logger.warning("the broker is back, %d records to forward", copy.behind())
                pause, away = PAUSES_S[0], False
                _forward(copy, end, settings.retention_raw_days * DAY_US)
        except (Fenced, LogCorrupt):  # waiting mends neither
            raise
        except LogError as error:
            if not away:
                logger.error("what is read is kept here until this is mended: %s", error)
            away = True
            end.wait(pause)
            pause = min(2 * pause, PAUSES_S[1])


def _forward(copy: LogCopy, end: threading.Event, keep_us: int) -> None:
    trimmed = time.monotonic()
    while not end.is_set():
        if copy.round() is None:
            copy.wait(0.2)
        if time.monotonic() - trimmed > TRIM_EVERY_S:
            trimmed = time.monotonic()
            copy.trim(time.time_ns() // 1000 - keep_us)
