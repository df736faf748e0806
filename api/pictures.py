"""Pictures for whoever has a signed link, as messages carry one, without a key; and new links."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from api import access_models, bodies, models
from api.audit import about
from api.encode import Json
from api.errors import BadInput, Gone, NotFound
from api.visitor import visitor
from images.links import Expired, Forged, SignedLinks
from images.store import ImageStore, NoPicture
from projections.pictures import may_see
from projections.queries import SightingQueries

_log = logging.getLogger(__name__)
_BODY = 4_096  # bytes
_MOST_MINUTES = 7 * 24 * 60  # as long as the links in messages of alerts
_KEPT = {
    "cache-control": "private, max-age=300",
    # The address is the permission: searching must not find it.
    "x-robots-tag": "noindex",
}


def router(
    queries: SightingQueries,
    images: ImageStore,
    links: SignedLinks | None,
    clock: Callable[[], float] = time.time,
) -> APIRouter:
    """``GET /pictures/{token}`` and ``POST /links``; without ``links`` no token is good."""
    routes = APIRouter(tags=["sightings"])

    @routes.get("/pictures/{token}", include_in_schema=False)
    def linked(token: str) -> Response:
        try:
            if links is None:
                raise Forged("this server makes no links to pictures")
            path = links.path_of(token, clock())
            about(f"picture:{path}", "link")  # whoever has it
        except Forged as error:
            raise NotFound(str(error)) from None
        except Expired as error:
            raise Gone(str(error)) from None
        if there := images.link(path):
            return RedirectResponse(there, 307, {**_KEPT, "cache-control": "private, max-age=240"})
        return Response(images.get(path), media_type="image/jpeg", headers=_KEPT)

    @routes.post(
        "/links",
        response_model=None,
        responses={
            200: {"model": access_models.LinkResponse},
            404: {"model": models.Problem},
            422: {"model": models.Problem},
        },
        openapi_extra=bodies.described(access_models.LinkBody),
    )
    async def make(request: Request) -> Response:
        """A link to one picture that needs no key and expires, such as for a report.

        `path` is as sightings carry it; `minutes` is 60 if left out, 10,080 (7 days) at most.
        """
        body = bodies.take(await bodies.json_object(request, _BODY), {"path": str, "minutes": int})
        path, minutes = body.get("path", ""), body.get("minutes", 60)
        if isinstance(minutes, bool) or not 1 <= minutes <= _MOST_MINUTES:
            raise BadInput(f"minutes={minutes} is not from 1 to {_MOST_MINUTES:,}: give such")
        if links is None:
            raise NotFound("this server makes no links to pictures")
        path = path.removeprefix("/")
        about(f"picture:{path}")
        if not await run_in_threadpool(may_see, queries, path):
            raise NoPicture(f"{path!r} is of no camera that {visitor().actor} may see")
        await run_in_threadpool(images.get, path)  # or the link would lead nowhere
        ends = int(clock()) + 60 * minutes
        _log.info("%s made a link of %d minutes to %s", visitor().actor, minutes, path)
        told = {
            "url": f"/pictures/{links.token(path, ends)}",
            "expires_at": datetime.fromtimestamp(ends, UTC),
        }
        return Json(told, headers={"cache-control": "no-store"})

    return routes
