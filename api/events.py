"""The endpoints for programs: sightings as JSON, and their changes as a stream."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from api import models, paging, parameters
from api.encode import Json, dumps
from api.errors import NotFound
from api.live import EventStream, LiveFeed, event
from projections.finding import Finder, PlainFinder
from projections.queries import Row, Search, SightingQueries
from projections.veil import refuse_guessing
from projections.wanted import Wanted, plate_of
from rules.neighbourhood import MOST_EDITS

_AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": models.Problem, "description": "The database cannot be reached"},
}
_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": models.Problem, "description": "There is no such sighting"}
}
Filter = Annotated[str | None, Query(max_length=200)]


def _answers(model: type, **more: Any) -> dict[str, Any]:
    """What OpenAPI says of an endpoint whose rows go out without being validated again."""
    ok: dict[int | str, dict[str, Any]] = {200: {"model": model}}
    return {"response_model": None, "responses": {**ok, **_AWAY, **more.get("also", {})}}


def router(
    queries: SightingQueries,
    summary: Callable[[], Row],
    feed: LiveFeed,
    finder: Finder | None = None,
) -> APIRouter:
    """``/stats``, ``/search/fulltext`` and everything under ``/events``.

    ``finder`` answers searches; without one ``queries`` do.
    """
    finder = finder or PlainFinder(queries)
    routes = APIRouter(tags=["sightings"])

    @routes.get("/stats", **_answers(models.StatsResponse))
    def stats() -> Response:
        """Numbers over all sightings that stand, at most a second old."""
        return Json({"is_connected": True, **summary()})

    @routes.get("/events/recent", **_answers(models.EventsResponse))
    def recent(
        limit: parameters.Limit = 10,
        offset: parameters.Offset = 0,
        include_retracted: parameters.IncludeRetracted = False,
    ) -> Response:
        """The latest sightings by time of arrival in the log, newest first."""
        rows = queries.recent(limit, offset, retracted=include_retracted)
        return Json({"count": len(rows), "events": rows})

    @routes.get("/events/search", **_answers(models.SearchResponse))
    def search(
        *,
        request: Request,
        plate: Annotated[
            str | None,
            Query(
                max_length=parameters.MAX_TEXT,
                description="* stands for any characters, ? for one",
                examples=["34A*"],
            ),
        ] = None,
        near: Annotated[
            str | None,
            Query(
                max_length=parameters.MAX_TEXT,
                description="A plate that `edits` characters away at most is found: one left out, "
                "put in or replaced, or two neighbours exchanged, is one edit",
                examples=["34A36837"],
            ),
        ] = None,
        edits: Annotated[int, Query(ge=1, le=MOST_EDITS)] = 1,
        confusable: Annotated[
            bool, Query(description="Characters that are easily misread (0 and O, 8 and B) are one")
        ] = False,
        camera: Annotated[
            list[Annotated[str, Field(max_length=200)]] | None,
            Query(max_length=100, description="May be repeated: one of them"),
        ] = None,
        site: Filter = None,
        zone: Filter = None,
        region: Filter = None,
        direction: Filter = None,
        type: Filter = None,
        colour: Filter = None,
        make: Filter = None,
        model: Filter = None,
        status: Literal["tentative", "confirmed", "revised", "ended", "retracted"] | None = None,
        min_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
        max_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
        watchlist: Annotated[
            str | None, Query(max_length=200, description="An entry of this list means the plate")
        ] = None,
        tag: Annotated[
            str | None, Query(max_length=200, description="The entry has this tag")
        ] = None,
        kind: Annotated[
            Literal["allow", "deny", "notify"] | None,
            Query(description="The entry is of this kind"),
        ] = None,
        start_time: parameters.Time = None,
        end_time: parameters.Time = None,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        cursor: parameters.Cursor = None,
        include_retracted: parameters.IncludeRetracted = False,
    ) -> Response:
        """Sightings that meet every filter given, by time of capture, newest first.

        Plates are compared as they are shown (`plate_shown`): as a person corrected them, else as
        read. Times are of capture; they and confidences are included. Deep pages: give
        `next_cursor` as `cursor`, all else unchanged. An unknown parameter is refused, since a
        mistyped filter would widen the answer unnoticed.
        """
        parameters.refuse_unknown(request, known)
        start, end = parameters.read_times(start_time, end_time)
        cameras = [one for given in camera or () if (one := parameters.text("camera", given))]
        wanted = Search(
            plate=parameters.text("plate", plate),
            near=parameters.text("near", near),
            edits=edits,
            confusable=confusable,
            camera=cameras or None,
            site=parameters.text("site", site),
            zone=parameters.text("zone", zone),
            region=parameters.text("region", region),
            direction=parameters.text("direction", direction),
            type=parameters.text("type", type),
            colour=parameters.text("colour", colour),
            make=parameters.text("make", make),
            model=parameters.text("model", model),
            status=status,
            min_confidence=min_confidence,
            max_confidence=max_confidence,
            watchlist=parameters.text("watchlist", watchlist),
            tag=parameters.text("tag", tag),
            kind=kind,
            start=start,
            end=end,
        )
        after = paging.read_cursor(cursor, offset, wanted, include_retracted)
        rows = finder.search(wanted, limit, offset, retracted=include_retracted, after=after)
        return Json(
            {
                "count": len(rows),
                "limit": limit,
                "offset": offset,
                "next_cursor": paging.next_cursor(rows, limit, wanted, include_retracted),
                "events": rows,
            }
        )

    known = known_parameters(search)

    @routes.get("/search/fulltext", **_answers(models.SearchResponse))
    def full_text(
        *,
        q: Annotated[
            str,
            Query(
                min_length=1,
                max_length=200,
                description="Words that a sighting must all have, by their beginnings",
                examples=["34A36 north white"],
            ),
        ],
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        cursor: parameters.Cursor = None,
    ) -> Response:
        """Sightings that have every word somewhere, newest first.

        A word is the beginning of a plate, or one typing error away from it; a whole other reading
        of it; or the beginning of a word of camera, site, zone, lane, direction, region, or the
        vehicle's type, make, model or colour. At most eight words count.
        """
        text = parameters.text("q", q) or ""
        after = paging.read_cursor(cursor, offset, text)
        rows = finder.full_text(text, limit, offset, after=after)
        return Json(
            {
                "count": len(rows),
                "limit": limit,
                "offset": offset,
                "next_cursor": paging.next_cursor(rows, limit, text),
                "events": rows,
            }
        )

    @routes.get(
        "/events/stream",
        response_model=None,
        responses={200: {"content": {"text/event-stream": {}}}, **_AWAY},
    )
    async def stream(  # noqa: PLR0917 (its parameters are the address's)
        since: parameters.Since = None,
        last_event_id: Annotated[str | None, Header()] = None,
        camera: Annotated[list[str], Query(max_length=100, description="Only of these")] = [],  # noqa: B006
        site: Annotated[list[str], Query(max_length=100, description="Only of these")] = [],  # noqa: B006
        plate: Annotated[
            str | None,
            Query(max_length=parameters.MAX_TEXT, description="* and ? stand for others"),
        ] = None,
        status: Annotated[Literal["ended"] | None, Query(description="Only what is over")] = None,
    ) -> Response:
        """Changes of sightings as they come, as server-sent events.

        `sighting` carries a sighting as it now is, `erased` the id of one that was forgotten,
        `reset` says that what was known before is too old to go on from. Begins now, or after
        `Last-Event-ID` (which browsers send by themselves) or `since`.
        """
        pattern = parameters.text("plate", plate) or ""
        refuse_guessing(pattern)
        wanted = Wanted(
            frozenset(filter(None, camera)),
            frozenset(filter(None, site)),
            plate_of(pattern),
            status is not None,
        )
        told = None if wanted == Wanted() else wanted
        return await follow(feed, last_event_id or since, change_as_json, told)

    @routes.get("/events/plate/{plate_text:path}", **_answers(models.PlateEventsResponse))
    def by_plate(
        plate_text: parameters.PlateText,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        include_retracted: parameters.IncludeRetracted = False,
    ) -> Response:
        """Sightings of one plate by time of capture, newest first."""
        plate = parameters.text("plate_text", plate_text) or ""
        rows = queries.by_plate(plate, limit, offset, retracted=include_retracted)
        return Json(
            {"plate": plate, "count": len(rows), "limit": limit, "offset": offset, "events": rows}
        )

    @routes.get("/events/camera/{camera_id:path}", **_answers(models.CameraEventsResponse))
    def by_camera(
        *,
        camera_id: parameters.CameraId,
        start_time: parameters.Time = None,
        end_time: parameters.Time = None,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        include_retracted: parameters.IncludeRetracted = False,
    ) -> Response:
        """Sightings of one camera by time of capture, newest first."""
        camera = parameters.text("camera_id", camera_id) or ""
        start, end = parameters.read_times(start_time, end_time)
        rows = queries.by_camera(
            camera, start=start, end=end, limit=limit, offset=offset, retracted=include_retracted
        )
        return Json(
            {
                "camera_id": camera,
                "start_time": start,
                "end_time": end,
                "count": len(rows),
                "limit": limit,
                "offset": offset,
                "events": rows,
            }
        )

    @routes.get("/events/{event_id}", **_answers(models.EventWithEvidence, also=_MISSING))
    def by_id(event_id: parameters.EventId) -> Response:
        """One sighting with its evidence, retracted or not."""
        return Json(find(queries, event_id))

    return routes


def find(queries: SightingQueries, event_id: str) -> Row:
    """A sighting with its evidence. Raises BadInput for no UUID, NotFound for an unknown one."""
    key = parameters.read_id(event_id)
    row = queries.by_id(str(key))
    if row is None:
        raise NotFound(f"there is no sighting {key}: it was erased, or this id never existed")
    return row


async def follow(
    feed: LiveFeed,
    since: str | None,
    render: Callable[[Row], bytes],
    wanted: Wanted | None = None,
) -> EventStream:
    """A stream of changes; ViewError is raised here, while another answer is still possible."""
    events = feed.listen(parameters.read_cursor(since), render, wanted)
    return EventStream(await anext(events), events, feed.pace.stall)


def change_as_json(row: Row) -> bytes:
    """A change for programs."""
    return event("erased" if row.get("erased") else "sighting", dumps(row))


def known_parameters(endpoint: Callable[..., Response]) -> frozenset[str]:
    """The names that an endpoint takes in its address."""
    return frozenset(inspect.signature(endpoint).parameters) - {"request"}
