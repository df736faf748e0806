"""What can be wrong with a request, and the one shape in which it is told.

- ApiError: status, a short code and a sentence that names the input, the cause and the cure
  - BadInput (422): a parameter cannot be used
- CutOff (400): who sent the body went before its end
  - Unauthorised (401): a key is needed; a browser is led to the login page
  - Forbidden (403): the key is not enough, or another site's page asked
  - ReasonNeeded (428): who looks at plates here says why; a browser is led to the form
  - TooMany (429): too many wrong keys
  - NotFound (404): nothing is there under this name
  - Gone (410): it was there, and its time is over
  - NotAllowed (405): the address exists, for another method
  - Conflict (409): something else has to end first
  - TooLarge (413): the body is larger than is read
  - Unavailable (503): the views or the log cannot be reached, or took too long
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response

from api.encode import Json
from eventlog.log import LogError, RecordTooLarge
from images.store import ImageError, NoPicture
from projections.errors import QueryTimeout, ViewError
from projections.veil import Veiled
from rules.lookup import QuestionError
from schemas.codec import RegistryUnavailable

_log = logging.getLogger(__name__)

ErrorPage = Callable[[Request, "ApiError"], Response]


class ApiError(Exception):
    """An answer other than the one asked for."""

    status = 500
    error = "internal_error"

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.more: dict[str, Any] = {}


class BadInput(ApiError):
    """A parameter or body cannot be used; nothing was looked up or written.

    ``problems`` are the places, for who can show them, each with its ``message``.
    """

    status = 422
    error = "invalid_input"

    def __init__(self, detail: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail)
        if problems:
            self.more["problems"] = list(problems)


class Unauthorised(ApiError):
    """A key is needed, or the one that was given is not accepted.

    ``reason`` is RFC 6750's code for a key that was given, such as ``invalid_token``.
    """

    status = 401
    error = "unauthorized"

    def __init__(self, detail: str, reason: str = "") -> None:
        told = f', error="{reason}"' if reason else ""
        super().__init__(detail, {"www-authenticate": f'Bearer realm="alpr"{told}'})


class Forbidden(ApiError):
    """The one who asks is known, and may not."""

    status = 403
    error = "forbidden"


class OneTimePassword(Forbidden):
    """All they may do yet is to set a password of their own."""

    error = "password_change_needed"


class ReasonNeeded(ApiError):
    """Why somebody asks has to be said first (RFC 6585, 3)."""

    status = 428
    error = "reason_needed"


class TooMany(ApiError):
    """Too many wrong keys or passwords, or simply too many requests, came from one."""

    status = 429
    error = "too_many_attempts"


class NotFound(ApiError):
    """Nothing is there under this name."""

    status = 404
    error = "not_found"


class Gone(ApiError):
    """It was there under this name, and its time is over."""

    status = 410
    error = "gone"


class Unavailable(ApiError):
    """The read model cannot be reached at the moment."""

    status = 503
    error = "unavailable"


class NotAllowed(ApiError):
    """The address exists, for another method."""

    status = 405
    error = "method_not_allowed"


class Conflict(ApiError):
    """It can be done, but not while something else is as it is."""

    status = 409
    error = "conflict"


class CutOff(ApiError):
    """Who sent it went before its end, and hears nothing of this."""

    status = 400
    error = "cut_off"


class TooLarge(ApiError):
    """The body is larger than is read."""

    status = 413
    error = "too_large"


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks (it names text/html) rather than a program."""
    return "text/html" in request.headers.get("accept", "")


