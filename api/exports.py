"""Sightings to take away: any search as CSV, JSON or lines, and the evidence of one as a ZIP."""

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from api import asked as asking
from api import models, parameters
from api.audit import reason
from api.encode import OPTIONS, dumps
from api.errors import NotFound
from api.visitor import visitor
from images.store import ImageError, ImageStore
from projections.queries import After, Row, Search, SightingQueries

PAGE = 1_000  # sightings asked for, and held, at once

_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
"""What a spreadsheet would take for a formula: OWASP, "CSV Injection"."""
_PARTS = ("x", "y", "width", "height")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    503: {"model": models.Problem, "description": "The database cannot be reached"}
}


class People(Protocol):
    """What is asked of projections.evidence.Evidence."""

    def corrections(self, event_id: str) -> list[Row]:
        """Every correction of a sighting."""
        ...


def router(
    queries: SightingQueries,
    images: ImageStore,
    people: People | None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """``/export/…`` and the evidence of a sighting; ``people`` tells of its corrections."""
    routes = APIRouter(tags=["export"])

    def answer(request: Request, form: Callable[..., Iterator[bytes]], kind: str) -> Response:
        wanted, retracted = asking.asked(request)
        parts = form(pages(queries, wanted, retracted, copy_context()))
        # An error is told while another answer is still possible.
        first = next(parts)
        suffix = {"text/csv": "csv", "application/json": "json"}.get(kind, "ndjson")
        return _download(_all(first, parts), kind, f"sightings-{clock():%Y%m%d-%H%M%S}.{suffix}")

    @routes.get(
        "/export/sightings.csv",
        response_model=None,
        responses={200: {"content": {"text/csv": {}}}, **_ANSWERS},
        openapi_extra=asking.described(),
    )
    def as_csv(request: Request) -> Response:
        """Every sighting of a search, latest capture first, as CSV."""
        return answer(request, csv_of, "text/csv")

    @routes.get(
        "/export/sightings.json",
        response_model=None,
        responses={200: {"content": {"application/json": {}}}, **_ANSWERS},
        openapi_extra=asking.described(),
    )
    def as_json(request: Request) -> Response:
        """Every sighting of a search as {"events": […], "count": …}."""
        return answer(request, json_of, "application/json")

    @routes.get(
        "/export/sightings.ndjson",
        response_model=None,
        responses={200: {"content": {"application/x-ndjson": {}}}, **_ANSWERS},
        openapi_extra=asking.described(),
    )
    def as_lines(request: Request) -> Response:
        """Every sighting of a search, a JSON object a line."""
        return answer(request, lines_of, "application/x-ndjson")

    @routes.get(
        "/sightings/{event_id}/evidence.zip",
        response_model=None,
        responses={
            200: {"content": {"application/zip": {}}},
            404: {"model": models.Problem, "description": "There is no such sighting"},
            **_ANSWERS,
        },
    )
    def evidence(event_id: parameters.EventId) -> Response:
        """One sighting with its evidence, what people said of it, its pictures, and a manifest."""
        key = str(parameters.read_id(event_id))
        row = queries.by_id(key)
        if row is None:
            raise NotFound(f"there is no sighting {key}: it was erased, or this id never existed")
        said = people.corrections(key) if people is not None else []
        about = {
            "sighting": key,
            "made_at": clock(),
            "made_by": {"actor": visitor().actor, "name": visitor().name},
            "reason": reason(),
        }
        parts = zipped(row, said, about, images)
        return _download(parts, "application/zip", f"sighting-{key}.zip")

    return routes


def pages(
    queries: SightingQueries, wanted: Search, retracted: bool, context: Context
) -> Iterator[Sequence[Row]]:
    """All that a search finds, page by page, each as it stands when it is asked.

    A page goes on behind the last sighting of the one before, by time of capture and id, which
    never change: none comes twice, and none that is there all the while is missed. ``context`` is
    the one in which it is asked what the visitor may see.
    """
    after: After | None = None
    while True:
        rows = context.run(
            lambda behind: queries.search(wanted, PAGE, retracted=retracted, after=behind), after
        )
        yield rows
        if len(rows) < PAGE:
            return
        last = rows[-1]
        after = After(last["captured_at"], UUID(str(last["event_id"])))


def lines_of(found: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """A JSON object a line."""
    for rows in found:
        yield b"".join(dumps(row) + b"\n" for row in rows)


def json_of(found: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """One JSON object; how many there are is known at its end."""
    head, count = b'{"events": [', 0
    for rows in found:
        if not rows:
            continue
        yield head + b"\n" + b",\n".join(map(dumps, rows))
        head, count = b",", count + len(rows)
    yield (b"" if count else head) + b'\n], "count": %d}\n' % count


def csv_of(found: Iterable[Sequence[Row]]) -> Iterator[bytes]:
    """CSV in UTF-8 with a header (RFC 4180); formulas are made harmless by an apostrophe."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    columns: list[str] | None = None
    for rows in found:
        for row in rows:
            cells = _cells(row)
            if columns is None:
                columns = list(cells)
                writer.writerow(columns)
            writer.writerow([cells.get(column, "") for column in columns])
        if columns is None:
            writer.writerow(["event_id"])  # nothing was found, and a file without a header is none
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def guarded(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def zipped(
    row: Row, said: Sequence[Row], about: dict[str, Any], images: ImageStore
) -> Iterator[bytes]:
    """A ZIP of a sighting, part by part: pictures are held one at a time.

    Its last file is ``manifest.json``: who made it when, and the SHA-256 of each other file. A
    picture that is gone is named there, with why.
    """
    sink = _Sink()
    told: list[dict[str, Any]] = []
    missing: list[dict[str, str]] = []
    at = about["made_at"].timetuple()[:6]
    with zipfile.ZipFile(sink, "w") as archive:

        def add(name: str, content: bytes, packed: bool = True) -> bytes:
            info = zipfile.ZipInfo(name, at)
            info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            archive.writestr(info, content)
            digest = hashlib.sha256(content).hexdigest()
            told.append({"name": name, "bytes": len(content), "sha256": digest})
            return sink.taken()

        yield add("sighting.json", _pretty(row))
        yield add("corrections.json", _pretty(said))
        for url in _pictures(row):
            try:
                content = images.get(url)
            except ImageError as error:
                missing.append({"address": url, "why": type(error).__name__})
                continue
            yield add(f"pictures/{url.removeprefix('images/')}", content, packed=False)
        manifest = {**about, "files": list(told), "missing": missing}
        yield add("manifest.json", _pretty(manifest))
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Takes what ZipFile writes, which may not seek here, until it is sent."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        held = bytes(self._held)
        self._held.clear()
        return held


def _pictures(row: Row) -> list[str]:
    """The addresses of a sighting's pictures, its best shot's and those of its evidence."""
    kinds = ("plate", "vehicle", "frame")
    urls = [row.get(f"{kind}_image_url") for kind in kinds]
    for read in (row.get("evidence") or {}).get("reads") or []:
        urls += [(read.get("images") or {}).get(f"{kind}_url") for kind in kinds]
    return list(dict.fromkeys(url for url in urls if isinstance(url, str) and url))


def _cells(row: Row) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in row.items():
        if name == "box" and isinstance(value, dict):
            cells |= {f"box_{part}": str(value.get(part, "")) for part in _PARTS}
        else:
            cells[name] = _cell(value)
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return guarded(";".join(value))
    if isinstance(value, dict | list):
        return guarded(dumps(value).decode())
    return guarded(value) if isinstance(value, str) else str(value)  # a number is no formula


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=OPTIONS | orjson.OPT_INDENT_2)


def _all(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _download(parts: Iterator[bytes], kind: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts, media_type=kind, headers=headers)
