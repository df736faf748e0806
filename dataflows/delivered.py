"""Counts what became of deliveries, from alpr.notifications, beside the alerts that caused them."""

import logging
import threading

from dataflows.observe import notifications_failed, notifications_sent
from dataflows.patience import Patience
from eventlog.log import Log, LogUnavailable, OffsetGone
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import NOTIFICATIONS

_log = logging.getLogger(__name__)

LOOK_S = 1.0
BATCH = 500
FAILED = ("failed", "refused", "given up")


class Delivered:
    """Follows the topic from where it ends now, in a thread that dies with the process."""

    def __init__(self, log: Log, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._positions: dict[int, int] = {}

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="delivered", daemon=True).start()

    def look(self) -> None:
        """Count what is new; the first look only says from where on."""
        for partition in range(self._log.partitions(NOTIFICATIONS.name)):
            at = self._positions.get(partition)
            if at is None:
                self._positions[partition] = self._log.end(NOTIFICATIONS.name, partition)
                continue
            try:
                entries = self._log.read(NOTIFICATIONS.name, partition, at, BATCH)
            except OffsetGone as gone:
                self._positions[partition] = gone.lowest
                continue
            for entry in entries:
                self._count(entry.value)
                self._positions[partition] = entry.offset + 1

    def _count(self, value: bytes | None) -> None:
        try:
            name, record = self._codec.decode(value or b"")
        except DecodeError:
            return  # `project` keeps it as a dead letter
        if name != "NotificationAttempt":
            return
        if record["outcome"] == "sent":
            notifications_sent().labels(record["channel"]).inc()
        elif record["outcome"] in FAILED:
            notifications_failed().labels(record["channel"]).inc()

    def _run(self) -> None:
        patience = Patience((LogUnavailable, RegistryUnavailable))
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            patience.until(self.look)
