"""Fills an index from the live one: what is erased for ever, and what is older than a time."""

from itertools import islice

from eventlog.log import Log
from projections.errors import ViewError
from projections.search_bulk import Sleep, write
from projections.search_contents import documents, point_in_time
from projections.search_documents import instant
from projections.search_index import refresh
from projections.search_server import SearchServer
from projections.takeover import MARGIN, first_offset
from schemas.topics import DETECTED

_BATCH = 2_000
_POLL_S = 0.2


def carry_erased(server: SearchServer, source: str, target: str) -> None:
    """What is erased stays erased, also where the log has forgotten that it was."""
    with point_in_time(server, source) as pit:
        erased = (("erase", found["erased"]) for found in documents(server, pit, "erased"))
        while some := list(islice(erased, _BATCH)):
            write(server, target, some)


def take_over(server: SearchServer, source: str, target: str, start: int, sleep: Sleep) -> None:
    """Copy the sightings captured before ``start`` (microseconds), with their revisions.

    The server does it by itself; again, it copies what is not there yet. Raises ViewError.
    """
    refresh(server, source)
    body = {
        "conflicts": "proceed",
        "source": {"index": source, "query": {"range": {"captured_at": {"lt": instant(start)}}}},
        "dest": {"index": target, "version_type": "external"},
    }
    task = server.ask("POST", "/_reindex", body, {"wait_for_completion": "false"})["task"]
    while not (told := server.ask("GET", f"/_tasks/{task}"))["completed"]:
        sleep(_POLL_S)
    failures = told.get("error") or told["response"]["failures"]
    if failures:
        raise ViewError(f"{source} could not be taken over into {target}: {str(failures)[:500]}")


def first_offsets(log: Log, live: dict[int, int], start: int) -> dict[int, int]:
    """By partition, where what is captured from ``start`` on can first be said.

    Not beyond ``live``, where the live view stands: what is taken over later is not older.
    """
    return {
        partition: min(
            first_offset(log, DETECTED.name, partition, start - MARGIN), live.get(partition, 0)
        )
        for partition in range(log.partitions(DETECTED.name))
    }
