"""The page of one sighting: its pictures, how it was read, what people said, what was near it."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import sighting_view, view
from api.corrections import said_of
from api.events import find
from api.pages import Pages, frame_of
from eventlog.tracing import tracing
from images.store import ImageStore
from projections.people_queries import PeopleQueries
from projections.queries import Row, SightingQueries

_NEIGHBOURS = 4


def router(
    queries: SightingQueries, images: ImageStore, pages: Pages, people: PeopleQueries | None
) -> APIRouter:
    """``/sightings/{event_id}``; without ``people`` nobody can correct anything."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/sightings/{event_id}")
    def sighting(event_id: str) -> Response:
        row = find(queries, event_id)
        key = str(row["event_id"])
        if (traces := tracing()) is not None:
            traces.looked_at(key)
        frame, no_frame = frame_of(images, row)
        shown = view.card(row)
        fields: dict[str, Any] = {name: getattr(shown, name) for name in shown.__slots__}
        said = people.of_sighting(key) if people is not None else []
        return pages.page(
            "sighting.html",
            s={**fields, **view.details(row)},
            frame=frame,
            no_frame=no_frame,
            vote=sighting_view.places(
                row["evidence"], row["plate_normalized_text"], row["plate_region"]
            ),
            reads=view.reads(row["evidence"], row["timezone"]),
            alternatives=[
                {"text": a["text"], "percent": view.percent(a["confidence"])}
                for a in row["alternatives"]
            ],
            neighbours=[view.card(other) for other in _neighbours(queries, row)],
            corrected=row["corrected"],
            said=said_of(said, row["timezone"]),
            corrects=people is not None,
        )

    return routes


def _neighbours(queries: SightingQueries, row: Row) -> list[Row]:
    """The sighting among the nearest few on its camera within an hour, earliest first."""
    at, camera, hour = row["captured_at"], row["camera_id"], timedelta(hours=1)

    def others(rows: list[Row]) -> list[Row]:
        return [other for other in rows if other["event_id"] != row["event_id"]]

    before = others(queries.by_camera(camera, start=at - hour, end=at, limit=_NEIGHBOURS + 1))[
        :_NEIGHBOURS
    ]
    after: list[Row] = []
    # The latest come first, so the nearest after are the last of a span that holds few.
    for minutes in (1, 10, 60):
        span = timedelta(minutes=minutes)
        after = others(queries.by_camera(camera, start=at, end=at + span, limit=200))[-_NEIGHBOURS:]
        if len(after) == _NEIGHBOURS:
            break
    return [*reversed(before), row, *reversed(after)]
