"""The audit to look at: who, when, what and why; for programs, spreadsheets and people."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response, StreamingResponse

from api import parameters, view
from api.audited import subjects_of
from api.encode import Json
from api.errors import BadInput, wants_page
from api.events import known_parameters
from api.pages import Pages
from projections import veil
from projections.audit_queries import AuditQueries, AuditSearch, Place
from projections.queries import Row
from rules.alerts.duration import microseconds
from rules.pseudonym import Pseudonyms

PER_PAGE = 50
_EXPORTED = 1_000  # read at once
_COLUMNS = ("at", "actor", "action", "subject", "reason", "found", "audit_id")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # to a spreadsheet (OWASP, CSV injection)
_KIND = re.compile(r"[a-z ]+")  # of a subject: `plate`, `dead letter`
_PSEUDONYM = re.compile(r"~[a-z2-7]{12}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_AGES = (("1d", "one day"), ("7d", "7 days"), ("30d", "30 days"), ("365d", "a year"))

Filter = Annotated[str | None, Query(max_length=200)]
PlateTyped = Annotated[
    str | None,
    Query(max_length=parameters.MAX_TEXT, description="A plate, a pattern or a pseudonym"),
]
Since = Annotated[str | None, Query(max_length=40, description="A time, or how long ago: 7d, 12h")]
Cursor = Annotated[
    str | None, Query(max_length=80, description="`next` of the page before, to go on")
]


class AuditEntryResponse(BaseModel):
    """Who looked at or did what. ``found`` are the pseudonyms of the plates that were shown."""

    audit_id: UUID
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    found: list[str]


class AuditResponse(BaseModel):
    """Entries, the latest first. ``next`` is the cursor of the page after, null on the last."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "count": 1,
                "entries": [
                    {
                        "audit_id": "6f1c2c52-0d4e-4c43-9d6a-2f7f3d0c1a9b",
                        "at": "2025-01-15T12:34:56.120000Z",
                        "actor": "user:anna",
                        "action": "search",
                        "subject": "plate:~k3ax7qpd2mzv",
                        "reason": "case 2025-17",
                        "found": ["~k3ax7qpd2mzv"],
                    }
                ],
                "plates": {"~k3ax7qpd2mzv": "34A36837"},
                "next": None,
            }
        }
    )

    count: int
    entries: list[AuditEntryResponse]
    plates: dict[str, str]
    next: str | None


def router(
    queries: AuditQueries, names: Pseudonyms, pages: Pages, clock: Callable[[], int]
) -> APIRouter:
    """``/audit``, ``/audit.csv``; ``clock`` gives microseconds UTC."""
    routes = APIRouter(tags=["audit"])

    def search_of(plate: str | None, actor: str | None, action: str | None, *times: Any) -> Any:
        typed = parameters.text("plate", plate and plate.strip())
        subjects = subjects_of(typed, names) if typed else []
        one = subjects and subjects[0].partition(":")
        return AuditSearch(
            actor=parameters.text("actor", actor),
            action=parameters.text("action", action),
            subjects=subjects,
            pseudonym=one[2] if one and one[0] == "plate" else None,
            since=_since(times[0], clock()),
            until=parameters.read_time("until", times[1]),
        )

    @routes.get("/audit", response_model=None, responses={200: {"model": AuditResponse}})
    def audit(
        *,
        request: Request,
        plate: PlateTyped = None,
        actor: Filter = None,
        action: Filter = None,
        since: Since = None,
        until: parameters.Time = None,
        limit: parameters.Limit = 100,
        cursor: Cursor = None,
    ) -> Response:
        """Who looked at or did what, the latest first; browsers get a page of it.

        `plate` finds who searched for it and to whom it was shown. Plates are told by their
        pseudonyms; `plates` says which of them they are, of those that are still in the view and
        only to who may see plates.
        """
        parameters.refuse_unknown(request, known)
        search, after = search_of(plate, actor, action, since, until), _place(cursor)
        size = PER_PAGE if wants_page(request) else limit
        rows = queries.entries(search, size + 1, after)
        more, rows = len(rows) > size, rows[:size]
        clear = {} if veil.veil() else queries.plates(_pseudonyms(rows))
        following = _told(rows[-1]) if more else None
        if not wants_page(request):
            told = {"count": len(rows), "entries": rows, "plates": clear, "next": following}
            return Json(told)
        given = {
            name: value or ""
            for name, value in (
                *(("plate", plate), ("actor", actor), ("action", action)),
                *(("since", since), ("until", until)),
            )
        }
        asked = {name: value for name, value in given.items() if value}
        return pages.page(
            "audit.html",
            entries=[_shown(row, clear) for row in rows],
            given=given,
            filtered=bool(asked),
            actors=queries.actors(),
            ages=_AGES,
            first=cursor is None,
            newest=f"/audit?{urlencode(asked)}" if asked else "/audit",
            older=f"/audit?{urlencode({**asked, 'cursor': following})}" if following else "",
            export=f"/audit.csv?{urlencode(asked)}" if asked else "/audit.csv",
        )

    known = known_parameters(audit)

    @routes.get("/audit.csv", response_model=None, responses={200: {"content": {"text/csv": {}}}})
    def export(
        *,
        request: Request,
        plate: PlateTyped = None,
        actor: Filter = None,
        action: Filter = None,
        since: Since = None,
        until: parameters.Time = None,
    ) -> Response:
        """The same as CSV, all of it; plates by their pseudonyms alone."""
        parameters.refuse_unknown(request, known)
        search = search_of(plate, actor, action, since, until)
        first = queries.entries(search, _EXPORTED)
        headers = {"content-disposition": 'attachment; filename="audit.csv"'}
        lines = _lines(lambda after: queries.entries(search, _EXPORTED, after), first)
        return StreamingResponse(lines, media_type="text/csv", headers=headers)

    return routes


