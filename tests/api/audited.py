"""A log that keeps who looked at what, and what an API is given of it."""

from pathlib import Path
from typing import Any

from api.audit import Privacy, Writer
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog, wall_clock
from projections.audit_queries import AuditQueries
from rules.pseudonym import Pseudonyms
from schemas.codec import Codec
from schemas.records import AuditEntry
from schemas.topics import AUDIT

NAMES = Pseudonyms(b"k" * 32)


class Trail:
    """An embedded log of two partitions and its audit."""

    def __init__(self, folder: Path) -> None:
        self.log = SqliteLog(folder, 2)
        self.codec = Codec(SqliteRegistry(folder))
        self.codec.register()
        self._read = [0, 0]

    def privacy(self, **settings: Any) -> Privacy:
        """What an API is given: it writes to this log."""
        return Privacy(NAMES, Writer(lambda: (self.log, self.codec)), wall_clock, **settings)

    def news(self) -> list[AuditEntry]:
        """What was written since the last time, in order of time."""
        found: list[Any] = []
        for partition in range(2):
            entries = self.log.read(AUDIT.name, partition, self._read[partition], 10_000)
            found += [self.codec.decode(entry.value or b"")[1] for entry in entries]
            self._read[partition] = self.log.end(AUDIT.name, partition)
        return sorted(found, key=lambda entry: entry["at"])

    def one(self) -> AuditEntry:
        """The only entry since the last time."""
        (entry,) = self.news()
        return entry


class _Nowhere(Writer):
    async def write(self, entry: AuditEntry) -> None:
        """Keep nothing."""


def unwritten(url: str) -> Privacy:
    """What an API is given where no test looks at the audit."""

    def none() -> tuple[SqliteLog, Codec]:
        raise AssertionError("nothing is written")

    return Privacy(NAMES, _Nowhere(none), wall_clock, queries=AuditQueries(url))
