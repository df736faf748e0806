"""The accounts after the chaos: from the logs by id, and between the views."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import Any

from alpr.wiring import open_codec, open_log
from benchmarks.chaos_stack import Stack
from eventlog.log import Entry, Log
from eventlog.span import span
from projections.compare import by_hour, contents, differences
from projections.search_contents import search_contents
from rules.accounts import RawRead, account
from schemas.codec import Codec, DecodeError
from schemas.topics import DETECTED, DLQ, RAW, REJECTED

SHOWN = 10  # of what is wrong


def settle(stack: Stack) -> dict[str, Any]:
    """Every count; ``closed`` says whether all is as it must be."""
    settings = stack.settings()
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        books = _books(log, codec)
    live, found = contents(settings.database_url), search_contents(settings.search_url)
    here, there = by_hour(live), by_hour(found)
    apart = differences(here, there)
    rows = sum(hour.rows for hour in here.values())
    documents = sum(hour.rows for hour in there.values())
    replays = {view: _replay(stack, view) for view in ("timescale", "opensearch")}
    for hour in apart[:SHOWN]:
        print(f"PostgreSQL and OpenSearch differ: {hour}", file=sys.stderr)
    identical = not apart and all(replays.values())
    return {
        "closed": books.pop("closed") and identical,
        **books,
        "rows": rows,
        "documents": documents,
        "hours_apart": len(apart),
        "replays_identical": replays,
    }


def _books(log: Log, codec: Codec) -> dict[str, Any]:
    letters = [r for _, _, r in _decoded(log, codec, DLQ.name, "DeadLetter")]
    events = _Counted(r for _, _, r in _decoded(log, codec, DETECTED.name, "PlateEvent"))
    books = account(
        (
            RawRead(entry.partition, entry.offset, record)
            for entry, name, record in _decoded(log, codec, RAW.name, "PlateRead", None)
        ),
        events,
        (r for _, _, r in _decoded(log, codec, REJECTED.name, "ReadRejected")),
        letters,
    )
    for what in ("missing", "doubled"):
        for read_id in getattr(books, what)[:SHOWN]:
            print(f"{what}: {read_id}", file=sys.stderr)
    if books.difference:
        print(f"not balanced: {dict(list(books.difference.items())[:SHOWN])}", file=sys.stderr)
    return {
        "closed": books.closed,
        "reads": books.reads,
        "in_sightings": books.in_sightings,
        "rejected": books.rejected,
        "dead": books.dead,
        "open": books.open,
        "missing": len(books.missing),
        "doubled": len(books.doubled),
        "unbalanced": len(books.difference),
        "events": events.count,
        "dead_letters": dict(Counter(f"{x['step']}: {x['reason']}" for x in letters)),
    }


class _Counted:
    """Counts what is iterated over."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self.count += 1
            yield item


def _decoded(
    log: Log, codec: Codec, topic: str, *names: str | None
) -> Iterator[tuple[Entry, str | None, Any]]:
    """The records of those names on a topic, each with its name; None is what is no record."""
    for partition in range(log.partitions(topic)):
        for entry in span(log, topic, partition, 0, log.end(topic, partition)):
            name, record = None, None
            with suppress(DecodeError):
                name, record = codec.decode(entry.value or b"")
            if name in names:
                yield entry, name, record


def _replay(stack: Stack, view: str) -> bool:
    """Whether a rebuild of a view says that it is identical to the live one."""
    done = subprocess.run(
        [sys.executable, "-m", "alpr", "replay", "--view", view],
        env=stack.environ(),
        cwd=stack.home,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"replay --view {view}: {done.stdout.strip()} {done.stderr.strip()}", file=sys.stderr)
    return done.returncode == 0 and "identical" in done.stdout
