"""Corrections: what people say that a sighting really was, and what that tells of reading."""

import threading
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import bodies, correction_models, models, parameters, view
from api.encode import Json
from api.errors import BadInput, Conflict, NotFound, wants_page
from api.events import find, known_parameters
from api.pages import Page, Pages
from api.voice import actor
from api.watching import Watching
from projections.people_queries import CorrectionSearch, PeopleQueries
from projections.queries import Row, SightingQueries
from projections.veil import lifted, veil
from rules.confusions import Judged, Report, Share, report
from rules.corrections import MERGE, NO_PLATE, TEXT, UNDO, CorrectionError, checked
from rules.pseudonym import is_pseudonym
from schemas.records import Correction

PER_PAGE = 50
MAX_COMMENT = 2000
_BODY = 16_384  # bytes
_CONFUSIONS = 100  # told by the report, of at most 37 × 37
_FIELDS = {"kind": str, "text": str, "other": str, "comment": str, "correction_id": str}

CorrectionId = Annotated[str, Path(description="UUID of a correction")]
Kind = Literal["text", "merge", "no plate", "undo"]
Filter = Annotated[str | None, Query(max_length=200)]


def router(
    watching: Watching, people: PeopleQueries, sightings: SightingQueries, pages: Pages
) -> APIRouter:
    """``/corrections`` and what is under a sighting."""
    routes = APIRouter(tags=["corrections"])
    desk = _Desk(watching, people, sightings)

    @routes.get(
        "/sightings/{event_id}/corrections",
        response_model=None,
        responses={
            200: {"model": correction_models.OfSightingResponse},
            404: {"model": models.Problem},
        },
    )
    def of_sighting(event_id: parameters.EventId) -> Response:
        """All that was said of a sighting, in its order, and what stands of it."""
        row = find(sightings, event_id)
        said = people.of_sighting(str(row["event_id"]))
        return Json(
            {
                "event_id": row["event_id"],
                "read": row["plate_normalized_text"],
                "corrected": row["corrected"],
                "count": len(said),
                "corrections": said,
            }
        )

    @routes.post(
        "/sightings/{event_id}/corrections",
        response_model=None,
        responses={
            200: {"model": correction_models.CorrectedResponse},
            404: {"model": models.Problem},
            409: {"model": models.Problem},
        },
        openapi_extra=bodies.described(correction_models.CorrectionBody),
    )
    async def correct(request: Request, event_id: parameters.EventId) -> Response:
        """Say what the plate really was, that it is one with another sighting, or no plate.

        What was read stays as it is; every answer and page shows what was said beside it. Saying
        what stands already writes nothing.
        """
        body = bodies.take(await bodies.json_object(request, _BODY), dict(_FIELDS))
        if body.get("kind") not in {TEXT, MERGE, NO_PLATE}:
            raise BadInput(
                f"kind={str(body.get('kind'))[:80]!r} is none of text, merge, no plate:"
                ' give {"kind": "text", "text": "34A36837"}, or undo by DELETE'
            )
        return Json(await run_in_threadpool(desk.say, event_id, body))

    @routes.delete(
        "/sightings/{event_id}/corrections/{correction_id}",
        response_model=None,
        responses={
            200: {"model": correction_models.CorrectedResponse},
            404: {"model": models.Problem},
            409: {"model": models.Problem},
        },
    )
    def undo(event_id: parameters.EventId, correction_id: CorrectionId) -> Response:
        """Take back what was said: what stood before stands again. Both stay on the log."""
        return Json(desk.undo(event_id, correction_id))

    @routes.get(
        "/corrections",
        response_model=None,
        responses={200: {"model": correction_models.CorrectionsResponse}},
    )
    def listing(
        *,
        request: Request,
        kind: Kind | None = None,
        actor: Filter = None,
        camera: Filter = None,
        since: parameters.Time = None,
        until: parameters.Time = None,
        standing: bool = False,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        page: Page = 1,
    ) -> Response:
        """What was said, the latest first; browsers get the page. `standing` leaves out undos
        and what was undone. `page` is of the page alone.
        """
        parameters.refuse_unknown(request, known)
        first, last = parameters.read_times(since, until)
        search = CorrectionSearch(
            kind=kind,
            actor=parameters.text("actor", actor),
            camera=parameters.text("camera", camera),
            since=first,
            until=last,
            standing=standing,
        )
        if wants_page(request):
            rows = people.corrections(search, PER_PAGE + 1, (page - 1) * PER_PAGE)
            return pages.page(
                "corrections.html",
                section="/corrections",
                said=[_line(row) for row in rows[:PER_PAGE]],
                report=_told(people, None, None),
                page=page,
                more=len(rows) > PER_PAGE,
            )
        rows = people.corrections(search, limit, offset)
        return Json({"count": len(rows), "limit": limit, "offset": offset, "corrections": rows})

    known = known_parameters(listing)

    @routes.get(
        "/corrections/report",
        response_model=None,
        responses={200: {"model": correction_models.ReportResponse}},
    )
    def judged(
        *, request: Request, start_time: parameters.Time = None, end_time: parameters.Time = None
    ) -> Response:
        """Which characters were read for which, by camera, reader and country; the share of
        sightings that people corrected. Of sightings captured in a time; shares by whole hours.
        """
        parameters.refuse_unknown(request, frozenset({"start_time", "end_time"}))
        start, end = parameters.read_times(start_time, end_time)
        told = _told(people, start, end)
        if wants_page(request):
            return pages.page("corrections_report.html", section="/corrections", report=told)
        return Json(told)

    return routes