def _lines(read: Callable[[Place], list[Row]], rows: list[Row]) -> Iterator[str]:
    yield ",".join(_COLUMNS) + "\r\n"
    while rows:
        buffer = StringIO(newline="")
        writer = csv.writer(buffer)
        for row in rows:
            told = {**row, "at": view.moment(row["at"], "").iso, "found": " ".join(row["found"])}
            values = [str(told[name]) for name in _COLUMNS]
            writer.writerow([f"'{v}" if _FORMULA.match(v) else v for v in values])
        yield buffer.getvalue()
        if len(rows) < _EXPORTED:
            return
        rows = read(Place(rows[-1]["at"], rows[-1]["audit_id"]))


def _shown(row: Row, clear: dict[str, str]) -> dict[str, Any]:
    """An entry for the page: its subject in parts, pseudonyms with the plates they stand for."""
    kind, colon, rest = row["subject"].partition(":")
    if not colon or not _KIND.fullmatch(kind):  # filters, in which a time has colons
        kind, rest = "", row["subject"]
    subject = {"kind": kind, "text": rest, "url": "", "plate": ""}
    if kind in ("plate", "near", "pattern") and _PSEUDONYM.fullmatch(rest):
        subject["plate"] = clear.get(rest, "")
        subject["url"] = "" if kind == "pattern" else f"/plates/{rest}"
    elif kind in ("sighting", "alert") and rest:
        subject["url"] = f"/{kind}s/{rest}"
    return {
        "at": view.moment(row["at"], ""),
        "actor": row["actor"],
        "action": row["action"],
        "subject": subject,
        "reason": row["reason"],
        "found": [(name, clear.get(name, "")) for name in row["found"]],
    }


def _pseudonyms(rows: Sequence[Row]) -> list[str]:
    found = {name for row in rows for name in row["found"]}
    return sorted(found.union(*(_PSEUDONYM.findall(row["subject"]) for row in rows)))


def _since(text: str | None, now: int) -> datetime | None:
    """A time, or how long ago. Raises BadInput."""
    if not text or not text.strip():
        return None
    try:
        return _EPOCH + (now - microseconds(text.strip())) * _US
    except (ValueError, OverflowError):
        return parameters.read_time("since", text.strip())


def _told(row: Row) -> str:
    """Where the page after this row begins."""
    return f"{(row['at'] - _EPOCH) // _US}.{row['audit_id']}"


def _place(cursor: str | None) -> Place | None:
    if not cursor:
        return None
    at, _, key = cursor.partition(".")
    try:
        return Place(_EPOCH + int(at) * _US, UUID(key))
    except (ValueError, OverflowError):
        raise BadInput(
            f"cursor={cursor!r} is none of this list: give `next` of the page before"
        ) from None
