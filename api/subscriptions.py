"""Webhooks of sightings: who is told of what, as an administrator says."""

from asyncio import to_thread
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from api import bodies, models, parameters
from api.encode import Json
from api.errors import BadInput, NotFound, Unavailable
from api.visitor import visitor
from projections import veil
from projections.subscriptions import Subscription, Subscriptions
from projections.wanted import Wanted, plate_of
from rules.pseudonym import pseudonym_of

_MOST_BYTES = 65_536
_MOST = 100  # subscriptions

Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Subscribing:
    """Where subscriptions are kept. ``shown`` gives what may be shown of an address, and raises
    ValueError for one that is never posted to; ``secret`` what signs a subscription's posts.
    """

    store: Subscriptions
    shown: Callable[[str], str]
    secret: Callable[[str], str]


class NewSubscription(BaseModel):
    """Who is to be told of which sightings."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "example": {
                "url": "https://parking.example/sightings",
                "name": "parking",
                "changes": "ended",
                "cameras": ["GATE-1"],
            }
        },
    )

    url: Annotated[str, Field(max_length=2000)]
    name: Annotated[str, Field(max_length=100)] = ""
    changes: Literal["ended", "all"] = "ended"
    cameras: Annotated[list[Name], Field(max_length=1000)] = []
    sites: Annotated[list[Name], Field(max_length=1000)] = []
    plate: Annotated[str, Field(max_length=parameters.MAX_TEXT)] = ""
    clear: bool = Field(default=False, description="Plates as they are, where pseudonyms are on")


_AWAY: dict[int | str, dict[str, Any]] = {
    404: {"model": models.Problem, "description": "There is no such subscription"},
    503: {"model": models.Problem, "description": "The database cannot be reached"},
}


def router(subscribing: Subscribing | None) -> APIRouter:
    """Everything under ``/subscriptions``; without a store there is none."""
    routes = APIRouter(prefix="/subscriptions", tags=["subscriptions"])

    def ready() -> Subscribing:
        if subscribing is None:
            raise Unavailable("this server keeps no subscriptions")
        return subscribing

    def told(one: Subscription) -> dict[str, Any]:
        wanted = one.wanted
        row = {
            "subscription_id": one.subscription_id,
            "name": one.name,
            "url": ready().shown(one.url),
            "changes": "ended" if wanted.ended else "all",
            "cameras": sorted(wanted.cameras),
            "sites": sorted(wanted.sites),
            "plate": wanted.plate,
            "clear": one.clear,
            "state": "paused" if one.paused_at else "failing" if one.failing_since else "active",
            "why": one.why or one.last_error,
            "created_at": one.created_at,
            "created_by": one.actor,
            "paused_at": one.paused_at,
            "failing_since": one.failing_since,
            "failures": one.failures,
            "last_sent_at": one.last_sent_at,
            "sent": one.sent,
            "waiting": one.waiting,
        }
        return veil.told([row])[0]

    def key_of(text: str) -> str:
        return str(parameters.read_id(text, "subscription_id", "/subscriptions"))

    def there(found: bool, key: str) -> Response:
        if not found:
            raise NotFound(f"there is no subscription {key}: GET /subscriptions lists them")
        listed = [one for one in ready().store.all() if one.subscription_id == key]
        return Json(told(listed[0]) if listed else {"subscription_id": key, "removed": True})

    @routes.get("", response_model=None, responses={503: _AWAY[503]})
    def listed() -> Response:
        """Every subscription, and how its deliveries go."""
        found = [told(one) for one in ready().store.all()]
        return Json({"count": len(found), "subscriptions": found})

    @routes.post(
        "",
        status_code=201,
        response_model=None,
        responses={201: {"description": "It, with its secret, this once"}, 503: _AWAY[503]},
        openapi_extra=bodies.described(NewSubscription),
    )
    async def create(request: Request) -> Response:
        """A new one: changes from now on are posted to its address, signed with the secret that
        this answer tells and no other does.
        """
        into = ready()
        given = await bodies.json_object(request, _MOST_BYTES)
        new = _new(given, into.shown)
        wanted = Wanted(
            frozenset(new.cameras),
            frozenset(new.sites),
            plate_of(new.plate),
            new.changes == "ended",
        )
        if len(await to_thread(into.store.all)) >= _MOST:
            raise BadInput(f"there are {_MOST} subscriptions already: remove one")
        who = visitor().actor
        made = await to_thread(
            lambda: into.store.create(new.name, new.url, wanted, who, clear=new.clear)
        )
        secret = into.secret(made.subscription_id)
        return Json({**told(made), "secret": secret}, status_code=201)

    @routes.delete("/{subscription_id}", response_model=None, responses=_AWAY)
    def remove(subscription_id: str) -> Response:
        """End a subscription; what waits for it is not sent."""
        key = key_of(subscription_id)
        return there(ready().store.remove(key), key)

    @routes.post("/{subscription_id}/pause", response_model=None, responses=_AWAY)
    def pause(subscription_id: str) -> Response:
        """Tell it nothing, and keep nothing for it, until it is resumed."""
        key = key_of(subscription_id)
        return there(ready().store.pause(key, f"by {visitor().actor}"), key)

    @routes.post("/{subscription_id}/resume", response_model=None, responses=_AWAY)
    def resume(subscription_id: str) -> Response:
        """Tell it of changes from now on, after a `gap` that says since when it was not told."""
        key = key_of(subscription_id)
        return there(ready().store.resume(key), key)

    return routes


def _new(given: Any, shown: Callable[[str], str]) -> NewSubscription:
    """What a body asks for. Raises BadInput, and Veiled for what would tell plates."""
    try:
        new = NewSubscription.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"{place[:80]}: {first['msg'][:200]}") from None
    texts = (new.name, new.plate, *new.cameras, *new.sites)
    if any("\0" in text for text in texts):
        raise BadInput("a text holds a NUL character, which no text here has: drop it")
    if new.clear:
        veil.refuse("a subscription with `clear`")
    veil.refuse_guessing(new.plate)
    if pseudonym_of(new.plate):
        raise BadInput("plate is a pseudonym: give the plate, or a pattern of plates")
    try:
        shown(new.url)
    except ValueError as error:
        raise BadInput(f"url: {error}") from None
    return new
