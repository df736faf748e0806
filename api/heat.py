"""When which camera sees how much: hours of the day by camera, for programs and for people."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import analysis, journey_models, parameters
from api.analysis import Asked, Range
from api.encode import Json
from api.errors import BadInput, wants_page
from api.events import known_parameters
from api.pages import Pages
from api.view import zone as zone_of
from projections.analytics import Analytics
from projections.journeys import Journeys
from projections.queries import Row, SightingQueries
from rules import local_time

MOST_DAYS = 31  # quarters of an hour are counted, so that local hours of every zone are whole
_CAMERAS = 200
_LEVELS = 4

Filter = Annotated[str | None, Query(max_length=200)]


def router(
    analytics: Analytics,
    queries: SightingQueries,
    pages: Pages,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """``/cameras/heat``; ``clock`` tells what today is."""
    routes = APIRouter(tags=["cameras"])
    journeys = Journeys(queries)

    @routes.get(
        "/cameras/heat",
        response_model=None,
        responses={200: {"model": journey_models.HeatResponse}},
    )
    def heat(
        *,
        request: Request,
        range: Annotated[
            Range | None, Query(description="Days up to now, today among them; 7d if none")
        ] = None,
        start_time: parameters.Time = None,
        end_time: parameters.Time = None,
        camera: Filter = None,
        site: Filter = None,
    ) -> Response:
        """Sightings by camera and hour of the day, by the clock of each camera; 31 days at most.

        The 200 busiest cameras. Counts are those of `/analytics`.
        """
        parameters.refuse_unknown(request, known)
        asked = analysis.read(clock(), range, start_time, end_time, None, camera, site)
        if asked.end - asked.start > timedelta(days=MOST_DAYS):
            raise BadInput(
                f"the time is {(asked.end - asked.start).days} days long, at most {MOST_DAYS} are "
                "counted by the hour at once: ask for a part of it"
            )
        told = _heat(analytics, journeys.zones(), asked)
        if not wants_page(request):
            return Json(told)
        most = max((max(one["hours"]) for one in told["cameras"]), default=0)
        return pages.page(
            "heat.html",
            section="/cameras",
            told=told,
            presets=[("today", "Today"), ("7d", "7 days"), ("30d", "30 days")],
            preset=range or ("" if start_time or end_time else "7d"),
            given={"camera": camera, "site": site, "start": start_time, "end": end_time},
            rows=[
                {
                    **one,
                    "cells": [(n, -(-n * _LEVELS // most) if most else 0) for n in one["hours"]],
                }
                for one in told["cameras"]
            ],
        )

    known = known_parameters(heat)
    return routes


def _heat(analytics: Analytics, zones: dict[str, str], asked: Asked) -> Row:
    start = local_time.quarters_down(asked.start)
    end = local_time.quarters_up(asked.end)
    steps = int((end - start) / local_time.QUARTER)
    marks = [start + local_time.QUARTER * step for step in range(steps + 1)]
    found = analytics.counts(marks, asked.scope, "camera", _CAMERAS)
    return {
        "start": start,
        "end": end,
        "behind": analysis.told(analytics, asked, start, end)["behind"],
        "count": len(found.groups),
        "other": sum(found.other),
        "cameras": [
            {
                "camera_id": name,
                "timezone": zones.get(name) or "UTC",
                "sightings": sum(counts),
                "hours": _by_hour(marks, counts, zones.get(name) or "UTC"),
            }
            for name, counts in found.groups.items()
        ],
    }


def _by_hour(marks: Sequence[datetime], counts: Sequence[int], timezone: str) -> list[int]:
    zone: Any = zone_of(timezone)
    hours = [0] * 24
    for mark, count in zip(marks, counts, strict=False):
        if count:
            hours[mark.astimezone(zone).hour] += count
    return hours
