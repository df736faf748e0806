"""Reading the body of a request, never more of it than is allowed."""

from typing import Any
from urllib.parse import parse_qs

import orjson
from fastapi import Request
from pydantic import BaseModel

from api.errors import BadInput, TooLarge


async def read(request: Request, most: int) -> bytes:
    """The body. Raises TooLarge beyond ``most`` bytes, and reads no further."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise TooLarge(
                f"the body is larger than {most:,} bytes: send less, or use the command line"
            )
    return bytes(body)


async def text(request: Request, most: int) -> str:
    """The body as UTF-8. Raises TooLarge, BadInput."""
    try:
        return (await read(request, most)).decode()
    except UnicodeDecodeError:
        raise BadInput("the body is no UTF-8 text: send it as UTF-8") from None


async def json_object(request: Request, most: int) -> dict[str, Any]:
    """The body as a JSON object; {} where there is none. Raises TooLarge, BadInput."""
    body = await read(request, most)
    if not body.strip():
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput("the body is no JSON object: send one such as {}")
    return found


async def form(request: Request, most: int, fields: int = 16) -> dict[str, str]:
    """The fields of an urlencoded form, the first of each name. Raises TooLarge, BadInput."""
    body = await read(request, most)
    try:
        given = parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=fields, errors="strict"
        )
    except ValueError:
        told = f"the form cannot be read: send it urlencoded, in UTF-8, {fields} fields at most"
        raise BadInput(told) from None
    return {name: values[0] for name, values in given.items()}


def described(model: type[BaseModel], media: str = "application/json") -> dict[str, Any]:
    """What OpenAPI says of a body that is read here and not by FastAPI."""
    return _described({media: {"schema": _whole(model.model_json_schema())}})


def described_as(kind: str, *medias: str) -> dict[str, Any]:
    """The same of a body of which only JSON's type is said: string, object."""
    return _described({media: {"schema": {"type": kind}} for media in medias})


def _described(content: dict[str, Any]) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    too_large = {"description": "The body is too large", "content": problem}
    return {"requestBody": {"content": content}, "responses": {"413": too_large}}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to in its place: within OpenAPI its own names lead nowhere."""
    named: dict[str, Any] = schema.pop("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, list):
            return [put(one) for one in part]
        if not isinstance(part, dict):
            return part
        name = str(part.get("$ref", "")).rpartition("/")[2]
        return put(named[name]) if name else {key: put(value) for key, value in part.items()}

    return put(schema)


def take(body: dict[str, Any], known: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The fields of an object that are known and not null. Raises BadInput for others."""
    for name, value in body.items():
        if name not in known:
            raise BadInput(f"there is no field {name[:80]!r}: use {', '.join(sorted(known))}")
        if value is not None and not isinstance(value, known[name]):
            raise BadInput(f"{name}={str(value)[:80]!r} is of another kind than is needed")
    return {name: value for name, value in body.items() if value is not None}
