"""Pictures for whoever has a signed link, as messages carry one: without a key."""

import time
from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from api.audit import about
from api.errors import Gone, NotFound
from images.links import Expired, Forged, SignedLinks
from images.store import ImageStore

_KEPT = {
    "cache-control": "private, max-age=300",
    # The address is the permission: searching must not find it.
    "x-robots-tag": "noindex",
}


def router(
    images: ImageStore, links: SignedLinks | None, clock: Callable[[], float] = time.time
) -> APIRouter:
    """``GET /pictures/{token}``; without ``links`` no token is good."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/pictures/{token}")
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

    return routes
