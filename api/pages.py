"""The pages for people: rendered here, brought up to date by one small script."""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, UnidentifiedImageError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api import parameters, view
from api.audit import reason
from api.encode import dumps
from api.errors import ApiError, NotFound
from api.events import follow
from api.live import LiveFeed, event
from api.navigation import Navigation
from api.visitor import visitor
from images.store import ImageError, ImageStore, NoPicture
from projections import veil
from projections.access import Role
from projections.pictures import may_see
from projections.queries import Row, Search, SightingQueries
from rules.pseudonym import pseudonym_of
from rules.text import normalise

PER_PAGE = 48
MAX_PAGE = 1000
_CAMERAS_SHOWN = 30
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADINGS = {
    403: "Not for this key",
    404: "Nothing here",
    410: "No longer good",
    422: "That cannot be asked",
    503: "Away for the moment",
}

# Asked for again each time, and never kept by what stands between.
_KEPT = {"cache-control": "private, no-cache", "vary": "accept"}

Page = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class Pages:
    """Templates and static files, read once; ``places`` are where every page leads."""

    def __init__(self, places: Navigation) -> None:
        folder = files("api") / "static"
        self._static = {file.name: file.read_bytes() for file in folder.iterdir()}
        digest = hashlib.sha256()
        for name in sorted(self._static):
            digest.update(self._static[name])
        self._environment = Environment(
            loader=PackageLoader("api"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.globals.update(
            build=digest.hexdigest()[:12],
            q=None,
            visitor=visitor,
            may=_may,
            why=reason,
            places=places,
            section="",
        )

    def page(self, name: str, /, *, code: int = 200, **values: Any) -> Response:
        """A whole page; never kept by the browser beyond asking again."""
        html = self._environment.get_template(name).render(values)
        return HTMLResponse(html, code, _KEPT)

    def fragment(self, name: str, /, **values: Any) -> str:
        """A piece of a page."""
        return self._environment.get_template(name).render(values)

    def static(self, name: str) -> Response:
        """A static file; its address holds a hash of all, so it may be kept for ever."""
        body = self._static.get(name)
        if body is None:
            raise NotFound(f"there is no file /static/{name}")
        kind = _TYPES[name.rpartition(".")[2]]
        kept = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(body, media_type=kind, headers=kept)

    def error(self, _: Request, error: ApiError) -> Response:
        """A failure as a page."""
        heading = _HEADINGS.get(error.status, "That did not work")
        return self.page(
            "error.html",
            code=error.status,
            status=error.status,
            heading=heading,
            detail=error.detail,
        )


def router(queries: SightingQueries, images: ImageStore, feed: LiveFeed, pages: Pages) -> APIRouter:
    """Pages, pictures and static files."""
    routes = APIRouter(include_in_schema=False)

    def change_as_card(row: Row) -> bytes:
        if row.get("erased"):
            gone = {"event_id": row["event_id"], "status": "erased"}
            return event("card", dumps(gone))
        told = {
            "event_id": row["event_id"],
            "camera_id": row["camera_id"],
            # What a person hid goes from the wall as what the rules took back does.
            "status": "retracted" if (row["corrected"] or {}).get("hidden") else row["status"],
            "html": pages.fragment("card.html", s=view.card(row)),
        }
        return event("card", dumps(told))

    @routes.get("/live")
    async def live(
        since: parameters.Since = None, last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        return await follow(feed, last_event_id or since, change_as_card)

    @routes.get("/images/{path:path}")
    def picture(path: str) -> Response:
        url = "images/" + path
        if not may_see(queries, url):
            raise NoPicture(f"{url} is of no camera that {visitor().actor} may see")
        if link := images.link(url):
            # Kept for less long than the link is good for, so that none leads to a refusal.
            return RedirectResponse(link, 307, {"cache-control": "private, max-age=240"})
        jpeg = images.get(url)
        # A picture never changes under its name; it may be forgotten, so not for ever.
        kept = {"cache-control": "private, max-age=86400"}
        return Response(jpeg, media_type="image/jpeg", headers=kept)

    @routes.get("/static/{name}")
    def static(name: str) -> Response:
        return pages.static(name)

    return routes


def live_page(
    queries: SightingQueries,
    pages: Pages,
    stats: Row,
    *,
    q: str | None,
    camera: str | None,
    retracted: bool,
    page: int,
) -> Response:
    """The wall of sightings: the latest, those of a camera, or what a search finds."""
    # Before the rows: what changes in between is told again by the stream, not lost.
    cursor = queries.latest_change()
    rows = _found(queries, q, camera, retracted, (page - 1) * PER_PAGE)
    given = {"q": q, "camera": camera, "retracted": "1" if retracted else None}
    latest = stats["latest_event"]
    return pages.page(
        "live.html",
        q=q,
        camera=camera,
        retracted=retracted,
        page=page,
        per_page=PER_PAGE,
        live=q is None and page == 1,
        more=len(rows) > PER_PAGE and page < MAX_PAGE,
        sightings=[view.card(row) for row in rows[:PER_PAGE]],
        stats=stats,
        latest=view.moment(latest, "") if latest else None,
        cameras=_chips(queries.cameras(), camera),
        cursor=cursor,
        address=_addresses({**given, "page": None if page == 1 else page}),
    )


def _found(
    queries: SightingQueries, q: str | None, camera: str | None, retracted: bool, offset: int
) -> list[Row]:
    if q is None and camera is None:
        return queries.recent(PER_PAGE + 1, offset, retracted=retracted)
    pattern = None
    if q is not None:
        if not normalise(q) and not set(q) & set("*?"):
            return []  # nothing but signs: no plate has any
        whole = set(q) & set("*?") or pseudonym_of(q) or veil.veil()
        pattern = (pseudonym_of(q) or q) if whole else q + "*"
    wanted = Search(plate=pattern, camera=camera)
    return queries.search(wanted, PER_PAGE + 1, offset, retracted=retracted)


def _chips(cameras: list[Row], chosen: str | None) -> list[Row]:
    """The cameras to choose from by name: those seen last, and the chosen one whatever it is."""
    latest = sorted(cameras, key=lambda camera: camera["last_seen"], reverse=True)
    shown = sorted(latest[:_CAMERAS_SHOWN], key=lambda camera: camera["camera_id"])
    if chosen and all(camera["camera_id"] != chosen for camera in shown):
        shown.insert(0, {"camera_id": chosen, "site_id": ""})
    return shown


def _addresses(now: dict[str, Any]) -> Callable[..., str]:
    """Makes the address of this page with some of its parameters changed."""

    def address(**changed: Any) -> str:
        given = {name: value for name, value in {**now, **changed}.items() if value is not None}
        return f"/?{urlencode(given)}" if given else "/"

    return address


def frame_of(images: ImageStore, row: Row) -> tuple[view.Frame | None, str]:
    """The best shot, or why there is none to show."""
    address = row["frame_image_url"]
    if veil.veil():
        return None, "Pictures show plates, and you are shown pseudonyms."
    if not address:
        return None, "No picture of the whole frame was kept."
    try:
        with Image.open(BytesIO(images.get(address))) as picture:
            width, height = picture.size
    except NoPicture:
        return None, "The picture of the frame is no longer kept."
    except ImageError:
        return None, "The picture of the frame cannot be reached at the moment."
    except UnidentifiedImageError:
        return None, "The picture of the frame is damaged."
    return view.Frame(view.picture(address), width, height, row["box"]), ""


def _may(role: str) -> bool:
    """Whether the one who asks may do what a role may."""
    return visitor().may(Role(role))
