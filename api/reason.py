"""Why somebody looks: the form that asks it once, kept by their browser as long as they choose."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api import bodies
from api.audit import MAX_REASON, REASON_COOKIE, reason_of, tidy
from api.login import encrypted, inside
from api.pages import Pages

_MOST = 4096  # bytes of a form
_HOUR = 3600
LASTS: Mapping[str, tuple[str, int | None]] = {
    "session": ("until the browser is closed", None),
    "1h": ("one hour", _HOUR),
    "8h": ("eight hours", 8 * _HOUR),
    "7d": ("seven days", 7 * 24 * _HOUR),
}


def router(pages: Pages, *, required: bool) -> APIRouter:
    """``/reason``; ``required`` says whether plates are shown without one."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/reason")
    def ask(request: Request, next: str = "") -> Response:
        return pages.page(
            "reason.html",
            next=inside(next or _before(request)),
            given=reason_of(request),
            lasts=LASTS,
            required=required,
            most=MAX_REASON,
        )

    @routes.post("/reason")
    async def say(request: Request) -> Response:
        given = await bodies.form(request, _MOST)
        answer = RedirectResponse(inside(given.get("next", "/")), 303)
        reason = tidy(given.get("reason", ""))
        if not reason:
            answer.delete_cookie(REASON_COOKIE, httponly=True, samesite="lax")
            return answer
        _, seconds = LASTS.get(given.get("for", ""), LASTS["session"])
        answer.set_cookie(
            REASON_COOKIE,
            quote(reason, safe=""),
            max_age=seconds,
            httponly=True,
            secure=encrypted(request),
            samesite="lax",  # a link in an alert's message finds it, as it finds the session
        )
        return answer

    return routes


def _before(request: Request) -> str:
    """The page that led here."""
    came = urlsplit(request.headers.get("referer", ""))
    if came.netloc != request.headers.get("host") or came.path == "/reason":
        return "/"
    return came.path + (f"?{came.query}" if came.query else "")
