"""Writes the documents of a batch to OpenSearch; the same batch again changes nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import orjson
from opensearchpy.exceptions import TransportError

from projections.errors import AccessRefused, ViewUnavailable
from projections.search_documents import ERASED, DocumentError, document, identity, tombstone
from projections.search_server import SearchServer
from projections.view import Change, Refused
from schemas.records import PlateEvent

_BYTES = 4 << 20  # of a request: far below the server's http.max_content_length of 100 MB
_DELAYS_S = (0.05, 0.2, 0.8)  # before what a busy server did not take is offered again
_ANSWERS = {
    "filter_path": "items.index.status,items.index.error.type,items.index.error.reason",
}
# Of status 400 and yet not the document's fault.
_HELD = ("index_closed_exception",)

Sleep = Callable[[float], None]


class _Version(NamedTuple):
    """One revision of one document; ``place`` is its change's in the batch."""

    revision: int
    place: int
    event_id: str
    body: bytes


class _Action(NamedTuple):
    """A version as a request has it."""

    version: _Version
    data: bytes


def write(
    server: SearchServer,
    index: str,
    changes: Sequence[Change],
    sleep: Sleep = time.sleep,
    since: int | None = None,
) -> list[Refused]:
    """Write changes to an index; those that no document can hold are returned.

    Sightings captured before ``since`` (microseconds) are left out: they are no longer kept.

    Of a sighting the highest revision stays, however often and in which order they come: its
    revision is the document's version (``version_type=external``). An erased one leaves a
    tombstone of the highest version. Raises ViewUnavailable when the server does not take all
    for a while: what it took stays, and does no harm when it is written again. AccessRefused.
    """
    versions, refused = _versions(changes, since)
    while versions:
        newest = [of_one[-1] for of_one in versions.values()]
        reasons = _put(server, index, newest, sleep)
        refused += [Refused(version.place, why) for version, why in reasons.items()]
        # Where the highest is refused the next below it counts, as it would in two batches.
        again = {version.event_id for version in reasons}
        versions = {
            event_id: of_one[:-1]
            for event_id, of_one in versions.items()
            if event_id in again and len(of_one) > 1
        }
    return sorted(refused, key=lambda one: one.index)


def _versions(
    changes: Sequence[Change], since: int | None
) -> tuple[dict[str, list[_Version]], list[Refused]]:
    """Of each sighting its versions, the one to stay last; and what can be no document."""
    found: dict[str, list[_Version]] = {}
    refused: list[Refused] = []
    for place, change in enumerate(changes):
        try:
            if isinstance(change, tuple):
                event_id = identity(change[1])
                version = _Version(ERASED, place, event_id, tombstone(event_id))
            elif "event_id" in change:
                event = cast("PlateEvent", change)
                if since is not None and event["captured_at"] < since:
                    continue
                event_id = identity(event["event_id"])
                version = _Version(event["revision"], place, event_id, document(event))
            else:
                continue  # Progress, CameraState
            found.setdefault(event_id, []).append(version)
        except DocumentError as error:
            refused.append(Refused(place, str(error)))
    for of_one in found.values():
        of_one.sort(key=lambda version: (version.revision, -version.place))
    return found, refused


def _put(
    server: SearchServer, index: str, versions: Sequence[_Version], sleep: Sleep
) -> dict[_Version, str]:
    """Offer versions until all are taken, stand in the way of none, or are refused: why."""
    waiting = [_Action(version, _line(index, version)) for version in versions]
    refused: dict[_Version, str] = {}
    for delay in (*_DELAYS_S, None):
        again: list[_Action] = []
        reason = ""
        for action, answer in _answers(server, waiting):
            verdict, told = _verdict(answer)
            if verdict == "refused":
                refused[action.version] = told
            elif verdict == "again":
                again.append(action)
                reason = told
        if not again:
            break
        if delay is None:
            raise ViewUnavailable(
                f"{server.place} does not take {len(again)} of {len(waiting)} documents: {reason}"
            )
        sleep(delay)
        waiting = again
    return refused


def _answers(
    server: SearchServer, actions: Sequence[_Action]
) -> Iterator[tuple[_Action, dict[str, Any]]]:
    """Each action with the server's answer, in requests of a bounded size."""
    chunk: list[_Action] = []
    size = 0
    for action in actions:
        if chunk and size + len(action.data) > _BYTES:
            yield from _bulk(server, chunk)
            chunk, size = [], 0
        chunk.append(action)
        size += len(action.data)
    if chunk:
        yield from _bulk(server, chunk)


def _bulk(
    server: SearchServer, actions: Sequence[_Action]
) -> Iterator[tuple[_Action, dict[str, Any]]]:
    try:
        answer = server.ask("POST", "/_bulk", b"".join(a.data for a in actions), _ANSWERS)
    except TransportError as error:
        if error.status_code != 413:
            raise
        # A proxy before the server takes less than the server would.
        if len(actions) == 1:
            yield actions[0], {"status": 400, "error": {"type": "too large", "reason": str(error)}}
            return
        half = len(actions) // 2
        yield from _bulk(server, actions[:half])
        yield from _bulk(server, actions[half:])
        return
    for action, item in zip(actions, answer["items"], strict=True):
        yield action, item["index"]


def _verdict(answer: dict[str, Any]) -> tuple[str, str]:
    """``written``, ``refused`` (the document's fault) or ``again``, and the server's reason."""
    status, error = answer["status"], answer.get("error", {})
    kind, reason = error.get("type", ""), error.get("reason", "")
    if status < 300 or kind == "version_conflict_engine_exception":
        return "written", ""
    if status == 400 and kind not in _HELD:
        return "refused", f"{kind}: {reason}"
    if status in (401, 403) and kind == "security_exception":
        raise AccessRefused(f"OpenSearch does not let the user of ALPR_SEARCH_URL write: {reason}")
    return "again", f"{status} {kind}: {reason}"


def _line(index: str, version: _Version) -> bytes:
    action = {
        "index": {
            "_index": index,
            "_id": version.event_id,
            "version": version.revision,
            "version_type": "external",
        }
    }
    return b"%b\n%b\n" % (orjson.dumps(action), version.body)
