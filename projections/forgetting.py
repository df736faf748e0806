"""What is said of a sighting after it was forgotten goes as well: a car may still stand there.

Dedup knows the sightings that are open and says how they go on; so for an hour after somebody
was forgotten the ends of the log are looked through for them.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from eventlog.log import Append, Log, LogError
from eventlog.span import span
from projections.following import Following
from schemas.codec import Codec, DecodeError, RegistryUnavailable
from schemas.topics import ALERTS, CORRECTIONS, DETECTED

_log = logging.getLogger(__name__)

LASTS = "1 hour"
"""Longer than an open sighting's window, its lateness and a restart of dedup together."""


def bury(log: Log, topic: str, keys: Mapping[int, Sequence[bytes]]) -> bool:
    """Erase keys of a compacted topic: tombstones, and what they erase at once where the log can.

    False where it stays until Kafka compacts it.
    """
    gone = True
    for partition, some in keys.items():
        if some:
            log.append(topic, partition, [Append(key, None) for key in some])
            gone = log.compact(topic, partition, some) and gone
    return gone


Ends = Mapping[str, Mapping[str, int]]
"""Where topics end, by partition."""


def ends(log: Log) -> Ends:
    """Where the topics end that may say more of a sighting."""
    return {
        topic: {str(p): log.end(topic, p) for p in range(log.partitions(topic))}
        for topic in (DETECTED.name, ALERTS.name, CORRECTIONS.name)
    }


def watch_over(url: str, sightings: Mapping[int, Collection[str]], positions: Ends) -> None:
    """Have ``alpr keep`` see to it that nothing comes back of sightings, by partition.

    ``positions`` are the ends of before they were looked for. Raises ViewUnavailable.
    """
    if not any(sightings.values()):
        return
    following = Following(url, "forgetting")
    try:
        with following.transaction() as cursor:
            cursor.execute(
                "INSERT INTO forgetting VALUES (%s, %s, %s, now() + %s::interval)",
                (
                    str(uuid.uuid4()),
                    orjson.dumps({str(p): sorted(ids) for p, ids in sightings.items()}).decode(),
                    orjson.dumps(positions).decode(),
                    LASTS,
                ),
            )
    finally:
        following.close()


class Forgetting:
    """The chore that watches over what was forgotten. See Keeper for what is raised."""

    name = "forgetting"

    def __init__(self, url: str, log: Log, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._following = Following(url, self.name)
        self._told = ""

    def step(self) -> bool:
        """Look through what is new since the last look; nothing that waiting would not bring."""
        with self._following.transaction() as cursor:
            cursor.execute("DELETE FROM forgetting WHERE until < now()")
            cursor.execute("SELECT asked, sightings, positions FROM forgetting FOR UPDATE")
            for asked, sightings, positions in cursor.fetchall():
                try:
                    until = ends(self._log)
                    self._erase(sightings, positions, until)
                except (LogError, RegistryUnavailable) as error:
                    self._say(f"what was said since of the forgotten waits: {error}")
                    return False
                cursor.execute(
                    "UPDATE forgetting SET positions = %s WHERE asked = %s",
                    (orjson.dumps(until).decode(), asked),
                )
        return False

    def close(self) -> None:
        """Release the connection."""
        self._following.close()

    def _say(self, trouble: str) -> None:
        """Once for each trouble, not at every look."""
        if trouble != self._told:
            _log.warning("%s", trouble)
            self._told = trouble

    def _erase(self, sightings: Any, positions: Ends, until: Ends) -> None:
        known = {event_id for ids in sightings.values() for event_id in ids}
        for topic in until:
            keys: dict[int, list[bytes]] = defaultdict(list)
            for partition, end in until[topic].items():
                start = positions.get(topic, {}).get(partition, end)
                for entry in span(self._log, topic, int(partition), start, end):
                    if entry.value is not None and self._about(topic, entry) & known:
                        keys[int(partition)].append(entry.key or b"")
            bury(self._log, topic, {p: sorted(set(some)) for p, some in keys.items()})

    def _about(self, topic: str, entry: Any) -> set[str]:
        """The sightings that a record says something of that could tell who it was."""
        if topic != ALERTS.name:
            return {(entry.key or b"").partition(b"/")[0].decode(errors="replace")}
        try:
            alert = self._codec.decode(entry.value)[1]
        except DecodeError:
            return set()
        return {alert["event_id"], *alert["event_ids"]} if alert["plate"] else set()
