"""Watchlists: the plates that rules ask for; for programs, spreadsheets and people."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from api import bodies, models, parameters
from api import watch_models as shapes
from api.alert_view import named, told
from api.encode import Json
from api.errors import BadInput, NotFound, wants_page
from api.events import known_parameters
from api.pages import MAX_PAGE, Page, Pages
from api.view import instant
from api.voice import actor
from api.watching import Watching
from projections import veil
from projections.queries import Row
from rules.alerts.watch_csv import CsvError, read, write
from rules.alerts.watch_entry import KINDS, MATCHES, EntryError, entry, plate_of
from rules.pseudonym import pseudonym_of
from schemas.records import WatchlistEntry

PER_PAGE = 100  # so that MAX_PAGE of them reach 100,000 entries
MAX_IMPORT = 32 << 20  # bytes: 100,000 entries with long reasons
_MOST = 250_000  # entries of one import; they are all in memory at once
_BODY = 16_384
_EXPORTED = 5_000  # read at once
_PREVIEWED = 10
_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

ListName = Annotated[str, Path(max_length=100, examples=["stolen"])]
EntryPlate = Annotated[
    str, Path(max_length=parameters.MAX_TEXT, description="* and ? for a wildcard")
]
Wanted = Annotated[str | None, Query(max_length=100, description="in plate, reason, owner or tags")]
_KNOWN: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("kind", "match", "reason", "owner", "valid_from", "valid_to"), str),
    "tags": list,
}


def router(watching: Watching, pages: Pages) -> APIRouter:
    """Everything under ``/watchlists``."""
    routes = APIRouter(tags=["watchlists"])
    queries = watching.queries

    @routes.get(
        "/watchlists", response_model=None, responses={200: {"model": shapes.ListsResponse}}
    )
    def lists(request: Request) -> Response:
        """Every watchlist with its number of entries, by kind."""
        rows = queries.lists()
        if wants_page(request):
            shown = [
                {
                    **row,
                    "url": named("/watchlists", row["watchlist"]),
                    "at": told(row["changed_at"]),
                }
                for row in rows
            ]
            return pages.page("watchlists.html", lists=shown, kinds=KINDS, matches=MATCHES)
        return Json({"count": len(rows), "watchlists": rows})

    @routes.get(
        "/watchlists/{watchlist}.csv",
        response_model=None,
        responses={
            200: {"content": {"text/csv": {}}},
            404: {"model": models.Problem, "description": "There is no such list"},
        },
    )
    def export(watchlist: ListName) -> Response:
        """All entries of a list as CSV, as the import reads them back.

        What a spreadsheet would take for a formula has an apostrophe before it.
        """
        name = parameters.text("watchlist", watchlist) or ""
        first = _found(watching, name)
        lines = write(map(_record, _all(watching, name, first)))
        file = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)
        headers = {"content-disposition": f'attachment; filename="{file}.csv"'}
        return StreamingResponse(_joined(lines), media_type="text/csv", headers=headers)

    @routes.get(
        "/watchlists/{watchlist}",
        response_model=None,
        responses={200: {"model": shapes.EntriesResponse}},
    )
    def entries(
        *,
        request: Request,
        watchlist: ListName,
        q: Wanted = None,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        page: Page = 1,
    ) -> Response:
        """Entries of a list by plate; browsers get a page of it."""
        parameters.refuse_unknown(request, known)
        name, wanted = parameters.text("watchlist", watchlist) or "", parameters.text("q", q)
        if wants_page(request):
            return _page(watching, pages, name, wanted, page)
        found = queries.watchlist(name, q=wanted, limit=limit, offset=offset)
        return Json(
            {
                "watchlist": name,
                "total": found.total,
                "count": len(found.rows),
                "limit": limit,
                "offset": offset,
                "entries": found.rows,
            }
        )

    known = known_parameters(entries)

    @routes.put(
        "/watchlists/{watchlist}/{plate:path}",
        response_model=None,
        responses={200: {"model": shapes.EntryResponse}, 422: {"model": models.Problem}},
        openapi_extra=bodies.described(shapes.EntryBody),
    )
    async def put(request: Request, watchlist: ListName, plate: EntryPlate) -> Response:
        """Put a plate on a list, or change what the list says of it; in force within a second."""
        body = bodies.take(await bodies.json_object(request, _BODY), _KNOWN)
        if not all(isinstance(tag, str) for tag in body.get("tags", [])):
            raise BadInput('tags are texts: send a list such as ["blue"]')
        try:
            meant = await run_in_threadpool(_meant, watching, watchlist, plate)
            made = entry(watchlist, meant, actor=actor(), at=watching.voice.clock(), **body)
            _refuse_guessing([made])
        except EntryError as error:
            raise _wrong(error) from None
        await run_in_threadpool(watching.voice.watch, [made])
        return Json(_told(made))

    @routes.delete(
        "/watchlists/{watchlist}/{plate:path}",
        response_model=None,
        responses={200: {"model": shapes.EntryResponse}, 404: {"model": models.Problem}},
    )
    def remove(watchlist: ListName, plate: EntryPlate) -> Response:
        """Take a plate off a list; what was decided by it stays decided."""
        name = parameters.text("watchlist", watchlist) or ""
        meant = _meant(watching, name, plate)
        text = plate_of(meant, "wildcard" if set(meant) & set("*?") else "exact")
        with veil.lifted():  # it goes back to the log
            row = watching.wait_for(lambda: queries.entry(name, text))
        if row is None:
            raise NotFound(f"{plate} is not on the list {name}: GET /watchlists shows the lists")
        made: WatchlistEntry = {
            **_record(row),
            "removed": True,
            "effective_from": watching.voice.clock(),
            "actor": actor(),
        }
        watching.voice.watch([made])
        return Json(_told(made))

    @routes.post(
        "/watchlists/{watchlist}/import",
        response_model=None,
        responses={200: {"model": shapes.ImportResponse}, 422: {"model": models.Problem}},
        openapi_extra=bodies.described_as("string", "text/csv"),
    )
    async def load(
        request: Request,
        watchlist: ListName,
        dry_run: Annotated[bool, Query(description="Only say what would be written")] = False,
    ) -> Response:
        """Put the entries of a CSV file on a list: all of them, or none where any is wrong.

        Columns: plate, kind, match, reason, owner, valid_from, valid_to, tags (parted by
        semicolons); only plate is needed. What the file does not name stays as it is.
        """
        content = await bodies.read(request, MAX_IMPORT)
        return await run_in_threadpool(_load, watching, watchlist, content, dry_run)

    return routes


def _meant(watching: Watching, watchlist: str, typed: str) -> str:
    """The plate that was typed, or that a pseudonym stands for, on this list or in the view.

    Raises NotFound.
    """
    pseudonym = pseudonym_of(typed)
    if pseudonym is None:
        return typed
    if (name := veil.veil()) is not None:
        with veil.lifted():
            for row in _all(watching, watchlist, _first(watching, watchlist)):
                if name(row["plate"]) == pseudonym:
                    return row["plate"]
    if found := watching.queries.named(pseudonym):
        return found[0]
    raise NotFound(f"no plate has the pseudonym {pseudonym}: it is in no view, and on no list here")


def _load(watching: Watching, watchlist: str, content: bytes, dry_run: bool) -> Response:
    try:
        made = read(
            content, actor=actor(), at=watching.voice.clock(), watchlist=watchlist, most=_MOST
        )
    except CsvError as error:
        problems = [problem._asdict() for problem in error.problems]
        raise BadInput(str(error), problems) from None
    others = {one["watchlist"] for one in made} - {watchlist.strip()}
    if others:
        raise BadInput(
            f"the file holds entries of {', '.join(sorted(others))} too: import them there, or "
            "take the column watchlist out"
        )
    _refuse_guessing(made)
    if not dry_run:
        watching.voice.watch(made)
    return Json(
        {
            "watchlist": watchlist.strip(),
            "entries": len(made),
            "dry_run": dry_run,
            "first": [_shown(one) for one in made[:_PREVIEWED]],
        }
    )


def _refuse_guessing(made: Iterable[WatchlistEntry]) -> None:
    """Raise Veiled for entries that mean more than a whole plate: whose sightings they are found
    by, on lists and in alerts, would tell a plate letter by letter.
    """
    if any(one["match"] != "exact" for one in made):
        veil.refuse_guessing("*")


def _page(watching: Watching, pages: Pages, name: str, q: str | None, page: int) -> Response:
    found = watching.queries.watchlist(name, q=q, limit=PER_PAGE, offset=(page - 1) * PER_PAGE)
    now = watching.voice.clock()
    return pages.page(
        "watchlist.html",
        name=name,
        url=named("/watchlists", name),
        wanted=q,
        entries=[_row(row, now) for row in found.rows],
        total=found.total,
        page=page,
        more=found.total > page * PER_PAGE and page < MAX_PAGE,
        kinds=KINDS,
        matches=MATCHES,
    )


def _row(row: Row, now: int) -> dict[str, Any]:
    at = instant(now)
    over = row["valid_to"] is not None and row["valid_to"] <= at
    early = row["valid_from"] is not None and row["valid_from"] > at
    return {
        **row,
        "begins": told(row["valid_from"]),
        "ends": told(row["valid_to"]),
        # One that is given without a time of day is included, and ends with the next midnight.
        "last": told(row["valid_to"] and row["valid_to"] - _US),
        "changed": told(row["appended_at"]),
        "validity": "over" if over else "not yet" if early else "",
    }


def _first(watching: Watching, name: str) -> list[Row]:
    return watching.queries.watchlist(name, limit=_EXPORTED).rows


def _found(watching: Watching, name: str) -> list[Row]:
    first = _first(watching, name)
    if not first:
        raise NotFound(f"there is no list {name!r}, or nothing is on it: GET /watchlists shows all")
    return first


def _all(watching: Watching, name: str, first: list[Row]) -> Iterator[Row]:
    rows, offset = first, 0
    while rows:
        yield from rows
        if len(rows) < _EXPORTED:
            return
        offset += len(rows)
        rows = watching.queries.watchlist(name, limit=_EXPORTED, offset=offset).rows


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """In pieces of some kilobytes: each piece crosses from a thread to the loop."""
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == 500:
            yield "".join(piece)
            piece = []
    yield "".join(piece)


def _record(row: Row) -> WatchlistEntry:
    def us(at: datetime | None) -> int | None:
        return None if at is None else (at - _EPOCH) // _US

    return {
        "watchlist": row["watchlist"],
        "plate": row["plate"],
        "kind": row["kind"],
        "match": row["match"],
        "effective_from": us(row["effective_from"]) or 0,
        "valid_from": us(row["valid_from"]),
        "valid_to": us(row["valid_to"]),
        "owner": row["owner"],
        "reason": row["reason"],
        "tags": list(row["tags"]),
        "removed": False,
        "actor": row["actor"],
    }


def _shown(made: WatchlistEntry) -> Row:
    """A record as the view would show it, ``removed`` besides."""
    row: Row = dict(made)
    for name in ("effective_from", "valid_from", "valid_to"):
        row[name] = None if row[name] is None else instant(row[name])
    return row


def _told(made: WatchlistEntry) -> Row:
    """The same for the one who asks."""
    return veil.told([_shown(made)])[0]


def _wrong(error: EntryError) -> BadInput:
    problems = [{"field": field, "message": message} for field, message in error.problems]
    return BadInput(str(error), problems)
