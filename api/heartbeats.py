"""How cameras are: the latest heartbeat of each, followed on alpr.reads.raw from ask to ask."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventlog.log import Entry, Log, LogError, OffsetGone
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import RAW

TAIL = 1_000
"""Records of a partition looked back at first, and the most read at one ask: a heartbeat comes
every five seconds, so they hold several of each camera unless hundreds share a partition."""
SILENT_S = 30.0
"""As the rules have it: rules/settings.py."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A camera's latest heartbeat. ``state``: live, reconnecting, silent, ended; times in
    microseconds; ``frames_dropped`` of ``frames_seen`` since the session began.
    """

    state: str
    heard_at: int
    fps: float
    frames_seen: int
    frames_dropped: int


class Heartbeats:
    """Follows the log when it is asked; any number of threads may share it.

    ``open_log`` is called when it is first asked, ``clock`` gives microseconds UTC.
    """

    def __init__(self, open_log: Callable[[], tuple[Log, Codec]], clock: Callable[[], int]) -> None:
        self._open = open_log
        self._clock = clock
        self._log: tuple[Log, Codec] | None = None
        self._next: dict[int, int] = {}
        self._latest: dict[str, Pulse] = {}
        self._turn = threading.Lock()

    def latest(self) -> Mapping[str, Pulse] | None:
        """By camera, those heard of lately; None while the log is away."""
        with self._turn:
            try:
                self._follow()
            except (LogError, RegistryUnavailable):
                return None
            since = self._clock() - int(SILENT_S * 1e6)
            return {
                camera: Pulse(
                    "silent" if pulse.state != "ended" and pulse.heard_at < since else pulse.state,
                    *(pulse.heard_at, pulse.fps, pulse.frames_seen, pulse.frames_dropped),
                )
                for camera, pulse in self._latest.items()
            }

    def _follow(self) -> None:
        if self._log is None:
            self._log = self._open()
        log, codec = self._log
        for partition in range(log.partitions(RAW.name)):
            # Offsets may have gaps: further back than needed is no harm, too little is made good
            # by the next heartbeat.
            start = max(self._next.get(partition, 0), log.end(RAW.name, partition) - TAIL)
            try:
                entries = log.read(RAW.name, partition, start, TAIL)
            except OffsetGone as gone:
                entries = log.read(RAW.name, partition, gone.lowest, TAIL)
            for entry in entries:
                self._take(codec, entry)
                self._next[partition] = entry.offset + 1

    def _take(self, codec: Codec, entry: Entry) -> None:
        try:
            name, record = codec.decode(entry.value or b"")
        except DecodeError:
            return
        if name == "CameraHeartbeat":
            self._latest[record["camera_id"]] = Pulse(
                record["state"],
                entry.appended_at,
                record["fps"],
                record["frames_seen"],
                record["frames_dropped"],
            )
        elif name == "SourceEnded":
            before = self._latest.get(record["camera_id"], Pulse("ended", 0, 0.0, 0, 0))
            self._latest[record["camera_id"]] = Pulse(
                "ended", entry.appended_at, 0.0, before.frames_seen, before.frames_dropped
            )
