"""The indices of the view in OpenSearch, and how far each has been read.

Each generation of the view is one index, ``alpr-events-000001``, ``-000002`` …; the alias
``alpr-events`` shows the sightings of the live one. An index of one shard holds its own positions,
so that whatever becomes of it (restored, deleted) becomes of both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opensearchpy.exceptions import ConflictError, NotFoundError, RequestError

from projections.errors import ViewMismatch, ViewUnavailable
from projections.search_documents import MAPPING, VERSION
from projections.search_server import SearchServer

ALIAS = "alpr-events"
PATTERN = f"{ALIAS}-*"
_ALL = {"expand_wildcards": "all"}
_SIGHTINGS = {"exists": {"field": "event_id"}}
_MOST_PARTITIONS = 1024
_NUMBERED = re.compile(rf"{ALIAS}-(\d{{6}})")


class PositionMoved(Exception):
    """The position is not as it was read; within these modules."""


class IndexGone(PositionMoved):
    """The index that held the position was removed."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One index of the view. ``log`` is None for an index that nobody here made.

    ``start`` is what a rebuild that takes over older sightings was asked for, in microseconds.
    """

    name: str
    number: int
    log: str | None
    version: int | None
    live: bool
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is read into an index, and what its writer has to mind.

    ``also`` names a generation that is to get every document too; ``moved_to`` the one that has
    taken this one's place. ``place`` is what a compare-and-set compares, None: not stored yet.
    """

    index: str
    partition: int
    next_offset: int = 0
    watermark: int | None = None
    also: str | None = None
    moved_to: str | None = None
    place: tuple[int, int] | None = None


def put_template(server: SearchServer) -> None:
    """Say what every index of the view is like, also one that is made by accident."""
    body = {
        "index_patterns": [PATTERN],
        "priority": 100,
        "template": {
            "settings": {
                # One shard, or its positions could be newer than its documents in a snapshot.
                # A replica as soon as there is a second node: one node alone is not yellow.
                "index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
            },
            "mappings": MAPPING,
        },
    }
    server.ask("PUT", f"/_index_template/{ALIAS}", body)


def generations(server: SearchServer) -> list[Generation]:
    """Every index of the view, oldest first."""
    wanted = {**_ALL, "filter_path": "*.aliases,*.mappings._meta"}
    found: list[Generation] = []
    for name, told in server.ask("GET", f"/{PATTERN}", params=wanted).items():
        numbered = _NUMBERED.fullmatch(name)
        if numbered:
            meta = told.get("mappings", {}).get("_meta", {})
            live = ALIAS in told.get("aliases", {})
            told_of = {key: meta.get(key) for key in ("log", "version", "start")}
            found.append(Generation(name, int(numbered[1]), live=live, **told_of))
    return sorted(found, key=lambda generation: generation.number)


def live_generation(server: SearchServer) -> Generation | None:
    """The generation that the alias shows."""
    return next((g for g in reversed(generations(server)) if g.live), None)


def create(
    server: SearchServer, number: int, log_uuid: str, *, live: bool, start: int | None = None
) -> str:
    """Make a generation and name it; where it is there already, it stays as it is.

    One that is not live is hidden from patterns such as ``alpr-events-*``. Raises ViewMismatch
    where a live one cannot be shown, see ``check_alias``.
    """
    name = f"{ALIAS}-{number:06d}"
    if live:
        check_alias(server)
    body = {
        "mappings": {"_meta": {"version": VERSION, "log": log_uuid, "start": start}},
        "settings": {"index": {"hidden": not live}},
        "aliases": {ALIAS: {"filter": _SIGHTINGS}} if live else {},
    }
    try:
        server.ask("PUT", f"/{name}", body)
    except RequestError as error:
        check_alias(server)  # an index of its name may have come meanwhile
        if error.error != "resource_already_exists_exception":
            raise
    return name


def show(server: SearchServer, name: str) -> None:
    """Make one generation the live one, for every reader at once.

    Raises ViewMismatch where readers would not see it alone, see ``check_alias``.
    """
    check_alias(server)
    shown = [g.name for g in generations(server) if g.live and g.name != name]
    actions: list[dict[str, Any]] = [
        {"remove": {"index": other, "alias": ALIAS}} for other in shown
    ]
    actions.append({"add": {"index": name, "alias": ALIAS, "filter": _SIGHTINGS}})
    server.ask("POST", "/_aliases", {"actions": actions})
    for other in shown:
        _hide(server, other, True)
    _hide(server, name, False)


def delete(server: SearchServer, name: str) -> None:
    """Remove an index with all that it holds."""
    try:
        server.ask("DELETE", f"/{name}")
    except NotFoundError:
        return


def refresh(server: SearchServer, name: str) -> None:
    """Make all that was acknowledged visible to searches."""
    server.ask("POST", f"/{name}/_refresh")


