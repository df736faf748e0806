"""``POST /token``: a name and a password for a token of some minutes, for programs."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import access_models, bodies, models
from api.attempts import Logins
from api.audit import about
from api.encode import Json
from api.errors import ApiError
from api.guard import address_of
from api.tokens import LIFE_S, Tokens

_MOST = 4096  # bytes of a form


class _Grant(ApiError):
    """What RFC 6749, 5.2 answers where no token is issued."""

    status = 400

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail, {"pragma": "no-cache"})
        self.error = error
        self.more["error_description"] = detail


def router(logins: Logins | None, tokens: Tokens | None) -> APIRouter:
    """The route; it issues nothing without a secret to sign with."""
    routes = APIRouter(tags=["service"])

    @routes.post(
        "/token",
        response_model=None,
        responses={
            200: {"model": access_models.TokenResponse},
            400: {"model": access_models.GrantRefused, "description": "As OAuth 2 tells it"},
            429: {"model": models.Problem, "description": "Too many wrong passwords"},
        },
        openapi_extra=bodies.described(
            access_models.TokenBody, "application/x-www-form-urlencoded"
        ),
    )
    async def token(request: Request) -> Response:
        """A token of 15 minutes for a user's name and password (OAuth 2's password grant)."""
        given = await bodies.form(request, _MOST)
        if logins is None or tokens is None or not tokens.issues:
            raise _Grant(
                "unsupported_grant_type",
                "no tokens are issued here: set ALPR_JWT_SECRET, or ask with a key",
            )
        if given.get("grant_type") != "password":
            raise _Grant("unsupported_grant_type", "grant_type is not password, the only one here")
        if not given.get("username") or not given.get("password"):
            raise _Grant("invalid_request", "username and password are needed")
        user = await logins.user(given["username"], given["password"], address_of(request))
        if user is None:
            raise _Grant("invalid_grant", "this name and password do not go together")
        if user.must_change:
            raise _Grant(
                "invalid_grant", "this password was for one login: set your own at /password first"
            )
        about(actor=user.actor)
        told = {"access_token": tokens.issue(user), "token_type": "bearer", "expires_in": LIFE_S}
        return Json(told, headers={"cache-control": "no-store", "pragma": "no-cache"})

    return routes
