"""Logging in and out in a browser: a key, or the first admin's link, for a session's cookie."""

import logging
import re
from asyncio import to_thread
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.errors import ApiError, BadInput, TooMany
from api.guard import COOKIE, Guard, address_of
from api.pages import Pages
from projections.access import SESSION_LIFE, AccessKeys, is_link

_log = logging.getLogger(__name__)

_MOST = 4096  # bytes of a form
_UNKNOWN = "This key is unknown, expired or revoked."
_VOID = "This link was used before, is older than a day, or there is an administrator already."


def router(keys: AccessKeys | None, guard: Guard, pages: Pages) -> APIRouter:
    """``/login`` and ``/logout``; where no key is asked for they lead to the pages."""
    routes = APIRouter(include_in_schema=False)

    def form(next: str, error: ApiError | str = "") -> Response:
        code = 200 if not error else error.status if isinstance(error, ApiError) else 401
        told = f"{error}"
        return pages.page("login.html", code=code, next=next, error=told[:1].upper() + told[1:])

    @routes.get("/login")
    def ask(next: str = "/") -> Response:
        return form(_inside(next)) if keys else _to(_inside(next))

    @routes.post("/login")
    async def log_in(request: Request) -> Response:
        given = await _form(request)
        wanted, text = _inside(given.get("next", "/")), given.get("key", "").strip()
        if keys is None:
            return _to(wanted)
        address, first = address_of(request), None
        try:
            if is_link(text):
                guard.hold_off(address)
                first = await to_thread(keys.redeem, text)
                key = first[0] if first else None
                if key is None:
                    guard.failed(address)
            else:
                key = await guard.attempt(text, address)
        except TooMany as error:
            return form(wanted, error)
        if key is None:
            return form(wanted, _VOID if is_link(text) else _UNKNOWN)
        if before := request.cookies.get(COOKIE):
            await to_thread(keys.end_session, before)
            guard.forget(before)
        token = await to_thread(keys.open_session, key.key_id)
        _log.info("%s (key %s) logged in from %s", key.name, key.key_id, address)
        if first:
            answer = pages.page("welcome.html", key=first[1], ends=key.expires_at, next=wanted)
            answer.headers["cache-control"] = "no-store"
        else:
            answer = _to(wanted)
        answer.set_cookie(
            COOKIE,
            token,
            max_age=int(SESSION_LIFE.total_seconds()),
            httponly=True,
            secure=_encrypted(request),
            # Not strict: a link in an alert's message has to find one logged in. What changes
            # anything is refused by the guard unless a page of this server asks for it.
            samesite="lax",
        )
        return answer

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        token = request.cookies.get(COOKIE)
        answer = _to("/login")
        if keys and token:
            guard.forget(token)
            await to_thread(keys.end_session, token)
            # Pictures may be kept by the browser; the next one to sit here is to see none.
            answer.headers["clear-site-data"] = '"cache"'
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return answer

    return routes


def _to(address: str) -> Response:
    return RedirectResponse(address, 303)


def _inside(address: str) -> str:
    """An address of this server to go to, the first page for any other."""
    return address if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", address) else "/"


def _encrypted(request: Request) -> bool:
    """Whether the browser speaks https, by its own word where a proxy before us ends it."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")


async def _form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded form. Raises BadInput."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST:
            raise BadInput(f"the form is longer than {_MOST} bytes: give a key alone")
    try:
        fields = parse_qs(body.decode(), max_num_fields=8)
    except ValueError:
        raise BadInput("the form cannot be read: send key=… urlencoded in UTF-8") from None
    return {name: values[0] for name, values in fields.items()}