def count(server: SearchServer, name: str) -> int:
    """How many sightings an index holds."""
    refresh(server, name)
    return server.ask("POST", f"/{name}/_count", {"query": _SIGHTINGS})["count"]


def check_alias(server: SearchServer) -> None:
    """Raise ViewMismatch where the alias's name is an index's, or it shows what is not ours."""
    try:
        shown = server.ask("GET", f"/{ALIAS}", params={**_ALL, "filter_path": "*.aliases"})
    except NotFoundError:
        return
    if ALIAS in shown:
        raise ViewMismatch(
            f"{server.place} has an index of the name {ALIAS}, which has to be the view's alias: "
            f"stop what writes to it, see whether it holds anything to keep, and delete it "
            f"(DELETE /{ALIAS})"
        )
    foreign = [name for name in sorted(shown) if not _NUMBERED.fullmatch(name)]
    if foreign:
        raise ViewMismatch(
            f"the alias {ALIAS} in {server.place} also shows {', '.join(foreign)}, which the view "
            f"did not make, and readers would take both for sightings: take it out of the alias "
            f"(DELETE /{foreign[0]}/_alias/{ALIAS})"
        )


def check_owner(server: SearchServer, generation: Generation, log_uuid: str) -> None:
    """Raise ViewMismatch unless the generation is this log's and of this version."""
    if generation.log != log_uuid:
        raise ViewMismatch(
            f"{generation.name} in {server.place} was made from log {generation.log}, this is log "
            f"{log_uuid}: point to the right log or server, or rebuild it with "
            "`alpr replay --view opensearch`"
        )
    if generation.version != VERSION:
        raise ViewMismatch(
            f"{generation.name} in {server.place} has version {generation.version}, this program "
            f"writes {VERSION}: run the program of that version, or rebuild it with "
            "`alpr replay --view opensearch`"
        )


def position(server: SearchServer, index: str, partition: int) -> Position:
    """How far a partition is read, as it is now; ``place`` is None where it never was."""
    try:
        found = server.ask("GET", f"/{index}/_doc/{_id(partition)}")
    except NotFoundError:
        return Position(index, partition)
    return _position(index, found)


def positions(server: SearchServer, index: str, pit: str | None = None) -> dict[int, Position]:
    """All that are stored, in an index or in a point in time of it."""
    body: dict[str, Any] = {
        "size": _MOST_PARTITIONS,
        "query": {"exists": {"field": "position.partition"}},
        "seq_no_primary_term": True,
    }
    if pit is None:
        refresh(server, index)
        answer = server.ask("POST", f"/{index}/_search", body)
    else:
        answer = server.ask("POST", "/_search", body | {"pit": {"id": pit}})
    found = (_position(index, hit) for hit in answer["hits"]["hits"])
    return {at.partition: at for at in found}


def store(server: SearchServer, at: Position) -> Position:
    """Store a position over the one it was made from; what is stored now.

    Raises PositionMoved where another was stored since, IndexGone where the index was removed.
    """
    if at.place is None:
        params: dict[str, Any] = {"op_type": "create"}
    else:
        params = {"if_seq_no": at.place[0], "if_primary_term": at.place[1]}
    body = {
        "position": {
            "partition": at.partition,
            "next_offset": at.next_offset,
            "watermark": at.watermark,
            "also": at.also,
            "moved_to": at.moved_to,
        }
    }
    try:
        answer = server.ask("PUT", f"/{at.index}/_doc/{_id(at.partition)}", body, params)
    except ConflictError as error:
        raise PositionMoved from error
    except NotFoundError as error:
        raise IndexGone from error
    return _placed(at, answer)


def change(
    server: SearchServer, index: str, partition: int, to: Callable[[Position], Position]
) -> Position:
    """Store what ``to`` makes of the position as it stands, however often it moves meanwhile.

    Raises ViewUnavailable where the index was removed.
    """
    while True:
        at = position(server, index, partition)
        wanted = to(at)
        if wanted == at and at.place is not None:
            return at
        try:
            return store(server, wanted)
        except IndexGone as gone:
            raise ViewUnavailable(
                f"{server.place}: {index} was removed meanwhile: do it again"
            ) from gone
        except PositionMoved:
            continue


def _id(partition: int) -> str:
    return f"position-{partition:04d}"


def _position(index: str, hit: Mapping[str, Any]) -> Position:
    told = hit["_source"]["position"]
    place = (hit["_seq_no"], hit["_primary_term"])
    return Position(index, **{name: told[name] for name in _STORED}, place=place)


_STORED = ("partition", "next_offset", "watermark", "also", "moved_to")


def _placed(at: Position, answer: Mapping[str, Any]) -> Position:
    place = (answer["_seq_no"], answer["_primary_term"])
    return replace(at, place=place)


def _hide(server: SearchServer, name: str, hidden: bool) -> None:
    server.ask("PUT", f"/{name}/_settings", {"index": {"hidden": hidden}})
