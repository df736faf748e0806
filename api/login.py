"""Logging in and out: a name and password, a key, or the first admin's link, for a session."""

import logging
import re
from asyncio import to_thread

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api import bodies
from api.attempts import Logins
from api.audit import about
from api.errors import ApiError, TooMany
from api.guard import COOKIE, Guard, address_of
from api.pages import Pages
from projections.access import SESSION_LIFE, AccessKeys, is_link

_log = logging.getLogger(__name__)

_MOST = 4096  # bytes of a form
_UNKNOWN = "This key is unknown, expired or revoked."
_WRONG = "This name and password do not go together."
_VOID = "This link was used before, is older than a day, or there is an administrator already."


def router(
    keys: AccessKeys | None,
    logins: Logins | None,
    guard: Guard,
    pages: Pages,
) -> APIRouter:
    """``/login`` and ``/logout``; where nobody is asked who they are they lead on."""
    routes = APIRouter(include_in_schema=False)

    def form(next: str, error: ApiError | str = "", name: str = "") -> Response:
        code = 200 if not error else error.status if isinstance(error, ApiError) else 401
        told = f"{error}"
        told = told[:1].upper() + told[1:]
        return pages.page("login.html", code=code, next=next, error=told, name=name)

    @routes.get("/login")
    def ask(next: str = "/") -> Response:
        return form(inside(next)) if keys else _to(inside(next))

    @routes.post("/login")
    async def log_in(request: Request) -> Response:
        given = await bodies.form(request, _MOST)
        wanted, text = inside(given.get("next", "/")), given.get("key", "").strip()
        name = given.get("name", "").strip()
        if keys is None or logins is None:
            return _to(wanted)
        address, first = address_of(request), None
        try:
            if name:
                user = await logins.user(name, given.get("key", ""), address)
                if user is None:
                    return form(wanted, _WRONG, name)
                token = await to_thread(keys.open_user_session, user.name)
                _log.info("%s logged in from %s", user.actor, address)
                about(actor=user.actor)
                await forget(request, keys, guard)
                return with_session(request, _to(wanted), token)
            if is_link(text):
                guard.hold_off(address)
                first = await to_thread(keys.redeem, text)
                key = first[0] if first else None
                if key is None:
                    guard.failed(address)
            else:
                key = await guard.attempt(text, address)
        except TooMany as error:
            return form(wanted, error, name)
        if key is None:
            return form(wanted, _VOID if is_link(text) else _UNKNOWN)
        await forget(request, keys, guard)
        token = await to_thread(keys.open_session, key.key_id)
        _log.info("%s (key %s) logged in from %s", key.name, key.key_id, address)
        about(actor=key.key_id)
        if first:
            answer = pages.page("welcome.html", key=first[1], ends=key.expires_at, next=wanted)
            answer.headers["cache-control"] = "no-store"
        else:
            answer = _to(wanted)
        return with_session(request, answer, token)

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        answer = _to("/login")
        if keys and request.cookies.get(COOKIE):
            await forget(request, keys, guard)
            # Pictures may be kept by the browser; the next one to sit here is to see none.
            answer.headers["clear-site-data"] = '"cache"'
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return answer

    return routes


def inside(address: str) -> str:
    """An address of this server to go to, the first page for any other."""
    return address if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", address) else "/"


def with_session(request: Request, answer: Response, token: str) -> Response:
    """The answer with a session's cookie."""
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        secure=encrypted(request),
        # Not strict: a link in an alert's message has to find one logged in. What changes
        # anything is refused by the guard unless a page of this server asks for it.
        samesite="lax",
    )
    return answer


async def forget(request: Request, keys: AccessKeys, guard: Guard) -> None:
    """End the session that the browser has, if any."""
    if before := request.cookies.get(COOKIE):
        await to_thread(keys.end_session, before)
        guard.forget(before)


def _to(address: str) -> Response:
    return RedirectResponse(address, 303)


def encrypted(request: Request) -> bool:
    """Whether the browser speaks https, by its own word where a proxy before us ends it."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")
