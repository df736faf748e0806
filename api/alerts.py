"""Alerts: what rules found, and what people do about it; for programs and for people."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import alert_view, bodies, models, parameters, view, watch_models
from api.encode import Json, dumps
from api.errors import BadInput, NotFound, wants_page
from api.events import follow, known_parameters
from api.live import LiveFeed, event
from api.pages import Page, Pages, frame_of
from api.shared import Shared
from api.watching import Watching
from images.store import ImageStore
from projections.alert_queries import AlertSearch
from projections.queries import Row, SightingQueries
from rules.alerts.life import STATES
from rules.alerts.parse import RulesError, rule_of
from rules.alerts.rule import Rule
from rules.alerts.words import words

PER_PAGE = 40
MAX_COMMENT = 2000
_BODY = 16_384  # bytes
_CHOICES = 200  # rules to choose from; where there are more, a name is typed
_SIGHTINGS = 20  # of an alert, that its page shows
_DEEDS = {"acknowledge": "acknowledged", "resolve": "resolved", "comment": "commented"}

AlertId = Annotated[
    str, Path(description="UUID", examples=["0c6cf2b4-6d2f-5d3c-8f0e-0a4c1f1b2d3e"])
]
Filter = Annotated[str | None, Query(max_length=200)]
State = Literal["open", "acknowledged", "resolved", "withdrawn", "all"]
Severity = Literal["info", "warning", "critical", ""]


def router(
    watching: Watching,
    sightings: SightingQueries,
    images: ImageStore,
    feed: LiveFeed,
    pages: Pages,
) -> APIRouter:
    """Everything under ``/alerts``."""
    routes = APIRouter(tags=["alerts"])
    queries = watching.queries
    counted = Shared(queries.counts)

    @routes.get(
        "/alerts", response_model=None, responses={200: {"model": watch_models.AlertsResponse}}
    )
    def listing(
        *,
        request: Request,
        state: State | None = None,
        severity: Severity | None = None,
        rule: Filter = None,
        plate: Annotated[
            str | None,
            Query(
                max_length=parameters.MAX_TEXT, description="* stands for any characters, ? for one"
            ),
        ] = None,
        camera: Filter = None,
        since: parameters.Time = None,
        until: parameters.Time = None,
        limit: parameters.Limit = 100,
        offset: parameters.Offset = 0,
        page: Page = 1,
    ) -> Response:
        """Alerts as they stand, the latest raised first; browsers get the board.

        `since` and `until` are times of event. `page` is of the board alone.
        """
        parameters.refuse_unknown(request, known)
        given = {"severity": severity, "rule": rule, "plate": plate, "camera": camera}
        given = {name: parameters.text(name, value) for name, value in given.items()}
        if wants_page(request):
            return _board(watching, counted, pages, state or "open", given, page)
        first, last = parameters.read_time("since", since), parameters.read_time("until", until)
        if first and last and first > last:
            raise BadInput(f"since={since!r} is after until={until!r}: exchange them")
        search = _search(state or "all", given, since=first, until=last)
        rows = queries.alerts(search, limit, offset)
        return Json({"count": len(rows), "limit": limit, "offset": offset, "alerts": rows})

    known = known_parameters(listing)

    @routes.get(
        "/alerts/stream",
        response_model=None,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream(
        since: parameters.Since = None,
        cards: Annotated[bool, Query(include_in_schema=False)] = False,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Changes of alerts as they come, as server-sent events.

        `alert` carries an alert as it now is, `erased` the id of one that was forgotten, `reset`
        says that what was known before is too old to go on from.
        """
        return await follow(feed, last_event_id or since, as_card if cards else _as_json)

    def as_card(row: Row) -> bytes:
        if row.get("erased"):
            return event("card", dumps({"alert_id": row["alert_id"], "erased": True}))
        told = {
            name: row[name]
            for name in ("alert_id", "state", "rule", "severity", "camera_id", "plate")
        }
        html = pages.fragment("alert_row.html", a=alert_view.alert(row))
        return event("card", dumps({**told, "html": html}))

    @routes.get(
        "/alerts/{alert_id}",
        response_model=None,
        responses={200: {"model": watch_models.AlertWithHistory}, 404: {"model": models.Problem}},
    )
    def one(request: Request, alert_id: AlertId) -> Response:
        """One alert with its history and every attempt to tell somebody of it."""
        row = _find(watching, alert_id)
        if wants_page(request):
            return _page(watching, sightings, images, pages, row)
        return Json(row)

    def deed(name: str) -> Callable[..., Any]:
        async def done(request: Request, alert_id: AlertId) -> Response:
            body = bodies.take(await bodies.json_object(request, _BODY), {"comment": str})
            comment = _comment(body.get("comment", ""), needed=name == "comment")
            return await run_in_threadpool(_do, watching, alert_id, _DEEDS[name], comment)

        return done

    for name, told in (
        ("acknowledge", "Somebody has seen it: nobody else needs to be told."),
        ("resolve", "It is dealt with."),
        ("comment", "Say something about it."),
    ):
        routes.add_api_route(
            f"/alerts/{{alert_id}}/{name}",
            deed(name),
            methods=["POST"],
            name=f"{name}_alert",
            description=f'{told} The body may be `{{"comment": …}}`.',
            response_model=None,
            responses={200: {"model": watch_models.DeedResponse}, 404: {"model": models.Problem}},
            openapi_extra=bodies.described(watch_models.DeedBody),
        )
    return routes


def _as_json(row: Row) -> bytes:
    return event("erased" if row.get("erased") else "alert", dumps(row))


