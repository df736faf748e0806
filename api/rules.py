"""Alert rules: read, written, switched, checked and tried on history; for programs and people."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import bodies, models, rule_view
from api import watch_models as shapes
from api.alert_view import named, told
from api.encode import Json
from api.errors import BadInput, NotFound, wants_page
from api.pages import MAX_PAGE, Page, Pages
from api.view import instant
from api.watching import Watching
from projections.queries import Row
from rules.alerts.normal import defined
from rules.alerts.parse import SCHEMA, RuleFile, RulesError, parse, rule_of, to_yaml
from rules.alerts.rule import Rule
from rules.alerts.trial import tried
from rules.alerts.words import words
from schemas.records import RuleVersion

PER_PAGE = 100
MAX_BODY = 4 << 20  # bytes: thousands of rules
_WHERE = "the text"  # what a problem calls the file that it is in
_DAY = timedelta(days=1)
_LONGEST_TEST_S = 10

Name = Annotated[str, Path(max_length=200, examples=["stolen cars"])]
Wanted = Annotated[str | None, Query(max_length=100, description="in name or description")]
PROBLEM: dict[int | str, dict[str, Any]] = {422: {"model": models.Problem}}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": models.Problem}}
_TEXT = bodies.described_as("string", "application/yaml", "application/json")


def router(watching: Watching, pages: Pages) -> APIRouter:
    """Everything under ``/rules``."""
    routes = APIRouter(tags=["rules"])
    queries, voice = watching.queries, watching.voice

    @routes.get("/rules", response_model=None, responses={200: {"model": shapes.RulesResponse}})
    def rules(request: Request, q: Wanted = None, page: Page = 1) -> Response:
        """The rules by name, each with its definition and its alerts of the last day.

        `page` is of the browser's page alone.
        """
        sought = (q or "").strip().lower()
        rows = [
            row
            for row in listed(watching)
            if sought in row["name"].lower() or sought in row["description"].lower()
        ]
        if wants_page(request):
            more = len(rows) > page * PER_PAGE and page < MAX_PAGE
            tries = watching.backtests is not None
            shown = [
                {**r, "url": named("/rules", r["name"]), "at": told(r["appended_at"])}
                for r in rows[(page - 1) * PER_PAGE : page * PER_PAGE]
            ]
            return pages.page(
                "rules.html", rules=shown, tries=tries, wanted=q, page=page, more=more
            )
        return Json({"count": len(rows), "rules": rows})

    @routes.post(
        "/rules",
        response_model=None,
        status_code=201,
        responses={201: {"model": shapes.WrittenRules}, **PROBLEM},
        openapi_extra=_TEXT,
    )
    async def put_all(request: Request) -> Response:
        """Bring the rules of a file into force, as the text of it; other rules stay as they are."""
        text = await bodies.text(request, MAX_BODY)
        return await run_in_threadpool(_put_all, watching, text)

    @routes.get("/rules/schema", response_model=None)
    def schema() -> Response:
        """The JSON Schema of a file of rules."""
        return Json(SCHEMA)

    @routes.post(
        "/rules/test",
        response_model=None,
        responses={200: {"model": shapes.TestedRules}},
        openapi_extra=_TEXT,
    )
    async def test(request: Request) -> Response:
        """Check the text of a file of rules, and its rules against the examples in it.

        Writes nothing. Answers 200 with `ok` false where something is wrong. Examples that take
        longer than 10 seconds are refused; `alpr rules test` has no bound.
        """
        text = await bodies.text(request, MAX_BODY)
        return await run_in_threadpool(_tested, watching, text)

    @routes.get("/rules/new", include_in_schema=False)
    def new() -> Response:
        return pages.page("rule.html", **rule_view.empty())

    @routes.post(
        "/rules/{name:path}/enable",
        response_model=None,
        responses={200: {"model": shapes.WrittenRules}, **MISSING},
    )
    def enable(name: Name) -> Response:
        """Let a rule raise alerts."""
        return _write(watching, [_switched(watching, name, enabled=True)], 200)

    @routes.post(
        "/rules/{name:path}/disable",
        response_model=None,
        responses={200: {"model": shapes.WrittenRules}, **MISSING},
    )
    def disable(name: Name) -> Response:
        """Let a rule rest; its alerts stay."""
        return _write(watching, [_switched(watching, name, enabled=False)], 200)

    @routes.get(
        "/rules/{name:path}",
        response_model=None,
        responses={200: {"model": shapes.RuleResponse}, **MISSING},
    )
    def rule(request: Request, name: Name) -> Response:
        """One rule with all its versions, the newest first."""
        row = watching.wait_for(lambda: queries.rule(name))
        if row is None:
            raise NotFound(f"there is no rule {name!r}, and there never was: GET /rules shows all")
        row["alerts_last_day"] = _last_day(watching).get(name, 0)
        if not wants_page(request):
            return Json(row)
        now = rule_view.rule(row)
        return pages.page(
            "rule.html",
            name=name,
            url=named("/rules", name),
            row=row,
            text=to_yaml([now]) if now else "",
            words=words(now) if now else [],
            history=rule_view.history(row["history"]),
            tries=watching.backtests is not None,
        )

    @routes.put(
        "/rules/{name:path}",
        response_model=None,
        responses={200: {"model": shapes.WrittenRules}, **PROBLEM},
        openapi_extra=_TEXT,
    )
    async def put(request: Request, name: Name) -> Response:
        """Write a rule: as a JSON object in the file's language, or as YAML of a file with it.

        In force within a second. A rule that is refused is told with line and field.
        """
        text = await bodies.text(request, MAX_BODY)
        yaml = "yaml" in request.headers.get("content-type", "")
        return await run_in_threadpool(_put, watching, name, text, yaml)

    @routes.delete(
        "/rules/{name:path}",
        response_model=None,
        responses={200: {"model": shapes.WrittenRules}, **MISSING},
    )
    def remove(name: Name) -> Response:
        """End a rule; its alerts and versions stay."""
        if voice.definition(name) is None:
            raise NotFound(f"there is no rule {name!r}: GET /rules shows all")
        return Json({"written": [_shown(voice.remove_rule(name))], "same": []})

    return routes


def listed(watching: Watching) -> list[Row]:
    """The rules in force by name, each with the number of its alerts of the last day."""
    day = _last_day(watching)
    return [{**row, "alerts_last_day": day.get(row["name"], 0)} for row in watching.queries.rules()]


def _last_day(watching: Watching) -> dict[str, int]:
    return watching.queries.raised(instant(watching.voice.clock()) - _DAY)


def _put_all(watching: Watching, text: str) -> Response:
    return _write(watching, parsed(text).rules, 201)


def _put(watching: Watching, name: str, text: str, yaml: bool) -> Response:
    if yaml:
        file = parsed(text)
    else:
        try:
            rule = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"the body is no JSON: {error}") from None
        if not isinstance(rule, dict):
            raise BadInput("the body is no JSON object: send a rule such as one of GET /rules")
        document = orjson.dumps({"rules": [{"name": name, **rule}]}, option=orjson.OPT_INDENT_2)
        file = parsed(document.decode(), lines=False)
    names = [rule.name for rule in file.rules]
    if names != [name]:
        raise BadInput(
            f"this holds {', '.join(map(repr, names)) or 'no rule'}, and the address is of "
            f"{name!r}: a rule keeps its name; POST /rules writes others"
        )
    return _write(watching, file.rules, 200)


def _write(watching: Watching, rules: Sequence[Rule], code: int) -> Response:
    if problems := [told for rule in rules for told in watching.refused(rule)]:
        raise BadInput("\n".join(problems), _plain(problems))
    written = watching.voice.rules(rules)
    names = {version["name"] for version in written}
    same = [rule.name for rule in rules if rule.name not in names]
    return Json({"written": [_shown(one) for one in written], "same": same}, status_code=code)


def _switched(watching: Watching, name: str, *, enabled: bool) -> Rule:
    definition = watching.voice.definition(name)
    if definition is None:
        raise NotFound(f"there is no rule {name!r}: GET /rules shows all")
    return defined(replace(rule_of(definition), enabled=enabled))


def parsed(text: str, *, lines: bool = True) -> RuleFile:
    """The rules and examples of a text. Raises BadInput with every problem."""
    try:
        return parse(text, _WHERE)
    except RulesError as error:
        raise BadInput(_told(error, lines), _problems(error, lines)) from None


def _told(error: RulesError, lines: bool) -> str:
    if lines:
        return str(error)
    told = [f"{one['field']}: {one['message']}" for one in _problems(error, lines)]
    return "\n".join(one.removeprefix(": ") for one in told)


def _problems(error: RulesError, lines: bool = True) -> list[dict[str, Any]]:
    """Where and what; a rule that came by itself, as JSON, has neither lines nor a file."""
    return [
        {
            "line": one.line if lines else None,
            "field": one.field if lines else one.field.removeprefix("rules[0]").removeprefix("."),
            "message": one.message,
        }
        for one in error.problems
    ]


def _plain(problems: Sequence[str]) -> list[dict[str, Any]]:
    return [{"line": None, "field": "", "message": message} for message in problems]


def _bounded() -> Callable[[], None]:
    """What ends examples that take too long."""
    until = time.monotonic() + _LONGEST_TEST_S

    def step() -> None:
        if time.monotonic() > until:
            raise BadInput(
                f"the examples take longer than {_LONGEST_TEST_S} s: send fewer rules or examples, "
                "or use `alpr rules test`, which has no bound"
            )

    return step


def _tested(watching: Watching, text: str) -> Response:
    try:
        file = parse(text, _WHERE)
    except RulesError as error:
        answer = {"ok": False, "problems": _problems(error), "rules": [], "examples": []}
        return Json(answer)
    problems = [told for rule in file.rules for told in watching.refused(rule)]
    examples = [
        {**asdict(one), "passed": one.passed}
        for results in tried(file, _bounded()).values()
        for one in results
    ]
    return Json(
        {
            "ok": not problems and all(one["passed"] for one in examples),
            "problems": _plain(problems),
            "rules": [{"name": rule.name, "words": words(rule)} for rule in file.rules],
            "examples": examples,
        }
    )


def _shown(version: RuleVersion) -> Row:
    definition = version["definition"]
    return {
        "name": version["name"],
        "version": rule_of(definition).version if definition else None,
        "effective_from": instant(version["effective_from"]),
        "definition": orjson.loads(definition) if definition else None,
        "actor": version["actor"],
    }
