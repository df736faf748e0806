"""Sightings into OpenSearch, against opensearch-py's ``helpers.bulk`` of ready documents.

    python -m benchmarks.search [--documents 10000] [--batch 500] [--rounds 3] [--url URL]
    python -m benchmarks.search --sightings 1000000 [--questions 300] [--database URL]

The second asks PostgreSQL: benchmarks/finding.py.

One event a sighting, so that every one is a document written once. The view's writer makes the
documents from decoded records, compares revisions and keeps its position; the reference sends
documents that lie ready to an index of the same mapping. Both write to a new index each round,
in turns. One JSON line a measurement, the median of the rounds.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from opensearchpy import OpenSearch, helpers

from benchmarks.finding import tell
from benchmarks.projection import LOG, server, stream
from projections.search_documents import MAPPING, document
from projections.search_index import delete, generations
from projections.search_server import SearchServer
from projections.search_view import SearchView
from schemas.records import PlateEvent

READY = "bench-ready"


def applied(url: str, events: list[PlateEvent], batch: int) -> float:
    """Seconds for the view's writer, decoded records to documents and position."""
    with closing(SearchView(url, LOG)) as view:
        started = time.perf_counter()
        for start in range(0, len(events), batch):
            part = events[start : start + batch]
            if view.apply(0, start, part, start + len(part)):
                raise SystemExit("a sighting was refused")
        return time.perf_counter() - started


def sent(url: str, documents: list[dict[str, Any]], batch: int) -> float:
    """Seconds for the bare client."""
    client = OpenSearch(url, timeout=60)
    settings = {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}}
    client.indices.create(READY, body={"mappings": MAPPING, "settings": settings})
    actions = ({"_id": one["event_id"], "_source": one} for one in documents)
    started = time.perf_counter()
    helpers.bulk(client, actions, index=READY, chunk_size=batch)
    seconds = time.perf_counter() - started
    client.indices.delete(READY)
    client.close()
    return seconds


def clear(url: str) -> None:
    """Remove the view."""
    with closing(SearchServer(url)) as server:
        for generation in generations(server):
            delete(server, generation.name)


@contextmanager
def opensearch(url: str | None) -> Iterator[str]:
    """A given server without a view, or one that goes when the benchmark is over."""
    if url is not None:
        with closing(SearchServer(url)) as server:
            if generations(server):
                raise SystemExit(f"{server.place} holds a view: name a server without one")
        yield url
        return
    from tests.servers import OpenSearch as Server

    Server.check()
    with tempfile.TemporaryDirectory() as folder:
        running = Server(Path(folder))
        running.start()
        try:
            yield running.url
        finally:
            running.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500, help="as a flow reads them (500)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="a server without a view; one of its own unless given")
    parser.add_argument("--sightings", type=int, help="search so many in PostgreSQL instead")
    parser.add_argument("--questions", type=int, default=300, help="of each kind (300)")
    parser.add_argument("--database", help="an empty one, or one that this filled before")
    given = parser.parse_args()
    if given.sightings is not None:
        with server(given.database) as url:
            tell(url, given.sightings, given.questions)
        return
    events = [e for e in stream(given.documents, random.Random(1)) if e["status"] == "ended"]
    documents = [orjson.loads(document(event)) for event in events]
    view, bare = [], []
    with opensearch(given.url) as url:
        sent(url, documents[: len(documents) // 4], given.batch)  # the server warms up
        for _ in range(given.rounds):
            bare.append(len(events) / sent(url, documents, given.batch))
            view.append(len(events) / applied(url, events, given.batch))
            clear(url)
    for name, value, unit in (
        ("search.bulk", median(bare), "documents/s"),
        ("search.apply", median(view), "documents/s"),
        ("search.ratio", median(view) / median(bare), "apply/bulk"),
    ):
        print(json.dumps({"benchmark": name, "value": round(value, 3), "unit": unit}))


if __name__ == "__main__":
    main()
