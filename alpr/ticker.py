"""``alpr ticker``: wall time into every partition of alpr.reads.raw, and the log's retention.

Ends, silences and watermarks are decided from these ticks, live as on replay. One ticker is
enough and two do no harm: a tick only says what time it is.
"""

import argparse
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

from alpr.process import begin_process
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log
from eventlog.log import Append, Log, LogError, LogFull
from schemas.codec import Codec
from schemas.topics import DAY_US, DETECTED, RAW, TOPICS

TRIM_EVERY_S = 3600.0

_log = logging.getLogger(__name__)


class Ticker:
    """Appends a Tick to every partition at each full second of ``clock`` (seconds since 1970).

    ``wait`` sleeps for so many seconds and is true when it is time to end. The pause is
    reckoned from the clock each time, so that nothing drifts and a machine that slept gives one
    tick for the whole of it.
    """

    def __init__(
        self,
        log: Log,
        codec: Codec,
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._encode = codec.encoder(RAW.name, "Tick")
        self._wait = wait
        self._clock = clock

    def run(self) -> None:
        """Tick until ``wait`` says so. A full disk is waited out."""
        waiting = False
        while not self._wait(1.0 - self._clock() % 1.0):
            try:
                self.tick()
            except LogFull as error:
                if not waiting:
                    _log.error("no ticks until there is space again: %s", error)
                waiting = True
            else:
                waiting = False

    def tick(self) -> None:
        """One tick for each partition, now."""
        value = self._encode({"at": int(self._clock() * 1_000_000)})
        for partition in range(self._log.partitions(RAW.name)):
            self._log.send(RAW.name, partition, [Append(None, value)])
        self._log.flush()


def retention(settings: Settings) -> Mapping[str, int]:
    """Topics that do not keep for ever, and how long they keep, in microseconds."""
    kept = {name: t.retention_us for name, t in TOPICS.items() if t.retention_us is not None}
    kept[RAW.name] = settings.retention_raw_days * DAY_US
    kept[DETECTED.name] = settings.retention_plates_days * DAY_US
    return kept


def trim(log: Log, kept: Mapping[str, int], now_us: int) -> dict[str, int]:
    """Drop what is older than its topic keeps; how many records, by topic."""
    return {topic: log.trim(topic, now_us - age) for topic, age in kept.items()}


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""
    parser.description = "Append the time to the log once a second, and drop what is too old."


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Tick until SIGTERM or SIGINT, exit code 0; a log that is away is waited for."""
    begin_process("ticker", settings, arguments.debug)
    for number in (signal.SIGTERM, signal.SIGINT):
        # At once: it may wait for a broker, and nothing is lost. No exception: it might come up in
        # a callback of librdkafka, which makes another one of it.
        signal.signal(number, lambda *_: os._exit(0))
    log = open_log(settings, waits=True)
    end = threading.Event()
    keeper = threading.Thread(target=_keep, args=(log, retention(settings), end), daemon=True)
    keeper.start()
    Ticker(log, open_codec(settings, waits=True), end.wait).run()
    return 0


def _keep(log: Log, kept: Mapping[str, int], end: threading.Event) -> None:
    """Trim in a thread of its own, since a large trim takes longer than a second."""
    while not end.wait(TRIM_EVERY_S):
        try:
            dropped = {t: n for t, n in trim(log, kept, time.time_ns() // 1000).items() if n}
        except LogError as error:
            _log.error("old records stay for now: %s", error)
        else:
            if dropped:
                _log.info("retention dropped %s", dropped)
