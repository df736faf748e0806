"""Dead letters: what could not be processed, looked into and sent again."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import bodies, models, parameters
from api.encode import Json
from api.errors import BadInput, wants_page
from api.events import known_parameters
from api.pages import Pages
from projections.veil import refuse

MOST = 500
"""Letters listed, or sent again, at once."""
_BODY = 262_144  # bytes; 500 places are 40,000
_SHOWN = 100

Filter = Annotated[str | None, Query(max_length=200)]
When = Annotated[
    str | None, Query(max_length=40, description="Of the burial: ISO 8601, or 2h for two hours ago")
]
Place = Annotated[
    str, Path(description="TOPIC/PARTITION/OFFSET", examples=["alpr.reads.raw/3/1290"])
]


class Desk(Protocol):
    """What looks into the log's dead letters; alpr.dlq_desk is one."""

    def listing(self, given: Mapping[str, str | None], limit: int) -> dict[str, Any]:
        """Letters that agree with filters, and how many there are of each kind."""
        ...

    def one(self, where: str) -> dict[str, Any]:
        """All that is known of one record."""
        ...

    def redrive(
        self, chosen: Mapping[str, Any], *, dry_run: bool, again: bool, anyway: bool, most: int
    ) -> dict[str, Any]:
        """Send records again, or only say what would be sent."""
        ...


class Kind(BaseModel):
    """Letters of one kind that were not sent again."""

    topic: str
    step: str
    reason: str
    letters: int


class Letter(BaseModel):
    """A dead letter: one step that failed on one record."""

    place: str
    topic: str
    partition: int
    offset: int
    appended_at: str
    buried_at: str
    step: str
    reason: str
    detail: str
    redriven: int
    sent_again_as: str | None


class DeadLettersResponse(BaseModel):
    """The letters buried last. `strange` counts records of alpr.dlq that are none."""

    count: int
    more: bool
    strange: int
    waiting: list[Kind]
    letters: list[Letter]


class RedriveBody(BaseModel):
    """Which records: places, or filters. `again`: also what was sent again before; `anyway`: also
    reads of cars that are sighted already.
    """

    places: list[str] | None = None
    topic: str | None = None
    step: str | None = None
    reason: str | None = None
    since: str | None = None
    until: str | None = None
    dry_run: bool = False
    again: bool = False
    anyway: bool = False


class RedriveResponse(BaseModel):
    """By place: where it was sent (null on a dry run), where it had been sent, why it was not."""

    dry_run: bool
    sent: dict[str, str | None]
    already: dict[str, str]
    refused: dict[str, str]
    more: bool
    told: list[str]


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "places": list,
    **dict.fromkeys(("topic", "step", "reason", "since", "until"), str),
    **dict.fromkeys(("dry_run", "again", "anyway"), bool),
}


def router(desk: Desk, pages: Pages) -> APIRouter:
    """Everything under ``/dead-letters``."""
    routes = APIRouter(tags=["system"])

    @routes.get(
        "/dead-letters", response_model=None, responses={200: {"model": DeadLettersResponse}}
    )
    def listing(
        *,
        request: Request,
        topic: Filter = None,
        step: Filter = None,
        reason: Filter = None,
        since: When = None,
        until: When = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = _SHOWN,
    ) -> Response:
        """What could not be processed, buried last first, and how many of each kind wait."""
        parameters.refuse_unknown(request, known)
        refuse("a dead letter")
        given = {"topic": topic, "step": step, "reason": reason, "since": since, "until": until}
        given = {name: parameters.text(name, value) for name, value in given.items()}
        told = desk.listing(given, limit)
        if not wants_page(request):
            return Json(told)

        def address(**changed: Any) -> str:
            asked = {name: value for name, value in {**given, **changed}.items() if value}
            return f"/dead-letters?{urlencode(asked)}" if asked else "/dead-letters"

        return pages.page(
            "dead_letters.html",
            given=given,
            filtered=any(given.values()),
            address=address,
            quote=quote,
            most=MOST,
            **told,
        )

    known = known_parameters(listing)

    @routes.post(
        "/dead-letters/redrive",
        response_model=None,
        responses={200: {"model": RedriveResponse}, 409: {"model": models.Problem}},
        openapi_extra=bodies.described(RedriveBody),
    )
    async def redrive(request: Request) -> Response:
        """Send records again to where they were; with `dry_run` only say what would be sent.

        One is sent again once unless `again` says otherwise, and not at all where it still cannot
        be read: mend it with `alpr dlq redrive … --json FILE`.
        """
        body = bodies.take(await bodies.json_object(request, _BODY), _FIELDS)
        flags = {name: body.pop(name, False) for name in ("dry_run", "again", "anyway")}
        places = body.get("places")
        if places is not None and not all(isinstance(place, str) for place in places):
            raise BadInput("places are not all text: give each as TOPIC/PARTITION/OFFSET")
        return Json(await run_in_threadpool(desk.redrive, body, most=MOST, **flags))

    @routes.get(
        "/dead-letters/{place:path}",
        response_model=None,
        responses={404: {"model": models.Problem}},
    )
    def one(request: Request, place: Place) -> Response:
        """One record: where it was, why it could not be processed, what it holds.

        `record` is its content as far as it can be read, `value`, `key` and `headers` its bytes in
        base64, `hex` those around where reading ended.
        """
        refuse("a dead letter")
        told = desk.one(parameters.text("place", place) or "")
        if not wants_page(request):
            return Json(told)
        shown = orjson.dumps(told["record"], option=orjson.OPT_INDENT_2).decode()
        return pages.page("dead_letter.html", d=told, record=shown if told["record"] else "")

    return routes
