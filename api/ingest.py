"""What other programs send in: reads in our own form, and messages of those that people run."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from api import bodies, models
from api.arriving import form_of, strict_json, whole_body
from api.encode import Json
from api.errors import ApiError, BadInput, TooLarge, Unavailable
from api.intake import Intake, Pressure, Taken
from api.visitor import visitor
from edge.foreign import fast_alpr, frigate, plate_recognizer, rekor
from edge.foreign.fields import Translated, Untranslatable
from edge.foreign.given import GivenRead, Unreadable
from eventlog.log import LogError, LogFull, RecordTooLarge
from schemas.codec import RegistryUnavailable

_log = logging.getLogger(__name__)

MOST_HELD = 64 * 1024 * 1024  # of all requests at once
MOST_READS = 1_000
_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/ndjson"})
Translate = Callable[[Any], Translated]


class Full(ApiError):
    """The log has no space left."""

    status = 507
    error = "log_full"


_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"description": "What became of each read; those accepted are durable"},
    408: {"model": models.Problem, "description": "The body did not arrive in time"},
    422: {"model": models.Problem, "description": "Nothing of it can be taken"},
    429: {"model": models.Problem, "description": "Too much at once: Retry-After"},
    503: {"model": models.Problem, "description": "The log is away: Retry-After"},
    507: {"model": models.Problem, "description": "The log is full: Retry-After"},
}


class _Desk:
    """Takes what the routes were sent; ``intake`` None takes nothing."""

    def __init__(self, intake: Intake | None) -> None:
        self._intake = intake
        self._pressure = Pressure(MOST_HELD)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body, which counts as held until the block ends."""
        self._ready()
        with self._pressure.hold() as more:
            yield await whole_body(request, more)

    async def take(self, reads: Sequence[Any], source: str, alive: Sequence[str] = ()) -> Response:
        """Take each read that can be taken, and say what became of it."""
        intake, who = self._ready(), visitor()
        if len(reads) > MOST_READS:
            raise BadInput(f"there are {len(reads):,} reads: send at most {MOST_READS:,} at once")
        again = "nothing is known to be kept: send it again, which does no harm"
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(
                intake.threads, intake.take, reads, source, who.cameras
            )
        except LogFull:
            raise Full(f"the log has no space left, and {again}", {"retry-after": "30"}) from None
        except RecordTooLarge:
            raise TooLarge("a read is larger than a record of the log may be") from None
        except (LogError, RegistryUnavailable) as error:
            _log.warning("reads cannot be appended: %s", error)  # not told: it names the server
            told = f"the log cannot be written now, and {again}"
            raise Unavailable(told, {"retry-after": "5"}) from None
        intake.lives([one for one in alive if who.sees(one)])
        return _answer(done)

    async def message(self, body: bytes, source: str, translate: Translate) -> Response:
        """Take the reads of another program's message."""
        given = await asyncio.to_thread(strict_json, body)
        try:
            found = translate(given)
        except Untranslatable as error:
            raise BadInput(f"this is no message of {source}: {error}") from None
        return await self.take(found.reads, source, found.alive)

    def _ready(self) -> Intake:
        if self._intake is None:
            raise Unavailable("this server takes no reads: it was started without a log")
        return self._intake


