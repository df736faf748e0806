"""A search of sightings as an address asks it: every condition that projections.queries knows."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from fastapi import Request

from api import parameters
from api.errors import BadInput
from projections.queries import Search

_TIMES = {"start": "start_time", "end": "end_time"}
_LONGEST = 200
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def names() -> frozenset[str]:
    """The parameters that say which sightings are meant."""
    return frozenset(_TIMES.get(one.name, one.name) for one in fields(Search)) | {
        "include_retracted"
    }


def asked(request: Request, *more: str) -> tuple[Search, bool]:
    """What is searched for, and whether retracted sightings are meant too.

    ``more`` are parameters that are something else. Raises BadInput, also for unknown ones: a
    mistyped condition would widen the answer.
    """
    parameters.refuse_unknown(request, names() | set(more))
    given = request.query_params
    start, end = parameters.read_times(given.get("start_time"), given.get("end_time"))
    found: dict[str, Any] = {"start": start, "end": end}
    kinds = get_type_hints(Search)
    for one in fields(Search):
        if one.name in _TIMES:
            continue
        texts = [text for text in given.getlist(one.name) if text]
        if texts:
            found[one.name] = _value(one.name, texts, kinds[one.name])
    return Search(**found), _truth("include_retracted", given.get("include_retracted") or "false")


def described() -> dict[str, Any]:
    """What OpenAPI says of the parameters."""
    kinds = get_type_hints(Search)
    listed: list[Mapping[str, Any]] = []
    for one in fields(Search):
        kind = "string"
        if _holds(kinds[one.name], float):
            kind = "number"
        elif _holds(kinds[one.name], bool):
            kind = "boolean"
        elif _holds(kinds[one.name], int):
            kind = "integer"
        schema: dict[str, Any] = {"type": kind}
        if one.default not in (None, MISSING):
            schema["default"] = one.default
        listed.append({"name": _TIMES.get(one.name, one.name), "in": "query", "schema": schema})
    listed.append({"name": "include_retracted", "in": "query", "schema": {"type": "boolean"}})
    return {"parameters": listed}


def _value(name: str, texts: list[str], kind: Any) -> Any:
    if len(texts) > 1:
        if not any(get_origin(one) not in (None, types.UnionType) for one in get_args(kind)):
            raise BadInput(f"{name} is given {len(texts)} times: give it once")
        return [_text(name, text) for text in texts]
    text = _text(name, texts[0])
    if _holds(kind, bool):
        return _truth(name, text)
    for number in (float, int):
        if _holds(kind, number):
            try:
                return number(text)
            except ValueError:
                raise BadInput(f"{name}={text[:80]!r} is no number: give one") from None
    return text


def _text(name: str, text: str) -> str:
    if len(text) > _LONGEST:
        raise BadInput(f"{name} is longer than {_LONGEST} characters: shorten it")
    return parameters.text(name, text) or ""


def _truth(name: str, text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise BadInput(f"{name}={text[:80]!r} is neither true nor false: give one of them")
    return text.lower() in _TRUE


def _holds(kind: Any, wanted: type) -> bool:
    return kind is wanted or wanted in get_args(kind)
