"""A log in memory and the records of a small eventful city on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventlog.log import Append, Entry, OffsetGone
from schemas.codec import Codec
from schemas.topics import RAW
from tests.rules.cities import city


class MemoryLog:
    """An ``eventlog.log.Log`` of one partition a topic, in lists."""

    uuid = "in-memory"

    def __init__(self, short_reads: int = 1 << 30) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self.dropped: dict[str, int] = {}
        self.marked: dict[tuple[str, str], dict[int, int]] = {}
        self._most = short_reads

    def partitions(self, topic: str) -> int:
        return 1

    def append(self, topic: str, partition: int, records: Sequence[Append]) -> range:
        found = self.entries.setdefault(topic, [])
        first = len(found)
        for offset, record in enumerate(records, first):
            at = record.appended_at or 0
            found.append(
                Entry(topic, partition, offset, at, record.key, record.value, record.headers)
            )
        return range(first, len(found))

    def send(self, topic: str, partition: int, records: Sequence[Append]) -> None:
        self.append(topic, partition, records)

    def flush(self) -> None:
        """Nothing is pending."""

    def mark(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        self.marked.setdefault((group, topic), {}).update(positions)

    def marks(self, group: str, topic: str) -> dict[int, int]:
        return self.marked.get((group, topic), {})

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Entry]:
        lowest = self.lowest(topic, partition)
        if offset < lowest:
            raise OffsetGone(topic, partition, offset, lowest)
        return self.entries.get(topic, [])[offset : offset + min(limit, self._most)]

    def reached(self, topic: str, partition: int, offset: int) -> int:
        return offset

    def wait(self, topic: str, positions: Mapping[int, int], timeout: float) -> bool:
        return any(self.end(topic, p) > offset for p, offset in positions.items())

    def lowest(self, topic: str, partition: int) -> int:
        return self.dropped.get(topic, 0)

    def end(self, topic: str, partition: int) -> int:
        return len(self.entries.get(topic, []))

    def since(self, topic: str, at: int) -> dict[int, int]:
        return {0: self.lowest(topic, 0)}

    def trim(self, topic: str, before: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to close."""


def raw_records(codec: Codec, seed: int, cameras: int = 4, hours: float = 0.25) -> list[Append]:
    """The raw records of a city, encoded; of the ticks only every tenth, to have less between."""
    return [
        Append(item.key, codec.encode(RAW.name, item.name, item.record), {}, item.appended_at)
        for item in city(seed, cameras, hours)
        if item.name != "Tick" or item.record["at"] // 1_000_000 % 10 == 0
    ]


def view_of(codec: Codec, entries: Sequence[Entry]) -> dict[str, Any]:
    """What a view shows of a topic: of each event the highest revision."""
    rows: dict[str, Any] = {}
    for entry in entries:
        assert entry.value is not None
        name, record = codec.decode(entry.value)
        key = record["event_id"] if name == "PlateEvent" else "progress"
        if key not in rows or rows[key]["revision"] <= record["revision"]:
            rows[key] = record
    return rows
