"""Everybody's own password: the page to change it."""

import logging
from asyncio import to_thread

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api import bodies
from api.attempts import Logins
from api.encode import Json
from api.errors import ApiError, BadInput, Conflict, TooMany, wants_page
from api.guard import COOKIE, Guard, address_of
from api.login import inside, with_session
from api.pages import Pages
from api.visitor import visitor
from projections.access import AccessKeys
from projections.passwords import LEAST, MOST, weakness

_log = logging.getLogger(__name__)

_MOST = 4096  # bytes of a form


def router(keys: AccessKeys | None, logins: Logins | None, guard: Guard, pages: Pages) -> APIRouter:
    """``/password``: only for those who have one."""
    routes = APIRouter(include_in_schema=False)

    async def page(next: str, error: ApiError | None = None) -> Response:
        who = visitor()
        user = await to_thread(keys.users.get, who.name) if keys and who.user else None
        told = f"{error}" if error else ""
        return pages.page(
            "password.html",
            code=error.status if error else 200,
            next=next,
            error=told[:1].upper() + told[1:],
            user=user,
            least=LEAST,
            most=MOST,
        )

    @routes.get("/password")
    async def ask(next: str = "/") -> Response:
        return await page(inside(next))

    @routes.post("/password")
    async def change(request: Request) -> Response:
        given = await bodies.form(request, _MOST)
        wanted, name = inside(given.get("next", "/")), visitor().user
        if keys is None or logins is None or name is None:
            raise Conflict("you are not here by a name and password, so there is none to change")
        before, new = given.get("before", ""), given.get("new", "")
        try:
            if given.get("again", new) != new:
                raise BadInput("the new password was typed differently the second time")
            if (weak := weakness(new, name)) is not None:
                raise BadInput(weak)
            if new == before:
                raise BadInput("the new password is the one before: take another")
            if await logins.user(name, before, address_of(request)) is None:
                raise BadInput("the password of now is not right")
            hashed = await logins.hash(new)
        except (BadInput, TooMany) as error:
            if wants_page(request):
                return await page(wanted, error)
            raise
        await to_thread(keys.users.set_password, name, hashed)
        _log.info("user:%s changed the password from %s", name, address_of(request))
        done = Json({"changed": True})
        if wants_page(request):
            done = RedirectResponse(wanted, 303)
        if before_token := request.cookies.get(COOKIE):
            # Every session ended with the old password; the one who changed it goes on.
            guard.forget(before_token)
            return with_session(request, done, await to_thread(keys.open_user_session, name))
        return done

    return routes