def _search(state: str, given: dict[str, str | None], **times: Any) -> AlertSearch:
    severity = given["severity"]
    return AlertSearch(
        states=() if state == "all" else (state,),
        severities=(severity,) if severity else (),
        rule=given["rule"],
        plate=given["plate"],
        camera=given["camera"],
        **times,
    )


def _find(watching: Watching, alert_id: str) -> Row:
    key = str(parameters.read_id(alert_id, "alert_id", "/alerts"))
    row = watching.wait_for(lambda: watching.queries.alert(key))
    if row is None:
        raise NotFound(f"there is no alert {key}: it was erased, or this id never existed")
    return row


def _comment(text: str, *, needed: bool) -> str:
    comment = text.strip()
    if needed and not comment:
        raise BadInput('the comment is empty: give some words as {"comment": …}')
    if len(comment) > MAX_COMMENT:
        raise BadInput(f"the comment is longer than {MAX_COMMENT:,} characters: shorten it")
    return parameters.text("comment", comment) or ""


def _do(watching: Watching, alert_id: str, kind: str, comment: str) -> Response:
    """Append what somebody did. What was done before is not said again, but for its comment."""
    key = str(parameters.read_id(alert_id, "alert_id", "/alerts"))
    alert = watching.wait_for(lambda: watching.queries.standing(key))
    if alert is None:
        raise NotFound(f"there is no alert {key}: it was erased, or this id never existed")
    by = alert.resolved_by or (alert.acknowledged_by if kind == "acknowledged" else None)
    if kind != "commented" and by is not None:
        kind = "commented"
    written = None
    if kind != "commented" or comment:
        written = watching.voice.alert(alert, kind, comment)
    state = alert.state
    if kind == "resolved" or (kind == "acknowledged" and state == "open"):
        state = kind
    told = None
    if written is not None:
        told = {
            "alert_id": key,
            "kind": kind,
            "at": view.instant(written["at"]),
            "actor": written["actor"],
            "comment": written["comment"],
        }
    return Json({"alert_id": key, "state": state, "written": told})


def _board(  # noqa: PLR0917 (what is asked, of whom)
    watching: Watching,
    counted: Callable[[], Row],
    pages: Pages,
    state: str,
    given: dict[str, str | None],
    page: int,
) -> Response:
    queries = watching.queries
    # Before the rows: what changes in between is told again by the stream, not lost.
    cursor = queries.latest_change()
    rows = queries.alerts(_search(state, given), PER_PAGE + 1, (page - 1) * PER_PAGE)
    counts = counted()
    rules = [rule["name"] for rule in queries.rules()]
    if given["rule"] and given["rule"] not in rules:
        rules.append(given["rule"])
    now = {**given, "state": state, "page": None if page == 1 else page}

    def address(**changed: Any) -> str:
        asked = {name: value for name, value in {**now, **changed}.items() if value}
        return f"/alerts?{urlencode(asked)}"

    states = [(name, name.capitalize(), counts["states"].get(name, 0)) for name in STATES]
    waiting = [f"{n:,} {name}" for name, n in counts["open"].items() if n]
    return pages.page(
        "alerts.html",
        state=state,
        states=[*states, ("all", "All", None)],
        told=f"Open: {', '.join(waiting)}" if waiting else "",
        given=given,
        filtered=any(given.values()),
        rules=rules if len(rules) <= _CHOICES else [],
        any_rules=bool(rules) or any(counts["states"].values()),
        alerts=[alert_view.alert(row) for row in rows[:PER_PAGE]],
        page=page,
        per_page=PER_PAGE,
        more=len(rows) > PER_PAGE,
        cursor=cursor,
        address=address,
    )


def _page(
    watching: Watching, sightings: SightingQueries, images: ImageStore, pages: Pages, row: Row
) -> Response:
    shown = alert_view.alert(row)
    rule, current = _rule_of(watching, row)
    latest: list[str] = row["event_ids"][-_SIGHTINGS:]
    found = [one for event_id in latest if (one := sightings.by_id(event_id))]
    main = next((one for one in found if str(one["event_id"]) == row["event_id"]), None)
    frame, no_frame = None, "There is no picture of this."
    if main is not None:
        frame, no_frame = frame_of(images, main)
    return pages.page(
        "alert.html",
        a=shown,
        frame=frame,
        no_frame=no_frame,
        reason=row["reason"],
        description=rule.description if rule else "",
        words=words(rule) if rule else [],
        actions=rule.actions if rule else (),
        version=row["rule_version"],
        other_version=not current,
        watched=alert_view.watched(row),
        sightings=[view.card(one) for one in found],
        event_ids=row["event_ids"],
        history=alert_view.deeds(row["history"], row["timezone"]),
        attempts=alert_view.attempts(row["notifications"], row["timezone"]),
        text=row["text"],
        was=row["was"],
        confidence=view.percent(row["confidence"]),
        first=view.moment(row["first_at"], row["timezone"]) if row["first_at"] else None,
        last=view.moment(row["last_at"], row["timezone"]) if row["last_at"] else None,
    )


def _rule_of(watching: Watching, row: Row) -> tuple[Rule | None, bool]:
    """The version of the rule that raised an alert, and whether it is still in force."""
    told = watching.queries.rule(row["rule"])
    if told is None:
        return None, True
    version = row["rule_version"]
    found = next((one for one in told["history"] if one["version"] == version), None)
    if found is None or not found["definition"]:
        return None, True
    try:
        rule = rule_of(orjson.dumps(found["definition"]).decode())
    except RulesError:  # of another program's language: shown without words
        return None, True
    return rule, told["version"] == version