class _Desk:
    """Takes what people say, puts it on the log, and waits until the view shows it."""

    def __init__(
        self, watching: Watching, people: PeopleQueries, sightings: SightingQueries
    ) -> None:
        self._watching, self._people, self._sightings = watching, people, sightings
        self._placing = threading.Lock()
        """Held from a look at what was merged until what follows from it is in view: of two who
        merge two sightings each into the other, one would else leave neither to be seen."""

    def say(self, event_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """A correction, unless it stands already. Raises NotFound, BadInput, Conflict."""
        row = find(self._sightings, event_id)
        key = str(row["event_id"])
        said = self._checked(key, body)
        with lifted():
            known = self._people.correction(key, said["correction_id"])
            stands = self._stands(key, said) if known is None else None
        if known is not None and not _same(known, said):
            raise Conflict(
                f"there is another correction {said['correction_id']} of this sighting: give a new"
                " correction_id, or none"
            )
        if known is not None or stands is not None:
            return self._answer(key, None)
        if said["other"] is None:
            return self._write(said)
        with self._placing:
            self._check_merge(key, said["other"])
            return self._write(said)

    def undo(self, event_id: str, correction_id: str) -> dict[str, Any]:
        """Take a correction back, unless it was already. Raises NotFound, BadInput, Conflict."""
        key = str(find(self._sightings, event_id)["event_id"])
        undone = str(parameters.read_id(correction_id, "correction_id", "/corrections"))
        found = self._watching.wait_for(lambda: self._people.correction(key, undone))
        if found is None:
            raise NotFound(f"there is no correction {undone} of this sighting: look at its list")
        if found["kind"] == UNDO:
            raise BadInput("an undo is not undone: say again what was taken back")
        if found["undone_by"] is not None:
            return self._answer(key, None)
        said = self._checked(key, {"kind": UNDO, "other": undone})
        if found["kind"] == TEXT:
            return self._write(said)
        with self._placing:
            self._check_standing(key, undone)
            return self._write(said)

    def _checked(self, event_id: str, body: dict[str, Any]) -> Correction:
        comment = (body.get("comment") or "").strip()
        if len(comment) > MAX_COMMENT:
            raise BadInput(f"the comment is longer than {MAX_COMMENT:,} characters: shorten it")
        if is_pseudonym(body.get("text") or ""):
            raise BadInput("text is a pseudonym: give the plate as it is")
        at, who = self._watching.voice.clock(), actor()
        named = uuid5(NAMESPACE_URL, f"{event_id} {who} {at}")
        try:
            return checked(
                {
                    "correction_id": body.get("correction_id") or str(named),
                    "event_id": event_id,
                    "at": at,
                    "actor": who,
                    "kind": body["kind"],
                    "text": parameters.text("text", body.get("text")),
                    "other": body.get("other"),
                    "comment": parameters.text("comment", comment) or "",
                }
            )
        except CorrectionError as error:
            raise BadInput(str(error)) from None

    def _stands(self, event_id: str, said: Correction) -> Row | None:
        """The same said before, where nothing else of its kind has been said since."""
        places = {TEXT} if said["kind"] == TEXT else {MERGE, NO_PLATE}
        standing = [
            one
            for one in self._people.of_sighting(event_id)
            if one["kind"] in places and one["undone_by"] is None
        ]
        return standing[-1] if standing and _same(standing[-1], said) else None

    def _check_merge(self, event_id: str, other: str) -> None:
        if self._sightings.by_id(other) is None:
            raise NotFound(f"there is no sighting {other} to be one with: look at its neighbours")
        if self._people.leads_to(other, event_id):
            raise Conflict(
                f"the sighting {other} was merged into this one already: undo that first, or"
                " merge the other way round"
            )

    def _check_standing(self, event_id: str, undone: str) -> None:
        """That what stands again was not said the other way round meanwhile. Raises Conflict."""
        standing = [
            one
            for one in self._people.of_sighting(event_id)
            if one["kind"] in {MERGE, NO_PLATE}
            and one["undone_by"] is None
            and str(one["correction_id"]) != undone
        ]
        if standing and standing[-1]["kind"] == MERGE:
            other = str(standing[-1]["other"])
            if self._people.leads_to(other, event_id):
                raise Conflict(
                    f"this would be part of the sighting {other} again, which was merged into it"
                    " meanwhile: undo that first"
                )

    def _write(self, said: Correction) -> dict[str, Any]:
        self._watching.voice.correction(said)
        key, number = said["event_id"], said["correction_id"]
        seen = self._watching.wait_for(lambda: self._people.correction(key, number))
        return self._answer(key, said, in_view=seen is not None)

    def _answer(
        self, event_id: str, written: Correction | None, *, in_view: bool = True
    ) -> dict[str, Any]:
        row = self._sightings.by_id(event_id)
        told = None
        if written is not None:
            told = {**written, "at": view.instant(written["at"]), "undone_by": None}
        return {
            "event_id": event_id,
            "written": told,
            "corrected": row["corrected"] if row else None,
            "in_view": in_view,
        }


def _same(row: Row, said: Correction) -> bool:
    other = None if row["other"] is None else str(row["other"])
    return (row["kind"], row["text"], other) == (said["kind"], said["text"], said["other"])


def said_of(rows: Sequence[Row], timezone: str) -> list[dict[str, Any]]:
    """Corrections as a sighting's page shows them, the latest first."""
    return [_line({**row, "timezone": timezone}) for row in reversed(rows)]


def _line(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["correction_id"]),
        "event_id": str(row["event_id"]),
        "at": view.moment(row["at"], row["timezone"]),
        "by": row["actor"],
        "kind": row["kind"],
        "text": row["text"],
        "other": str(row["other"]) if row["other"] else None,
        "comment": row["comment"],
        "undone": row["undone_by"] is not None,
        "camera": row.get("camera_id"),
        "read": row.get("plate_normalized_text"),
        "seen": view.moment(row["captured_at"], row["timezone"]) if "captured_at" in row else None,
    }


