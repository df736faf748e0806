"""Analytics: counts of sightings over time, plates, stays, quality and latency; and their page."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import analysis, analytics_models, analytics_page, models, parameters
from api.analysis import Asked, Interval, Range
from api.encode import Json
from api.errors import wants_page
from api.pages import Pages
from projections.analytics import Analytics, By
from projections.queries import SightingQueries
from rules.spread import DWELL, LATENCY

MAX_GROUPS = 50
MAX_PLATES = 500

Groups = Annotated[
    int, Query(ge=1, le=MAX_GROUPS, description="So many of the largest groups; the rest is other")
]
Filter = Annotated[str | None, Query(max_length=200)]
Told = Literal["camera", "site", "type", "region"]


@dataclass(frozen=True, slots=True)
class Question:
    """What every address under ``/analytics`` may say."""

    range: Annotated[Range | None, Query(description="Local days up to now, today among them")] = (
        None
    )
    start_time: parameters.Time = None
    end_time: parameters.Time = None
    timezone: Annotated[
        str | None,
        Query(
            max_length=100, description="Whose hours and days; UTC if none", examples=["Asia/Tokyo"]
        ),
    ] = None
    camera: Filter = None
    site: Filter = None

    def at(self, now: datetime, timezone: str | None = None) -> Asked:
        """What is asked, by a clock other than UTC where none is given. Raises BadInput."""
        times = self.range, self.start_time, self.end_time
        return analysis.read(now, *times, self.timezone or timezone, self.camera, self.site)


Given = Annotated[Question, Depends()]
_COMMON = frozenset(Question.__slots__)


def router(
    analytics: Analytics,
    queries: SightingQueries,
    pages: Pages,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> APIRouter:
    """Everything under ``/analytics``; ``clock`` tells what today is."""
    routes = APIRouter(tags=["analytics"])

    def read(request: Request, given: Question, *more: str) -> Asked:
        parameters.refuse_unknown(request, _COMMON | set(more))
        return given.at(clock())

    @routes.get("/analytics", **_answers(analytics_models.GroupsResponse))
    def overview(request: Request, given: Given, by: By = "all") -> Response:
        """Sightings by camera, for programs; browsers get the page with charts.

        The page shows its counts over time by `by`.
        """
        asked = read(request, given, "by")
        if wants_page(request):
            asked = given.at(clock(), analytics_page.clock_of_cameras(queries))
            told = analytics_page.values(analytics, asked, by, request.query_params, queries)
            return pages.page("analytics.html", section="/analytics", **told)
        told = analysis.groups(analytics, asked, "camera" if by == "all" else by, MAX_GROUPS)
        return Json(told, headers={"vary": "accept"})

    @routes.get("/analytics/counts", **_answers(analytics_models.CountsResponse))
    def counts(
        request: Request,
        given: Given,
        interval: Interval = "day",
        by: By = "all",
        limit: Groups = 10,
    ) -> Response:
        """Sightings by local hour or day, together or told apart."""
        return Json(
            analysis.counts(
                analytics, read(request, given, "interval", "by", "limit"), interval, by, limit
            )
        )

    @routes.get("/analytics/groups", **_answers(analytics_models.GroupsResponse))
    def groups(request: Request, given: Given, by: Told = "region", limit: Groups = 20) -> Response:
        """Sightings by country or region, camera, site or vehicle type; quarters of an hour."""
        return Json(analysis.groups(analytics, read(request, given, "by", "limit"), by, limit))

    @routes.get("/analytics/week", **_answers(analytics_models.WeekResponse))
    def week(request: Request, given: Given) -> Response:
        """Sightings by hour of the week."""
        return Json(analysis.week(analytics, read(request, given)))

    @routes.get("/analytics/plates", **_answers(analytics_models.PlatesResponse))
    def plates(request: Request, given: Given) -> Response:
        """Different plates by local day: new ones, and those that were there before.

        New is what was never seen before within what is kept; with a camera or site: by those.
        """
        return Json(analysis.plates(analytics, read(request, given)))

    @routes.get("/analytics/top", **_answers(analytics_models.TopResponse))
    def top(
        request: Request,
        given: Given,
        limit: Annotated[int, Query(ge=1, le=MAX_PLATES)] = 20,
    ) -> Response:
        """The plates that were there most often."""
        return Json(analysis.top(analytics, read(request, given, "limit"), limit))

    @routes.get("/analytics/dwell", **_answers(analytics_models.SpreadResponse))
    def dwell(request: Request, given: Given) -> Response:
        """How long vehicles stay, in seconds from the first read to the last; whole hours (UTC)."""
        return Json(analysis.spread(analytics, read(request, given), DWELL))

    @routes.get("/analytics/latency", **_answers(analytics_models.SpreadResponse))
    def latency(request: Request, given: Given) -> Response:
        """From capture to the log, in milliseconds, of the read that opened the sighting."""
        return Json(analysis.spread(analytics, read(request, given), LATENCY))

    @routes.get("/analytics/quality", **_answers(analytics_models.QualityResponse))
    def quality(request: Request, given: Given) -> Response:
        """How well plates are read: confidence, reads a sighting, what was taken back."""
        return Json(analysis.quality(analytics, read(request, given)))

    return routes


def _answers(model: type) -> dict[str, Any]:
    return {
        "response_model": None,
        "responses": {
            200: {"model": model},
            503: {"model": models.Problem, "description": "Away, or it took too long"},
        },
    }