def install(app: FastAPI, error_page: ErrorPage) -> ErrorPage:
    """Answer every failure as ``{error, detail}``; as a page where a browser asked. How it does."""

    def answer(request: Request, error: ApiError) -> Response:
        if wants_page(request):
            if isinstance(error, Unauthorised) and request.method == "GET":
                return _before(request, "/login")
            if isinstance(error, ReasonNeeded) and request.method == "GET":
                return _before(request, "/reason")
            if isinstance(error, OneTimePassword):
                return _before(request, "/password")
            page = error_page(request, error)
            page.headers.update(error.headers)
            return page
        body = {"error": error.error, "detail": error.detail, **error.more}
        return Json(body, status_code=error.status, headers=error.headers)

    def register(kind: type[Exception], translate: Callable[[Request, Any], ApiError]) -> None:
        async def handler(request: Request, error: Exception) -> Response:
            return answer(request, translate(request, error))

        app.add_exception_handler(kind, handler)

    register(ApiError, lambda _, error: error)
    register(RequestValidationError, lambda _, error: _of_validation(error.errors()))
    register(HTTPException, _of_routing)
    register(ClientDisconnect, lambda *_: CutOff("the body broke off before its end"))
    register(ImageError, _of_pictures)
    register(ViewError, _of_view)
    register(QuestionError, lambda _, error: BadInput(f"{error}"))
    register(LogError, _of_log)
    register(RegistryUnavailable, _of_log)
    register(Exception, _of_bug)
    return answer


def _before(request: Request, page: str) -> Response:
    """A page that a browser has to pass first, and from there to what it asked for."""
    wanted = "/"
    if request.method == "GET":
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    address = page if wanted == "/" else f"{page}?{urlencode({'next': wanted})}"
    return RedirectResponse(address, 303, {"cache-control": "no-store", "vary": "accept"})


_SHOWN = 80  # characters of a value that are told

# What pydantic calls a failure, and what we say after the name and the value.
_CURES = {
    "less_than_equal": "is beyond the maximum of {le}: ask for at most {le}",
    "greater_than_equal": "is below the minimum of {ge}: ask for at least {ge}",
    "int_parsing": "is not a whole number: give one such as {name}=100",
    "int_parsing_size": "is too large a number: give a smaller one",
    "float_parsing": "is not a number: give one such as {name}=0.8",
    "bool_parsing": "is neither true nor false: give {name}=true or leave it out",
    "string_too_long": "is longer than {max_length} characters: shorten it",
    "literal_error": "is unknown: give one of {expected}",
}


def _of_validation(errors: Sequence[Mapping[str, Any]]) -> BadInput:
    """The first thing that pydantic found, in a sentence with its cure."""
    first = errors[0]
    name = str(first["loc"][-1])
    given = str(first.get("input"))
    told = f"{name}={given[:_SHOWN] + '…' if len(given) > _SHOWN else given!r}"
    cure = _CURES.get(str(first["type"]))
    if cure is None:
        return BadInput(f"{told} cannot be used: {first['msg']}")
    return BadInput(f"{told} {cure.format(name=name, **first.get('ctx', {}))}")


def _of_routing(request: Request, error: HTTPException) -> ApiError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        told = f"{request.method} {request.url.path} is not possible: use {allowed}"
        return NotAllowed(told, {"allow": allowed})
    if error.status_code == 404:
        return NotFound(
            f"there is nothing at {request.url.path}: GET / lists the endpoints, /docs shows them"
        )
    told = ApiError(str(error.detail))
    told.status = error.status_code
    return told


def _of_view(_: Request, error: ViewError) -> ApiError:
    if isinstance(error, Veiled):
        return Forbidden(str(error))
    if isinstance(error, QueryTimeout):
        return Unavailable(str(error))
    _log.warning("the views cannot be read: %s", error)  # not told: it names the server
    return Unavailable(
        "the database cannot be reached: try again in a moment; /health tells when it is back"
    )


def _of_log(_: Request, error: Exception) -> ApiError:
    if isinstance(error, RecordTooLarge):
        return BadInput("this is larger than a record of the log may be: shorten it")
    _log.warning("nothing can be written to the log: %s", error)  # not told: it names the server
    return Unavailable(
        "the log cannot be written at the moment, and it is not known whether this was: look, "
        "and do it again; doing it twice does no harm"
    )


def _of_pictures(request: Request, error: ImageError) -> ApiError:
    if isinstance(error, NoPicture):
        asked = request.url.path if request.method == "GET" else "at that path"
        return NotFound(f"there is no picture {asked}: it was never kept, or its time is over")
    _log.warning("a picture cannot be read: %s", error)  # not told: it names the server
    return Unavailable("the pictures cannot be reached: try again in a moment")


def _of_bug(_request: Request, _error: Exception) -> ApiError:
    # The server logs it with its traceback; nothing of it is told.
    return ApiError("the request could not be answered: the cause is in the server's log")