def _told(people: PeopleQueries, start: Any, end: Any) -> dict[str, Any]:
    found = report(
        Judged(
            event_id=str(row["event_id"]),
            read=row["read"],
            said=row["said"],
            hidden=row["hidden"],
            merged=row["merged_into"] is not None,
            camera=row["camera_id"],
            region=row["region"],
            reader=row["reader"],
            second=row["second"],
        )
        for row in people.judged(start, end)
    )
    sightings = people.sightings(start, end)
    total = sum(sightings.values())
    return {
        "start_time": start,
        "end_time": end,
        "sightings": total,
        **{name: getattr(found, name) for name in _COUNTED},
        "share": _share(found, total),
        "confusions": [
            {
                "read": one.read,
                "was": one.was,
                "count": one.count,
                "cameras": dict(one.cameras.most_common()),
                "readers": dict(one.readers.most_common()),
                "regions": dict(one.regions.most_common()),
                "event_ids": one.event_ids,
            }
            # Letter by letter they would tell a plate to who says what it was not.
            for one in ([] if veil() else found.confusions[:_CONFUSIONS])
        ],
        "cameras": [_shown(one, sightings.get(one.name, 0)) for one in found.cameras],
        "readers": [_shown(one, None) for one in found.readers],
        "regions": [_shown(one, None) for one in found.regions],
    }


_COUNTED = ("corrected", "confirmed", "no_plate", "merged", "second")


def _shown(one: Share, sightings: int | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "corrected": one.corrected,
        "no_plate": one.no_plate,
        "merged": one.merged,
        "sightings": sightings,
        "share": None if sightings is None else _share(one, sightings),
    }


def _share(one: Share | Report, sightings: int) -> float | None:
    """Of the sightings, those whose text or being was wrong; None where there are none."""
    wrong = one.corrected + one.no_plate + one.merged
    return round(min(1.0, wrong / sightings), 6) if sightings else None
