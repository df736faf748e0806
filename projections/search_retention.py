"""What the view in OpenSearch no longer keeps: from when on it holds sightings, and no older ones.

The boundary is a document of its index, so that whatever becomes of the index becomes of both.
"""

import time
from typing import Any

from opensearchpy.exceptions import NotFoundError

from projections.errors import ViewError
from projections.search_bulk import Sleep
from projections.search_documents import instant
from projections.search_index import refresh
from projections.search_server import SearchServer

_ID = "retained"
_POLL_S = 0.2


def boundary(server: SearchServer, index: str) -> int | None:
    """From when on (captured_at, microseconds) an index holds sightings; None: all are kept."""
    try:
        return server.ask("GET", f"/{index}/_doc/{_ID}")["_source"]["retained"]["from"]
    except NotFoundError:
        return None


def expire(server: SearchServer, index: str, before: int, sleep: Sleep = time.sleep) -> int:
    """Delete what was captured before ``before``, for good; the boundary, which never goes back.

    It is stored first, so that no writer that asks for it brings back what goes.
    """
    known = boundary(server, index)
    if known is not None and known >= before:
        before = known
    else:
        server.ask("PUT", f"/{index}/_doc/{_ID}", {"retained": {"from": before}})
    refresh(server, index)
    older = {"query": {"range": {"captured_at": {"lt": instant(before)}}}}
    asked: dict[str, Any] = {"conflicts": "proceed", "wait_for_completion": "false"}
    task = server.ask("POST", f"/{index}/_delete_by_query", older, asked)["task"]
    while not (told := server.ask("GET", f"/_tasks/{task}"))["completed"]:
        sleep(_POLL_S)
    failures = told.get("error") or told["response"]["failures"]
    if failures:
        raise ViewError(f"{index} keeps sightings that are too old: {str(failures)[:500]}")
    return before