def router(intake: Intake | None) -> APIRouter:
    """Everything under ``/ingest``; without an intake nothing is taken."""
    routes = APIRouter(prefix="/ingest", tags=["ingest"])
    desk = _Desk(intake)

    @routes.post(
        "/reads",
        status_code=202,
        response_model=None,
        responses=_ANSWERS,
        openapi_extra=bodies.described(GivenRead),
    )
    async def reads(request: Request) -> Response:
        """Reads of plates: one as JSON, several as {"reads": […]}, or one a line
        (`application/x-ndjson`).

        Each is taken or refused by itself: the answer says of each, by index, whether it was
        accepted, is a repeat of one that was, or refused and why. 202 where any was taken, 422
        where none. What was accepted is durable. `alive` beside `reads` names cameras that live
        though nothing was read.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        async with desk.body(request) as body:
            found, alive = await asyncio.to_thread(_parsed, body, kind in _LINES)
            return await desk.take(found, "reads", alive)

    @routes.post("/frigate", **_message())
    async def of_frigate(request: Request) -> Response:
        """A message of Frigate: of `frigate/events` or `frigate/tracked_object_update`."""
        async with desk.body(request) as body:
            return await desk.message(body, "frigate", frigate.translate)

    @routes.post("/rekor", **_message())
    async def of_rekor(request: Request) -> Response:
        """A message of a Rekor Scout (OpenALPR) agent: results, groups, heartbeats."""
        async with desk.body(request) as body:
            return await desk.message(body, "rekor", rekor.translate)

    @routes.post("/fast-alpr", **_message())
    async def of_fast_alpr(request: Request) -> Response:
        """What fast-alpr found in a frame, with the frame's camera and time."""
        async with desk.body(request) as body:
            return await desk.message(body, "fast-alpr", fast_alpr.translate)

    @routes.post("/plate-recognizer", **_message("multipart/form-data"))
    async def of_plate_recognizer(request: Request) -> Response:
        """Plate Recognizer's webhook: JSON, or a form with `json` and the picture `upload`."""
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        async with desk.body(request) as given:
            body, picture = given, None
            if kind == b"multipart/form-data":
                form = form_of(given, options.get(b"boundary", b""))
                if "json" not in form:
                    raise BadInput("the form has no field `json`: send the webhook's JSON in it")
                body = form["json"]
                if form.get("upload"):
                    picture = base64.b64encode(form["upload"]).decode()
            return await desk.message(
                body, "plate-recognizer", lambda one: plate_recognizer.translate(one, picture)
            )

    return routes


def _message(*medias: str) -> dict[str, Any]:
    """What OpenAPI says of a route for another program's messages."""
    described = bodies.described_as("object", "application/json", *medias)
    described["requestBody"]["required"] = True
    return {
        "status_code": 202,
        "response_model": None,
        "responses": _ANSWERS,
        "openapi_extra": described,
    }


def _parsed(body: bytes, lines: bool) -> tuple[list[Any], list[str]]:
    """The reads of a body, and the cameras that are said to live. Raises BadInput."""
    if lines:
        found = [line for line in body.split(b"\n") if line.strip()]
        if len(found) > MOST_READS:
            raise BadInput(f"there are more than {MOST_READS:,} lines: send fewer at once")
        return [_line(line) for line in found], []
    given = strict_json(body)
    if not isinstance(given, dict):
        raise BadInput('the body is no JSON object: send one read, or {"reads": […]}')
    if not {"reads", "alive"} & given.keys():
        return [given], []
    for name in given:
        if name not in ("reads", "alive"):
            raise BadInput(f"{name[:40]!r} does not stand beside `reads`: use `reads` and `alive`")
    reads, alive = given.get("reads", []), given.get("alive", [])
    if not isinstance(reads, list) or not isinstance(alive, list):
        raise BadInput("`reads` and `alive` are lists")
    if not all(isinstance(one, str) for one in alive) or len(alive) > MOST_READS:
        raise BadInput("`alive` is a list of at most 1,000 cameras' ids")
    return reads, alive


def _line(line: bytes) -> Any:
    try:
        return strict_json(line)
    except BadInput as error:
        return Unreadable(error.detail)


def _answer(taken: Sequence[Taken]) -> Response:
    counts = {
        outcome: sum(one.outcome == outcome for one in taken)
        for outcome in ("accepted", "repeated", "refused")
    }
    reads: list[dict[str, Any]] = []
    for index, one in enumerate(taken):
        said: dict[str, Any] = {"index": index, "outcome": one.outcome}
        if one.read_id is not None:
            said["read_id"] = one.read_id
        if one.problems:
            said["problems"] = [{"field": f, "message": m} for f, m in one.problems]
        reads.append(said)
    told: dict[str, Any] = {**counts, "reads": reads}
    if taken and counts["refused"] == len(taken):
        field, message = next((one.problems[0] for one in taken if one.problems), ("", ""))
        detail = f"no read can be taken; the first: {field} {message}"
        told = {"error": "invalid_input", "detail": detail, **told}
        return Json(told, status_code=422)
    return Json(told, status_code=202)
