"""Forgetting a plate, from its page: what there is, the question, and how far it is."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import RedirectResponse, Response

from api import bodies, models, parameters
from api.audit import reason as reason_given
from api.audit import tidy
from api.encode import Json
from api.errors import BadInput, Conflict, Forbidden, NotFound, wants_page
from api.pages import Pages
from api.visitor import visitor
from eventlog.log import LogError
from images.store import ImageError
from projections.errors import ViewError
from projections.queries import SightingQueries
from rules.forgetting import Forgotten
from rules.pseudonym import pseudonym_of
from rules.text import normalise
from schemas.codec import RegistryUnavailable

_log = logging.getLogger(__name__)

_BODY = 4096
_KEPT = 16  # answers that stay to be looked at
_COUNTED = 1000  # sightings of a plate; beyond, "more than"
_AGAIN_S = 1  # until the page of one that runs is asked for again

Tell = Callable[[str], None]
Text = Annotated[str, Path(max_length=parameters.MAX_TEXT, examples=["34A36837"])]


Forget = Callable[[str, str, str, Tell], Forgotten]
"""Forgets a plate for somebody, by a reason, and tells how far it is."""


class ForgetBody(BaseModel):
    """The plate once more, so that nobody forgets another by mistake; and why."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"confirm": "34A 368.37", "reason": "the owner asked"}}
    )

    confirm: str
    reason: str = ""


class ForgettingResponse(BaseModel):
    """``running``, ``done`` with what was erased, or ``failed`` with why in ``told``.

    ``erased`` counts records by topic that are gone, ``left`` those that Kafka drops in time.
    ``rules`` are alert rules that name the plate and have to be changed by hand.
    """

    id: str
    state: str
    told: str
    sightings: int
    alerts: int
    pictures: int
    erased: dict[str, int]
    left: dict[str, int]
    rules: list[str]


@dataclass(slots=True)
class _Job:
    number: str
    state: str = "running"
    told: str = "reads the log"
    done: Forgotten | None = None


class Forgettings:
    """Forgets in a thread, one plate at a time; the last answers stay to be looked at."""

    def __init__(self, forget: Forget) -> None:
        self._forget = forget
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def start(self, plate: str, actor: str, reason: str) -> str:
        """Begin; the job's number. Raises Conflict while another plate is being forgotten."""
        with self._lock:
            if any(job.state == "running" for job in self._jobs.values()):
                raise Conflict("another plate is being forgotten: try again when it is done")
            job = _Job(uuid4().hex)
            self._jobs[job.number] = job
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        given = (job, plate, actor, reason)
        threading.Thread(target=self._run, args=given, name="forget", daemon=True).start()
        return job.number

    def told(self, number: str) -> dict[str, Any]:
        """How far a job is, as ForgettingResponse has it. Raises NotFound."""
        job = self._jobs.get(number)
        if job is None:
            raise NotFound(
                f"nothing is being forgotten under {number}: the audit tells what was forgotten"
            )
        done = job.done
        return {
            "id": job.number,
            "state": job.state,
            "told": job.told,
            "sightings": sum(map(len, done.sightings.values())) if done else 0,
            "alerts": len(done.alerts) if done else 0,
            "pictures": done.pictures if done else 0,
            "erased": dict(done.erased) if done else {},
            "left": dict(done.left) if done else {},
            "rules": list(done.rules) if done else [],
        }

    def _run(self, job: _Job, plate: str, actor: str, reason: str) -> None:
        def tell(text: str) -> None:
            job.told = text

        try:
            job.done = self._forget(plate, actor, reason, tell)
            job.told, job.state = "done", "done"
        except (LogError, RegistryUnavailable, ImageError, ViewError) as error:
            _log.warning("a plate could not be forgotten: %s", error)
            job.told = "something it needs is away; what is left goes when it is tried again"
            job.state = "failed"
        except Exception:  # a thread's error reaches nobody else
            _log.exception("a plate could not be forgotten")
            job.told, job.state = "it failed: the cause is in the server's log", "failed"


def router(forgettings: Forgettings, queries: SightingQueries, pages: Pages) -> APIRouter:
    """``/plates/{text}/forget`` and ``/forgetting/{number}``; before the plates by text."""
    routes = APIRouter(tags=["plates"])

    @routes.get("/plates/{text:path}/forget", include_in_schema=False)
    def question(text: Text) -> Response:
        plate = _plate(text)
        rows = queries.by_plate(plate, _COUNTED + 1, retracted=True)
        cameras = sorted({row["camera_id"] for row in rows})
        return pages.page(
            "forget.html", text=plate, count=len(rows), most=_COUNTED, cameras=cameras, error=""
        )

    @routes.post(
        "/plates/{text:path}/forget",
        response_model=None,
        status_code=202,
        responses={
            202: {"model": ForgettingResponse},
            409: {"model": models.Problem, "description": "Another plate is being forgotten"},
        },
        openapi_extra=bodies.described(ForgetBody),
    )
    async def forget(request: Request, text: Text) -> Response:
        """Forget a plate for ever: sightings, reads, alerts, entries of lists, pictures.

        What is left of it is a keyed hash in the audit. Ask `GET /forgetting/{id}` how far it is.
        """
        plate = _plate(text)
        if not visitor().clear or visitor().cameras is not None:
            raise Forbidden("only who sees every camera and plates as they are may forget one")
        page = request.headers.get("content-type", "").startswith(
            "application/x-www-form-urlencoded"
        )
        given: dict[str, Any] = (
            await bodies.form(request, _BODY) if page else await bodies.json_object(request, _BODY)
        )
        body = bodies.take(given, {"confirm": str, "reason": str})
        if normalise(body.get("confirm", "")) != plate:
            raise BadInput(
                f"confirm={body.get('confirm', '')!r} is not the plate: write it once more, so "
                "that no other is forgotten by mistake"
            )
        reason = tidy(body.get("reason", "")) or reason_given()
        number = forgettings.start(plate, visitor().actor, reason)
        address = f"/forgetting/{quote(number)}"
        if page:
            return RedirectResponse(address, 303)
        return Json(forgettings.told(number), status_code=202, headers={"location": address})

    @routes.get(
        "/forgetting/{number}",
        response_model=None,
        responses={
            200: {"model": ForgettingResponse},
            404: {"model": models.Problem, "description": "There is none of this number"},
        },
    )
    def look(request: Request, number: str) -> Response:
        """How far a plate is forgotten."""
        told = forgettings.told(number)
        if not wants_page(request):
            return Json(told)
        answer = pages.page("forgetting.html", job=told)
        if told["state"] == "running":
            answer.headers["refresh"] = str(_AGAIN_S)
        return answer

    return routes


def _plate(text: str) -> str:
    wanted = parameters.text("plate", text) or ""
    if pseudonym_of(wanted):
        raise BadInput(f"{wanted!r} is a pseudonym: give the plate as it is")
    plate = normalise(wanted)
    if not plate:
        raise BadInput(f"{text!r} is no plate: it has no letter and no digit")
    return plate
