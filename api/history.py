"""Rules tried on history: the routes of backtests, and their page."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import bodies, models, parameters, rule_view
from api import watch_models as shapes
from api.backtests import Backtests
from api.encode import Json
from api.errors import BadInput, Forbidden, Unavailable, wants_page
from api.pages import Pages
from api.rules import MAX_BODY, MISSING, PROBLEM, listed, parsed
from api.visitor import visitor
from api.watching import Watching
from projections import veil
from rules.alerts.duration import microseconds
from rules.alerts.parse import to_yaml

_FARTHEST_US = 366 * 86_400_000_000
_SHOWN = 500  # rules; a page with thousands would be slow to edit
_PERIODS = (("1d", "one day"), ("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"))


def router(watching: Watching, backtests: Backtests, pages: Pages) -> APIRouter:
    """Everything under ``/rules/backtest``; to be asked before the rules by name."""
    routes = APIRouter(tags=["rules"])

    @routes.get("/rules/backtest", include_in_schema=False)
    def backtest_page(rule: str | None = None) -> Response:
        chosen = [r for r in listed(watching) if rule is None or r["name"] == rule][:_SHOWN]
        found = [made for row in chosen if (made := rule_view.rule(row))]
        return pages.page(
            "backtest.html", text=to_yaml(found) if found else "", periods=_PERIODS, rule=rule
        )

    @routes.post(
        "/rules/backtest",
        response_model=None,
        status_code=202,
        responses={
            202: {"model": shapes.BacktestResponse},
            409: {"model": models.Problem, "description": "Another is running"},
            **PROBLEM,
        },
        openapi_extra=bodies.described(shapes.BacktestBody),
    )
    async def backtest(request: Request) -> Response:
        """Try rules on history: what they would have raised since then.

        One runs at a time. Ask `GET /rules/backtest/{id}` how far it is: a backtest that
        nobody asks for ends after 20 seconds, and every one after 10 minutes. Without `rules`
        those of the log are tried, each as and when it was in force. It reads what every camera
        saw, so it is for who sees them all.
        """
        _refuse_some_cameras()
        given = await bodies.json_object(request, MAX_BODY)
        body = bodies.take(given, {"rules": str, "since": str})
        text = body.get("rules", "")
        rules = (await run_in_threadpool(parsed, text)).rules if text.strip() else None
        since = _since(body.get("since", "30d"), watching.voice.clock())
        job = backtests.start(rules, since)
        return Json(job, status_code=202, headers={"location": f"/rules/backtest/{job['id']}"})

    @routes.get(
        "/rules/backtest/{number}",
        response_model=None,
        responses={200: {"model": shapes.BacktestResponse}, **MISSING},
    )
    def look(request: Request, number: str) -> Response:
        """How far a backtest is, or its result."""
        _refuse_some_cameras()
        job = backtests.look(number)
        if job["result"] is not None:
            veil.told([{"plates": sorted(_plates(job["result"]))}])  # the audit tells of them
        if not wants_page(request):
            return Json(job)
        if job["result"] is None:
            raise Unavailable(f"this backtest is not done: {job['told']}")
        return pages.page("backtest_result.html", result=rule_view.result(job["result"]))

    @routes.delete(
        "/rules/backtest/{number}",
        response_model=None,
        responses={200: {"model": shapes.BacktestResponse}, **MISSING},
    )
    def stop(number: str) -> Response:
        """End a backtest."""
        return Json(backtests.stop(number))

    return routes


def _refuse_some_cameras() -> None:
    if visitor().cameras is not None:
        raise Forbidden(
            "a backtest tells what every camera saw, and you see some of them alone: ask somebody "
            "who sees all"
        )


def _plates(result: dict[str, Any]) -> set[str]:
    """Every plate that a result names."""
    found: set[str] = set()
    for rule in result["rules"]:
        found |= rule["plates"].keys()
        found |= {one["plate"] for name in ("news", "lost") for one in rule[name] if one["plate"]}
    return found


def _since(text: str, now: int) -> int:
    try:
        since = now - microseconds(text.strip())
    except ValueError:
        moment = parameters.read_time("since", text)
        if moment is None:
            raise BadInput("since is empty: give 30d, 12h or a time") from None
        since = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if not now - _FARTHEST_US <= since < now:
        raise BadInput(f"since={text!r} is not within the last 366 days: give one such as 30d")
    return since
