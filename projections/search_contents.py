"""Reads everything that the view in OpenSearch holds, to compare it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import orjson
from opensearchpy.exceptions import NotFoundError

from projections.compare import HOUR, Hour, Shown
from projections.errors import ViewUnavailable
from projections.search_documents import microseconds
from projections.search_index import ALIAS, live_generation, positions, refresh
from projections.search_server import SearchServer

_PAGE = 2_000  # documents a request: some 2 MB
_KEEP = "5m"  # how long a point in time lives after each request
_SHOWN = ("event_id", "captured_at", "revision", "status", "plate_normalized_text")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def search_contents(url: str) -> Iterator[Shown]:
    """Every sighting that OpenSearch shows, by event_id; one point in time of the live view.

    Raises ViewUnavailable, also where there is no view.
    """
    server = SearchServer(url)
    try:
        with point_in_time(server, ALIAS) as pit:
            for found in documents(server, pit, sources=_SHOWN):
                captured = microseconds(found.pop("captured_at"))
                yield Shown(captured_at=captured, **found)
    except NotFoundError:
        raise ViewUnavailable(
            f"{server.place}: the index was replaced and removed while it was read: read it again"
        ) from None
    finally:
        server.close()


def search_positions(url: str) -> dict[int, int]:
    """The next offset of each partition that the live view has read.

    Raises ViewUnavailable, also where there is no view.
    """
    with closing(SearchServer(url)) as server:
        live = live_generation(server)
        if live is None:
            raise ViewUnavailable(f"{server.place} holds no {ALIAS}: nothing was indexed yet")
        return {p: at.next_offset for p, at in positions(server, live.name).items()}


@contextmanager
def point_in_time(server: SearchServer, name: str) -> Iterator[str]:
    """All that was acknowledged until now, to search as it is while writing goes on."""
    try:
        refresh(server, name)
        pit = server.ask("POST", f"/{name}/_search/point_in_time", params={"keep_alive": _KEEP})
    except NotFoundError:
        raise ViewUnavailable(f"{server.place} holds no {name}: nothing was indexed yet") from None
    try:
        yield pit["pit_id"]
    finally:
        server.ask("DELETE", "/_search/point_in_time", {"pit_id": [pit["pit_id"]]})


def documents(
    server: SearchServer,
    pit: str,
    field: str = "event_id",
    sources: tuple[str, ...] | None = None,
    hour: datetime | None = None,
) -> Iterator[dict[str, Any]]:
    """The documents that have ``field``, in its order; of one hour of captured_at if given."""
    conditions: list[dict[str, Any]] = [{"exists": {"field": field}}]
    if hour is not None:
        limits = {"gte": hour.isoformat(), "lt": f"{hour.isoformat()}||+1h"}
        conditions.append({"range": {"captured_at": limits}})
    body: dict[str, Any] = {
        "size": _PAGE,
        "query": {"bool": {"filter": conditions}},
        "sort": [{field: "asc"}],
        "pit": {"id": pit, "keep_alive": _KEEP},
        "track_total_hits": False,
    }
    if sources is not None:
        body["_source"] = list(sources)
    wanted = {"filter_path": "hits.hits._source,hits.hits.sort"}
    while hits := server.ask("POST", "/_search", body, wanted).get("hits", {}).get("hits"):
        for hit in hits:
            yield hit["_source"]
        body["search_after"] = hits[-1]["sort"]


def whole_hours(server: SearchServer, pit: str) -> dict[datetime, Hour]:
    """Number and checksum of each hour's documents; the checksum is over all that they say."""
    sums: dict[int, tuple[int, int]] = {}
    for found in documents(server, pit):
        number = microseconds(found["captured_at"]) // HOUR
        rows, checksum = sums.get(number, (0, 0))
        sums[number] = rows + 1, (checksum + mark(found)) % (1 << 64)
    return {_EPOCH + timedelta(hours=number): Hour(*told) for number, told in sums.items()}


def mark(found: dict[str, Any]) -> int:
    """A hash of a document, whatever the order of its fields; 64 bits."""
    raw = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")
